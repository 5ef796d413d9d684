//! Chapter 9. Scripts: how Lua calls a command, and how a script is stopped.
//!
//! ```text
//!   EVAL ─► eval ─► prepare ─► run ─► Lua ── redis.call('incr','n') ──► script_call ─► call ─► handler
//!                                      ▲                                                 │
//!                                      └──────── a Lua value ◄──── push ◄──── Value ◄────┘
//!   what it returns ─► Answer ─► the reply
//! ```
//!
//! # What Redis does
//!
//! `evalGenericCommand()` (eval.c) compiles the script once, keeps it under its SHA-1, and runs it in an interpreter of
//! Lua 5.1. `redis.call` is `luaRedisGenericCommand()` (script_lua.c): it makes a request of its arguments, runs
//! `call()` for a client without a socket, and parses the bytes of that client's reply into Lua values
//! (`redisProtocolToLuaType()`). Functions (functions.c) are libraries that are saved with the data. A hook in the
//! interpreter looks at the clock; after `busy-reply-threshold` other clients are told `BUSY`, and may send SCRIPT
//! KILL.
//!
//! # What Oxidis does
//!
//! **The interpreter** is LuaJIT without its compiler: a compiled loop calls no hook, so it could not be killed
//! (`docs/decisions/interpreter.md`). It is made when the first script comes.
//!
//! **EVAL.** [`eval`](crate::scripting::act::run::eval) finds or compiles the script. `prepare` in
//! `scripting/act/run.rs` judges it by what its first line says (`#!lua flags=no-writes`), gives the scripts' own
//! client the user and the database of the caller, and notes the [`Run`](crate::scripting::Run). `run` in
//! `scripting/act/run.rs` lends the state and calls the chunk.
//!
//! **The loan.** The functions that Lua sees were made long ago, with the interpreter, and the state is a `&mut State`
//! that EVAL's handler holds. For the duration of the call a cell holds a pointer to it
//! ([`Loan`](crate::sys::loan::Loan)); a callback takes the pointer out while it uses it, so there are never two
//! references. When nothing is lent it gets `None` (`docs/decisions/loans-to-scripts.md`).
//!
//! **redis.call.** `script_call` in `scripting/act/api.rs` looks the command up, asks `script_may_call` in
//! `scripting/act/run.rs` (flags, ACL, cluster slot, memory) and runs
//! [`call`](fn@crate::dispatch::call), a second level under EVAL's. Its reply is written into
//! [`Value`](crate::resp::Value)s, never into bytes.
//!
//! **Values.** The table of conversions stands at the top of `scripting/reply.rs`; `push` in `scripting/reply.rs` goes
//! to Lua, `Answer` in `scripting/reply.rs` goes back:
//!
//! | reply | Lua | Lua | reply |
//! |---|---|---|---|
//! | integer | number | number | integer, its fraction is dropped |
//! | bulk string | string | string | bulk string |
//! | status | `{ok = …}` | `{ok = …}` | status |
//! | error | `{err = …}` | `{err = …}` | error |
//! | array | table | table | array, up to its first `nil` |
//! | null | `false` | `false`, `nil` | null |
//! | | | `true` | integer 1 |
//!
//! **Effects.** Everything that a script changes is one unit: EVAL's `call` is the outermost one. The script is not
//! propagated, its commands are, between MULTI and EXEC if there are several. Time stands still while it runs.
//!
//! **Too long.** A hook runs once in 10,000 calls, returns and turns of loops (`HOOK_PERIOD` in `scripting/engine.rs`) and asks
//! `script_interrupt` in `scripting/act/api.rs`. After `busy-reply-threshold` (5 s) it serves others from inside:
//! [`State::serve_meanwhile`](crate::state::State::serve_meanwhile) reaches `serve_others` in `server/event_loop.rs`,
//! which was lent the sockets for this. Others are told `BUSY` unless their command has the flag `AllowBusy`.
//! [`kill_script`](crate::scripting::act::run::kill_script) sets a mark that the next hook finds. A script that has
//! written cannot be killed: half of it would stay.
//!
//! **Functions.** FUNCTION LOAD runs a library once to register its functions
//! ([`load_library`](crate::scripting::act::functions::load_library)); FCALL goes to
//! [`call_function`](crate::scripting::act::run::call_function) and from there the same way.
//!
//! # What the difference buys
//!
//! A reply that is never bytes needs no parser. README has the CPU time of EVALSHA and FCALL as ratios to Redis, all
//! below 1. In the interpreter alone, twenty million turns of a loop take 0.122 s where Redis 8.2.3 takes 0.282
//! (`docs/decisions/interpreter.md`). A script that allocates without end gets Lua's error, and the
//! server lives.
//!
//! # Try it
//!
//! ```text
//! 127.0.0.1:7777> EVAL "return {1, 3.99, 'a', nil, 4}" 0
//! 1) (integer) 1
//! 2) (integer) 3
//! 3) "a"
//! 127.0.0.1:7777> EVAL "return redis.call('get','nosuch') == false" 0
//! (integer) 1
//! 127.0.0.1:7777> EVAL "return {ok='FINE'}" 0
//! FINE
//! 127.0.0.1:7777> EVAL "while true do end" 0
//! ```
//!
//! The last one hangs. After five seconds, in another terminal:
//!
//! ```text
//! 127.0.0.1:7777> PING
//! (error) BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.
//! 127.0.0.1:7777> SCRIPT KILL
//! OK
//! ```
//!
//! The first terminal reads `ERR Script killed by user with SCRIPT KILL...`.
