//! LDB, the debugger of `redis-cli --ldb`: a script that stops, shows itself, and takes orders.
//!
//! ```text
//!   SCRIPT DEBUG YES | SYNC    the client is armed
//!   EVAL …                     a session begins; the line hook looks at each line before it runs
//!     * Stopped at 3, …   ->   lines of output, one array of status replies per stop or order
//!     <-  print x              orders: RESP requests on the same connection, read by blocking
//!   <endsession>          ->   then EVAL's own reply, and the connection ends
//! ```
//!
//! The session's state is here: breakpoints, the lines waiting to be sent, how values and replies look
//! when they are shown. [`console`](crate::scripting::act::console) stops the script and obeys.
//!
//! With SCRIPT DEBUG SYNC the session is the server's own: changes of the script stay, and no other client is served
//! meanwhile, of which `redis-cli` warns. With SCRIPT DEBUG YES it is a session apart (`apart.rs`): on a copy of the
//! data set, on a thread of its own, and its changes are dropped.
//!
//! Mirrors: the ldb part of eval.c.
//! Differs: the session apart has a snapshot in the place of a forked process; EVALSHA shows the script, not its
//! SHA-1; an `abort` cannot be caught by the script.

pub(in crate::scripting) mod apart;

use mlua::{MultiValue, Value as LuaValue};

use crate::clients::ClientKey;
use crate::resp::Value;
use crate::resp::argv::Argv;
use crate::resp::request::{Parser, Request};
use crate::util::args;
use crate::util::num;

pub use apart::Apart;

/// Breakpoints a session may have.
#[doc(alias = "LDB_BREAKPOINTS_MAX")]
const BREAKPOINTS_MAX: usize = 64;
/// Bytes of a value or a reply that are shown unless `maxlen` says otherwise, and the fewest it may say.
#[doc(alias = "LDB_MAX_LEN_DEFAULT")]
const SHOWN: usize = 256;
const SHOWN_MIN: usize = 60;
/// How deep a value is shown.
#[doc(alias = "LDB_MAX_VALUES_DEPTH")]
const DEPTH_MAX: usize = 10;
/// A dump of a value stops growing here: with no `maxlen`, tables that refer to each other have no end.
const DUMP_MAX: usize = 1 << 20;
/// Words of a command that are shown.
const WORDS_SHOWN: usize = 10;

/// The clients that debug, and the session if one is open.
#[derive(Debug, Default)]
pub struct Debugger {
    /// Clients that said SCRIPT DEBUG SYNC; few.
    armed: Vec<ClientKey>,
    /// Clients that said SCRIPT DEBUG YES; few.
    apart: Vec<ClientKey>,
    /// This server is the copy of a session apart: its changes are dropped.
    pub(super) on_a_copy: bool,
    pub(super) session: Option<Box<Session>>,
}

/// One script being debugged.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: ClientKey,
    /// The script, line by line.
    lines: Vec<Vec<u8>>,
    pub(super) breakpoints: Vec<usize>,
    /// Stop at the next line; between two stops, commands and their replies are shown too.
    pub(super) step: bool,
    /// `redis.breakpoint()` was called.
    pub(super) break_now: bool,
    /// The line about to run, counted from 1.
    pub(super) line: usize,
    /// Output not sent yet.
    pub(super) log: Vec<Vec<u8>>,
    /// Orders received in part.
    pub(super) input: Vec<u8>,
    pub(super) parser: Parser,
    pub(super) request: Request,
    /// Bytes of a value that are shown; 0 for all.
    pub(super) shown: usize,
    /// The user was told, or has shown to know, that long values are cut.
    hinted: bool,
    /// The connection of the user is gone: the script runs to its end.
    pub(super) deserted: bool,
}

impl Debugger {
    /// The client's next EVAL is debugged.
    #[doc(alias = "ldbEnable")]
    pub fn arm(&mut self, client: ClientKey) {
        self.disarm(client);
        self.armed.push(client);
    }

    /// The client's next EVAL is debugged on a copy of the data set.
    pub fn arm_apart(&mut self, client: ClientKey) {
        self.disarm(client);
        self.apart.push(client);
    }

    /// The client's scripts are not debugged any more.
    #[doc(alias = "ldbDisable")]
    pub fn disarm(&mut self, client: ClientKey) {
        self.armed.retain(|armed| *armed != client);
        self.apart.retain(|armed| *armed != client);
    }

    /// Whether the client's next EVAL is debugged on a copy of the data set.
    #[inline]
    pub(super) fn is_armed_apart(&self, client: ClientKey) -> bool {
        !self.apart.is_empty() && self.apart.contains(&client)
    }

    /// Whether the client's next EVAL is debugged.
    #[inline]
    pub(super) fn is_armed(&self, client: ClientKey) -> bool {
        !self.armed.is_empty() && self.armed.contains(&client)
    }

    /// Whether a script is being debugged.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.session.is_some()
    }

    pub(super) fn begin(&mut self, client: ClientKey, script: &[u8]) {
        let end = script.iter().rposition(|b| !matches!(b, b'\r' | b'\n'));
        let script = &script[..end.map_or(0, |end| end + 1)];
        let session = Session {
            client,
            lines: script.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect(),
            breakpoints: Vec::new(),
            step: true,
            break_now: false,
            line: 0,
            log: Vec::new(),
            input: Vec::new(),
            parser: Parser::default(),
            request: Request::default(),
            shown: SHOWN,
            hinted: false,
            deserted: false,
        };
        self.session = Some(Box::new(session));
    }

    /// The session, while its steps show what commands do.
    #[inline]
    fn showing(&mut self) -> Option<&mut Session> {
        self.session.as_deref_mut().filter(|session| session.step)
    }

    /// `redis.breakpoint()`: stops here if there is a session. Returns whether there is one.
    pub(super) fn break_here(&mut self) -> bool {
        let session = self.session.as_mut();
        session.map(|session| session.break_now = true).is_some()
    }

    /// `redis.debug(…)`: shows values in the session, if there is one.
    pub(super) fn say(&mut self, values: &MultiValue) {
        if let Some(session) = &mut self.session {
            let mut line = format!("<debug> line {}: ", session.line).into_bytes();
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    line.extend_from_slice(b", ");
                }
                show_value(&mut line, value, 0);
            }
            session.log.push(line);
        }
    }

    /// A command that a script is about to call.
    #[inline]
    pub(super) fn note_command(&mut self, argv: Argv<'_>) {
        if let Some(session) = self.showing() {
            let mut line = b"<redis>".to_vec();
            for (i, word) in argv.iter().enumerate() {
                if i == WORDS_SHOWN {
                    let more = argv.len() - i - 1;
                    line.extend_from_slice(format!(" ... ({more} more)").as_bytes());
                    break;
                }
                line.push(b' ');
                line.extend_from_slice(word);
            }
            session.log.push(line);
        }
    }

    /// Its reply.
    #[inline]
    pub(super) fn note_reply(&mut self, reply: &Value) {
        if let Some(session) = self.showing() {
            let mut line = b"<reply> ".to_vec();
            show_reply(&mut line, reply);
            session.say_cut(line);
        }
    }

    /// It was refused.
    #[inline]
    pub(super) fn note_error(&mut self, text: &str) {
        if let Some(session) = self.showing() {
            session.log.push(format!("<error> {text}").into_bytes());
        }
    }
}

impl Session {
    pub(super) fn say(&mut self, line: impl Into<Vec<u8>>) {
        self.log.push(line.into());
    }

    /// As `say`, but no more of the line than the user wants to see.
    #[doc(alias = "ldbLogWithMaxLen")]
    pub(super) fn say_cut(&mut self, mut line: Vec<u8>) {
        let cut = self.shown > 0 && line.len() > self.shown;
        if cut {
            line.truncate(self.shown);
            line.extend_from_slice(b" ...");
        }
        self.log.push(line);
        if cut && !self.hinted {
            self.hinted = true;
            self.say("<hint> The above reply was trimmed. Use 'maxlen 0' to disable trimming.");
        }
    }

    /// A line of the script, with marks: `->` where it stands, `#` where it will stop.
    #[doc(alias = "ldbLogSourceLine")]
    pub(super) fn say_source(&mut self, line: usize) {
        let here = if self.line == line { "->" } else { "  " };
        let stop = match self.breakpoints.contains(&line) {
            true => '#',
            false => ' ',
        };
        let mut shown = format!("{here}{stop}{line:<3} ").into_bytes();
        match line.checked_sub(1).and_then(|i| self.lines.get(i)) {
            Some(text) => shown.extend_from_slice(text),
            None => shown.extend_from_slice(b"<out of range source code line>"),
        }
        self.say(shown);
    }

    pub(super) fn say_lines(&mut self, around: usize, context: usize) {
        let first = around.saturating_sub(context).max(1);
        let last = around.saturating_add(context).min(self.lines.len());
        for line in first..=last {
            self.say_source(line);
        }
    }

    /// The `break` order with its arguments.
    #[doc(alias = "ldbBreak")]
    pub(super) fn change_breakpoints(&mut self, args: &[Vec<u8>]) {
        if args.is_empty() {
            if self.breakpoints.is_empty() {
                return self.say("No breakpoints set. Use 'b <line>' to add one.");
            }
            self.say(format!("{} breakpoints set:", self.breakpoints.len()));
            for line in self.breakpoints.clone() {
                self.say_source(line);
            }
            return;
        }
        for arg in args {
            let Some(wanted) = num::parse_i64(arg) else {
                self.say([b"Invalid argument:'", &arg[..], b"'"].concat());
                continue;
            };
            let line = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
            let place = self.breakpoints.iter().position(|set| *set == line);
            match (wanted, place) {
                (0, _) => {
                    self.breakpoints.clear();
                    self.say("All breakpoints removed.");
                }
                (..0, Some(place)) => {
                    self.breakpoints.remove(place);
                    self.say("Breakpoint removed.");
                }
                (..0, None) => self.say("No breakpoint in the specified line."),
                (1.., _) if self.breakpoints.len() == BREAKPOINTS_MAX => {
                    self.say("Too many breakpoints set.");
                }
                (1.., _) if line > self.lines.len() => self.say("Wrong line number."),
                (1.., _) => {
                    if place.is_none() {
                        self.breakpoints.push(line);
                    }
                    self.say_lines(line, 1);
                }
            }
        }
    }

    /// The `maxlen` order.
    pub(super) fn change_shown(&mut self, arg: Option<&Vec<u8>>) {
        if let Some(arg) = arg {
            self.hinted = true;
            self.shown = match num::parse_i64(arg).unwrap_or(0) {
                ..=0 => 0,
                n => (n as usize).max(SHOWN_MIN),
            };
        }
        match self.shown {
            0 => self.say("<value> replies are unlimited."),
            n => self.say(format!("<value> replies are truncated at {n} bytes.")),
        }
    }

    /// Takes the lines to be sent, as one reply. Each is a status reply, so it must be one line.
    #[doc(alias = "ldbSendLogs")]
    pub(super) fn take_output(&mut self) -> Vec<u8> {
        let mut out = format!("*{}\r\n", self.log.len()).into_bytes();
        for mut line in self.log.drain(..) {
            for byte in &mut line {
                if matches!(byte, b'\r' | b'\n') {
                    *byte = b' ';
                }
            }
            out.push(b'+');
            out.extend_from_slice(&line);
            out.extend_from_slice(b"\r\n");
        }
        out
    }
}

/// Appends a Lua value as a reader would write it.
#[doc(alias = "ldbCatStackValue")]
pub(super) fn show_value(out: &mut Vec<u8>, value: &LuaValue, depth: usize) {
    if depth == DEPTH_MAX || out.len() > DUMP_MAX {
        return out.extend_from_slice(b"<max recursion level reached! Nested table?>");
    }
    let pointer = |kind: &str| format!("\"{kind}@{:p}\"", value.to_pointer());
    match value {
        LuaValue::Nil => out.extend_from_slice(b"nil"),
        LuaValue::Boolean(yes) => out.extend_from_slice(yes.to_string().as_bytes()),
        LuaValue::Integer(n) => num::write_g(out, *n as f64, 6),
        LuaValue::Number(n) => num::write_g(out, *n, 6),
        LuaValue::String(text) => args::repr(out, &text.as_bytes()),
        LuaValue::Table(table) => {
            let is_nth = |(i, pair): (usize, mlua::Result<(LuaValue, LuaValue)>)| match pair {
                Ok((LuaValue::Integer(n), _)) => n == i as i64 + 1,
                Ok((LuaValue::Number(n), _)) => n == (i + 1) as f64,
                _ => false,
            };
            let is_array = table.pairs().enumerate().all(is_nth);
            out.push(b'{');
            for (i, pair) in table.pairs::<LuaValue, LuaValue>().enumerate() {
                let Ok((key, value)) = pair else { break };
                if out.len() > DUMP_MAX {
                    break;
                }
                if i > 0 {
                    out.extend_from_slice(b"; ");
                }
                if !is_array {
                    out.push(b'[');
                    show_value(out, &key, depth + 1);
                    out.extend_from_slice(b"]=");
                }
                show_value(out, &value, depth + 1);
            }
            out.push(b'}');
        }
        LuaValue::Function(_) => out.extend_from_slice(pointer("function").as_bytes()),
        LuaValue::Thread(_) => out.extend_from_slice(pointer("thread").as_bytes()),
        LuaValue::LightUserData(_) => out.extend_from_slice(pointer("light-userdata").as_bytes()),
        _ => out.extend_from_slice(pointer("userdata").as_bytes()),
    }
}

/// Appends a command's reply in readable form.
#[doc(alias = "ldbRedisProtocolToHuman")]
fn show_reply(out: &mut Vec<u8>, reply: &Value) {
    let list = |out: &mut Vec<u8>, open: &str, values: &[Value], close: &str| {
        out.extend_from_slice(open.as_bytes());
        for (i, value) in values.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            show_reply(out, value);
        }
        out.extend_from_slice(close.as_bytes());
    };
    match reply {
        Value::Integer(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => args::repr(out, bytes),
        Value::Simple(text) => args::repr(out, format!("+{text}").as_bytes()),
        Value::Error(text) => args::repr(out, format!("-{text}").as_bytes()),
        Value::Null => out.extend_from_slice(b"NULL"),
        Value::Array(values) | Value::Push(values) => list(out, "[", values, "]"),
        Value::Set(values) => list(out, "~(", values, ")"),
        Value::Attributed(_, value) => show_reply(out, value),
        Value::Map(pairs) => {
            out.push(b'{');
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                show_reply(out, key);
                out.extend_from_slice(b" => ");
                show_reply(out, value);
            }
            out.push(b'}');
        }
        Value::Double(n) => {
            out.extend_from_slice(format!("(double) {}", num::format_f64(*n)).as_bytes());
        }
        Value::Boolean(yes) => out.extend_from_slice(format!("#{yes}").as_bytes()),
        Value::BigNumber(digits) => out.extend_from_slice(digits.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use mlua::Lua;

    use super::{Debugger, SHOWN, Session, show_reply, show_value};
    use crate::clients::Clients;
    use crate::resp::{Protocol, Value};

    fn session(script: &str) -> Session {
        let mut debugger = Debugger::default();
        let client = Clients::new().insert_fake(0, Protocol::Resp2);
        debugger.begin(client, script.as_bytes());
        *debugger.session.take().expect("just begun")
    }

    fn said(session: &mut Session) -> String {
        String::from_utf8_lossy(&session.take_output()).replace("\r\n", "|")
    }

    #[test]
    fn values_and_replies_are_readable() {
        let lua = Lua::new();
        for (code, shown) in [
            ("{1, 'a\\n', {true}}", "{1; \"a\\n\"; {true}}"),
            ("{[2] = 0.5}", "{[2]=0.5}"),
            ("1e7", "1e+07"),
            ("nil", "nil"),
        ] {
            let mut out = Vec::new();
            show_value(&mut out, &lua.load(code).eval().expect("a value"), 0);
            assert_eq!(String::from_utf8_lossy(&out), shown);
        }
        let endless = lua.load("local t = {} t[1] = t return t").eval();
        let mut out = Vec::new();
        show_value(&mut out, &endless.expect("a table"), 0);
        assert!(out.starts_with(b"{{{{{{{{{{<max recursion"));

        let reply = Value::Array(vec![
            Value::Null,
            Value::Simple("OK".into()),
            Value::Set(vec![]),
        ]);
        let mut out = Vec::new();
        show_reply(&mut out, &reply);
        assert_eq!(String::from_utf8_lossy(&out), "[NULL,\"+OK\",~()]");
    }

    #[test]
    fn breakpoints_come_and_go() {
        let mut s = session("one\ntwo\nthree\n\n");
        s.line = 2;
        let change = |s: &mut Session, word: &str| s.change_breakpoints(&[word.into()]);
        change(&mut s, "3");
        assert_eq!(said(&mut s), "*2|+-> 2   two|+  #3   three|");
        change(&mut s, "4");
        change(&mut s, "-9223372036854775808");
        change(&mut s, "x");
        s.change_breakpoints(&[]);
        change(&mut s, "-3");
        change(&mut s, "0");
        assert_eq!(
            said(&mut s),
            "*7|+Wrong line number.|+No breakpoint in the specified line.|+Invalid argument:'x'|\
             +1 breakpoints set:|+  #3   three|+Breakpoint removed.|+All breakpoints removed.|"
        );
        s.say_lines(1, usize::MAX);
        assert_eq!(said(&mut s), "*3|+   1   one|+-> 2   two|+   3   three|");
    }

    #[test]
    fn long_values_are_cut_and_the_user_told_once() {
        let mut s = session("x");
        s.say_cut(vec![b'a'; SHOWN + 1]);
        s.say_cut(vec![b'a'; SHOWN + 1]);
        assert_eq!(s.log.len(), 3);
        assert_eq!(s.log[0].len(), SHOWN + 4);
        s.log.clear();
        s.change_shown(Some(&b"7".to_vec()));
        s.change_shown(Some(&b"-1".to_vec()));
        assert_eq!(
            said(&mut s),
            "*2|+<value> replies are truncated at 60 bytes.|+<value> replies are unlimited.|"
        );
    }
}
