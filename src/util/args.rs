//! Quoting: a line to its arguments, and bytes to a quoted text.
//!
//! ```text
//!   set key "a\x00b\n" 'it\'s'   ──split──▶   set │ key │ a␀b⏎ │ it's
//!   a␀b⏎                         ──repr───▶   "a\x00b\n"
//! ```
//!
//! Lines are split so in the inline protocol, the config file, ACL files and CONFIG SET; bytes are quoted
//! so by MONITOR, CONFIG REWRITE and the log. Within double quotes `\n \r \t \b \a`, `\xHH` and any other
//! escaped byte as itself; within single quotes only `\'`. A closing quote must be followed by white
//! space or the end.
//!
//! Invariant: splitting what [`repr`] wrote gives back the bytes, whatever they are.
//!
//! Mirrors: sds.c `sdssplitargs`, `sdscatrepr`, `sdsneedsrepr`. As there, a line ends at a NUL byte, and
//! vertical tab and form feed are white space between arguments but not inside one.

/// A quote that is not closed, or one that closes in the middle of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnbalancedQuotes;

impl std::fmt::Display for UnbalancedQuotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unbalanced quotes")
    }
}

impl std::error::Error for UnbalancedQuotes {}

/// The arguments of a line; none for a blank one. O(line), and never more bytes out than in.
#[doc(alias = "sdssplitargs")]
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
    let end = line
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(line.len());
    let mut rest = &line[..end];
    let mut arguments = Vec::new();
    loop {
        let blanks = rest.iter().take_while(|&&byte| is_space(byte)).count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Ok(arguments);
        }
        let (argument, after) = next_argument(rest)?;
        arguments.push(argument);
        rest = after;
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// One argument from the start of `rest`, which is not blank there, and what follows it. A quote may open
/// in the middle of a word; where it closes, the argument ends.
fn next_argument(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    let mut argument = Vec::new();
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok((argument, rest)),
            [b'"', quoted @ ..] => return double_quoted(argument, quoted),
            [b'\'', quoted @ ..] => return single_quoted(argument, quoted),
            [byte, after @ ..] => {
                argument.push(*byte);
                rest = after;
            }
        }
    }
}

fn double_quoted(
    mut argument: Vec<u8>,
    mut rest: &[u8],
) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(UnbalancedQuotes),
            [b'"', after @ ..] => return closed(argument, after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
        };
        argument.push(byte);
        rest = after;
    }
}

fn single_quoted(
    mut argument: Vec<u8>,
    mut rest: &[u8],
) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    loop {
        let (byte, after) = match rest {
            [] => return Err(UnbalancedQuotes),
            [b'\'', after @ ..] => return closed(argument, after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        argument.push(byte);
        rest = after;
    }
}

fn closed(argument: Vec<u8>, rest: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    match rest {
        [next, ..] if !is_space(*next) => Err(UnbalancedQuotes),
        _ => Ok((argument, rest)),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// Appends `bytes` in double quotes, all that is not printable ASCII escaped.
#[doc(alias = "sdscatrepr")]
pub fn repr(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x07 => out.extend(b"\\a"),
            0x08 => out.extend(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend([
                b'\\',
                b'x',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.push(b'"');
}

/// A line of words that are separated by single spaces, each of them quoted if [`split`] would not read it as it
/// stands.
pub fn repr_words(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    for (i, word) in line.split(|b| *b == b' ').enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        if needs_repr(word) {
            repr(&mut out, word);
        } else {
            out.extend_from_slice(word);
        }
    }
    out
}

/// Whether `bytes` as they stand would not come back from [`split`] as one argument.
#[doc(alias = "sdsneedsrepr")]
pub fn needs_repr(bytes: &[u8]) -> bool {
    let special = |&byte: &u8| matches!(byte, b'\\' | b'"' | b'\'') || !byte.is_ascii_graphic();
    bytes.is_empty() || bytes.iter().any(special)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &[u8]) -> Vec<Vec<u8>> {
        split(line).expect("balanced quotes")
    }

    #[test]
    fn lines_are_split() {
        assert_eq!(parts(b""), Vec::<Vec<u8>>::new());
        assert_eq!(parts(b" \t\r\n\x0b\x0c "), Vec::<Vec<u8>>::new());
        assert_eq!(
            parts(b"  set  key\tvalue\r\n"),
            [&b"set"[..], b"key", b"value"]
        );
        assert_eq!(
            parts(br#""a b" 'c d' "" ''"#),
            [&b"a b"[..], b"c d", b"", b""]
        );
        assert_eq!(parts(br#""\n\r\t\b\a\\\"\q""#), [b"\n\r\t\x08\x07\\\"q"]);
        assert_eq!(parts(br#""\x41\xfF\x4""#), [b"A\xffx4"]);
        assert_eq!(parts(br"'it\'s \n'"), [br"it's \n"]);
        assert_eq!(parts(br#"pre"fix" suf'fix'"#), [&b"prefix"[..], b"suffix"]);
        assert_eq!(parts(br"\n a\ b"), [&br"\n"[..], br"a\", b"b"]);
        assert_eq!(parts(b"a\x0bb c"), [&b"a\x0bb"[..], b"c"]);
        assert_eq!(parts(b"a b\0c d"), [b"a", b"b"]);
        assert_eq!(parts(b"\"a\"\x0bb"), [b"a", b"b"]);
    }

    #[test]
    fn quotes_must_close_and_end_the_word() {
        let bad: [&[u8]; 8] = [
            b"\"",
            b"'",
            br#""foo"bar"#,
            b"'foo'bar",
            br#""foo'"#,
            br#""foo\""#,
            br"'foo\'",
            b"\"foo\0\"",
        ];
        for line in bad {
            assert_eq!(
                split(line),
                Err(UnbalancedQuotes),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn bytes_are_quoted() {
        let mut out = b"> ".to_vec();
        repr(&mut out, b"a b\\\"'\n\r\t\x07\x08\0\x7f\xff~");
        assert_eq!(out, br#"> "a b\\\"'\n\r\t\a\b\x00\x7f\xff~""#);
    }

    #[test]
    fn what_needs_quotes() {
        assert!(!needs_repr(b"plain-text_1.0/*"));
        for bytes in [&b""[..], b"a b", b"\"", b"'", b"\\", b"\n", b"\xff", b"\0"] {
            assert!(needs_repr(bytes));
        }
    }

    #[test]
    fn quoting_is_undone_by_splitting() {
        let mut rng = crate::util::rng::Rng::new(2);
        for _ in 0..20_000 {
            let mut bytes = vec![0; rng.below(24) as usize];
            rng.fill(&mut bytes);
            let mut line = b"x ".to_vec();
            repr(&mut line, &bytes);
            line.extend(b" y");
            assert_eq!(parts(&line), [&b"x"[..], &bytes, b"y"]);
            let noise: Vec<u8> = bytes
                .iter()
                .map(|byte| br#" "'\xab1"#[usize::from(byte % 8)])
                .collect();
            if let Ok(arguments) = split(&noise) {
                assert!(arguments.iter().map(Vec::len).sum::<usize>() <= noise.len());
            }
            if !needs_repr(&bytes) {
                assert_eq!(parts(&bytes), [bytes]);
            }
        }
    }
}
