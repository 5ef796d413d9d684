//! A script debugged on a copy of the data set, on a thread that has the client's socket to itself.
//!
//! The thread owns a server that listens nowhere: a [`State`](crate::state::State) over the snapshot, one client. The
//! debugger in it waits for its client as it does in a session of the server's own; only this thread stands still.
//!
//! Invariant: the socket is made blocking when the loop has let go of it, so that the loop never waits for it.
//!
//! Mirrors: the child of ldbStartSession() in eval.c.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::Duration;

use socket2::Socket;

use super::Server;
use crate::clients::ClientKey;
use crate::config::Config;
use crate::dispatch;
use crate::resp::{Output, Reply};
use crate::scripting::Apart;
use crate::state::Host;
use crate::state::Mailbox;
use crate::sys::crash::SpareStack;
use crate::sys::threads;

/// Sessions at a time. Each keeps a snapshot for as long as its user thinks.
const SESSIONS_MAX: usize = 16;
/// How long the thread waits for a client that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Sessions under way.
pub(super) type Count = Arc<AtomicUsize>;

/// One of them; leaves the count when dropped.
struct Counted(Count);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Begins a session over a client's socket.
///
/// # Errors
/// There are too many, or no thread to be had.
pub(super) fn start(session: Apart, socket: Socket, count: &Count) -> Result<(), String> {
    let counted = Counted(Arc::clone(count));
    if count.fetch_add(1, SeqCst) >= SESSIONS_MAX {
        return Err("there are too many debugging sessions already".into());
    }
    let run = move || {
        let _counted = counted;
        let _spare = SpareStack::new();
        // An error means that the socket broke: the client has left and needs no answer.
        let _ = run(session, socket);
    };
    let started = threads::spawn("debug_session", run);
    started.map(drop).map_err(|error| error.to_string())
}

fn run(session: Apart, socket: Socket) -> std::io::Result<()> {
    let mut server = Server::new(session.config.clone())?;
    let state = &mut server.state;
    state.log = session.log.clone();
    let Some(client) = session.settle(state) else {
        return socket.shutdown(std::net::Shutdown::Both);
    };
    // The flag is the socket's, whichever of its descriptors it is set through.
    while holds(&session.mailbox, session.client) {}
    socket.set_nonblocking(false)?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    state.host = Some(Box::new(Wire(socket.try_clone()?)));
    let argv = crate::resp::argv::OwnedArgv::from_words(&session.words);
    let mut reply = Reply::to_wire(Output::new(), session.protocol);
    dispatch::process(state, client, argv.as_argv(), &mut reply);
    let reply = reply.into_output().unwrap_or_default().to_vec();
    (&socket).write_all(&reply)?;
    socket.shutdown(std::net::Shutdown::Both)
}

/// Whether the server still has the client: its loop closes it at the end of the turn. O(1) turns of the loop.
fn holds(mailbox: &Mailbox, client: ClientKey) -> bool {
    let (tell, told) = channel();
    mailbox.send(move |state| {
        // The channel cannot be closed: its receiver waits below.
        let _ = tell.send(state.clients.get(client).is_some());
    });
    told.recv().unwrap_or(false)
}

/// The client's socket, as the debugger sees it.
#[derive(Debug)]
struct Wire(Socket);

impl Host for Wire {
    fn listen(&mut self, _: &Config) -> Result<u16, String> {
        Ok(0)
    }

    fn send_now(&mut self, _: ClientKey, bytes: &[u8]) -> bool {
        (&self.0).write_all(bytes).is_ok()
    }

    fn wait_for(&mut self, _: ClientKey, buf: &mut [u8]) -> usize {
        (&self.0).read(buf).unwrap_or(0)
    }
}
