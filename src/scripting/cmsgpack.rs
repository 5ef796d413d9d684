//! `cmsgpack`: MessagePack for scripts.
//!
//! Tables deeper than 16 levels become nil, which also ends circular ones.
//!
//! Mirrors: lua_cmsgpack.c. Differs: input nested deeper than [`DEPTH_MAX`] is refused instead of
//! using up the stack.

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::error::ScriptError;

/// Deepest nesting that is packed.
const PACK_DEPTH: usize = 16;
/// Deepest nesting that is unpacked.
const DEPTH_MAX: usize = 1000;

/// The library's table.
pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let cmsgpack = lua.create_table()?;
    cmsgpack.raw_set(
        "pack",
        lua.create_function(|lua, args: MultiValue| {
            if args.is_empty() {
                return Err(ScriptError::plain(
                    "bad argument #0 to 'pack' (MessagePack pack needs input.)",
                ));
            }
            let mut out = Vec::new();
            for value in &args {
                pack(value, 0, &mut out)?;
            }
            lua.create_string(out)
        })?,
    )?;
    cmsgpack.raw_set(
        "unpack",
        lua.create_function(|lua, text: LuaString| unpack_some(lua, &text, 0, 0))?,
    )?;
    cmsgpack.raw_set(
        "unpack_one",
        lua.create_function(|lua, (text, offset): (LuaString, Option<f64>)| {
            unpack_some(lua, &text, 1, offset.unwrap_or(0.0) as i64)
        })?,
    )?;
    cmsgpack.raw_set(
        "unpack_limit",
        lua.create_function(
            |lua, (text, limit, offset): (LuaString, f64, Option<f64>)| {
                unpack_some(lua, &text, limit as i64, offset.unwrap_or(0.0) as i64)
            },
        )?,
    )?;
    cmsgpack.raw_set("_NAME", "cmsgpack")?;
    cmsgpack.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    Ok(cmsgpack)
}

fn pack(value: &Value, level: usize, out: &mut Vec<u8>) -> mlua::Result<()> {
    match value {
        Value::String(text) => pack_string(&text.as_bytes(), out),
        Value::Boolean(yes) => out.push(if *yes { 0xc3 } else { 0xc2 }),
        Value::Integer(n) => pack_integer(*n, out),
        Value::Number(n) if *n as i64 as f64 == *n => pack_integer(*n as i64, out),
        Value::Number(n) => {
            let single = *n as f32;
            if f64::from(single) == *n {
                out.push(0xca);
                out.extend_from_slice(&single.to_be_bytes());
            } else {
                out.push(0xcb);
                out.extend_from_slice(&n.to_be_bytes());
            }
        }
        Value::Table(table) if level < PACK_DEPTH => {
            if is_array(table)? {
                let len = table.raw_len();
                header(len, [0x90, 15, 0xdc, 0xdd], out);
                for i in 1..=len {
                    pack(&table.raw_get(i)?, level + 1, out)?;
                }
            } else {
                let mut body = Vec::new();
                let mut len = 0;
                for pair in table.pairs::<Value, Value>() {
                    let (key, value) = pair?;
                    pack(&key, level + 1, &mut body)?;
                    pack(&value, level + 1, &mut body)?;
                    len += 1;
                }
                header(len, [0x80, 15, 0xde, 0xdf], out);
                out.append(&mut body);
            }
        }
        _ => out.push(0xc0),
    }
    Ok(())
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
fn is_array(table: &Table) -> mlua::Result<bool> {
    let (mut count, mut max) = (0, 0);
    for pair in table.pairs::<Value, Value>() {
        match pair?.0 {
            Value::Integer(n) if n > 0 => {
                max = max.max(n);
                count += 1;
            }
            _ => return Ok(false),
        }
    }
    Ok(max == count)
}

#[derive(Debug)]
enum Bad {
    Missing,
    Format,
    Lua(mlua::Error),
}

impl From<mlua::Error> for Bad {
    fn from(error: mlua::Error) -> Bad {
        Bad::Lua(error)
    }
}

fn unpack_some(lua: &Lua, text: &LuaString, limit: i64, offset: i64) -> mlua::Result<MultiValue> {
    let text = text.as_bytes();
    let len = text.len();
    if offset < 0 || limit < 0 {
        return Err(ScriptError::plain(format!(
            "Invalid request to unpack with offset of {offset} and limit of {len}."
        )));
    }
    if offset as usize > len {
        return Err(ScriptError::plain(format!(
            "Start offset {offset} greater than input length {len}."
        )));
    }
    let all = limit == 0 && offset == 0;
    let limit = if all { i64::MAX } else { limit };
    let mut rest = &text[offset as usize..];
    let mut values = Vec::new();
    while !rest.is_empty() && (values.len() as i64) < limit {
        let value = unpack(lua, &mut rest, 0).map_err(|bad| match bad {
            Bad::Missing => ScriptError::plain("Missing bytes in input."),
            Bad::Format => ScriptError::plain("Bad data format in input."),
            Bad::Lua(error) => error,
        })?;
        values.push(value);
    }
    if !all {
        let next = if rest.is_empty() {
            -1
        } else {
            (len - rest.len()) as i64
        };
        values.insert(0, Value::Integer(next));
    }
    Ok(MultiValue::from_vec(values))
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

fn unpack(lua: &Lua, rest: &mut &[u8], depth: usize) -> Result<Value, Bad> {
    if depth > DEPTH_MAX {
        return Err(Bad::Format);
    }
    let kind = take(rest, 1)?[0];
    let number = |n: f64| Ok(Value::Number(n));
    match kind {
        0x00..=0x7f => number(kind.into()),
        0xe0..=0xff => number((kind as i8).into()),
        0xcc..=0xcf => {
            let n = unsigned(rest, 1 << (kind - 0xcc))?;
            number(n as f64)
        }
        0xd0..=0xd3 => {
            let bytes = 1 << (kind - 0xd0);
            let shift = 64 - 8 * bytes as u32;
            let n = (unsigned(rest, bytes)? << shift) as i64 >> shift;
            number(n as f64)
        }
        0xca => {
            let bits = unsigned(rest, 4)? as u32;
            number(f32::from_bits(bits).into())
        }
        0xcb => number(f64::from_bits(unsigned(rest, 8)?)),
        0xc0 => Ok(Value::Nil),
        0xc2 => Ok(Value::Boolean(false)),
        0xc3 => Ok(Value::Boolean(true)),
        0xa0..=0xbf => string(lua, rest, (kind & 0x1f).into()),
        0xd9..=0xdb => {
            let len = unsigned(rest, 1 << (kind - 0xd9))?;
            string(lua, rest, len)
        }
        0x90..=0x9f => array(lua, rest, (kind & 15).into(), depth),
        0xdc | 0xdd => {
            let len = unsigned(rest, 2 << (kind - 0xdc))?;
            array(lua, rest, len, depth)
        }
        0x80..=0x8f => map(lua, rest, (kind & 15).into(), depth),
        0xde | 0xdf => {
            let len = unsigned(rest, 2 << (kind - 0xde))?;
            map(lua, rest, len, depth)
        }
        _ => Err(Bad::Format),
    }
}

fn string(lua: &Lua, rest: &mut &[u8], len: u64) -> Result<Value, Bad> {
    let bytes = take(rest, usize::try_from(len).map_err(|_| Bad::Missing)?)?;
    Ok(Value::String(lua.create_string(bytes)?))
}

fn array(lua: &Lua, rest: &mut &[u8], len: u64, depth: usize) -> Result<Value, Bad> {
    let table = lua.create_table()?;
    for i in 1..=len {
        table.raw_set(i, unpack(lua, rest, depth + 1)?)?;
    }
    Ok(Value::Table(table))
}

fn map(lua: &Lua, rest: &mut &[u8], len: u64, depth: usize) -> Result<Value, Bad> {
    let table = lua.create_table()?;
    for _ in 0..len {
        let key = unpack(lua, rest, depth + 1)?;
        let value = unpack(lua, rest, depth + 1)?;
        table.raw_set(key, value)?;
    }
    Ok(Value::Table(table))
}
