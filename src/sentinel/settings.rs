//! The options an operator sets for a sentinel, and the periods that tests may change.
//!
//! Mirrors: the globals and `struct sentinelState` of sentinel.c that are configuration.

use super::Ms;

/// Options of the whole sentinel.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The port that clients connect to; announced unless another is.
    pub port: u16,
    /// `sentinel announce-ip`, `announce-port`.
    pub announce_ip: Option<String>,
    pub announce_port: u16,
    /// `sentinel sentinel-user`, `sentinel-pass`: how to log in at other sentinels.
    pub user: Option<String>,
    pub pass: Option<String>,
    /// `requirepass`, which other sentinels want unless `sentinel-pass` says otherwise.
    pub requirepass: Option<String>,
    /// Scripts may not be changed at run time.
    pub deny_scripts_reconfig: bool,
    /// Host names may stand in the place of addresses.
    pub resolve_hostnames: bool,
    /// Host names are announced in the place of addresses.
    pub announce_hostnames: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            port: 26379,
            announce_ip: None,
            announce_port: 0,
            user: None,
            pass: None,
            requirepass: None,
            deny_scripts_reconfig: true,
            resolve_hostnames: false,
            announce_hostnames: false,
        }
    }
}

/// Periods in milliseconds, and two bounds; `SENTINEL DEBUG` changes them.
#[derive(Clone, Debug)]
pub struct Periods {
    pub info: Ms,
    pub ping: Ms,
    pub ask: Ms,
    pub publish: Ms,
    pub default_down_after: Ms,
    pub default_failover_timeout: Ms,
    pub tilt_trigger: Ms,
    pub tilt: Ms,
    pub slave_reconf_timeout: Ms,
    pub min_link_reconnect: Ms,
    pub election_timeout: Ms,
    pub script_max_runtime: Ms,
    pub script_retry_delay: Ms,
}

impl Default for Periods {
    fn default() -> Periods {
        Periods {
            info: 10_000,
            ping: 1000,
            ask: 1000,
            publish: 2000,
            default_down_after: 30_000,
            default_failover_timeout: 180_000,
            tilt_trigger: 2000,
            tilt: 30_000,
            slave_reconf_timeout: 10_000,
            min_link_reconnect: 15_000,
            election_timeout: 10_000,
            script_max_runtime: 60_000,
            script_retry_delay: 30_000,
        }
    }
}

impl Periods {
    /// The names that `SENTINEL DEBUG` uses, each with its value, in its order.
    pub fn named(&mut self) -> [(&'static str, &mut Ms); 13] {
        [
            ("INFO-PERIOD", &mut self.info),
            ("PING-PERIOD", &mut self.ping),
            ("ASK-PERIOD", &mut self.ask),
            ("PUBLISH-PERIOD", &mut self.publish),
            ("DEFAULT-DOWN-AFTER", &mut self.default_down_after),
            (
                "DEFAULT-FAILOVER-TIMEOUT",
                &mut self.default_failover_timeout,
            ),
            ("TILT-TRIGGER", &mut self.tilt_trigger),
            ("TILT-PERIOD", &mut self.tilt),
            ("SLAVE-RECONF-TIMEOUT", &mut self.slave_reconf_timeout),
            ("MIN-LINK-RECONNECT-PERIOD", &mut self.min_link_reconnect),
            ("ELECTION-TIMEOUT", &mut self.election_timeout),
            ("SCRIPT-MAX-RUNTIME", &mut self.script_max_runtime),
            ("SCRIPT-RETRY-DELAY", &mut self.script_retry_delay),
        ]
    }
}
