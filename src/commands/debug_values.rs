//! DEBUG LISTPACK, QUICKLIST and HTSTATS-KEY: the representation of a value in memory.
//!
//! Mirrors: `lpRepr()` of listpack.c, `quicklistRepr()` of quicklist.c.
//! Differs: the picture is the reply, where Redis prints to the standard output of the server; it ends after
//! [`ELEMENTS_MAX`] elements.

use super::prelude::*;
use crate::collections::listpack::Listpack;
use crate::collections::table::{NoObject, Table};
use crate::keyspace::{Entry, ValueRef};
use crate::types::list::Node;
use crate::types::{Held, List, Typed, Value};
use crate::util::num::{self, IntBuf};

/// The largest number of elements of a value that are shown.
const ELEMENTS_MAX: usize = 1000;
/// The largest number of bytes of an element that are shown.
const TEXT_MAX: usize = 40;

fn value<'a>(entry: &Entry<'a>) -> Option<&'a Value> {
    match entry.value() {
        ValueRef::Object(value) => Some(value),
        ValueRef::String(_) => None,
    }
}

/// DEBUG LISTPACK: answers the elements of a value that is a listpack, with their sizes. Fails for other encodings.
pub(super) fn listpack(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let entry = ctx.state.keyspace[ctx.db]
        .peek(args.key()?)
        .ok_or(Error::NoSuchKey)?;
    let pack = match value(&entry).map(Value::typed) {
        Some(Typed::Hash(hash)) => hash.as_listpack().map(|(pack, _)| pack),
        Some(Typed::List(list)) => list.as_listpack(),
        Some(Typed::Set(set)) => set.as_listpack(),
        Some(Typed::Zset(zset)) => zset.as_listpack(),
        _ => None,
    };
    let pack = pack.ok_or_else(|| Error::once("Not a listpack encoded object."))?;
    let mut text = Vec::new();
    describe_listpack(pack, &mut text, &mut { ELEMENTS_MAX });
    ctx.reply.verbatim("txt", text);
    Ok(())
}

fn describe_listpack(pack: &Listpack, out: &mut Vec<u8>, left: &mut usize) {
    let head = format!(
        "listpack: {} bytes, {} elements\n",
        pack.byte_len(),
        pack.len()
    );
    out.extend_from_slice(head.as_bytes());
    let mut digits = IntBuf::new();
    for (index, entry) in pack.iter().enumerate() {
        if *left == 0 {
            out.extend_from_slice(b"  ...\n");
            return;
        }
        *left -= 1;
        let kind = if entry.as_int().is_some() {
            "int"
        } else {
            "str"
        };
        out.extend_from_slice(
            format!("  {index:>4} {kind} {:>4} bytes  ", entry.packed_len()).as_bytes(),
        );
        show(entry.as_bytes(&mut digits), out);
    }
}

fn show(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&text[..text.len().min(TEXT_MAX)]);
    out.extend_from_slice(if text.len() > TEXT_MAX {
        b"...\n"
    } else {
        b"\n"
    });
}

/// DEBUG QUICKLIST: answers the blocks of a list, each a listpack, a compressed one, or a single large element; with 1
/// also their elements. Fails for a list that is one listpack, and for other types.
pub(super) fn quicklist(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let entry = ctx.state.keyspace[ctx.db]
        .peek(args.key()?)
        .ok_or(Error::NoSuchKey)?;
    let full = args
        .next()
        .is_some_and(|word| num::parse_i64(word).unwrap_or(0) != 0);
    let Some(list) = value(&entry).and_then(List::of) else {
        return Err(Error::once("Not a quicklist encoded object."));
    };
    let stats = list
        .quick_stats()
        .ok_or_else(|| Error::once("Not a quicklist encoded object."))?;
    let mut text = format!(
        "quicklist: {} elements, {} blocks, fill {}, compress {}\n",
        stats.elements, stats.nodes, stats.fill, stats.compress_depth
    )
    .into_bytes();
    let mut left = ELEMENTS_MAX;
    for (index, node) in list.nodes().enumerate() {
        if left == 0 {
            text.extend_from_slice(b"...\n");
            break;
        }
        left -= 1;
        text.extend_from_slice(format!("block {index}: ").as_bytes());
        match node {
            Node::Plain(element) => {
                text.extend_from_slice(format!("plain, {} bytes\n", element.len()).as_bytes());
                if full {
                    show(element.as_slice(), &mut text);
                }
            }
            packed => {
                if matches!(packed, Node::Squeezed { .. }) {
                    text.extend_from_slice(b"LZF, ");
                }
                if let Some(pack) = packed.listpack() {
                    if full {
                        describe_listpack(&pack, &mut text, &mut left);
                    } else {
                        let line = format!(
                            "listpack: {} bytes, {} elements\n",
                            pack.byte_len(),
                            pack.len()
                        );
                        text.extend_from_slice(line.as_bytes());
                    }
                }
            }
        }
    }
    ctx.reply.verbatim("txt", text);
    Ok(())
}

/// DEBUG HTSTATS-KEY: answers the shape of the table of a large hash, set or sorted set. Fails for other encodings.
pub(super) fn hash_table(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let entry = ctx.state.keyspace[ctx.db]
        .peek(args.key()?)
        .ok_or(Error::NoSuchKey)?;
    let table = match value(&entry).map(Value::typed) {
        Some(Typed::Hash(hash)) => hash.as_table(),
        Some(Typed::Set(set)) => set.as_table(),
        Some(Typed::Zset(zset)) => zset.as_table(),
        _ => None,
    };
    let table = table.ok_or_else(|| {
        Error::once("The value stored at the specified key is not represented using an hash table")
    })?;
    let text = describe_table(table);
    ctx.reply.verbatim("txt", text);
    Ok(())
}

fn describe_table(table: &Table<NoObject>) -> String {
    let stats = table.stats();
    let load = table.len() as f64 * 100.0 / stats.slots.max(1) as f64;
    format!(
        "[Segmented table]\n table size: {}\n number of elements: {}\n load: {load:.2}%\n blocks: {}\n segments: {}\n",
        stats.slots,
        table.len(),
        stats.blocks,
        stats.segments,
    )
}
