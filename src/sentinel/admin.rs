//! Changes that an operator makes while a sentinel runs: SENTINEL SET, REMOVE, RESET, CONFIG SET and their kin.
//!
//! A change asks for the file to be saved ([`Core::flush`]); the answer to the operator is held until it is.
//!
//! Mirrors: sentinelSetCommand(), sentinelConfigSetCommand(), sentinelConfigGetCommand(), sentinelSetDebugConfigParameters()
//! of sentinel.c.
//! Differs: a value with control characters is refused where it would stand in an event or be a path (redis 14970).

use super::directives::{is_plain, some};
use super::instance::Kind;
use super::{Address, Channel, Core, Group, Level, Sentinel};
use crate::util::glob::{self, Case};
use crate::util::num::parse_i64;

/// Why a change is refused: the line for the client, without `ERR `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl<T: Into<String>> From<T> for Refusal {
    fn from(text: T) -> Refusal {
        Refusal(text.into())
    }
}

const NO_SUCH_GROUP: &str = "No such master with that name";
const SCRIPTS_DENIED: &str = "Reconfiguration of scripts path is denied for security reasons. Check the \
    deny-scripts-reconfig configuration directive in your Sentinel configuration";

/// The options of SENTINEL CONFIG, in the order in which CONFIG GET lists them; `loglevel` belongs to the server.
pub const OPTIONS: [&str; 7] = [
    "resolve-hostnames",
    "announce-hostnames",
    "announce-ip",
    "announce-port",
    "sentinel-user",
    "sentinel-pass",
    "loglevel",
];

impl Sentinel {
    /// SENTINEL MONITOR: begins to watch a group, and says so.
    pub fn monitor_now(
        &mut self,
        name: &str,
        address: Address,
        quorum: u32,
    ) -> Result<(), Refusal> {
        self.monitor(name, address, quorum)?;
        self.announce_group(name);
        Ok(())
    }

    /// The `+monitor` event of a group.
    fn announce_group(&mut self, name: &str) {
        if let Some(group) = self.groups.get(name) {
            let more = format!("quorum {}", group.quorum);
            self.core
                .event_of_group(Level::Warning, "+monitor", group, &more);
        }
    }

    /// Says which groups are watched: at start.
    #[doc(alias = "sentinelGenerateInitialMonitorEvents")]
    pub fn announce_groups(&mut self) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        names.iter().for_each(|name| self.announce_group(name));
    }

    /// SENTINEL REMOVE: stops watching a group.
    pub fn remove(&mut self, name: &str) -> Result<(), Refusal> {
        let group = self.groups.remove(name).ok_or(NO_SUCH_GROUP)?;
        self.core
            .event_of_group(Level::Warning, "-monitor", &group, "");
        self.core.forget(group);
        self.core.changed();
        Ok(())
    }

    /// SENTINEL RESET: forgets what is known of the groups whose names match; how many those are.
    pub fn reset_matching(&mut self, pattern: &[u8]) -> usize {
        let matching = |name: &&String| glob::matches(pattern, name.as_bytes(), Case::Sensitive);
        let names: Vec<String> = self.groups.keys().filter(matching).cloned().collect();
        names.iter().for_each(|name| self.reset_group(name));
        names.len()
    }

    /// SENTINEL SET: changes options of a group, one by one. Options before one that is refused stay changed.
    #[doc(alias = "sentinelSetCommand")]
    pub fn set(
        &mut self,
        name: &str,
        words: &[&str],
        is_executable: &dyn Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let Sentinel { core, groups } = self;
        let group = groups.get_mut(name).ok_or(NO_SUCH_GROUP)?;
        let mut words = words;
        while let Some((option, rest)) = words.split_first() {
            let lower = option.to_ascii_lowercase();
            let count = if lower == "rename-command" { 2 } else { 1 };
            let (Some(values), true) = (rest.get(..count), is_option(&lower)) else {
                return Err(Refusal(format!(
                    "Unknown option or number of arguments for SENTINEL SET '{option}'"
                )));
            };
            core.set_option(group, option, &lower, values, is_executable)?;
            let shown = match lower.as_str() {
                "auth-pass" => "******".to_owned(),
                _ => values.join(" "),
            };
            let more = format!("{option} {shown}");
            core.event_of_group(Level::Warning, "+set", group, &more);
            core.changed();
            words = &rest[count..];
        }
        Ok(())
    }

    /// The present value of an option of SENTINEL CONFIG; none for one that is not the sentinel's.
    pub fn option(&self, name: &str) -> Option<String> {
        let settings = &self.core.settings;
        let yes_no = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Some(match name {
            "resolve-hostnames" => yes_no(settings.resolve_hostnames),
            "announce-hostnames" => yes_no(settings.announce_hostnames),
            "announce-ip" => text(&settings.announce_ip),
            "announce-port" => settings.announce_port.to_string(),
            "sentinel-user" => text(&settings.user),
            "sentinel-pass" => text(&settings.pass),
            _ => return None,
        })
    }

    /// Whether a value may be given to an option of SENTINEL CONFIG.
    pub fn option_takes(name: &str, value: &str) -> bool {
        match name {
            "resolve-hostnames" | "announce-hostnames" => yes_no(value).is_some(),
            "announce-port" => {
                parse_i64(value.as_bytes()).is_some_and(|n| u16::try_from(n).is_ok())
            }
            "announce-ip" => value.is_empty() || is_plain(value),
            _ => true,
        }
    }

    /// Gives an option of SENTINEL CONFIG a value that [`Sentinel::option_takes`].
    pub fn set_config(&mut self, name: &str, value: &str) {
        let settings = &mut self.core.settings;
        match name {
            "resolve-hostnames" => settings.resolve_hostnames = yes_no(value) == Some(true),
            "announce-hostnames" => settings.announce_hostnames = yes_no(value) == Some(true),
            "announce-ip" => settings.announce_ip = some(value),
            "announce-port" => settings.announce_port = value.parse().unwrap_or(0),
            "sentinel-user" => settings.user = some(value),
            "sentinel-pass" => settings.pass = some(value),
            _ => {}
        }
        self.core.changed();
    }

    /// Drops the connections to other sentinels, which were made under another name or password.
    #[doc(alias = "sentinelDropConnections")]
    pub fn drop_peer_links(&mut self) {
        for group in self.groups.values() {
            for peer in group.peers.values() {
                self.core.close_channel(peer.link, Channel::Commands);
            }
        }
    }

    /// SENTINEL SIMULATE-FAILURE: ends the process at these stages of the next failover that it leads.
    pub fn simulate_failure(&mut self, after_election: bool, after_promotion: bool) {
        let core = &mut self.core;
        core.crash_after_election = after_election;
        core.crash_after_promotion = after_promotion;
        let stages = [
            (
                after_election,
                "being successfully elected as failover leader",
            ),
            (after_promotion, "promoting the selected replica to master"),
        ];
        for (_, stage) in stages.iter().filter(|(on, _)| *on) {
            let line = format!("Failure simulation: this Sentinel will crash after {stage}");
            core.log(Level::Warning, line);
        }
    }

    /// SENTINEL DEBUG: changes a period, in milliseconds.
    pub fn set_period(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let mut periods = self.core.periods.named();
        let known = periods
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((_, period)) = known else {
            return Err(Refusal(format!(
                "Unknown option or number of arguments for SENTINEL DEBUG '{name}'"
            )));
        };
        let ms = parse_i64(value.as_bytes()).filter(|ms| *ms > 0);
        **period =
            ms.ok_or_else(|| format!("Invalid argument '{value}' for SENTINEL DEBUG '{name}'"))?;
        Ok(())
    }
}

fn yes_no(word: &str) -> Option<bool> {
    match word {
        _ if word.eq_ignore_ascii_case("yes") => Some(true),
        _ if word.eq_ignore_ascii_case("no") => Some(false),
        _ => None,
    }
}

fn is_option(name: &str) -> bool {
    const KNOWN: &[&str] = &[
        "down-after-milliseconds",
        "failover-timeout",
        "parallel-syncs",
        "notification-script",
        "client-reconfig-script",
        "auth-pass",
        "auth-user",
        "quorum",
        "rename-command",
        "master-reboot-down-after-period",
        "primary-reboot-down-after-period",
    ];
    KNOWN.contains(&name)
}

impl Core {
    fn set_option(
        &mut self,
        group: &mut Group,
        option: &str,
        lower: &str,
        values: &[&str],
        is_executable: &dyn Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let value = values[0];
        let bad = |value: &str| format!("Invalid argument '{value}' for SENTINEL SET '{option}'");
        let at_least = |least: i64| {
            let n = parse_i64(value.as_bytes()).filter(|n| *n >= least);
            n.ok_or_else(|| bad(value))
        };
        let count = || Ok::<u32, Refusal>(u32::try_from(at_least(1)?).unwrap_or(u32::MAX));
        match lower {
            "down-after-milliseconds" => group.set_down_after(at_least(1)?),
            "failover-timeout" => group.failover_timeout = at_least(1)?,
            "parallel-syncs" => group.parallel_syncs = count()?,
            "quorum" => group.quorum = count()?,
            "master-reboot-down-after-period" | "primary-reboot-down-after-period" => {
                group.reboot_down_after = at_least(0)?;
            }
            "notification-script" | "client-reconfig-script" => {
                let notifies = lower == "notification-script";
                if self.settings.deny_scripts_reconfig {
                    return Err(SCRIPTS_DENIED.into());
                }
                if !value.is_empty() && (!is_plain(value) || !is_executable(value)) {
                    let what = match notifies {
                        true => "Notification",
                        false => "Client reconfiguration",
                    };
                    return Err(Refusal(format!(
                        "{what} script seems non existing or non executable"
                    )));
                }
                match notifies {
                    true => group.notification_script = some(value),
                    false => group.reconfig_script = some(value),
                }
            }
            "auth-pass" => {
                group.auth_pass = some(value);
                self.drop_server_links(group);
            }
            "auth-user" => {
                group.auth_user = some(value);
                self.drop_server_links(group);
            }
            _ => {
                let new = values[1];
                if let Some(wrong) = values.iter().find(|word| !is_plain(word)) {
                    return Err(Refusal(bad(wrong)));
                }
                let old = value.to_ascii_lowercase();
                group.renames.remove(&old);
                if !new.eq_ignore_ascii_case(&old) {
                    group.renames.insert(old, new.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Drops the connections to the servers of a group, which were made under another name or password.
    #[doc(alias = "dropInstanceConnections")]
    fn drop_server_links(&mut self, group: &Group) {
        let links: Vec<usize> = group
            .instances()
            .filter(|one| one.kind != Kind::Peer)
            .map(|one| one.link)
            .collect();
        for link in links {
            self.close_channel(link, Channel::Commands);
            self.close_channel(link, Channel::Pubsub);
        }
    }

    /// Gives up the links of a group that is gone.
    fn forget(&mut self, group: Group) {
        let links: Vec<usize> = group.instances().map(|one| one.link).collect();
        for link in links {
            self.release_link(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentinel::{Now, Output, Settings};

    fn sentinel() -> Sentinel {
        let mut sentinel = Sentinel::new("a".repeat(40), Settings::default(), 1, Now::default());
        sentinel
            .monitor_now("m", Address::new("10.0.0.1", 6379), 2)
            .expect("a new name");
        sentinel
    }

    fn set(sentinel: &mut Sentinel, words: &[&str]) -> Result<(), String> {
        let result = sentinel.set("m", words, &|path| path == "/bin/true");
        result.map_err(|refusal| refusal.0)
    }

    #[test]
    fn options_before_a_bad_one_stay_changed() {
        let mut it = sentinel();
        let words = ["quorum", "3", "failover-timeout", "0", "auth-pass", "x"];
        let refused = set(&mut it, &words);
        let text = "Invalid argument '0' for SENTINEL SET 'failover-timeout'";
        assert_eq!(refused, Err(text.to_owned()));
        let group = &it.groups["m"];
        assert_eq!((group.quorum, group.auth_pass.as_deref()), (3, None));
        let unknown = "Unknown option or number of arguments for SENTINEL SET 'rename-command'";
        assert_eq!(
            set(&mut it, &["rename-command", "ping"]),
            Err(unknown.into())
        );
        assert!(set(&mut it, &["notification-script", "/bin/true"]).is_err());
        it.core.settings.deny_scripts_reconfig = false;
        assert_eq!(set(&mut it, &["notification-script", "/bin/true"]), Ok(()));
        assert!(set(&mut it, &["notification-script", "/bin/other"]).is_err());
        assert_eq!(set(&mut it, &["auth-pass", "secret"]), Ok(()));
        let mut out = Vec::new();
        it.take_outputs(&mut out);
        let event = |text: &str| Output::Event {
            level: Level::Warning,
            name: "+set",
            text: format!("master m 10.0.0.1 6379 {text}"),
        };
        assert!(out.contains(&event("quorum 3")));
        assert!(out.contains(&event("auth-pass ******")));
        assert!(!format!("{out:?}").contains("secret"));
    }

    /// redis 14970: what was set at run time could write lines of its own into the file.
    #[test]
    fn no_value_breaks_out_of_its_line() {
        let mut it = sentinel();
        let evil = "x\nsentinel monitor other 1.1.1.1 1 1";
        assert!(it.monitor(evil, Address::new("10.0.0.1", 1), 1).is_err());
        assert!(set(&mut it, &["rename-command", "ping", evil]).is_err());
        assert_eq!(
            set(&mut it, &["auth-pass", evil, "auth-user", "a b"]),
            Ok(())
        );
        assert!(!Sentinel::option_takes("announce-ip", evil));
        it.set_config("sentinel-pass", evil);
        for (_, line) in it.lines() {
            assert!(!line.contains(&b'\n'), "{line:?}");
        }
    }

    #[test]
    fn a_group_removed_takes_its_links_with_it() {
        let mut it = sentinel();
        let mut out = Vec::new();
        it.step(Now::default(), crate::sentinel::Input::Tick, &mut out);
        assert_eq!(it.core.wires.len(), 2);
        it.remove("m").expect("it is there");
        assert!(it.core.wires.is_empty() && it.core.links.is_empty());
        assert_eq!(it.remove("m"), Err(NO_SUCH_GROUP.into()));
    }
}
