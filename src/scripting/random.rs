//! `math.random` of scripts, with the sequence of Redis, the same on every machine.
//!
//! The linear congruential generator of `drand48(3)`: 48 bits, of which the upper 31 are given.
//!
//! Mirrors: rand.c and `redis_math_random` of script_lua.c.
//! Differs: the state is a value of the interpreter, not a static variable.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua};

use crate::sys::lua::{Fault, Host, Push, Pusher, bad_argument, door};

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
    pub(crate) fn functions(lua: &Lua, host: &Rc<Host>) -> mlua::Result<(Function, Function)> {
        let generator = Rc::new(Cell::new(Drand48::new()));
        let own = generator.clone();
        let random = door(lua, host, move |args| {
            const MAX: u32 = i32::MAX as u32;
            let mut state = own.get();
            let r = f64::from(state.next() % MAX) / f64::from(MAX);
            own.set(state);
            let bound = |i| {
                let n = args.number(i)?;
                Ok::<f64, String>(f64::from(n as i64 as i32))
            };
            let empty = |i| Fault::Text(bad_argument(i, "interval is empty"));
            match args.len() {
                0 => Ok(Number(r)),
                1 => match bound(0)? {
                    upper if upper < 1.0 => Err(empty(0)),
                    upper => Ok(Number((r * upper).floor() + 1.0)),
                },
                2 => match (bound(0)?, bound(1)?) {
                    (lower, upper) if lower > upper => Err(empty(1)),
                    (lower, upper) => Ok(Number((r * (upper - lower + 1.0)).floor() + lower)),
                },
                _ => Err(Fault::Text("wrong number of arguments".into())),
            }
        })?;
        let seed = door(lua, host, move |args| {
            let seed = args.number(0)?;
            generator.set(Drand48::seeded(seed as i64 as i32));
            Ok(Nothing)
        })?;
        Ok((random, seed))
    }
}

/// A number for Lua.
struct Number(f64);

impl Push for Number {
    fn number(&self) -> Option<f64> {
        Some(self.0)
    }

    fn push(&mut self, to: &mut Pusher<'_>) -> Result<usize, String> {
        to.number(self.0);
        Ok(1)
    }
}

/// A function that returns no value to Lua.
struct Nothing;

impl Push for Nothing {
    fn push(&mut self, _: &mut Pusher<'_>) -> Result<usize, String> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Drand48;

    #[test]
    fn the_sequence_is_that_of_lrand48() {
        let mut seeded = Drand48::seeded(0);
        let first: Vec<u32> = (0..3).map(|_| seeded.next()).collect();
        assert_eq!(first, [366850414, 1610402240, 206956554]);
    }
}
