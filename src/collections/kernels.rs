//! The three inner loops of vector search, for the processor the program finds itself on.
//!
//! | loop | of | portable | x86-64 with AVX2 | with AVX-512 VNNI |
//! |---|---|---|---|---|
//! | [`Kernel::dot_i8`] | bytes as signed numbers | the truth | widened, multiplied and added in pairs | `vpdpbusd` |
//! | [`Kernel::dot_f32`] | little-endian floats | near it | fused multiply-add | fused multiply-add |
//! | [`Kernel::differing_bits`] | bits | the truth | `popcnt` | `popcnt` |
//!
//! Integers come out equal on every processor. Floats are added up in another order by each loop, so their last digits
//! may differ, as they do in Redis.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes. One side is shifted by 128 (a flipped sign bit) to be unsigned, and
//! 128 times the sum of the other side is taken off again: `Σ (a + 128)·b − Σ 128·b = Σ a·b`.
//!
//! Both sides are byte slices, wherever they lie: rows of a vector set need no alignment. Where they differ in length,
//! the longer one's end does not count.
//!
//! Mirrors: `vectors_distance_float`, `vectors_distance_q8` and `vectors_distance_bin` of hnsw.c.
//! Unsafe: vector instructions, each set behind the test that the processor has it.
#![allow(unsafe_code)]

/// Which loops to use. Choose once per search with [`Kernel::best`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Set);

/// A value other than `Portable` is a proof that the processor has the instructions: only [`Kernel::all`] and
/// [`Kernel::best`] make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// Plain loops, which every processor can run.
    pub const PORTABLE: Kernel = Kernel(Set::Portable);

    /// The fastest that this processor has. The look at the processor is kept by the standard library: O(1).
    #[inline]
    pub fn best() -> Kernel {
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx512vnni")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("popcnt")
            {
                return Kernel(Set::Avx512);
            }
            if std::is_x86_feature_detected!("avx2")
                && std::is_x86_feature_detected!("fma")
                && std::is_x86_feature_detected!("popcnt")
            {
                return Kernel(Set::Avx2);
            }
        }
        Kernel::PORTABLE
    }

    /// All that this processor has: for tests.
    pub fn all() -> Vec<Kernel> {
        let mut all = vec![Kernel::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            let best = Kernel::best().0;
            if best == Set::Avx512
                && std::is_x86_feature_detected!("avx2")
                && std::is_x86_feature_detected!("fma")
            {
                all.push(Kernel(Set::Avx2));
            }
            if best != Set::Portable {
                all.push(Kernel(best));
            }
        }
        all
    }

    /// Sum of the products of bytes as signed numbers. Exact for up to 2^16 bytes.
    #[inline]
    pub fn dot_i8(self, a: &[u8], b: &[u8]) -> i32 {
        match self.0 {
            Set::Portable => portable::dot_i8(a, b),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Set` of this kind exists only where the processor has the instructions.
            Set::Avx2 => unsafe { x86::dot_i8_avx2(a, b) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx512 => unsafe { x86::dot_i8_avx512(a, b) },
        }
    }

    /// As [`Kernel::dot_i8`], of one with each of many: as fast as the loop inside of it. Both as many as the shorter.
    #[inline]
    pub fn dots_i8(self, a: &[u8], many: &[&[u8]], sums: &mut [i32]) {
        match self.0 {
            Set::Portable => each(many, sums, |b| portable::dot_i8(a, b)),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { x86::dots_i8_avx2(a, many, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx512 => unsafe { x86::dots_i8_avx512(a, many, sums) },
        }
    }

    /// Sum of the products of little-endian floats, four bytes each.
    #[inline]
    pub fn dot_f32(self, a: &[u8], b: &[u8]) -> f32 {
        match self.0 {
            Set::Portable => portable::dot_f32(a, b),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { x86::dot_f32_avx2(a, b) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx512 => unsafe { x86::dot_f32_avx512(a, b) },
        }
    }

    /// How many bits differ.
    #[inline]
    pub fn differing_bits(self, a: &[u8], b: &[u8]) -> u32 {
        match self.0 {
            Set::Portable => portable::differing_bits(a, b),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 | Set::Avx512 => unsafe { x86::differing_bits(a, b) },
        }
    }
}

#[inline(always)]
fn each(many: &[&[u8]], sums: &mut [i32], sum: impl Fn(&[u8]) -> i32) {
    for (b, out) in many.iter().zip(sums) {
        *out = sum(b);
    }
}

/// Asks for the first lines of some memory to be fetched into the cache. Only a matter of speed.
#[inline]
pub fn prefetch<T>(items: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        /// Lines that the processor's own prefetcher misses before it has seen the row being read.
        const LINES: usize = 4;
        let start = items.as_ptr().cast::<i8>();
        for line in 0..LINES.min(size_of_val(items).div_ceil(64)) {
            // SAFETY: a prefetch reads nothing; the address is inside the slice anyway.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * 64)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = items;
}

/// The truth.
mod portable {
    #[inline(always)]
    pub fn dot_i8(a: &[u8], b: &[u8]) -> i32 {
        let products = a.iter().zip(b);
        products
            .map(|(a, b)| i32::from(*a as i8) * i32::from(*b as i8))
            .sum()
    }

    /// Independent sums, so that the additions overlap.
    const LANES: usize = 16;

    #[inline(always)]
    pub fn dot_f32(a: &[u8], b: &[u8]) -> f32 {
        let len = a.len().min(b.len());
        let (a, b) = (&a[..len], &b[..len]);
        let (a_blocks, b_blocks) = (a.chunks_exact(4 * LANES), b.chunks_exact(4 * LANES));
        let (a_rest, b_rest) = (a_blocks.remainder(), b_blocks.remainder());
        let mut sums = [0f32; LANES];
        for (a, b) in a_blocks.zip(b_blocks) {
            for (sum, (a, b)) in sums.iter_mut().zip(floats(a).zip(floats(b))) {
                *sum += a * b;
            }
        }
        let rest: f32 = floats(a_rest).zip(floats(b_rest)).map(|(a, b)| a * b).sum();
        sums.iter().sum::<f32>() + rest
    }

    #[inline(always)]
    fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
        let words = bytes.chunks_exact(4);
        words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    }

    #[inline(always)]
    pub fn differing_bits(a: &[u8], b: &[u8]) -> u32 {
        let len = a.len().min(b.len());
        let (a, b) = (a[..len].chunks_exact(8), b[..len].chunks_exact(8));
        let rest = a.remainder().iter().zip(b.remainder());
        let rest: u32 = rest.map(|(a, b)| (a ^ b).count_ones()).sum();
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let words: u32 = a
            .zip(b)
            .map(|(a, b)| (word(a) ^ word(b)).count_ones())
            .sum();
        words + rest
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::portable;
    use std::arch::x86_64::*;

    #[target_feature(enable = "popcnt")]
    pub fn differing_bits(a: &[u8], b: &[u8]) -> u32 {
        portable::differing_bits(a, b)
    }

    #[target_feature(enable = "avx2")]
    pub fn dots_i8_avx2(a: &[u8], many: &[&[u8]], sums: &mut [i32]) {
        for (b, sum) in many.iter().zip(sums) {
            *sum = dot_i8_avx2(a, b);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub fn dots_i8_avx512(a: &[u8], many: &[&[u8]], sums: &mut [i32]) {
        for (b, sum) in many.iter().zip(sums) {
            *sum = dot_i8_avx512(a, b);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn dot_i8_avx2(a: &[u8], b: &[u8]) -> i32 {
        let len = a.len().min(b.len());
        let mut sums = [_mm256_setzero_si256(); 2];
        let mut at = 0;
        while at + 32 <= len {
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: 16 bytes from `at + 16 * half` on lie inside both slices.
                let (x, y) = unsafe {
                    (
                        _mm_loadu_si128(a.as_ptr().add(at + 16 * half).cast()),
                        _mm_loadu_si128(b.as_ptr().add(at + 16 * half).cast()),
                    )
                };
                let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(x), _mm256_cvtepi8_epi16(y));
                *sum = _mm256_add_epi32(*sum, products);
            }
            at += 32;
        }
        let sum = _mm256_add_epi32(sums[0], sums[1]);
        let sum = _mm_add_epi32(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        );
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b_01_00_11_10>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b_10_11_00_01>(sum));
        _mm_cvtsi128_si32(sum) + portable::dot_i8(&a[at..len], &b[at..len])
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub fn dot_i8_avx512(a: &[u8], b: &[u8]) -> i32 {
        let len = a.len().min(b.len());
        let flip = _mm512_set1_epi8(i8::MIN);
        let (mut biased, mut bias) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let mut at = 0;
        while at + 64 <= len {
            // SAFETY: 64 bytes from `at` on lie inside both slices.
            let (x, y) = unsafe {
                (
                    _mm512_loadu_si512(a.as_ptr().add(at).cast()),
                    _mm512_loadu_si512(b.as_ptr().add(at).cast()),
                )
            };
            biased = _mm512_dpbusd_epi32(biased, _mm512_xor_si512(x, flip), y);
            bias = _mm512_dpbusd_epi32(bias, flip, y);
            at += 64;
        }
        if at < len {
            let mask = u64::MAX >> (64 - (len - at));
            // SAFETY: only the bytes of the mask are read, and they lie inside both slices.
            let (x, y) = unsafe {
                (
                    _mm512_maskz_loadu_epi8(mask, a.as_ptr().add(at).cast()),
                    _mm512_maskz_loadu_epi8(mask, b.as_ptr().add(at).cast()),
                )
            };
            biased = _mm512_dpbusd_epi32(biased, _mm512_xor_si512(x, flip), y);
            bias = _mm512_dpbusd_epi32(bias, flip, y);
        }
        _mm512_reduce_add_epi32(_mm512_sub_epi32(biased, bias))
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn dot_f32_avx2(a: &[u8], b: &[u8]) -> f32 {
        let len = a.len().min(b.len());
        let mut sums = [_mm256_setzero_ps(); 4];
        let mut at = 0;
        while at + 128 <= len {
            for (part, sum) in sums.iter_mut().enumerate() {
                // SAFETY: 32 bytes from `at + 32 * part` on lie inside both slices.
                let (x, y) = unsafe {
                    (
                        _mm256_loadu_ps(a.as_ptr().add(at + 32 * part).cast()),
                        _mm256_loadu_ps(b.as_ptr().add(at + 32 * part).cast()),
                    )
                };
                *sum = _mm256_fmadd_ps(x, y, *sum);
            }
            at += 128;
        }
        let sum = _mm256_add_ps(
            _mm256_add_ps(sums[0], sums[1]),
            _mm256_add_ps(sums[2], sums[3]),
        );
        let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
        let sum = _mm_add_ss(sum, _mm_shuffle_ps::<1>(sum, sum));
        _mm_cvtss_f32(sum) + portable::dot_f32(&a[at..len], &b[at..len])
    }

    #[target_feature(enable = "avx512f")]
    pub fn dot_f32_avx512(a: &[u8], b: &[u8]) -> f32 {
        let len = a.len().min(b.len()) / 4;
        let (a, b) = (a.as_ptr().cast::<f32>(), b.as_ptr().cast::<f32>());
        let mut sums = [_mm512_setzero_ps(); 2];
        let mut at = 0;
        while at + 32 <= len {
            for (half, sum) in sums.iter_mut().enumerate() {
                // SAFETY: 16 floats from `at + 16 * half` on lie inside both slices; the load needs no alignment.
                let (x, y) = unsafe {
                    (
                        _mm512_loadu_ps(a.wrapping_add(at + 16 * half)),
                        _mm512_loadu_ps(b.wrapping_add(at + 16 * half)),
                    )
                };
                *sum = _mm512_fmadd_ps(x, y, *sum);
            }
            at += 32;
        }
        let mut half = 0;
        while at < len {
            let mask = u16::MAX >> (16 - (len - at).min(16));
            // SAFETY: only the floats of the mask are read, and they lie inside both slices.
            let (x, y) = unsafe {
                (
                    _mm512_maskz_loadu_ps(mask, a.wrapping_add(at)),
                    _mm512_maskz_loadu_ps(mask, b.wrapping_add(at)),
                )
            };
            sums[half] = _mm512_fmadd_ps(x, y, sums[half]);
            half = 1;
            at += 16;
        }
        _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::testing::Rng;

    /// Every loop against the portable one, at every length around the widths of the registers, also where the bytes
    /// begin at odd addresses, and with the extremes of a signed byte.
    #[test]
    fn all_loops_say_the_same() {
        let mut rng = Rng::new(7);
        let (short, long): (usize, &[usize]) = match cfg!(miri) {
            true => (40, &[68]),
            false => (260, &[511, 1000, 4096]),
        };
        for len in (0..short).chain(long.iter().copied()) {
            let shift = rng.below(7);
            let mut bytes = |extreme: bool| -> Vec<u8> {
                let byte = |rng: &mut Rng| match extreme {
                    true => [0x80, 0x7F, 0x81][rng.below(3)],
                    false => rng.next() as u8,
                };
                (0..len + shift).map(|_| byte(&mut rng)).collect()
            };
            for extreme in [false, true] {
                let (a, b) = (bytes(extreme), bytes(extreme));
                let (a, b) = (&a[shift..], &b[shift..]);
                for kernel in Kernel::all() {
                    let portable = Kernel::PORTABLE;
                    assert_eq!(
                        kernel.dot_i8(a, b),
                        portable.dot_i8(a, b),
                        "{kernel:?} {len}"
                    );
                    let mut sums = [0; 2];
                    kernel.dots_i8(a, &[b, a], &mut sums);
                    assert_eq!(sums, [portable.dot_i8(a, b), portable.dot_i8(a, a)]);
                    let bits = kernel.differing_bits(a, b);
                    assert_eq!(bits, portable.differing_bits(a, b), "{kernel:?} {len}");
                }
            }
        }
    }

    #[test]
    fn floats_come_out_near_the_exact_sum() {
        let mut rng = Rng::new(8);
        for len in (0..130).chain([768, 1537]) {
            let mut floats = || -> Vec<f32> {
                let unit = |rng: &mut Rng| rng.next() as f32 / u64::MAX as f32 - 0.5;
                (0..len).map(|_| unit(&mut rng)).collect()
            };
            let (a, b) = (floats(), floats());
            let exact: f64 = a
                .iter()
                .zip(&b)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum();
            let bytes = |v: &[f32]| -> Vec<u8> { v.iter().flat_map(|x| x.to_le_bytes()).collect() };
            let (a, b) = (bytes(&a), bytes(&b));
            for kernel in Kernel::all() {
                let got = f64::from(kernel.dot_f32(&a, &b));
                assert!(
                    (got - exact).abs() < 1e-4,
                    "{kernel:?} {len}: {got} {exact}"
                );
            }
        }
    }

    /// The largest sum there is fits.
    #[test]
    fn the_extremes_do_not_overflow() {
        let a = vec![0x80; 1 << 16];
        for kernel in Kernel::all() {
            assert_eq!(kernel.dot_i8(&a, &a), 1 << 30);
        }
    }
}
