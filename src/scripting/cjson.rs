//! `cjson`: JSON for scripts.
//!
//! A null is the light userdata NULL, because a table cannot hold `nil`. Tables whose keys are 1 to n
//! become arrays, an empty table becomes `{}`.
//!
//! Mirrors: lua_cjson.c (Lua CJSON 2.1 as patched in Redis). Differs: the decoder stops at the end of
//! its input instead of at a zero byte.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, LuaString, MultiValue, Table, Value};

use super::error::ScriptError;
use super::random::format_g;
use crate::util::num;

/// Deepest nesting that the recursion here is made for, whatever the script sets.
const DEPTH_BOUND: i64 = 1000;

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
    precision: i64,
    keep_buffer: bool,
}

type Shared = Rc<Cell<Config>>;

/// The library's table.
pub fn open(lua: &Lua) -> mlua::Result<Table> {
    let config = Rc::new(Cell::new(Config {
        sparse_convert: false,
        sparse_ratio: 2,
        sparse_safe: 10,
        encode_depth: 1000,
        decode_depth: 1000,
        encode_invalid: 0,
        decode_invalid: true,
        precision: 14,
        keep_buffer: true,
    }));
    let cjson = lua.create_table()?;
    let own = config.clone();
    cjson.raw_set(
        "encode",
        lua.create_function(move |lua, args: MultiValue| {
            let [value] = only(args, "encode")?;
            let mut out = Vec::new();
            encode(&value, &own.get(), 0, &mut out)?;
            lua.create_string(out)
        })?,
    )?;
    let own = config.clone();
    cjson.raw_set(
        "decode",
        lua.create_function(move |lua, args: MultiValue| {
            let [value] = only(args, "decode")?;
            let Some(text) = lua.coerce_string(value.clone())? else {
                let got = value.type_name();
                return Err(ScriptError::plain(format!(
                    "bad argument #1 to 'decode' (string expected, got {got})"
                )));
            };
            let text = text.as_bytes();
            Decoder::new(lua, &text, own.get()).document()
        })?,
    )?;
    open_options(lua, &cjson, &config)?;
    cjson.raw_set("null", Value::NULL)?;
    cjson.raw_set("_NAME", "cjson")?;
    cjson.raw_set("_VERSION", "2.1.0")?;
    cjson.raw_set("new", lua.create_function(|lua, _: MultiValue| open(lua))?)?;
    Ok(cjson)
}

fn open_options(lua: &Lua, cjson: &Table, config: &Shared) -> mlua::Result<()> {
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
        let option = lua.create_function(move |lua, value: Value| {
            let mut config = own.get();
            if let Some(n) = integer(lua, value, min, max)? {
                *field(&mut config) = n;
                own.set(config);
            }
            Ok(*field(&mut config))
        })?;
        cjson.raw_set(name, option)?;
    }
    let own = config.clone();
    let sparse = move |lua: &Lua, (convert, ratio, safe): (Value, Value, Value)| {
        let mut config = own.get();
        if let Some(on) = switch(&convert)? {
            config.sparse_convert = on;
        }
        let max = i32::MAX.into();
        config.sparse_ratio = integer(lua, ratio, 0, max)?.unwrap_or(config.sparse_ratio);
        config.sparse_safe = integer(lua, safe, 0, max)?.unwrap_or(config.sparse_safe);
        own.set(config);
        Ok((
            config.sparse_convert,
            config.sparse_ratio,
            config.sparse_safe,
        ))
    };
    cjson.raw_set("encode_sparse_array", lua.create_function(sparse)?)?;
    let own = config.clone();
    let keep = move |_: &Lua, value: Value| {
        let mut config = own.get();
        config.keep_buffer = switch(&value)?.unwrap_or(config.keep_buffer);
        own.set(config);
        Ok(config.keep_buffer)
    };
    cjson.raw_set("encode_keep_buffer", lua.create_function(keep)?)?;
    let own = config.clone();
    let invalid = move |lua: &Lua, value: Value| {
        let mut config = own.get();
        config.encode_invalid = match &value {
            Value::Nil => config.encode_invalid,
            Value::String(word) if *word.as_bytes() == *b"null" => 2,
            other => switch(other)?.unwrap_or(false).into(),
        };
        own.set(config);
        match config.encode_invalid {
            2 => lua.create_string("null").map(Value::String),
            n => Ok(Value::Boolean(n == 1)),
        }
    };
    cjson.raw_set("encode_invalid_numbers", lua.create_function(invalid)?)?;
    let own = config.clone();
    let invalid = move |_: &Lua, value: Value| {
        let mut config = own.get();
        config.decode_invalid = switch(&value)?.unwrap_or(config.decode_invalid);
        own.set(config);
        Ok(config.decode_invalid)
    };
    cjson.raw_set("decode_invalid_numbers", lua.create_function(invalid)?)
}

fn only(args: MultiValue, function: &str) -> mlua::Result<[Value; 1]> {
    let args: Vec<Value> = args.into_iter().collect();
    args.try_into().map_err(|_| {
        ScriptError::plain(format!(
            "bad argument #1 to '{function}' (expected 1 argument)"
        ))
    })
}

fn integer(lua: &Lua, value: Value, min: i64, max: i64) -> mlua::Result<Option<i64>> {
    if value.is_nil() {
        return Ok(None);
    }
    match lua.coerce_number(value)?.map(|n| n as i64) {
        Some(n) if (min..=max).contains(&n) => Ok(Some(n)),
        _ => Err(ScriptError::plain(format!(
            "bad argument #1 (expected integer between {min} and {max})"
        ))),
    }
}

fn switch(value: &Value) -> mlua::Result<Option<bool>> {
    match value {
        Value::Nil => Ok(None),
        Value::Boolean(on) => Ok(Some(*on)),
        Value::String(word) if *word.as_bytes() == *b"on" => Ok(Some(true)),
        Value::String(word) if *word.as_bytes() == *b"off" => Ok(Some(false)),
        _ => Err(ScriptError::plain("bad argument #1 (invalid option)")),
    }
}

fn cannot(kind: &str, reason: &str) -> mlua::Error {
    ScriptError::plain(format!("Cannot serialise {kind}: {reason}"))
}

fn encode(value: &Value, config: &Config, depth: i64, out: &mut Vec<u8>) -> mlua::Result<()> {
    match value {
        Value::String(text) => encode_string(&text.as_bytes(), out),
        Value::Integer(n) => encode_number(*n as f64, config, out)?,
        Value::Number(n) => encode_number(*n, config, out)?,
        Value::Boolean(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Table(table) => {
            let depth = depth + 1;
            if depth > config.encode_depth || depth > DEPTH_BOUND {
                return Err(ScriptError::plain(format!(
                    "Cannot serialise, excessive nesting ({depth})"
                )));
            }
            match array_length(table, config)? {
                Some(len) if len > 0 => encode_array(table, len, config, depth, out)?,
                _ => encode_object(table, config, depth, out)?,
            }
        }
        null if *null == Value::NULL => out.extend_from_slice(b"null"),
        other => return Err(cannot(kind(other), "type not supported")),
    }
    Ok(())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}

fn encode_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'/' => out.extend_from_slice(b"\\/"),
            8 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..32 | 127 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            other => out.push(*other),
        }
    }
    out.push(b'"');
}

fn encode_number(n: f64, config: &Config, out: &mut Vec<u8>) -> mlua::Result<()> {
    if !n.is_finite() {
        match config.encode_invalid {
            0 => return Err(cannot("number", "must not be NaN or Inf")),
            1 if n.is_nan() => out.extend_from_slice(b"nan"),
            1 => out.extend_from_slice(if n > 0.0 { b"inf" } else { b"-inf" }),
            _ => out.extend_from_slice(b"null"),
        }
        return Ok(());
    }
    out.extend_from_slice(format_g(n, config.precision as usize).as_bytes());
    Ok(())
}

/// The length when all keys are whole numbers from 1 on; `None` for an object.
fn array_length(table: &Table, config: &Config) -> mlua::Result<Option<i64>> {
    let (mut max, mut items) = (0, 0);
    for pair in table.pairs::<Value, Value>() {
        match pair?.0 {
            Value::Integer(n) if n >= 1 => {
                max = max.max(n);
                items += 1;
            }
            _ => return Ok(None),
        }
    }
    let sparse =
        config.sparse_ratio > 0 && max > items * config.sparse_ratio && max > config.sparse_safe;
    match (sparse, config.sparse_convert) {
        (true, false) => Err(cannot("table", "excessively sparse array")),
        (true, true) => Ok(None),
        (false, _) => Ok(Some(max)),
    }
}

fn encode_array(
    table: &Table,
    len: i64,
    config: &Config,
    depth: i64,
    out: &mut Vec<u8>,
) -> mlua::Result<()> {
    out.push(b'[');
    for i in 1..=len {
        if i > 1 {
            out.push(b',');
        }
        encode(&table.raw_get(i)?, config, depth, out)?;
    }
    out.push(b']');
    Ok(())
}

fn encode_object(
    table: &Table,
    config: &Config,
    depth: i64,
    out: &mut Vec<u8>,
) -> mlua::Result<()> {
    out.push(b'{');
    let mut first = true;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        if !first {
            out.push(b',');
        }
        first = false;
        match key {
            Value::String(text) => encode_string(&text.as_bytes(), out),
            Value::Integer(n) => out.extend_from_slice(format!("\"{n}\"").as_bytes()),
            Value::Number(n) => {
                out.push(b'"');
                encode_number(n, config, out)?;
                out.push(b'"');
            }
            other => {
                let reason = "table key must be a number or string";
                return Err(cannot(kind(&other), reason));
            }
        }
        out.push(b':');
        encode(&value, config, depth, out)?;
    }
    out.push(b'}');
    Ok(())
}

struct Decoder<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    pos: usize,
    depth: i64,
    config: Config,
}

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(LuaString),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    /// What error texts call it.
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
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

impl<'a> Decoder<'a> {
    fn new(lua: &'a Lua, text: &'a [u8], config: Config) -> Self {
        Decoder {
            lua,
            text,
            pos: 0,
            depth: 0,
            config,
        }
    }

    fn document(mut self) -> mlua::Result<Value> {
        if self.text.len() >= 2 && self.text[..2].contains(&0) {
            return Err(ScriptError::plain(
                "JSON parser does not support UTF-16 or UTF-32",
            ));
        }
        let first = self.token()?;
        let value = self.value(first)?;
        match self.token()? {
            (Token::End, _) => Ok(value),
            found => Err(expected("the end", found)),
        }
    }

    fn value(&mut self, (token, at): (Token, usize)) -> mlua::Result<Value> {
        Ok(match token {
            Token::String(text) => Value::String(text),
            Token::Number(n) => Value::Number(n),
            Token::Boolean(yes) => Value::Boolean(yes),
            Token::Null => Value::NULL,
            Token::ObjectBegin => self.object()?,
            Token::ArrayBegin => self.array()?,
            other => return Err(expected("value", (other, at))),
        })
    }

    fn descend(&mut self) -> mlua::Result<()> {
        self.depth += 1;
        if self.depth > self.config.decode_depth || self.depth > DEPTH_BOUND {
            return Err(ScriptError::plain(format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.pos
            )));
        }
        Ok(())
    }

    fn object(&mut self) -> mlua::Result<Value> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut next = self.token()?;
        if !matches!(next.0, Token::ObjectEnd) {
            loop {
                let Token::String(key) = next.0 else {
                    return Err(expected("object key string", next));
                };
                match self.token()? {
                    (Token::Colon, _) => {}
                    found => return Err(expected("colon", found)),
                }
                let token = self.token()?;
                table.raw_set(key, self.value(token)?)?;
                match self.token()? {
                    (Token::ObjectEnd, _) => break,
                    (Token::Comma, _) => next = self.token()?,
                    found => return Err(expected("comma or object end", found)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn array(&mut self) -> mlua::Result<Value> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut next = self.token()?;
        if !matches!(next.0, Token::ArrayEnd) {
            for i in 1.. {
                table.raw_seti(i, self.value(next)?)?;
                match self.token()? {
                    (Token::ArrayEnd, _) => break,
                    (Token::Comma, _) => next = self.token()?,
                    found => return Err(expected("comma or array end", found)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    /// The next token and where it begins.
    fn token(&mut self) -> mlua::Result<(Token, usize)> {
        while matches!(
            self.text.get(self.pos),
            Some(b' ' | b'\t' | b'\n' | b'\r' | 12)
        ) {
            self.pos += 1;
        }
        let at = self.pos;
        let rest = &self.text[at..];
        let Some(&first) = rest.first() else {
            return Ok((Token::End, at));
        };
        let single = match first {
            b'{' => Some(Token::ObjectBegin),
            b'}' => Some(Token::ObjectEnd),
            b'[' => Some(Token::ArrayBegin),
            b']' => Some(Token::ArrayEnd),
            b':' => Some(Token::Colon),
            b',' => Some(Token::Comma),
            _ => None,
        };
        if let Some(token) = single {
            self.pos += 1;
            return Ok((token, at));
        }
        let words: [(&[u8], Token); 3] = [
            (b"true", Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ];
        for (word, token) in words {
            if rest.starts_with(word) {
                self.pos += word.len();
                return Ok((token, at));
            }
        }
        if first == b'"' {
            return self.string();
        }
        let invalid = is_invalid_number(rest);
        let number_like = first == b'-' || first.is_ascii_digit();
        let token = match (number_like, self.config.decode_invalid) {
            (true, false) if invalid => Token::Error("invalid number"),
            (true, _) => self.number(),
            (false, true) if invalid => self.number(),
            _ => Token::Error("invalid token"),
        };
        Ok((token, at))
    }

    /// A number in the widest sense: hexadecimal, infinity and NaN, too.
    fn number(&mut self) -> Token {
        let rest = &self.text[self.pos..];
        let longest = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            .count();
        for len in (1..=longest).rev() {
            if let Some(n) = parse(&rest[..len]) {
                self.pos += len;
                return Token::Number(n);
            }
        }
        Token::Error("invalid number")
    }

    fn string(&mut self) -> mlua::Result<(Token, usize)> {
        self.pos += 1;
        let mut out = Vec::new();
        loop {
            let rest = &self.text[self.pos..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0));
            let plain = plain.unwrap_or(rest.len());
            out.extend_from_slice(&rest[..plain]);
            self.pos += plain;
            match rest.get(plain) {
                Some(b'"') => {
                    let at = self.pos;
                    self.pos += 1;
                    return Ok((Token::String(self.lua.create_string(out)?), at));
                }
                Some(b'\\') => {
                    if let Err(text) = self.escape(&mut out) {
                        return Ok((Token::Error(text), self.pos));
                    }
                }
                _ => return Ok((Token::Error("unexpected end of string"), self.pos)),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let byte = match self.text.get(self.pos + 1) {
            Some(b'u') => return self.unicode(out).ok_or("invalid unicode escape code"),
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 8,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 12,
            Some(b'r') => b'\r',
            _ => return Err("invalid escape code"),
        };
        out.push(byte);
        self.pos += 2;
        Ok(())
    }

    fn unicode(&mut self, out: &mut Vec<u8>) -> Option<()> {
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
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.pos += len;
        Some(())
    }
}

fn expected(what: &str, (found, at): (Token, usize)) -> mlua::Error {
    let found = found.name();
    let at = at + 1;
    ScriptError::plain(format!(
        "Expected {what} but found {found} at character {at}"
    ))
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
