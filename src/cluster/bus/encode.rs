//! Encoding of the bus: from messages to bytes.
//!
//! A message is encoded once and its bytes are shared by every link it goes to. Bytes without a meaning are zero, and
//! so are flags that this version does not know: what a peer sent is never echoed.
//!
//! Mirrors: `clusterBuildMessageHdr`, `clusterSetGossipEntry`, `clusterCreatePublishMsgBlock` (cluster_legacy.c).
//! Differs: fields are written one by one, in the order of the wire; Redis fills a struct and sends its memory.

use std::net::IpAddr;

use super::decode::IP_LEN;
use super::{Body, Extension, GOSSIP_LEN, HEADER_LEN, Header, Kind, Message, VERSION};
use crate::cluster::id::ID_LEN;

impl Message<'_> {
    /// The message's bytes. O(length).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN + self.body.room());
        let (gossip, extensions): (&[_], &[Extension<'_>]) = match &self.body {
            Body::News {
                gossip, extensions, ..
            } => (gossip, extensions),
            _ => (&[], &[]),
        };
        let number = match &self.body {
            Body::Unknown(number) => *number,
            body => body.kind().map_or(0, |kind| kind as u16),
        };
        let header = &self.header;
        out.extend_from_slice(b"RCmb\0\0\0\0");
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&header.port.to_be_bytes());
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(&(gossip.len() as u16).to_be_bytes());
        header.write(extensions.len() as u16, &mut out);
        debug_assert_eq!(out.len(), HEADER_LEN);
        self.body.write(&mut out);
        let length = out.len() as u32;
        out[4..8].copy_from_slice(&length.to_be_bytes());
        out
    }
}

impl Header<'_> {
    fn write(&self, extensions: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.current_epoch.to_be_bytes());
        out.extend_from_slice(&self.config_epoch.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(self.sender.as_bytes());
        out.extend_from_slice(self.slots);
        match &self.primary {
            Some(id) => out.extend_from_slice(id.as_bytes()),
            None => out.extend_from_slice(&[0; ID_LEN]),
        }
        write_ip(self.ip, out);
        out.extend_from_slice(&extensions.to_be_bytes());
        out.extend_from_slice(&[0; 30]);
        out.extend_from_slice(&self.other_port.to_be_bytes());
        out.extend_from_slice(&self.bus_port.to_be_bytes());
        out.extend_from_slice(&self.flags.to_be_bytes());
        out.extend_from_slice(&[u8::from(self.down), self.mflags, 0, 0]);
    }
}

impl Body<'_> {
    fn room(&self) -> usize {
        match self {
            Body::News { gossip, .. } => gossip.len() * GOSSIP_LEN + 256,
            Body::Publish { channel, text, .. } => 8 + channel.len() + text.len(),
            Body::Module { payload, .. } => 13 + payload.len(),
            Body::Update { .. } => 2096,
            _ => ID_LEN,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Body::News {
                gossip, extensions, ..
            } => {
                for record in gossip {
                    out.extend_from_slice(record.id.as_bytes());
                    out.extend_from_slice(&record.ping_sent.to_be_bytes());
                    out.extend_from_slice(&record.pong_received.to_be_bytes());
                    write_ip(record.ip, out);
                    out.extend_from_slice(&record.port.to_be_bytes());
                    out.extend_from_slice(&record.bus_port.to_be_bytes());
                    out.extend_from_slice(&record.flags.to_be_bytes());
                    out.extend_from_slice(&record.other_port.to_be_bytes());
                    out.extend_from_slice(&[0, 0]);
                }
                for extension in extensions {
                    extension.write(out);
                }
            }
            Body::Fail(id) => out.extend_from_slice(id.as_bytes()),
            Body::Publish { channel, text, .. } => {
                out.extend_from_slice(&(channel.len() as u32).to_be_bytes());
                out.extend_from_slice(&(text.len() as u32).to_be_bytes());
                out.extend_from_slice(channel);
                out.extend_from_slice(text);
            }
            Body::Update { epoch, id, slots } => {
                out.extend_from_slice(&epoch.to_be_bytes());
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(*slots);
            }
            Body::Module {
                module,
                kind,
                payload,
            } => {
                out.extend_from_slice(module);
                out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
                out.push(*kind);
                out.extend_from_slice(payload);
            }
            Body::AuthRequest | Body::AuthAck | Body::MfStart | Body::Unknown(_) => {}
        }
    }
}

/// An address as text, NUL-padded to its field. Every address's text fits.
fn write_ip(ip: Option<IpAddr>, out: &mut Vec<u8>) {
    let end = out.len() + IP_LEN;
    if let Some(ip) = ip {
        out.extend_from_slice(ip.to_string().as_bytes());
        out.truncate(end - 1);
    }
    out.resize(end, 0);
}

/// The numbers on the wire are the order of the kinds.
const _: () = assert!(Kind::Ping as u16 == 0 && Kind::PublishShard as u16 == 10);
