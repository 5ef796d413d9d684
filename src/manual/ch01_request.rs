//! Chapter 1. A request: from the socket to the reply.
//!
//! ```text
//!   socket ─► read_client ─► Parser::parse ─► process ─► call ─► handler
//!                                             (gate)       │        │ keyspace
//!   socket ◄─ write_client ◄─ client.out ◄─────────────── Reply ◄───┘
//! ```
//!
//! # What Redis does
//!
//! The loop is `aeMain()` in ae.c. When a socket is readable it calls `readQueryFromClient()` (networking.c), which
//! reads into the client's query buffer. `processInputBuffer()` cuts requests out of the buffer; a request of the usual
//! form is parsed by `processMultibulkBuffer()`, which makes an object for each argument. `processCommand()` (server.c)
//! finds the command and decides whether it may run; `call()` runs it, counts it and propagates it. The handler appends
//! its answer to the client's reply buffer with `addReply()` and its kin. Nothing is sent yet: before the loop sleeps,
//! `beforeSleep()` calls `handleClientsWithPendingWrites()`, which makes one `write()` per client.
//!
//! # What Oxidis does
//!
//! The order is the same. The walk of `GET k`, step by step:
//!
//! 1. **Wait.** The loop is `run` in `server/event_loop.rs`: it polls, then works through everything that is due: new
//!    connections, readable clients, clients that have more to read. This file and its neighbours in
//!    [`server`](crate::server) are the only ones that hold a socket.
//! 2. **Read.** `read_client` in `server/io.rs` reads once, up to 64 KiB, into one buffer that all clients share. A
//!    client has a buffer of its own only while something that it sent cannot run yet: half a request, or a request
//!    behind one that blocked.
//! 3. **Parse.** [`Parser::parse`](crate::resp::request::Parser::parse) turns bytes into a
//!    [`Request`](crate::resp::request::Request): a list of ranges of the buffer. No argument is copied. Handlers see
//!    it as [`Argv`](crate::resp::argv::Argv) and read it through [`Args`](crate::command::args::Args). The exception
//!    is an argument of [`BIG`](crate::resp::request::BIG) bytes (32 KiB) or more that arrives in pieces: it is read
//!    straight into the allocation that becomes the stored value.
//! 4. **Look ahead.** `parse_ahead` in `server/io.rs` parses up to sixteen requests of a pipeline (option `lookahead`)
//!    before it runs the first, and asks the processor to fetch the memory that their keys lie in. So the cache misses
//!    of sixteen lookups overlap. Requests that are left after a millisecond wait for the next turn, behind other
//!    clients.
//! 5. **Gate.** [`process`](crate::dispatch::process) finds the command ([`identify`](crate::dispatch::gate::identify))
//!    and asks everything that can keep it from running (`admit` in `dispatch/gate.rs`), in Redis's order:
//!    authentication, ACL, cluster slot, memory, a disk that fails, the role, loading, a busy script. Inside MULTI the
//!    command is queued instead.
//! 6. **Run.** [`call`](fn@crate::dispatch::call) makes a [`Ctx`](crate::dispatch::Ctx), runs the handler, measures the
//!    time, and propagates what changed (chapter [2](super::ch02_write)).
//! 7. **Handle.** The handler of GET is short (`get` in `commands/string/get.rs`): it takes the key, calls
//!    [`Db::get_string`](crate::keyspace::Db::get_string), and answers through [`Reply`](crate::resp::Reply).
//! 8. **Gather.** The reply writes the bytes of the protocol into the client's [`Output`](crate::resp::Output). A long
//!    string is not copied there; the output holds a counted reference to it.
//! 9. **Write.** `before_sleep` in `server/event_loop.rs` calls `write_client` in `server/io.rs` for each client with
//!    something to send: usually one system call per client and turn, and about a megabyte at most before others get
//!    their turn.
//!
//! An error is no special road: a handler returns [`Error`](crate::resp::Error), and `call` writes it as the reply; a
//! refusal of the gate is written by `reject` in `dispatch/gate.rs`. Bytes that are no request are answered with a
//! [`ProtocolError`](crate::resp::request::ProtocolError), and the client is closed once that is sent.
//!
//! # What the difference buys
//!
//! Arguments that are ranges cost no allocation, and a batch overlaps its cache misses. README's table has the CPU time
//! of the server per GET as a ratio to Redis 7.0.15: 0.88 without pipelining, 0.61 with sixteen requests in a pipeline,
//! 0.46 with 64. Without pipelining both servers spend six sevenths of their time in the kernel, one call to receive
//! and one to send; there is little left to win.
//!
//! # Try it
//!
//! The protocol can be typed. A line of words is a request, too (an *inline* one), and requests can follow each other
//! without waiting:
//!
//! ```text
//! $ exec 3<>/dev/tcp/127.0.0.1/7777                     # bash
//! $ printf 'PING\r\nSET greeting hello\r\n*2\r\n$3\r\nGET\r\n$8\r\ngreeting\r\n' >&3; timeout 1 cat <&3
//! +PONG
//! +OK
//! $5
//! hello
//! ```
//!
//! Then send a request whose first argument does not begin with `$`:
//!
//! ```text
//! $ printf '*1\r\n+PING\r\n' >&3; timeout 1 cat <&3
//! -ERR Protocol error: expected '$', got '+'
//! ```
//!
//! The server closes the connection. The words are Redis's: clients and tests read them.
//!
//! # Read on
//!
//! [`crate::resp::request`] has a picture of the spans in a buffer. [`crate::dispatch::gate`] reads well from top to
//! bottom with `processCommand()` beside it.
