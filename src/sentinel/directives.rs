//! The `sentinel …` lines of the configuration file: read at start, written again whenever the state changes.
//!
//! Lines are applied in three passes, whatever their order in the file: our own id and options, then the groups
//! (`monitor`), then what belongs to a group or was learned at run time ([`pass`]).
//!
//! ```text
//!   sentinel myid 0e15…                          ours; drawn once, kept for ever
//!   sentinel monitor mymaster 10.0.0.1 6379 2    a group
//!   sentinel config-epoch mymaster 7             learned: the address above is of epoch 7
//!   sentinel leader-epoch mymaster 7             learned: we voted in epoch 7, so not again
//!   sentinel known-replica mymaster 10.0.0.2 6379
//!   sentinel current-epoch 7
//! ```
//!
//! Mirrors: sentinelHandleConfiguration(), rewriteConfigSentinelOption() of sentinel.c.
//! Differs: a value that would break out of its line (a blank, a quote, a control character) is quoted and escaped, and
//! names and addresses with control characters are refused (redis 14970).

use std::net::IpAddr;

use super::{Address, Group, Sentinel};
use crate::config::words::quote;
use crate::util::args::needs_repr;

/// A line of the file: the words it is found by, and the whole line.
pub type Line = (Vec<u8>, Vec<u8>);

/// In which pass a directive is applied: 0, 1 or 2. `words` are without the leading `sentinel`.
pub fn pass(words: &[Vec<u8>]) -> u8 {
    const FIRST: &[&str] = &[
        "announce-ip",
        "announce-port",
        "deny-scripts-reconfig",
        "sentinel-user",
        "sentinel-pass",
        "current-epoch",
        "myid",
        "resolve-hostnames",
        "announce-hostnames",
    ];
    let name = words.first().map(|name| name.to_ascii_lowercase());
    let name = name.unwrap_or_default();
    let first = FIRST.iter().any(|one| one.as_bytes() == name);
    match name.as_slice() {
        _ if first => 0,
        b"monitor" => 1,
        _ => 2,
    }
}

const UNRECOGNIZED: &str = "Unrecognized sentinel configuration statement.";
const NO_SUCH_GROUP: &str = "No such master with specified name.";

impl Sentinel {
    /// Applies one directive of the file. `is_executable` looks whether a script can be run; `resolve` looks a host name
    /// up. The error is the reason that stops the start.
    #[doc(alias = "sentinelHandleConfiguration")]
    pub fn apply(
        &mut self,
        words: &[Vec<u8>],
        is_executable: &dyn Fn(&str) -> bool,
        resolve: &dyn Fn(&str) -> Option<IpAddr>,
    ) -> Result<(), String> {
        let texts: Option<Vec<&str>> = words
            .iter()
            .map(|word| std::str::from_utf8(word).ok())
            .collect();
        let texts = texts.ok_or(UNRECOGNIZED)?;
        let Some((name, args)) = texts.split_first() else {
            return Err(UNRECOGNIZED.into());
        };
        let name = name.to_ascii_lowercase();
        match (name.as_str(), args) {
            ("monitor", [name, host, port, quorum]) => {
                let quorum = number(quorum).filter(|n| *n >= 1);
                let quorum = quorum.ok_or("Quorum must be 1 or greater.")?;
                let port = port.parse().map_err(|_| "Invalid port number.")?;
                let address = self.locate(host, port, resolve)?;
                self.monitor(name, address, quorum.try_into().unwrap_or(u32::MAX))
            }
            ("myid", [id]) => {
                if !super::hello::is_run_id(id) {
                    return Err("Malformed Sentinel id in myid option.".into());
                }
                self.core.my_id = (*id).to_owned();
                Ok(())
            }
            ("current-epoch", [epoch]) => {
                self.core.epoch = self.core.epoch.max(epoch.parse().unwrap_or(0));
                Ok(())
            }
            ("announce-ip", [ip]) => {
                self.core.settings.announce_ip = some(ip);
                Ok(())
            }
            ("announce-port", [port]) => {
                self.core.settings.announce_port = port.parse().unwrap_or(0);
                Ok(())
            }
            ("sentinel-user", [user]) => {
                self.core.settings.user = some(user);
                Ok(())
            }
            ("sentinel-pass", [pass]) => {
                self.core.settings.pass = some(pass);
                Ok(())
            }
            ("deny-scripts-reconfig" | "resolve-hostnames" | "announce-hostnames", [word]) => {
                let value = yes_no(word).ok_or_else(|| {
                    let what = if name == "deny-scripts-reconfig" {
                        "options"
                    } else {
                        "option"
                    };
                    format!("Please specify yes or no for the {name} {what}.")
                })?;
                let settings = &mut self.core.settings;
                match name.as_str() {
                    "deny-scripts-reconfig" => settings.deny_scripts_reconfig = value,
                    "resolve-hostnames" => settings.resolve_hostnames = value,
                    _ => settings.announce_hostnames = value,
                }
                Ok(())
            }
            (_, [group, rest @ ..]) => {
                self.apply_to_group(&name, group, rest, is_executable, resolve)
            }
            _ => Err(UNRECOGNIZED.into()),
        }
    }

    fn apply_to_group(
        &mut self,
        name: &str,
        group_name: &str,
        args: &[&str],
        is_executable: &dyn Fn(&str) -> bool,
        resolve: &dyn Fn(&str) -> Option<IpAddr>,
    ) -> Result<(), String> {
        const KNOWN: &[(&str, &[usize])] = &[
            ("down-after-milliseconds", &[1]),
            ("failover-timeout", &[1]),
            ("parallel-syncs", &[1]),
            ("notification-script", &[1]),
            ("client-reconfig-script", &[1]),
            ("auth-pass", &[1]),
            ("auth-user", &[1]),
            ("master-reboot-down-after-period", &[1]),
            ("primary-reboot-down-after-period", &[1]),
            ("rename-command", &[2]),
            ("config-epoch", &[1]),
            ("leader-epoch", &[1]),
            ("known-replica", &[2]),
            ("known-slave", &[2]),
            ("known-sentinel", &[2, 3]),
        ];
        let known = KNOWN.iter().find(|(one, _)| *one == name);
        if !known.is_some_and(|(_, counts)| counts.contains(&args.len())) {
            return Err(UNRECOGNIZED.into());
        }
        if !self.groups.contains_key(group_name) {
            return Err(NO_SUCH_GROUP.into());
        }
        match (name, args) {
            ("known-replica" | "known-slave", [host, port]) => {
                let port = port.parse().map_err(|_| "Invalid port number.")?;
                let address = self.locate(host, port, resolve)?;
                let Sentinel { core, groups } = self;
                let added = groups
                    .get_mut(group_name)
                    .is_some_and(|group| core.add_replica(group, &address));
                return added
                    .then_some(())
                    .ok_or_else(|| "Duplicate hostname and port for replica.".into());
            }
            // Without a run id it cannot be distinguished from others.
            ("known-sentinel", [_, _]) => return Ok(()),
            ("known-sentinel", [host, port, id]) => {
                let port = port.parse().map_err(|_| "Invalid port number.")?;
                let address = self.locate(host, port, resolve)?;
                return self
                    .add_peer(group_name, id, address)
                    .then_some(())
                    .ok_or_else(|| "Duplicate runid for sentinel.".into());
            }
            _ => {}
        }
        let Sentinel { core, groups } = self;
        let group = groups.get_mut(group_name).ok_or(NO_SUCH_GROUP)?;
        let value = args[0];
        let positive = || {
            number(value)
                .filter(|n| *n > 0)
                .ok_or("negative or zero time parameter.")
        };
        match name {
            "down-after-milliseconds" => group.set_down_after(positive()?),
            "failover-timeout" => group.failover_timeout = positive()?,
            "parallel-syncs" => group.parallel_syncs = value.parse().unwrap_or(0),
            "notification-script" if !is_executable(value) => {
                return Err("Notification script seems non existing or non executable.".into());
            }
            "notification-script" => group.notification_script = Some(value.into()),
            "client-reconfig-script" if !is_executable(value) => {
                let reason = "Client reconfiguration script seems non existing or non executable.";
                return Err(reason.into());
            }
            "client-reconfig-script" => group.reconfig_script = Some(value.into()),
            "auth-pass" => group.auth_pass = some(value),
            "auth-user" => group.auth_user = some(value),
            "master-reboot-down-after-period" | "primary-reboot-down-after-period" => {
                let ms = number(value).filter(|n| *n >= 0);
                group.reboot_down_after = ms.ok_or("negative time parameter.")?;
            }
            "rename-command" => {
                let old = value.to_ascii_lowercase();
                if group.renames.insert(old, args[1].into()).is_some() {
                    return Err("Same command renamed multiple times with rename-command.".into());
                }
            }
            "config-epoch" => {
                group.config_epoch = value.parse().unwrap_or(0);
                core.epoch = core.epoch.max(group.config_epoch);
            }
            "leader-epoch" => group.leader_epoch = value.parse().unwrap_or(0),
            _ => return Err(UNRECOGNIZED.into()),
        }
        Ok(())
    }

    fn locate(
        &self,
        host: &str,
        port: u16,
        resolve: &dyn Fn(&str) -> Option<IpAddr>,
    ) -> Result<Address, String> {
        let mut address = Address::new(host, port);
        let blank = host.contains(' ');
        if !is_plain(host)
            || blank
            || (address.ip.is_none() && !self.core.settings.resolve_hostnames)
        {
            return Err("Can't resolve instance hostname.".into());
        }
        if address.ip.is_none() {
            // Without an answer the name is looked up again before each connection.
            address.ip = resolve(host);
        }
        Ok(address)
    }

    /// Begins to watch a primary. The error is Redis's reason.
    pub fn monitor(&mut self, name: &str, address: Address, quorum: u32) -> Result<(), String> {
        if self.groups.contains_key(name) {
            return Err("Duplicate master name.".into());
        }
        if !is_plain(name) {
            return Err("Invalid master name.".into());
        }
        let group = Group::new(&mut self.core, name, address, quorum);
        self.groups.insert(name.to_owned(), group);
        self.core.changed();
        Ok(())
    }

    /// The lines that the file is to hold, in the order in which Redis writes them.
    #[doc(alias = "rewriteConfigSentinelOption")]
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Lines::default();
        let core = &self.core;
        let settings = &core.settings;
        lines.add(&["myid", &core.my_id]);
        let yes = |value: bool| if value { "yes" } else { "no" };
        if !settings.deny_scripts_reconfig {
            lines.add(&["deny-scripts-reconfig", yes(false)]);
        }
        if settings.resolve_hostnames {
            lines.add(&["resolve-hostnames", yes(true)]);
        }
        if settings.announce_hostnames {
            lines.add(&["announce-hostnames", yes(true)]);
        }
        for group in self.groups.values() {
            self.group_lines(group, &mut lines);
        }
        lines.add(&["current-epoch", &core.epoch.to_string()]);
        if let Some(ip) = &settings.announce_ip {
            lines.add(&["announce-ip", ip]);
        }
        if settings.announce_port != 0 {
            lines.add(&["announce-port", &settings.announce_port.to_string()]);
        }
        if let Some(user) = &settings.user {
            lines.add(&["sentinel-user", user]);
        }
        if let Some(pass) = &settings.pass {
            lines.add(&["sentinel-pass", pass]);
        }
        lines.0
    }

    fn group_lines(&self, group: &Group, lines: &mut Lines) {
        let core = &self.core;
        let name = group.name.as_str();
        let address = group.current_address();
        let (host, port) = (address.announced(core), address.port.to_string());
        lines.add(&["monitor", name, &host, &port, &group.quorum.to_string()]);
        let periods = &core.periods;
        let down_after = group.primary.down_after;
        let numbers = [
            (
                "down-after-milliseconds",
                down_after,
                periods.default_down_after,
            ),
            (
                "failover-timeout",
                group.failover_timeout,
                periods.default_failover_timeout,
            ),
            ("parallel-syncs", i64::from(group.parallel_syncs), 1),
        ];
        for (option, value, default) in numbers {
            if value != default {
                lines.add(&[option, name, &value.to_string()]);
            }
        }
        let texts = [
            ("notification-script", &group.notification_script),
            ("client-reconfig-script", &group.reconfig_script),
            ("auth-pass", &group.auth_pass),
            ("auth-user", &group.auth_user),
        ];
        for (option, value) in texts {
            if let Some(value) = value {
                lines.add(&[option, name, value]);
            }
        }
        if group.reboot_down_after != 0 {
            let ms = group.reboot_down_after.to_string();
            lines.add(&["master-reboot-down-after-period", name, &ms]);
        }
        lines.add(&["config-epoch", name, &group.config_epoch.to_string()]);
        lines.add(&["leader-epoch", name, &group.leader_epoch.to_string()]);
        for one in group.replicas.values() {
            // The promoted replica is the primary here; the old primary takes its place.
            let of = match one.address.is(address) {
                true => &group.primary.address,
                false => &one.address,
            };
            lines.add(&[
                "known-replica",
                name,
                &of.announced(core),
                &of.port.to_string(),
            ]);
        }
        for (id, peer) in &group.peers {
            let of = &peer.address;
            lines.add(&[
                "known-sentinel",
                name,
                &of.announced(core),
                &of.port.to_string(),
                id,
            ]);
        }
        for (old, new) in &group.renames {
            lines.add(&["rename-command", name, old, new]);
        }
    }
}

#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, words: &[&str]) {
        let mut line = b"sentinel".to_vec();
        for word in words {
            line.push(b' ');
            match word.is_empty() || needs_repr(word.as_bytes()) {
                true => line.extend(quote(word.as_bytes())),
                false => line.extend_from_slice(word.as_bytes()),
            }
        }
        self.0
            .push((format!("sentinel {}", words[0]).into_bytes(), line));
    }
}

fn number(text: &str) -> Option<i64> {
    crate::util::num::parse_i64(text.as_bytes())
}

fn yes_no(word: &str) -> Option<bool> {
    match word {
        _ if word.eq_ignore_ascii_case("yes") => Some(true),
        _ if word.eq_ignore_ascii_case("no") => Some(false),
        _ => None,
    }
}

/// Whether a name or an address can stand in a line of the file and in an event without breaking it.
pub(super) fn is_plain(word: &str) -> bool {
    !word.is_empty() && !word.bytes().any(|byte| byte.is_ascii_control())
}

/// An empty word means that there is none.
pub(super) fn some(word: &str) -> Option<String> {
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentinel::{Now, Settings};
    use crate::util::{args, rng::Rng};

    fn sentinel() -> Sentinel {
        Sentinel::new("a".repeat(40), Settings::default(), 1, Now::default())
    }

    fn apply(sentinel: &mut Sentinel, line: &[u8]) -> Result<(), String> {
        let words = args::split(line).map_err(|_| "unbalanced".to_owned())?;
        sentinel.apply(&words, &|path| path == "/bin/true", &|_| None)
    }

    #[test]
    fn a_line_that_cannot_be_is_refused_with_redis_reason() {
        let mut it = sentinel();
        let mut say = |line: &str| apply(&mut it, line.as_bytes());
        assert_eq!(say("monitor m 10.0.0.1 6379 2"), Ok(()));
        let bad = [
            ("monitor m 10.0.0.1 6379 2", "Duplicate master name."),
            ("monitor n 10.0.0.1 6379 0", "Quorum must be 1 or greater."),
            ("monitor n 10.0.0.1 65536 1", "Invalid port number."),
            ("monitor n host 6379 1", "Can't resolve instance hostname."),
            (
                "down-after-milliseconds m 0",
                "negative or zero time parameter.",
            ),
            ("failover-timeout m x", "negative or zero time parameter."),
            (
                "master-reboot-down-after-period m -1",
                "negative time parameter.",
            ),
            (
                "notification-script m /bin/none",
                "Notification script seems non existing or non executable.",
            ),
            (
                "client-reconfig-script m /bin/none",
                "Client reconfiguration script seems non existing or non executable.",
            ),
            ("myid short", "Malformed Sentinel id in myid option."),
            (
                "deny-scripts-reconfig maybe",
                "Please specify yes or no for the deny-scripts-reconfig options.",
            ),
            (
                "resolve-hostnames maybe",
                "Please specify yes or no for the resolve-hostnames option.",
            ),
            ("quorum m 2", UNRECOGNIZED),
            ("parallel-syncs m", UNRECOGNIZED),
            ("parallel-syncs n 1", NO_SUCH_GROUP),
        ];
        for (line, reason) in bad {
            assert_eq!(say(line), Err(reason.to_owned()), "{line}");
        }
        assert_eq!(say("rename-command m ping pong"), Ok(()));
        assert!(say("rename-command m PING pung").is_err());
        assert_eq!(say("known-replica m 10.0.0.2 1"), Ok(()));
        assert!(say("known-slave m 10.0.0.2 1").is_err());
        let peer = format!("known-sentinel m 10.0.0.3 1 {}", "b".repeat(40));
        assert_eq!(say(&peer), Ok(()));
        assert!(say(&peer).is_err());
    }

    /// The lines that a sentinel writes make the same sentinel, whatever is in them.
    #[test]
    fn lines_are_read_as_they_were_written() {
        const SHAPES: [&str; 14] = [
            "monitor % 10.0.0.# # #",
            "monitor % host% # 2",
            "down-after-milliseconds % #",
            "auth-pass % %",
            "auth-user % %",
            "sentinel-pass %",
            "sentinel-user %",
            "rename-command % % %",
            "known-replica % 10.0.1.# #",
            "known-sentinel % 10.0.2.# # ################",
            "announce-ip %",
            "announce-hostnames yes",
            "resolve-hostnames yes",
            "config-epoch % #",
        ];
        const WORDS: [&[u8]; 8] = [
            b"m",
            b"n",
            b"m",
            b"a b",
            b"x\ny",
            b"\"",
            b"",
            "\u{e4}".as_bytes(),
        ];
        for seed in 0..300 {
            let (mut rng, mut it) = (Rng::new(seed), sentinel());
            for _ in 0..30 {
                let shape = SHAPES[rng.below(14) as usize];
                let words: Vec<Vec<u8>> = shape
                    .split(' ')
                    .map(|word| match word {
                        "%" => WORDS[rng.below(8) as usize].to_vec(),
                        _ if word.len() == 16 => vec![b'a' + rng.below(20) as u8; 40],
                        _ => word.replace('#', &rng.below(250).to_string()).into_bytes(),
                    })
                    .collect();
                // Many are refused.
                let _ = it.apply(&words, &|_| true, &|_| None);
            }
            let lines = it.lines();
            let mut words: Vec<Vec<Vec<u8>>> = lines
                .iter()
                .map(|(_, line)| args::split(line).expect("one line")[1..].to_vec())
                .collect();
            words.sort_by_key(|words| pass(words));
            let mut again = sentinel();
            for words in &words {
                let read = again.apply(words, &|_| true, &|_| None);
                assert_eq!(read, Ok(()), "seed {seed}: {words:?}");
            }
            assert_eq!(again.lines(), lines, "seed {seed}");
        }
    }
}
