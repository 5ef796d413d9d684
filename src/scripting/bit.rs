//! `bit`: operations on 32-bit numbers.
//!
//! Mirrors: lua_bit.c (LuaBitOp).

use mlua::{Lua, MultiValue, Table, Value};

use super::error::ScriptError;
use crate::util::num;

// Functions under the names scripts use.
type Unary = (&'static str, fn(i32) -> i32);
type Fold = (&'static str, fn(i32, i32) -> i32);
type Shift = (&'static str, fn(i32, u32) -> i32);

/// The library's table.
pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let bit = lua.create_table()?;
    let unary: [Unary; 3] = [
        ("tobit", |n| n),
        ("bnot", |n| !n),
        ("bswap", i32::swap_bytes),
    ];
    for (name, f) in unary {
        bit.raw_set(
            name,
            lua.create_function(move |_, args: MultiValue| Ok(f(integer(&args, 0, name)?)))?,
        )?;
    }
    let folds: [Fold; 3] = [
        ("band", |a, b| a & b),
        ("bor", |a, b| a | b),
        ("bxor", |a, b| a ^ b),
    ];
    for (name, f) in folds {
        let fold = lua.create_function(move |_, args: MultiValue| {
            let mut all = integer(&args, 0, name)?;
            for i in 1..args.len() {
                all = f(all, integer(&args, i, name)?);
            }
            Ok(all)
        })?;
        bit.raw_set(name, fold)?;
    }
    let shifts: [Shift; 5] = [
        ("lshift", |n, by| n.wrapping_shl(by)),
        ("rshift", |n, by| (n as u32).wrapping_shr(by) as i32),
        ("arshift", |n, by| n.wrapping_shr(by)),
        ("rol", |n, by| n.rotate_left(by & 31)),
        ("ror", |n, by| n.rotate_right(by & 31)),
    ];
    for (name, f) in shifts {
        let shift = lua.create_function(move |_, args: MultiValue| {
            let n = integer(&args, 0, name)?;
            Ok(f(n, integer(&args, 1, name)? as u32))
        })?;
        bit.raw_set(name, shift)?;
    }
    bit.raw_set(
        "tohex",
        lua.create_function(|_, args: MultiValue| {
            let n = integer(&args, 0, "tohex")?;
            let digits = match args.get(1) {
                None | Some(Value::Nil) => 8,
                Some(_) => integer(&args, 1, "tohex")?,
            };
            let upper = digits < 0;
            let digits = digits.unsigned_abs().min(8) as usize;
            let text = format!("{n:08x}");
            let text = &text[8 - digits..];
            Ok(if upper {
                text.to_ascii_uppercase()
            } else {
                text.to_owned()
            })
        })?,
    )?;
    Ok(bit)
}

/// An argument as 32 bits: numbers beyond them lose their upper bits.
fn integer(args: &MultiValue, i: usize, function: &str) -> mlua::Result<i32> {
    let number = match args.get(i) {
        Some(Value::Integer(n)) => return Ok(*n as i32),
        Some(Value::Number(n)) => Some(*n),
        Some(Value::String(text)) => num::parse_f64(&text.as_bytes()),
        _ => None,
    };
    let Some(number) = number else {
        let got = args.get(i).map_or("no value", |v| v.type_name());
        return Err(ScriptError::plain(format!(
            "bad argument #{} to '{function}' (number expected, got {got})",
            i + 1
        )));
    };
    // Adding 2^52 + 2^51 leaves the rounded integer in the low bits of the mantissa.
    Ok((number + 6_755_399_441_055_744.0).to_bits() as i32)
}
