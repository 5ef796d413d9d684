//! MIGRATE: keys go to another server.
//!
//! ```text
//!   here                                    there
//!   [AUTH] [SELECT] RESTORE k1 … kn   ──▶
//!                                     ◀──   one line for each
//!   DEL of every key it took (unless COPY), and that is propagated
//! ```
//!
//! The thread that owns the data is blocked meanwhile, for no step longer than the timeout: a key must not change here
//! until the other server has it.
//!
//! Invariant: a key is deleted here only after the other server has confirmed that it has it.
//!
//! Mirrors: `migrateCommand` of cluster.c.
//! Differs: a payload is sent as soon as it is made, so that no more than one of them is in memory.

use std::io;
use std::time::Duration;

use super::prelude::*;
use crate::command::KeyRef;
use crate::config::Config;
use crate::keyspace::{DbId, Keyspace};
use crate::persistence;
use crate::persistence::rdb::dump;
use crate::persistence::rdb::write_value::Unwritten;
use crate::resp::argv::{Argv, OwnedArgv};
use crate::resp::up_to_zero;
use crate::sys::peer;
use crate::tls;
use crate::types::foreign::Place;
use crate::util::num::parse_i64;

pub const COMMANDS: &[&Command] = &[&MIGRATE];

const MIGRATE: Command = Command {
    name: "migrate",
    arity: Arity::AtLeast(6),
    flags: &[Write, MovableKeys],
    acl: &[Category::Keyspace, Category::Dangerous],
    keys: &[
        KeySpec::at(3, &[Rw, Access, Delete]),
        KeySpec::after("KEYS", -2, &[Rw, Access, Delete, Incomplete]).to(-1, 1),
    ],
    find_keys: Some(migrate_keys),
    args: &[
        arg::string("host"),
        arg::integer("port"),
        arg::one_of(
            "key-selector",
            &[arg::key("key"), arg::word("empty-string", "")],
        ),
        arg::integer("destination-db"),
        arg::integer("timeout"),
        arg::word("copy", "COPY").optional().since("3.0.0"),
        arg::word("replace", "REPLACE").optional().since("3.0.0"),
        arg::one_of(
            "authentication",
            &[
                arg::string("auth")
                    .shown_as("password")
                    .token("AUTH")
                    .since("4.0.7"),
                arg::block("auth2", &[arg::string("username"), arg::string("password")])
                    .token("AUTH2")
                    .since("6.0.0"),
            ],
        )
        .optional(),
        arg::key("keys")
            .shown_as("key")
            .spec(1)
            .token("KEYS")
            .optional()
            .multiple()
            .since("3.0.6"),
    ],
    tips: &["nondeterministic_output"],
    docs: Docs {
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) where N is the size of the values, and the time it takes to send them.",
        summary: "Moves keys to another server, each as a whole.",
        ..Docs::BASE
    },
    serves_open_slots: true,
    run: migrate,
    ..Command::BASE
};

/// Finds the one key, or all that follow KEYS. Words that belong to an option are not taken for KEYS.
#[doc(alias = "migrateGetKeys")]
fn migrate_keys(argv: Argv<'_>, found: &mut Vec<KeyRef>) -> Result {
    let mut keys = 3..4;
    let mut i = 6;
    while i < argv.len() {
        let word = argv.get(i);
        if word.eq_ignore_ascii_case(b"keys") {
            // A request with both a key and KEYS is refused when it runs.
            keys = if argv.get(3).is_empty() {
                i + 1..argv.len()
            } else {
                0..0
            };
            break;
        }
        if word.eq_ignore_ascii_case(b"auth") {
            i += 1;
        } else if word.eq_ignore_ascii_case(b"auth2") {
            i += 2;
        }
        i += 1;
    }
    found.extend(keys.map(|position| KeyRef {
        position,
        flags: &[Rw, Access, Delete],
    }));
    Ok(())
}

/// The arguments of MIGRATE.
#[derive(Debug)]
struct Order<'a> {
    host: String,
    port: u16,
    db: i64,
    timeout: Duration,
    copy: bool,
    replace: bool,
    auth: Option<OwnedArgv>,
    keys: Vec<&'a [u8]>,
}

/// Hides the words behind AUTH and AUTH2, before anything else in the request is found wrong.
fn redact_login(ctx: &mut Ctx<'_>, argv: Argv<'_>) {
    for position in 6..argv.len() {
        let word = argv.get(position);
        let secrets = match () {
            () if word.eq_ignore_ascii_case(b"auth") => 1,
            () if word.eq_ignore_ascii_case(b"auth2") => 2,
            () => 0,
        };
        (1..=secrets).for_each(|next| ctx.redact(position + next));
    }
}

impl<'a> Order<'a> {
    fn take(ctx: &mut Ctx<'_>, mut args: Args<'a>) -> Result<Self> {
        redact_login(ctx, args.argv());
        let host = String::from_utf8_lossy(up_to_zero(args.bytes()?)).into_owned();
        let port = args.bytes()?;
        let (key, db, timeout) = (args.key()?, args.bytes()?, args.bytes()?);
        let mut order = Order {
            host,
            // A text that is no port becomes port 0, to which no connection succeeds.
            port: parse_i64(port)
                .and_then(|port| port.try_into().ok())
                .unwrap_or(0),
            db: 0,
            timeout: Duration::ZERO,
            copy: false,
            replace: false,
            auth: None,
            keys: vec![key],
        };
        while !args.is_empty() {
            if args.word("COPY") {
                order.copy = true;
            } else if args.word("REPLACE") {
                order.replace = true;
            } else if args.word_with("AUTH", 1) {
                order.auth = Some(crate::resp::argv::OwnedArgv::from_words([
                    b"AUTH",
                    args.bytes()?,
                ]));
            } else if args.word_with("AUTH2", 2) {
                let words = [b"AUTH", args.bytes()?, args.bytes()?];
                order.auth = Some(crate::resp::argv::OwnedArgv::from_words(words));
            } else if args.word("KEYS") {
                if !key.is_empty() {
                    return Err(Error::once(
                        "When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                order.keys = args.by_ref().collect();
            } else {
                return Err(Error::Syntax);
            }
        }
        let timeout = parse_i64(timeout).ok_or(Error::NotInteger)?;
        order.db = parse_i64(db).ok_or(Error::NotInteger)?;
        let timeout = if timeout <= 0 { 1000 } else { timeout };
        order.timeout = Duration::from_millis(timeout.min(i32::MAX.into()) as u64);
        Ok(order)
    }
}

/// Why an attempt ended early.
enum Failure {
    Connecting,
    Writing(io::Error),
    Reading(io::Error),
    /// The value cannot be written in the configured RDB version.
    Value(Error),
}

/// The outcome of one attempt.
struct Outcome {
    /// How many keys the other server has answered for.
    answered: usize,
    /// The first error it answered with.
    refused: Option<Vec<u8>>,
    result: std::result::Result<(), Failure>,
}

/// Copies keys to another server and deletes here those that it has confirmed, unless COPY is given.
///
/// Missing keys are left out; if all are missing, answers NOKEY. The server serves nobody else meanwhile, for no step
/// longer than the timeout. A connection is kept for the next MIGRATE; if a kept one turns out to be closed, one more
/// attempt is made. Answers OK only if every key arrived; an IOERR or the other server's error does not say that none
/// did.
///
/// Propagated as DEL of the keys that were deleted.
#[doc(alias = "migrateCommand")]
fn migrate(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let mut order = Order::take(ctx, args)?;
    let keyspace = &ctx.state.keyspace;
    let mut missing = Vec::new();
    order.keys.retain(|key| {
        let found = keyspace[ctx.db].get(key).is_some();
        if !found {
            missing.push(*key);
        }
        found
    });
    for key in missing {
        ctx.missed(key);
    }
    if order.keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(());
    }

    let mut taken = Vec::new();
    let mut outcome = attempt(ctx, &order, &mut taken);
    // The other server may have closed a connection that was kept: once more, if it cannot have done anything.
    let again = match &outcome.result {
        Err(Failure::Writing(error) | Failure::Reading(error)) => {
            outcome.answered == 0 && outcome.refused.is_none() && !peer::is_timeout(error)
        }
        _ => false,
    };
    if again {
        outcome = attempt(ctx, &order, &mut taken);
    }
    if !taken.is_empty() {
        let words = std::iter::once(b"DEL".as_slice()).chain(taken.iter().copied());
        ctx.rewrite(words);
    }
    if let Some(line) = outcome.refused {
        return Err(Error::quoting(
            "ERR Target instance replied with error: ",
            &line,
            "",
        ));
    }
    let io_error = |what| Error::coded(format!("IOERR error or timeout {what} to target instance"));
    match outcome.result {
        Ok(()) => {
            ctx.reply.ok();
            Ok(())
        }
        Err(Failure::Connecting) => Err(Error::coded(
            "IOERR error or timeout connecting to the client",
        )),
        Err(Failure::Writing(_)) => Err(io_error("writing")),
        Err(Failure::Reading(_)) => Err(io_error("reading")),
        Err(Failure::Value(error)) => Err(error),
    }
}

/// Sends all keys, reads an answer for each, and deletes those that arrived. A connection on which anything went wrong
/// is closed.
fn attempt<'a>(ctx: &mut Ctx<'_>, order: &Order<'a>, taken: &mut Vec<&'a [u8]>) -> Outcome {
    let mut outcome = Outcome {
        answered: 0,
        refused: None,
        result: Ok(()),
    };
    outcome.result = converse(
        ctx,
        order,
        taken,
        &mut outcome.answered,
        &mut outcome.refused,
    );
    let peers = &mut ctx.state.peers;
    if outcome.result.is_err() {
        peers.close(&order.host, order.port);
    }
    outcome
}

/// One attempt on one connection: `taken` gets the keys that were deleted here, `answered` counts the keys that the
/// other server has answered for, `refused` keeps the first error among the answers.
///
/// With AUTH or SELECT in front, a RESTORE may succeed although its greeting failed, in another database than was asked
/// for. Such a key does not count as arrived.
fn converse<'a>(
    ctx: &mut Ctx<'_>,
    order: &Order<'a>,
    taken: &mut Vec<&'a [u8]>,
    answered: &mut usize,
    refused: &mut Option<Vec<u8>>,
) -> std::result::Result<(), Failure> {
    let timeout = order.timeout;
    let options = persistence::act::saving::dump_options(ctx.state);
    let state = &mut *ctx.state;
    let tls = match state.config.tls_cluster {
        true => Some(tls::client_settings(&state.config).map_err(|line| {
            state.log.warning(line);
            Failure::Connecting
        })?),
        false => None,
    };
    let (host, rng) = (&order.host, &mut state.rng);
    let peer = state
        .peers
        .get(host, order.port, timeout, tls.as_ref(), rng)
        .map_err(|_| Failure::Connecting)?;

    let mut request = Vec::new();
    if let Some(auth) = &order.auth {
        auth.as_argv().encode(&mut request);
    }
    let selects = peer.db != Some(order.db);
    if selects {
        let mut select = crate::resp::argv::OwnedArgv::from_words([b"SELECT"]);
        select.push_integer(order.db);
        select.as_argv().encode(&mut request);
    }
    // Unknown until all went well.
    peer.db = None;
    let sent = send_keys(
        &state.keyspace,
        &state.config,
        ctx.db,
        order,
        options,
        request,
        peer,
    )?;

    let greetings = usize::from(order.auth.is_some()) + usize::from(selects);
    let (arrived, result) = read_answers(peer, timeout, greetings, sent, answered, refused);
    if result.is_ok() && refused.is_none() {
        peer.db = Some(order.db);
    }
    if !order.copy {
        let lazy = ctx.state.config.lazyfree_lazy_server_del;
        for key in arrived {
            // A key named twice arrived twice.
            if ctx.delete(key, lazy) {
                ctx.modified(key, Event::DEL);
                taken.push(key);
            }
        }
    }
    result
}

/// Sends a RESTORE for each key that is there, behind the greeting in `request`, a piece at a time. Returns the keys
/// sent.
fn send_keys<'a>(
    keyspace: &Keyspace,
    config: &Config,
    db: DbId,
    order: &Order<'a>,
    options: (u32, bool),
    mut request: Vec<u8>,
    peer: &mut peer::Peer,
) -> std::result::Result<Vec<&'a [u8]>, Failure> {
    let timeout = order.timeout;
    let mut sent = Vec::with_capacity(order.keys.len());
    for key in &order.keys {
        let Some(entry) = keyspace[db].peek(key) else {
            continue;
        };
        let now = keyspace.env().now_ms();
        let ttl = entry.deadline().map_or(0, |at| (at - now).max(1));
        let meta = keyspace[db].meta(key).map(|meta| {
            meta.get().save(Place {
                db: db.0 as i32,
                key: Some(key),
            })
        });
        let meta = meta.flatten().unwrap_or_default();
        let payload =
            dump::dump_with(entry.value(), &meta, options.0, options.1).map_err(|error| {
                Failure::Value(match error {
                    Unwritten::NotInVersion(what) => {
                        Error::once(format!("RDB version {} cannot hold {what}", options.0))
                    }
                    Unwritten::Io(error) => Error::once(error.to_string()),
                })
            })?;
        let name: &[u8] = if config.cluster_enabled {
            b"RESTORE-ASKING"
        } else {
            b"RESTORE"
        };
        let mut restore = crate::resp::argv::OwnedArgv::from_words([name, key]);
        restore.push_integer(ttl);
        restore.push(&payload);
        if order.replace {
            restore.push(b"REPLACE");
        }
        restore.as_argv().encode(&mut request);
        sent.push(*key);
        if request.len() >= SEND_FROM {
            peer.send(&request, timeout).map_err(Failure::Writing)?;
            request.clear();
        }
    }
    peer.send(&request, timeout).map_err(Failure::Writing)?;
    Ok(sent)
}

/// Reads an answer to each greeting and each key sent. Returns the keys that have arrived; see [`converse`].
fn read_answers<'a>(
    peer: &mut peer::Peer,
    timeout: Duration,
    greetings: usize,
    sent: Vec<&'a [u8]>,
    answered: &mut usize,
    refused: &mut Option<Vec<u8>>,
) -> (Vec<&'a [u8]>, std::result::Result<(), Failure>) {
    let mut read = || peer.line(timeout).map_err(Failure::Reading);
    let (mut arrived, mut result) = (Vec::with_capacity(sent.len()), Ok(()));
    let mut spoiled = None;
    let expected = std::iter::repeat_n(None, greetings).chain(sent.into_iter().map(Some));
    for key in expected {
        let said = match read() {
            Ok(line) => Said::of(line),
            Err(failure) => {
                result = Err(failure);
                break;
            }
        };
        *answered += usize::from(key.is_some());
        match (said, key) {
            (Said::Nonsense(line), _) => {
                // After such a line the answers cannot be matched to requests any more.
                *refused = refused.take().or(spoiled).or(Some(line));
                result = Err(Failure::Reading(io::ErrorKind::InvalidData.into()));
                break;
            }
            (Said::Error(line), None) => spoiled = spoiled.or(Some(line)),
            (Said::Error(line), Some(_)) => {
                *refused = refused.take().or(spoiled.clone()).or(Some(line));
            }
            (Said::Ok, None) => {}
            // The key was restored, but perhaps in another database, or by another user, than was asked for.
            (Said::Ok, Some(_)) if spoiled.is_some() => {
                *refused = refused.take().or(spoiled.clone());
            }
            (Said::Ok, Some(key)) => arrived.push(key),
        }
    }
    (arrived, result)
}

/// A line of the other server. A key has arrived if it is answered with [`Said::Ok`], and only then: whatever else
/// stands at that address (a web server answers `HTTP/1.1 400 Bad Request`) has not stored it.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// `+OK`, and nothing else.
    Ok,
    /// An error, without its `-`.
    Error(Vec<u8>),
    /// Anything else: no server of this kind answers so.
    Nonsense(Vec<u8>),
}

impl Said {
    fn of(line: Vec<u8>) -> Said {
        match line.as_slice() {
            b"+OK" => Said::Ok,
            [b'-', error @ ..] => Said::Error(error.to_vec()),
            _ => Said::Nonsense(line),
        }
    }
}

/// Requests are collected up to so many bytes before they are sent.
const SEND_FROM: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_both_forms() {
        let keys = |words: &[&str]| {
            let argv = crate::resp::argv::OwnedArgv::from_words(words);
            let mut found = Vec::new();
            migrate_keys(argv.as_argv(), &mut found).expect("tells keys");
            found.iter().map(|key| key.position).collect::<Vec<_>>()
        };
        assert_eq!(keys(&["migrate", "h", "1", "k", "0", "9"]), [3]);
        let several = [
            "migrate", "h", "1", "", "0", "9", "auth", "keys", "keys", "a", "b",
        ];
        assert_eq!(keys(&several), [9, 10]);
        let both = ["migrate", "h", "1", "k", "0", "9", "keys", "a"];
        assert!(keys(&both).is_empty());
    }
}
