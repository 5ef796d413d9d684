//! Chapter 11. Start and shutdown.
//!
//! ```text
//!   start      arguments, file ─► Config ─► log ─► limits, pid file ─► helper threads ─► users ─► sockets
//!                 ─► begin_loading ─► the loop: a slice of the data, clients, a slice … "Ready to accept connections"
//!
//!   SIGTERM    noted ─► before_sleep ─► replicas behind? wait ─► save ─► Exit ─► AOF synced, replies sent ─► code
//! ```
//!
//! # What Redis does
//!
//! `main()` (server.c) reads the configuration, calls `initServer()`, opens the sockets (`initListeners()`), loads the
//! data with `loadDataFromDisk()`, and enters `aeMain()`. While it loads, `processEventsWhileBlocked()` serves clients
//! from inside of the loader; most of them read `-LOADING`. At SIGTERM a handler sets `server.shutdown_asap`;
//! `serverCron()` sees it and calls `prepareForShutdown()`, which waits for replicas that are behind (up to
//! `shutdown-timeout`), and `finishShutdown()`, which saves and flushes.
//!
//! # What Oxidis does
//!
//! ## Start
//!
//! `main` in `main.rs` hands its arguments to [`run_process`](crate::server::run_process). The order of what follows is
//! that of `run_process`, `serve` and `run` in `server/process.rs`:
//!
//! 1. [`Config::load`](crate::config::Config::load) reads the file and the arguments. An error ends the process before
//!    there is a log.
//! 2. The log is opened; `oO0OoO0OoO0Oo Redis is starting` is among its first lines, because tools wait for Redis's
//!    words.
//! 3. The limit of open files is asked for, and the pid file written.
//! 4. [`State::new`](crate::state::State::new) makes everything that a server is, apart from its sockets: data only.
//!    Which commands there are is handed in ([`GROUPS`](crate::commands::GROUPS)).
//! 5. Signal handlers are installed, helper threads started ([`start_helpers`](crate::server::turn::start_helpers)),
//!    ACL users loaded, sockets opened.
//! 6. [`begin_loading`](crate::persistence::act::loading::begin_loading) opens the append-only file (with
//!    `appendonly yes`) or `dump.rdb`, and returns.
//! 7. The loop runs. Each turn [`load_slice`](crate::persistence::act::loading::load_slice) loads some of it
//!    (`loading-process-events-interval-bytes`, 2 MiB by default, or 1,024 commands), then clients are served; the gate
//!    tells `LOADING` to all whose command lacks the flag. Loading is a state of the server, not a function that calls
//!    the loop.
//! 8. With the last slice (at once, if there is no file) the log says `Ready to accept connections tcp`, and a
//!    supervisor is told.
//!
//! An embedded server ([`Server::builder`](crate::Server::builder)) begins at step 4 on a thread of its own, loads the
//! whole data set before it listens, and installs no signal handlers.
//!
//! ## SIGTERM
//!
//! 1. **Note.** The handler (`install` in `sys/signal.rs`) stores the number of the signal and nothing else: a handler
//!    may do almost nothing. The poll is interrupted.
//! 2. **Ask.** `note_signal` in `server/event_loop.rs` takes the note, logs `Received SIGTERM scheduling shutdown...`
//!    and calls [`end_by_signal`](crate::shutdown::act::end_by_signal).
//! 3. **Begin.** Before the loop sleeps next, after the requests that arrived with it,
//!    [`shutdown::act::cron`](crate::shutdown::act::cron) calls [`begin`](crate::shutdown::act::begin). If a replica is
//!    behind, writes are paused, replicas are asked for acknowledgements, and the cron looks again until they caught up
//!    or `shutdown-timeout` (10 s) is over.
//! 4. **Save.** `finish` in `shutdown/act.rs` calls
//!    [`save_before_end`](crate::persistence::act::saving::save_before_end): with save points a last RDB file is
//!    written, on this thread. If that fails the shutdown is called off, and the server lives on.
//! 5. **Exit.** A request [`Exit(0)`](crate::state::ServerRequest) ends the loop after this turn. Sockets stop
//!    listening, and [`end_persistence`](crate::persistence::act::saving::end_persistence) cancels jobs and writes and
//!    syncs the append-only file. Only then do the last replies leave: `before_sleep` and `leave` in
//!    `server/event_loop.rs` send what clients can still be sent.
//!
//! A second SIGINT ends the process at once and removes the temporary file of a save in the foreground. SHUTDOWN goes
//! through the same `begin`; SHUTDOWN ABORT calls a waiting shutdown off ([`abort`](crate::shutdown::act::abort)).
//!
//! If the append-only file with `appendfsync always` cannot be written, the server exits with code 1 before a single
//! reply is sent (chapter [2](super::ch02_write)).
//!
//! # What the difference buys
//!
//! The loop is the same while loading and while serving, so nothing has to work in two surroundings. Loading 5 million
//! keys of 100 bytes takes 3.9 s, Redis 5.7 s (README). And several servers can live in one process, because none of
//! this is global but the note of the signal, which belongs to the process.
//!
//! # Try it
//!
//! ```text
//! $ mkdir /tmp/lives; cargo run --release -- --port 7779 --save '3600 1' --dir /tmp/lives &
//! $ redis-cli -p 7779 SET k v
//! OK
//! $ kill -TERM $(redis-cli -p 7779 INFO server | tr -d '\r' | sed -n 's/^process_id://p')
//! ```
//!
//! The log ends with these lines (the dates are left out):
//!
//! ```text
//! # Received SIGTERM scheduling shutdown...
//! # User requested shutdown...
//! * Saving the final RDB snapshot before exiting.
//! * DB saved on disk
//! # Redis is now ready to exit, bye bye...
//! ```
//!
//! Start it again: `DB loaded from disk`, `Ready to accept connections tcp`, and `GET k` answers `"v"`. Without save
//! points (`--save ''`) the third and fourth line are missing, and so is the key.
