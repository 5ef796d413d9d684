//! The message by which sentinels find each other, and tell where the primary is.
//!
//! Every sentinel publishes one to `__sentinel__:hello` on the primary and on each replica, every two seconds, and
//! sends the same as a PUBLISH to each other sentinel it knows:
//!
//! ```text
//!   10.0.0.5,26379,<40 hex digits>,7,mymaster,10.0.0.1,6379,7
//!   └ who speaks ─────────────────┘ │ └ group ┘ └ primary ─┘ └ config epoch of that address
//!                                   └ current epoch of who speaks
//! ```
//!
//! Mirrors: sentinelSendHello(), sentinelProcessHelloMessage() of sentinel.c (the format; what follows from a message is
//! in `discovery.rs`).
//! Differs: a message whose numbers are no numbers is ignored, where Redis reads them as 0.

use std::fmt;

/// The channel.
pub const CHANNEL: &str = "__sentinel__:hello";
/// Bytes of a hello at most; a longer message is ignored.
const LONGEST: usize = 1024;
/// Hexadecimal digits of a run id.
pub const RUN_ID_LEN: usize = 40;

/// A hello message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The address that the sentinel announces.
    pub ip: String,
    pub port: u16,
    pub run_id: String,
    /// The sentinel's current epoch.
    pub epoch: u64,
    /// The group's name.
    pub group: String,
    /// The primary's address, a host name where names are announced.
    pub primary_host: String,
    pub primary_port: u16,
    /// The config epoch of that address: who has the greatest is right.
    pub config_epoch: u64,
}

impl Hello {
    /// Reads a message; none if it is not eight fields of the right kind. O(bytes).
    pub fn parse(message: &[u8]) -> Option<Hello> {
        let text = std::str::from_utf8(message).ok()?;
        if text.len() > LONGEST {
            return None;
        }
        let mut fields = text.split(',');
        let mut next = || fields.next();
        let hello = Hello {
            ip: next()?.to_owned(),
            port: next()?.parse().ok()?,
            run_id: next()?.to_owned(),
            epoch: next()?.parse().ok()?,
            group: next()?.to_owned(),
            primary_host: next()?.to_owned(),
            primary_port: next()?.parse().ok()?,
            config_epoch: next()?.parse().ok()?,
        };
        let whole = fields.next().is_none();
        let plain = |text: &str| !text.is_empty() && !text.bytes().any(|b| b.is_ascii_control());
        let named = is_run_id(&hello.run_id) && plain(&hello.ip) && plain(&hello.primary_host);
        (whole && named).then_some(hello)
    }
}

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{},{},{},{},{},{},{},{}",
            self.ip,
            self.port,
            self.run_id,
            self.epoch,
            self.group,
            self.primary_host,
            self.primary_port,
            self.config_epoch
        )
    }
}

/// Whether a word can be the run id of a server.
pub fn is_run_id(word: &str) -> bool {
    word.len() == RUN_ID_LEN && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_message_is_read_as_it_is_written() {
        let text = format!("10.0.0.5,26379,{ID},7,m,db.example,6379,6");
        let hello = Hello::parse(text.as_bytes()).expect("eight fields");
        assert_eq!(hello.to_string(), text);
        assert_eq!((hello.epoch, hello.config_epoch), (7, 6));
    }

    #[test]
    fn nonsense_is_no_message() {
        let bad = [
            String::new(),
            ",,,,,,,".into(),
            format!("1.1.1.1,26379,{ID},7,m,2.2.2.2,6379"),
            format!("1.1.1.1,26379,{ID},7,m,2.2.2.2,6379,6,more"),
            format!("1.1.1.1,99999,{ID},7,m,2.2.2.2,6379,6"),
            format!("1.1.1.1,26379,{ID},-1,m,2.2.2.2,6379,6"),
            format!("1.1.1.1,26379,{}!,7,m,2.2.2.2,6379,6", &ID[1..]),
            format!("1.1.1.1\n,26379,{ID},7,m,2.2.2.2,6379,6"),
            format!("1.1.1.1,26379,{ID},7,m,{},6379,6", "x".repeat(LONGEST)),
        ];
        for message in bad {
            assert_eq!(Hello::parse(message.as_bytes()), None, "{message:?}");
        }
    }
}
