//! Calls of commands by modules, and the trees of their replies.
//!
//! A [`CallReply`] is a pointer into a tree of values. The root owns the tree; a handle for a part of it is made when it
//! is asked for, is kept by the root, and is freed with it.
//!
//! Invariant: the tree under a root is never changed, so that pointers into it stay valid until the root is freed.
//!
//! Mirrors: RM_Call() and its kin of module.c, call_reply.c.

use std::cell::{OnceCell, RefCell};
use std::ffi::{CString, c_char, c_int};
use std::ptr;

use super::codes::{ERR, OK};
use super::context::{self, Auto, Context, Occasion, set_errno};
use super::strings::{self, RString, buffer, bytes, c_bytes};
use crate::modules::Opaque;
use crate::modules::act::call::{Called, Caller, Options, call_command, replicate};
use crate::resp::argv::OwnedArgv;
use crate::resp::{Error, Output, Protocol, Reply, Value};
use crate::state::State;
use crate::util::num::IntBuf;

const UNKNOWN: c_int = -1;
const STRING: c_int = 0;
const ERROR: c_int = 1;
const INTEGER: c_int = 2;
const ARRAY: c_int = 3;
const NULL: c_int = 4;
const MAP: c_int = 5;
const SET: c_int = 6;
const BOOL: c_int = 7;
const DOUBLE: c_int = 8;
const BIG_NUMBER: c_int = 9;
const VERBATIM: c_int = 10;
const ATTRIBUTE: c_int = 11;
const PROMISE: c_int = 12;

/// The reply of a call, or a part of it.
#[derive(Debug)]
pub struct CallReply {
    /// The value, with its attribute if it has one: in the root's tree.
    value: *const Value,
    /// The handle is for the attribute of that value, and not for the value.
    of_attribute: bool,
    /// The tree, for the root.
    root: Option<Box<Value>>,
    /// Handles of parts, by the address of their value, and whether they are of its attribute.
    parts: RefCell<Vec<(*const Value, bool, Box<CallReply>)>>,
    protocol: Protocol,
    /// The bytes of RESP, once they were asked for.
    wire: OnceCell<Vec<u8>>,
    /// The format of a verbatim string as a C string, once it was asked for.
    format: OnceCell<CString>,
    /// A reply that will come later.
    pub(super) promise: Option<std::rc::Rc<super::promises::Promise>>,
    /// The context whose automatic memory has it.
    context: *mut Context,
}

impl CallReply {
    /// A reply that owns its tree.
    pub(super) fn root(value: Value, protocol: Protocol) -> CallReply {
        let root = Box::new(value);
        CallReply {
            value: &*root,
            of_attribute: false,
            root: Some(root),
            parts: RefCell::default(),
            protocol,
            wire: OnceCell::new(),
            format: OnceCell::new(),
            promise: None,
            context: ptr::null_mut(),
        }
    }

    /// The value without its attribute.
    pub fn value(&self) -> &Value {
        self.whole().bare()
    }

    /// The value with its attribute, if it has one.
    pub fn whole(&self) -> &Value {
        // SAFETY: the root's tree lives as long as this, and is never changed.
        unsafe { &*self.value }
    }

    /// The pairs of the value's attribute.
    fn attribute(&self) -> Option<&[(Value, Value)]> {
        match self.whole() {
            Value::Attributed(pairs, _) => Some(pairs),
            _ => None,
        }
    }

    /// The protocol it was asked for in.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether RESP2 cannot tell it.
    pub fn needs_resp3(&self) -> bool {
        fn needs(value: &Value) -> bool {
            match value {
                Value::Simple(_) | Value::Error(_) | Value::Integer(_) | Value::Bulk(_) => false,
                Value::Array(values) => values.iter().any(needs),
                _ => true,
            }
        }
        needs(self.whole())
    }

    fn part(&self, value: &Value) -> *mut CallReply {
        self.part_of(value, false)
    }

    fn part_of(&self, value: &Value, of_attribute: bool) -> *mut CallReply {
        let address: *const Value = value;
        let mut parts = self.parts.borrow_mut();
        let is_it = |(of, attribute, _): &&mut (*const Value, bool, Box<CallReply>)| {
            *of == address && *attribute == of_attribute
        };
        if let Some((.., part)) = parts.iter_mut().find(is_it) {
            return &mut **part;
        }
        let mut part = Box::new(CallReply {
            value: address,
            of_attribute,
            root: None,
            parts: RefCell::default(),
            protocol: self.protocol,
            wire: OnceCell::new(),
            format: OnceCell::new(),
            promise: None,
            context: self.context,
        });
        let handle: *mut CallReply = &mut *part;
        parts.push((address, of_attribute, part));
        handle
    }
}

/// Reads the words that the shim collected.
pub(super) unsafe fn words_of(
    name: *const c_char,
    fmt: *const c_char,
    words: *const u64,
) -> Option<(OwnedArgv, Options)> {
    let mut argv = OwnedArgv::default();
    let mut options = Options::default();
    unsafe {
        argv.push(c_bytes(name));
        let mut next = words;
        let mut take = || {
            let word = *next;
            next = next.add(1);
            word
        };
        for letter in c_bytes(fmt) {
            match letter {
                b'c' => argv.push(c_bytes(take() as usize as *const c_char)),
                b's' => argv.push(bytes(take() as usize as *const RString)),
                b'l' => argv.push(IntBuf::new().format(take() as i64)),
                b'b' => {
                    let (data, len) = (take() as usize as *const c_char, take() as usize);
                    argv.push(buffer(data, len));
                }
                b'v' => {
                    let (list, count) = (take() as usize as *const *mut RString, take() as usize);
                    for string in strings::list(list, count) {
                        argv.push(bytes(*string));
                    }
                }
                letter if options.note(*letter) => {}
                _ => return None,
            }
        }
    }
    Some((argv, options))
}

/// The words of a format that only names arguments (`EmitAOF`).
pub(super) unsafe fn plain_words(
    name: *const c_char,
    fmt: *const c_char,
    words: *const u64,
) -> Option<OwnedArgv> {
    Some(unsafe { words_of(name, fmt, words) }?.0)
}

/// The caller that a context stands for.
fn caller(context: &Context, state: &State) -> Caller {
    Caller {
        module: context.module.as_ref().map(|module| module.id),
        client: context.client,
        db: context.database(state),
        user: context.user.clone(),
        on_thread: context.occasion == Occasion::Thread,
    }
}

fn hand_out(context: &mut Context, mut reply: CallReply) -> *mut CallReply {
    if context.auto.is_some() {
        reply.context = context;
    }
    let handle = Box::into_raw(Box::new(reply));
    context.keep(Auto::Reply(handle));
    handle
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_call(
    ctx: Opaque,
    name: *const c_char,
    fmt: *const c_char,
    words: *const u64,
    _n: usize,
) -> *mut CallReply {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        set_errno(libc::EINVAL);
        return ptr::null_mut();
    };
    let Some((argv, options)) = (unsafe { words_of(name, fmt, words) }) else {
        set_errno(libc::EBADF);
        return ptr::null_mut();
    };
    let called = context::with(|state| {
        let caller = caller(context, state);
        let called = call_command(state, &caller, argv, options);
        match called {
            Ok(Called::Blocked(client, protocol)) => {
                let module = context.module.clone();
                let promise = super::promises::make(state, client, &caller, module, options);
                Ok((None, protocol, Some(promise)))
            }
            Ok(Called::Replied(value, protocol)) => Ok((Some(value), protocol, None)),
            Ok(Called::Allowed) => Ok((None, Protocol::Resp2, None)),
            Err(refused) => Err(refused),
        }
    });
    match called {
        None => {
            set_errno(libc::EBUSY);
            ptr::null_mut()
        }
        Some(Ok((Some(value), protocol, _))) => hand_out(context, CallReply::root(value, protocol)),
        Some(Ok((None, protocol, Some(promise)))) => {
            let mut reply = CallReply::root(Value::Null, protocol);
            reply.promise = Some(promise);
            hand_out(context, reply)
        }
        Some(Ok((None, ..))) => {
            set_errno(0);
            ptr::null_mut()
        }
        Some(Err(refused)) => {
            let handle = match options.errors_as_replies {
                true => {
                    let text = line_of(&refused.error);
                    hand_out(
                        context,
                        CallReply::root(Value::Error(text), Protocol::Resp2),
                    )
                }
                false => ptr::null_mut(),
            };
            set_errno(refused.errno);
            handle
        }
    }
}

fn line_of(error: &Error) -> String {
    error.to_string().replace(['\r', '\n'], " ")
}

#[unsafe(no_mangle)]
unsafe extern "C" fn oxidis_module_replicate(
    ctx: Opaque,
    name: *const c_char,
    fmt: *const c_char,
    words: *const u64,
    _n: usize,
) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let Some((argv, options)) = (unsafe { words_of(name, fmt, words) }) else {
        return ERR;
    };
    let done = context::with(|state| {
        // A name that is no command would break the AOF and the replicas.
        state.commands.lookup(argv.as_argv()).map(|_| {
            let db = context.database(state);
            replicate(state, db, &argv, options);
        })
    });
    match done {
        Some(Ok(())) => OK,
        _ => ERR,
    }
}

pub unsafe extern "C" fn replicate_verbatim(ctx: Opaque) -> c_int {
    let Some(context) = (unsafe { context::of(ctx) }) else {
        return ERR;
    };
    let mut argv = OwnedArgv::default();
    for word in &context.words {
        argv.push(unsafe { bytes(*word) });
    }
    let done = context::with(|state| {
        let db = context.database(state);
        replicate(state, db, &argv, Options::default());
    });
    if done.is_some() { OK } else { ERR }
}

/// Frees a root; a part is freed with its root.
///
/// # Safety
/// The handle is alive, and nobody uses it or its parts any more.
pub unsafe fn free(reply: *mut CallReply) {
    // SAFETY: as promised by the caller.
    unsafe {
        if (*reply).root.is_some() {
            drop(Box::from_raw(reply));
        }
    }
}

pub unsafe extern "C" fn free_reply(reply: *mut CallReply) {
    unsafe {
        if reply.is_null() || (*reply).root.is_none() {
            return;
        }
        if let Some(context) = (*reply).context.as_mut() {
            context.no_longer_keep(Auto::Reply(reply));
        }
        free(reply);
    }
}

/// The value that a handle is for; none for the handle of an attribute.
unsafe fn value<'a>(reply: *const CallReply) -> Option<&'a Value> {
    let reply = unsafe { reply.as_ref() }?;
    (!reply.of_attribute).then(|| reply.value())
}

pub unsafe extern "C" fn kind(reply: *const CallReply) -> c_int {
    let Some(reply) = (unsafe { reply.as_ref() }) else {
        return UNKNOWN;
    };
    if reply.promise.is_some() {
        return PROMISE;
    }
    if reply.of_attribute {
        return ATTRIBUTE;
    }
    match reply.value() {
        Value::Attributed(..) => UNKNOWN, // `value` gives none.
        Value::Simple(_) | Value::Bulk(_) => STRING,
        Value::Error(_) => ERROR,
        Value::Integer(_) => INTEGER,
        Value::Array(_) | Value::Push(_) => ARRAY,
        Value::Null => NULL,
        Value::Map(_) => MAP,
        Value::Set(_) => SET,
        Value::Boolean(_) => BOOL,
        Value::Double(_) => DOUBLE,
        Value::BigNumber(_) => BIG_NUMBER,
        Value::Verbatim(..) => VERBATIM,
    }
}

pub unsafe extern "C" fn length(reply: *const CallReply) -> usize {
    if let Some(handle) = unsafe { reply.as_ref() }.filter(|handle| handle.of_attribute) {
        return handle.attribute().map_or(0, <[_]>::len);
    }
    match unsafe { value(reply) } {
        Some(Value::Array(values) | Value::Set(values) | Value::Push(values)) => values.len(),
        Some(Value::Map(pairs)) => pairs.len(),
        Some(Value::Error(text)) => text.len(),
        Some(value) => value.as_bytes().map_or(0, <[u8]>::len),
        None => 0,
    }
}

pub unsafe extern "C" fn integer(reply: *const CallReply) -> i64 {
    unsafe { value(reply) }
        .and_then(Value::as_integer)
        .unwrap_or(i64::MIN)
}

pub unsafe extern "C" fn double(reply: *const CallReply) -> f64 {
    match unsafe { value(reply) } {
        Some(Value::Double(n)) => *n,
        _ => i64::MIN as f64,
    }
}

pub unsafe extern "C" fn boolean(reply: *const CallReply) -> c_int {
    match unsafe { value(reply) } {
        Some(Value::Boolean(yes)) => c_int::from(*yes),
        _ => c_int::MIN,
    }
}

unsafe fn bytes_out(found: Option<&[u8]>, len: *mut usize) -> *const c_char {
    let (data, length) = match found {
        Some(bytes) => (bytes.as_ptr().cast(), bytes.len()),
        None => (ptr::null(), 0),
    };
    if !len.is_null() {
        unsafe { *len = length };
    }
    data
}

pub unsafe extern "C" fn big_number(reply: *const CallReply, len: *mut usize) -> *const c_char {
    unsafe {
        let found = match value(reply) {
            Some(Value::BigNumber(digits)) => Some(digits.as_bytes()),
            _ => None,
        };
        bytes_out(found, len)
    }
}

pub unsafe extern "C" fn verbatim(
    reply: *const CallReply,
    len: *mut usize,
    format: *mut *const c_char,
) -> *const c_char {
    unsafe {
        let Some(handle) = reply.as_ref() else {
            return bytes_out(None, len);
        };
        let Some(Value::Verbatim(kind, text)) = value(reply) else {
            return bytes_out(None, len);
        };
        if !format.is_null() {
            let shown = handle
                .format
                .get_or_init(|| CString::new(kind.as_str()).unwrap_or_default());
            *format = shown.as_ptr();
        }
        bytes_out(Some(text), len)
    }
}

pub unsafe extern "C" fn string_ptr(reply: *const CallReply, len: *mut usize) -> *const c_char {
    unsafe {
        let found = match value(reply) {
            Some(Value::Simple(text)) => Some(text.as_bytes()),
            Some(Value::Bulk(bytes)) => Some(bytes.as_slice()),
            Some(Value::Error(text)) => Some(text.as_bytes()),
            _ => None,
        };
        bytes_out(found, len)
    }
}

unsafe fn element(reply: *const CallReply, index: usize, of_set: bool) -> *mut CallReply {
    let Some(handle) = (unsafe { reply.as_ref() }) else {
        return ptr::null_mut();
    };
    let values = match unsafe { value(reply) } {
        Some(Value::Array(values) | Value::Push(values)) if !of_set => values,
        Some(Value::Set(values)) if of_set => values,
        _ => return ptr::null_mut(),
    };
    match values.get(index) {
        Some(value) => handle.part(value),
        None => ptr::null_mut(),
    }
}

pub unsafe extern "C" fn array_element(reply: *const CallReply, index: usize) -> *mut CallReply {
    unsafe { element(reply, index, false) }
}

pub unsafe extern "C" fn set_element(reply: *const CallReply, index: usize) -> *mut CallReply {
    unsafe { element(reply, index, true) }
}

pub unsafe extern "C" fn map_element(
    reply: *const CallReply,
    index: usize,
    key: *mut *mut CallReply,
    val: *mut *mut CallReply,
) -> c_int {
    unsafe {
        let Some(handle) = reply.as_ref() else {
            return ERR;
        };
        match value(reply) {
            Some(Value::Map(pairs)) => pair(handle, pairs, index, key, val),
            _ => ERR,
        }
    }
}

/// Handles for a pair of a map or an attribute.
unsafe fn pair(
    handle: &CallReply,
    pairs: &[(Value, Value)],
    index: usize,
    key: *mut *mut CallReply,
    val: *mut *mut CallReply,
) -> c_int {
    let Some((of_key, of_value)) = pairs.get(index) else {
        return ERR;
    };
    unsafe {
        if !key.is_null() {
            *key = handle.part(of_key);
        }
        if !val.is_null() {
            *val = handle.part(of_value);
        }
    }
    OK
}

/// The attribute of a reply; NULL when it has none.
pub unsafe extern "C" fn attribute(reply: *const CallReply) -> *mut CallReply {
    match unsafe { reply.as_ref() } {
        Some(handle) if !handle.of_attribute && handle.attribute().is_some() => {
            handle.part_of(handle.whole(), true)
        }
        _ => ptr::null_mut(),
    }
}

pub unsafe extern "C" fn attribute_element(
    reply: *const CallReply,
    index: usize,
    key: *mut *mut CallReply,
    val: *mut *mut CallReply,
) -> c_int {
    let Some(handle) = (unsafe { reply.as_ref() }).filter(|handle| handle.of_attribute) else {
        return ERR;
    };
    match handle.attribute() {
        Some(pairs) => unsafe { pair(handle, pairs, index, key, val) },
        None => ERR,
    }
}

/// The reply as RESP. O(reply) at the first call.
pub unsafe extern "C" fn proto(reply: *const CallReply, len: *mut usize) -> *const c_char {
    unsafe {
        let Some(handle) = reply.as_ref() else {
            return bytes_out(None, len);
        };
        let wire = handle.wire.get_or_init(|| {
            let mut out = Reply::to_wire(Output::new(), handle.protocol);
            match handle.attribute().filter(|_| handle.of_attribute) {
                None => out.value(handle.whole()),
                Some(pairs) => {
                    out.attribute(pairs.len());
                    for (key, value) in pairs {
                        out.value(key);
                        out.value(value);
                    }
                }
            }
            out.into_output().map_or_else(Vec::new, |out| out.to_vec())
        });
        bytes_out(Some(wire), len)
    }
}

pub unsafe extern "C" fn to_string(reply: *const CallReply) -> *mut RString {
    unsafe {
        let Some(handle) = reply.as_ref() else {
            return strings::none();
        };
        let mut number = IntBuf::new();
        let bytes = match value(reply) {
            Some(Value::Simple(text)) => text.as_bytes(),
            Some(Value::Bulk(bytes)) => bytes,
            Some(Value::Error(text)) => text.as_bytes(),
            Some(Value::Integer(n)) => number.format(*n),
            _ => return strings::none(),
        };
        match handle.context.as_mut() {
            Some(context) => context.string(bytes),
            None => strings::new(bytes),
        }
    }
}
