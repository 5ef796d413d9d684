//! Conversion of values between commands and Lua.
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
//! and back, where a number loses its fraction and a table ends at its first `nil`. An example of each direction:
//!
//! ```text
//!   redis.call('GET', 'missing')                     false                          so: if not value then …
//!   redis.call('INCR', 'n')                          6                              a number
//!   redis.call('SET', 'k', 'v')                      {ok = 'OK'}
//!   redis.pcall('INCR', 'list')                      {err = 'WRONGTYPE …'}          redis.call raises it
//!   redis.call('HGETALL', 'h')                       {'f', 'v'}
//!     after redis.setresp(3)                         {map = {f = 'v'}}
//!
//!   return {1, 2.9, -2.9, 'a', nil, 'b'}             *4  :1  :2  :-2  $1 a          'b' is behind the nil
//!   return true     return false                     :1     $-1 (null)
//!   return 3.99     return tostring(3.99)            :3     $4 3.99
//!   return {ok = 'fine'}    return {err = 'MY no'}   +fine     -MY no
//!   return {map = {f = 'v'}}                         a map; for a client that speaks RESP2, an array [f, v]
//! ```
//!
//! Mirrors: redisProtocolToLuaType() and luaReplyToRedisReply() of script_lua.c.
//! Differs: a command's reply arrives as a tree of values, never as bytes.

use super::error::ScriptError;
use crate::resp::{Protocol, Reply, Value, three_letters};
use crate::sys::lua::{Host, Push, Pusher, Seen, TableView, View};

/// How deep a returned table may be nested.
const DEPTH_MAX: usize = 1000;

/// A value that `redis.call` hands to Lua.
#[derive(Debug)]
pub(super) enum Passed {
    /// A command's reply, and whether the script asked for RESP3.
    Answer(Value, bool),
    /// An error, as a table.
    Error(ScriptError),
    /// The function's first argument, as the text of a status.
    Status,
    /// A SHA-1 in hexadecimal.
    Digest([u8; 40]),
}

impl Push for Passed {
    fn number(&self) -> Option<f64> {
        match self {
            Passed::Answer(Value::Integer(n), _) => Some(*n as f64),
            _ => None,
        }
    }

    fn push(&mut self, to: &mut Pusher<'_>) -> Result<usize, String> {
        match self {
            Passed::Answer(value, resp3) => push(to, value, *resp3),
            Passed::Error(error) => push_error(to, &error.text, error.counted),
            Passed::Status => {
                let text = to.argument(0).unwrap_or_default();
                to.table(0, 1);
                to.bytes(text);
                to.set(b"ok");
            }
            Passed::Digest(digest) => to.bytes(digest),
        }
        Ok(1)
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
            to.bytes(b"ok");
            to.bytes(text.as_bytes());
            to.set_pair();
        }
        Value::Error(text) => push_error(to, text, true),
        Value::Array(values) | Value::Push(values) => {
            to.table(values.len(), 0);
            for (i, value) in values.iter().enumerate() {
                push(to, value, resp3);
                to.set_nth(i + 1);
            }
        }
        // Scripts see no attributes.
        Value::Attributed(_, value) => push(to, value, resp3),
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

/// Values answered between two questions whether to go on; a power of two.
const PERIOD: u32 = 1 << 16;
/// Bytes that an answer may have: tables that hold each other can stand for more than any memory.
const ANSWER_MAX: usize = 1 << 31;

/// The value that a script returned, on its way to the client.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    reply: &'a mut Reply,
    /// The protocol the script asked for.
    script: Protocol,
    host: &'a Host,
    values: u32,
    /// Bytes of the reply before.
    before: usize,
    /// An error reply that is not counted yet.
    pub(super) error: Option<String>,
    /// Why there is no answer: the script was killed, or returned too much. The part already written to the reply is
    /// to be taken back.
    pub(super) stopped: Option<String>,
}

impl<'a> Answer<'a> {
    /// An answer to `reply`; `script` is the protocol the script asked for.
    pub(super) fn new(reply: &'a mut Reply, script: Protocol, host: &'a Host) -> Answer<'a> {
        Answer {
            before: reply.len(),
            reply,
            script,
            host,
            values: 0,
            error: None,
            stopped: None,
        }
    }

    /// Replies with a value. O(size of the value).
    #[doc(alias = "luaReplyToRedisReply")]
    pub(super) fn value(&mut self, value: View<'_>, depth: usize) {
        if self.must_stop() {
            return;
        }
        if depth > DEPTH_MAX {
            return self.fail("ERR reached lua stack limit".into());
        }
        let reply = &mut *self.reply;
        match value.see() {
            Seen::Bytes(text) => reply.bulk(text),
            Seen::Boolean(yes) if self.script == Protocol::Resp3 => reply.boolean(yes),
            Seen::Boolean(true) => reply.integer(1),
            // A conversion that C leaves undefined saturates here.
            Seen::Number(n) => reply.integer(n as i64),
            Seen::Table(table) => self.table(table, depth),
            Seen::Nil | Seen::Null | Seen::Boolean(false) | Seen::Other => reply.null(),
        }
    }

    fn must_stop(&mut self) -> bool {
        self.values = self.values.wrapping_add(1);
        let asks = self.values.is_multiple_of(PERIOD);
        if self.reply.len().saturating_sub(self.before) > ANSWER_MAX
            || asks && self.reply.overflowed()
        {
            self.stopped = Some("ERR reply is too large".into());
        } else if asks && self.stopped.is_none() {
            self.stopped = self.host.poll();
        }
        self.stopped.is_some()
    }

    fn fail(&mut self, text: String) {
        self.reply.error_text(&text);
        self.error = Some(text);
    }

    fn table(&mut self, table: TableView<'_>, depth: usize) {
        if self.named(table, depth) {
            return;
        }
        let open = self.reply.open();
        let mut count = 0;
        while let Some(value) = table.nth(count + 1) {
            if self.stopped.is_some() || matches!(value.see(), Seen::Nil) {
                break;
            }
            self.value(value.view(), depth + 1);
            count += 1;
        }
        self.reply.close_array(open, count);
    }

    /// Replies with a table whose type a field names, such as `err` or `map`. Returns false for other tables.
    fn named(&mut self, table: TableView<'_>, depth: usize) -> bool {
        if let Some(field) = table.field(b"err")
            && let Seen::Bytes(text) = field.see()
        {
            let counted = table.field(b"ignore_error_stats_update");
            let counted = counted.is_some_and(|c| matches!(c.see(), Seen::Boolean(true)));
            let text = String::from_utf8_lossy(text);
            let text = text.strip_prefix('-').unwrap_or(&text);
            self.reply.error_text(text);
            if !counted {
                self.error = Some(text.to_owned());
            }
            return true;
        }
        if let Some(field) = table.field(b"ok")
            && let Seen::Bytes(text) = field.see()
        {
            self.reply.simple(&one_line(text));
            return true;
        }
        if let Some(field) = table.field(b"double")
            && let Seen::Number(n) = field.see()
        {
            self.reply.double(n);
            return true;
        }
        if let Some(field) = table.field(b"big_number")
            && let Seen::Bytes(digits) = field.see()
        {
            self.reply.big_number(&one_line(digits));
            return true;
        }
        if let Some(field) = table.field(b"verbatim_string")
            && let Seen::Table(inner) = field.see()
            && let Some(format) = inner.field(b"format")
            && let Some(text) = inner.field(b"string")
            && let (Seen::Bytes(format), Seen::Bytes(text)) = (format.see(), text.see())
        {
            self.reply.verbatim(&three_letters(format), text);
            return true;
        }
        if let Some(field) = table.field(b"map")
            && let Seen::Table(inner) = field.see()
        {
            let open = self.reply.open();
            let count = self.pairs(inner, depth, true);
            self.reply.close_map(open, count);
            return true;
        }
        if let Some(field) = table.field(b"set")
            && let Seen::Table(inner) = field.see()
        {
            let open = self.reply.open();
            let count = self.pairs(inner, depth, false);
            self.reply.close_set(open, count);
            return true;
        }
        false
    }

    /// Answers with a table's keys, and their values if they count; how many pairs there were.
    fn pairs(&mut self, table: TableView<'_>, depth: usize, values: bool) -> usize {
        let mut count = 0;
        // Fails when there is no point in going on.
        let _ = table.each(|key, value| {
            self.value(key, depth + 1);
            if values {
                self.value(value, depth + 1);
            }
            count += 1;
            match self.stopped {
                Some(_) => Err(()),
                None => Ok(()),
            }
        });
        count
    }
}

fn one_line(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(['\r', '\n'], " ")
}
