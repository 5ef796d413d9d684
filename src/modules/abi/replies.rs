//! Replies of modules: each function writes one RESP value into the reply of its context.
//!
//! Invariant: the places of lengths that are given later are closed innermost first, each with the kind that its last
//! `ReplySet…Length` names.
//!
//! Mirrors: the RM_ReplyWith functions of module.c.

use std::ffi::{c_char, c_int, c_long};

use super::calls::CallReply;
use super::codes::{ERR, OK};
use super::context::{self, Context, Occasion};
use super::strings::{RString, buffer, bytes, c_bytes};
use crate::modules::Opaque;
use crate::resp::{Protocol, three_letters};

/// Writes into the reply of a context, if there is one.
unsafe fn write(ctx: Opaque, f: impl FnOnce(&mut Context)) -> c_int {
    unsafe { writing(ctx, f) };
    OK
}

/// Uses a context that is replied to. A context of a thread has its replies with the blocked client that it was made
/// for, where other contexts for the same client write as well.
unsafe fn writing<R>(ctx: Opaque, f: impl FnOnce(&mut Context) -> R) -> Option<R> {
    let context = unsafe { context::of(ctx) }?;
    if context.occasion != Occasion::Thread {
        return Some(f(context));
    }
    let blocked = unsafe { super::blocked::of_context(context) }?;
    let mut own = std::mem::take(&mut context.reply);
    let mut result = None;
    blocked.swap_replies(&mut own, |shared| {
        context.reply = std::mem::take(shared);
        result = Some(f(context));
        *shared = std::mem::take(&mut context.reply);
    });
    context.reply = own;
    result
}

pub unsafe extern "C" fn long_long(ctx: Opaque, n: i64) -> c_int {
    unsafe { write(ctx, |c| c.reply.integer(n)) }
}

impl Context {
    /// Writes an error, whose text begins with its code, and counts it.
    pub fn error(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        self.reply.error_text(&text);
        self.count_error(text.into_owned());
    }

    /// Counts an error that was replied.
    #[doc(alias = "afterErrorReply")]
    fn count_error(&mut self, text: String) {
        self.failed = true;
        let blocked = match self.occasion {
            // SAFETY: a thread's context is about a handle that is alive.
            Occasion::Thread => unsafe { super::blocked::of_context(self) },
            _ => None,
        };
        match blocked {
            // Counted when the client goes on.
            Some(blocked) => blocked.note_error(text),
            None => {
                context::with(|state| state.stats.count_error_text(&text));
            }
        }
    }
}

pub unsafe extern "C" fn error(ctx: Opaque, text: *const c_char) -> c_int {
    unsafe { write(ctx, |c| c.error(c_bytes(text))) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_error(ctx: Opaque, text: *const c_char, len: usize) -> c_int {
    unsafe { write(ctx, |c| c.error(buffer(text, len))) }
}

pub unsafe extern "C" fn simple(ctx: Opaque, text: *const c_char) -> c_int {
    unsafe {
        write(ctx, |c| {
            let text = String::from_utf8_lossy(c_bytes(text)).replace(['\r', '\n'], " ");
            c.reply.simple(&text);
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Array,
    Map,
    Set,
    Attribute,
}

unsafe fn begin(ctx: Opaque, len: c_long, shape: Shape) -> c_int {
    let begun = unsafe {
        writing(ctx, |c| {
            if shape == Shape::Attribute && !c.reply.resp3() {
                return ERR;
            }
            let Ok(len) = usize::try_from(len) else {
                let mark = c.reply.open();
                c.postponed.push(mark);
                return OK;
            };
            match shape {
                Shape::Array => c.reply.array(len),
                Shape::Map => c.reply.map(len),
                Shape::Set => c.reply.set(len),
                Shape::Attribute => c.reply.attribute(len),
            }
            OK
        })
    };
    begun.unwrap_or(OK)
}

unsafe fn end(ctx: Opaque, len: c_long, shape: Shape) {
    unsafe {
        writing(ctx, |c| {
            if shape == Shape::Attribute && !c.reply.resp3() {
                return;
            }
            let Some(mark) = c.postponed.pop() else {
                return;
            };
            let len = usize::try_from(len).unwrap_or(0);
            match shape {
                Shape::Array => c.reply.close_array(mark, len),
                Shape::Map => c.reply.close_map(mark, len),
                Shape::Set => c.reply.close_set(mark, len),
                Shape::Attribute => c.reply.close_attribute(mark, len),
            }
        });
    }
}

pub unsafe extern "C" fn array(ctx: Opaque, len: c_long) -> c_int {
    unsafe { begin(ctx, len, Shape::Array) }
}

pub unsafe extern "C" fn map(ctx: Opaque, len: c_long) -> c_int {
    unsafe { begin(ctx, len, Shape::Map) }
}

pub unsafe extern "C" fn set(ctx: Opaque, len: c_long) -> c_int {
    unsafe { begin(ctx, len, Shape::Set) }
}

pub unsafe extern "C" fn attribute(ctx: Opaque, len: c_long) -> c_int {
    unsafe { begin(ctx, len, Shape::Attribute) }
}

pub unsafe extern "C" fn null_array(ctx: Opaque) -> c_int {
    unsafe { write(ctx, |c| c.reply.null_array()) }
}

pub unsafe extern "C" fn empty_array(ctx: Opaque) -> c_int {
    unsafe { write(ctx, |c| c.reply.array(0)) }
}

pub unsafe extern "C" fn set_array_length(ctx: Opaque, len: c_long) {
    unsafe { end(ctx, len, Shape::Array) }
}

pub unsafe extern "C" fn set_map_length(ctx: Opaque, len: c_long) {
    unsafe { end(ctx, len, Shape::Map) }
}

pub unsafe extern "C" fn set_set_length(ctx: Opaque, len: c_long) {
    unsafe { end(ctx, len, Shape::Set) }
}

pub unsafe extern "C" fn set_attribute_length(ctx: Opaque, len: c_long) {
    unsafe { end(ctx, len, Shape::Attribute) }
}

pub unsafe extern "C" fn string_buffer(ctx: Opaque, data: *const c_char, len: usize) -> c_int {
    unsafe { write(ctx, |c| c.reply.bulk(buffer(data, len))) }
}

pub unsafe extern "C" fn c_string(ctx: Opaque, text: *const c_char) -> c_int {
    unsafe { write(ctx, |c| c.reply.bulk(c_bytes(text))) }
}

pub unsafe extern "C" fn string(ctx: Opaque, string: *const RString) -> c_int {
    unsafe { write(ctx, |c| c.reply.bulk(bytes(string))) }
}

pub unsafe extern "C" fn empty_string(ctx: Opaque) -> c_int {
    unsafe { write(ctx, |c| c.reply.bulk(b"")) }
}

pub unsafe extern "C" fn verbatim(ctx: Opaque, data: *const c_char, len: usize) -> c_int {
    unsafe { write(ctx, |c| c.reply.verbatim("txt", buffer(data, len))) }
}

pub unsafe extern "C" fn verbatim_type(
    ctx: Opaque,
    data: *const c_char,
    len: usize,
    format: *const c_char,
) -> c_int {
    unsafe {
        write(ctx, |c| {
            let format = three_letters(c_bytes(format));
            c.reply.verbatim(&format, buffer(data, len));
        })
    }
}

pub unsafe extern "C" fn null(ctx: Opaque) -> c_int {
    unsafe { write(ctx, |c| c.reply.null()) }
}

pub unsafe extern "C" fn boolean(ctx: Opaque, yes: c_int) -> c_int {
    unsafe { write(ctx, |c| c.reply.boolean(yes != 0)) }
}

pub unsafe extern "C" fn double(ctx: Opaque, n: f64) -> c_int {
    unsafe { write(ctx, |c| c.reply.double(n)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_reply_long_double(
    ctx: Opaque,
    text: *const c_char,
    len: usize,
) -> c_int {
    unsafe {
        write(ctx, |c| {
            let text = String::from_utf8_lossy(buffer(text, len)).into_owned();
            c.reply.long_double(&text);
        })
    }
}

pub unsafe extern "C" fn big_number(ctx: Opaque, data: *const c_char, len: usize) -> c_int {
    unsafe {
        write(ctx, |c| {
            let digits = String::from_utf8_lossy(buffer(data, len)).into_owned();
            c.reply.big_number(&digits);
        })
    }
}

/// Passes the reply of a call on. A reply in RESP3 cannot be told to a client that speaks RESP2.
pub unsafe extern "C" fn call_reply(ctx: Opaque, reply: *const CallReply) -> c_int {
    let done = unsafe {
        writing(ctx, |c| {
            let Some(reply) = reply.as_ref() else {
                return ERR;
            };
            if reply.protocol() == Protocol::Resp3 && !c.reply.resp3() && reply.needs_resp3() {
                return ERR;
            }
            let value = reply.whole();
            if let crate::resp::Value::Error(text) = value {
                // Not counted before: the error was the module's alone.
                c.count_error(text.clone());
            }
            c.reply.value(value);
            OK
        })
    };
    done.unwrap_or(OK)
}
