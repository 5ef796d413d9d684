//! The reply of a server to INFO, as far as a sentinel reads it.
//!
//! ```text
//!   run_id:5d0f…                                        who answers; another one than before: it was restarted
//!   role:master                                         or slave
//!   slave0:ip=10.0.0.2,port=6379,state=online,…         of a primary: its replicas
//!   master_host:10.0.0.1                                of a replica: whom it follows, and how well
//! ```
//!
//! A line that cannot be understood is left out; the server is not trusted to send whole lines, or numbers where numbers
//! belong.
//!
//! Mirrors: the first half of sentinelRefreshInstanceInfo() of sentinel.c.
//! Differs: reading is parted from acting, so that any bytes can be tried on it.

use super::hello::is_run_id;

/// Replicas taken from one report at most: a server that lists more is not believed.
const MOST_REPLICAS: usize = 4096;

/// The role a server says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Replica,
}

impl Role {
    /// The word in INFO.
    pub fn word(self) -> &'static str {
        match self {
            Role::Primary => "master",
            Role::Replica => "slave",
        }
    }
}

/// A server's report about itself. A field is `None` where the report has no such line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub run_id: Option<String>,
    pub role: Option<Role>,
    /// Addresses of replicas, as a primary lists them.
    pub replicas: Vec<(String, u16)>,
    /// Milliseconds since the link of a replica to its primary went down; 0 while it is up.
    pub link_down_ms: i64,
    pub primary_host: Option<String>,
    pub primary_port: Option<u16>,
    pub link_up: Option<bool>,
    pub priority: Option<u32>,
    pub offset: Option<u64>,
    pub announced: Option<bool>,
    /// The server knows FAILOVER: its INFO has the line `master_failover_state`.
    pub knows_failover: bool,
}

impl Report {
    /// Reads the text of an INFO reply. O(bytes).
    pub fn parse(text: &[u8]) -> Report {
        let mut report = Report::default();
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            if let Some((name, value)) = line.split_once(':') {
                report.take(name, value);
            }
        }
        report
    }

    fn take(&mut self, name: &str, value: &str) {
        let replica = self.role == Some(Role::Replica);
        match name {
            "run_id" => {
                let id = value.get(..40).filter(|id| is_run_id(id));
                self.run_id = id.map(str::to_owned);
            }
            "role" => {
                self.role = match value {
                    "master" => Some(Role::Primary),
                    "slave" => Some(Role::Replica),
                    _ => self.role,
                }
            }
            "master_link_down_since_seconds" => {
                let seconds: i64 = value.parse().unwrap_or(0);
                self.link_down_ms = seconds.saturating_mul(1000).max(0);
            }
            "master_failover_state" => self.knows_failover = true,
            // The lines of the link come after the role; before it they are somebody else's.
            "master_host" if replica => self.primary_host = Some(value.to_owned()),
            "master_port" if replica => self.primary_port = value.parse().ok(),
            "master_link_status" if replica => self.link_up = Some(value == "up"),
            "slave_priority" if replica => self.priority = value.parse().ok(),
            "slave_repl_offset" if replica => self.offset = value.parse().ok(),
            "replica_announced" if replica => self.announced = Some(value != "0"),
            _ => {
                let listed = name.strip_prefix("slave").is_some_and(|number| {
                    number
                        .bytes()
                        .next()
                        .is_some_and(|byte| byte.is_ascii_digit())
                });
                if listed && self.replicas.len() < MOST_REPLICAS {
                    self.replicas.extend(listed_replica(value));
                }
            }
        }
    }
}

/// The address in `ip=…,port=…,…`, or in `ip,port,state` as servers before 2.8 wrote it.
fn listed_replica(value: &str) -> Option<(String, u16)> {
    let (host, port) = if value.contains("ip=") {
        let field = |name: &str| {
            let mut fields = value.split(',');
            fields.find_map(|field| field.strip_prefix(name))
        };
        (field("ip=")?, field("port=")?)
    } else {
        let mut fields = value.split(',');
        (fields.next()?, fields.next()?)
    };
    let port = port.parse().ok()?;
    let plain = !host.is_empty() && !host.bytes().any(|b| b <= b' ' || b == 0x7f);
    plain.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_lists_its_replicas() {
        let text = b"# Server\r\nrun_id:0123456789abcdef0123456789abcdef01234567\r\n# Replication\r\nrole:master\r\n\
            connected_slaves:3\r\nslave0:ip=10.0.0.2,port=6380,state=online,offset=5,lag=0\r\n\
            slave10:10.0.0.3,6381,online\r\nslave2:ip=x,port=y\r\nslave_priority:7\r\n";
        let report = Report::parse(text);
        assert_eq!(report.role, Some(Role::Primary));
        assert_eq!(report.run_id.as_deref().map(str::len), Some(40));
        let replicas = [("10.0.0.2".to_owned(), 6380), ("10.0.0.3".to_owned(), 6381)];
        assert_eq!(report.replicas, replicas);
        assert_eq!(report.priority, None);
    }

    #[test]
    fn a_replica_tells_of_its_link() {
        let text = b"role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\n\
            master_link_down_since_seconds:12\r\nslave_priority:0\r\nslave_repl_offset:99\r\nreplica_announced:0\r\n";
        let report = Report::parse(text);
        assert_eq!(report.primary_host.as_deref(), Some("10.0.0.1"));
        assert_eq!(report.primary_port, Some(6379));
        assert_eq!((report.link_up, report.link_down_ms), (Some(false), 12_000));
        assert_eq!((report.priority, report.offset), (Some(0), Some(99)));
        assert_eq!(report.announced, Some(false));
    }

    /// Sentinels ended on odd INFO replies (redis 3737, 8012, 8691).
    #[test]
    fn odd_replies_do_no_harm() {
        let odd: [&[u8]; 6] = [
            b"",
            b"role:",
            b"slave0:\nslave1:ip=\nslave2:ip=a,port=\nslave",
            b"run_id:short\nrole:slave\nmaster_port:-1\nslave_priority:x",
            b"\xff\xfe:\x00\nrole:slave\nmaster_link_down_since_seconds:-9223372036854775808",
            b"master_link_down_since_seconds:9223372036854775807",
        ];
        for text in odd {
            let report = Report::parse(text);
            assert!(report.replicas.is_empty() && report.link_down_ms >= 0);
        }
        let long = b"slave0:ip=a,port=1\n".repeat(MOST_REPLICAS * 2);
        assert_eq!(Report::parse(&long).replicas.len(), MOST_REPLICAS);
    }
}
