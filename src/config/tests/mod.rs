//! The configuration as files, arguments and clients see it.

mod arguments;
mod clients;
mod lines;
mod rewriting;
mod shipped;

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
