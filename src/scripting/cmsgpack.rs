//! `cmsgpack`: MessagePack for scripts.
//!
//! Tables deeper than 16 levels become nil, which also ends circular ones.
//!
//! Mirrors: lua_cmsgpack.c.
//! Differs: input nested deeper than [`DEPTH_MAX`] is refused instead of using up the stack.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, Table};

use crate::sys::lua::{Args, Failure, Host, Pusher, Seen, TableView, View, Work, worker};

/// Deepest nesting that is packed.
const PACK_DEPTH: usize = 16;
/// Deepest nesting that is unpacked.
const DEPTH_MAX: usize = 1000;
/// The longest text that is made.
const TEXT_MAX: usize = 1 << 30;
/// Tables packed between two questions whether to go on; a power of two.
const PERIOD: u32 = 1 << 16;

/// The library's table.
pub fn open(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let cmsgpack = lua.create_table()?;
    cmsgpack.raw_set("pack", worker::<Pack>(lua, host)?)?;
    cmsgpack.raw_set("unpack", worker::<Unpack>(lua, host)?)?;
    cmsgpack.raw_set("unpack_one", worker::<UnpackOne>(lua, host)?)?;
    cmsgpack.raw_set("unpack_limit", worker::<UnpackLimit>(lua, host)?)?;
    cmsgpack.raw_set("_NAME", "cmsgpack")?;
    cmsgpack.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    Ok(cmsgpack)
}

/// `cmsgpack.pack(…)`
struct Pack;

impl Work for Pack {
    fn run(host: &Host, args: &Args<'_>, to: &mut Pusher<'_>) -> Result<usize, Failure> {
        if args.is_empty() {
            return Err("bad argument #0 to 'pack' (MessagePack pack needs input.)".into());
        }
        let packer = Packer {
            host,
            tables: Cell::new(0),
        };
        let mut out = host.take_spare();
        for i in 0..args.len() {
            if let Err(failure) = packer.pack(args.view(i), 0, &mut out) {
                host.give_spare(out);
                return Err(failure);
            }
        }
        to.spare(host, out);
        Ok(1)
    }
}

/// `cmsgpack.unpack(bytes)`: all values.
struct Unpack;

impl Work for Unpack {
    fn run(_: &Host, args: &Args<'_>, to: &mut Pusher<'_>) -> Result<usize, Failure> {
        let mut rest = args.text(0)?;
        let mut count = 0;
        while !rest.is_empty() {
            next(to, &mut rest, count)?;
            count += 1;
        }
        Ok(count)
    }
}

/// `cmsgpack.unpack_one(bytes [, offset])`: where the next value begins, and one value.
struct UnpackOne;

impl Work for UnpackOne {
    fn run(_: &Host, args: &Args<'_>, to: &mut Pusher<'_>) -> Result<usize, Failure> {
        unpack_some(args, 1, optional(args, 1)?, to)
    }
}

/// `cmsgpack.unpack_limit(bytes, limit [, offset])`: where the next value begins, and so many values.
struct UnpackLimit;

impl Work for UnpackLimit {
    fn run(host: &Host, args: &Args<'_>, to: &mut Pusher<'_>) -> Result<usize, Failure> {
        let limit = args.number(1)? as i64;
        match (limit, optional(args, 2)?) {
            (0, 0) => Unpack::run(host, args, to),
            (limit, offset) => unpack_some(args, limit, offset, to),
        }
    }
}

fn optional(args: &Args<'_>, i: usize) -> Result<i64, String> {
    match args.is_nil(i) {
        true => Ok(0),
        false => args.number(i).map(|n| n as i64),
    }
}

struct Packer<'a> {
    host: &'a Host,
    tables: Cell<u32>,
}

impl Packer<'_> {
    fn pack(&self, value: View<'_>, level: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
        match value.see() {
            Seen::Bytes(text) => pack_string(text, out),
            Seen::Boolean(yes) => out.push(if yes { 0xc3 } else { 0xc2 }),
            Seen::Number(n) if n as i64 as f64 == n => pack_integer(n as i64, out),
            Seen::Number(n) => {
                let single = n as f32;
                if f64::from(single) == n {
                    out.push(0xca);
                    out.extend_from_slice(&single.to_be_bytes());
                } else {
                    out.push(0xcb);
                    out.extend_from_slice(&n.to_be_bytes());
                }
            }
            Seen::Table(table) if level < PACK_DEPTH => self.table(table, level, out)?,
            _ => out.push(0xc0),
        }
        Ok(())
    }

    fn table(&self, table: TableView<'_>, level: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
        let tables = self.tables.get().wrapping_add(1);
        self.tables.set(tables);
        if tables.is_multiple_of(PERIOD)
            && let Some(text) = self.host.poll()
        {
            return Err(Failure::Killed(text));
        }
        if out.len() > TEXT_MAX {
            return Err("not enough memory".into());
        }
        let deep = || Failure::from("out of Lua stack");
        if is_array(table) {
            let len = table.length();
            header(len, [0x90, 15, 0xdc, 0xdd], out);
            for i in 1..=len {
                let nth = table.nth(i).ok_or_else(deep)?;
                self.pack(nth.view(), level + 1, out)?;
            }
            return Ok(());
        }
        let mut len = 0;
        let counted: Result<(), ()> = table.each(|_, _| {
            len += 1;
            Ok(())
        });
        debug_assert!(counted.is_ok());
        header(len, [0x80, 15, 0xde, 0xdf], out);
        table.each(|key, value| {
            self.pack(key, level + 1, out)?;
            self.pack(value, level + 1, out)
        })
    }
}

/// The header of an array or map: the short form, its largest length, the 16- and 32-bit forms.
fn header(len: usize, [short, max, wide, wider]: [u8; 4], out: &mut Vec<u8>) {
    if len <= max.into() {
        out.push(short | len as u8);
    } else if len <= 0xffff {
        out.push(wide);
        out.extend_from_slice(&(len as u16).to_be_bytes());
    } else {
        out.push(wider);
        out.extend_from_slice(&(len as u32).to_be_bytes());
    }
}

fn pack_string(text: &[u8], out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..32 => out.push(0xa0 | len as u8),
        len @ 32..=0xff => out.extend_from_slice(&[0xd9, len as u8]),
        len => header(len, [0, 0, 0xda, 0xdb], out),
    }
    out.extend_from_slice(text);
}

fn pack_integer(n: i64, out: &mut Vec<u8>) {
    match n {
        0..=0x7f => out.push(n as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, n as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(n as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend_from_slice(&n.to_be_bytes());
        }
        -32..0 => out.push(n as u8),
        -128..-32 => out.extend_from_slice(&[0xd0, n as u8]),
        -0x8000..-128 => {
            out.push(0xd1);
            out.extend_from_slice(&(n as i16).to_be_bytes());
        }
        -0x8000_0000..-0x8000 => {
            out.push(0xd2);
            out.extend_from_slice(&(n as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

/// Whether the keys are 1 to n.
fn is_array(table: TableView<'_>) -> bool {
    let (mut count, mut max) = (0_i64, 0);
    let looked = table.each(|key, _| match key.see() {
        Seen::Number(n) if n > 0.0 && n.fract() == 0.0 => {
            max = max.max(n as i64);
            count += 1;
            Ok(())
        }
        _ => Err(()),
    });
    looked.is_ok() && max == count
}

#[derive(Debug)]
enum Bad {
    Missing,
    Format,
}

/// Pushes where the next value begins, or -1, and at most `limit` values from `offset` on.
fn unpack_some(
    args: &Args<'_>,
    limit: i64,
    offset: i64,
    to: &mut Pusher<'_>,
) -> Result<usize, Failure> {
    let bytes = args.text(0)?;
    let len = bytes.len();
    let Some(from) = usize::try_from(offset).ok().filter(|_| limit >= 0) else {
        let text = format!("Invalid request to unpack with offset of {offset} and limit of {len}.");
        return Err(text.into());
    };
    let Some(mut rest) = bytes.get(from..) else {
        let text = format!("Start offset {offset} greater than input length {len}.");
        return Err(text.into());
    };
    // The place of the next value is known once these are; it is put here then.
    to.nil();
    let mut count = 0;
    while !rest.is_empty() && (count as i64) < limit {
        next(to, &mut rest, count)?;
        count += 1;
    }
    let place = match rest.is_empty() {
        true => -1.0,
        false => (len - rest.len()) as f64,
    };
    to.number(place);
    to.replace(count + 1);
    Ok(count + 1)
}

/// Pushes a value that comes after `count` others.
#[inline]
fn next(to: &mut Pusher<'_>, rest: &mut &[u8], count: usize) -> Result<(), Failure> {
    if count >= Pusher::ROOM && !to.room() {
        return Err("out of Lua stack".into());
    }
    unpack(to, rest, 0).map_err(|bad| match bad {
        Bad::Missing => "Missing bytes in input.".into(),
        Bad::Format => "Bad data format in input.".into(),
    })
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], Bad> {
    let (taken, after) = rest.split_at_checked(n).ok_or(Bad::Missing)?;
    *rest = after;
    Ok(taken)
}

fn unsigned(rest: &mut &[u8], bytes: usize) -> Result<u64, Bad> {
    let taken = take(rest, bytes)?;
    Ok(taken.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Pushes the next value.
fn unpack(to: &mut Pusher<'_>, rest: &mut &[u8], depth: usize) -> Result<(), Bad> {
    if depth > DEPTH_MAX {
        return Err(Bad::Format);
    }
    let kind = take(rest, 1)?[0];
    match kind {
        0x00..=0x7f => to.number(kind.into()),
        0xe0..=0xff => to.number((kind as i8).into()),
        0xcc..=0xcf => {
            let n = unsigned(rest, 1 << (kind - 0xcc))?;
            to.number(n as f64);
        }
        0xd0..=0xd3 => {
            let bytes = 1 << (kind - 0xd0);
            let shift = 64 - 8 * bytes as u32;
            let n = (unsigned(rest, bytes)? << shift) as i64 >> shift;
            to.number(n as f64);
        }
        0xca => {
            let bits = unsigned(rest, 4)? as u32;
            to.number(f32::from_bits(bits).into());
        }
        0xcb => to.number(f64::from_bits(unsigned(rest, 8)?)),
        0xc0 => to.nil(),
        0xc2 => to.boolean(false),
        0xc3 => to.boolean(true),
        0xa0..=0xbf => string(to, rest, (kind & 0x1f).into())?,
        0xd9..=0xdb => {
            let len = unsigned(rest, 1 << (kind - 0xd9))?;
            string(to, rest, len)?;
        }
        0x90..=0x9f => array(to, rest, (kind & 15).into(), depth)?,
        0xdc | 0xdd => {
            let len = unsigned(rest, 2 << (kind - 0xdc))?;
            array(to, rest, len, depth)?;
        }
        0x80..=0x8f => map(to, rest, (kind & 15).into(), depth)?,
        0xde | 0xdf => {
            let len = unsigned(rest, 2 << (kind - 0xde))?;
            map(to, rest, len, depth)?;
        }
        _ => return Err(Bad::Format),
    }
    Ok(())
}

fn string(to: &mut Pusher<'_>, rest: &mut &[u8], len: u64) -> Result<(), Bad> {
    let len = usize::try_from(len).map_err(|_| Bad::Missing)?;
    to.bytes(take(rest, len)?);
    Ok(())
}

/// Room for so many values, if there can be as many in what is left; a long one grows as its values come.
fn hint(len: u64, rest: &[u8]) -> usize {
    len.min(rest.len() as u64).min(64) as usize
}

fn array(to: &mut Pusher<'_>, rest: &mut &[u8], len: u64, depth: usize) -> Result<(), Bad> {
    to.table(hint(len, rest), 0);
    for i in 1..=len {
        unpack(to, rest, depth + 1)?;
        to.set_nth(i as usize);
    }
    Ok(())
}

fn map(to: &mut Pusher<'_>, rest: &mut &[u8], len: u64, depth: usize) -> Result<(), Bad> {
    to.table(0, hint(len, rest));
    for _ in 0..len {
        unpack(to, rest, depth + 1)?;
        unpack(to, rest, depth + 1)?;
        to.set_pair();
    }
    Ok(())
}
