//! A module in Rust: `RATELIMIT.TAKE key capacity per-second [count]` takes tokens out of a bucket.
//!
//! A bucket holds up to `capacity` tokens and gains `per-second` of them each second. The reply is three numbers: 1 if
//! the tokens were there and taken, otherwise 0; the whole tokens that are left; the milliseconds until as many as were
//! asked for will be there (0 if they were taken, -1 if they never will be). `RATELIMIT.PEEK key` shows the tokens
//! without taking any.
//!
//! The bucket is a data type of its own: it is saved, restored, copied and replicated like any other value. A program that
//! wants the commands calls [`module`] while it builds its server.
//!
//! Run it with `cargo run --example ratelimit`.

// The program around the server is its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use oxidis::modules::native::*;

/// A bucket of tokens, counted in thousandths, so that a part of a token is not lost between two calls.
#[derive(Clone, Debug, Default, PartialEq)]
struct Bucket {
    milli_tokens: u64,
    /// The time of the last look, unix time in milliseconds.
    seen_ms: i64,
}

impl Bucket {
    /// The tokens that flowed in since the last look are there now.
    fn fill(&mut self, now_ms: i64, capacity: u64, per_second: u64) {
        // A token per second is a thousandth of a token per millisecond.
        let elapsed = now_ms.saturating_sub(self.seen_ms).max(0) as u64;
        let gained = elapsed.saturating_mul(per_second);
        self.milli_tokens = self
            .milli_tokens
            .saturating_add(gained)
            .min(capacity.saturating_mul(1000));
        self.seen_ms = now_ms;
    }
}

impl DataType for Bucket {
    const NAME: &'static str = "bucket-rl";

    fn save(&self, to: &mut Saver) {
        to.unsigned(self.milli_tokens);
        to.signed(self.seen_ms);
    }

    fn load(from: &mut Loader<'_>, version: u16) -> std::result::Result<Bucket, BadValue> {
        match version {
            0 => Ok(Bucket {
                milli_tokens: from.unsigned()?,
                seen_ms: from.signed()?,
            }),
            _ => Err(BadValue),
        }
    }
}

const TAKE: Command = Command {
    name: "ratelimit.take",
    arity: Arity::AtLeast(4),
    flags: &[Flag::Write, Flag::DenyOom, Flag::Fast],
    keys: &[KeySpec::at(
        1,
        &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update],
    )],
    args: &[
        arg::key("key"),
        arg::integer("capacity"),
        arg::integer("per-second"),
        arg::integer("count").optional(),
    ],
    docs: Docs {
        group: Group::Module,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes tokens out of a bucket, if they are there.",
        ..Docs::BASE
    },
    run: take,
    ..Command::BASE
};

/// Takes tokens, or says when they will be there. A replica must not count by its own clock, so the command is propagated
/// with the bucket as it is afterwards.
fn take(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let capacity = args.positive()? as u64;
    let per_second = args.positive()? as u64;
    let count = match args.is_empty() {
        true => 1,
        false => args.positive()? as u64,
    };

    let now = ctx.now_ms();
    let is_new = ctx.value::<Bucket>(key)?.is_none();
    let bucket: &mut Bucket = ctx.value_or_default(key)?;
    if is_new {
        (bucket.milli_tokens, bucket.seen_ms) = (capacity.saturating_mul(1000), now);
    }
    bucket.fill(now, capacity, per_second);
    let wanted = count.saturating_mul(1000);
    let taken = wanted <= bucket.milli_tokens;
    if taken {
        bucket.milli_tokens -= wanted;
    }
    let left = bucket.milli_tokens;
    let wait = match taken {
        true => 0,
        false if count > capacity => -1,
        false => (wanted - left).div_ceil(per_second) as i64,
    };
    let (tokens, seen) = (left.to_string(), bucket.seen_ms.to_string());
    ctx.rewrite_as(&[b"RATELIMIT.SET", key, tokens.as_bytes(), seen.as_bytes()]);
    ctx.modified(key, Event::module("ratelimit.take"));
    ctx.reply.array(3);
    ctx.reply.integer(i64::from(taken));
    ctx.reply.unsigned(left / 1000);
    ctx.reply.integer(wait);
    Ok(())
}

const PEEK: Command = Command {
    name: "ratelimit.peek",
    arity: Arity::Exactly(2),
    flags: &[Flag::ReadOnly, Flag::Fast],
    keys: &[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access])],
    args: &[arg::key("key")],
    docs: Docs {
        group: Group::Module,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the tokens that were in a bucket when it was last used.",
        ..Docs::BASE
    },
    run: peek,
    ..Command::BASE
};

fn peek(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let tokens = ctx
        .value::<Bucket>(key)?
        .map(|bucket| bucket.milli_tokens / 1000);
    match tokens {
        Some(tokens) => ctx.reply.unsigned(tokens),
        None => ctx.reply.null(),
    }
    Ok(())
}

const SET: Command = Command {
    name: "ratelimit.set",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write, Flag::DenyOom, Flag::Fast],
    keys: &[KeySpec::at(1, &[KeyFlag::Ow, KeyFlag::Update])],
    args: &[
        arg::key("key"),
        arg::integer("milli-tokens"),
        arg::integer("unix-time-milliseconds"),
    ],
    docs: Docs {
        group: Group::Module,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Sets a bucket to what it is elsewhere.",
        ..Docs::BASE
    },
    run: set,
    ..Command::BASE
};

fn set(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let (milli_tokens, seen_ms) = (args.integer()?, args.integer()?);
    let milli_tokens = u64::try_from(milli_tokens).map_err(|_| Error::NotInteger)?;
    let bucket: &mut Bucket = ctx.value_or_default(key)?;
    *bucket = Bucket {
        milli_tokens,
        seen_ms,
    };
    ctx.modified(key, Event::module("ratelimit.set"));
    ctx.reply.ok();
    Ok(())
}

/// Adds the module's commands and its data type to a server.
fn module(builder: oxidis::Builder) -> oxidis::Builder {
    builder
        .command(&TAKE)
        .command(&PEEK)
        .command(&SET)
        .data_type::<Bucket>()
}

fn main() -> std::result::Result<(), oxidis::StartError> {
    let server = module(oxidis::Server::builder()).start()?;
    for n in 1..=4 {
        let reply = server.execute(["RATELIMIT.TAKE", "alice", "3", "1"]);
        println!("take {n}: {reply:?}");
    }
    // The commands are described, judged and counted like any other, and the value is saved and restored.
    let keys = ["COMMAND", "GETKEYS", "RATELIMIT.TAKE", "alice", "3", "1"];
    println!("keys:   {:?}", server.execute(keys));
    println!("type:   {:?}", server.execute(["TYPE", "alice"]));
    let dump = server.execute(["DUMP", "alice"]);
    let dump = dump.as_bytes().unwrap_or_default();
    println!(
        "copied: {:?}",
        server.execute([&b"RESTORE"[..], b"bob", b"0", dump])
    );
    println!("tokens: {:?}", server.execute(["RATELIMIT.PEEK", "bob"]));
    server.shutdown();
    Ok(())
}
