//! Keyspace events: what happened to a key, by class, for subscribers of `__keyspace@n__` and
//! `__keyevent@n__` channels.
//!
//! Mirrors: notify.c.

pub use crate::config::events::Class;

/// Something that happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: Class,
    /// Its name on the wire.
    pub name: &'static str,
}

impl Event {
    /// An event of a class.
    pub const fn new(class: Class, name: &'static str) -> Self {
        Event { class, name }
    }

    /// A generic event.
    pub const fn generic(name: &'static str) -> Self {
        Event::new(Class::Generic, name)
    }

    /// An event of strings.
    pub const fn string(name: &'static str) -> Self {
        Event::new(Class::String, name)
    }

    /// An event of lists.
    pub const fn list(name: &'static str) -> Self {
        Event::new(Class::List, name)
    }

    /// An event of sets.
    pub const fn set(name: &'static str) -> Self {
        Event::new(Class::Set, name)
    }

    /// An event of hashes.
    pub const fn hash(name: &'static str) -> Self {
        Event::new(Class::Hash, name)
    }

    /// An event of sorted sets.
    pub const fn zset(name: &'static str) -> Self {
        Event::new(Class::Zset, name)
    }

    /// An event of streams.
    pub const fn stream(name: &'static str) -> Self {
        Event::new(Class::Stream, name)
    }

    /// An event of arrays.
    pub const fn array(name: &'static str) -> Self {
        Event::new(Class::Array, name)
    }

    /// An event of a command or a type that an embedder added.
    pub const fn module(name: &'static str) -> Self {
        Event::new(Class::Module, name)
    }

    /// The key was deleted.
    pub const DEL: Event = Event::generic("del");
    /// The key died of time.
    pub const EXPIRED: Event = Event::new(Class::Expired, "expired");
    /// The key died of memory.
    pub const EVICTED: Event = Event::new(Class::Evicted, "evicted");
    /// A deadline was set.
    pub const EXPIRE: Event = Event::generic("expire");
    /// The deadline was taken away.
    pub const PERSIST: Event = Event::generic("persist");
    /// A key was made of a payload.
    pub const RESTORE: Event = Event::generic("restore");
    /// A key appeared.
    pub const NEW: Event = Event::new(Class::New, "new");
    /// A key got another value in place of the one it had.
    pub const OVERWRITTEN: Event = Event::new(Class::Overwritten, "overwritten");
    /// A key got a value of another type.
    pub const TYPE_CHANGED: Event = Event::new(Class::TypeChanged, "type_changed");
    /// A lookup found nothing.
    pub const MISS: Event = Event::new(Class::KeyMiss, "keymiss");
    /// A string was stored.
    pub const SET: Event = Event::string("set");
}
