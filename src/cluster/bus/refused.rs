//! The refusal of a message of the bus, in Redis's words.
//!
//! A refusal either closes the link ([`Refused::closes`]): the stream can no longer be cut into messages. Or it costs
//! the peer that one message.
//!
//! Mirrors: the warnings of `clusterProcessPacket` and `clusterReadHandler` (cluster_legacy.c).
//! Differs: a refusal is a value, which the caller logs; Redis logs where it finds the fault.

use std::fmt;

use super::Kind;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No signature, or a length that cannot be.
    Frame,
    /// Longer than this peer may send.
    TooLong(usize),
    /// Another version of the protocol.
    Version(u16),
    /// The length does not fit the kind.
    Length {
        /// The kind.
        kind: Kind,
        /// Bytes the message has.
        got: usize,
        /// Bytes its parts have.
        expected: usize,
    },
    /// More gossip than bytes.
    GossipCount {
        /// The kind.
        kind: Kind,
        /// Records announced.
        count: u16,
        /// Bytes the message has.
        got: usize,
    },
    /// An extension reaches beyond the end of the message.
    ExtensionTooLong {
        /// The kind.
        kind: Kind,
        /// Bytes the message has.
        got: usize,
    },
    /// An extension's length is below 8 or no multiple of 8.
    Padding {
        /// The kind.
        kind: Kind,
        /// The length.
        length: u32,
    },
    /// A text without its NUL.
    NoTerminator {
        /// The kind.
        kind: Kind,
        /// The extension's number.
        extension: u16,
    },
    /// An extension shorter than its content.
    Truncated {
        /// The kind.
        kind: Kind,
        /// The extension's number.
        extension: u16,
    },
    /// A shard's name that is none.
    ShardId {
        /// The kind.
        kind: Kind,
        /// The extension's number.
        extension: u16,
    },
    /// Lengths of a channel and a message whose sum does not fit.
    PublishOverflow {
        /// Of the channel.
        channel: u32,
        /// Of the message.
        message: u32,
    },
    /// A module's message with a length that does not fit.
    ModuleOverflow(u32),
    /// A name in the header or the body that is none.
    Id,
}

impl Refused {
    /// Whether the stream is lost: nothing after this message can be found.
    pub fn closes(self) -> bool {
        matches!(self, Refused::Frame | Refused::TooLong(_))
    }

    /// Whether the log stays silent: a peer of another version is no fault.
    pub fn silent(self) -> bool {
        matches!(self, Refused::Version(_))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Refused::Frame => {
                f.write_str("Bad message length or signature received on the Cluster bus")
            }
            Refused::TooLong(length) => write!(
                f,
                "Message of {length} bytes announced on the Cluster bus: longer than accepted"
            ),
            Refused::Version(version) => write!(f, "Received a packet of version {version}"),
            Refused::Length {
                kind,
                got,
                expected,
            } => write!(
                f,
                "Received invalid {} packet of length {got} but expected length {expected}",
                kind.word()
            ),
            Refused::GossipCount { kind, count, got } => write!(
                f,
                "Received invalid {} packet with gossip count {count} that exceeds total packet length ({got})",
                kind.word()
            ),
            Refused::ExtensionTooLong { kind, got } => write!(
                f,
                "Received invalid {} packet with extension data that exceeds total packet length ({got})",
                kind.word()
            ),
            Refused::Padding { kind, length } => write!(
                f,
                "Received a {} packet without proper padding ({length} bytes)",
                kind.word()
            ),
            Refused::NoTerminator { kind, extension } => write!(
                f,
                "Received {} packet with missing null terminator in extension type {extension}",
                kind.word()
            ),
            Refused::Truncated { kind, extension } => write!(
                f,
                "Received {} packet with truncated extension type {extension}",
                kind.word()
            ),
            Refused::ShardId { kind, extension } => write!(
                f,
                "Received {} packet with invalid shard id in extension type {extension}",
                kind.word()
            ),
            Refused::PublishOverflow { channel, message } => write!(
                f,
                "Received invalid publish packet with overflow in length fields (channel_len: {channel}, message_len: {message})"
            ),
            Refused::ModuleOverflow(length) => write!(
                f,
                "Received invalid module packet with overflow in length field (len: {length})"
            ),
            Refused::Id => f.write_str("Received a packet with an invalid node ID"),
        }
    }
}
