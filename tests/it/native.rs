//! Commands that an embedder adds: clients that they block.

use oxidis::Server;
use oxidis::modules::native::*;

use crate::support::Client;
use crate::support::fleet::wait_for;

/// A number that counts up.
#[derive(Clone, Debug, Default)]
struct Counter(u64);

impl DataType for Counter {
    const NAME: &'static str = "count-rs1";

    fn save(&self, to: &mut Saver) {
        to.unsigned(self.0);
    }

    fn load(from: &mut Loader<'_>, _version: u16) -> std::result::Result<Counter, BadValue> {
        Ok(Counter(from.unsigned()?))
    }
}

const ADD: Command = Command {
    name: "count.add",
    arity: Arity::Exactly(2),
    flags: &[Flag::Write],
    keys: &[KeySpec::at(1, &[KeyFlag::Rw, KeyFlag::Update])],
    run: add,
    ..Command::BASE
};

fn add(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let counter: &mut Counter = ctx.value_or_default(key)?;
    counter.0 += 1;
    let now = counter.0;
    ctx.modified(key, Event::module("count.add"));
    ctx.reply.unsigned(now);
    Ok(())
}

/// `COUNT.WAIT key number timeout`: waits until the counter is that high. A counter that is not there is at 0.
const WAIT: Command = Command {
    name: "count.wait",
    arity: Arity::Exactly(4),
    flags: &[Flag::Blocking],
    keys: &[KeySpec::at(1, &[KeyFlag::Ro, KeyFlag::Access])],
    run: wait,
    ..Command::BASE
};

fn wait(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (key, number) = (args.key()?, args.integer()?);
    let deadline = ctx.timeout_ms(&mut args)?;
    let counter: Option<&Counter> = ctx.value(key)?;
    let now = counter.map_or(0, |counter| counter.0);
    if now >= number.unsigned_abs() {
        ctx.reply.unsigned(now);
    } else if !ctx.wait_for_keys(args, deadline, [key]) {
        ctx.reply.null();
    }
    Ok(())
}

fn server() -> (oxidis::Handle, u16) {
    let server = Server::builder()
        .command(&ADD)
        .command(&WAIT)
        .data_type::<Counter>()
        .start()
        .expect("a server");
    let port = server.address().expect("an address").port();
    (server, port)
}

fn client(port: u16) -> Client {
    Client::tcp(port).expect("a connection")
}

fn blocked(c: &mut Client) -> String {
    let info = c.cmd("INFO clients").text();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("blocked_clients:"));
    line.unwrap_or_default().trim().to_owned()
}

/// Sends a command that blocks, and returns once it does.
fn block(waiter: &mut Client, c: &mut Client, line: &str) {
    let before: u64 = blocked(c).parse().expect("a number");
    waiter
        .send(format!("{line}\r\n").as_bytes())
        .expect("it is sent");
    wait_for("the client to block", || {
        blocked(c) == (before + 1).to_string()
    });
}

#[test]
fn a_command_that_waits_for_a_key_is_run_again_at_each_change_of_it() {
    let (_server, port) = server();
    let (mut waiter, mut other, mut c) = (client(port), client(port), client(port));
    c.cmd("COUNT.WAIT k 0 0").is(0);
    block(&mut waiter, &mut c, "COUNT.WAIT k 2 0");
    block(&mut other, &mut c, "COUNT.WAIT k 1 0");
    // The first change is enough for one of them; the other is blocked again.
    c.cmd("COUNT.ADD k").is(1);
    other.read().expect("a reply").is(1);
    assert_eq!(blocked(&mut c), "1");
    // A key that goes, or becomes something else, is a change as well.
    c.cmd("DEL k").is(1);
    assert_eq!(blocked(&mut c), "1");
    c.cmd("COUNT.ADD k").is(1);
    c.cmd("COUNT.ADD k").is(2);
    waiter.read().expect("a reply").is(2);
    block(&mut waiter, &mut c, "COUNT.WAIT k 9 0");
    c.cmd("SET k text").ok();
    waiter.read().expect("a reply").error("WRONGTYPE");
    // Commands that the client sent meanwhile run behind it.
    c.cmd("DEL k").is(1);
    block(&mut waiter, &mut c, "COUNT.WAIT k 1 0\r\nPING");
    c.cmd("COUNT.ADD k").is(1);
    waiter.read().expect("a reply").is(1);
    waiter.read().expect("a reply").status("PONG");
    // The end of a unit counts, not its middle.
    c.cmd("DEL k").is(1);
    block(&mut waiter, &mut c, "COUNT.WAIT k 2 0");
    for line in ["MULTI", "COUNT.ADD k", "COUNT.ADD k", "COUNT.ADD k", "EXEC"] {
        c.cmd(line);
    }
    waiter.read().expect("a reply").is(3);
}

#[test]
fn waiting_ends_with_its_time_its_client_and_by_an_order() {
    let (_server, port) = server();
    let (mut waiter, mut c) = (client(port), client(port));
    // A change in between does not make the time longer: the reply comes although the key is changed all the time.
    waiter
        .send(b"COUNT.WAIT k 1000000 300\r\n")
        .expect("it is sent");
    wait_for("the client to block", || blocked(&mut c) == "1");
    wait_for("the time to be over", || {
        c.cmd("COUNT.ADD k");
        blocked(&mut c) == "0"
    });
    waiter.read().expect("a reply").nil();
    c.cmd("COUNT.WAIT k 5 -1").error("ERR timeout is negative");
    c.cmd("COUNT.WAIT k 5 x")
        .error("ERR timeout is not an integer");
    // CLIENT UNBLOCK, with both of its words.
    let id = waiter.cmd("CLIENT ID");
    let crate::support::Reply::Integer(id) = id else {
        panic!("{id}")
    };
    block(&mut waiter, &mut c, "COUNT.WAIT k 1000000 0");
    c.cmd(&format!("CLIENT UNBLOCK {id}")).is(1);
    waiter.read().expect("a reply").nil();
    block(&mut waiter, &mut c, "COUNT.WAIT k 1000000 0");
    c.cmd(&format!("CLIENT UNBLOCK {id} ERROR")).is(1);
    waiter.read().expect("a reply").error("UNBLOCKED");
    // A client that goes is forgotten.
    block(&mut waiter, &mut c, "COUNT.WAIT k 1000000 0");
    drop(waiter);
    wait_for("the client to be forgotten", || blocked(&mut c) == "0");
    c.cmd("COUNT.ADD k");
    c.cmd("PING").status("PONG");
}

#[test]
fn nothing_waits_in_a_transaction_or_a_script_and_a_new_replica_lets_go() {
    let (server, port) = server();
    let (mut waiter, mut c) = (client(port), client(port));
    c.cmd("MULTI").ok();
    c.cmd("COUNT.WAIT k 1 0").status("QUEUED");
    let reply = c.cmd("EXEC");
    assert_eq!(reply.items().len(), 1);
    reply.items()[0].clone().nil();
    c.call(&[
        "EVAL",
        "return redis.call('COUNT.WAIT', KEYS[1], 1, 0)",
        "1",
        "k",
    ])
    .nil();
    // Without a connection nothing can be blocked either.
    assert!(matches!(
        server.execute(["COUNT.WAIT", "k", "1", "0"]),
        oxidis::Value::Null
    ));
    assert_eq!(blocked(&mut c), "0");
    // A server that becomes a replica does not know any more what its clients wait for.
    block(&mut waiter, &mut c, "COUNT.WAIT k 1 0");
    c.cmd("REPLICAOF 127.0.0.1 1").ok();
    waiter.read().expect("a reply").error("UNBLOCKED");
    c.cmd("REPLICAOF NO ONE").ok();
    let mut waiter = client(port);
    block(&mut waiter, &mut c, "COUNT.WAIT k 1 0");
    c.cmd("COUNT.ADD k").is(1);
    waiter.read().expect("a reply").is(1);
    server.shutdown();
}

#[test]
fn a_client_blocked_on_a_replica_is_served_there_and_after_its_promotion() {
    let (primary, primary_port) = server();
    let (replica, port) = server();
    let (mut p, mut c) = (client(primary_port), client(port));
    p.cmd("CONFIG SET repl-diskless-sync-delay 0").ok();
    c.cmd(&format!("REPLICAOF 127.0.0.1 {primary_port}")).ok();
    wait_for("the link", || {
        let info = c.cmd("INFO replication").text();
        info.contains("master_link_status:up")
    });
    let (mut first, mut second, mut third) = (client(port), client(port), client(port));
    block(&mut first, &mut c, "COUNT.WAIT k 1 0");
    block(&mut second, &mut c, "COUNT.WAIT k 2 0");
    block(&mut third, &mut c, "COUNT.WAIT k 9 2000");
    // The primary's stream serves it.
    p.cmd("COUNT.ADD k").is(1);
    first.read().expect("a reply").is(1);
    assert_eq!(blocked(&mut c), "2");
    // Who waits on goes on waiting, for the server's own writes now.
    c.cmd("REPLICAOF NO ONE").ok();
    c.cmd("COUNT.ADD k").is(2);
    second.read().expect("a reply").is(2);
    // Its time was set before.
    third.read().expect("a reply").nil();
    assert_eq!(blocked(&mut c), "0");
    replica.shutdown();
    primary.shutdown();
}
