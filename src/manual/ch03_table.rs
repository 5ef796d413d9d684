//! Chapter 3. The table: where keys live, how it grows, and why SCAN misses nothing.
//!
//! ```text
//!   hash of a key, from its first bit    01101101   |   00101101    |   1110…
//!                                      the block      the segment     the line in the segment
//!
//!   top [ . . . ] ─► block [ . . . ] ─► segment [ lines of words ] ─► entry [ key, deadline, value ]
//! ```
//!
//! # What Redis does
//!
//! A database is a `dict` (dict.c): an array of chains. When there are more keys than buckets, a second array of twice
//! the size is made, and `dictRehash()` moves one bucket after another with each command and in the cron
//! (`databasesCron()` of server.c). Meanwhile a key may be in either array, so a lookup may look in both. Deadlines
//! have a dict of their own, `db->expires`.
//!
//! SCAN walks the buckets with `dictScan()`: a cursor whose bits count from the most significant one. A bucket that was
//! visited has been visited in the larger array as well, and in the smaller one. The price is that keys may be returned
//! twice when the array shrinks between two calls.
//!
//! # What Oxidis does
//!
//! [`collections::table`](crate::collections::table) is one structure for databases, large sets and large hashes. It is
//! *extendible hashing*: the first bits of a key's hash choose a block, the next ones a segment of usually up to
//! 127 words, one for each key, and more bits choose the place in it.
//!
//! **Growing.** [`Table::set`](crate::collections::table::Table::set) finds the segment of its key. If that is full,
//! [`make_room`](crate::collections::table::Table::make_room) makes it larger, up to sixteen cache lines, and then
//! splits it into two by one more bit of the hash. Now and then the block must double for that, or split, and the top
//! must double. Each of these steps moves at most 127 words or copies a few kilobytes, so there is no rehash, and no
//! insertion that pays for a million others. Deleting does the same backwards.
//!
//! *Example.* A segment of depth 2 holds all keys whose hash begins with `01`. It is full; it becomes two segments of
//! depth 3, for `010` and `011`. The segments for `00`, `10` and `11` do not notice.
//!
//! **Entries.** Key, deadline and value lie in one allocation
//! (`collections/table/entry.rs`); strings of up to [`INLINE_MAX`](crate::keyspace::INLINE_MAX) bytes (192)
//! and integers are inside it, an integer in 1, 2, 4 or 8 bytes. There is no second table for deadlines.
//!
//! **SCAN.** A key's *position* is its hash read from the first bit. It never changes, whatever splits or merges.
//! [`Table::scan`](crate::collections::table::Table::scan) walks positions in ascending order, and the cursor is the
//! position to go on from: 48 bits of it (`SINGLE_BITS` in `keyspace/slots.rs`). In a cluster, where each
//! slot has a table, it is the slot and 39 bits.
//!
//! *Why nothing is missed.* Assume a key that is there from the first call to the last. Its position is one number.
//! Calls cover ranges of positions that touch and do not overlap, from 0 to the end. So exactly one call covers the
//! key's position, and that call returns it. When two keys have the same position, they are returned by one call, which
//! may return more than COUNT for that. The promise is stronger than that of Redis: *exactly once*, not *at least
//! once*.
//!
//! The handler is `scan` in `commands/keys/scan.rs`. MATCH and TYPE choose among the keys that were
//! walked over, as in Redis: a call may return none, and the walk is over only when the cursor is 0.
//!
//! **Looking up many.** A lookup costs one cache line of the table and the entry.
//! [`Table::prefetch`](crate::collections::table::Table::prefetch) asks for what many lookups will read, stage by
//! stage, so that their misses overlap; the loop uses it for pipelines (chapter [1](super::ch01_request)).
//!
//! # What the difference buys
//!
//! From the header of the table, for a million 16-byte keys: 43, 75 and 139 bytes per key with values of 3, 32 and 100
//! bytes, everything included. The worst of a million insertions takes 18 µs. Sixteen lookups that are prefetched
//! together take 0.22 of what they take in the standard library's table of boxed keys. From README, `used_memory` per
//! key as a ratio to Redis 7.0.15: 0.41 for values of 3 bytes, 0.55 for values of 32.
//!
//! And a table of such nodes can be shared: chapter [4](super::ch04_snapshot).
//!
//! # Try it
//!
//! ```text
//! 127.0.0.1:7777> FLUSHALL
//! OK
//! 127.0.0.1:7777> DEBUG POPULATE 1000000
//! OK
//! 127.0.0.1:7777> DEBUG HTSTATS 0
//! [Segmented table]
//!  ...
//!  number of elements: 1000000
//!  elements with a deadline: 0
//!  ...
//! ```
//!
//! The other lines count blocks and segments, and how many segments there are of each depth: two or three depths
//! next to each other, because random hashes fill segments evenly.
//!
//! Now walk while the table grows. In one terminal, then at once in another:
//!
//! ```text
//! $ redis-cli -p 7777 --scan > names; sort names | uniq -d | wc -l; grep -c '^key:' names
//! 0
//! 1000000
//!
//! $ redis-cli -p 7777 DEBUG POPULATE 200000 other
//! OK
//! ```
//!
//! No name comes twice, and none of the million that were there from the beginning is missing. How many names `names`
//! holds in all depends on the moment: a key that came during the walk is returned if its position was still ahead.
//!
//! # Read on
//!
//! [`crate::collections::table`] has the invariants. `docs/decisions/keys-with-one-hash.md` tells what happens to keys
//! that somebody chose so that their hashes agree.
