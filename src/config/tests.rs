//! The configuration as files, arguments and clients see it.

use super::*;
use crate::sys::files::Disk;
use crate::util::rng::Rng;

fn parse(text: &str) -> Config {
    match Config::parse(text.as_bytes(), &mut ()) {
        Ok((config, _)) => config,
        Err(fatal) => panic!("{fatal}"),
    }
}

fn refuse(text: &str) -> String {
    match Config::parse(text.as_bytes(), &mut ()) {
        Ok(_) => panic!("accepted {text:?}"),
        Err(fatal) => fatal.to_string(),
    }
}

fn get(config: &Config, name: &str) -> String {
    let answer = config.get(&[name.as_bytes()]);
    let [(_, value)] = answer.as_slice() else {
        panic!("{name}: {answer:?}");
    };
    String::from_utf8_lossy(value).into_owned()
}

/// The configuration after one CONFIG SET, or the words of its error.
fn set_on(config: &Config, pairs: &[(&str, &str)]) -> Result<Config, String> {
    let pairs: Vec<(&[u8], &[u8])> = pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let permissions = Permissions {
        protected: true,
        loading: false,
    };
    match config.with(&pairs, permissions) {
        Ok((config, _)) => Ok(config),
        Err(error) => Err(error.to_string()),
    }
}

fn set_get(name: &str, value: &str) -> Result<String, String> {
    set_on(&Config::default(), &[(name, value)]).map(|config| get(&config, name))
}

/// The reason of a refused value.
fn reason(name: &str, value: &str) -> String {
    let error = set_get(name, value).expect_err(name);
    let prefix = format!("CONFIG SET failed (possibly related to argument '{name}') - ");
    let reason = error.strip_prefix(&prefix);
    reason.unwrap_or_else(|| panic!("{error}")).to_owned()
}

// The table.

#[test]
fn names_are_unique_and_lower_case() {
    let mut names: Vec<&str> = OPTIONS.iter().flat_map(ConfigOption::names).collect();
    for name in &names {
        assert_eq!(*name, name.to_ascii_lowercase());
        assert!(find(name.to_ascii_uppercase().as_bytes()).is_some());
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn every_option_has_a_summary_of_one_line() {
    for option in OPTIONS {
        assert!(option.summary().ends_with('.'), "{}", option.name);
        assert!(!option.summary().contains('\n'), "{}", option.name);
    }
}

/// GET, SET to the same, GET again: what the upstream suite asks of every option.
#[test]
fn what_is_shown_can_be_set_again() {
    let default = Config::default();
    for option in OPTIONS {
        if matches!(option.name, "replicaof") {
            continue; // What it shows when unset is no value.
        }
        let shown = option.show(&default);
        let words: Vec<&[u8]> = match option.has(Flag::MultiArg) {
            true if shown.is_empty() => vec![b""],
            true => shown.split(|b| *b == b' ').collect(),
            false => vec![&shown],
        };
        let mut config = default.clone();
        if let Err(reason) = option.set(&mut config, &words) {
            panic!("{}: {reason}", option.name);
        }
        assert!(config == default, "{}", option.name);
    }
}

/// Every option at a value that is not its default: through a file, a rewrite and back.
#[test]
fn another_value_survives_a_rewrite() {
    let text = "
        bind 127.0.0.1 ::1
        replicaof primary.example 6380
        masterauth \"\\x00\\xff secret\\n\"
        save 1 2
        save 3 4
        maxmemory 300mb
        maxmemory-clients 5%
        maxmemory-policy allkeys-lfu
        client-output-buffer-limit pubsub 1mb 2kb 3
        oom-score-adj relative
        oom-score-adj-values 1 2 3
        notify-keyspace-events KEx
        latency-tracking-info-percentiles 12.5 100
        shutdown-on-sigint nosave now
        unixsocketperm 770
        logfile \"\"
        appendfilename \"\\\" file seq \\n\\n.aof \\\"\"
        requirepass foo
        cluster-announce-hostname node.example
        list-max-listpack-size 7
        slowlog-log-slower-than -1
        repl-backlog-size 20481";
    let config = parse(text);
    let rewritten = config.rewrite(b"", &Rewrite::default());
    let again = parse(&String::from_utf8(rewritten.clone()).unwrap());
    assert!(again == config, "{}", String::from_utf8_lossy(&rewritten));
    assert_eq!(again.masterauth.as_deref(), Some(&b"\x00\xff secret\n"[..]));
    assert_eq!(again.appendfilename, "\" file seq \n\n.aof \"");
    let twice = again.rewrite(&rewritten, &Rewrite::default());
    assert!(twice == rewritten, "a rewrite is idempotent");
}

#[test]
fn a_forced_rewrite_holds_every_option_and_loads() {
    let force_all = Rewrite {
        force_all: true,
        ..Rewrite::default()
    };
    let config = parse("save ''\nshutdown-on-sigterm force\nbind 127.0.0.1");
    let text = config.rewrite(b"", &force_all);
    let again = parse(std::str::from_utf8(&text).unwrap());
    assert!(again == config);
    let text = String::from_utf8(text).unwrap();
    for option in OPTIONS {
        let unset = option.show(&config).is_empty();
        let said = text
            .lines()
            .any(|l| l.split(' ').next() == Some(option.name));
        assert!(said || unset, "{}", option.name);
    }
}

// Files.

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

/// A directory of its own, gone afterwards.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("oxidis-config-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(std::fs::canonicalize(path).unwrap())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
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

// Arguments.

/// The lines the options of a command line make.
fn options(arguments: &[&str]) -> String {
    let program = ["oxidis-server"];
    let arguments: Vec<&str> = program.iter().chain(arguments).copied().collect();
    String::from_utf8(CommandLine::parse(&arguments).options).unwrap()
}

#[test]
fn arguments_become_lines() {
    assert_eq!(
        options(&["--port", "6379", "6380"]),
        "port \"6379\" \"6380\" "
    );
    assert_eq!(
        options(&["--port", "--loglevel", "verbose"]),
        "port \"--loglevel\" \"verbose\" "
    );
    assert_eq!(
        options(&["--port", "--bla", "--loglevel", "verbose"]),
        "port \"--bla\" \nloglevel \"verbose\" "
    );
    assert_eq!(
        options(&["loglevel", "verbose"]),
        "\"verbose\" ",
        "the first word without a dash is the file"
    );
    assert_eq!(
        options(&["x.conf", "loglevel", "verbose", "--maxmemory '700mb'"]),
        "\"loglevel\" \"verbose\" \nmaxmemory '700mb' "
    );
    assert_eq!(
        options(&["--save", "--loglevel", "debug"]),
        "save \"\"\nloglevel \"debug\" "
    );
    assert_eq!(options(&["--save"]), "save \"\"");
    assert_eq!(
        options(&["--save", "", "--hz", "5"]),
        "save \"\" \nhz \"5\" "
    );
    assert_eq!(
        options(&["--proc-title-template", "--save", "--save", ""]),
        "proc-title-template \"--save\" \nsave \"\" "
    );
    assert_eq!(
        options(&["--replicaof", "--127.0.0.1", "--abc"]),
        "replicaof \"--127.0.0.1\" \nabc "
    );
}

#[test]
fn arguments_name_file_stdin_and_sentinel() {
    let line = CommandLine::parse(&["/bin/redis-server", "a.conf", "--port", "1", "-"]);
    assert_eq!(line.file.as_deref(), Some(&b"a.conf"[..]));
    assert!(line.stdin && !line.sentinel);
    assert!(CommandLine::parse(&["x", "-", "--port", "1"]).stdin);
    assert!(!CommandLine::parse(&["x", "--masterauth", "-", "--port", "1"]).stdin);
    assert!(CommandLine::parse(&["./redis-sentinel", "s.conf"]).sentinel);
    assert!(CommandLine::parse(&["x", "s.conf", "--sentinel"]).sentinel);
    assert!(!CommandLine::parse(&[] as &[&str]).sentinel);
}

#[test]
fn options_override_the_file_and_saves_add_to_it() {
    let dir = Scratch::new("args");
    let file = dir.file("x.conf", "port 1\nsave 5 5\nmaxmemory 1mb");
    let load = |arguments: &[&str]| {
        let all: Vec<&str> = ["x", &file]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        Config::load(&CommandLine::parse(&all), &mut ()).map(|(config, _)| config)
    };
    let config = load(&["--port", "2", "--save", "100 100"]).unwrap();
    assert_eq!(config.port, 2);
    assert_eq!(get(&config, "save"), "5 5 100 100");
    assert_eq!(config.maxmemory, 1 << 20);
    assert_eq!(config.file.as_deref(), Some(std::path::Path::new(&file)));
    assert_eq!(get(&load(&["--save"]).unwrap(), "save"), "");
    let fatal = load(&["--invalid"]).unwrap_err().to_string();
    assert!(
        fatal.contains("at line 5\n>>> 'invalid'\nBad directive"),
        "{fatal}"
    );
}

// Clients.

#[test]
fn get_unites_patterns_and_names() {
    let config = Config::default();
    let names = |patterns: &[&str]| {
        let patterns: Vec<&[u8]> = patterns.iter().map(|p| p.as_bytes()).collect();
        let found = config.get(&patterns).into_iter();
        found
            .map(|(name, _)| String::from_utf8(name).unwrap())
            .collect::<Vec<_>>()
    };
    let found = names(&["maxmemory", "maxmemory*", "bind", "*of"]);
    for name in [
        "maxmemory",
        "maxmemory-samples",
        "bind",
        "replicaof",
        "slaveof",
    ] {
        assert_eq!(found.iter().filter(|n| *n == name).count(), 1, "{name}");
    }
    assert!(names(&["key-load*"]).is_empty());
    assert_eq!(names(&["Key-Load-Delay"]), ["Key-Load-Delay"]);
    assert!(names(&["nothing"]).is_empty());
    assert!(names(&["MAXMEMORY-P*"]).contains(&"maxmemory-policy".into()));
}

#[test]
fn set_is_all_or_nothing() {
    let config = Config::default();
    let both = [("maxmemory", "10000001"), ("maxmemory-clients", "200%")];
    assert_eq!(
        set_on(&config, &both).unwrap_err(),
        "CONFIG SET failed (possibly related to argument 'maxmemory-clients') - \
         percentage argument must be less or equal to 100"
    );
    let good = set_on(&config, &[("maxmemory", "10000001"), ("save", "3000 5")]).unwrap();
    assert_eq!(good.maxmemory, 10000001);
    assert_eq!(get(&good, "save"), "3000 5");
}

#[test]
fn set_says_who_may_not() {
    let config = Config::default();
    let failed = |name: &str, reason: &str| {
        Err(SetError::Failed {
            option: name.into(),
            reason: reason.to_owned().into(),
        })
    };
    let set = |pairs: &[(&'static str, &'static str)], permissions| {
        let pairs: Vec<(&[u8], &[u8])> = pairs
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        config.with(&pairs, permissions).map(|_| ())
    };
    let nobody = Permissions::default();
    let loading = Permissions {
        protected: true,
        loading: true,
    };
    assert_eq!(
        set(&[("daemonize", "yes")], nobody),
        failed("daemonize", "can't set immutable config")
    );
    assert_eq!(
        set(&[("dir", "/")], nobody),
        failed("dir", "can't set protected config")
    );
    assert_eq!(set(&[("dir", "/")], loading), Err(SetError::Loading));
    assert_eq!(set(&[("loglevel", "debug")], loading), Ok(()));
    assert_eq!(
        set(&[("maxmemory", "1"), ("MaxMemory", "2")], nobody),
        failed("maxmemory", "duplicate parameter")
    );
    assert_eq!(
        set(
            &[("slave-priority", "1"), ("replica-priority", "2")],
            nobody
        ),
        failed("replica-priority", "duplicate parameter")
    );
    let unknown = set(&[("foo", "1"), ("daemonize", "yes")], nobody).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "Unknown option or number of arguments for CONFIG SET - 'foo'"
    );
}

/// A server whose port 1 is taken.
struct Fake {
    config: Config,
    applied: Vec<(u16, Vec<&'static str>)>,
}

impl Apply for Fake {
    fn config(&mut self) -> &mut Config {
        &mut self.config
    }

    fn apply(&mut self, changed: &[&'static str]) -> Result<(), ApplyError> {
        self.applied.push((self.config.port, changed.to_vec()));
        match self.config.port {
            1 => Err(ApplyError::new(
                "port",
                "Unable to listen on this port. Check server logs.",
            )),
            _ => Ok(()),
        }
    }
}

#[test]
fn what_cannot_be_followed_is_undone() {
    let mut server = Fake {
        config: Config::default(),
        applied: Vec::new(),
    };
    let pairs: [(&[u8], &[u8]); 3] = [(b"maxmemory", b"5"), (b"port", b"1"), (b"hz", b"10")];
    let error = set(&mut server, &pairs, Permissions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "CONFIG SET failed (possibly related to argument 'port') - \
         Unable to listen on this port. Check server logs."
    );
    assert!(server.config == Config::default());
    let changed = vec!["maxmemory", "port"];
    assert_eq!(server.applied, [(1, changed.clone()), (6379, changed)]);

    server.applied.clear();
    set(&mut server, &[(b"hz", b"10")], Permissions::default()).unwrap();
    assert!(
        server.applied.is_empty(),
        "the same value again is no change"
    );
    set(
        &mut server,
        &[(b"tls-cert-file", b"")],
        Permissions::default(),
    )
    .unwrap();
    assert_eq!(
        server.applied.len(),
        1,
        "but a file may have another content"
    );
}

#[test]
fn odd_values_are_shown_in_one_way() {
    let cases = [
        ("maxmemory", "700mb", "734003200"),
        ("maxmemory-clients", "5%", "5%"),
        ("maxmemory-clients", "1mb", "1048576"),
        ("hz", "1000", "500"),
        ("hz", "0", "1"),
        ("oom-score-adj", "relative", "yes"),
        ("notify-keyspace-events", "KA", "AK"),
        ("notify-keyspace-events", "EA", "AE"),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("notify-keyspace-events", "$lshzxeKE", "$lshzxeKE"),
        ("notify-keyspace-events", "Kg$lshzxeE", "g$lshzxeKE"),
        ("notify-keyspace-events", "mtKEA", "AKEm"),
        (
            "latency-tracking-info-percentiles",
            "0.0 50.0 100.0",
            "0 50 100",
        ),
        ("latency-tracking-info-percentiles", "99.9", "99.9"),
        ("latency-tracking-info-percentiles", "", ""),
        (
            "shutdown-on-sigterm",
            "force now nosave",
            "nosave now force",
        ),
        ("cluster-slot-stats-enabled", "cpu", "cpu"),
        ("cluster-slot-stats-enabled", "mem cpu net", "yes"),
        ("bind", "", ""),
        ("save", "", ""),
        ("repl-backlog-size", "1k", "16384"),
        ("maxmemory-clients", "0%", "0"),
        ("masteruser", "a\0b", "a"),
        (
            "client-output-buffer-limit",
            "normal 1mb 2mb 60 replica 3mb 4mb 70",
            "normal 1048576 2097152 60 slave 3145728 4194304 70 pubsub 33554432 8388608 60",
        ),
    ];
    for (name, value, shown) in cases {
        assert_eq!(set_get(name, value).as_deref(), Ok(shown), "{name} {value}");
    }
}

#[test]
fn reasons_of_bad_values() {
    let limits = "client-output-buffer-limit";
    let cases = [
        (
            limits,
            "wrong number",
            "Wrong number of arguments in buffer limit configuration.",
        ),
        (
            limits,
            "master 1 1 1",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            limits,
            "normal 10mbs 1 1",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        (
            limits,
            "pubsub 1 1 60s",
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        (
            "oom-score-adj-values",
            "-2001 0 0",
            "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
        ),
        ("oom-score-adj-values", "1 2", "wrong number of arguments"),
        (
            "latency-tracking-info-percentiles",
            "50 a",
            "Invalid latency-tracking-info-percentiles parameters",
        ),
        (
            "latency-tracking-info-percentiles",
            "101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        (
            "proc-title-template",
            "{invalid}",
            "template format is invalid or contains unknown variables",
        ),
        (
            "proc-title-template",
            "{",
            "template format is invalid or contains unknown variables",
        ),
        (
            "proc-title-template",
            "{title}",
            "template format is invalid or contains unknown variables",
        ),
        (
            "cluster-announce-hostname",
            "a_b",
            "Hostnames may only contain alphanumeric characters, hyphens or dots",
        ),
        ("maxmemory", "1x", "argument must be a memory value"),
        (
            "maxmemory-clients",
            "x",
            "argument must be a memory or percent value",
        ),
        (
            "maxmemory-samples",
            "65",
            "argument must be between 1 and 64 inclusive",
        ),
        (
            "proto-max-bulk-len",
            "1",
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        (
            "notify-keyspace-events",
            "Q",
            "Invalid event class character. Use 'Ag$lshzxeKEtmdnocaSTIV'.",
        ),
        ("dir", "/does/not/exist", "No such file or directory"),
        ("dir", "/dev/null", "Not a directory"),
        ("save", "0 1", "Invalid save parameters"),
        (
            "array-slice-size",
            "3",
            "array-slice-size must be a power of two",
        ),
        (
            "bind",
            "1 2 3 4 5 6 7 8 9 a b c d e f 10 11",
            "Too many bind addresses specified.",
        ),
    ];
    for (name, value, expected) in cases {
        assert_eq!(reason(name, value), expected, "{name} {value}");
    }
    let long = "a".repeat(256);
    assert_eq!(
        reason("cluster-announce-hostname", &long),
        "Hostnames must be less than 256 characters"
    );
}

#[test]
fn a_title_template_fills_in_its_variables() {
    let value = |name: &str| match name {
        "title" => Some("oxidis".to_owned()),
        "server-mode" => Some(String::new()),
        _ => None,
    };
    let expand = |template| expand_title(template, value);
    assert_eq!(expand("{title} {server-mode}").as_deref(), Some("oxidis"));
    assert_eq!(expand("a {{b} {title}!").as_deref(), Some("a {b} oxidis!"));
    assert_eq!(expand("{nope}"), None);
    assert_eq!(expand("{title"), None);
}

#[test]
fn client_memory_as_bytes() {
    assert_eq!(ClientMemory::Bytes(0).limit_bytes(1000), None);
    assert_eq!(ClientMemory::Bytes(7).limit_bytes(0), Some(7));
    assert_eq!(ClientMemory::Percent(5).limit_bytes(1000), Some(50));
    assert_eq!(ClientMemory::Percent(5).limit_bytes(0), None);
    assert_eq!(
        ClientMemory::Percent(100).limit_bytes(u64::MAX),
        Some(u64::MAX)
    );
}

// Rewriting.

fn rewrite(config: &Config, old: &str) -> String {
    // The working directory is always written; it is not what these tests are about.
    let text = config.rewrite(old.as_bytes(), &Rewrite::default());
    let text = String::from_utf8(text).unwrap();
    let told = ["dir ", "save ", "latency-tracking-info-percentiles "];
    let lines = text
        .lines()
        .filter(|l| !told.iter().any(|t| l.starts_with(t)));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_rewrite_keeps_what_people_wrote() {
    let old = "# My cache.\n\n\n\nmaxmemory 1gb\n  # indented\nslave-priority 10\nport 7000\n\
               replica-priority 20\nfrobnicate yes\ninclude a.conf\nrename-command get ''\n\
               user alice on\nloadmodule x.so\n";
    let mut config = parse("maxmemory 2gb\nreplica-priority 10\nport 7000\ntimeout 60");
    config.sentinel = false;
    assert_eq!(
        rewrite(&config, old),
        "# My cache.\n\nmaxmemory 2gb\n# indented\nreplica-priority 10\nport 7000\n\
         \n# ??? frobnicate yes\ninclude a.conf\nrename-command get ''\nuser alice on\n\
         loadmodule x.so\n# Generated by CONFIG REWRITE\ntimeout 60\n"
    );
}

#[test]
fn a_rewrite_collapses_and_drops() {
    let config = Config::default();
    assert_eq!(
        rewrite(&config, "bind 1.2.3.4\nbind 5.6.7.8\ntimeout 60\n"),
        "\ntimeout 0\n# Generated by CONFIG REWRITE\n"
    );
    let config = parse("bind ''");
    let text = rewrite(&config, "bind 1.2.3.4\nbind 5.6.7.8\n");
    assert_eq!(text, "bind \"\"\n\n# Generated by CONFIG REWRITE\n");
    let config = parse("replicaof a 1");
    assert!(rewrite(&config, "slaveof b 2").starts_with("replicaof a 1\n"));
}

#[test]
fn a_rewrite_tells_no_save_from_the_default_save() {
    let text =
        |config: Config| String::from_utf8(config.rewrite(b"", &Rewrite::default())).unwrap();
    assert!(text(parse("save ''")).contains("\nsave \"\"\n"));
    assert!(text(Config::default()).contains("\nsave 3600 1\nsave 300 100\nsave 60 10000\n"));
    let shorter = parse("save 1 1").rewrite(b"save 9 9\nsave 8 8\nsave 7 7", &Rewrite::default());
    assert!(shorter.starts_with(b"save 1 1\n\n"));
}

#[test]
fn a_rewrite_says_users_and_modules_it_is_told() {
    let told = Rewrite {
        users: Some(vec![b"user default on nopass".to_vec()]),
        modules: Some(Vec::new()),
        ..Rewrite::default()
    };
    let text = Config::default().rewrite(b"user alice on\nuser bob on\nloadmodule x.so\n", &told);
    assert!(text.starts_with(b"user default on nopass\n\n# Generated"));
}

#[test]
fn a_rewritten_sentinel_keeps_its_own_lines_apart() {
    let config = Config {
        sentinel: true,
        ..Config::default()
    };
    let told = Rewrite {
        sentinel: Some(vec![
            (b"sentinel myid".to_vec(), b"sentinel myid 1".to_vec()),
            (
                b"sentinel monitor".to_vec(),
                b"sentinel monitor m 1.1.1.1 1 1".to_vec(),
            ),
        ]),
        ..Rewrite::default()
    };
    let old = b"sentinel monitor a 2.2.2.2 2 2\nsentinel monitor b 2.2.2.2 2 2\nsave 1 1\n";
    let text = String::from_utf8(config.rewrite(old, &told)).unwrap();
    assert!(
        text.starts_with("sentinel monitor m 1.1.1.1 1 1\n\n# Generated"),
        "{text}"
    );
    assert!(text.ends_with("sentinel myid 1\n"), "{text}");
}

#[test]
fn a_file_is_replaced_in_one_step() {
    let dir = Scratch::new("rewrite");
    let file = dir.file("x.conf", "# mine\nmaxmemory 1\n");
    let mut config = parse("maxmemory 5");
    assert!(
        config
            .rewrite_file(&Disk::machine(), &Rewrite::default())
            .is_err(),
        "no file, no rewrite"
    );
    config.file = Some(file.clone().into());
    config
        .rewrite_file(&Disk::machine(), &Rewrite::default())
        .unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# mine\nmaxmemory 5\n"), "{text}");
    assert_eq!(
        std::fs::read_dir(&dir.0).unwrap().count(),
        1,
        "nothing is left behind"
    );
    std::fs::remove_file(&file).unwrap();
    config
        .rewrite_file(&Disk::machine(), &Rewrite::default())
        .unwrap();
    assert!(parse(&std::fs::read_to_string(&file).unwrap()).maxmemory == 5);
    config.file = Some("/does/not/exist/x.conf".into());
    assert!(
        config
            .rewrite_file(&Disk::machine(), &Rewrite::default())
            .is_err()
    );
}

#[test]
fn a_crash_report_shows_some_options() {
    let text = String::from_utf8(Config::default().debug_lines()).unwrap();
    assert!(text.contains("lazyfree-lazy-expire no\n"));
    assert!(text.contains("io-threads 1\n"));
    assert!(!text.contains("requirepass"));
}

// The shipped file.

const SHIPPED: &str = include_str!("../../redis.conf");

/// The lines that show a directive, without their comment sign.
fn shown_lines() -> Vec<&'static str> {
    let lines = SHIPPED.lines();
    let lines = lines.map(|line| line.strip_prefix("# ").unwrap_or(line));
    let shown = lines.filter(|line| {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        // Not a sentence that happens to begin so.
        find(name.as_bytes()).is_some_and(|o| o.name == name) && !line.ends_with(['.', ',', ':'])
    });
    shown.collect()
}

#[test]
fn the_shipped_file_loads_and_changes_one_thing() {
    let config = parse(SHIPPED);
    assert_eq!(config.bind, ["127.0.0.1", "-::1"]);
    let default = Config {
        bind: Config::default().bind,
        ..config
    };
    assert!(default == Config::default());
}

#[test]
fn the_shipped_file_shows_every_option_and_its_default() {
    let lines = shown_lines();
    let default = Config::default();
    for option in OPTIONS.iter().filter(|o| !o.has(Flag::Hidden)) {
        let name = option.name;
        let own: Vec<&str> = lines
            .iter()
            .copied()
            .filter(|line| line.split(' ').next() == Some(name))
            .collect();
        assert!(!own.is_empty(), "{name} is missing");
        let text = own.join("\n");
        if option.show(&default).is_empty() || matches!(name, "bind" | "dir") {
            if !name.contains("file") {
                parse(&text);
            }
            continue;
        }
        assert!(parse(&text) == default, "{text}");
    }
}

#[test]
fn the_shipped_file_says_what_has_no_effect() {
    for option in OPTIONS.iter().filter(|o| o.no_effect().is_some()) {
        if option.has(Flag::Hidden) {
            continue;
        }
        let at = SHIPPED.find(&format!("\n# {} ", option.name)).unwrap();
        let section = SHIPPED[..at].rfind("\n####").unwrap();
        assert!(
            SHIPPED[section..at].contains("[no effect]"),
            "{}",
            option.name
        );
    }
}
