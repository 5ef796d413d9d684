//! Lines of a file: what they set, and the words that refuse them.

use super::*;

#[test]
fn lines_set_options_in_any_case_and_the_last_wins() {
    let config = parse(
        "# comment\n\n  MaxMemory 1gb  \r\nhash-max-ziplist-entries 20\n\
         hash-max-listpack-entries 21\nlogfile ''\nproc-title-template \"{title} x\"",
    );
    assert_eq!(config.maxmemory, 1 << 30);
    assert_eq!(config.hash_max_listpack_entries, 21);
    assert_eq!(get(&config, "hash-max-ziplist-entries"), "21");
    assert_eq!(config.proc_title_template, "{title} x");
}

#[test]
fn a_bad_line_gives_the_block_operators_know() {
    assert_eq!(
        refuse("port 7000\nport \"6379\" \"6380\" \n"),
        format!(
            "\n*** FATAL CONFIG FILE ERROR (Redis {}) ***\n\
             Reading the configuration file, at line 2\n\
             >>> 'port \"6379\" \"6380\"'\n\
             wrong number of arguments\n",
            crate::REDIS_VERSION
        )
    );
}

#[test]
fn reasons_of_bad_lines() {
    let cases = [
        ("bogus 1", "Bad directive or wrong number of arguments"),
        ("port \"1", "Unbalanced quotes in configuration line"),
        ("port", "wrong number of arguments"),
        ("port --bla", "argument couldn't be parsed into an integer"),
        (
            "port 70000",
            "argument must be between 0 and 65535 inclusive",
        ),
        (
            "loglevel --bla",
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        (
            "shutdown-on-sigint",
            "argument(s) must be one of the following: default, save, nosave, now, force",
        ),
        (
            "shutdown-on-sigterm save nosave",
            "shutdown options SAVE and NOSAVE can't be used simultaneously",
        ),
        ("replicaof 127.0.0.1 abc", "Invalid master port"),
        ("replicaof --127.0.0.1", "wrong number of arguments"),
        ("dir /does/not/exist", "No such file or directory"),
        (
            "sentinel monitor x",
            "sentinel directive while not in sentinel mode",
        ),
        (
            "rename-command x",
            "Bad directive or wrong number of arguments",
        ),
        ("user", "Bad directive or wrong number of arguments"),
        ("mod.opt", "Module config specified without value"),
        ("save 1", "Invalid save parameters"),
        ("appendonly maybe", "argument must be 'yes' or 'no'"),
        (
            "unixsocketperm 8",
            "argument couldn't be parsed as an octal number",
        ),
        (
            "unixsocketperm 1000",
            "argument must be between 0 and 777 inclusive",
        ),
        (
            "activedefrag yes",
            "Active defragmentation cannot be enabled: this server allocates without jemalloc",
        ),
        (
            "dbfilename a/b",
            "dbfilename can't be a path, just a filename",
        ),
        ("appendfilename ''", "appendfilename can't be empty"),
        (
            "appenddirname a/b",
            "appenddirname can't be a path, just a dirname",
        ),
    ];
    for (line, reason) in cases {
        let block = refuse(line);
        assert_eq!(block.lines().last(), Some(reason), "{line}");
    }
    let block = refuse("cluster-enabled yes\nreplicaof a 1");
    assert_eq!(block.lines().count(), 3, "no line is to blame");
    assert!(block.ends_with("replicaof directive not allowed in cluster mode\n"));
}

#[test]
fn save_lines_add_up_and_an_empty_one_resets() {
    let shown = |text| get(&parse(text), "save");
    assert_eq!(shown(""), "3600 1 300 100 60 10000");
    assert_eq!(shown("save 1 2\nsave 3 4"), "1 2 3 4");
    assert_eq!(shown("save 1 2 3 4"), "1 2 3 4");
    assert_eq!(shown("save \"1 2 3 4\""), "1 2 3 4");
    assert_eq!(shown("save 1 2\nsave ''"), "");
    assert_eq!(shown("save ''\nsave 100 100"), "100 100");
}

#[test]
fn options_of_several_words_take_them_quoted_as_one() {
    let config = parse("shutdown-on-sigint nosave force now\nshutdown-on-sigterm \"nosave force\"");
    assert_eq!(get(&config, "shutdown-on-sigint"), "nosave now force");
    assert_eq!(get(&config, "shutdown-on-sigterm"), "nosave force");
    assert_eq!(get(&parse("bind ''"), "bind"), "");
    assert_eq!(get(&parse("bind \"a b\""), "bind"), "a b");
}

#[test]
fn other_directives_are_kept() {
    let config = parse(
        "rename-command FLUSHDB ''\nuser alice on +@all\nuser bob\nloadmodule /a.so x y\n\
         a.b 1 2\na.b 3\nlua-replicate-commands yes\nlist-max-ziplist-value 64",
    );
    let kept = &config.directives;
    assert_eq!(kept.renamed_commands, [(b"FLUSHDB".into(), b"".into())]);
    assert_eq!(kept.users.len(), 2);
    assert_eq!(kept.modules[0].len(), 3);
    assert_eq!(kept.module_options, [(b"a.b".into(), vec![b"3".into()])]);
}

#[test]
fn the_referee_judges_renames_and_users() {
    struct Strict;
    impl Referee for Strict {
        fn rename_command(&mut self, from: &[u8], _: &[u8]) -> Result<(), Reason> {
            match from {
                b"get" => Ok(()),
                _ => Err("No such command in rename-command".into()),
            }
        }
        fn user(&mut self, words: &[Vec<u8>]) -> Result<(), Reason> {
            Err(format!("Error in user declaration '{}'", words.len()).into())
        }
    }
    let judge = |text: &str| Config::parse(text.as_bytes(), &mut Strict).map(|_| ());
    assert!(judge("rename-command get put").is_ok());
    let text = judge("rename-command foo bar").unwrap_err().to_string();
    assert!(text.ends_with("No such command in rename-command\n"));
    let text = judge("user x y").unwrap_err().to_string();
    assert!(text.ends_with("Error in user declaration '2'\n"));
}

#[test]
fn what_deserves_a_word_is_remarked() {
    let text = b"activerehashing no\ncluster-enabled yes\noom-score-adj-values 3 2 1";
    let (config, remarks) = Config::parse(text, &mut ()).unwrap();
    assert_eq!(config.databases, 1);
    let levels: Vec<LogLevel> = remarks.iter().map(|r| r.level).collect();
    use LogLevel::*;
    assert_eq!(levels, [Notice, Warning, Warning]);
    assert!(remarks[0].text.contains("'activerehashing' has no effect"));
}

#[test]
fn includes_are_read_in_place_with_wildcards() {
    let dir = Scratch::new("include");
    dir.file("b.inc", "timeout 2\ndatabases 5"); // No newline at its end.
    dir.file("a.inc", "timeout 1");
    dir.file(".hidden.inc", "timeout 9");
    let here = dir.0.display();
    let config = parse(&format!(
        "include {here}/*.inc\ninclude {here}/*.none\nport 1"
    ));
    assert_eq!((config.timeout, config.databases, config.port), (2, 5, 1));
    let config = parse(&format!("dir {here}\ninclude [ab].inc"));
    assert_eq!(config.timeout, 2);
    assert_eq!(
        refuse("include /does/not/exist"),
        "Fatal error, can't open config file '/does/not/exist': No such file or directory\n"
    );
}

#[test]
fn a_file_that_includes_itself_is_an_error() {
    let dir = Scratch::new("self");
    let name = dir.file("x.conf", "");
    dir.file("x.conf", &format!("include {name}\ninclude {name}"));
    assert!(refuse(&format!("include {name}")).contains("nested too deep"));
}

#[test]
fn the_log_file_is_tried_at_once() {
    let dir = Scratch::new("log");
    let text = format!("logfile x.log\ndir {}", dir.0.display());
    parse(&text);
    assert!(
        dir.0.join("x.log").exists(),
        "relative to dir, wherever dir stands"
    );
    let block = refuse("logfile /does/not/exist");
    assert!(block.ends_with("Can't open the log file: No such file or directory\n"));
}

#[test]
fn any_bytes_give_a_configuration_or_an_error() {
    let mut rng = Rng::new(0x5eed);
    let names: Vec<&str> = OPTIONS.iter().flat_map(ConfigOption::names).collect();
    let ends = ["user", "sentinel", "rename-command", "a.b", "loadmodule"];
    let scraps = [
        "\"",
        "'",
        "\\x",
        " ",
        "\t",
        "-1",
        "0",
        "99999999999999999999",
        "yes",
        "no",
        "1gb",
        "%",
        "{",
        "{title}",
        "}",
        "\u{e9}",
        "normal",
        "slave",
        "save",
        "nan",
        "inf",
        "1e999",
        "10%",
    ];
    for _ in 0..4_000 {
        let mut text = Vec::new();
        for _ in 0..rng.below(4) {
            let pick = rng.below((names.len() + ends.len()) as u64) as usize;
            let name = names.iter().chain(&ends).nth(pick).unwrap();
            if matches!(*name, "logfile" | "dir") {
                continue; // These touch the disk.
            }
            text.extend_from_slice(name.as_bytes());
            for _ in 0..rng.below(6) {
                text.extend_from_slice(b" ");
                match rng.below(3) {
                    0 => text.push(rng.below(256) as u8),
                    _ => {
                        let scrap = scraps[rng.below(scraps.len() as u64) as usize];
                        text.extend_from_slice(scrap.as_bytes());
                    }
                }
            }
            text.push(b'\n');
        }
        match Config::parse(&text, &mut ()) {
            Ok((config, _)) => {
                let rewritten = config.rewrite(&text, &Rewrite::default());
                let again = Config::parse(&rewritten, &mut ());
                let (mut again, _) = again.unwrap_or_else(|e| panic!("{e}{text:?}"));
                again.directives = config.directives.clone();
                assert!(again == config, "{}", String::from_utf8_lossy(&text));
            }
            Err(fatal) => assert!(!fatal.to_string().is_empty()),
        }
    }
    for _ in 0..4_000 {
        let mut text = vec![0; rng.below(60) as usize];
        rng.fill(&mut text);
        let _ = Config::parse(&text, &mut ()).map_err(|e| e.to_string());
    }
}
