//! How values are spelled: loose integers, sizes with units, quoted strings.
//!
//! Mirrors: what config.c does with strtoll(), sdstrim() and rewriteConfigFormatMemory().

use crate::util::args;

/// An integer as `strtoll` reads it, the whole text being used: leading zeros and a `+` may stand.
pub fn loose_integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The largest unit that says it exactly: `700mb`, `1gb`, `1000`.
#[doc(alias = "rewriteConfigFormatMemory")]
pub fn show_memory(bytes: u64) -> String {
    let units = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    let exact = |(factor, _): &&(u64, &str)| bytes != 0 && bytes.is_multiple_of(*factor);
    match units.iter().find(exact) {
        Some((factor, unit)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// A line without the white space around it.
pub fn trim(line: &[u8]) -> &[u8] {
    let blank = |b: &u8| b" \t\r\n".contains(b);
    let start = line.iter().position(|b| !blank(b)).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(|b| !blank(b))
        .map_or(start, |last| last + 1);
    &line[start..end]
}

/// The text in double quotes, so that a line can hold any bytes.
pub fn quote(text: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    args::repr(&mut quoted, text);
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shown_in_the_unit_that_divides_it() {
        let shown = [0, 1000, 1024, 1536, 1 << 20, 3 << 30].map(show_memory);
        assert_eq!(shown, ["0", "1000", "1kb", "1536", "1mb", "3gb"]);
    }

    #[test]
    fn trimming_takes_both_ends() {
        assert_eq!(trim(b" \t a b \r"), b"a b");
        assert_eq!(trim(b" \t"), b"");
        assert_eq!(trim(b""), b"");
    }
}
