//! Numbers of scripts: `math.random` with the sequence of Redis, the same on every machine, and C's `%g`.
//!
//! The linear congruential generator of `drand48(3)`: 48 bits, of which the upper 31 are given.
//!
//! Mirrors: rand.c and `redis_math_random` of script_lua.c.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua, MultiValue};

use super::error::ScriptError;

/// The generator of one interpreter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drand48(u64);

impl Drand48 {
    const MASK: u64 = (1 << 48) - 1;

    fn new() -> Self {
        Drand48(0x1234_abcd_330e)
    }

    fn seeded(seed: i32) -> Self {
        Drand48(u64::from(seed as u32) << 16 | 0x330e)
    }

    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & Self::MASK;
        (self.0 >> 17) as u32
    }

    /// `math.random` and `math.randomseed`.
    pub(crate) fn functions(lua: &Lua) -> mlua::Result<(Function, Function)> {
        let generator = Rc::new(Cell::new(Drand48::new()));
        let own = generator.clone();
        let random = lua.create_function(move |lua, args: MultiValue| {
            let mut state = own.get();
            const MAX: u32 = i32::MAX as u32;
            let r = f64::from(state.next() % MAX) / f64::from(MAX);
            own.set(state);
            let mut bounds: Vec<f64> = Vec::with_capacity(2);
            for (i, arg) in args.into_iter().enumerate() {
                let Some(n) = lua.coerce_number(arg)? else {
                    let text = format!("bad argument #{} to 'random' (number expected)", i + 1);
                    return Err(ScriptError::plain(text));
                };
                bounds.push((n as i64 as i32).into());
            }
            let empty = |i: usize| {
                ScriptError::plain(format!("bad argument #{i} to 'random' (interval is empty)"))
            };
            match bounds[..] {
                [] => Ok(r),
                [upper] if upper < 1.0 => Err(empty(1)),
                [upper] => Ok((r * upper).floor() + 1.0),
                [lower, upper] if lower > upper => Err(empty(2)),
                [lower, upper] => Ok((r * (upper - lower + 1.0)).floor() + lower),
                _ => Err(ScriptError::plain("wrong number of arguments")),
            }
        })?;
        let seed = lua.create_function(move |_, seed: f64| {
            generator.set(Drand48::seeded(seed as i64 as i32));
            Ok(())
        })?;
        Ok((random, seed))
    }
}

/// A number as C's `%.*g` prints it.
pub(super) fn format_g(n: f64, precision: usize) -> String {
    if n == 0.0 {
        return if n.is_sign_negative() { "-0" } else { "0" }.into();
    }
    let precision = precision.max(1);
    let scientific = format!("{n:.*e}", precision - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| -> String {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(digits), exponent.abs());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    trim(&format!("{n:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::{Drand48, format_g};

    #[test]
    fn numbers_look_as_c_prints_them() {
        let cases = [
            (0.0003, "0.0003"),
            (1023.2, "1023.2"),
            (1e14, "1e+14"),
            (-5000.0, "-5000"),
            (1e-7, "1e-07"),
            (0.1 + 0.2, "0.3"),
        ];
        for (n, text) in cases {
            assert_eq!(format_g(n, 14), text);
        }
    }

    #[test]
    fn the_sequence_is_that_of_lrand48() {
        let mut seeded = Drand48::seeded(0);
        let first: Vec<u32> = (0..3).map(|_| seeded.next()).collect();
        assert_eq!(first, [366850414, 1610402240, 206956554]);
    }
}
