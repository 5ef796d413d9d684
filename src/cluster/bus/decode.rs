//! Decoding of the bus: from bytes to messages.
//!
//! The order of the checks is Redis's, so that a faulty message leaves the same line in the log: signature and length,
//! version, the length that the kind implies, extensions one by one, and names last.
//!
//! Mirrors: `clusterReadHandler` and the checks of `clusterProcessPacket` (cluster_legacy.c).
//! Differs: a peer that nobody knows may announce [`STRANGER_LIMIT`] bytes, not four gigabytes.

use std::net::IpAddr;

use super::extension::HEAD_LEN;
use super::{Body, EXT_DATA, Extension, GOSSIP_LEN, Gossip, HEADER_LEN, Header, Kind, Message};
use super::{Refused, VERSION};
use crate::cluster::id::{ID_LEN, NodeId};
use crate::cluster::slots::{BITMAP_LEN, Bitmap};

/// The longest message of a peer that is no known node: a MEET of a cluster of hundreds fits.
pub const STRANGER_LIMIT: usize = 64 * 1024;

/// Bytes of the text of an address.
pub(super) const IP_LEN: usize = 46;

/// Bytes in front of a published message's texts, a node's slots, and a module's payload.
const PUBLISH_LEN: usize = 8;
const UPDATE_LEN: usize = 8 + ID_LEN + BITMAP_LEN;
const MODULE_LEN: usize = 8 + 4 + 1;

/// The most that gossip and extensions of all nodes of a very large cluster need.
const NEWS_LIMIT: usize = HEADER_LEN + GOSSIP_LEN * u16::MAX as usize + (1 << 20);

/// The length of the message that `bytes` begin with; `None` until 16 of its bytes are there. `limit`: the longest
/// published or module's message that is taken; [`STRANGER_LIMIT`] for a link whose other end nobody knows.
///
/// # Errors
/// The bytes begin no message, or one that is longer than accepted: the link is to be closed.
pub fn frame(bytes: &[u8], limit: usize) -> Result<Option<usize>, Refused> {
    let signature = &bytes[..bytes.len().min(4)];
    if !b"RCmb".starts_with(signature) {
        return Err(Refused::Frame);
    }
    let mut head = Reader(bytes);
    let (Some(_), Some(length)) = (head.take(4), head.u32()) else {
        return Ok(None);
    };
    let length = length as usize;
    if length < HEADER_LEN {
        return Err(Refused::Frame);
    }
    let (Some(_), Some(kind)) = (head.take(4), head.u16()) else {
        return Ok(None);
    };
    let most = match Kind::of(kind) {
        Some(Kind::Ping | Kind::Pong | Kind::Meet) => NEWS_LIMIT,
        Some(Kind::Publish | Kind::PublishShard | Kind::Module) => usize::MAX,
        _ => STRANGER_LIMIT,
    };
    if length > most.min(limit) {
        return Err(Refused::TooLong(length));
    }
    Ok(Some(length))
}

/// The number of a message's kind.
///
/// # Errors
/// The message is of another version, or no message.
pub fn peek(bytes: &[u8]) -> Result<u16, Refused> {
    if bytes.len() < HEADER_LEN || !bytes.starts_with(b"RCmb") {
        return Err(Refused::Frame);
    }
    let mut head = Reader(&bytes[4..]);
    let (length, version) = (head.u32(), head.u16());
    let (_, kind) = (head.u16(), head.u16());
    match (length, version, kind) {
        (Some(length), _, _) if length as usize != bytes.len() => Err(Refused::Frame),
        (_, Some(VERSION), Some(kind)) => Ok(kind),
        (_, Some(version), _) => Err(Refused::Version(version)),
        _ => Err(Refused::Frame),
    }
}

/// Reads one whole message.
///
/// # Errors
/// The first fault of the message, in the order that the module's text gives.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, Refused> {
    let number = peek(bytes)?;
    let (head, rest) = bytes.split_at(HEADER_LEN);
    let raw = RawHeader::read(head).ok_or(Refused::Frame)?;
    let body = match Kind::of(number) {
        Some(kind) => raw.body(kind, rest, bytes.len())?,
        None => Body::Unknown(number),
    };
    let header = raw.header().ok_or(Refused::Id)?;
    Ok(Message { header, body })
}

/// The header's fields before names are checked.
struct RawHeader<'a> {
    port: u16,
    count: u16,
    current_epoch: u64,
    config_epoch: u64,
    offset: u64,
    sender: &'a [u8],
    slots: &'a Bitmap,
    primary: &'a [u8],
    ip: &'a [u8],
    extensions: u16,
    other_port: u16,
    bus_port: u16,
    flags: u16,
    state: u8,
    mflags: u8,
}

impl<'a> RawHeader<'a> {
    fn read(head: &'a [u8]) -> Option<Self> {
        let mut from = Reader(head);
        from.take(10)?;
        let port = from.u16()?;
        from.u16()?;
        let raw = RawHeader {
            port,
            count: from.u16()?,
            current_epoch: from.u64()?,
            config_epoch: from.u64()?,
            offset: from.u64()?,
            sender: from.take(ID_LEN)?,
            slots: from.take(BITMAP_LEN)?.first_chunk()?,
            primary: from.take(ID_LEN)?,
            ip: from.take(IP_LEN)?,
            extensions: from.u16()?,
            other_port: {
                from.take(30)?;
                from.u16()?
            },
            bus_port: from.u16()?,
            flags: from.u16()?,
            state: from.u8()?,
            mflags: from.u8()?,
        };
        Some(raw)
    }

    fn header(&self) -> Option<Header<'a>> {
        let primary = match self.primary.iter().all(|byte| *byte == 0) {
            true => None,
            false => Some(NodeId::parse(self.primary)?),
        };
        Some(Header {
            current_epoch: self.current_epoch,
            config_epoch: self.config_epoch,
            offset: self.offset,
            sender: NodeId::parse(self.sender)?,
            slots: self.slots,
            primary,
            ip: read_ip(self.ip),
            port: self.port,
            other_port: self.other_port,
            bus_port: self.bus_port,
            flags: self.flags,
            down: self.state != 0,
            mflags: self.mflags,
        })
    }

    fn body(&self, kind: Kind, rest: &'a [u8], total: usize) -> Result<Body<'a>, Refused> {
        let exactly = |expected: usize| match rest.len() == expected {
            true => Ok(()),
            false => Err(Refused::Length {
                kind,
                got: total,
                expected: HEADER_LEN.saturating_add(expected),
            }),
        };
        let mut from = Reader(rest);
        Ok(match kind {
            Kind::Ping | Kind::Pong | Kind::Meet => self.news(kind, rest, total)?,
            Kind::Fail => {
                exactly(ID_LEN)?;
                Body::Fail(NodeId::parse(rest).ok_or(Refused::Id)?)
            }
            Kind::AuthRequest => {
                exactly(0)?;
                Body::AuthRequest
            }
            Kind::AuthAck => {
                exactly(0)?;
                Body::AuthAck
            }
            Kind::MfStart => {
                exactly(0)?;
                Body::MfStart
            }
            Kind::Update => {
                exactly(UPDATE_LEN)?;
                let epoch = from.u64().ok_or(Refused::Frame)?;
                let id = from.take(ID_LEN).and_then(NodeId::parse);
                Body::Update {
                    epoch,
                    id: id.ok_or(Refused::Id)?,
                    slots: from.0.first_chunk().ok_or(Refused::Frame)?,
                }
            }
            Kind::Publish | Kind::PublishShard => {
                let (Some(channel), Some(message)) = (from.u32(), from.u32()) else {
                    exactly(PUBLISH_LEN)?;
                    return Err(Refused::Frame);
                };
                let both = channel.checked_add(message);
                let both = both.filter(|both| both.checked_add(HEADER_LEN as u32 + 8).is_some());
                let both = both.ok_or(Refused::PublishOverflow { channel, message })?;
                exactly(PUBLISH_LEN + both as usize)?;
                let (channel, text) = from.0.split_at(channel as usize);
                Body::Publish {
                    shard: kind == Kind::PublishShard,
                    channel,
                    text,
                }
            }
            Kind::Module => {
                let (module, length, kind) = (from.take(8), from.u32(), from.u8());
                let (Some(module), Some(length), Some(kind)) = (module, length, kind) else {
                    exactly(MODULE_LEN)?;
                    return Err(Refused::Frame);
                };
                if length
                    .checked_add((HEADER_LEN + MODULE_LEN) as u32)
                    .is_none()
                {
                    return Err(Refused::ModuleOverflow(length));
                }
                exactly(MODULE_LEN + length as usize)?;
                Body::Module {
                    module: *module.first_chunk().ok_or(Refused::Frame)?,
                    kind,
                    payload: from.0,
                }
            }
        })
    }

    fn news(&self, kind: Kind, rest: &'a [u8], got: usize) -> Result<Body<'a>, Refused> {
        let count = self.count;
        let records = rest.split_at_checked(usize::from(count) * GOSSIP_LEN);
        let (records, rest) = records.ok_or(Refused::GossipCount { kind, count, got })?;
        let mut from = Reader(rest);
        let mut extensions = Vec::new();
        let announced = match self.mflags & EXT_DATA {
            0 => 0,
            _ => self.extensions,
        };
        for _ in 0..announced {
            let too_long = Refused::ExtensionTooLong { kind, got };
            let (length, number) = (from.u32(), from.u16());
            let (Some(length), Some(number), Some(_)) = (length, number, from.u16()) else {
                return Err(too_long);
            };
            let data = (length as usize).checked_sub(HEAD_LEN);
            let data = data.filter(|data| data % 8 == 0);
            let data = data.ok_or(Refused::Padding { kind, length })?;
            let data = from.take(data).ok_or(too_long)?;
            extensions.push(Extension::read(number, data, self.flags, kind)?);
        }
        if !from.0.is_empty() {
            let expected = got - from.0.len();
            return Err(Refused::Length {
                kind,
                got,
                expected,
            });
        }
        let read: Vec<_> = records.chunks_exact(GOSSIP_LEN).map(read_gossip).collect();
        let bad_ids = read.iter().filter(|record| record.is_none()).count();
        let gossip = match bad_ids {
            0 => read.into_iter().flatten().collect(),
            _ => Vec::new(),
        };
        Ok(Body::News {
            kind,
            gossip,
            bad_ids,
            extensions,
        })
    }
}

fn read_gossip(record: &[u8]) -> Option<Gossip> {
    let mut from = Reader(record);
    Some(Gossip {
        id: NodeId::parse(from.take(ID_LEN)?)?,
        ping_sent: from.u32()?,
        pong_received: from.u32()?,
        ip: read_ip(from.take(IP_LEN)?),
        port: from.u16()?,
        bus_port: from.u16()?,
        flags: from.u16()?,
        other_port: from.u16()?,
    })
}

/// An address in its text, up to the first NUL.
fn read_ip(text: &[u8]) -> Option<IpAddr> {
    let text = text.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A cursor over bytes; every read is checked.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn u8(&mut self) -> Option<u8> {
        Some(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.array()?))
    }
}
