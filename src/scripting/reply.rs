//! Values between commands and Lua.
//!
//! | reply | Lua |
//! |---|---|
//! | integer | number |
//! | bulk string | string |
//! | status | `{ok = …}` |
//! | error | `{err = …}` |
//! | array | table |
//! | null | `false`; `nil` after `setresp(3)` |
//! | map, set | `{map = {…}}`, `{set = {x = true}}` |
//! | double, big number, verbatim | `{double = n}`, `{big_number = …}`, `{verbatim_string = {string, format}}` |
//! | boolean | boolean |
//!
//! and back, where a number loses its fraction and a table ends at its first `nil`.
//!
//! Mirrors: `redisProtocolToLuaType` and `luaReplyToRedisReply` of script_lua.c. Differs: a command's
//! reply arrives as a tree of values, never as bytes.

use super::error::ScriptError;
use crate::resp::{Protocol, Reply, Value};
use crate::sys::lua::{Push, Pusher, Seen, TableView, View};

/// How deep a returned table may be nested.
const DEPTH_MAX: usize = 1000;

/// What `redis.call` hands to Lua.
#[derive(Debug)]
pub(super) enum Passed {
    /// A command's reply, and whether the script asked for RESP3.
    Answer(Value, bool),
    /// An error, as a table.
    Error(ScriptError),
}

impl Push for Passed {
    fn number(&self) -> Option<f64> {
        match self {
            Passed::Answer(Value::Integer(n), _) => Some(*n as f64),
            _ => None,
        }
    }

    fn push(&self, to: &mut Pusher<'_>) {
        match self {
            Passed::Answer(value, resp3) => push(to, value, *resp3),
            Passed::Error(error) => push_error(to, &error.text, error.counted),
        }
    }
}

fn push_error(to: &mut Pusher<'_>, text: &str, counted: bool) {
    to.table(0, 2);
    to.bytes(text.as_bytes());
    to.set(b"err");
    if counted {
        to.boolean(true);
        to.set(b"ignore_error_stats_update");
    }
}

/// A command's reply as a Lua value.
#[doc(alias = "redisProtocolToLuaType")]
fn push(to: &mut Pusher<'_>, value: &Value, resp3: bool) {
    match value {
        Value::Integer(n) => to.number(*n as f64),
        Value::Bulk(bytes) => to.bytes(bytes),
        Value::Null if resp3 => to.nil(),
        Value::Null => to.boolean(false),
        Value::Simple(text) => {
            to.table(0, 1);
            to.bytes(text.as_bytes());
            to.set(b"ok");
        }
        Value::Error(text) => push_error(to, text, true),
        Value::Array(values) | Value::Push(values) => {
            to.table(values.len(), 0);
            for (i, value) in values.iter().enumerate() {
                push(to, value, resp3);
                to.set_nth(i + 1);
            }
        }
        Value::Map(pairs) => {
            to.table(0, 1);
            to.table(0, pairs.len());
            for (key, value) in pairs {
                push(to, key, resp3);
                push(to, value, resp3);
                to.set_pair();
            }
            to.set(b"map");
        }
        Value::Set(values) => {
            to.table(0, 1);
            to.table(0, values.len());
            for value in values {
                push(to, value, resp3);
                to.boolean(true);
                to.set_pair();
            }
            to.set(b"set");
        }
        Value::Double(n) => {
            to.table(0, 1);
            to.number(*n);
            to.set(b"double");
        }
        Value::Boolean(yes) => to.boolean(*yes),
        Value::BigNumber(digits) => {
            to.table(0, 1);
            to.bytes(digits.as_bytes());
            to.set(b"big_number");
        }
        Value::Verbatim(format, text) => {
            to.table(0, 1);
            to.table(0, 2);
            to.bytes(text);
            to.set(b"string");
            to.bytes(format.as_bytes());
            to.set(b"format");
            to.set(b"verbatim_string");
        }
    }
}

/// Answers with what a script returned. `script` is the protocol the script asked for. An error reply
/// that is not counted yet is left in `error` to be counted.
#[doc(alias = "luaReplyToRedisReply")]
pub(super) fn answer(
    value: View<'_>,
    script: Protocol,
    reply: &mut Reply,
    depth: usize,
    error: &mut Option<String>,
) {
    if depth > DEPTH_MAX {
        let text = "ERR reached lua stack limit";
        reply.error_text(text);
        *error = Some(text.into());
        return;
    }
    match value.see() {
        Seen::Bytes(text) => reply.bulk(text),
        Seen::Boolean(yes) if script == Protocol::Resp3 => reply.boolean(yes),
        Seen::Boolean(true) => reply.integer(1),
        // A conversion that C leaves undefined saturates here.
        Seen::Number(n) => reply.integer(n as i64),
        Seen::Table(table) => answer_table(table, script, reply, depth, error),
        Seen::Nil | Seen::Boolean(false) | Seen::Other => reply.null(),
    }
}

fn answer_table(
    table: TableView<'_>,
    script: Protocol,
    reply: &mut Reply,
    depth: usize,
    error: &mut Option<String>,
) {
    if answer_named(table, script, reply, depth, error) {
        return;
    }
    let open = reply.open();
    let mut count = 0;
    while let Some(value) = table.nth(count + 1) {
        if matches!(value.see(), Seen::Nil) {
            break;
        }
        answer(value.view(), script, reply, depth + 1, error);
        count += 1;
    }
    reply.close_array(open, count);
}

/// A table that says by a field's name what it is; false for all others.
fn answer_named(
    table: TableView<'_>,
    script: Protocol,
    reply: &mut Reply,
    depth: usize,
    error: &mut Option<String>,
) -> bool {
    if let Some(field) = table.field(b"err")
        && let Seen::Bytes(text) = field.see()
    {
        let counted = table.field(b"ignore_error_stats_update");
        let counted = counted.is_some_and(|c| matches!(c.see(), Seen::Boolean(true)));
        let text = String::from_utf8_lossy(text);
        let text = text.strip_prefix('-').unwrap_or(&text);
        reply.error_text(text);
        if !counted {
            *error = Some(text.to_owned());
        }
        return true;
    }
    if let Some(field) = table.field(b"ok")
        && let Seen::Bytes(text) = field.see()
    {
        reply.simple(&one_line(text));
        return true;
    }
    if let Some(field) = table.field(b"double")
        && let Seen::Number(n) = field.see()
    {
        reply.double(n);
        return true;
    }
    if let Some(field) = table.field(b"big_number")
        && let Seen::Bytes(digits) = field.see()
    {
        reply.big_number(&one_line(digits));
        return true;
    }
    if let Some(field) = table.field(b"verbatim_string")
        && let Seen::Table(inner) = field.see()
        && let Some(format) = inner.field(b"format")
        && let Some(text) = inner.field(b"string")
        && let (Seen::Bytes(format), Seen::Bytes(text)) = (format.see(), text.see())
    {
        let format: String = String::from_utf8_lossy(format).chars().take(3).collect();
        reply.verbatim(&format, text);
        return true;
    }
    if let Some(field) = table.field(b"map")
        && let Seen::Table(inner) = field.see()
    {
        let open = reply.open();
        let mut count = 0;
        inner.each(&mut |key, value| {
            answer(key, script, reply, depth + 1, error);
            answer(value, script, reply, depth + 1, error);
            count += 1;
        });
        reply.close_map(open, count);
        return true;
    }
    if let Some(field) = table.field(b"set")
        && let Seen::Table(inner) = field.see()
    {
        let open = reply.open();
        let mut count = 0;
        inner.each(&mut |key, _| {
            answer(key, script, reply, depth + 1, error);
            count += 1;
        });
        reply.close_set(open, count);
        return true;
    }
    false
}

fn one_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(['\r', '\n'], " ")
}
