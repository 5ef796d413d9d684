//! Shapes: what a command may look like, written as in Redis's documentation and turned into random commands.
//!
//! ```text
//!   SET key value [NX|XX] [GET] [EX seconds|PX milliseconds|KEEPTTL]
//!   MSET (key value)+
//! ```
//!
//! A word in capitals stands for itself (in any case), one in small letters is a [`Kind`] of argument. `[…]` may
//! be left out, `(…)` groups, `|` chooses, `+` repeats. Options that stand side by side come in any order.
//!
//! Most commands come out well-formed, so that streams reach deep states; in every seventh or so something is
//! wrong: an argument too many or too few, an option twice or two that exclude each other, a number that is none.

use crate::support::random::Random;

/// How the replies of two servers must relate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// Byte by byte.
    Exact,
    /// Integers from 0 up may lie this far apart: clocks are read at different moments.
    Near(i64),
    /// The same elements in any order: the order of a hash table is nobody's promise.
    Unordered,
    /// The same, where two elements belong together.
    UnorderedPairs,
    /// The same kind of reply: the choice is random.
    Alike,
    /// The same but for times, and for what only newer streams tell.
    Untimed,
    /// A cursor is followed to its end; all that it brought is then the same, in any order.
    Scan,
}

/// One row of a group's table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub shape: &'static str,
    pub check: Check,
    /// How often against the others; see [`Row::weight`].
    pub weight: u32,
    /// See [`Row::always_whole`].
    pub may_spoil: bool,
}

pub const fn exact(shape: &'static str) -> Row {
    row(shape, Check::Exact)
}

pub const fn near(shape: &'static str, tolerance: i64) -> Row {
    row(shape, Check::Near(tolerance))
}

pub const fn unordered(shape: &'static str) -> Row {
    row(shape, Check::Unordered)
}

pub const fn unordered_pairs(shape: &'static str) -> Row {
    row(shape, Check::UnorderedPairs)
}

pub const fn alike(shape: &'static str) -> Row {
    row(shape, Check::Alike)
}

pub const fn untimed(shape: &'static str) -> Row {
    row(shape, Check::Untimed)
}

pub const fn scan(shape: &'static str) -> Row {
    row(shape, Check::Scan)
}

const fn row(shape: &'static str, check: Check) -> Row {
    Row {
        shape,
        check,
        weight: 10,
        may_spoil: true,
    }
}

impl Row {
    /// Never with an argument missing or wrong: without its count, a random choice would part the servers.
    pub const fn always_whole(self) -> Row {
        Row {
            may_spoil: false,
            ..self
        }
    }

    /// A row weighs 10: more for what builds up state, 1 for what tears all of it down.
    pub const fn weight(self, weight: u32) -> Row {
        Row { weight, ..self }
    }
}

/// A placeholder for an argument, and the source of its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A key of the group at hand, now and then of another: that is how WRONGTYPE comes about.
    Key,
    /// A string to store: numbers, text, bytes, lengths on both sides of an encoding's limit.
    Value,
    /// One of a few short names: a field, a member, so that the same ones meet again.
    Name,
    Integer,
    /// A small integer that is one.
    Score,
    Float,
    /// A position, from either end.
    Index,
    /// A small number, not negative.
    Count,
    /// Bits, up to a few thousand: no string grows beyond bounds.
    Offset,
    /// See [`Maker::deadline`]; in one case of ten the past.
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
    Pattern,
    /// A pattern that SORT makes keys of.
    Lookup,
    /// A key that SORT may look at without changing its encoding in Redis: of lists and sets, and now and then of
    /// what cannot be sorted.
    Sortable,
    Db,
    Cursor,
    TypeName,
    Bit,
    /// An end of a range of scores.
    Border,
    /// An end of a range of names.
    Lex,
    /// As `u8` or `i63`.
    FieldType,
    Longitude,
    Latitude,
    Distance,
    /// The ID of a new entry, above those before in most cases.
    NewId,
    /// The ID of an entry.
    Id,
    /// An end of a range of IDs.
    IdBound,
    /// A consumer group, and a consumer: so few that they meet.
    GroupName,
    Consumer,
    /// Milliseconds that nothing, or everything, has been idle for.
    Idle,
    /// Sixteen hexadecimal digits, as DIGEST answers.
    Digest,
    /// Attributes of an element of a vector set, and a filter over such.
    Json,
    Filter,
}

const KINDS: &[(&str, Kind)] = &[
    ("key", Kind::Key),
    ("value", Kind::Value),
    ("name", Kind::Name),
    ("integer", Kind::Integer),
    ("score", Kind::Score),
    ("float", Kind::Float),
    ("index", Kind::Index),
    ("count", Kind::Count),
    ("offset", Kind::Offset),
    ("seconds", Kind::Seconds),
    ("milliseconds", Kind::Milliseconds),
    ("unix-seconds", Kind::UnixSeconds),
    ("unix-milliseconds", Kind::UnixMilliseconds),
    ("pattern", Kind::Pattern),
    ("lookup", Kind::Lookup),
    ("sortable", Kind::Sortable),
    ("db", Kind::Db),
    ("cursor", Kind::Cursor),
    ("type", Kind::TypeName),
    ("bit", Kind::Bit),
    ("border", Kind::Border),
    ("lex", Kind::Lex),
    ("field-type", Kind::FieldType),
    ("longitude", Kind::Longitude),
    ("latitude", Kind::Latitude),
    ("distance", Kind::Distance),
    ("new-id", Kind::NewId),
    ("id", Kind::Id),
    ("id-bound", Kind::IdBound),
    ("group", Kind::GroupName),
    ("consumer", Kind::Consumer),
    ("idle", Kind::Idle),
    ("digest", Kind::Digest),
    ("json", Kind::Json),
    ("filter", Kind::Filter),
];

/// Numbers that parsers get wrong. No number here is valid as a size that a command would then allocate, or as a
/// deadline that passes while a stream runs.
const NASTY: &[&str] = &[
    "",
    " ",
    "abc",
    "-",
    "+",
    "+1",
    "-0",
    "01",
    "1 ",
    "1.0",
    "1e3",
    "0x1g",
    "nan",
    "inf",
    "-inf",
    "infinity",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "4294967296",
    "1.5\0",
    "1\r\n",
];

/// A parsed shape.
#[derive(Debug)]
pub struct Shape(Vec<Item>);

#[derive(Debug)]
enum Item {
    Literal(&'static str),
    Kind(Kind),
    Optional(Vec<Shape>),
    Choice(Vec<Shape>),
    Repeat(Box<Item>),
}

/// The source of a command: the random numbers, and the keys it may name.
#[derive(Debug)]
pub struct Maker {
    pub random: Random,
    /// The letter that keys of the row at hand begin with; those of all groups' keys.
    pub own: char,
    pub letters: Vec<char>,
    /// Seconds since 1970 when the stream began.
    pub now: u64,
    /// Deadlines given out so far.
    pub deadlines: i64,
    /// Milliseconds of the latest entry of a stream.
    pub latest_id: u64,
}

impl Maker {
    /// Seconds from now, so many that no stream is still running then. Two of them are never close: EXPIRE's GT
    /// and LT must not hang on which server read its clock first.
    fn deadline(&mut self) -> i64 {
        self.deadlines += 1;
        100_000 + self.deadlines * 7_919 % 100_003 * 20
    }
}

impl Shape {
    /// Panics on a shape that is not one: the tables are ours.
    pub fn parse(text: &'static str) -> Shape {
        let mut rest = text;
        let shape = Shape::sequence(&mut rest);
        assert!(rest.is_empty(), "{text}: cannot read from {rest:?} on");
        shape
    }

    fn sequence(rest: &mut &'static str) -> Shape {
        let mut items = Vec::new();
        loop {
            *rest = rest.trim_start();
            let item = match rest.chars().next() {
                None | Some(']' | ')' | '|') => return Shape(items),
                Some('[') => Item::Optional(Shape::alternatives(rest, ']')),
                Some('(') => Item::Choice(Shape::alternatives(rest, ')')),
                Some(_) => Shape::word(rest),
            };
            let repeated = rest.strip_prefix('+');
            *rest = repeated.unwrap_or(rest);
            items.push(if repeated.is_some() {
                Item::Repeat(Box::new(item))
            } else {
                item
            });
        }
    }

    fn alternatives(rest: &mut &'static str, close: char) -> Vec<Shape> {
        let mut all = Vec::new();
        loop {
            *rest = &rest[1..];
            all.push(Shape::sequence(rest));
            if rest.starts_with(close) {
                *rest = &rest[1..];
                return all;
            }
            assert!(rest.starts_with('|'), "expected | or {close} at {rest:?}");
        }
    }

    fn word(rest: &mut &'static str) -> Item {
        let end = rest
            .find(|c: char| " []()|+".contains(c))
            .unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        *rest = tail;
        if !word.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Item::Literal(word);
        }
        let kind = KINDS.iter().find(|(name, _)| *name == word);
        Item::Kind(
            kind.unwrap_or_else(|| panic!("no such kind of argument: {word}"))
                .1,
        )
    }

    /// One random command of this shape.
    pub fn make(&self, maker: &mut Maker, may_spoil: bool) -> Vec<Vec<u8>> {
        let mut args = Vec::new();
        self.expand(maker, &mut args);
        if may_spoil && maker.random.percent(14) {
            self.spoil(maker, &mut args);
        }
        args
    }

    fn expand(&self, maker: &mut Maker, out: &mut Vec<Vec<u8>>) {
        let mut at = 0;
        while at < self.0.len() {
            let options = self.0[at..]
                .iter()
                .take_while(|item| matches!(item, Item::Optional(_)))
                .count();
            if options > 1 {
                let mut order: Vec<&Item> = self.0[at..at + options].iter().collect();
                if maker.random.percent(30) {
                    maker.random.shuffle(&mut order);
                }
                order.iter().for_each(|item| item.expand(maker, out));
                at += options;
            } else {
                self.0[at].expand(maker, out);
                at += 1;
            }
        }
    }

    /// Something goes wrong with the arguments; the command's name stays, for the name is not the question.
    fn spoil(&self, maker: &mut Maker, args: &mut Vec<Vec<u8>>) {
        let at = 1 + maker.random.below(args.len());
        match maker.random.below(6) {
            0 if at < args.len() => drop(args.remove(at)),
            1 => args.truncate(at),
            2 if at < args.len() => args.insert(at, args[at].clone()),
            3 if at < args.len() => args[at] = nasty(maker),
            4 => args.push(nasty(maker)),
            _ => {
                let options: Vec<&Item> = self
                    .0
                    .iter()
                    .filter(|item| matches!(item, Item::Optional(_)))
                    .collect();
                if let Some(Item::Optional(choices)) =
                    options.get(maker.random.below(options.len().max(1)))
                {
                    choices[maker.random.below(choices.len())].expand(maker, args);
                }
            }
        }
    }
}

impl Item {
    fn expand(&self, maker: &mut Maker, out: &mut Vec<Vec<u8>>) {
        match self {
            Item::Literal(word) => out.push(any_case(word, &mut maker.random)),
            Item::Kind(kind) => out.push(kind.make(maker)),
            Item::Optional(choices) => {
                if maker.random.percent(35) {
                    choices[maker.random.below(choices.len())].expand(maker, out);
                }
            }
            Item::Choice(choices) => choices[maker.random.below(choices.len())].expand(maker, out),
            Item::Repeat(item) => {
                for _ in 0..=maker.random.below(4) {
                    item.expand(maker, out);
                }
            }
        }
    }
}

impl Kind {
    fn make(self, maker: &mut Maker) -> Vec<u8> {
        if self.is_number() && maker.random.percent(4) {
            return nasty(maker);
        }
        let now = maker.now as i64;
        let random = &mut maker.random;
        let small = |random: &mut Random, from: i64, to: i64| {
            from + random.below((to - from + 1) as usize) as i64
        };
        let number = match self {
            Kind::Key => {
                let letter = if random.percent(6) {
                    *random.pick(&maker.letters)
                } else {
                    maker.own
                };
                return format!("{letter}:{}", random.below(8)).into_bytes();
            }
            Kind::Name => return format!("m{}", random.below(12)).into_bytes(),
            Kind::Value => return value(random),
            Kind::Float => return float(random),
            Kind::Pattern => return pattern(random, maker.own),
            Kind::Sortable => {
                let letter = *random.pick(&['e', 'l', 'e', 'l', 'e', 'l', 'h', 's']);
                return format!("{letter}:{}", random.below(8)).into_bytes();
            }
            Kind::Lookup => {
                let text = match random.below(9) {
                    0 => "nosort".to_owned(),
                    1 => "#".to_owned(),
                    2 => "*".to_owned(),
                    3 => format!("h:{}->*", random.below(8)),
                    4 => "h:*->".to_owned(),
                    5 | 6 => format!("h:*->m{}", random.below(12)),
                    _ => "s:*".to_owned(),
                };
                return text.into_bytes();
            }
            Kind::TypeName => {
                let types = [
                    "string", "list", "set", "zset", "hash", "stream", "String", "none",
                ];
                return random.pick(&types).as_bytes().to_vec();
            }
            Kind::Border => {
                let open = if random.percent(25) { "(" } else { "" };
                let score = match random.below(6) {
                    0 => random.pick(&["-inf", "+inf", "inf"]).to_string(),
                    1 => random.below(10).to_string(),
                    _ => String::from_utf8(float(random)).expect("digits"),
                };
                return format!("{open}{score}").into_bytes();
            }
            Kind::Lex => {
                let text = match random.below(6) {
                    0 => "-".to_owned(),
                    1 => "+".to_owned(),
                    2 => format!("m{}", random.below(12)),
                    _ => format!("{}m{}", random.pick(&["[", "("]), random.below(12)),
                };
                return text.into_bytes();
            }
            Kind::FieldType => {
                let bits = *random.pick(&[1, 2, 3, 8, 9, 16, 31, 32, 63, 64, 65]);
                return format!("{}{bits}", random.pick(&["u", "i"])).into_bytes();
            }
            Kind::Longitude => return degrees(random, 185),
            Kind::Latitude => return degrees(random, 88),
            Kind::Distance => {
                return (random.below(8_000_000) as f64 / 7.0)
                    .to_string()
                    .into_bytes();
            }
            Kind::NewId => {
                maker.latest_id += [0, 0, 1, 1, 1, 5][random.below(6)];
                let ms = maker.latest_id;
                let text = match random.below(12) {
                    0 => return id(random, ms),
                    1..5 => format!("{ms}-*"),
                    5..8 => format!("{ms}-{}", random.below(1000)),
                    _ => format!("{}", ms + 1),
                };
                return text.into_bytes();
            }
            Kind::Id => return id(random, maker.latest_id),
            Kind::IdBound => {
                let text = match random.below(8) {
                    0 | 1 => b"-".to_vec(),
                    2 | 3 => b"+".to_vec(),
                    4 => [b"(".as_slice(), &id(random, maker.latest_id)].concat(),
                    _ => id(random, maker.latest_id),
                };
                return text;
            }
            Kind::GroupName => return format!("group{}", random.below(3)).into_bytes(),
            // Now and then one that nobody else names: it may exist without ever having read anything.
            Kind::Consumer => {
                let all = if random.percent(15) { 400 } else { 4 };
                return format!("consumer{}", random.below(all)).into_bytes();
            }
            Kind::Idle => *random.pick(&[0, 0, 0, -1, 100_000_000]),
            Kind::Digest => {
                let known = ["99aa06d3014798d8", "ef46db3751d8e999", "0123456789abcdef"];
                return random.pick(&known).as_bytes().to_vec();
            }
            Kind::Json => {
                let known = [
                    "{\"n\":1,\"s\":\"a\"}",
                    "{\"n\":2.5,\"s\":\"b\",\"l\":[1,\"a\"]}",
                    "{\"n\":true}",
                    "",
                    "{",
                    "[1]",
                ];
                return random.pick(&known).as_bytes().to_vec();
            }
            Kind::Filter => {
                let known = [
                    ".n > 1",
                    ".n == 1 and .s == \"a\"",
                    ".s in [\"a\", \"c\"] or not .n",
                    "\"a\" in .l",
                    ".n + 1 == 2 || .nosuch",
                    ".n >",
                    "(.n",
                ];
                return random.pick(&known).as_bytes().to_vec();
            }
            Kind::Cursor => 0,
            Kind::Score => small(random, -20, 20),
            Kind::Integer => match random.below(10) {
                0 => *random.pick(&[i64::MAX, i64::MIN, i64::MAX - 1, 1 << 32, -(1 << 31)]),
                _ => small(random, -20, 20),
            },
            Kind::Index => match random.below(20) {
                0 => *random.pick(&[i64::MAX, i64::MIN, 1 << 32, -(1 << 32)]),
                _ => small(random, -15, 60),
            },
            Kind::Count => match random.below(20) {
                0 => *random.pick(&[0, -1, 1000]),
                _ => small(random, 1, 10),
            },
            Kind::Offset => match random.below(20) {
                0 => *random.pick(&[-1, 1 << 32, i64::MAX]),
                1 => small(random, 0, 4000),
                _ => small(random, 0, 100),
            },
            Kind::Bit => small(random, 0, 1),
            Kind::Db => small(random, 0, 2),
            Kind::Seconds => maker.deadline() - past(&mut maker.random, 1 << 40),
            Kind::Milliseconds => maker.deadline() * 1000 + 500 - past(&mut maker.random, 1 << 50),
            Kind::UnixSeconds => now + maker.deadline() - past(&mut maker.random, 1 << 40),
            Kind::UnixMilliseconds => {
                (now + maker.deadline()) * 1000 - past(&mut maker.random, 1 << 50)
            }
        };
        number.to_string().into_bytes()
    }

    fn is_number(self) -> bool {
        !matches!(
            self,
            Kind::Key
                | Kind::Name
                | Kind::Value
                | Kind::Pattern
                | Kind::Lookup
                | Kind::Sortable
                | Kind::Score
                | Kind::TypeName
                | Kind::GroupName
                | Kind::Consumer
                | Kind::Digest
                | Kind::Json
                | Kind::Filter
        )
    }
}

/// An ID near the latest one, or one of the extreme.
fn id(random: &mut Random, latest: u64) -> Vec<u8> {
    let ms = (latest + 1).saturating_sub(random.below(40) as u64);
    let text = match random.below(30) {
        0 => "0-0".to_owned(),
        1 => "18446744073709551615-18446744073709551615".to_owned(),
        2 => format!("{ms}-18446744073709551615"),
        3..10 => format!("{ms}"),
        10..13 => format!("{ms}-{}", random.below(1000)),
        _ => format!("{ms}-{}", random.below(2)),
    };
    text.into_bytes()
}

/// In one case of ten so much that a deadline lies behind us, zero otherwise.
fn past(random: &mut Random, enough: i64) -> i64 {
    if random.percent(10) { enough } else { 0 }
}

fn nasty(maker: &mut Maker) -> Vec<u8> {
    match maker.random.below(8) {
        0 => (-(maker.random.below(100) as i64)).to_string().into_bytes(),
        1 => vec![b'x'; 1 + maker.random.below(200)],
        2 => maker.random.bytes(3),
        _ => maker.random.pick(NASTY).as_bytes().to_vec(),
    }
}

fn any_case(word: &str, random: &mut Random) -> Vec<u8> {
    let flip = random.percent(20);
    let letter = |c: u8| {
        if flip && random.percent(50) {
            c.to_ascii_lowercase()
        } else {
            c
        }
    };
    word.bytes().map(letter).collect()
}

fn value(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0..=2 => random.below(10_100).to_string().into_bytes(),
        3 => random
            .pick(&[i64::MAX, i64::MIN, i64::MAX - 5, -1])
            .to_string()
            .into_bytes(),
        4 => float(random),
        5 => Vec::new(),
        6 => {
            let len = random.below(40);
            random.bytes(len)
        }
        // Around the limits of embstr (44) and of the listpack encodings (64).
        7 => vec![b'a' + random.below(26) as u8; *random.pick(&[20, 43, 44, 45, 63, 64, 65])],
        8 => {
            let len = 100 + random.below(400);
            random.bytes(len)
        }
        // Repetitive text over a small alphabet, for LCS and bit counts.
        9 => (0..random.below(60))
            .map(|_| b'a' + random.below(3) as u8)
            .collect(),
        10 => random.pick(NASTY).as_bytes().to_vec(),
        _ => format!("value {}", random.below(30)).into_bytes(),
    }
}

fn float(random: &mut Random) -> Vec<u8> {
    let text = match random.below(8) {
        0 => random
            .pick(&[
                "0",
                "-0",
                "1e10",
                "1.5e-3",
                "3.0e3",
                "-1e-7",
                "1e17",
                "123456789.123456789",
            ])
            .to_string(),
        1 => format!("{}", random.below(2000) as i64 - 1000),
        2 => format!("{:e}", (random.next() % 1_000_000_007) as f64 * 1e-5),
        3 => random
            .pick(&["inf", "-inf", "+inf", "nan", "1e308", "-1e308"])
            .to_string(),
        _ => format!("{}", (random.below(200_000) as f64 - 100_000.0) / 1000.0),
    };
    text.into_bytes()
}

/// Up to `bound` on both sides, so that some lie beyond what the earth or the projection has.
fn degrees(random: &mut Random, bound: i64) -> Vec<u8> {
    let millionths = random.below(2_000_000 * bound as usize) as i64 - 1_000_000 * bound;
    (millionths as f64 / 1e6).to_string().into_bytes()
}

fn pattern(random: &mut Random, own: char) -> Vec<u8> {
    let text = match random.below(8) {
        0 => "*".to_owned(),
        1 => format!("{own}:*"),
        2 => format!("{own}:[0-{}]", random.below(8)),
        3 => format!("?:{}", random.below(8)),
        4 => format!("{own}:[^{}]", random.below(8)),
        5 => format!("*{}", random.below(8)),
        6 => random
            .pick(&[
                "", "[", "\\", "*:[", "*?*", "\\*", "[a-", "**", "k*", "[^]*",
            ])
            .to_string(),
        _ => format!("{own}:{}", random.below(8)),
    };
    text.into_bytes()
}
