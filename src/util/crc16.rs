//! CRC16 (XMODEM) and with it the hash slot of a key in a cluster.
//!
//! ```text
//!   slot = crc16(key) mod 16384          {user:7}.cart, {user:7}.name   ▶ only "user:7" is hashed:
//!                                                                        keys that live together
//! ```
//!
//! Mirrors: crc16.c and `keyHashSlot()` of cluster.c.

use crc16::{State, XMODEM};

/// Hash slots in a cluster.
#[doc(alias = "CLUSTER_SLOTS")]
pub const SLOTS: u16 = 16384;

/// CRC16, polynomial 0x1021, start 0, no reflection.
pub fn crc16(bytes: &[u8]) -> u16 {
    State::<XMODEM>::calculate(bytes)
}

/// The slot of a key. If the key has a `{`, a `}` after it, and something between, only that is hashed.
#[doc(alias = "keyHashSlot")]
pub fn key_hash_slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS
}

/// The bytes between the first `{` and the first `}` behind it; `None` if there are none. `user:{42}:cart` and `{42}`
/// share the tag `42`; `{}x` has none, and is hashed as a whole.
pub fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let inner = &key[open + 1..];
    let close = inner.iter().position(|&byte| byte == b'}')?;
    (close > 0).then_some(&inner[..close])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
        // CLUSTER KEYSLOT of a real server.
        assert_eq!(key_hash_slot(b"foo"), 12182);
        assert_eq!(key_hash_slot(b"bar"), 5061);
        assert_eq!(key_hash_slot(b""), 0);
    }

    #[test]
    fn hash_tags() {
        assert_eq!(key_hash_slot(b"{foo}.x"), 12182);
        assert_eq!(key_hash_slot(b"a{foo}{bar}"), 12182);
        assert_eq!(hash_tag(b"foo{{bar}}zap"), Some(&b"{bar"[..]));
        for key in [&b"foo{}{bar}"[..], b"{foo", b"}foo{", b"foo", b"{}"] {
            assert_eq!(hash_tag(key), None);
        }
    }
}
