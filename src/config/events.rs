//! Classes of keyspace events, by which `notify-keyspace-events` chooses what is published.
//!
//! They stand with the option because its letters mean them; `keyspace/events.rs` has the events.
//!
//! Mirrors: the `NOTIFY_*` bits of server.h.

/// A class of events; `notify-keyspace-events` selects them by letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Class {
    Keyspace = 1 << 0,
    Keyevent = 1 << 1,
    Generic = 1 << 2,
    String = 1 << 3,
    List = 1 << 4,
    Set = 1 << 5,
    Hash = 1 << 6,
    Zset = 1 << 7,
    Expired = 1 << 8,
    Evicted = 1 << 9,
    Stream = 1 << 10,
    KeyMiss = 1 << 11,
    Loaded = 1 << 12,
    Module = 1 << 13,
    New = 1 << 14,
    Overwritten = 1 << 15,
    TypeChanged = 1 << 16,
    Subkeyspace = 1 << 19,
    Subkeyevent = 1 << 20,
    SubkeyspaceItem = 1 << 21,
    SubkeyspaceEvent = 1 << 22,
    Array = 1 << 23,
}
