//! Blocked clients are served: their commands are run again when a key they are blocked on has changed.
//!
//! ```text
//!   LPUSH a … ends -> "a" is ready -> for each client blocked on "a", oldest first, while "a" can help it:
//!       unblock -> gate -> call (BLPOP a again) -> answered, or blocked anew
//!   keys that such a command makes ready (BLMOVE pushes) are served by the same loop, after the keys before them
//! ```
//!
//! An example with two clients blocked on one list:
//!
//! ```text
//!   c1   BLPOP a 0                 blocked: ticket 41 in the queue of a
//!   c2   BLPOP b a 5               blocked: ticket 42 in the queues of b and a
//!   c3   RPUSH a x y z             a is ready; RPUSH is propagated, its reply is 3
//!        then, before any other request:
//!        c1   BLPOP a 0            run again: pops x. Reply [a, x], propagated as LPOP a
//!        c2   BLPOP b a 5          run again: b is absent, pops y. Reply [a, y], propagated as LPOP a
//!        z stays in the list
//!
//!   c4   MULTI, RPUSH b 1, DEL b, EXEC      b was ready, but is absent when EXEC ends: no command is run again
//! ```
//!
//! Every command run again is a unit of execution of its own: its effects reach the AOF and the replicas before the
//! next one runs.
//!
//! Mirrors: handleClientsBlockedOnKeys(), handleClientsBlockedOnKey(), unblockClientOnKey() of blocked.c. Timeouts
//! are in `clients/act/waits.rs`.
//! Differs: every kind of blocked command is simply run again; no type has code of its own for being served.

use super::call::CallOrigin;
use super::gate;
use crate::clients::act::waits::answer;
use crate::clients::{ClientFlags, ClientKey, PauseMode, WaitKind, Waiting};
use crate::command::Result;
use crate::command::args::Args;
use crate::dispatch::Ctx;
use crate::keyspace::{DbId, Kind, Ms};
use crate::resp::Error;
use crate::resp::argv::OwnedArgv;
use crate::state::State;
use crate::util::long_double::LongDouble;
use crate::util::num;

impl Ctx<'_> {
    /// Whether the client may be made to wait. Inside transactions and scripts, and for whatever is replayed, a
    /// command that would wait answers as if its time were over.
    #[doc(alias = "CLIENT_DENY_BLOCKING")]
    pub fn may_block(&self) -> bool {
        const NEVER: [ClientFlags; 4] = [
            ClientFlags::IN_EXEC,
            ClientFlags::FAKE,
            ClientFlags::SCRIPT,
            ClientFlags::PRIMARY,
        ];
        let flags = self.state.clients[self.client].flags;
        if flags.has(ClientFlags::MAY_BLOCK) {
            return true;
        }
        matches!(self.origin, CallOrigin::Client | CallOrigin::Unblocked)
            && !NEVER.iter().any(|never| flags.has(*never))
    }

    /// Blocks the client until one of `keys` changes to what `kind` asks for; then the command, in the words given,
    /// is run again. The handler writes no reply after this. It asks [`Ctx::may_block`] before.
    #[doc(alias = "blockForKeys")]
    pub fn block_on_keys<'a>(
        &mut self,
        kind: WaitKind,
        argv: OwnedArgv,
        deadline: Option<Ms>,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let waiting = Waiting::new(kind, self.command, argv, deadline);
        self.block(waiting, keys);
    }

    /// Blocks the client until one of `keys` changes in any way, or goes; then the command, as it came, is run again, and
    /// may block again. The handler writes no reply after this. After `deadline` (unix time in milliseconds; none blocks
    /// for ever) the reply is null. False where no client can be blocked (MULTI, scripts, replayed commands): then the
    /// command answers as if its time were over.
    pub fn wait_for_keys<'a>(
        &mut self,
        args: Args<'_>,
        deadline: Option<Ms>,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> bool {
        if !self.may_block() {
            return false;
        }
        let argv = args.argv().to_owned();
        let mut waiting = Waiting::new(WaitKind::Change, self.command, argv, deadline);
        waiting.even_without_key = true;
        self.block(waiting, keys);
        true
    }

    /// As [`Ctx::block_on_keys`], with all options of a blocked client.
    pub fn block<'a>(&mut self, waiting: Waiting, keys: impl IntoIterator<Item = &'a [u8]>) {
        let (client, state) = (self.client, &mut *self.state);
        state
            .blocked
            .block(&mut state.clients, client, waiting, keys);
    }

    /// Takes a timeout in seconds, fractions allowed, as a moment in unix milliseconds; none for 0, which blocks for
    /// ever.
    #[doc(alias = "getTimeoutFromObjectOrReply")]
    pub fn timeout_seconds(&self, args: &mut Args<'_>) -> Result<Option<Ms>> {
        let word = args.bytes()?;
        let seconds = num::parse_f64(word).or_else(|| beyond_double(word));
        let seconds = seconds.ok_or(Error::TimeoutNotFloat)?;
        let ms = (seconds * 1000.0).ceil();
        if ms > i64::MAX as f64 {
            return Err(TIMEOUT_OUT_OF_RANGE);
        }
        self.timeout_at(ms as i64)
    }

    /// Takes a timeout in milliseconds.
    pub fn timeout_ms(&self, args: &mut Args<'_>) -> Result<Option<Ms>> {
        let ms = num::parse_i64(args.bytes()?)
            .ok_or(Error::once("timeout is not an integer or out of range"))?;
        self.timeout_at(ms)
    }

    fn timeout_at(&self, ms: Ms) -> Result<Option<Ms>> {
        match ms {
            0 => Ok(None),
            ..0 => Err(Error::NegativeTimeout),
            _ => match self.state.clock.unix_ms().checked_add(ms) {
                Some(deadline) => Ok(Some(deadline)),
                None => Err(TIMEOUT_OUT_OF_RANGE),
            },
        }
    }
}

/// A number that a double cannot hold but a long double can, which is what Redis reads: `1e400` is infinite and `1e-400`
/// next to nothing.
fn beyond_double(word: &[u8]) -> Option<f64> {
    let number = LongDouble::parse(word)?;
    let size = number
        .truncated()
        .map_or(f64::INFINITY, |_| f64::MIN_POSITIVE);
    Some(if word.starts_with(b"-") { -size } else { size })
}

const TIMEOUT_OUT_OF_RANGE: Error =
    Error::Once(std::borrow::Cow::Borrowed("timeout is out of range"));

/// Runs the commands of clients blocked on keys that became ready. No command may be running.
#[doc(alias = "handleClientsBlockedOnKeys")]
#[inline]
pub fn serve_ready(state: &mut State) {
    if state.blocked.has_ready() && !state.blocked.serving {
        serve(state);
    }
}

#[cold]
fn serve(state: &mut State) {
    // No blocked client is served while clients are paused, nor while a script beyond its time lets others be
    // answered; the keys stay ready until that is over.
    if state.pauses.mode() != PauseMode::None || state.scripts.run.is_some() {
        return;
    }
    debug_assert_eq!(state.effects.depth(), 0, "a command is running");
    state.blocked.serving = true;
    while state.blocked.has_ready() {
        for (db, key) in state.blocked.take_ready() {
            serve_key(state, db, &key);
        }
    }
    state.blocked.serving = false;
}

#[doc(alias = "handleClientsBlockedOnKey")]
fn serve_key(state: &mut State, db: DbId, key: &[u8]) {
    let (end, offered) = state.blocked.begin(db, key);
    // The command that made the key ready may have taken long, so the clock is read again.
    state.refresh_clock();
    let mut next = 0;
    while let Some((ticket, client)) = state.blocked.waiter(db, key, next..end) {
        next = ticket + 1;
        // A key past its deadline helps no command, and is left for the next access to delete.
        let now = state.clock.unix_ms();
        let entry = state.keyspace[db].peek_raw(key);
        let kind = entry
            .filter(|entry| !entry.is_expired(now))
            .map(|entry| entry.kind());
        if kind.is_none() && !state.blocked.wanted_even_without(db, key) {
            break;
        }
        let helped = state.clients[client].waiting.as_ref().is_some_and(|w| {
            w.even_without_key || kind.is_some_and(|kind| w.kind.is_helped_by(kind))
        });
        if helped {
            let waiting = state.clients[client].waiting.as_ref();
            match (waiting.map(|waiting| waiting.kind), state.module_doors) {
                (Some(WaitKind::Module(_)), Some(doors)) => {
                    // A list that only grows is no news for a module that found it wanting, unlike a stream.
                    let deleted = waiting.is_some_and(|waiting| waiting.even_without_key);
                    if offered || deleted || kind == Some(Kind::Stream) {
                        (doors.serve)(state, client, key);
                    }
                }
                _ => run_again(state, client),
            }
        }
    }
}

/// Unblocks a client by running its command once more.
#[doc(alias = "unblockClientOnKey")]
pub(crate) fn run_again(state: &mut State, client: ClientKey) {
    let Some(waiting) = state.blocked.unblock(&mut state.clients, client) else {
        return;
    };
    let asker = state.current_client.replace(client);
    state.blocked.kept_deadline = Some(waiting.deadline);
    state.clients[client].flags.set(ClientFlags::REEXECUTING);
    let argv = waiting.argv.as_argv();
    answer(state, client, waiting.silent, |state, reply| {
        gate::run_again(state, client, waiting.id, argv, reply);
    });
    state.blocked.kept_deadline = None;
    state.current_client = asker;
    if let Some(who) = state.clients.get_mut(client) {
        who.flags.clear(ClientFlags::REEXECUTING);
        match &mut who.waiting {
            Some(again) => again.silent = waiting.silent,
            None => {
                who.flags.clear(ClientFlags::ASKING);
                state.clients.resume(client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::clients::{ClientFlags, ClientKey};
    use crate::config::Config;
    use crate::dispatch::{process, serve_ready};
    use crate::resp::Reply;

    use crate::state::Mailbox;
    use crate::state::State;
    use crate::sys::clock::Clock;

    struct Server(State);

    impl Server {
        fn new() -> Server {
            let clock = Clock::manual(1_700_000_000_000_000);
            let mut state = State::new(
                Config::default(),
                clock,
                1,
                Mailbox::new(None).0,
                crate::commands::GROUPS,
            );
            state.refresh_clock();
            Server(state)
        }

        fn client(&mut self) -> ClientKey {
            let flags = ClientFlags::AUTHENTICATED;
            self.0.clients.insert(0, flags).key
        }

        /// Sends a request and returns what the client has received since the last one.
        fn ask(&mut self, client: ClientKey, line: &str) -> String {
            let argv = crate::resp::argv::OwnedArgv::from_words(line.split(' '));
            let who = &mut self.0.clients[client];
            let mut reply = Reply::to_wire(std::mem::take(&mut who.out), who.protocol);
            process(&mut self.0, client, argv.as_argv(), &mut reply);
            self.0.clients[client].out = reply.into_output().expect("to the wire");
            self.heard(client)
        }

        fn heard(&mut self, client: ClientKey) -> String {
            let out = &mut self.0.clients[client].out;
            let mut slices = Vec::new();
            out.slices(&mut slices);
            let bytes: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
            out.advance(bytes.len());
            String::from_utf8_lossy(&bytes).replace("\r\n", " ")
        }

        fn pass_ms(&mut self, ms: u64) {
            self.0.clock.advance(ms * 1000);
            self.0.refresh_clock();
            crate::server::turn::before_sleep(&mut self.0);
            serve_ready(&mut self.0);
        }
    }

    #[test]
    fn first_come_first_served_and_each_once() {
        let mut s = Server::new();
        let [a, b, c, pusher] = std::array::from_fn(|_| s.client());
        assert_eq!(s.ask(a, "BLPOP x k 0"), "");
        assert_eq!(s.ask(b, "BRPOP k 0"), "");
        assert_eq!(s.ask(c, "BLPOP k 0"), "");
        assert_eq!((s.0.blocked.clients(), s.0.blocked.keys()), (3, 2));
        assert_eq!(s.ask(pusher, "RPUSH k 1 2"), ":2 ");
        assert_eq!(s.heard(a), "*2 $1 k $1 1 ");
        assert_eq!(s.heard(b), "*2 $1 k $1 2 ");
        assert_eq!(s.heard(c), "");
        assert_eq!((s.0.blocked.clients(), s.0.blocked.keys()), (1, 1));
        crate::clients::act::leave::forget_client(&mut s.0, c);
        assert_eq!((s.0.blocked.clients(), s.0.blocked.keys()), (0, 0));
    }

    #[test]
    fn only_what_helps_wakes_and_a_transaction_is_one_step() {
        let mut s = Server::new();
        let [waiter, other] = std::array::from_fn(|_| s.client());
        s.ask(waiter, "BLPOP k 0");
        s.ask(other, "SET k v");
        assert!(s.0.clients[waiter].blocked());
        for line in ["MULTI", "DEL k", "RPUSH k a", "DEL k", "EXEC"] {
            s.ask(other, line);
        }
        assert!(s.0.clients[waiter].blocked());
        for line in ["MULTI", "RPUSH k a", "LPUSH k b", "EXEC"] {
            s.ask(other, line);
        }
        assert_eq!(s.heard(waiter), "*2 $1 k $1 b ");
        // Inside a transaction nobody waits.
        s.ask(other, "DEL k");
        s.ask(other, "MULTI");
        s.ask(other, "BLPOP k 0");
        assert_eq!(s.ask(other, "EXEC"), "*1 *-1 ");
    }

    #[test]
    fn a_served_move_serves_the_next() {
        let mut s = Server::new();
        let [first, second, third, pusher] = std::array::from_fn(|_| s.client());
        s.ask(second, "BLMOVE b c LEFT RIGHT 0");
        s.ask(first, "BRPOPLPUSH a b 0");
        s.ask(third, "BLMPOP 0 2 x c LEFT COUNT 9");
        assert_eq!(s.ask(pusher, "LPUSH a 7"), ":1 ");
        assert_eq!(s.heard(first), "$1 7 ");
        assert_eq!(s.heard(second), "$1 7 ");
        assert_eq!(s.heard(third), "*2 $1 c *1 $1 7 ");
        assert_eq!(s.ask(pusher, "EXISTS a b c"), ":0 ");
    }

    #[test]
    fn waits_end_in_time_and_on_demand() {
        let mut s = Server::new();
        let [a, b, c] = std::array::from_fn(|_| s.client());
        s.ask(a, "BLPOP k 0.25");
        s.ask(b, "BLMOVEM k to LEFT LEFT 0.3 EXACTLY 3 BULK");
        s.pass_ms(250);
        assert_eq!(s.heard(a), "");
        s.pass_ms(1);
        assert_eq!(s.heard(a), "*-1 ");
        // Run again in vain, it keeps its deadline.
        s.ask(c, "RPUSH k 1 2");
        assert!(s.0.clients[b].blocked());
        s.pass_ms(50);
        assert_eq!(s.heard(b), "*-1 ");
        s.ask(b, "BLMOVEM k to LEFT LEFT 0 EXACTLY 3 BULK");
        s.ask(c, "RPUSH k 3");
        assert_eq!(s.heard(b), "*3 $1 1 $1 2 $1 3 ");
        s.ask(a, "BLPOP k 0");
        assert!(crate::clients::act::waits::end_wait(&mut s.0, a, true));
        assert_eq!(
            s.heard(a),
            "-UNBLOCKED client unblocked via CLIENT UNBLOCK "
        );
        assert!(!crate::clients::act::waits::end_wait(&mut s.0, a, false));
    }
}
