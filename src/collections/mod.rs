//! Data structures. They have never heard of Redis: no keys, commands or replies, only bytes, nodes and order.

pub mod shared;
