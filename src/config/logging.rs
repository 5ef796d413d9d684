//! The log as the configuration wants it.
//!
//! Mirrors: the log options of config.c and `serverLogRaw()` (server.c), which reads them at every line.

use super::Config;
use crate::sys::log::{Logger, Role, Target};

impl Config {
    /// Opens the server's log. Lines before the server has a role are marked as a child's.
    pub fn open_log(&self) -> Logger {
        let target = match self.logfile.as_str() {
            "" => Target::Stdout,
            file => Target::File(self.dir.join(file)),
        };
        let log = Logger::new(target);
        if self.syslog_enabled {
            log.set_syslog(Some((&self.syslog_ident, self.syslog_facility)));
        }
        if self.sentinel {
            log.set_role(Role::Sentinel);
        }
        self.tune_log(&log);
        log
    }

    /// Makes a log follow `loglevel` and `log-format`.
    pub fn tune_log(&self, log: &Logger) {
        log.set_level(self.loglevel);
        log.set_format(self.log_format);
    }
}
