//! The digits of a float: few, quickly, and the same ones as Redis.
//!
//! All decimals between the middles of the way to the neighbouring floats read back as the same float; the
//! shortest of them is wanted. Grisu2 (Loitsch, "Printing floating-point numbers quickly and accurately with
//! integers", 2010) finds it with 64-bit integers only: scaled by a power of ten so that 32 bits or so lie
//! before the binary point, the digits fall out from the left, until what is left is less than the room:
//!
//! ```text
//!           lower      value      upper          upper - delta ≤ digits ≤ upper
//!   ──────────┼──────────┼──────────┼───▶
//!             ├──────── delta ──────┤            then the last digit is lowered towards the value
//! ```
//!
//! The scaling is inexact, so the room is kept a little smaller than it is. The result always reads back as
//! the value; in about one case of a thousand it has a digit more than needed, or is the second nearest. We
//! follow Redis in this on purpose: a score reads the same on both servers.
//!
//! Mirrors: deps/fpconv (`grisu2`). The layout of the digits is in [`super::num::FloatBuf`].

/// Digits and their place: the value is `digits * 10^power`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits {
    bytes: [u8; 18],
    count: usize,
    pub(super) power: i32,
}

impl Digits {
    /// ASCII digits, 1 to 17 of them, the first not zero.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.count]
    }

    fn push(&mut self, digit: u32) {
        self.bytes[self.count] = b'0' + digit as u8;
        self.count += 1;
    }
}

/// `fraction * 2^exponent`.
#[derive(Debug, Clone, Copy)]
struct Scaled {
    fraction: u64,
    exponent: i32,
}

impl Scaled {
    /// Without leading zero bits.
    fn normalised(self) -> Self {
        let zeros = self.fraction.leading_zeros();
        Scaled {
            fraction: self.fraction << zeros,
            exponent: self.exponent - zeros as i32,
        }
    }

    /// The high half of the product, rounded.
    fn times(self, other: Scaled) -> Self {
        let product = u128::from(self.fraction) * u128::from(other.fraction);
        Scaled {
            fraction: ((product + (1 << 63)) >> 64) as u64,
            exponent: self.exponent + other.exponent + 64,
        }
    }
}

const FRACTION_BITS: u32 = 52;
const HIDDEN_BIT: u64 = 1 << FRACTION_BITS;

/// The digits of a finite, non-zero value; its sign is ignored.
pub(super) fn shortest(value: f64) -> Digits {
    let bits = value.to_bits();
    let (fraction, exponent) = (
        bits & (HIDDEN_BIT - 1),
        (bits >> FRACTION_BITS & 0x7ff) as i32,
    );
    let value = match exponent {
        0 => Scaled {
            fraction,
            exponent: -1074,
        },
        _ => Scaled {
            fraction: fraction | HIDDEN_BIT,
            exponent: exponent - 1075,
        },
    };

    // Half way to the neighbours. Below a power of two the neighbour is only half as far.
    let upper = Scaled {
        fraction: 2 * value.fraction + 1,
        exponent: value.exponent - 1,
    }
    .normalised();
    let closer = if value.fraction == HIDDEN_BIT { 2 } else { 1 };
    let lower = Scaled {
        fraction: (value.fraction << closer) - 1,
        exponent: value.exponent - closer,
    };
    let lower = Scaled {
        fraction: lower.fraction << (lower.exponent - upper.exponent),
        exponent: upper.exponent,
    };

    let (power, ten) = cached_power(upper.exponent);
    let value = value.normalised().times(ten);
    let mut upper = upper.times(ten);
    let lower = lower.times(ten);
    // One unit off each end pays for the rounding of the products.
    upper.fraction -= 1;
    generate(value, upper, lower.fraction + 1, -power)
}

/// Digits of `upper`, from the left, while they are needed to stay above `lower`.
fn generate(value: Scaled, upper: Scaled, lower: u64, power: i32) -> Digits {
    let mut digits = Digits {
        bytes: [0; 18],
        count: 0,
        power,
    };
    let mut below_upper = upper.fraction - value.fraction;
    let mut delta = upper.fraction - lower;
    let shift = upper.exponent.unsigned_abs();
    let one = 1u64 << shift;
    let mut whole = (upper.fraction >> shift) as u32;
    let mut part = upper.fraction & (one - 1);

    for place in (0..10).rev() {
        let unit = 10u32.pow(place);
        let digit = whole / unit;
        if digit != 0 || digits.count != 0 {
            digits.push(digit);
        }
        whole -= digit * unit;
        let rest = (u64::from(whole) << shift) + part;
        if rest <= delta {
            digits.power += place as i32;
            approach(
                &mut digits,
                delta,
                rest,
                u64::from(unit) << shift,
                below_upper,
            );
            return digits;
        }
    }
    loop {
        part *= 10;
        delta *= 10;
        below_upper = below_upper.wrapping_mul(10);
        digits.power -= 1;
        let digit = (part >> shift) as u32;
        if digit != 0 || digits.count != 0 {
            digits.push(digit);
        }
        part &= one - 1;
        if part < delta {
            approach(&mut digits, delta, part, one, below_upper);
            return digits;
        }
    }
}

/// Lowers the last digit while that brings the number, `rest` below the upper end, nearer to the value.
fn approach(digits: &mut Digits, delta: u64, mut rest: u64, unit: u64, below_upper: u64) {
    while rest < below_upper
        && delta - rest >= unit
        && (rest + unit < below_upper || below_upper - rest > rest + unit - below_upper)
    {
        digits.bytes[digits.count - 1] -= 1;
        rest += unit;
    }
}

const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

/// A power of ten that brings a number with this binary exponent to between 2^-60 and 2^-32 times 2^64.
fn cached_power(exponent: i32) -> (i32, Scaled) {
    // Where to begin matters: of two that would do, the one nearer to the estimate is taken.
    let estimate = (-(exponent + POWERS.len() as i32) as f64 * std::f64::consts::LOG10_2) as i32;
    let mut index = (estimate - FIRST_POWER) / POWER_STEP;
    loop {
        let power = FIRST_POWER + index * POWER_STEP;
        let ten = Scaled {
            fraction: POWERS[index as usize],
            // The bits of 10^power: the product is a close estimate of power * log2(10).
            exponent: ((power * 217_706) >> 16) - 63,
        };
        match exponent + ten.exponent + 64 {
            ..-60 => index += 1,
            -60..=-32 => return (power, ten),
            _ => index -= 1,
        }
    }
}

/// The highest 64 bits, rounded, of every eighth power of ten from 10^-348 on.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8f_d5a0_081c_0288, 0xbaae_e17f_a23e_bf76, 0x8b16_fb20_3055_ac76,
    0xcf42_894a_5dce_35ea, 0x9a6b_b0aa_5565_3b2d, 0xe61a_cf03_3d1a_45df,
    0xab70_fe17_c79a_c6ca, 0xff77_b1fc_bebc_dc4f, 0xbe56_91ef_416b_d60c,
    0x8dd0_1fad_907f_fc3c, 0xd351_5c28_3155_9a83, 0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb, 0xaecc_4991_4078_536d, 0x823c_1279_5db6_ce57,
    0xc210_9436_4dfb_5637, 0x9096_ea6f_3848_984f, 0xd774_85cb_2582_3ac7,
    0xa086_cfcd_97bf_97f4, 0xef34_0a98_172a_ace5, 0xb238_67fb_2a35_b28e,
    0x84c8_d4df_d2c6_3f3b, 0xc5dd_4427_1ad3_cdba, 0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584, 0xa3ab_6658_0d5f_daf6, 0xf3e2_f893_dec3_f126,
    0xb5b5_ada8_aaff_80b8, 0x8762_5f05_6c7c_4a8b, 0xc9bc_ff60_34c1_3053,
    0x964e_858c_91ba_2655, 0xdff9_7724_7029_7ebd, 0xa6df_bd9f_b8e5_b88f,
    0xf8a9_5fcf_8874_7d94, 0xb944_7093_8fa8_9bcf, 0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6, 0x993f_e2c6_d07b_7fac, 0xe45c_10c4_2a2b_3b06,
    0xaa24_2499_6973_92d3, 0xfd87_b5f2_8300_ca0e, 0xbce5_0864_9211_1aeb,
    0x8cbc_cc09_6f50_88cc, 0xd1b7_1758_e219_652c, 0x9c40_0000_0000_0000,
    0xe8d4_a510_0000_0000, 0xad78_ebc5_ac62_0000, 0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3, 0x8f7e_32ce_7bea_5c70, 0xd5d2_38a4_abe9_8068,
    0x9f4f_2726_179a_2245, 0xed63_a231_d4c4_fb27, 0xb0de_6538_8cc8_ada8,
    0x83c7_088e_1aab_65db, 0xc45d_1df9_4271_1d9a, 0x924d_692c_a61b_e758,
    0xda01_ee64_1a70_8dea, 0xa26d_a399_9aef_774a, 0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877, 0x865b_8692_5b9b_c5c2, 0xc835_53c5_c896_5d3d,
    0x952a_b45c_fa97_a0b3, 0xde46_9fbd_99a0_5fe3, 0xa59b_c234_db39_8c25,
    0xf6c6_9a72_a398_9f5c, 0xb7dc_bf53_54e9_bece, 0x88fc_f317_f222_41e2,
    0xcc20_ce9b_d35c_78a5, 0x9816_5af3_7b21_53df, 0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396, 0xfb9b_7cd9_a4a7_443c, 0xbb76_4c4c_a7a4_4410,
    0x8bab_8eef_b640_9c1a, 0xd01f_ef10_a657_842c, 0x9b10_a4e5_e991_3129,
    0xe710_9bfb_a19c_0c9d, 0xac28_20d9_623b_f429, 0x8044_4b5e_7aa7_cf85,
    0xbf21_e440_03ac_dd2d, 0x8e67_9c2f_5e44_ff8f, 0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9, 0xeb96_bf6e_badf_77d9, 0xaf87_023b_9bf0_ee6b,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    fn text(value: f64) -> String {
        let digits = shortest(value);
        format!(
            "{}e{}",
            String::from_utf8_lossy(digits.as_bytes()),
            digits.power
        )
    }

    #[test]
    fn known_digits() {
        assert_eq!(text(0.1), "1e-1");
        assert_eq!(text(123.456), "123456e-3");
        assert_eq!(text(5e-324), "5e-324");
        assert_eq!(text(f64::MAX), "17976931348623157e292");
        assert_eq!(text(f64::MIN_POSITIVE), "22250738585072014e-324");
        // Not the fewest, not the nearest: but what Redis tells.
        assert_eq!(text(1e23), "9999999999999999e7");
        assert_eq!(text(5.630573050011711e-21), "56305730500117106e-37");
        assert_eq!(text(681367340097125.2), "6813673400971252e-1");
    }

    #[test]
    fn they_read_back_as_the_value() {
        let mut rng = Rng::new(1);
        let mut longer = 0;
        for _ in 0..100_000 {
            let value = f64::from_bits(rng.next_u64());
            if !value.is_finite() || value == 0.0 {
                continue;
            }
            let text = text(value);
            assert_eq!(text.parse::<f64>().ok(), Some(value.abs()), "{text}");
            let least = format!("{:e}", value.abs())
                .split('e')
                .next()
                .map_or(0, |digits| digits.replace('.', "").len());
            let count = shortest(value).count;
            assert!(count <= 17 && count >= least);
            longer += u32::from(count > least);
        }
        assert!((1..300).contains(&longer), "{longer}");
    }

    #[test]
    fn every_exponent_has_a_power() {
        for exponent in 0..0x7ffu64 {
            for fraction in [0, 1, HIDDEN_BIT / 2, HIDDEN_BIT - 1] {
                let value = f64::from_bits(exponent << FRACTION_BITS | fraction);
                if value != 0.0 {
                    assert_eq!(text(value).parse::<f64>().ok(), Some(value));
                }
            }
        }
    }
}
