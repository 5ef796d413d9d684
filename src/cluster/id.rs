//! The name of a node or of a shard: forty lower-case letters and digits.
//!
//! ```text
//!   07c37dfeb235213a872192d90877d0cd55635b91      as nodes.conf, the bus and every client see it
//! ```
//!
//! Invariant: a [`NodeId`] holds forty bytes of `[0-9a-z]`. [`NodeId::parse`] is the only door for bytes from outside,
//! so an id can be printed, compared and written to a file without another look.
//!
//! Mirrors: `verifyClusterNodeId` and the `char name[CLUSTER_NAMELEN]` fields of cluster_legacy.h.
//! Differs: there, the check stands at some of the doors; a name with other bytes can reach the file.

use std::fmt;

use crate::util::rng::Rng;

/// The length of a node's name, in bytes.
#[doc(alias = "CLUSTER_NAMELEN")]
pub const ID_LEN: usize = 40;

/// A node's or a shard's name. Ordered as bytes, as the rule of epoch collisions wants it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; ID_LEN]);

impl NodeId {
    /// Reads a name; `None` unless it is forty bytes of `[0-9a-z]`.
    #[doc(alias = "verifyClusterNodeId")]
    pub fn parse(text: &[u8]) -> Option<NodeId> {
        let bytes: [u8; ID_LEN] = text.try_into().ok()?;
        let fine = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
        bytes.iter().all(fine).then_some(NodeId(bytes))
    }

    /// A new name of forty hexadecimal digits.
    pub fn random(rng: &mut Rng) -> NodeId {
        let mut bytes = [0; ID_LEN];
        rng.fill_hex(&mut bytes);
        NodeId(bytes)
    }

    /// The forty bytes, as they stand on the wire.
    pub fn as_bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is ASCII by construction")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str()[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forty_letters_and_digits_are_a_name() {
        let id = NodeId::random(&mut Rng::new(1));
        assert_eq!(NodeId::parse(id.as_bytes()), Some(id));
        assert!(NodeId::parse(&[b'z'; 40]).is_some());
        assert!(NodeId::parse(&[b'z'; 39]).is_none());
        assert!(NodeId::parse(&[b'z'; 41]).is_none());
        for bad in [b'A', b' ', b'\n', b'-', 0, 0xff] {
            let mut bytes = [b'a'; 40];
            bytes[17] = bad;
            assert!(NodeId::parse(&bytes).is_none(), "{bad}");
        }
    }
}
