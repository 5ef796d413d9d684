//! The functions that came with Redis 8.

use super::{built, server};
use crate::support::Client;

fn texts(c: &mut Client, line: &str) -> Vec<String> {
    let reply = c.cmd(line);
    reply.items().iter().map(|item| item.text()).collect()
}

/// The replies are those of Redis 8.6.2 to the same module.
#[test]
fn a_module_lists_reads_and_sets_options() {
    let Some(builder) = server(&["newer"], "") else {
        return;
    };
    let server = builder.start();
    let mut c = server.client();
    assert!(texts(&mut c, "NEWER.NAMES").len() > 200);
    let slaves = texts(&mut c, "NEWER.NAMES *slave-read*");
    assert_eq!(slaves, ["slave-read-only"]);
    assert_eq!(texts(&mut c, "NEWER.NAMES MAXMEMORY"), ["maxmemory"]);
    let own = texts(&mut c, "NEWER.NAMES newer*");
    assert_eq!(own, ["newer.number", "newer-bare", "newer-alias"]);
    assert!(texts(&mut c, "NEWER.NAMES nosuch*").is_empty());

    let kinds = [
        ("dir", 0),
        ("save", 0),
        ("bind", 0),
        ("requirepass", 0),
        ("notify-keyspace-events", 0),
        ("appendfsync", 1),
        ("shutdown-on-sigterm", 1),
        ("maxmemory", 2),
        ("maxmemory-clients", 2),
        ("unixsocketperm", 2),
        ("newer.number", 2),
        ("newer-alias", 2),
        ("appendonly", 3),
        ("slave-read-only", 3),
    ];
    for (name, kind) in kinds {
        c.cmd(&format!("NEWER.GET type {name}")).is(kind);
    }
    c.cmd("NEWER.GET get appendfsync").is("everysec");
    c.cmd("NEWER.GET enum appendfsync").is("everysec");
    c.cmd("NEWER.GET bool slave-read-only").is(1);
    c.cmd("NEWER.GET number port").is(i64::from(server.port()));
    c.cmd("NEWER.GET number newer-bare").is(8);
    for wrong in [
        "bool maxmemory",
        "enum maxmemory",
        "number save",
        "get nosuch",
    ] {
        c.cmd(&format!("NEWER.GET {wrong}")).error("ERR refused");
    }

    c.cmd("NEWER.SET set maxmemory 100mb").ok();
    c.cmd("NEWER.GET number maxmemory").is(100 << 20);
    c.cmd("NEWER.SET number maxmemory 0").ok();
    c.cmd("NEWER.SET number maxmemory-clients -5").ok();
    c.cmd("NEWER.GET get maxmemory-clients").is("5%");
    c.cmd("NEWER.GET number maxmemory-clients").is(-5);
    c.cmd("NEWER.SET enum appendfsync no").ok();
    c.cmd("NEWER.SET bool lazyfree-lazy-expire 1").ok();
    c.cmd("NEWER.GET get lazyfree-lazy-expire").is("yes");
    c.cmd("NEWER.SET number newer.number 12").ok();
    c.cmd("NEWER.SET set newer-alias 5").ok();
    c.cmd("CONFIG GET newer-bare").is(["newer-bare", "5"]);
    let refusals = [
        ("set nosuch 1", "Config name not found"),
        ("number nosuch 1", "Config name not found"),
        ("set databases 4", "Config is immutable"),
        ("set dir /tmp", "Config is protected"),
        ("set maxmemory x", "argument must be a memory value"),
        ("set save 3", "Invalid save parameters"),
        ("bool appendonly 7", "argument must be 'yes' or 'no'"),
        ("number newer.number 13", "not thirteen"),
        (
            "number newer.number 1000",
            "argument must be between 0 and 100 inclusive",
        ),
    ];
    for (what, why) in refusals {
        c.cmd(&format!("NEWER.SET {what}"))
            .error(&format!("ERR refused: {why}"));
    }
    for what in [
        "bool maxmemory 1",
        "enum maxmemory 1",
        "number appendonly 1",
    ] {
        let reply = c.cmd(&format!("NEWER.SET {what}")).error("ERR refused");
        assert!(!reply.text().contains(':'), "{reply}");
    }
    // Defaults were set once, when the module asked for them; then two values here.
    c.cmd("NEWER.SETS").is(4);
}

/// An option without its module's name in the configuration file, and under its other name.
#[test]
fn an_option_of_a_module_without_its_name_is_found_and_rewritten() {
    for line in ["newer-bare 44", "newer-alias 44"] {
        let Some(builder) = server(&["newer"], line) else {
            return;
        };
        let mut server = builder.start();
        let mut c = server.client();
        c.cmd("CONFIG GET newer-alias").is(["newer-alias", "44"]);
        c.cmd("CONFIG SET newer-bare 45").ok();
        c.cmd("CONFIG REWRITE").ok();
        server.restart();
        let mut c = server.client();
        c.cmd("CONFIG GET newer-bare").is(["newer-bare", "45"]);
    }
    // Nobody's.
    let Some(folder) = built() else { return };
    let program = crate::support::fleet::oxidis();
    let out = std::process::Command::new(program)
        .args(["--port", "0", "--newer-nobodys", "1", "--loadmodule"])
        .arg(folder.join("newer.so"))
        .current_dir(folder)
        .output()
        .expect("the server runs");
    assert!(!out.status.success());
}

#[test]
fn a_module_stops_to_listen_and_asks_for_prefixes_and_deadlines() {
    let Some(builder) = server(&["newer"], "") else {
        return;
    };
    let server = builder.start();
    let mut c = server.client();
    c.cmd("NEWER.LISTEN off").error("ERR not subscribed");
    c.cmd("NEWER.LISTEN on").is(0);
    c.cmd("SET a 1").ok();
    c.cmd("NEWER.LISTEN other").error("ERR not subscribed");
    c.cmd("NEWER.LISTEN off").is(1);
    c.cmd("SET a 2").ok();
    c.cmd("NEWER.LISTEN off").error("ERR not subscribed");
    c.cmd("NEWER.LISTEN on").is(1);

    c.cmd("HSET h f v g w").is(2);
    c.cmd("NEWER.EARLIEST h").is(-1);
    c.cmd("HPEXPIREAT h 4102444800000 FIELDS 1 g");
    c.cmd("NEWER.DEADLINES h").is([-1, 4_102_444_800_000, 1]);
    c.cmd("HPEXPIREAT h 4102444700000 FIELDS 1 f");
    c.cmd("NEWER.DEADLINES h")
        .is([4_102_444_700_000, 4_102_444_800_000, 1]);
    c.cmd("NEWER.EARLIEST h").is(4_102_444_700_000);
    c.cmd("NEWER.EARLIEST a").is(-1);
    c.cmd("NEWER.EARLIEST none").is(-2);

    c.cmd("ACL SETUSER bob on nopass ~a* %R~b* ~c %W~d* ~e\\\\* +get")
        .ok();
    // 16 access, 32 update; 1 is none of the flags that may be asked for.
    let rights = [
        ("a", 0, 1),
        ("ab", 48, 1),
        ("a*", 16, 1),
        ("b", 16, 1),
        ("b", 32, 0),
        ("c", 0, 0),
        ("d", 32, 1),
        ("d", 48, 0),
        ("e*", 16, 0),
        ("", 16, 0),
    ];
    for (prefix, flags, expected) in rights {
        let flags = flags.to_string();
        c.call(&["NEWER.PREFIX", "bob", prefix, &flags])
            .is(expected);
    }
    c.cmd("NEWER.PREFIX bob a 1").is(-22);
    c.cmd("NEWER.PREFIX default anything 48").is(1);
    c.cmd("NEWER.WHOSE bob").is("bob");
}

#[test]
fn a_module_asks_for_slots_and_the_secret() {
    let Some(builder) = server(&["newer"], "") else {
        return;
    };
    let alone = builder.start();
    let mut c = alone.client();
    c.cmd("NEWER.CLUSTER slot foo").is(12182);
    c.cmd("NEWER.CLUSTER can 16383").is(1);
    c.cmd("NEWER.CLUSTER can 16384").is(0);
    c.cmd("NEWER.CLUSTER can -1").is(0);
    c.cmd("NEWER.CLUSTER mine").is([0, 16383]);
    c.cmd("NEWER.CLUSTER secret").error("ERR no secret");

    let Some(builder) = server(&["newer"], "cluster-enabled yes") else {
        return;
    };
    let node = builder.start();
    let mut c = node.client();
    c.cmd("NEWER.CLUSTER mine")
        .is(crate::support::Reply::Array(Vec::new()));
    c.cmd("NEWER.CLUSTER can 5").is(0);
    c.cmd("CLUSTER ADDSLOTSRANGE 0 9 20 29").ok();
    c.cmd("NEWER.CLUSTER mine").is([0, 9, 20, 29]);
    c.cmd("NEWER.CLUSTER can 5").is(1);
    c.cmd("NEWER.CLUSTER can 15").is(0);
    assert_eq!(c.cmd("NEWER.CLUSTER secret").bytes().len(), 40);
    c.cmd("NEWER.CLUSTER hold").is(0);
    c.cmd("NEWER.CLUSTER release").is(0);
    c.cmd("NEWER.CLUSTER release").is(1);
}

/// A command for internal connections: others do not find it, and are not shown it.
#[test]
fn an_internal_command_is_unknown_to_others() {
    let Some(builder) = server(&["newer"], "") else {
        return;
    };
    let server = builder.start();
    let mut c = server.client();
    c.cmd("NEWER.INTERNAL")
        .error("ERR unknown command 'NEWER.INTERNAL'");
    assert!(c.cmd("COMMAND DOCS newer.internal").items().is_empty());
    c.cmd("COMMAND GETKEYS newer.internal")
        .error("ERR Invalid command specified");
    let own = texts(&mut c, "COMMAND LIST FILTERBY MODULE newer");
    assert!(!own.contains(&"newer.internal".to_owned()));
    let count = c.cmd("COMMAND COUNT");
    c.cmd("EVAL return(redis.call('newer.internal')) 0")
        .error("ERR This Redis command is not allowed from script");
    // The module itself may call it; in the name of the client it may not.
    c.cmd("NEWER.CALL newer.internal E").is(2);
    c.cmd("NEWER.CALL newer.internal CE")
        .error("ERR unknown command");

    let mut monitor = server.client();
    monitor.cmd("MONITOR").ok();
    let mut inside = server.client();
    inside.cmd("DEBUG MARK-INTERNAL-CLIENT").ok();
    let mut seeing = server.client();
    seeing.cmd("DEBUG MARK-INTERNAL-CLIENT").ok();
    seeing.cmd("MONITOR").ok();
    inside.cmd("NEWER.INTERNAL").is(2);
    inside.cmd("NEWER.CALL newer.internal CE").is(2);
    inside.cmd("PING marker").is("marker");
    let shown = |client: &mut Client| {
        let mut lines = String::new();
        while !lines.contains("marker") {
            lines.push_str(&client.read().expect("a line").text());
        }
        lines
    };
    assert!(!shown(&mut monitor).contains("\"NEWER.INTERNAL\""));
    assert!(shown(&mut seeing).contains("\"NEWER.INTERNAL\""));
    assert_ne!(inside.cmd("COMMAND COUNT"), count);
    assert_eq!(inside.cmd("COMMAND DOCS newer.internal").items().len(), 2);
    inside.cmd("DEBUG MARK-INTERNAL-CLIENT UNMARK").ok();
    inside.cmd("NEWER.INTERNAL").error("ERR unknown command");
}

/// Redis keeps the attribute of a reply, and its function for the parts of one answers that there are none.
#[test]
fn a_module_sees_the_attribute_of_a_reply() {
    let Some(builder) = server(&["newer"], "") else {
        return;
    };
    let server = builder.start();
    let mut c = server.client();
    let (string, attribute) = (0, 11);
    let told = c.cmd("NEWER.ATTRIBUTE 3");
    let told = told.items();
    assert_eq!(told[0], string.into());
    assert_eq!((&told[1], &told[2]), (&attribute.into(), &1.into()));
    assert_eq!(told[3].text(), "key-popularity");
    assert_eq!(told[4].items()[0].text(), "key:123");
    assert_eq!((&told[5], &told[6]), (&1.into(), &1.into()));
    let wire = "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n\
                $39\r\nSome real reply following the attribute\r\n";
    assert_eq!(told[7].text(), wire);
    let told = c.cmd("NEWER.ATTRIBUTE 0");
    assert_eq!(told.items()[0], string.into());
    told.items()[1..7]
        .iter()
        .for_each(|item| drop(item.clone().nil()));
    assert_eq!(
        told.items()[7].text(),
        "$39\r\nSome real reply following the attribute\r\n"
    );
    // A client gets the attribute too, if its protocol has such.
    c.cmd("DEBUG PROTOCOL attrib")
        .is("Some real reply following the attribute");
    c.cmd("NEWER.PASS 3")
        .error("ERR the protocol has no attributes");
    c.cmd("HELLO 3");
    let passed = c.cmd("NEWER.PASS 3");
    assert!(
        matches!(passed, crate::support::reply::Reply::Attribute(..)),
        "{passed}"
    );
}

/// A thread that held the lock waited for the thread that waited for the lock, a minute long, and then got no value.
#[test]
fn a_thread_with_the_lock_saves_values_of_modules_itself() {
    let Some(folder) = built() else {
        return;
    };
    let module = folder.join("keymeta.so");
    let line = format!("loadmodule {} KMT1 1 RDBSAVE:RDBLOAD", module.display());
    let builder = server(&["newer", "counter"], &line);
    let server = builder.expect("built above").start();
    let mut c = server.client();
    c.cmd("COUNTER.SET n 7").is(7);
    c.cmd("KEYMETA.SET KMT1 n meta").ok();
    let payload = c.cmd("DUMP n");
    assert_eq!(c.cmd("NEWER.THREAD DUMP n"), payload);
    c.cmd("DEL n").is(1);
    c.call(&[b"RESTORE", &b"n"[..], b"0", payload.bytes()]).ok();
    c.cmd("COUNTER.GET n").is(7);
    c.cmd("KEYMETA.GET KMT1 n").is("meta");
}
