//! Numbers as text, exactly as strict and exactly as printed as Redis does it.
//!
//! ```text
//!   bytes ──parse_i64──▶ i64 ──IntBuf──▶ bytes     the same bytes: "007", "+1", "-0", " 1" are no integers
//!   bytes ──parse_f64──▶ f64 ──FloatBuf─▶ bytes    few digits that read back as the same f64
//! ```
//!
//! Invariant: what [`parse_i64`] accepts, [`IntBuf`] writes back byte for byte. This is why a string value may be kept
//! as an integer (encoding `int`) without any visible difference. The text [`FloatBuf`] writes, [`parse_f64`] reads
//! back to the same bits.
//!
//! Mirrors: util.c (`string2ll`, `string2ull`, `ll2string`, `string2d`, `d2string`, `fixedpoint_d2string`,
//! `memtoull`). The 80-bit `long double` of INCRBYFLOAT is in [`super::long_double`].
//! Printed as Redis 7.2 and later print, digit for digit (see `grisu.rs`). Redis 7.0 printed `%.17g`: 0.1
//! as 0.10000000000000001.

use super::grisu;

/// Longest text [`parse_i64`] looks at, and longest [`IntBuf`] writes: `-9223372036854775808`.
pub const MAX_INT_LEN: usize = 20;

/// The integer these bytes spell, if they spell one the way [`IntBuf`] would: an optional `-`, no leading
/// zero, no `+`, no space, within `i64`. O(len), at most [`MAX_INT_LEN`] bytes are read.
#[doc(alias = "string2ll")]
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    if text.len() > MAX_INT_LEN {
        return None;
    }
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (first, rest) = digits.split_first()?;
    let first = first.wrapping_sub(b'0');
    if first == 0 {
        return (text.len() == 1).then_some(0);
    }
    if first > 9 {
        return None;
    }
    let mut value = u64::from(first);
    if rest.len() < 18 {
        // Up to 18 digits cannot overflow: no checks in the loop.
        for &byte in rest {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + u64::from(digit);
        }
    } else {
        for &byte in rest {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        }
    }
    if negative {
        0i64.checked_sub_unsigned(value)
    } else {
        i64::try_from(value).ok()
    }
}

/// An unsigned integer in plain digits; leading zeros and one `+` are allowed, as in stream IDs.
///
/// Differs from `string2ull` in refusing what falls through to `strtoull` there by accident: leading
/// white space, and a spaced negative number that wraps around.
#[doc(alias = "string2ull")]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// All two-digit numbers, so that printing takes two digits per division.
const PAIRS: [u8; 200] = {
    let mut pairs = [0; 200];
    let mut n = 0;
    while n < 100 {
        pairs[2 * n] = b'0' + (n / 10) as u8;
        pairs[2 * n + 1] = b'0' + (n % 10) as u8;
        n += 1;
    }
    pairs
};

/// A stack buffer to print one integer into: no allocation, two digits per step.
#[derive(Debug, Clone)]
pub struct IntBuf([u8; MAX_INT_LEN]);

impl Default for IntBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl IntBuf {
    /// An empty buffer; any number of numbers can be printed through it, one at a time.
    #[inline]
    pub const fn new() -> Self {
        IntBuf([0; MAX_INT_LEN])
    }

    /// The decimal text of `value`.
    #[doc(alias = "ll2string")]
    #[inline]
    pub fn format(&mut self, value: i64) -> &[u8] {
        let mut start = self.digits(value.unsigned_abs());
        if value < 0 {
            start -= 1;
            self.0[start] = b'-';
        }
        &self.0[start..]
    }

    /// The decimal text of an unsigned `value`.
    #[doc(alias = "ull2string")]
    #[inline]
    pub fn format_u64(&mut self, value: u64) -> &[u8] {
        let start = self.digits(value);
        &self.0[start..]
    }

    /// Fills the buffer from its end, and says where the digits start.
    #[inline]
    fn digits(&mut self, mut value: u64) -> usize {
        let mut at = MAX_INT_LEN;
        while value >= 100 {
            let pair = (value % 100) as usize * 2;
            value /= 100;
            at -= 2;
            self.0[at] = PAIRS[pair];
            self.0[at + 1] = PAIRS[pair + 1];
        }
        if value >= 10 {
            let pair = value as usize * 2;
            at -= 2;
            self.0[at] = PAIRS[pair];
            self.0[at + 1] = PAIRS[pair + 1];
        } else {
            at -= 1;
            self.0[at] = b'0' + value as u8;
        }
        at
    }
}

/// How many decimal digits `value` has; 1 for 0.
#[inline]
pub const fn digits10(value: u64) -> usize {
    match value.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

/// How many bytes [`IntBuf::format`] writes for `value`, the sign included.
#[doc(alias = "sdigits10")]
#[inline]
pub const fn int_len(value: i64) -> usize {
    digits10(value.unsigned_abs()) + (value < 0) as usize
}

/// The float these bytes spell, as C's `strtod` reads it and `string2d` then accepts it.
///
/// Decimal or hexadecimal (`0x1.8p3`), `inf` and `infinity` in any case, each with an optional sign.
/// Not accepted: empty text, white space, anything after the number, `nan`, a number too large for an
/// `f64`, and one so small that it would read as zero.
#[doc(alias = "string2d")]
#[doc(alias = "getDoubleFromObject")]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    // A whole number of up to 15 digits is exact, and is what most scores are.
    if text.len() < 16
        && let Some(value) = parse_i64(text)
    {
        return Some(value as f64);
    }
    match Float::split(text)? {
        Float::Infinity { negative } => Some(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }),
        Float::Decimal { mantissa, .. } => {
            let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            let zero = mantissa.iter().all(|&byte| matches!(byte, b'0' | b'.'));
            (value.is_finite() && (value != 0.0 || zero)).then_some(value)
        }
        Float::Hex {
            negative,
            bits,
            sticky,
            exponent,
        } => {
            let value = f64_from_parts(bits, sticky, exponent)?;
            Some(if negative { -value } else { value })
        }
    }
}

/// A float's text, taken apart but not yet rounded; shared by [`parse_f64`] and `LongDouble::parse`.
#[derive(Debug)]
pub(super) enum Float<'a> {
    Infinity {
        negative: bool,
    },
    /// `mantissa` holds digits and at most one dot, at least one digit; `exponent` is saturated.
    Decimal {
        negative: bool,
        mantissa: &'a [u8],
        exponent: i64,
    },
    /// The value is `bits * 2^exponent`, a little more if `sticky`; then `bits` has more than 120 bits.
    Hex {
        negative: bool,
        bits: u128,
        sticky: bool,
        exponent: i64,
    },
}

impl<'a> Float<'a> {
    /// The grammar of `strtod`, the whole of `text` or nothing.
    pub(super) fn split(text: &'a [u8]) -> Option<Self> {
        let (negative, body) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
            return Some(Float::Infinity { negative });
        }
        if let [b'0', b'x' | b'X', hex @ ..] = body {
            return Self::split_hex(negative, hex);
        }
        let marker = body.iter().position(|&byte| matches!(byte, b'e' | b'E'));
        let mantissa = &body[..marker.unwrap_or(body.len())];
        let exponent = match marker {
            Some(at) => saturating_exponent(&body[at + 1..])?,
            None => 0,
        };
        let dots = mantissa.iter().filter(|&&byte| byte == b'.').count();
        let digits = mantissa.iter().filter(|byte| byte.is_ascii_digit()).count();
        (digits > 0 && dots <= 1 && dots + digits == mantissa.len()).then_some(Float::Decimal {
            negative,
            mantissa,
            exponent,
        })
    }

    fn split_hex(negative: bool, hex: &[u8]) -> Option<Self> {
        let marker = hex.iter().position(|&byte| matches!(byte, b'p' | b'P'));
        let given = match marker {
            Some(at) => saturating_exponent(&hex[at + 1..])?,
            None => 0,
        };
        let (mut bits, mut sticky, mut exponent) = (0u128, false, 0i64);
        let (mut digits, mut dot) = (0usize, false);
        for &byte in &hex[..marker.unwrap_or(hex.len())] {
            if byte == b'.' && !dot {
                dot = true;
                continue;
            }
            let digit = char::from(byte).to_digit(16)?;
            digits += 1;
            exponent -= if dot { 4 } else { 0 };
            if bits >> 124 == 0 {
                bits = bits << 4 | u128::from(digit);
            } else {
                sticky |= digit != 0;
                exponent += 4;
            }
        }
        (digits > 0).then_some(Float::Hex {
            negative,
            bits,
            sticky,
            exponent: exponent.saturating_add(given),
        })
    }
}

/// Digits after an `e` or `p`, with their sign; far out of any float's range they stop growing.
fn saturating_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, &byte| {
        (value * 10 + i64::from(byte - b'0')).min(1 << 40)
    });
    Some(if negative { -value } else { value })
}

/// Rounds `bits * 2^exponent` (a little more if `sticky`) half to even; `None` where `strtod` says ERANGE
/// and `string2d` minds: too large, or so small that only zero is left.
fn f64_from_parts(bits: u128, sticky: bool, exponent: i64) -> Option<f64> {
    if bits == 0 {
        return Some(0.0);
    }
    // The place of the highest bit; the result keeps 53 bits from there, fewer among the subnormals.
    let width = 128 - i64::from(bits.leading_zeros());
    let top = exponent + width - 1;
    if !(-1075..=1023).contains(&top) {
        return None;
    }
    let keep = (top + 1075).min(53);
    let drop = width - keep;
    if drop <= 0 {
        return Some(scale(bits as f64, exponent));
    }
    // `drop` is 128 when all of 128 bits go; the half is in reach even then.
    let half = 1u128 << (drop - 1);
    let rest = bits & (half | (half - 1));
    let kept = bits.checked_shr(drop as u32).unwrap_or(0);
    let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
    let value = scale((kept + u128::from(up)) as f64, exponent + drop);
    (value != 0.0 && value.is_finite()).then_some(value)
}

/// `value * 2^power` where `value` has at most 53 bits and the product is exact or infinite. In steps,
/// because no single power of two reaches from the largest values to the subnormals.
fn scale(mut value: f64, mut power: i64) -> f64 {
    while power != 0 {
        let step = power.clamp(-1000, 1000);
        value *= f64::from_bits(((step + 1023) as u64) << 52);
        power -= step;
    }
    value
}

/// Longest text of a shortest-digits float: `-1.2345678901234567e-308`, and of the integers kept whole.
const MAX_FLOAT_LEN: usize = 32;

/// A stack buffer to print one float into, as replies, scores and log files show it.
#[derive(Debug, Clone)]
pub struct FloatBuf {
    bytes: [u8; MAX_FLOAT_LEN],
    len: usize,
}

impl Default for FloatBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl FloatBuf {
    /// An empty buffer; any number of numbers can be printed through it, one at a time.
    pub const fn new() -> Self {
        FloatBuf {
            bytes: [0; MAX_FLOAT_LEN],
            len: 0,
        }
    }

    /// A short text that reads back as `value`: whole numbers without a dot, exponents as `1e+20`,
    /// `inf`, `-inf`, `nan`, `-0`.
    #[doc(alias = "d2string")]
    pub fn format(&mut self, value: f64) -> &[u8] {
        self.len = 0;
        if value.is_nan() {
            self.push(b"nan");
        } else if value.is_infinite() {
            self.push(if value < 0.0 { b"-inf" } else { b"inf" });
        } else if value == 0.0 {
            self.push(if value.is_sign_negative() {
                b"-0"
            } else {
                b"0"
            });
        } else if let Some(whole) = as_whole(value) {
            self.push(IntBuf::new().format(whole));
        } else {
            self.format_fraction(value);
        }
        &self.bytes[..self.len]
    }

    /// As [`FloatBuf::format`], but whole numbers are laid out as any other: 5000000000 is `5e+9`. The digests of
    /// Redis are made of these texts.
    #[doc(alias = "fpconv_dtoa")]
    pub fn format_shortest(&mut self, value: f64) -> &[u8] {
        if !value.is_finite() || value == 0.0 {
            return self.format(value);
        }
        self.len = 0;
        self.format_fraction(value);
        &self.bytes[..self.len]
    }

    /// A finite number that is not printed as an `i64`: the layout of `fpconv_dtoa`.
    fn format_fraction(&mut self, value: f64) {
        let shortest = grisu::shortest(value);
        let (digits, power) = (shortest.as_bytes(), shortest.power);
        if value < 0.0 {
            self.push(b"-");
        }
        // The value is `digits * 10^power`, and its first digit stands for 10^exponent.
        let count = digits.len() as i32;
        let exponent = power + count - 1;
        if power >= 0 && exponent < count + 7 {
            self.push(digits);
            self.zeros(power);
        } else if power < 0 && (power > -7 || exponent.abs() < 4) {
            let whole = count + power;
            if whole <= 0 {
                self.push(b"0.");
                self.zeros(-whole);
                self.push(digits);
            } else {
                self.push(&digits[..whole as usize]);
                self.push(b".");
                self.push(&digits[whole as usize..]);
            }
        } else {
            self.push(&digits[..1]);
            if count > 1 {
                self.push(b".");
                self.push(&digits[1..]);
            }
            self.push(if exponent < 0 { b"e-" } else { b"e+" });
            self.push(IntBuf::new().format(i64::from(exponent.abs())));
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    fn zeros(&mut self, count: i32) {
        for _ in 0..count {
            self.push(b"0");
        }
    }
}

/// [`FloatBuf::format`] into a fresh `String`, for where an allocation does not matter.
pub fn format_f64(value: f64) -> String {
    String::from_utf8_lossy(FloatBuf::new().format(value)).into_owned()
}

/// Appends a number as C's `%.*g` prints it: so many significant digits at most, an exponent of two digits or
/// more below 1e-4 and from 10^precision on. `inf`, `-inf` and `nan` are as C has them; NaN has no sign.
pub fn write_g(out: &mut Vec<u8>, value: f64, precision: usize) {
    let precision = precision.clamp(1, 17);
    if let Some(whole) = as_whole(value)
        && digits10(whole.unsigned_abs()) <= precision
    {
        if value == 0.0 && value.is_sign_negative() {
            out.push(b'-');
        }
        return out.extend_from_slice(IntBuf::new().format(whole));
    }
    if !value.is_finite() {
        return out.extend_from_slice(FloatBuf::new().format(value));
    }
    let shortest = grisu::shortest(value);
    let mut rounded;
    let (mut digits, mut exponent) = (
        shortest.as_bytes(),
        shortest.power + shortest.as_bytes().len() as i32 - 1,
    );
    // The shortest text of a number that is not normal has fewer digits than it has.
    if digits.len() > precision || !value.is_normal() {
        rounded = format!("{:.*e}", precision - 1, value.abs()).into_bytes();
        let at = rounded.iter().position(|b| *b == b'e');
        let at = at.unwrap_or(rounded.len());
        let text = String::from_utf8_lossy(rounded.get(at + 1..).unwrap_or_default());
        exponent = text.parse().unwrap_or(0);
        rounded.truncate(at);
        rounded.retain(|b| *b != b'.');
        digits = &rounded;
    }
    let zeros = digits.iter().rev().take_while(|b| **b == b'0').count();
    digits = &digits[..digits.len() - zeros];
    if value < 0.0 {
        out.push(b'-');
    }
    let count = digits.len() as i32;
    if exponent < -4 || exponent >= precision as i32 {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(IntBuf::new().format(exponent.abs().into()));
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend_from_slice(digits);
    } else if exponent + 1 >= count {
        out.extend_from_slice(digits);
        out.extend(std::iter::repeat_n(b'0', (exponent + 1 - count) as usize));
    } else {
        let (whole, fraction) = digits.split_at(exponent as usize + 1);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// The integer equal to `value`, for those Redis prints through its integer printer.
#[doc(alias = "double2ll")]
pub fn as_whole(value: f64) -> Option<i64> {
    let bound = (i64::MAX / 2) as f64;
    if !(-bound..=bound).contains(&value) {
        return None;
    }
    let whole = value as i64;
    (whole as f64 == value).then_some(whole)
}

/// `value` with exactly `digits` (1 to 17) digits after the point, rounded half to even after scaling;
/// distances of GEODIST are printed so. A value that does not fit in an `i64` once scaled saturates.
#[doc(alias = "fixedpoint_d2string")]
pub fn format_fixed(value: f64, digits: u32) -> String {
    let digits = digits.clamp(1, 17);
    let unit = 10u64.pow(digits);
    let scaled = (value * unit as f64).round_ties_even() as i64;
    let (whole, rest) = (scaled.unsigned_abs() / unit, scaled.unsigned_abs() % unit);
    let sign = if scaled < 0 { "-" } else { "" };
    format!("{sign}{whole}.{rest:0width$}", width = digits as usize)
}

/// An amount of memory in bytes: digits and a unit, `k m g` by thousands, `kb mb gb` by 1024, `b` or
/// none for bytes, in any case. No sign, no space; a bare unit means 0 of it, as in Redis.
///
/// Digits beyond 64 bits count as the largest number, as `strtoull` has it. Differs from `memtoull` in
/// refusing a product that does not fit 64 bits, which wraps there.
#[doc(alias = "memtoull")]
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let amount = match digits {
        [] => 0,
        _ => parse_u64(digits).unwrap_or(u64::MAX),
    };
    amount.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few bits of noise per call, the same ones every run.
    fn noise(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[test]
    fn numbers_look_as_c_prints_them() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.0003, "0.0003"),
            (0.00001, "1e-05"),
            (1023.2, "1023.2"),
            (99_999_999_999_999.0, "99999999999999"),
            (1e14, "1e+14"),
            (123_456_789_012_345.0, "1.2345678901234e+14"),
            (-5000.0, "-5000"),
            (-0.5, "-0.5"),
            (1e-7, "1e-07"),
            (1e100, "1e+100"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.33333333333333"),
            (99.999_999_999_999_99, "100"),
            (5e-324, "4.9406564584125e-324"),
            (f64::MAX, "1.7976931348623e+308"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut out = Vec::new();
            write_g(&mut out, number, 14);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn integers_are_read_strictly() {
        let good: [(&[u8], i64); 8] = [
            (b"0", 0),
            (b"1", 1),
            (b"-1", -1),
            (b"99", 99),
            (b"-99", -99),
            (b"9223372036854775807", i64::MAX),
            (b"-9223372036854775808", i64::MIN),
            (b"1000000000000000000", 1_000_000_000_000_000_000),
        ];
        for (text, value) in good {
            assert_eq!(parse_i64(text), Some(value));
        }
        let bad: [&[u8]; 16] = [
            b"",
            b"-",
            b"+1",
            b" 1",
            b"1 ",
            b"01",
            b"-0",
            b"00",
            b"0.1",
            b"1x",
            b"--1",
            b"\xb1",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"18446744073709551616",
            b"123456789012345678901",
        ];
        for text in bad {
            assert_eq!(parse_i64(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn integers_print_what_was_read() {
        let mut state = 1;
        let mut buffer = IntBuf::new();
        for round in 0..20_000 {
            let value = (noise(&mut state) as i64) >> (round % 64);
            let text = value.to_string();
            assert_eq!(buffer.format(value), text.as_bytes());
            assert_eq!(parse_i64(text.as_bytes()), Some(value));
            assert_eq!(int_len(value), text.len());
            assert_eq!(
                buffer.format_u64(value as u64),
                (value as u64).to_string().as_bytes()
            );
        }
        assert_eq!(buffer.format(i64::MIN), b"-9223372036854775808");
        assert_eq!(buffer.format_u64(u64::MAX), b"18446744073709551615");
        assert_eq!(
            (digits10(0), digits10(9), digits10(10), digits10(u64::MAX)),
            (1, 1, 2, 20)
        );
    }

    #[test]
    fn unsigned_integers() {
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"007"), Some(7));
        assert_eq!(parse_u64(b"+7"), Some(7));
        for text in [&b""[..], b"+", b"-1", b" 1", b"1 ", b"x"] {
            assert_eq!(parse_u64(text), None);
        }
    }

    /// Accepted and refused by ZADD of a real 7.0.15, with the score it then tells.
    #[test]
    fn floats_are_read_as_strtod_reads_them() {
        let good: [(&[u8], f64); 18] = [
            (b"0.1", 0.1),
            (b"1.", 1.0),
            (b".5", 0.5),
            (b"+1.5", 1.5),
            (b"1e5", 1e5),
            (b"1E+5", 1e5),
            (b"-007", -7.0),
            (b"5e-324", 5e-324),
            (b"inf", f64::INFINITY),
            (b"+iNf", f64::INFINITY),
            (b"-Infinity", f64::NEG_INFINITY),
            (b"0x10", 16.0),
            (b"0x1.8p3", 12.0),
            (b"-0X.8", -0.5),
            (b"0x1.p-1074", 5e-324),
            (b"0x1.fffffffffffff7p1023", f64::MAX),
            (b"0x1.0000000000000800000000000001p0", 1.0 + f64::EPSILON),
            (b"0e999999999999999999999", 0.0),
        ];
        for (text, value) in good {
            assert_eq!(parse_f64(text), Some(value), "{}", text.escape_ascii());
        }
        let bad: [&[u8]; 26] = [
            b"",
            b" 1",
            b"1 ",
            b"\t1",
            b"1\0",
            b".",
            b"-",
            b"+",
            b"e5",
            b"1e",
            b"1e+",
            b"1e5x",
            b"1.2.3",
            b"nan",
            b"-NaN",
            b"infi",
            b"+-1",
            b"0x",
            b"0x.",
            b"0xg",
            b"0x1p",
            b"1e400",
            b"-1e400",
            b"1e-400",
            b"0x1p1024",
            b"0x1p-1075",
        ];
        for text in bad {
            assert_eq!(parse_f64(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn hex_floats_agree_with_decimal_ones() {
        let mut state = 2;
        for _ in 0..20_000 {
            let bits = noise(&mut state) & !(1 << 63);
            let value = f64::from_bits(bits);
            if !value.is_finite() || value == 0.0 {
                continue;
            }
            let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) as i64);
            let (lead, power) = if exponent == 0 {
                (0, -1022)
            } else {
                (1, exponent - 1023)
            };
            let text = format!("0x{lead}.{fraction:013x}p{power}");
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
            let text = format!("-0x{:x}p{}", (lead << 52) | fraction, power - 52);
            assert_eq!(parse_f64(text.as_bytes()), Some(-value), "{text}");
        }
    }

    /// The texts Redis 7.2 and later give for scores.
    #[test]
    fn floats_print_as_scores_do() {
        let known = [
            (0.1, "0.1"),
            (3.25, "3.25"),
            (-2.5, "-2.5"),
            (100000.0, "100000"),
            (1e17, "100000000000000000"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (123456789012345680000.0, "123456789012345680000"),
            (4611686018427387904.0, "4611686018427387904"),
            (9.3e18, "9.3e+18"),
            (1e-5, "0.00001"),
            (0.0001, "0.0001"),
            (1.5e-7, "1.5e-7"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (0.0, "0"),
            (-0.0, "-0"),
        ];
        for (value, text) in known {
            assert_eq!(format_f64(value), text);
        }
    }

    #[test]
    fn floats_print_what_was_read() {
        let mut state = 3;
        let mut buffer = FloatBuf::new();
        for _ in 0..50_000 {
            let value = f64::from_bits(noise(&mut state));
            if value.is_nan() {
                continue;
            }
            for value in [
                value,
                value.abs().min(1e12).fract(),
                (value % 1e6).round() / 100.0,
            ] {
                let text = buffer.format(value).to_vec();
                let back = parse_f64(&text).expect("what we print, we read");
                assert_eq!(back.to_bits(), value.to_bits(), "{}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn fixed_digits() {
        assert_eq!(format_fixed(0.0, 4), "0.0000");
        assert_eq!(format_fixed(166274.1516, 4), "166274.1516");
        assert_eq!(format_fixed(-0.775, 4), "-0.7750");
        assert_eq!(format_fixed(0.00004, 4), "0.0000");
        assert_eq!(format_fixed(f64::MAX, 17), "92.23372036854775807");
    }

    #[test]
    fn memory_amounts() {
        let good: [(&[u8], u64); 11] = [
            (b"0", 0),
            (b"12", 12),
            (b"12B", 12),
            (b"1k", 1000),
            (b"1Kb", 1024),
            (b"2m", 2_000_000),
            (b"2MB", 2 << 20),
            (b"3g", 3_000_000_000),
            (b"1Gb", 1 << 30),
            (b"kb", 0),
            (b"99999999999999999999", u64::MAX),
        ];
        for (text, bytes) in good {
            assert_eq!(parse_memory(text), Some(bytes), "{}", text.escape_ascii());
        }
        for text in [
            &b"-1"[..],
            b"1tb",
            b"1 kb",
            b"1.5gb",
            b"+1",
            b"18446744073709551615kb",
            b"80%",
        ] {
            assert_eq!(parse_memory(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn noise_never_panics() {
        let mut state = 4;
        let alphabet = b"0123456789+-.eExXpPinfatyINF \0k";
        for _ in 0..50_000 {
            let len = noise(&mut state) % 24;
            let text: Vec<u8> = (0..len)
                .map(|_| alphabet[(noise(&mut state) % alphabet.len() as u64) as usize])
                .collect();
            let _ = (
                parse_i64(&text),
                parse_u64(&text),
                parse_f64(&text),
                parse_memory(&text),
            );
        }
    }
}
