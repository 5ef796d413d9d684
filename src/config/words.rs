//! How values are spelled: loose integers, sizes with units, quoted strings.
//!
//! Mirrors: strtoll(), sdscatrepr() of sds.c and rewriteConfigFormatMemory() of config.c.

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

/// The text in double quotes, escaped so that the splitter of a line reads the same bytes back.
#[doc(alias = "sdscatrepr")]
pub fn quote(text: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    quoted.push(b'"');
    for &byte in text {
        match byte {
            b'\\' | b'"' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            b'\t' => quoted.extend(b"\\t"),
            0x07 => quoted.extend(b"\\a"),
            0x08 => quoted.extend(b"\\b"),
            b' '..=b'~' => quoted.push(byte),
            _ => quoted.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    quoted.push(b'"');
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
    fn quoting_escapes_what_a_line_cannot_hold() {
        assert_eq!(quote(b"a b"), b"\"a b\"");
        assert_eq!(
            quote(b"\"\\\n\x07\x00\xff"),
            b"\"\\\"\\\\\\n\\a\\x00\\xff\""
        );
    }
}
