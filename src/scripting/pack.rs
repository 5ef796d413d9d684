//! `struct`: bytes of C structures.
//!
//! Mirrors: lua_struct.c (R. Ierusalimschy's struct 0.2 as patched in Redis).

use mlua::{Lua, MultiValue, Table, Value};

use super::error::ScriptError;
use crate::util::num;

/// Largest integer, in bytes.
const INTEGER_MAX: usize = 32;
/// Default of `!`: the alignment of a double and of a pointer.
const ALIGN_MAX: usize = 8;

/// The library's table.
pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set(
        "pack",
        lua.create_function(|lua, args: MultiValue| {
            let bytes = pack(lua, &args)?;
            lua.create_string(bytes)
        })?,
    )?;
    table.raw_set("unpack", lua.create_function(unpack)?)?;
    table.raw_set(
        "size",
        lua.create_function(|lua, args: MultiValue| size(&text(lua, &args, 0, "size")?))?,
    )?;
    Ok(table)
}

/// Reads a format: what each letter stands for, and the byte order and alignment so far.
struct Format<'a> {
    rest: &'a [u8],
    big: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(format: &'a [u8]) -> Self {
        Format {
            rest: format,
            big: cfg!(target_endian = "big"),
            align: 1,
        }
    }

    /// The next letter, its size, and the padding before it at a position.
    fn next(&mut self, at: usize) -> mlua::Result<Option<(u8, usize, usize)>> {
        let Some((&letter, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        let size = match letter {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > INTEGER_MAX {
                    return Err(ScriptError::plain(format!(
                        "integral size {size} is larger than limit of {INTEGER_MAX}"
                    )));
                }
                size
            }
            _ => 0,
        };
        let padding = if size == 0 || letter == b'c' {
            0
        } else {
            let unit = size.min(self.align);
            unit.wrapping_sub(at & unit.wrapping_sub(1)) & unit.wrapping_sub(1)
        };
        Ok(Some((letter, size, padding)))
    }

    fn number(&mut self, default: usize) -> mlua::Result<usize> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = num::parse_i64(number).filter(|n| *n <= i32::MAX.into());
        let number = number.ok_or_else(|| ScriptError::plain("integral size overflow"))?;
        Ok(number as usize)
    }

    /// A letter that changes how others are read.
    fn control(&mut self, letter: u8) -> mlua::Result<()> {
        match letter {
            b' ' => {}
            b'>' => self.big = true,
            b'<' => self.big = false,
            b'!' => {
                let align = self.number(ALIGN_MAX)?;
                if !align.is_power_of_two() {
                    return Err(ScriptError::plain(format!(
                        "alignment {align} is not a power of 2"
                    )));
                }
                self.align = align;
            }
            other => {
                return Err(ScriptError::plain(format!(
                    "bad argument #1 (invalid format option '{}')",
                    char::from(other)
                )));
            }
        }
        Ok(())
    }
}

fn is_integer(letter: u8) -> bool {
    b"bBhHlLTiI".contains(&letter)
}

fn bad(i: usize, function: &str, reason: &str) -> mlua::Error {
    ScriptError::plain(format!(
        "bad argument #{} to '{function}' ({reason})",
        i + 1
    ))
}

fn text(lua: &Lua, args: &MultiValue, i: usize, function: &str) -> mlua::Result<Vec<u8>> {
    let value = args.get(i).cloned().unwrap_or_default();
    let got = value.type_name();
    match lua.coerce_string(value)? {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => Err(bad(i, function, &format!("string expected, got {got}"))),
    }
}

fn number(lua: &Lua, args: &MultiValue, i: usize, function: &str) -> mlua::Result<f64> {
    let value = args.get(i).cloned().unwrap_or_default();
    let got = value.type_name();
    lua.coerce_number(value)?
        .ok_or_else(|| bad(i, function, &format!("number expected, got {got}")))
}

fn ordered(mut little: Vec<u8>, big: bool) -> Vec<u8> {
    if big {
        little.reverse();
    }
    little
}

fn pack(lua: &Lua, args: &MultiValue) -> mlua::Result<Vec<u8>> {
    let name = "pack";
    let format = text(lua, args, 0, name)?;
    let mut format = Format::new(&format);
    let mut out = Vec::new();
    let mut arg = 1;
    while let Some((letter, size, padding)) = format.next(out.len())? {
        out.resize(out.len() + padding, 0);
        match letter {
            _ if is_integer(letter) => {
                let n = number(lua, args, arg, name)?;
                let value = if n < 0.0 { n as i64 as u64 } else { n as u64 };
                let mut bytes = value.to_le_bytes().to_vec();
                bytes.resize(size, 0);
                out.extend(ordered(bytes, format.big));
                arg += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                let n = number(lua, args, arg, name)? as f32;
                out.extend(ordered(n.to_le_bytes().to_vec(), format.big));
                arg += 1;
            }
            b'd' => {
                let n = number(lua, args, arg, name)?;
                out.extend(ordered(n.to_le_bytes().to_vec(), format.big));
                arg += 1;
            }
            b'c' | b's' => {
                let bytes = text(lua, args, arg, name)?;
                arg += 1;
                let size = if size == 0 { bytes.len() } else { size };
                let bytes = bytes
                    .get(..size)
                    .ok_or_else(|| bad(arg, name, "string too short"))?;
                out.extend_from_slice(bytes);
                if letter == b's' {
                    out.push(0);
                }
            }
            other => format.control(other)?,
        }
    }
    Ok(out)
}

fn unpack(lua: &Lua, args: MultiValue) -> mlua::Result<MultiValue> {
    let name = "unpack";
    let format = text(lua, &args, 0, name)?;
    let data = text(lua, &args, 1, name)?;
    let start = match args.get(2) {
        None | Some(Value::Nil) => 1,
        Some(_) => number(lua, &args, 2, name)? as i64,
    };
    if start < 1 {
        return Err(bad(2, name, "offset must be 1 or greater"));
    }
    let short = || bad(1, name, "data string too short");
    let mut format = Format::new(&format);
    let mut at = start as usize - 1;
    let mut values: Vec<Value> = Vec::new();
    while let Some((letter, size, padding)) = format.next(at)? {
        at += padding;
        let mut size = size;
        let rest = data.get(at..).ok_or_else(short)?;
        let bytes = rest.get(..size).ok_or_else(short)?;
        let little = || ordered(bytes.to_vec(), format.big);
        match letter {
            _ if is_integer(letter) => {
                values.push(Value::Number(integer(
                    &little(),
                    letter.is_ascii_lowercase(),
                )));
            }
            b'x' => {}
            b'f' => {
                let bytes = little().try_into().map_err(|_| short())?;
                values.push(Value::Number(f32::from_le_bytes(bytes).into()));
            }
            b'd' => {
                let bytes = little().try_into().map_err(|_| short())?;
                values.push(Value::Number(f64::from_le_bytes(bytes)));
            }
            b'c' => {
                if size == 0 {
                    let previous = values.pop().and_then(|v| v.as_number());
                    let Some(previous) = previous else {
                        return Err(ScriptError::plain("format 'c0' needs a previous size"));
                    };
                    size = previous as usize;
                }
                let bytes = rest.get(..size).ok_or_else(short)?;
                values.push(Value::String(lua.create_string(bytes)?));
            }
            b's' => {
                let end = rest.iter().position(|b| *b == 0);
                let end = end.ok_or_else(|| ScriptError::plain("unfinished string in data"))?;
                values.push(Value::String(lua.create_string(&rest[..end])?));
                size = end + 1;
            }
            other => format.control(other)?,
        }
        at += size;
    }
    values.push(Value::Integer(at as i64 + 1));
    Ok(MultiValue::from_vec(values))
}

/// An integer of up to 8 significant bytes, lowest first.
fn integer(little: &[u8], signed: bool) -> f64 {
    let significant = &little[..little.len().min(8)];
    let n = significant
        .iter()
        .rev()
        .fold(0_u64, |n, b| n << 8 | u64::from(*b));
    if !signed || significant.is_empty() {
        return n as f64;
    }
    let shift = 64 - 8 * significant.len() as u32;
    ((n << shift) as i64 >> shift) as f64
}

fn size(format: &[u8]) -> mlua::Result<usize> {
    let mut format = Format::new(format);
    let mut at: usize = 0;
    while let Some((letter, size, padding)) = format.next(at)? {
        match (letter, size) {
            (b's', _) => return Err(bad(0, "size", "option 's' has no fixed size")),
            (b'c', 0) => return Err(bad(0, "size", "option 'c0' has no fixed size")),
            (letter, 0) if !letter.is_ascii_alphanumeric() => format.control(letter)?,
            _ => {}
        }
        at = at.saturating_add(padding).saturating_add(size);
    }
    Ok(at)
}
