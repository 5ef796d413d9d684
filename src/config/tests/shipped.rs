//! `redis.conf` as it is shipped: it shows every option and its default.

use super::*;

const SHIPPED: &str = include_str!("../../../redis.conf");

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
