//! `struct`: bytes of C structures.
//!
//! Mirrors: lua_struct.c (R. Ierusalimschy's struct 0.2 as patched in Redis).
//! Differs: sizes and offsets are checked before bytes are read, so none of them can overflow.

use std::rc::Rc;

use mlua::{Lua, Table};

use crate::sys::lua::{Args, Failure, Host, Pusher, Work, bad_argument, worker};
use crate::util::num;

/// Largest integer, in bytes.
const INTEGER_MAX: usize = 32;
/// Default of `!`: the alignment of a double and of a pointer.
const ALIGN_MAX: usize = 8;

/// The library's table.
pub fn open(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("pack", worker::<Pack>(lua, host)?)?;
    table.raw_set("unpack", worker::<Unpack>(lua, host)?)?;
    table.raw_set("size", worker::<Size>(lua, host)?)?;
    Ok(table)
}

/// `struct.pack(format, …)`
struct Pack;

impl Work for Pack {
    fn run(host: &Host, args: &Args<'_>, to: &mut Pusher<'_>) -> Result<usize, Failure> {
        let format = args.text(0)?;
        let mut packed = host.take_spare();
        if let Err(text) = pack(format, args, &mut packed) {
            host.give_spare(packed);
            return Err(text.into());
        }
        to.spare(host, packed);
        Ok(1)
    }
}

/// `struct.unpack(format, data [, offset])`
struct Unpack;

impl Work for Unpack {
    fn run(_: &Host, args: &Args<'_>, to: &mut Pusher<'_>) -> Result<usize, Failure> {
        let (format, data) = (args.text(0)?, args.text(1)?);
        let start = match args.is_nil(2) {
            true => 1,
            false => args.number(2)? as i64,
        };
        if start < 1 {
            return Err(bad_argument(2, "offset must be 1 or greater").into());
        }
        Ok(unpack(format, data, start as usize - 1, to)?)
    }
}

/// `struct.size(format)`
struct Size;

impl Work for Size {
    fn run(_: &Host, args: &Args<'_>, to: &mut Pusher<'_>) -> Result<usize, Failure> {
        to.number(size(args.text(0)?)? as f64);
        Ok(1)
    }
}

/// A letter of a format.
struct Item {
    letter: u8,
    /// Bytes that it stands for; 0 for `s`, `c0` and letters that change how others are read.
    size: usize,
    /// Bytes before it.
    padding: usize,
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

    /// The next letter, where it comes at a position.
    #[inline]
    fn next(&mut self, at: usize) -> Result<Option<Item>, String> {
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
                    return Err(format!(
                        "integral size {size} is larger than limit of {INTEGER_MAX}"
                    ));
                }
                size
            }
            _ => 0,
        };
        let padding = if size == 0 || self.align == 1 || letter == b'c' {
            0
        } else {
            let unit = size.min(self.align);
            unit.wrapping_sub(at & unit.wrapping_sub(1)) & unit.wrapping_sub(1)
        };
        Ok(Some(Item {
            letter,
            size,
            padding,
        }))
    }

    #[inline]
    fn number(&mut self, default: usize) -> Result<usize, String> {
        if let [digit @ b'0'..=b'9', rest @ ..] = self.rest
            && !rest.first().is_some_and(u8::is_ascii_digit)
        {
            self.rest = rest;
            return Ok(usize::from(digit - b'0'));
        }
        self.long_number(default)
    }

    fn long_number(&mut self, default: usize) -> Result<usize, String> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(default);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = num::parse_i64(number).filter(|n| *n <= i32::MAX.into());
        let number = number.ok_or_else(|| "integral size overflow".to_owned())?;
        Ok(number as usize)
    }

    /// A letter that changes how others are read.
    fn control(&mut self, letter: u8) -> Result<(), String> {
        match letter {
            b' ' => {}
            b'>' => self.big = true,
            b'<' => self.big = false,
            b'!' => {
                let align = self.number(ALIGN_MAX)?;
                if !align.is_power_of_two() {
                    return Err(format!("alignment {align} is not a power of 2"));
                }
                self.align = align;
            }
            other => {
                let other = char::from(other);
                let reason = format!("invalid format option '{other}'");
                return Err(bad_argument(0, &reason));
            }
        }
        Ok(())
    }
}

fn is_integer(letter: u8) -> bool {
    matches!(
        letter,
        b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I'
    )
}

fn pack(format: &[u8], args: &Args<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let mut format = Format::new(format);
    let mut arg = 1;
    while let Some(Item {
        letter,
        size,
        padding,
    }) = format.next(out.len())?
    {
        if padding > 0 {
            out.resize(out.len() + padding, 0);
        }
        match letter {
            _ if is_integer(letter) => {
                let n = args.number(arg)?;
                let value = if n < 0.0 { n as i64 as u64 } else { n as u64 };
                match format.big {
                    // Eight bytes are copied faster than some of them.
                    true if matches!(size, 1..=8) => {
                        out.extend_from_slice(&(value << (64 - 8 * size)).to_be_bytes());
                        out.truncate(out.len() - (8 - size));
                    }
                    false if size <= 8 => {
                        out.extend_from_slice(&value.to_le_bytes());
                        out.truncate(out.len() - (8 - size));
                    }
                    big => {
                        let mut bytes = [0; INTEGER_MAX];
                        bytes[..8].copy_from_slice(&value.to_le_bytes());
                        put(out, &mut bytes[..size], big);
                    }
                }
                arg += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                let n = args.number(arg)? as f32;
                put(out, &mut n.to_le_bytes(), format.big);
                arg += 1;
            }
            b'd' => {
                let n = args.number(arg)?;
                put(out, &mut n.to_le_bytes(), format.big);
                arg += 1;
            }
            b'c' | b's' => {
                let bytes = args.bytes(arg)?;
                arg += 1;
                let size = if size == 0 { bytes.len() } else { size };
                let bytes = bytes
                    .get(..size)
                    .ok_or_else(|| bad_argument(arg, "string too short"))?;
                out.extend_from_slice(bytes);
                if letter == b's' {
                    out.push(0);
                }
            }
            other => format.control(other)?,
        }
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, little: &mut [u8], big: bool) {
    if big {
        little.reverse();
    }
    out.extend_from_slice(little);
}

/// Pushes the values that bytes hold from a place on, and where they end, from 1.
fn unpack(format: &[u8], data: &[u8], start: usize, to: &mut Pusher<'_>) -> Result<usize, String> {
    let short = || bad_argument(1, "data string too short");
    let mut format = Format::new(format);
    let mut at = start;
    let mut count = 0;
    // The last value, when it is a number: the size of the string that follows as `c0`.
    let mut last = None;
    while let Some(Item {
        letter,
        size,
        padding,
    }) = format.next(at)?
    {
        if count >= Pusher::ROOM && !to.room() {
            return Err("too many results to unpack".into());
        }
        at = at.checked_add(padding).ok_or_else(short)?;
        let mut size = size;
        let rest = data.get(at..).ok_or_else(short)?;
        let bytes = rest.get(..size).ok_or_else(short)?;
        match letter {
            b'c' => {
                if size == 0 {
                    let previous = last.take();
                    let previous: f64 = previous.ok_or("format 'c0' needs a previous size")?;
                    if previous < 0.0 {
                        return Err(short());
                    }
                    to.pop();
                    count -= 1;
                    size = previous as usize;
                }
                to.bytes(rest.get(..size).ok_or_else(short)?);
                last = None;
                count += 1;
            }
            b's' => {
                let end = rest.iter().position(|b| *b == 0);
                let end = end.ok_or("unfinished string in data")?;
                to.bytes(&rest[..end]);
                size = end + 1;
                last = None;
                count += 1;
            }
            b'x' => {}
            _ if size == 0 && !is_integer(letter) => format.control(letter)?,
            _ => {
                let n = match letter {
                    b'f' => f32::from_bits(integer(bytes, format.big) as u32).into(),
                    b'd' => f64::from_bits(integer(bytes, format.big)),
                    b'a'..=b'z' if size > 0 => {
                        let shift = 64 - 8 * size.min(8) as u32;
                        let n = integer(bytes, format.big) << shift;
                        (n as i64 >> shift) as f64
                    }
                    _ => integer(bytes, format.big) as f64,
                };
                to.number(n);
                last = Some(n);
                count += 1;
            }
        }
        at += size;
    }
    to.number((at + 1) as f64);
    Ok(count + 1)
}

/// The lowest 8 bytes of an integer.
fn integer(bytes: &[u8], big: bool) -> u64 {
    let join = |n, byte: &u8| n << 8 | u64::from(*byte);
    match big {
        true => bytes.iter().fold(0, join),
        false => bytes.iter().rev().fold(0, join),
    }
}

fn size(format: &[u8]) -> Result<usize, String> {
    let mut format = Format::new(format);
    let mut at: usize = 0;
    while let Some(Item {
        letter,
        size,
        padding,
    }) = format.next(at)?
    {
        match (letter, size) {
            (b's', _) => return Err(bad_argument(0, "option 's' has no fixed size")),
            (b'c', 0) => return Err(bad_argument(0, "option 'c0' has no fixed size")),
            (letter, 0) if !letter.is_ascii_alphanumeric() => format.control(letter)?,
            _ => {}
        }
        at = at.saturating_add(padding).saturating_add(size);
    }
    Ok(at)
}
