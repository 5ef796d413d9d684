//! A module in Rust: `RATELIMIT.HIT key most seconds` allows so many hits in a window of time.
//!
//! The reply is two numbers: the hits that are left, and the seconds until the window ends. Without a hit left the first
//! is -1 and nothing is changed.
//!
//! Run it with `cargo run --example ratelimit`.

use oxidis::modules::native::*;

const HIT: Command = Command {
    name: "ratelimit.hit",
    arity: Arity::Exactly(4),
    flags: &[Flag::Write, Flag::DenyOom, Flag::Fast],
    acl: &[Category::String],
    keys: &[KeySpec::at(
        1,
        &[KeyFlag::Rw, KeyFlag::Access, KeyFlag::Update],
    )],
    args: &[
        arg::key("key"),
        arg::integer("most"),
        arg::integer("seconds"),
    ],
    docs: Docs {
        group: Group::Module,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Takes a hit out of a window of time, if there is one left.",
        ..Docs::BASE
    },
    run: hit,
    ..Command::BASE
};

fn hit(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let most = args.positive()?;
    let seconds = args.positive()?;

    let now = ctx.now_ms();
    let db = ctx.db();
    let deadline = db.get(key).and_then(|entry| entry.deadline());
    let hits = match db.get_string(key)? {
        Some(string) => string.parse_int().ok_or(Error::NotInteger)?,
        None => 0,
    };
    let end = deadline.unwrap_or(now + seconds * 1000);
    let left = if hits < most { most - hits - 1 } else { -1 };
    if left >= 0 {
        let deadline = Deadline::Set(Some(end));
        ctx.store(key, NewValue::Int(hits + 1), deadline);
        // A replica must not count by its own clock: it gets the result.
        let (hits, end) = ((hits + 1).to_string(), end.to_string());
        ctx.rewrite_as(&[b"SET", key, hits.as_bytes(), b"PXAT", end.as_bytes()]);
        ctx.modified(key, Event::SET);
    }
    ctx.reply.array(2);
    ctx.reply.integer(left);
    ctx.reply.integer((end - now + 999) / 1000);
    Ok(())
}

fn main() -> std::result::Result<(), oxidis::StartError> {
    let server = oxidis::Server::builder().command(&HIT).start()?;
    for n in 1..=4 {
        let reply = server.execute(["RATELIMIT.HIT", "alice", "3", "60"]);
        println!("hit {n}: {reply:?}");
    }
    // The command is described, judged and counted like any other.
    println!(
        "{:?}",
        server.execute(["COMMAND", "GETKEYS", "RATELIMIT.HIT", "alice", "3", "60"])
    );
    server.shutdown();
    Ok(())
}
