//! Calls that blocked: the command's client has no socket, and its reply goes to the module when it comes.
//!
//! ```text
//!   Call(ctx, "BLPOP", "Kcc", …)    blocks: a promise is the reply
//!   SetUnblockHandler(promise, f)   f(ctx, reply, data) runs when the command is served, as a unit of its own
//!   Abort(promise)                  unblocks the client; f is never called
//! ```
//!
//! Mirrors: RedisModuleAsyncRMCallPromise, moduleCallCommandUnblockedHandler() of module.c.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use super::calls::CallReply;
use super::codes::{ERR, OK};
use super::context::{Context, Occasion, enter, unit, with};
use crate::clients::ClientKey;
use crate::command::Targets;
use crate::keyspace::DbId;
use crate::modules::act::call::{Caller, Options, return_client};
use crate::modules::{Module, Opaque};
use crate::resp::{Protocol, Reply, Value};
use crate::state::State;

/// Called with the reply: context, reply, private data.
pub type UnblockFn = unsafe extern "C" fn(Opaque, *mut CallReply, Opaque);

/// A reply that will come.
#[derive(Debug)]
pub struct Promise {
    /// The client that the command runs as; none once it is served or aborted.
    client: Cell<Option<ClientKey>>,
    module: Option<Arc<Module>>,
    db: DbId,
    targets: Targets,
    protocol: Protocol,
    handler: Cell<Option<UnblockFn>>,
    private: Cell<Opaque>,
}

/// A promise for a call whose command blocked.
pub fn make(
    state: &mut State,
    client: ClientKey,
    caller: &Caller,
    module: Option<Arc<Module>>,
    options: Options,
) -> Rc<Promise> {
    let promise = Rc::new(Promise {
        client: Cell::new(Some(client)),
        module,
        db: caller.db,
        targets: options.targets(),
        protocol: state.clients[client].protocol,
        handler: Cell::new(None),
        private: Cell::new(ptr::null_mut()),
    });
    state.modules.promises.push((client, promise.clone()));
    promise
}

/// The readers that a promised command's effects are for.
fn targets(state: &State, client: ClientKey) -> Option<Targets> {
    let found = state
        .modules
        .promises
        .iter()
        .find(|(key, _)| *key == client);
    let promise = found?.1.downcast_ref::<Promise>()?;
    Some(promise.targets)
}

/// The command of a promise is served: its reply goes to the module.
fn fulfil(state: &mut State, client: ClientKey, value: Value) {
    let at = state
        .modules
        .promises
        .iter()
        .position(|(key, _)| *key == client);
    let Some(at) = at else {
        return return_client(state, client);
    };
    let (_, promise) = state.modules.promises.swap_remove(at);
    return_client(state, client);
    let Ok(promise) = promise.downcast::<Promise>() else {
        return;
    };
    promise.client.set(None);
    let Some(handler) = promise.handler.take() else {
        return;
    };
    let mut context = Context::new(promise.module.clone(), Occasion::Callback);
    context.db = promise.db;
    // The module frees it.
    let reply = Box::into_raw(Box::new(CallReply::root(value, promise.protocol)));
    unit(state, |state| {
        enter(state, &mut context, |address| {
            // SAFETY: the module is loaded while clients wait for it; context and reply outlive the call.
            unsafe { handler(address, reply, promise.private.get()) }
        });
    });
}

/// Serves the command of a promise: its effects, and those of the module's handler, are one unit.
pub fn serve(state: &mut State, client: ClientKey, write: &mut dyn FnMut(&mut State, &mut Reply)) {
    let protocol = state.clients[client].protocol;
    let mut reply = Reply::to_value(protocol);
    unit(state, |state| {
        let wanted = targets(state, client).unwrap_or(Targets::NONE);
        let before = state.effects.allow_only(Targets::ALL);
        state.effects.allow_only(wanted.and(before));
        write(state, &mut reply);
        state.effects.allow_only(before);
        let blocked = state.clients.get(client).is_none_or(|who| who.blocked());
        if !blocked {
            let value = reply.take_value().unwrap_or(Value::Null);
            fulfil(state, client, value);
        }
    });
}

unsafe fn of<'a>(reply: *mut CallReply) -> Option<&'a Rc<Promise>> {
    // SAFETY: NULL, or a reply that the module has and did not free.
    unsafe { reply.as_ref() }?.promise.as_ref()
}

pub unsafe extern "C" fn set_handler(
    reply: *mut CallReply,
    handler: Option<UnblockFn>,
    private: Opaque,
) {
    if let Some(promise) = unsafe { of(reply) } {
        promise.handler.set(handler);
        promise.private.set(private);
    }
}

pub unsafe extern "C" fn abort(reply: *mut CallReply, private: *mut Opaque) -> c_int {
    let Some(promise) = (unsafe { of(reply) }) else {
        return ERR;
    };
    let Some(client) = promise.client.get() else {
        return ERR;
    };
    let aborted = with(|state| {
        let blocked = state.clients.get(client).is_some_and(|who| who.blocked());
        if !blocked {
            return false;
        }
        promise.client.set(None);
        promise.handler.set(None);
        state.modules.promises.retain(|(key, _)| *key != client);
        crate::clients::act::leave::forget_client(state, client);
        true
    });
    if aborted != Some(true) {
        return ERR;
    }
    if !private.is_null() {
        unsafe { *private = promise.private.get() };
    }
    OK
}
