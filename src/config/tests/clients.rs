//! CONFIG GET and CONFIG SET.

use super::*;

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
