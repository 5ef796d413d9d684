//! The 80-bit `long double` of INCRBYFLOAT and HINCRBYFLOAT, in integers.
//!
//! Redis adds and prints these in C's `long double`, which on x86-64 has 64 bits of mantissa, 11 more than
//! an `f64`. It shows: 0.1 + 0.2 printed with 17 digits is 0.3 in `long double` and 0.30000000000000004 in
//! `f64`. So a value is kept as what the hardware keeps, and every operation is exact, then rounded once.
//!
//! ```text
//!   value = mantissa * 2^exponent
//!   mantissa  1xxxxxxx…x   64 bits, the top one set (or the exponent is the lowest there is)
//!   exponent  -16445 … 16320
//! ```
//!
//! Invariant: a finite value is normalised as drawn, so equal values are equal bits; zero has mantissa 0
//! and exponent 0.
//!
//! Mirrors: util.c `string2ld` and `ld2string` (its mode for humans, `%.17Lf` with zeros trimmed), and the
//! x87 addition the compiler emits for `incrbyfloatCommand()`.
//! Differs: the same digits on every platform; Redis on ARM or MSVC adds with another precision.
//! Cost: numbers of daily size take a few 128-bit operations; only text with more than 19 digits or a
//! decimal exponent beyond ±27, and printing beyond 10^38, walk through big integers.

use super::num::Float;
use std::cmp::Ordering;

/// Redis reads no more than this as a long double; it bounds the work, too.
#[doc(alias = "MAX_LONG_DOUBLE_CHARS")]
const MAX_TEXT: usize = 5 * 1024;

/// The exponent of subnormals, and the lowest a normalised value can have.
const MIN_EXPONENT: i64 = -16445;
/// The highest: the largest value is (2^64 - 1) * 2^16320, about 1.19e4932.
const MAX_EXPONENT: i64 = 16320;

/// Digits after the point in the printed form.
const PRINTED_DIGITS: u32 = 17;

/// An extended-precision float: sign, 64-bit mantissa, 15 bits of exponent. There is no NaN: the one sum
/// that would give it, infinity minus infinity, is a `None` of [`LongDouble::checked_add`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Magnitude {
    Finite { mantissa: u64, exponent: i32 },
    Infinite,
}

impl LongDouble {
    /// The largest finite number.
    #[doc(alias = "LDBL_MAX")]
    pub const MAX: LongDouble = LongDouble {
        negative: false,
        magnitude: Magnitude::Finite {
            mantissa: u64::MAX,
            exponent: MAX_EXPONENT as i32,
        },
    };

    /// The smallest finite number.
    pub const MIN: LongDouble = LongDouble {
        negative: true,
        ..LongDouble::MAX
    };

    /// The number with the other sign.
    pub fn negated(self) -> Self {
        LongDouble {
            negative: !self.negative,
            ..self
        }
    }

    /// Whether it is less than another.
    pub fn is_below(&self, other: &Self) -> bool {
        // Gradual underflow: a difference is zero only between equals. Equal infinities have none.
        let difference = self.checked_add(other.negated());
        difference.is_some_and(|d| d.negative && !d.is_zero())
    }

    /// Reads decimal or hexadecimal text, `inf`, `infinity`; the grammar of `num::parse_f64`, with the
    /// range of a long double. `None`: not a number in full, `nan`, out of range, rounding to zero, or
    /// 5 KB long and more.
    #[doc(alias = "string2ld")]
    #[doc(alias = "getLongDoubleFromObject")]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= MAX_TEXT {
            return None;
        }
        let value = match Float::split(text)? {
            Float::Infinity { negative } => {
                return Some(LongDouble {
                    negative,
                    magnitude: Magnitude::Infinite,
                });
            }
            Float::Hex {
                negative,
                bits,
                sticky,
                exponent,
            } => {
                if bits == 0 {
                    return Some(Self::zero(negative));
                }
                Self::round(negative, bits, sticky, exponent)
            }
            Float::Decimal {
                negative,
                mantissa,
                exponent,
            } => match Decimal::new(mantissa, exponent) {
                None => return Some(Self::zero(negative)),
                Some(decimal) => decimal.round(negative),
            },
        };
        (value.is_finite() && !value.is_zero()).then_some(value)
    }

    /// The same value: every `f64` is a long double. NaN has none, and gives `None`.
    pub fn from_f64(value: f64) -> Option<Self> {
        if value.is_nan() {
            return None;
        }
        let negative = value.is_sign_negative();
        if value.is_infinite() {
            return Some(LongDouble {
                negative,
                magnitude: Magnitude::Infinite,
            });
        }
        let bits = value.to_bits();
        let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i64);
        let (mantissa, exponent) = match exponent {
            0 => (fraction, -1074),
            _ => (fraction | 1 << 52, exponent - 1075),
        };
        Some(Self::round(negative, u128::from(mantissa), false, exponent))
    }

    /// False for the two infinities.
    pub fn is_finite(&self) -> bool {
        self.magnitude != Magnitude::Infinite
    }

    fn is_zero(&self) -> bool {
        matches!(self.magnitude, Magnitude::Finite { mantissa: 0, .. })
    }

    /// The sum, rounded once, half to even; `None` for infinity minus infinity. The sum of two finite
    /// numbers may be infinite: INCRBYFLOAT refuses that as it refuses the NaN.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let (a, b) = match (self.magnitude, other.magnitude) {
            (Magnitude::Infinite, Magnitude::Infinite) => {
                return (self.negative == other.negative).then_some(self);
            }
            (Magnitude::Infinite, _) => return Some(self),
            (_, Magnitude::Infinite) => return Some(other),
            (
                Magnitude::Finite {
                    mantissa: a,
                    exponent: ae,
                },
                Magnitude::Finite {
                    mantissa: b,
                    exponent: be,
                },
            ) => ((a, ae), (b, be)),
        };
        if self.is_zero() && other.is_zero() {
            return Some(Self::zero(self.negative && other.negative));
        }
        if self.is_zero() {
            return Some(other);
        }
        if other.is_zero() {
            return Some(self);
        }
        // The larger one goes 62 bits to the left in 128, which leaves one bit for the carry. The smaller
        // one is shifted under it, and what falls out at the right is remembered as one sticky bit.
        let (large, small, large_sign, small_sign) = if (a.1, a.0) >= (b.1, b.0) {
            (a, b, self.negative, other.negative)
        } else {
            (b, a, other.negative, self.negative)
        };
        let exponent = i64::from(large.1) - 62;
        let wide = u128::from(large.0) << 62;
        let shift = i64::from(large.1) - i64::from(small.1);
        let shifted = u128::from(small.0) << 62;
        let (shifted, sticky) = match u32::try_from(shift) {
            Ok(shift @ 0..128) => (shifted >> shift, shifted & ((1 << shift) - 1) != 0),
            _ => (0, true),
        };
        let sum = if large_sign == small_sign {
            wide + shifted
        } else {
            // The true difference lies a little below: take one more, and let the sticky bit say "above".
            wide - shifted - u128::from(sticky)
        };
        if sum == 0 {
            return Some(Self::zero(false));
        }
        Some(Self::round(large_sign, sum, sticky, exponent))
    }

    /// The text INCRBYFLOAT stores and answers: no exponent, at most 17 digits after the point, trailing
    /// zeros cut, `inf` and `-inf`. At most about 4,960 bytes.
    #[doc(alias = "ld2string")]
    pub fn format(&self) -> String {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            return if self.negative {
                "-inf".into()
            } else {
                "inf".into()
            };
        };
        let mut text = if exponent >= 0 {
            whole_text(mantissa, exponent as u32)
        } else {
            // In units of 10^-17: below 2^64 * 10^17 < 2^121, so exact in 128 bits until the shift.
            let scaled = u128::from(mantissa) * 10u128.pow(PRINTED_DIGITS);
            let units = shift_right_half_even(scaled, exponent.unsigned_abs());
            let (whole, rest) = (
                units / 10u128.pow(PRINTED_DIGITS),
                units % 10u128.pow(PRINTED_DIGITS),
            );
            let mut text = whole.to_string();
            if rest != 0 {
                let fraction = format!(".{rest:0width$}", width = PRINTED_DIGITS as usize);
                text.push_str(fraction.trim_end_matches('0'));
            }
            text
        };
        if self.negative && text != "0" {
            text.insert(0, '-');
        }
        text
    }

    /// The text with 17 significant digits at most, trailing zeros cut, with an exponent where that is shorter than
    /// zeros: C's `%.17Lg`. AROP answers with it.
    #[doc(alias = "LD_STR_AUTO")]
    pub fn format_general(&self) -> String {
        const DIGITS: usize = 17;
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            return self.format();
        };
        if mantissa == 0 {
            return if self.negative { "-0" } else { "0" }.into();
        }
        // All digits there are, and the power of ten of the first.
        let (mut digits, mut power) = if exponent >= 0 {
            let digits = whole_text(mantissa, exponent as u32).into_bytes();
            let power = digits.len() as i64 - 1;
            (digits, power)
        } else {
            // mantissa / 2^n is mantissa * 5^n / 10^n.
            let places = i64::from(exponent.unsigned_abs());
            let mut number = Big::from(mantissa);
            let mut fives = places;
            while fives > 0 {
                let step = fives.min(MAX_FIVES);
                number.multiply_add(5u64.pow(step as u32), 0);
                fives -= step;
            }
            let digits = number.into_text().into_bytes();
            let power = digits.len() as i64 - 1 - places;
            (digits, power)
        };
        if digits.len() > DIGITS {
            let rest = digits.split_off(DIGITS);
            let odd = digits.last().is_some_and(|digit| digit % 2 == 1);
            let half = rest[0] == b'5' && rest[1..].iter().all(|digit| *digit == b'0');
            if rest[0] > b'5' || rest[0] == b'5' && (!half || odd) {
                let nines = digits
                    .iter()
                    .rev()
                    .take_while(|digit| **digit == b'9')
                    .count();
                digits.truncate(DIGITS - nines);
                match digits.last_mut() {
                    Some(digit) => *digit += 1,
                    None => {
                        digits.push(b'1');
                        power += 1;
                    }
                }
            }
        }
        while digits.len() > 1 && digits.last() == Some(&b'0') {
            digits.pop();
        }
        let digits = String::from_utf8_lossy(&digits);
        let sign = if self.negative { "-" } else { "" };
        let len = digits.len() as i64;
        if power < -4 || power >= DIGITS as i64 {
            let point = if len > 1 { "." } else { "" };
            let (first, rest) = digits.split_at(1);
            let below = if power < 0 { '-' } else { '+' };
            return format!("{sign}{first}{point}{rest}e{below}{:02}", power.abs());
        }
        if power < 0 {
            let zeros = "0".repeat((-power - 1) as usize);
            return format!("{sign}0.{zeros}{digits}");
        }
        if len <= power + 1 {
            let zeros = "0".repeat((power + 1 - len) as usize);
            return format!("{sign}{digits}{zeros}");
        }
        let (whole, fraction) = digits.split_at(power as usize + 1);
        format!("{sign}{whole}.{fraction}")
    }

    /// Towards zero; none if it does not fit.
    pub fn truncated(&self) -> Option<i64> {
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            return None;
        };
        if mantissa == 0 {
            return Some(0);
        }
        let (whole, fraction) = match exponent {
            0.. if exponent > i32::from(mantissa.leading_zeros() as u8) => return None,
            0.. => (mantissa << exponent, false),
            -63..=-1 => {
                let shift = exponent.unsigned_abs();
                (mantissa >> shift, mantissa & ((1 << shift) - 1) != 0)
            }
            _ => (0, true),
        };
        const BELOW: u64 = 1 << 63;
        match (self.negative, whole) {
            (false, 0..BELOW) if whole < BELOW - 1 || !fraction => Some(whole as i64),
            (true, 0..BELOW) => Some(-(whole as i64)),
            (true, BELOW) if !fraction => Some(i64::MIN),
            _ => None,
        }
    }

    fn zero(negative: bool) -> Self {
        LongDouble {
            negative,
            magnitude: Magnitude::Finite {
                mantissa: 0,
                exponent: 0,
            },
        }
    }

    /// `bits * 2^exponent`, a little more if `sticky`, rounded half to even to 64 bits, to fewer among the
    /// subnormals, to infinity above the range. `sticky` needs at least 66 bits in `bits`.
    fn round(negative: bool, bits: u128, sticky: bool, exponent: i64) -> Self {
        if bits == 0 {
            return Self::zero(negative);
        }
        // How many low bits go: down to 64, or to the lowest exponent if that takes more.
        let width = 128 - i64::from(bits.leading_zeros());
        let drop = (width - 64).max(MIN_EXPONENT - exponent);
        let (mut kept, mut exponent) = if drop <= 0 {
            // Exact; a short mantissa moves up, unless the exponent is at its end already.
            (bits << -drop, exponent + drop)
        } else {
            let rounded = round_off(bits, sticky, drop);
            (rounded, exponent + drop)
        };
        if kept >> 64 != 0 {
            kept >>= 1;
            exponent += 1;
        }
        let magnitude = if kept == 0 {
            return Self::zero(negative);
        } else if exponent > MAX_EXPONENT {
            Magnitude::Infinite
        } else {
            Magnitude::Finite {
                mantissa: kept as u64,
                exponent: exponent as i32,
            }
        };
        LongDouble {
            negative,
            magnitude,
        }
    }
}

impl From<i64> for LongDouble {
    /// Exact: an `i64` has no more bits than the mantissa.
    fn from(value: i64) -> Self {
        Self::round(value < 0, u128::from(value.unsigned_abs()), false, 0)
    }
}

/// `bits / 2^drop` rounded half to even, `drop` at least 1; `sticky` says the value is a little more.
fn round_off(bits: u128, sticky: bool, drop: i64) -> u128 {
    match drop {
        1..128 => {
            let half = 1u128 << (drop - 1);
            let rest = bits & (half | (half - 1));
            let kept = bits >> drop;
            let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
            kept + u128::from(up)
        }
        128 => u128::from(bits > 1 << 127 || (bits == 1 << 127 && sticky)),
        _ => 0,
    }
}

fn shift_right_half_even(value: u128, shift: u32) -> u128 {
    if shift == 0 {
        value
    } else {
        round_off(value, false, i64::from(shift))
    }
}

/// `mantissa * 2^exponent` in decimal.
fn whole_text(mantissa: u64, exponent: u32) -> String {
    if exponent <= 64 {
        return (u128::from(mantissa) << exponent).to_string();
    }
    let mut number = Big::from(mantissa);
    number.shift_left(exponent as usize);
    number.into_text()
}

const TEN_19: u64 = 10_000_000_000_000_000_000;

/// 5^27 is the largest power of five in 64 bits: up to there, 10^n is a short number times 2^n.
const MAX_FIVES: i64 = 27;

/// A non-zero decimal: `digits * 10^power`.
struct Decimal<'a> {
    /// Without zeros at the ends; a dot may be among them.
    digits: &'a [u8],
    count: i64,
    power: i64,
}

impl<'a> Decimal<'a> {
    /// `None` for zero.
    fn new(mantissa: &'a [u8], exponent: i64) -> Option<Self> {
        let significant = |byte: &u8| matches!(byte, b'1'..=b'9');
        let start = mantissa.iter().position(significant)?;
        let end = mantissa.iter().rposition(significant)? + 1;
        let dot = mantissa
            .iter()
            .position(|&byte| byte == b'.')
            .unwrap_or(mantissa.len());
        let digits = &mantissa[start..end];
        let inner_dot = (start..end).contains(&dot);
        // The place of the last digit kept, counted from the dot: 0 for the ones, -1 for the tenths.
        let place = if end <= dot {
            (dot - end) as i64
        } else {
            -((end - dot - 1) as i64)
        };
        Some(Decimal {
            digits,
            count: digits.len() as i64 - i64::from(inner_dot),
            power: exponent.saturating_add(place),
        })
    }

    fn round(&self, negative: bool) -> LongDouble {
        // The first digit stands for 10^magnitude; beyond these the answer is plain, and the work unbounded.
        let magnitude = self.power.saturating_add(self.count - 1);
        if magnitude > 4933 {
            return LongDouble {
                negative,
                magnitude: Magnitude::Infinite,
            };
        }
        if magnitude < -4953 {
            return LongDouble::zero(negative);
        }
        if self.count <= 19 && (-MAX_FIVES..=MAX_FIVES).contains(&self.power) {
            self.round_short(negative)
        } else {
            self.round_big(negative)
        }
    }

    fn values(&self) -> impl Iterator<Item = u8> {
        self.digits
            .iter()
            .filter(|&&byte| byte != b'.')
            .map(|byte| byte - b'0')
    }

    /// Up to 19 digits and a power of five that both fit 64 bits.
    fn round_short(&self, negative: bool) -> LongDouble {
        let digits = self
            .values()
            .fold(0u64, |value, digit| value * 10 + u64::from(digit));
        let fives = 5u64.pow(self.power.unsigned_abs() as u32);
        if self.power >= 0 {
            let product = u128::from(digits) * u128::from(fives);
            return LongDouble::round(negative, product, false, self.power);
        }
        // Both moved to the top of 64 bits, the quotient of 128 by 64 bits has 64 or 65; two more from
        // the remainder make the 66 that rounding wants.
        let (up, fives_up) = (digits.leading_zeros(), fives.leading_zeros());
        let divisor = u128::from(fives << fives_up);
        let dividend = u128::from(digits << up) << 64;
        let (quotient, rest) = (dividend / divisor, dividend % divisor);
        let (more, rest) = ((rest << 3) / divisor, (rest << 3) % divisor);
        let exponent = self.power - 64 - 3 - i64::from(up) + i64::from(fives_up);
        LongDouble::round(negative, quotient << 3 | more, rest != 0, exponent)
    }

    /// Any number of digits and any power: a fraction of big integers, divided bit by bit.
    fn round_big(&self, negative: bool) -> LongDouble {
        let mut above = Big::from(0);
        let (mut group, mut scale) = (0u64, 1u64);
        for digit in self.values() {
            group = group * 10 + u64::from(digit);
            scale *= 10;
            if scale == TEN_19 {
                above.multiply_add(scale, group);
                (group, scale) = (0, 1);
            }
        }
        above.multiply_add(scale, group);
        let mut below = Big::from(1);
        // Only the fives; the twos of 10^power go into the exponent.
        let scaled = if self.power >= 0 {
            &mut above
        } else {
            &mut below
        };
        let mut fives = self.power.unsigned_abs() as i64;
        while fives > 0 {
            let step = fives.min(MAX_FIVES);
            scaled.multiply_add(5u64.pow(step as u32), 0);
            fives -= step;
        }
        // Shift so that the quotient has 66 or 67 bits.
        let shift = 66 - (above.bits() as i64 - below.bits() as i64);
        if shift >= 0 {
            above.shift_left(shift as usize);
        } else {
            below.shift_left(shift.unsigned_abs() as usize);
        }
        let (quotient, exact) = above.divide(&mut below, 67);
        LongDouble::round(negative, quotient, !exact, self.power - shift)
    }
}

/// A natural number of any size, lowest limb first, no zero limb on top. Only what reading and printing
/// need; the largest ever made has about 33,000 bits.
#[derive(Debug)]
struct Big(Vec<u64>);

impl From<u64> for Big {
    fn from(value: u64) -> Self {
        Big(if value == 0 { Vec::new() } else { vec![value] })
    }
}

impl Big {
    /// In decimal; nothing for zero.
    fn into_text(mut self) -> String {
        // Split off 19 digits at a time, the lowest first.
        let mut groups = Vec::new();
        while !self.is_zero() {
            groups.push(self.divide_small(TEN_19));
        }
        let mut text = String::with_capacity(groups.len() * 19);
        for (index, group) in groups.iter().rev().enumerate() {
            if index == 0 {
                text.push_str(&group.to_string());
            } else {
                text.push_str(&format!("{group:019}"));
            }
        }
        text
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> usize {
        match self.0.last() {
            Some(top) => self.0.len() * 64 - top.leading_zeros() as usize,
            None => 0,
        }
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// `self = self * factor + addend`.
    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = u128::from(addend);
        for limb in &mut self.0 {
            let wide = u128::from(*limb) * u128::from(factor) + carry;
            *limb = wide as u64;
            carry = wide >> 64;
        }
        if carry != 0 {
            self.0.push(carry as u64);
        }
        self.trim();
    }

    /// `self = self / divisor`; returns the remainder.
    fn divide_small(&mut self, divisor: u64) -> u64 {
        let mut rest = 0u128;
        for limb in self.0.iter_mut().rev() {
            let wide = rest << 64 | u128::from(*limb);
            *limb = (wide / u128::from(divisor)) as u64;
            rest = wide % u128::from(divisor);
        }
        self.trim();
        rest as u64
    }

    fn shift_left(&mut self, count: usize) {
        if self.is_zero() {
            return;
        }
        let (limbs, bits) = (count / 64, count % 64);
        if bits != 0 {
            self.multiply_add(1 << bits, 0);
        }
        self.0.splice(0..0, std::iter::repeat_n(0, limbs));
    }

    fn shift_right_one(&mut self) {
        let mut carry = 0;
        for limb in self.0.iter_mut().rev() {
            let next = *limb << 63;
            *limb = *limb >> 1 | carry;
            carry = next;
        }
        self.trim();
    }

    fn compare(&self, other: &Big) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// `self -= other`, which must not be larger.
    fn subtract(&mut self, other: &Big) {
        let mut borrow = false;
        for (index, limb) in self.0.iter_mut().enumerate() {
            let take = other.0.get(index).copied().unwrap_or(0);
            (*limb, borrow) = limb.borrowing_sub_u64(take, borrow);
        }
        self.trim();
    }

    /// The quotient, of at most `bits` bits, and whether it is exact. Leaves both numbers changed.
    fn divide(&mut self, divisor: &mut Big, bits: usize) -> (u128, bool) {
        divisor.shift_left(bits);
        let mut quotient = 0u128;
        for _ in 0..bits {
            divisor.shift_right_one();
            quotient <<= 1;
            if self.compare(divisor) != Ordering::Less {
                self.subtract(divisor);
                quotient |= 1;
            }
        }
        (quotient, self.is_zero())
    }
}

/// Subtraction with a borrow in and out, until the standard library's is stable.
trait BorrowingSub: Sized {
    fn borrowing_sub_u64(self, take: Self, borrow: bool) -> (Self, bool);
}

impl BorrowingSub for u64 {
    fn borrowing_sub_u64(self, take: u64, borrow: bool) -> (u64, bool) {
        let (rest, first) = self.overflowing_sub(take);
        let (rest, second) = rest.overflowing_sub(u64::from(borrow));
        (rest, first | second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let a = LongDouble::parse(a.as_bytes()).expect("a number");
        let b = LongDouble::parse(b.as_bytes()).expect("a number");
        a.checked_add(b).expect("no NaN").format()
    }

    /// The texts C's `%.17Lg` prints on x86-64.
    #[test]
    fn general_text_is_that_of_c() {
        let known = [
            ("0", "0"),
            ("-0", "-0"),
            ("60", "60"),
            ("60.5", "60.5"),
            ("0.1", "0.1"),
            ("0.3", "0.3"),
            ("1e17", "1e+17"),
            ("99999999999999999", "99999999999999999"),
            ("123456789012345678", "1.2345678901234568e+17"),
            ("1e-5", "1e-05"),
            ("0.0001", "0.0001"),
            ("0.00012345", "0.00012345"),
            ("1.5e300", "1.5e+300"),
            ("9.9999999999999999999e20", "1e+21"),
            ("3.14159", "3.14159"),
            ("-2.5", "-2.5"),
            ("1e-20", "1e-20"),
            ("12345678901234567.5", "12345678901234568"),
            ("12345678901234568.5", "12345678901234568"),
            ("0.99999999999999999999", "1"),
            ("4e4000", "4e+4000"),
            ("1e-4900", "1e-4900"),
            ("2.5e-7", "2.5e-07"),
        ];
        for (text, printed) in known {
            let number = LongDouble::parse(text.as_bytes()).expect("a number");
            assert_eq!(number.format_general(), printed, "{text}");
        }
    }

    #[test]
    fn truncation_is_towards_zero_and_within_bounds() {
        let known = [
            ("7.9", Some(7)),
            ("-7.9", Some(-7)),
            ("0.5", Some(0)),
            ("-1e-30", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775807.5", None),
            ("9223372036854775806.5", Some(i64::MAX - 1)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("1e30", None),
            ("1024", Some(1024)),
            ("inf", None),
        ];
        for (text, whole) in known {
            let number = LongDouble::parse(text.as_bytes()).expect("a number");
            assert_eq!(number.truncated(), whole, "{text}");
        }
    }

    /// The texts C prints for the same sums in `long double` on x86-64.
    #[test]
    fn sums_are_those_of_the_hardware() {
        let known = [
            ("0.1", "0.2", "0.3"),
            ("10.5", "0.1", "10.6"),
            ("5.0e3", "200", "5200"),
            ("3.0e3", "0", "3000"),
            ("1.1", "2.2", "3.3"),
            ("0.3", "-0.1", "0.2"),
            ("1e4932", "-1e4932", "0"),
            ("1", "-1e-17", "0.99999999999999999"),
            ("1", "1e-18", "1"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("1e30", "1", "1000000000000000000024696061952"),
            (
                "123456789.987654321",
                "0.000000001",
                "123456789.98765432199434144",
            ),
            ("17.3", "-0.000000000000000005", "17.29999999999999999"),
            ("-1e-20", "0", "0"),
            ("-1.5", "1.5", "0"),
            ("9007199254740993", "0.5", "9007199254740993.5"),
            ("1e40", "0", "9999999999999999999783686092270256259072"),
            ("0x1.8p3", "-0X10", "-4"),
            ("inf", "1", "inf"),
            ("1", "-Infinity", "-inf"),
            ("1e4932", "1e4932", "inf"),
        ];
        for (a, b, expected) in known {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
            assert_eq!(sum(b, a), expected, "{b} + {a}");
        }
    }

    #[test]
    fn the_ends_of_the_range() {
        let parse = |text: &str| LongDouble::parse(text.as_bytes());
        let largest = parse("1.18973149535723176502e4932").expect("the largest");
        assert_eq!(
            largest,
            parse("0x0.ffffffffffffffffp16384").expect("the largest")
        );
        assert!(
            largest
                .format()
                .starts_with("11897314953572317650212638530309702051690633222946")
        );
        assert_eq!(largest.format().len(), 4933);
        assert!(parse("0x1p-16445").is_some_and(|tiny| tiny.format() == "0"));
        assert_eq!(parse("1.9e-4951"), parse("0x1p-16445"));
        for text in [
            "1.1897314953572317651e4932",
            "0x1p16384",
            "1.8e-4951",
            "0x1p-16446",
            "1e-9999999999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"9".repeat(MAX_TEXT)), None);
        assert!(
            parse(&format!("0.{}", "9".repeat(MAX_TEXT - 3)))
                .is_some_and(|one| one.format() == "1")
        );
        assert_eq!(
            parse(&format!("{}e-5000", "9".repeat(MAX_TEXT - 7))).map(|v| v.format().len()),
            Some(114)
        );
    }

    #[test]
    fn infinities_do_not_cancel() {
        let infinite = LongDouble::parse(b"inf").expect("infinity");
        let minus = LongDouble::parse(b"-inf").expect("infinity");
        assert!(!infinite.is_finite());
        assert_eq!(infinite.checked_add(minus), None);
        assert_eq!(infinite.checked_add(infinite), Some(infinite));
    }

    #[test]
    fn not_numbers() {
        for text in [
            "", " 1", "1 ", "nan", "1e", "0x", ".", "1.2.3", "0x1p", "1\0", "+-1",
        ] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn other_numbers_convert_exactly() {
        for value in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(LongDouble::from(value).format(), value.to_string());
        }
        let coordinate = LongDouble::from_f64(13.361389338970184).expect("a number");
        assert_eq!(coordinate.format(), "13.36138933897018433");
        let tiny = LongDouble::from_f64(5e-324).expect("a number");
        assert_eq!(Some(tiny), LongDouble::parse(b"0x1p-1074"));
        assert_eq!(
            LongDouble::from_f64(-0.0).map(|zero| zero.format()),
            Some("0".to_owned())
        );
        assert_eq!(LongDouble::from_f64(f64::NAN), None);
        assert_eq!(
            LongDouble::from_f64(f64::NEG_INFINITY),
            LongDouble::parse(b"-inf")
        );
    }

    /// The short way and the long way through parsing must round alike.
    #[test]
    fn both_ways_of_parsing_agree() {
        let mut state = 7u64;
        for _ in 0..3_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (whole, places) = (state >> (state % 50), state >> 58);
            let short = format!("{whole}e-{}", places % 27);
            let decimal = match Float::split(short.as_bytes()) {
                Some(Float::Decimal {
                    mantissa, exponent, ..
                }) => Decimal::new(mantissa, exponent),
                _ => panic!("{short} is a decimal"),
            };
            if let Some(decimal) = decimal.filter(|decimal| decimal.count <= 19) {
                assert_eq!(
                    decimal.round_short(false),
                    decimal.round_big(false),
                    "{short}"
                );
            }
        }
    }
}
