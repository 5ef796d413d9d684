//! Arguments of the command line, which become lines.

use super::*;

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
