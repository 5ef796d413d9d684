//! Chapter 5. Small encodings, and when a value changes its own.
//!
//! ```text
//!   HSET h f v     listpack     [ f | v ]                            one block of bytes, read from its beginning
//!   HEXPIRE h …    listpackex   [ f | v | 1796023963701 ]            a third column
//!   513th field    hashtable    table: f ─► v, deadline              one allocation per field
//! ```
//!
//! # What Redis does
//!
//! A value has a type and an encoding (`robj` in server.h). A small hash, set, sorted set or list is a *listpack*
//! (listpack.c): strings and integers one after another in one allocation. Finding something means walking, which is
//! fast while the whole lies in a few cache lines. When the value grows beyond a configured bound, it is converted:
//! `hashTypeTryConversion()` (t_hash.c), `setTypeAdd()` and `setTypeConvert()` (t_set.c),
//! `zsetConvertToListpackIfNeeded()` and its kin (t_zset.c), `listTypeTryConversionAppend()` (t_list.c).
//!
//! # What Oxidis does
//!
//! The encodings and the bounds are Redis's, because clients see both: in OBJECT ENCODING, in DUMP and in files. A
//! [`Listpack`](crate::collections::listpack::Listpack) is Redis's byte for byte.
//!
//! | type | small | large | it converts when | where |
//! |---|---|---|---|---|
//! | string | `int`, `embstr` | `raw` | (only names; see below) | `collections/table/entry.rs` |
//! | list | `listpack` | `quicklist` | the listpack would exceed `list-max-listpack-size` (-2: 8 KiB) | [`List::grow_for`](crate::types::List::grow_for) |
//! | hash | `listpack` | `hashtable` | more than 512 fields, or more than 64 bytes in a field or a value | [`Hash::set`](crate::types::Hash::set), [`become_table`](crate::types::Hash::become_table) |
//! | hash with deadlines | `listpackex` | `hashtable` | as above | [`allow_deadlines`](crate::types::Hash::allow_deadlines) |
//! | set of integers | `intset` | `listpack`, `hashtable` | another member than an integer, or more than 512 | [`Set::add`](crate::types::Set::add) |
//! | set | `listpack` | `hashtable` | more than 128 members, or more than 64 bytes in one | [`Set::add`](crate::types::Set::add) |
//! | sorted set | `listpack` | `skiplist` | more than 128 members, or more than 64 bytes in one | [`Zset::add`](crate::types::Zset::add), [`grow_for`](crate::types::Zset::grow_for) |
//!
//! The bounds are options: `hash-max-listpack-entries`, `hash-max-listpack-value` and their kin.
//!
//! **Back again.** Only lists shrink: when a single block is left that is at most half of the bound, the quicklist
//! becomes a listpack ([`List::shrink`](crate::types::List::shrink)). *Half*, so that a list at the border does not
//! flap. Hashes, sets and sorted sets never go back, except where a command builds a new value (SUNIONSTORE,
//! ZUNIONSTORE and others).
//!
//! **Large ones.** The *names* stay, the structures differ:
//!
//! - `quicklist` is a sequence of listpacks in a counted B+tree, not a chain; element `n` costs O(log n)
//!   ([`types::list`](crate::types::list));
//! - `skiplist` is a table from member to score and a B+tree with ranks ([`types::zset`](crate::types::zset));
//! - `hashtable` is the table of chapter [3](super::ch03_table).
//!
//! A skiplist and a chain are made of nodes that their neighbours point to. A snapshot could not copy one of them
//! without copying all that lead to it (chapter [4](super::ch04_snapshot);
//! `docs/decisions/btree-instead-of-skiplist.md`).
//!
//! **Strings** are no value of their own: they lie in the entry of their key, inline up to 192 bytes and counted beyond
//! that. `int`, `embstr` and `raw` are what Redis would call such a string, not how it is stored.
//!
//! **A value in 16 bytes.** [`Value`](crate::types::Value) is a tag and one pointer, inside the entry of its key
//! (`docs/decisions/values-in-entries.md`).
//!
//! **Bytes from outside.** RESTORE and files bring listpacks as they are.
//! [`Listpack`](crate::collections::listpack::Listpack) doubts every length at every step: a walk that meets an
//! impossible entry ends there, and nothing reads outside of the block.
//!
//! # What the difference buys
//!
//! A small hash is its listpack and 24 bytes in its key's entry (header of `types/hash/mod.rs`). From README, `used_memory`
//! as a ratio to Redis 7.0.15: 0.91 for hashes of five fields, 0.53 per field of a large hash, 0.48 per member of a
//! large sorted set, 0.99 per element of a list. A new member of a sorted set of a million costs 425 to 477 ns in the
//! B+tree where a skiplist took 1,500 to 2,200.
//!
//! # Try it
//!
//! ```text
//! 127.0.0.1:7777> SADD s 1 2 3
//! (integer) 3
//! 127.0.0.1:7777> OBJECT ENCODING s
//! "intset"
//! 127.0.0.1:7777> SADD s x
//! (integer) 1
//! 127.0.0.1:7777> OBJECT ENCODING s
//! "listpack"
//! 127.0.0.1:7777> HSET h f v
//! (integer) 1
//! 127.0.0.1:7777> OBJECT ENCODING h
//! "listpack"
//! 127.0.0.1:7777> HEXPIRE h 100 FIELDS 1 f
//! 1) (integer) 1
//! 127.0.0.1:7777> OBJECT ENCODING h
//! "listpackex"
//! 127.0.0.1:7777> EVAL "for i=1,200 do redis.call('rpush','l',string.rep('x',100)) end" 0
//! (nil)
//! 127.0.0.1:7777> OBJECT ENCODING l
//! "quicklist"
//! 127.0.0.1:7777> LTRIM l 0 9
//! OK
//! 127.0.0.1:7777> OBJECT ENCODING l
//! "listpack"
//! ```
//!
//! EVAL answers nothing here because the script returns nothing. `DEBUG LISTPACK h` shows the three entries of `h` as
//! they lie in the block: the field, the value, and the deadline as an integer of ten bytes.
