//! `--test-memory`: a test of the machine's memory, for whoever suspects it.
//!
//! Each pass fills a block several times, with each word's own address, with noise, with all bits, with stripes, and
//! reads it back. A word that comes back otherwise is counted. The block should be larger than the processor's caches,
//! or it is these that are tested.
//!
//! Mirrors: memtest() of memtest.c. Differs: plain lines instead of a screen of dots; a test that fails ends with 1.

use std::hint::black_box;
use std::io::Write;

/// Passes by default.
const PASSES: usize = 50;
const WORDS_PER_MB: usize = (1 << 20) / size_of::<u64>();
/// Megabytes that can be asked for, so that bytes fit a `usize`.
const MAX_MB: usize = 1 << 30;

const USAGE: &str = "\
Please specify the amount of memory to test in megabytes.
Example: oxidis-server --test-memory 4096
";

/// Runs the test that the arguments ask for, megabytes and passes; the code to exit with.
pub fn run(arguments: &[Vec<u8>], out: &mut impl Write) -> i32 {
    // There is nobody to tell when the terminal is gone.
    let number = |at: usize| {
        let text = arguments.get(at)?;
        std::str::from_utf8(text).ok()?.parse::<usize>().ok()
    };
    let Some(megabytes @ 1..=MAX_MB) = number(0) else {
        let _ = out.write_all(USAGE.as_bytes());
        return 1;
    };
    let passes = number(1).unwrap_or(PASSES).max(1);
    let mut block = Vec::new();
    if block.try_reserve_exact(megabytes * WORDS_PER_MB).is_err() {
        let _ = writeln!(out, "Unable to allocate {megabytes} megabytes.");
        return 1;
    }
    block.resize(megabytes * WORDS_PER_MB, 0u64);
    let mut wrong = 0;
    for pass in 1..=passes {
        wrong += test(&mut block, pass as u64);
        let _ = writeln!(out, "Pass {pass} of {passes}: {wrong} wrong words so far");
    }
    let verdict = match wrong {
        0 => {
            "Your memory passed this test.\nIf you are still in doubt, memtest86 and memtester look closer."
        }
        _ => "Memory errors detected. Do not trust this machine.",
    };
    let _ = writeln!(out, "\n{verdict}");
    i32::from(wrong > 0)
}

/// One pass; how many words came back wrong.
fn test(block: &mut [u64], pass: u64) -> usize {
    const STRIPES: u64 = 0x5555_5555_5555_5555;
    let base = block.as_ptr() as u64;
    let address = move |i: usize| base + (i * size_of::<u64>()) as u64;
    // The noise of splitmix64: no two words alike.
    let noise = move |i: usize| {
        let mut x = (i as u64 + pass).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    let solid = |i: usize| if i.is_multiple_of(2) { u64::MAX } else { 0 };
    let stripes = |i: usize| {
        if i.is_multiple_of(2) {
            STRIPES
        } else {
            !STRIPES
        }
    };
    fill_and_compare(block, address)
        + fill_and_compare(block, noise)
        + fill_and_compare(block, solid)
        + fill_and_compare(block, stripes)
}

fn fill_and_compare(block: &mut [u64], word: impl Fn(usize) -> u64) -> usize {
    for (i, slot) in block.iter_mut().enumerate() {
        *slot = word(i);
    }
    // The compiler must not know what is in memory.
    let block = black_box(block);
    let words = block.iter().enumerate();
    words.filter(|(i, slot)| **slot != word(*i)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(arguments: &[&str]) -> (i32, String) {
        let arguments: Vec<Vec<u8>> = arguments.iter().map(|a| a.as_bytes().to_vec()).collect();
        let mut out = Vec::new();
        let code = run(&arguments, &mut out);
        (code, String::from_utf8(out).expect("it is text"))
    }

    #[test]
    fn memory_passes_and_arguments_are_looked_at() {
        let (code, text) = ran(&["1", "2"]);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("Pass 2 of 2: 0 wrong"), "{text}");
        assert!(text.contains("passed this test"), "{text}");
        for wrong in [&[][..], &["0"], &["x"], &["-1"], &["99999999999999999999"]] {
            assert_eq!(ran(wrong), (1, USAGE.to_owned()), "{wrong:?}");
        }
    }
}
