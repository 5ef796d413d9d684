//! `cjson`: JSON for scripts.
//!
//! A null is the light userdata NULL, because a table cannot hold `nil`. Tables whose keys are 1 to n become
//! arrays, an empty table becomes `{}`, unless it came from an array while `decode_array_with_array_mt` was on.
//!
//! ```text
//!   encode   a value on Lua's stack, looked at where it is  -->  bytes
//!   decode   bytes  -->  values, written to Lua's stack as they are read
//! ```
//!
//! Invariant: while [`Decoding`] writes to Lua's stack it owns its text and its room for strings, and the
//! functions below it own nothing: Lua may leave them for want of memory.
//!
//! Mirrors: lua_cjson.c (Lua CJSON 2.1 as patched in Redis).
//! Differs: the decoder stops at the end of its input instead of at a zero byte; nesting has a bound that scripts
//! cannot raise.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, Table, Value};

use super::Roomy;
use crate::sys::lua::{
    Args, Fault, Host, Push, Pusher, Rooted, Seen, TableView, View, bad_argument, door,
};
use crate::util::num;

/// Deepest nesting that the recursion here is made for, whatever the script sets.
const DEPTH_BOUND: i64 = 1000;
/// The longest text that is made.
const TEXT_MAX: usize = 1 << 30;
/// Tables encoded between two questions whether to go on; a power of two.
const PERIOD: u32 = 1 << 16;
/// Values of one table that wait on Lua's stack before the table is made.
const GATHERED: usize = 32;
/// Tables within each other that do so: a function of C's has 8,000 places on the stack.
const GATHERING_DEPTH: i64 = 16;

/// The address of this is in the metatable of arrays.
static ARRAY: u8 = 1;

#[derive(Clone, Copy, Debug)]
struct Config {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    /// 0: an error, 1: as C prints them, 2: null.
    encode_invalid: i64,
    decode_invalid: bool,
    /// Arrays get a metatable by which they are known as such.
    mark_arrays: bool,
    precision: i64,
    keep_buffer: bool,
}

type Shared = Rc<Cell<Config>>;

/// A value returned by one of the functions.
enum Out {
    Text(Roomy),
    Decoded(Decoding),
    Number(f64),
    Boolean(bool),
    Word(&'static [u8]),
    Three(bool, f64, f64),
}

impl Push for Out {
    fn number(&self) -> Option<f64> {
        match self {
            Out::Number(n) => Some(*n),
            _ => None,
        }
    }

    fn push(&mut self, to: &mut Pusher<'_>) -> Result<usize, String> {
        match self {
            Out::Text(text) => to.bytes(&text.text),
            Out::Decoded(decoding) => decoding.document(to)?,
            Out::Number(n) => to.number(*n),
            Out::Boolean(yes) => to.boolean(*yes),
            Out::Word(word) => to.bytes(word),
            Out::Three(first, second, third) => {
                to.boolean(*first);
                to.number(*second);
                to.number(*third);
                return Ok(3);
            }
        }
        Ok(1)
    }
}

/// The library's table. `sealed` is what scripts see as the metatable of arrays.
pub fn open(lua: &Lua, host: &Rc<Host>) -> mlua::Result<Table> {
    let arrays = lua.create_table()?;
    let mark = std::ptr::from_ref(&ARRAY).cast_mut().cast();
    arrays.raw_set(Value::LightUserData(mlua::LightUserData(mark)), true)?;
    arrays.raw_set("__metatable", false)?;
    let library = open_one(lua, host, Rooted::new(lua, &arrays)?)?;
    Ok(library)
}

fn open_one(lua: &Lua, host: &Rc<Host>, arrays: Rooted) -> mlua::Result<Table> {
    let config = Rc::new(Cell::new(Config {
        sparse_convert: false,
        sparse_ratio: 2,
        sparse_safe: 10,
        encode_depth: 1000,
        decode_depth: 1000,
        encode_invalid: 0,
        decode_invalid: true,
        mark_arrays: false,
        precision: 14,
        keep_buffer: true,
    }));
    let cjson = lua.create_table()?;
    let (own, asked) = (config.clone(), host.clone());
    let room = Rc::default();
    let encode = door(lua, host, move |args| {
        only(args)?;
        let mut encoder = Encoder {
            config: own.get(),
            host: &asked,
            tables: 0,
            out: Roomy::of(&room),
        };
        encoder.value(args.view(0), 0)?;
        Ok(Out::Text(encoder.out))
    })?;
    cjson.raw_set("encode", encode)?;
    let own = config.clone();
    let decode = door(lua, host, move |args| {
        only(args)?;
        let text = match args.bytes(0)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(number) => Some(number),
        };
        Ok(Out::Decoded(Decoding {
            text,
            room: Vec::new(),
            config: own.get(),
            arrays,
        }))
    })?;
    cjson.raw_set("decode", decode)?;
    open_options(lua, host, &cjson, &config)?;
    cjson.raw_set("null", Value::NULL)?;
    cjson.raw_set("_NAME", "cjson")?;
    cjson.raw_set("_VERSION", "2.1.0")?;
    let own = host.clone();
    let new = lua.create_function(move |lua, _: mlua::MultiValue| open_one(lua, &own, arrays))?;
    cjson.raw_set("new", new)?;
    Ok(cjson)
}

fn open_options(lua: &Lua, host: &Rc<Host>, cjson: &Table, config: &Shared) -> mlua::Result<()> {
    type Field = fn(&mut Config) -> &mut i64;
    let numbers: [(&str, i64, i64, Field); 3] = [
        ("encode_max_depth", 1, i32::MAX.into(), |c| {
            &mut c.encode_depth
        }),
        ("decode_max_depth", 1, i32::MAX.into(), |c| {
            &mut c.decode_depth
        }),
        ("encode_number_precision", 1, 14, |c| &mut c.precision),
    ];
    for (name, min, max, field) in numbers {
        let own = config.clone();
        let option = door(lua, host, move |args| {
            at_most(args, 1)?;
            let mut config = own.get();
            if let Some(n) = integer(args, 0, min, max)? {
                *field(&mut config) = n;
                own.set(config);
            }
            Ok(Out::Number(*field(&mut config) as f64))
        })?;
        cjson.raw_set(name, option)?;
    }
    type Switch = fn(&mut Config) -> &mut bool;
    let switches: [(&str, Switch); 3] = [
        ("encode_keep_buffer", |c| &mut c.keep_buffer),
        ("decode_invalid_numbers", |c| &mut c.decode_invalid),
        ("decode_array_with_array_mt", |c| &mut c.mark_arrays),
    ];
    for (name, field) in switches {
        let own = config.clone();
        let option = door(lua, host, move |args| {
            at_most(args, 1)?;
            let mut config = own.get();
            if let Some(on) = switch(args, 0)? {
                *field(&mut config) = on;
                own.set(config);
            }
            Ok(Out::Boolean(*field(&mut config)))
        })?;
        cjson.raw_set(name, option)?;
    }
    let own = config.clone();
    let sparse = door(lua, host, move |args| {
        at_most(args, 3)?;
        let mut config = own.get();
        config.sparse_convert = switch(args, 0)?.unwrap_or(config.sparse_convert);
        let max = i32::MAX.into();
        config.sparse_ratio = integer(args, 1, 0, max)?.unwrap_or(config.sparse_ratio);
        config.sparse_safe = integer(args, 2, 0, max)?.unwrap_or(config.sparse_safe);
        own.set(config);
        Ok(Out::Three(
            config.sparse_convert,
            config.sparse_ratio as f64,
            config.sparse_safe as f64,
        ))
    })?;
    cjson.raw_set("encode_sparse_array", sparse)?;
    let own = config.clone();
    let invalid = door(lua, host, move |args| {
        at_most(args, 1)?;
        let mut config = own.get();
        config.encode_invalid = match args.see(0) {
            Seen::Nil => config.encode_invalid,
            Seen::Bytes(b"null") => 2,
            _ => switch(args, 0)?.unwrap_or(false).into(),
        };
        own.set(config);
        Ok(match config.encode_invalid {
            2 => Out::Word(b"null"),
            n => Out::Boolean(n == 1),
        })
    })?;
    cjson.raw_set("encode_invalid_numbers", invalid)
}

fn only(args: &Args<'_>) -> Result<(), String> {
    match args.len() {
        1 => Ok(()),
        _ => Err(bad_argument(0, "expected 1 argument")),
    }
}

fn at_most(args: &Args<'_>, count: usize) -> Result<(), String> {
    match args.len() > count {
        true => Err(bad_argument(count, "found too many arguments")),
        false => Ok(()),
    }
}

fn integer(args: &Args<'_>, i: usize, min: i64, max: i64) -> Result<Option<i64>, String> {
    if matches!(args.see(i), Seen::Nil) {
        return Ok(None);
    }
    match args.number(i)? as i64 {
        n if (min..=max).contains(&n) => Ok(Some(n)),
        _ => {
            let reason = format!("expected integer between {min} and {max}");
            Err(bad_argument(i, &reason))
        }
    }
}

fn switch(args: &Args<'_>, i: usize) -> Result<Option<bool>, String> {
    match args.see(i) {
        Seen::Nil => Ok(None),
        Seen::Boolean(on) => Ok(Some(on)),
        Seen::Bytes(b"on") => Ok(Some(true)),
        Seen::Bytes(b"off") => Ok(Some(false)),
        _ => {
            let word = args.bytes(i)?;
            let word = String::from_utf8_lossy(&word);
            Err(bad_argument(i, &format!("invalid option '{word}'")))
        }
    }
}

struct Encoder<'a> {
    config: Config,
    host: &'a Host,
    tables: u32,
    out: Roomy,
}

type Result<T = (), E = Fault<Out>> = std::result::Result<T, E>;

fn cannot(kind: &str, reason: &str) -> Fault<Out> {
    Fault::Text(format!("Cannot serialise {kind}: {reason}"))
}

impl Encoder<'_> {
    #[inline]
    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out.text
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out().extend_from_slice(bytes);
    }

    fn value(&mut self, value: View<'_>, depth: i64) -> Result {
        match value.see() {
            Seen::Bytes(text) => encode_string(text, self.out()),
            Seen::Number(n) => self.number(n)?,
            Seen::Boolean(true) => self.put(b"true"),
            Seen::Boolean(false) => self.put(b"false"),
            Seen::Nil | Seen::Null => self.put(b"null"),
            Seen::Table(table) => self.table(table, depth + 1)?,
            Seen::Other => return Err(cannot(value.type_name(), "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, table: TableView<'_>, depth: i64) -> Result {
        if depth > self.config.encode_depth || depth > DEPTH_BOUND {
            let text = format!("Cannot serialise, excessive nesting ({depth})");
            return Err(Fault::Text(text));
        }
        self.tables = self.tables.wrapping_add(1);
        if self.tables.is_multiple_of(PERIOD)
            && let Some(text) = self.host.poll()
        {
            return Err(Fault::Killed(text));
        }
        if self.out().len() > TEXT_MAX {
            return Err(Fault::Text("not enough memory".into()));
        }
        match self.array_length(table)? {
            Some(len) => self.array(table, len, depth),
            None => self.object(table, depth),
        }
    }

    fn number(&mut self, n: f64) -> Result {
        if n.is_finite() {
            let precision = self.config.precision as usize;
            num::write_g(self.out(), n, precision);
            return Ok(());
        }
        match self.config.encode_invalid {
            0 => return Err(cannot("number", "must not be NaN or Inf")),
            1 if n.is_nan() => self.put(b"nan"),
            1 => self.put(if n > 0.0 { b"inf" } else { b"-inf" }),
            _ => self.put(b"null"),
        }
        Ok(())
    }

    /// The length of an array: all keys are whole numbers from 1 on, or it is marked as one. `None`: an object.
    fn array_length(&self, table: TableView<'_>) -> Result<Option<usize>> {
        if table.is_marked(&ARRAY) {
            return Ok(Some(table.length()));
        }
        let (mut max, mut items) = (0_i64, 0_i64);
        let looked = table.each(|key, _| match key.see() {
            Seen::Number(n) if n >= 1.0 && n.fract() == 0.0 => {
                max = max.max(n as i64);
                items += 1;
                Ok(())
            }
            _ => Err(()),
        });
        if looked.is_err() || max == 0 {
            return Ok(None);
        }
        let Config {
            sparse_ratio,
            sparse_safe,
            sparse_convert,
            ..
        } = self.config;
        let sparse =
            sparse_ratio > 0 && max > items.saturating_mul(sparse_ratio) && max > sparse_safe;
        match (sparse, sparse_convert) {
            (true, false) => Err(cannot("table", "excessively sparse array")),
            (true, true) => Ok(None),
            (false, _) => Ok(Some(max as usize)),
        }
    }

    fn array(&mut self, table: TableView<'_>, len: usize, depth: i64) -> Result {
        self.put(b"[");
        for i in 1..=len {
            if i > 1 {
                self.put(b",");
            }
            let nth = table.nth(i).ok_or_else(too_deep)?;
            self.value(nth.view(), depth)?;
            if self.out().len() > TEXT_MAX {
                return Err(Fault::Text("not enough memory".into()));
            }
        }
        self.put(b"]");
        Ok(())
    }

    fn object(&mut self, table: TableView<'_>, depth: i64) -> Result {
        self.put(b"{");
        let mut first = true;
        table.each(|key, value| {
            if !first {
                self.put(b",");
            }
            first = false;
            match key.see() {
                Seen::Bytes(text) => encode_string(text, self.out()),
                Seen::Number(n) => {
                    self.put(b"\"");
                    self.number(n)?;
                    self.put(b"\"");
                }
                _ => {
                    let reason = "table key must be a number or string";
                    return Err(cannot(key.type_name(), reason));
                }
            }
            self.put(b":");
            self.value(value, depth)
        })?;
        self.put(b"}");
        Ok(())
    }
}

fn too_deep() -> Fault<Out> {
    Fault::Text("Cannot serialise, excessive nesting".into())
}

/// The escape of each byte in a string: 0 for the byte itself, `u` for a number, else the letter after a backslash.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut i = 0;
    while i < 32 {
        escapes[i] = b'u';
        i += 1;
    }
    escapes[127] = b'u';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes[b'/' as usize] = b'/';
    escapes[8] = b'b';
    escapes[b'\t' as usize] = b't';
    escapes[b'\n' as usize] = b'n';
    escapes[12] = b'f';
    escapes[b'\r' as usize] = b'r';
    escapes
};

fn encode_string(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut plain = 0;
    for (i, byte) in text.iter().enumerate() {
        let escape = ESCAPES[usize::from(*byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&text[plain..i]);
        plain = i + 1;
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            let digit = |n: u8| b"0123456789abcdef"[usize::from(n & 15)];
            out.extend_from_slice(&[b'0', b'0', digit(byte >> 4), digit(*byte)]);
        }
    }
    out.extend_from_slice(&text[plain..]);
    out.push(b'"');
}

/// A text that becomes a value.
struct Decoding {
    /// The text, if the argument was a number. A string is read where it lies on Lua's stack.
    text: Option<Vec<u8>>,
    /// Where a string is put together that has escapes in it.
    room: Vec<u8>,
    config: Config,
    arrays: Rooted,
}

struct Decoder<'a, 'p> {
    text: &'a [u8],
    room: &'a mut Vec<u8>,
    config: Config,
    arrays: Rooted,
    pos: usize,
    depth: i64,
    to: &'a mut Pusher<'p>,
}

#[derive(Clone, Copy)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// From one place to another; the room has it when it had escapes.
    String(usize, usize, bool),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    /// The name of a token in error texts.
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(..) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(text) => text,
        }
    }
}

impl Decoding {
    fn document(&mut self, to: &mut Pusher<'_>) -> Result<(), String> {
        let text = match &self.text {
            Some(number) => number,
            None => to.argument(0).unwrap_or_default(),
        };
        if text.len() >= 2 && text[..2].contains(&0) {
            return Err("JSON parser does not support UTF-16 or UTF-32".into());
        }
        let mut decoder = Decoder {
            text,
            room: &mut self.room,
            config: self.config,
            arrays: self.arrays,
            pos: 0,
            depth: 0,
            to,
        };
        let first = decoder.token();
        decoder.value(first)?;
        match decoder.token() {
            (Token::End, _) => Ok(()),
            found => Err(expected("the end", found)),
        }
    }
}

impl Decoder<'_, '_> {
    /// Pushes the value that begins with a token.
    fn value(&mut self, (token, at): (Token, usize)) -> Result<(), String> {
        match token {
            Token::String(from, until, escaped) => self.string(from, until, escaped),
            Token::Number(n) => self.to.number(n),
            Token::Boolean(yes) => self.to.boolean(yes),
            Token::Null => self.to.null(),
            Token::ObjectBegin => self.object()?,
            Token::ArrayBegin => self.array()?,
            other => return Err(expected("value", (other, at))),
        }
        Ok(())
    }

    fn string(&mut self, from: usize, until: usize, escaped: bool) {
        if escaped {
            self.to.bytes(self.room);
        } else {
            self.to.bytes(&self.text[from..until]);
        }
    }

    fn descend(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > self.config.decode_depth || self.depth > DEPTH_BOUND {
            return Err(format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.pos
            ));
        }
        Ok(())
    }

    fn object(&mut self) -> Result<(), String> {
        self.descend()?;
        let mut gathered = self.gather();
        let mut next = self.token();
        if !matches!(next.0, Token::ObjectEnd) {
            loop {
                let Token::String(from, until, escaped) = next.0 else {
                    return Err(expected("object key string", next));
                };
                self.string(from, until, escaped);
                match self.token() {
                    (Token::Colon, _) => {}
                    found => return Err(expected("colon", found)),
                }
                let token = self.token();
                self.value(token)?;
                match &mut gathered {
                    None => self.to.set_pair(),
                    Some(pairs) => *pairs += 1,
                }
                if gathered == Some(GATHERED / 2) {
                    self.to.gather_pairs(GATHERED / 2, GATHERED);
                    gathered = None;
                }
                match self.token() {
                    (Token::ObjectEnd, _) => break,
                    (Token::Comma, _) => next = self.token(),
                    found => return Err(expected("comma or object end", found)),
                }
            }
        }
        if let Some(pairs) = gathered {
            self.to.gather_pairs(pairs, pairs);
        }
        self.depth -= 1;
        Ok(())
    }

    /// Values of a table that is about to begin are left on Lua's stack until it is known how many there are, so that
    /// the table is made in its size. `None`, and an empty table on top, where the stack may not have the room.
    fn gather(&mut self) -> Option<usize> {
        if self.depth <= GATHERING_DEPTH && self.to.has_room(GATHERED + 4) {
            return Some(0);
        }
        self.to.table(0, 0);
        None
    }

    fn array(&mut self) -> Result<(), String> {
        self.descend()?;
        let mut gathered = self.gather();
        let mut next = self.token();
        if !matches!(next.0, Token::ArrayEnd) {
            for i in 1.. {
                self.value(next)?;
                match &mut gathered {
                    None => self.to.set_nth(i),
                    Some(values) => *values += 1,
                }
                if gathered == Some(GATHERED) {
                    self.to.gather_values(GATHERED, 2 * GATHERED);
                    gathered = None;
                }
                match self.token() {
                    (Token::ArrayEnd, _) => break,
                    (Token::Comma, _) => next = self.token(),
                    found => return Err(expected("comma or array end", found)),
                }
            }
        }
        if let Some(values) = gathered {
            self.to.gather_values(values, values);
        }
        if self.config.mark_arrays {
            self.to.set_metatable(&self.arrays);
        }
        self.depth -= 1;
        Ok(())
    }

    /// The next token and where it begins.
    fn token(&mut self) -> (Token, usize) {
        while matches!(
            self.text.get(self.pos),
            Some(b' ' | b'\t' | b'\n' | b'\r' | 12)
        ) {
            self.pos += 1;
        }
        let at = self.pos;
        let rest = &self.text[at..];
        let Some(&first) = rest.first() else {
            return (Token::End, at);
        };
        let (token, len) = match first {
            b'"' => return self.quoted(),
            b'{' => (Token::ObjectBegin, 1),
            b'}' => (Token::ObjectEnd, 1),
            b'[' => (Token::ArrayBegin, 1),
            b']' => (Token::ArrayEnd, 1),
            b':' => (Token::Colon, 1),
            b',' => (Token::Comma, 1),
            b't' if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            b'f' if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            b'n' if rest.starts_with(b"null") => (Token::Null, 4),
            _ => return (self.number(), at),
        };
        self.pos += len;
        (token, at)
    }

    /// A number in the widest sense: hexadecimal, infinity and NaN, too, where they are allowed.
    fn number(&mut self) -> Token {
        let rest = &self.text[self.pos..];
        if let Some((n, len)) = short_integer(rest) {
            self.pos += len;
            return Token::Number(n);
        }
        if let Some((n, len)) = short_decimal(rest) {
            self.pos += len;
            return Token::Number(n);
        }
        let first = rest.first().copied().unwrap_or_default();
        let invalid = is_invalid_number(rest);
        let number_like = first == b'-' || first.is_ascii_digit();
        match (number_like, self.config.decode_invalid) {
            (true, false) if invalid => return Token::Error("invalid number"),
            (true, _) => {}
            (false, true) if invalid => {}
            _ => return Token::Error("invalid token"),
        }
        let longest = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            .count();
        // A number is not longer than this; what follows it belongs to the next token.
        for len in (1..=longest.min(NUMBER_MAX)).rev() {
            if let Some(n) = parse(&rest[..len]) {
                self.pos += len;
                return Token::Number(n);
            }
        }
        Token::Error("invalid number")
    }

    fn quoted(&mut self) -> (Token, usize) {
        self.pos += 1;
        let start = self.pos;
        let mut escaped = false;
        loop {
            let rest = &self.text[self.pos..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0));
            let plain = plain.unwrap_or(rest.len());
            if escaped {
                self.room.extend_from_slice(&rest[..plain]);
            }
            self.pos += plain;
            match rest.get(plain) {
                Some(b'"') => {
                    let at = self.pos;
                    self.pos += 1;
                    return (Token::String(start, at, escaped), at);
                }
                Some(b'\\') => {
                    if !escaped {
                        escaped = true;
                        self.room.clear();
                        self.room.extend_from_slice(&self.text[start..self.pos]);
                    }
                    if let Err(text) = self.escape() {
                        return (Token::Error(text), self.pos);
                    }
                }
                _ => return (Token::Error("unexpected end of string"), self.pos),
            }
        }
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let byte = match self.text.get(self.pos + 1) {
            Some(b'u') => return self.unicode().ok_or("invalid unicode escape code"),
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            _ => return Err("invalid escape code"),
        };
        self.room.push(byte);
        self.pos += 2;
        Ok(())
    }

    fn unicode(&mut self) -> Option<()> {
        let unit = |at: usize| -> Option<u32> {
            let digits = self.text.get(at..at + 6)?;
            let digits = digits.strip_prefix(b"\\u")?;
            digits
                .iter()
                .try_fold(0, |n, d| Some(n << 4 | char::from(*d).to_digit(16)?))
        };
        let high = unit(self.pos)?;
        let (point, len) = match high {
            0xd800..0xdc00 => {
                let low = unit(self.pos + 6).filter(|low| (0xdc00..0xe000).contains(low))?;
                (0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff), 12)
            }
            0xdc00..0xe000 => return None,
            _ => (high, 6),
        };
        let character = char::from_u32(point)?;
        let mut bytes = [0; 4];
        self.room
            .extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
        self.pos += len;
        Some(())
    }
}

fn expected(what: &str, (found, at): (Token, usize)) -> String {
    let found = found.name();
    let at = at + 1;
    format!("Expected {what} but found {found} at character {at}")
}

/// Characters of a number that are looked at: beyond, they change nothing that a double can show.
const NUMBER_MAX: usize = 1100;

/// A whole number of up to 15 digits that nothing of a number follows, and its length.
fn short_integer(rest: &[u8]) -> Option<(f64, usize)> {
    let (negative, digits) = match rest.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, rest),
    };
    let mut n = 0_u64;
    let mut len = 0;
    while let Some(digit) = digits.get(len).filter(|b| b.is_ascii_digit()) {
        if len == 15 {
            return None;
        }
        n = n * 10 + u64::from(digit - b'0');
        len += 1;
    }
    let follows = digits.get(len).copied().unwrap_or_default();
    let ends = !follows.is_ascii_alphanumeric() && !matches!(follows, b'+' | b'-' | b'.');
    // A number of several digits that begins with 0 is left to the slow path, which may refuse it.
    if len == 0 || !ends || len > 1 && digits[0] == b'0' {
        return None;
    }
    let n = if negative { -(n as f64) } else { n as f64 };
    Some((n, len + usize::from(negative)))
}

/// A decimal fraction of up to 15 digits, such as `12.5`, and its length. Both the digits as a whole number and the
/// power of ten are doubles without an error, so that their quotient is rounded once, as `strtod` rounds.
fn short_decimal(rest: &[u8]) -> Option<(f64, usize)> {
    const DIGITS_MAX: usize = 15;
    const POWERS: [f64; DIGITS_MAX + 1] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    let (negative, digits) = match rest.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, rest),
    };
    let mut n = 0_u64;
    let mut point = None;
    let mut len = 0;
    while let Some(byte) = digits.get(len) {
        match byte {
            b'0'..=b'9' => n = n * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() && len > 0 => point = Some(len),
            _ => break,
        }
        len += 1;
        if len > DIGITS_MAX + 1 {
            return None;
        }
    }
    let point = point?;
    let fraction = len - point - 1;
    let follows = digits.get(len).copied().unwrap_or_default();
    let ends = !follows.is_ascii_alphanumeric() && !matches!(follows, b'+' | b'-' | b'.');
    // Two digits before the point of which the first is 0: left to the slow path, which may refuse it.
    if fraction == 0 || !ends || point > 1 && digits[0] == b'0' {
        return None;
    }
    let n = n as f64 / POWERS[fraction];
    let n = if negative { -n } else { n };
    Some((n, len + usize::from(negative)))
}

/// Something `strtod` takes and JSON does not.
fn is_invalid_number(rest: &[u8]) -> bool {
    if rest.first() == Some(&b'+') {
        return true;
    }
    let rest = rest.strip_prefix(b"-").unwrap_or(rest);
    match rest {
        [b'0', next, ..] => matches!(next, b'x' | b'X' | b'0'..=b'9'),
        [b'0'..=b'9', ..] => false,
        _ => {
            let word: Vec<u8> = rest.iter().take(3).map(u8::to_ascii_lowercase).collect();
            word == b"inf" || word == b"nan"
        }
    }
}

fn parse(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix(b"+").unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let n = match &lower[..] {
        b"inf" | b"infinity" => f64::INFINITY,
        b"nan" => f64::NAN,
        [b'0', b'x', hex @ ..] if !hex.is_empty() => hex.iter().try_fold(0.0, |n, d| {
            Some(n * 16.0 + f64::from(char::from(*d).to_digit(16)?))
        })?,
        [b'0'..=b'9' | b'.', ..] => {
            let text = std::str::from_utf8(&lower).ok()?;
            text.parse().ok().or_else(|| num::parse_f64(&lower))?
        }
        _ => return None,
    };
    Some(if negative { -n } else { n })
}
