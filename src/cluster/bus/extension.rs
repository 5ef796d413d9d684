//! Extensions of PING, PONG and MEET: facts about their sender beyond the header.
//!
//! ```text
//!   u32 length   u16 number   u16 zero   data, padded with zeros      the length counts all of it, a multiple of 8
//!   00 00 00 18  00 00        00 00      "node-1.example\0" + 1 zero
//! ```
//!
//! Redis and Valkey gave number 4 to two things: Redis 8.0 the shared secret of internal connections, forty bytes;
//! Valkey 8.0 the IPv4 address for clients, a text of at most sixteen bytes. A record is a secret here only if it is
//! forty bytes long *and* its sender shows none of Valkey's capability bits; so neither is ever taken for the other.
//!
//! Mirrors: `clusterMsgPingExt`, `writePingExt`, `clusterProcessPingExtensions` (cluster_legacy.c).
//! Differs: FORGOTTEN_NODE is handed on as a value and acted upon after the message; in Redis it could free the node,
//! the link and the buffer that were being read (redis 15672).

use super::{Kind, Refused};
use crate::cluster::id::{ID_LEN, NodeId};

/// Bytes before an extension's data.
pub(super) const HEAD_LEN: usize = 8;

/// Bytes of the secret that nodes of Redis 8 share.
pub const SECRET_LEN: usize = 40;

const HOSTNAME: u16 = 0;
const NODENAME: u16 = 1;
const FORGOTTEN: u16 = 2;
const SHARD: u16 = 3;
const SECRET: u16 = 4;

/// Flags that only Valkey sets on itself: light headers for PUBLISH and MODULE, "my primary failed".
const VALKEY_FLAGS: u16 = 1 << 11 | 1 << 12 | 1 << 13;

/// One extension.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extension<'a> {
    /// The host name the sender announces.
    Hostname(&'a [u8]),
    /// The name that people gave the sender.
    Nodename(&'a [u8]),
    /// An operator made the cluster forget a node.
    Forgotten {
        /// The node.
        id: NodeId,
        /// For how many seconds it may not come back.
        ttl_s: u64,
    },
    /// The name the sender shares with its replicas or its primary.
    Shard(NodeId),
    /// The secret of internal connections.
    Secret(&'a [u8; SECRET_LEN]),
    /// Something this version does not know.
    Unknown(u16),
}

impl std::fmt::Debug for Extension<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Extension::Hostname(name) => write!(f, "Hostname({})", name.escape_ascii()),
            Extension::Nodename(name) => write!(f, "Nodename({})", name.escape_ascii()),
            Extension::Forgotten { id, ttl_s } => write!(f, "Forgotten({id:?}, {ttl_s} s)"),
            Extension::Shard(id) => write!(f, "Shard({id:?})"),
            Extension::Secret(_) => f.write_str("Secret(…)"),
            Extension::Unknown(number) => write!(f, "Unknown({number})"),
        }
    }
}

impl<'a> Extension<'a> {
    /// Reads the data of one record. `flags`: the sender's, to tell Redis from Valkey.
    pub(super) fn read(
        number: u16,
        data: &'a [u8],
        flags: u16,
        kind: Kind,
    ) -> Result<Self, Refused> {
        let extension = number;
        let text = || match data.split_last() {
            Some((0, _)) => Ok(data.split(|byte| *byte == 0).next().unwrap_or_default()),
            _ => Err(Refused::NoTerminator { kind, extension }),
        };
        Ok(match number {
            HOSTNAME => Extension::Hostname(text()?),
            NODENAME => Extension::Nodename(text()?),
            FORGOTTEN => {
                let truncated = Refused::Truncated { kind, extension };
                let (id, rest) = data.split_at_checked(ID_LEN).ok_or(truncated)?;
                let ttl_s = u64::from_be_bytes(*rest.first_chunk().ok_or(truncated)?);
                match NodeId::parse(id) {
                    Some(id) => Extension::Forgotten { id, ttl_s },
                    None => Extension::Unknown(number),
                }
            }
            SHARD => {
                let id = data.get(..ID_LEN).and_then(NodeId::parse);
                Extension::Shard(id.ok_or(Refused::ShardId { kind, extension })?)
            }
            SECRET if flags & VALKEY_FLAGS != 0 => Extension::Unknown(number),
            SECRET => match <&[u8; SECRET_LEN]>::try_from(data) {
                Ok(secret) => Extension::Secret(secret),
                Err(_) if data.len() < SECRET_LEN && data.last() == Some(&0) => {
                    Extension::Unknown(number)
                }
                Err(_) => return Err(Refused::Truncated { kind, extension }),
            },
            _ => Extension::Unknown(number),
        })
    }

    /// Appends the record.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_LEN]);
        let number = match self {
            Extension::Hostname(name) => {
                out.extend_from_slice(name);
                out.push(0);
                HOSTNAME
            }
            Extension::Nodename(name) => {
                out.extend_from_slice(name);
                out.push(0);
                NODENAME
            }
            Extension::Forgotten { id, ttl_s } => {
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(&ttl_s.to_be_bytes());
                FORGOTTEN
            }
            Extension::Shard(id) => {
                out.extend_from_slice(id.as_bytes());
                SHARD
            }
            Extension::Secret(secret) => {
                out.extend_from_slice(*secret);
                SECRET
            }
            Extension::Unknown(number) => *number,
        };
        let padded = (out.len() - start).next_multiple_of(8);
        out.resize(start + padded, 0);
        out[start..start + 4].copy_from_slice(&(padded as u32).to_be_bytes());
        out[start + 4..start + 6].copy_from_slice(&number.to_be_bytes());
    }
}
