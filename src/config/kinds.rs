//! How an option is read, shown and written back: one [`Kind`] per shape of value.
//!
//! ```text
//!   arguments of a line      value in Config        CONFIG GET        line of CONFIG REWRITE
//!   ["700mb"]  ── parse ──►  734003200u64  ── show ──►  734003200  ── lines ──►  maxmemory 700mb
//! ```
//!
//! A kind holds what the declaration says of it (bounds, a validity check) and no value; the
//! value lives in the field of [`Config`](super::Config) the option belongs to.
//!
//! Invariant: what `show` prints, `parse` reads back to the same value, both as one argument of
//! CONFIG SET and as a line of a file. The round trip test walks every option.
//!
//! Mirrors: the typeInterface of config.c and its bool, string, sds, enum, numeric and special
//! implementations.
//! Differs: a value is checked into a type once instead of being kept as a number with flags;
//! text options must be UTF-8 (secrets may hold any byte), a number that does not fit 64 bits is
//! refused instead of wrapping around.

use std::borrow::Cow;
use std::path::PathBuf;

use super::disk;
use super::values::*;
use super::words;
use crate::util::num;

/// Why a value was refused, in the words the client or the operator reads.
pub type Reason = Cow<'static, str>;

/// The sentence for a directive with too many or too few words.
pub(super) const ARITY: Reason = Cow::Borrowed("wrong number of arguments");

/// A line CONFIG REWRITE may write for an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: Vec<u8>,
    /// Write it even where the old file has no such line.
    pub force: bool,
}

impl Line {
    fn new(name: &str, value: impl AsRef<[u8]>, force: bool) -> Line {
        let mut text = name.as_bytes().to_vec();
        text.push(b' ');
        text.extend_from_slice(value.as_ref());
        Line { text, force }
    }
}

/// The form of an option's values, as modules ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Anything else.
    Text,
    /// One of some words, or several of them.
    Words,
    /// A number.
    Number,
    /// A number in octal digits.
    Octal,
    /// A number, or so many per cent of `maxmemory`.
    Share,
    /// `yes` or `no`.
    YesNo,
}

impl Shape {
    /// Whether modules take the values for numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Shape::Number | Shape::Octal | Shape::Share)
    }
}

/// The shape of the values that a kind reads.
pub const fn shape_of<T, K: Kind<T>>(_: &K) -> Shape {
    K::SHAPE
}

/// One way to read, show and write a value of type `T`.
pub trait Kind<T> {
    /// The form of the values.
    const SHAPE: Shape = Shape::Text;

    /// Reads the arguments of a directive; `old` is the value in force.
    fn parse(&self, args: &[&[u8]], old: &T) -> Result<T, Reason>;

    /// The value as CONFIG GET prints it.
    fn show(&self, value: &T) -> Vec<u8>;

    /// The lines a configuration file needs for the value; no line at all removes every old one.
    fn lines(&self, name: &str, value: &T, default: &T) -> Vec<Line>;
}

/// The single argument of an ordinary option.
fn one<'a>(args: &[&'a [u8]]) -> Result<&'a [u8], Reason> {
    match args {
        [arg] => Ok(arg),
        _ => Err(ARITY),
    }
}

/// The argument as text, which ends at a NUL as it does in C.
fn text(arg: &[u8]) -> Result<&str, Reason> {
    let arg = arg.split(|b| *b == 0).next().unwrap_or_default();
    std::str::from_utf8(arg).map_err(|_| Reason::from("argument must be valid UTF-8"))
}

/// `yes` or `no`.
#[derive(Debug)]
pub struct YesNo;

impl Kind<bool> for YesNo {
    const SHAPE: Shape = Shape::YesNo;

    fn parse(&self, args: &[&[u8]], _old: &bool) -> Result<bool, Reason> {
        let arg = one(args)?;
        if arg.eq_ignore_ascii_case(b"yes") {
            Ok(true)
        } else if arg.eq_ignore_ascii_case(b"no") {
            Ok(false)
        } else {
            Err("argument must be 'yes' or 'no'".into())
        }
    }

    fn show(&self, value: &bool) -> Vec<u8> {
        if *value { b"yes".into() } else { b"no".into() }
    }

    fn lines(&self, name: &str, value: &bool, default: &bool) -> Vec<Line> {
        vec![Line::new(name, self.show(value), value != default)]
    }
}

/// The integer types a field may have.
pub trait Number: Copy + PartialEq {
    fn wide(self) -> i128;
    fn narrow(wide: i128) -> Option<Self>;
}

macro_rules! numbers {
    ($($t:ty)*) => { $(
        impl Number for $t {
            fn wide(self) -> i128 {
                self as i128
            }
            fn narrow(wide: i128) -> Option<Self> {
                <$t>::try_from(wide).ok()
            }
        }
    )* };
}
numbers!(u16 u32 u64 usize i32 i64);

/// Is `wide` allowed, and does the field hold it?
fn bounded<T: Number>(wide: i128, min: i128, max: i128) -> Result<T, Reason> {
    let value = T::narrow(wide).filter(|_| (min..=max).contains(&wide));
    value.ok_or_else(|| format!("argument must be between {min} and {max} inclusive").into())
}

/// A plain integer between two bounds.
#[derive(Debug)]
pub struct Int(pub i64, pub i64);

impl<T: Number> Kind<T> for Int {
    const SHAPE: Shape = Shape::Number;

    fn parse(&self, args: &[&[u8]], _old: &T) -> Result<T, Reason> {
        let number = num::parse_i64(one(args)?)
            .ok_or_else(|| Reason::from("argument couldn't be parsed into an integer"))?;
        bounded(number.into(), self.0.into(), self.1.into())
    }

    fn show(&self, value: &T) -> Vec<u8> {
        value.wide().to_string().into_bytes()
    }

    fn lines(&self, name: &str, value: &T, default: &T) -> Vec<Line> {
        let shown = Kind::<T>::show(self, value);
        vec![Line::new(name, shown, value != default)]
    }
}

/// A plain integer that is moved into its bounds instead of refused.
#[derive(Debug)]
pub struct Clamped(pub u32, pub u32);

impl Kind<u32> for Clamped {
    const SHAPE: Shape = Shape::Number;

    fn parse(&self, args: &[&[u8]], old: &u32) -> Result<u32, Reason> {
        let value = Int(0, i64::from(i32::MAX)).parse(args, old)?;
        Ok(value.clamp(self.0, self.1))
    }

    fn show(&self, value: &u32) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    fn lines(&self, name: &str, value: &u32, default: &u32) -> Vec<Line> {
        vec![Line::new(name, value.to_string(), value != default)]
    }
}

/// A number of bytes, with an optional unit: `k` is 1000, `kb` is 1024, and so on.
#[derive(Debug)]
pub struct Bytes(pub u64, pub u64);

impl<T: Number> Kind<T> for Bytes {
    const SHAPE: Shape = Shape::Number;

    fn parse(&self, args: &[&[u8]], _old: &T) -> Result<T, Reason> {
        let bytes = num::parse_memory(one(args)?)
            .ok_or_else(|| Reason::from("argument must be a memory value"))?;
        bounded(bytes.into(), self.0.into(), self.1.into())
    }

    fn show(&self, value: &T) -> Vec<u8> {
        value.wide().to_string().into_bytes()
    }

    fn lines(&self, name: &str, value: &T, default: &T) -> Vec<Line> {
        // The bounds of a byte option are never negative.
        let bytes = u64::try_from(value.wide()).unwrap_or(0);
        vec![Line::new(name, words::show_memory(bytes), value != default)]
    }
}

/// A number of bytes that is raised to a least one instead of refused.
#[derive(Debug)]
pub struct BytesAtLeast(pub u64);

impl Kind<u64> for BytesAtLeast {
    const SHAPE: Shape = Shape::Number;

    fn parse(&self, args: &[&[u8]], old: &u64) -> Result<u64, Reason> {
        let bytes = Bytes(1, i64::MAX as u64).parse(args, old)?;
        Ok(self.0.max(bytes))
    }

    fn show(&self, value: &u64) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    fn lines(&self, name: &str, value: &u64, default: &u64) -> Vec<Line> {
        Bytes(1, i64::MAX as u64).lines(name, value, default)
    }
}

/// Permission bits, written in octal.
#[derive(Debug)]
pub struct Octal(pub u32);

impl Kind<u32> for Octal {
    const SHAPE: Shape = Shape::Octal;

    fn parse(&self, args: &[&[u8]], _old: &u32) -> Result<u32, Reason> {
        let digits = std::str::from_utf8(one(args)?).ok();
        let value = digits
            .and_then(|digits| u32::from_str_radix(digits, 8).ok())
            .ok_or_else(|| Reason::from("argument couldn't be parsed as an octal number"))?;
        if value > self.0 {
            let max = self.0;
            return Err(format!("argument must be between 0 and {max:o} inclusive").into());
        }
        Ok(value)
    }

    fn show(&self, value: &u32) -> Vec<u8> {
        format!("{value:o}").into_bytes()
    }

    fn lines(&self, name: &str, value: &u32, default: &u32) -> Vec<Line> {
        vec![Line::new(name, self.show(value), value != default)]
    }
}

/// Bytes, or a percentage of `maxmemory`.
#[derive(Debug)]
pub struct BytesOrPercent;

impl Kind<ClientMemory> for BytesOrPercent {
    const SHAPE: Shape = Shape::Share;

    fn parse(&self, args: &[&[u8]], _old: &ClientMemory) -> Result<ClientMemory, Reason> {
        let arg = one(args)?;
        if let Some(bytes) = num::parse_memory(arg) {
            let max = i64::MAX as u64;
            return match bytes <= max {
                true => Ok(ClientMemory::Bytes(bytes)),
                false => Err(format!("argument must be between -100 and {max} inclusive").into()),
            };
        }
        let percent = arg.strip_suffix(b"%").and_then(num::parse_i64);
        match percent {
            Some(0) => Ok(ClientMemory::Bytes(0)),
            Some(share @ 1..=100) => Ok(ClientMemory::Percent(share as u8)),
            Some(101..) => Err("percentage argument must be less or equal to 100".into()),
            _ => Err("argument must be a memory or percent value".into()),
        }
    }

    fn show(&self, value: &ClientMemory) -> Vec<u8> {
        match value {
            ClientMemory::Bytes(bytes) => bytes.to_string().into_bytes(),
            ClientMemory::Percent(share) => format!("{share}%").into_bytes(),
        }
    }

    fn lines(&self, name: &str, value: &ClientMemory, default: &ClientMemory) -> Vec<Line> {
        let shown = match value {
            ClientMemory::Bytes(bytes) => words::show_memory(*bytes),
            ClientMemory::Percent(share) => format!("{share}%"),
        };
        vec![Line::new(name, shown, value != default)]
    }
}

/// A check of a text value; the error is the sentence the client reads.
pub type Check = fn(&str) -> Result<(), Reason>;

/// Any text of one line will do: names, addresses and paths end up in lines of files, of INFO and of CLUSTER NODES, and
/// a value must not add a line of its own there.
pub fn one_line(text: &str) -> Result<(), Reason> {
    match text.contains(char::is_control) {
        true => Err("argument must not contain control characters".into()),
        false => Ok(()),
    }
}

/// Text that may be empty.
#[derive(Debug)]
pub struct Text(pub Check);

impl Kind<String> for Text {
    fn parse(&self, args: &[&[u8]], _old: &String) -> Result<String, Reason> {
        let text = text(one(args)?)?;
        (self.0)(text)?;
        Ok(text.to_owned())
    }

    fn show(&self, value: &String) -> Vec<u8> {
        value.clone().into_bytes()
    }

    fn lines(&self, name: &str, value: &String, default: &String) -> Vec<Line> {
        let quoted = words::quote(value.as_bytes());
        vec![Line::new(name, quoted, value != default)]
    }
}

/// Text where empty means that there is none.
#[derive(Debug)]
pub struct OptionalText(pub Check);

impl Kind<Option<String>> for OptionalText {
    fn parse(&self, args: &[&[u8]], _old: &Option<String>) -> Result<Option<String>, Reason> {
        let text = text(one(args)?)?;
        (self.0)(text)?;
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn show(&self, value: &Option<String>) -> Vec<u8> {
        value.clone().unwrap_or_default().into_bytes()
    }

    fn lines(&self, name: &str, value: &Option<String>, _: &Option<String>) -> Vec<Line> {
        let quoted = value.as_ref().map(|value| words::quote(value.as_bytes()));
        quoted
            .map(|quoted| Line::new(name, quoted, true))
            .into_iter()
            .collect()
    }
}

/// Any bytes, where none means that there is no such secret.
#[derive(Debug)]
pub struct Secret;

impl Kind<Option<Vec<u8>>> for Secret {
    fn parse(&self, args: &[&[u8]], _old: &Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Reason> {
        let bytes = one(args)?;
        Ok((!bytes.is_empty()).then(|| bytes.to_vec()))
    }

    fn show(&self, value: &Option<Vec<u8>>) -> Vec<u8> {
        value.clone().unwrap_or_default()
    }

    fn lines(&self, name: &str, value: &Option<Vec<u8>>, _: &Option<Vec<u8>>) -> Vec<Line> {
        let quoted = value.as_deref().map(words::quote);
        quoted
            .map(|quoted| Line::new(name, quoted, true))
            .into_iter()
            .collect()
    }
}

/// The error that lists what is allowed.
fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> Reason {
    let names: Vec<&str> = names.collect();
    format!(
        "argument(s) must be one of the following: {}",
        names.join(", ")
    )
    .into()
}

/// One word out of a list.
#[derive(Debug)]
pub struct OneOf;

impl<T: Choice> Kind<T> for OneOf {
    const SHAPE: Shape = Shape::Words;

    fn parse(&self, args: &[&[u8]], _old: &T) -> Result<T, Reason> {
        let chosen = match args {
            [word] => T::from_name(word),
            _ => None,
        };
        chosen.ok_or_else(|| one_of(T::NAMES.iter().map(|(name, _)| *name)))
    }

    fn show(&self, value: &T) -> Vec<u8> {
        value.name().into()
    }

    fn lines(&self, name: &str, value: &T, default: &T) -> Vec<Line> {
        vec![Line::new(name, value.name(), value != default)]
    }
}

/// Several words out of a list.
#[derive(Debug)]
pub struct AnyOf;

impl AnyOf {
    /// The words for the bits, in table order; a word for exactly these bits wins.
    fn words<T: FlagSet>(value: T) -> String {
        let exact = T::NAMES.iter().find(|(_, bits)| *bits == value.bits());
        if let Some((name, _)) = exact {
            return (*name).to_owned();
        }
        let mut left = value.bits();
        let mut words = Vec::new();
        for (name, bits) in T::NAMES {
            if *bits != 0 && left & bits == *bits {
                words.push(*name);
                left &= !bits;
            }
        }
        words.join(" ")
    }
}

impl<T: FlagSet> Kind<T> for AnyOf {
    const SHAPE: Shape = Shape::Words;

    fn parse(&self, args: &[&[u8]], _old: &T) -> Result<T, Reason> {
        let bits = args.iter().try_fold(0, |bits, word| {
            let named = T::NAMES
                .iter()
                .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
            named.map(|(_, more)| bits | more)
        });
        let value = bits
            .filter(|_| !args.is_empty())
            .map(T::from_bits)
            .ok_or_else(|| one_of(T::NAMES.iter().map(|(name, _)| *name)))?;
        value.check()?;
        Ok(value)
    }

    fn show(&self, value: &T) -> Vec<u8> {
        Self::words(*value).into_bytes()
    }

    fn lines(&self, name: &str, value: &T, default: &T) -> Vec<Line> {
        vec![Line::new(name, Self::words(*value), value != default)]
    }
}

/// The working directory: what relative paths are relative to.
///
/// It must exist, and is kept absolute. A relative one is taken from the one in force.
#[derive(Debug)]
pub struct Directory;

impl Kind<PathBuf> for Directory {
    fn parse(&self, args: &[&[u8]], old: &PathBuf) -> Result<PathBuf, Reason> {
        disk::directory(&old.join(disk::path(one(args)?))).map_err(|e| disk::reason(&e).into())
    }

    fn show(&self, value: &PathBuf) -> Vec<u8> {
        disk::bytes(value).to_vec()
    }

    fn lines(&self, name: &str, value: &PathBuf, _default: &PathBuf) -> Vec<Line> {
        vec![Line::new(name, words::quote(disk::bytes(value)), true)]
    }
}

/// The points at which a snapshot is taken.
///
/// In a file, several lines add up; the loader empties the default before the first of them.
#[derive(Debug)]
pub struct SavePoints;

impl SavePoints {
    /// Reads `seconds changes` pairs; one empty argument is the empty list.
    pub(super) fn points(args: &[&[u8]]) -> Result<Vec<SavePoint>, Reason> {
        let wrong = || Reason::from("Invalid save parameters");
        if matches!(args, [b""]) {
            return Ok(Vec::new());
        }
        if !args.len().is_multiple_of(2) {
            return Err(wrong());
        }
        let point = |pair: &[&[u8]]| {
            let seconds = words::loose_integer(pair[0]).and_then(|n| u64::try_from(n).ok())?;
            let changes = words::loose_integer(pair[1]).and_then(|n| u64::try_from(n).ok())?;
            (seconds >= 1).then_some(SavePoint { seconds, changes })
        };
        let points = args.chunks_exact(2).map(point);
        points.collect::<Option<_>>().ok_or_else(wrong)
    }
}

impl Kind<Vec<SavePoint>> for SavePoints {
    fn parse(&self, args: &[&[u8]], _: &Vec<SavePoint>) -> Result<Vec<SavePoint>, Reason> {
        Self::points(args)
    }

    fn show(&self, value: &Vec<SavePoint>) -> Vec<u8> {
        let points = value.iter().map(|p| format!("{} {}", p.seconds, p.changes));
        points.collect::<Vec<_>>().join(" ").into_bytes()
    }

    fn lines(&self, name: &str, value: &Vec<SavePoint>, _: &Vec<SavePoint>) -> Vec<Line> {
        if value.is_empty() {
            // Without this line the built-in points would come back.
            return vec![Line::new(name, "\"\"", true)];
        }
        let line = |p: &SavePoint| Line::new(name, format!("{} {}", p.seconds, p.changes), true);
        value.iter().map(line).collect()
    }
}

/// `class hard soft seconds`, any number of times; a class not named keeps its limits.
#[derive(Debug)]
pub struct OutputLimitsPerClass;

impl OutputLimitsPerClass {
    fn classes(limits: &OutputLimits) -> [(&'static str, &'static str, OutputLimit); 3] {
        [
            // The name CONFIG GET shows, the name a file gets.
            ("normal", "normal", limits.normal),
            ("slave", "replica", limits.replica),
            ("pubsub", "pubsub", limits.pubsub),
        ]
    }
}

impl Kind<OutputLimits> for OutputLimitsPerClass {
    fn parse(&self, args: &[&[u8]], old: &OutputLimits) -> Result<OutputLimits, Reason> {
        if !args.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        let mut limits = *old;
        for class in args.chunks_exact(4) {
            let slot = match class[0].to_ascii_lowercase().as_slice() {
                b"normal" => &mut limits.normal,
                b"slave" | b"replica" => &mut limits.replica,
                b"pubsub" => &mut limits.pubsub,
                _ => {
                    return Err(
                        "Invalid client class specified in buffer limit configuration.".into(),
                    );
                }
            };
            let limit = || {
                Some(OutputLimit {
                    hard_bytes: num::parse_memory(class[1])?,
                    soft_bytes: num::parse_memory(class[2])?,
                    soft_seconds: u64::try_from(words::loose_integer(class[3])?).ok()?,
                })
            };
            *slot = limit().ok_or(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            )?;
        }
        Ok(limits)
    }

    fn show(&self, value: &OutputLimits) -> Vec<u8> {
        let shown = Self::classes(value).map(|(class, _, limit)| {
            let (hard, soft) = (limit.hard_bytes, limit.soft_bytes);
            format!("{class} {hard} {soft} {}", limit.soft_seconds)
        });
        shown.join(" ").into_bytes()
    }

    fn lines(&self, name: &str, value: &OutputLimits, default: &OutputLimits) -> Vec<Line> {
        let both = Self::classes(value).into_iter().zip(Self::classes(default));
        let line = |((_, class, limit), (_, _, preset)): ((_, &str, OutputLimit), (_, _, _))| {
            let hard = words::show_memory(limit.hard_bytes);
            let soft = words::show_memory(limit.soft_bytes);
            let shown = format!("{class} {hard} {soft} {}", limit.soft_seconds);
            Line::new(name, shown, limit != preset)
        };
        let mut lines: Vec<Line> = both.map(line).collect();
        // Classes with a forced line come first, so that they take the places of old lines before optional ones do.
        lines.sort_by_key(|line| !line.force);
        lines
    }
}

/// Three scores between -2000 and 2000.
#[derive(Debug)]
pub struct OomScoresPerRole;

impl Kind<OomScores> for OomScoresPerRole {
    fn parse(&self, args: &[&[u8]], _old: &OomScores) -> Result<OomScores, Reason> {
        let [primary, replica, child] = args else {
            return Err(ARITY);
        };
        let score = |arg: &[u8]| match words::loose_integer(arg) {
            Some(score @ -2000..=2000) => Ok(score as i32),
            _ => Err(Reason::from(
                "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
            )),
        };
        Ok(OomScores {
            primary: score(primary)?,
            replica: score(replica)?,
            child: score(child)?,
        })
    }

    fn show(&self, value: &OomScores) -> Vec<u8> {
        format!("{} {} {}", value.primary, value.replica, value.child).into_bytes()
    }

    fn lines(&self, name: &str, value: &OomScores, default: &OomScores) -> Vec<Line> {
        vec![Line::new(name, self.show(value), value != default)]
    }
}

/// The letters of the published keyspace events.
#[derive(Debug)]
pub struct NotifyLetters;

impl Kind<NotifyFlags> for NotifyLetters {
    fn parse(&self, args: &[&[u8]], _old: &NotifyFlags) -> Result<NotifyFlags, Reason> {
        NotifyFlags::parse(one(args)?)
            .ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdnocaSTIV'.".into())
    }

    fn show(&self, value: &NotifyFlags) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    fn lines(&self, name: &str, value: &NotifyFlags, default: &NotifyFlags) -> Vec<Line> {
        let quoted = words::quote(&self.show(value));
        vec![Line::new(name, quoted, value != default)]
    }
}

/// The addresses to listen on; one empty argument is none.
#[derive(Debug)]
pub struct Addresses;

/// A socket per address: this many and no more.
const MAX_ADDRESSES: usize = 16;

impl Kind<Vec<String>> for Addresses {
    fn parse(&self, args: &[&[u8]], _old: &Vec<String>) -> Result<Vec<String>, Reason> {
        if args.len() > MAX_ADDRESSES {
            return Err("Too many bind addresses specified.".into());
        }
        if matches!(args, [b""]) {
            return Ok(Vec::new());
        }
        args.iter()
            .map(|arg| {
                let address = text(arg)?;
                one_line(address)?;
                Ok(address.to_owned())
            })
            .collect()
    }

    fn show(&self, value: &Vec<String>) -> Vec<u8> {
        value.join(" ").into_bytes()
    }

    fn lines(&self, name: &str, value: &Vec<String>, default: &Vec<String>) -> Vec<Line> {
        if value == default {
            return Vec::new();
        }
        let shown = if value.is_empty() {
            "\"\"".to_owned()
        } else {
            value.join(" ")
        };
        vec![Line::new(name, shown, true)]
    }
}

/// `host port`, or `no one`.
#[derive(Debug)]
pub struct PrimaryAddress;

impl Kind<Option<Primary>> for PrimaryAddress {
    fn parse(&self, args: &[&[u8]], _: &Option<Primary>) -> Result<Option<Primary>, Reason> {
        let [host, port] = args else {
            return Err(ARITY);
        };
        if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            return Ok(None);
        }
        let port = words::loose_integer(port).and_then(|port| u16::try_from(port).ok());
        let host = text(host)?;
        if !Primary::is_host(host) {
            return Err("Invalid master host".into());
        }
        Ok(Some(Primary {
            host: host.to_owned(),
            port: port.ok_or("Invalid master port")?,
        }))
    }

    fn show(&self, value: &Option<Primary>) -> Vec<u8> {
        let shown = value.as_ref().map(|p| format!("{} {}", p.host, p.port));
        shown.unwrap_or_default().into_bytes()
    }

    fn lines(&self, name: &str, value: &Option<Primary>, _: &Option<Primary>) -> Vec<Line> {
        let line = value
            .as_ref()
            .map(|p| Line::new(name, format!("{} {}", p.host, p.port), true));
        line.into_iter().collect()
    }
}

/// The percentiles of the latency reports; one empty argument is none.
#[derive(Debug)]
pub struct Percentiles;

impl Percentiles {
    fn shown(value: &[f64]) -> String {
        let shown = value.iter().map(|p| {
            let fixed = format!("{p:.6}");
            fixed.trim_end_matches('0').trim_end_matches('.').to_owned()
        });
        shown.collect::<Vec<_>>().join(" ")
    }
}

impl Kind<Vec<f64>> for Percentiles {
    fn parse(&self, args: &[&[u8]], _old: &Vec<f64>) -> Result<Vec<f64>, Reason> {
        if matches!(args, [b""]) {
            return Ok(Vec::new());
        }
        let percentile = |arg: &&[u8]| {
            let number = std::str::from_utf8(arg).ok().and_then(|s| s.parse().ok());
            match number {
                Some(p) if (0.0..=100.0).contains(&p) => Ok(p),
                Some(p) if !f64::is_nan(p) => Err(Reason::from(
                    "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
                )),
                _ => Err("Invalid latency-tracking-info-percentiles parameters".into()),
            }
        };
        args.iter().map(percentile).collect()
    }

    fn show(&self, value: &Vec<f64>) -> Vec<u8> {
        Self::shown(value).into_bytes()
    }

    fn lines(&self, name: &str, value: &Vec<f64>, _default: &Vec<f64>) -> Vec<Line> {
        let shown = match value.is_empty() {
            true => "\"\"".to_owned(),
            false => Self::shown(value),
        };
        vec![Line::new(name, shown, true)]
    }
}

/// A wish that can only be refused: `no` is fine, `yes` gets the reason.
#[derive(Debug)]
pub struct Refused(pub &'static str);

impl Kind<bool> for Refused {
    const SHAPE: Shape = Shape::YesNo;

    fn parse(&self, args: &[&[u8]], old: &bool) -> Result<bool, Reason> {
        match YesNo.parse(args, old)? {
            true => Err(self.0.into()),
            false => Ok(false),
        }
    }

    fn show(&self, value: &bool) -> Vec<u8> {
        YesNo.show(value)
    }

    fn lines(&self, name: &str, value: &bool, default: &bool) -> Vec<Line> {
        YesNo.lines(name, value, default)
    }
}
