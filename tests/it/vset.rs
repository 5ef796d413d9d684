//! Vector sets from outside: replies, searches on threads, files, replicas, payloads, and payloads that lie.

use std::time::Duration;

use crate::support::client::{encode, split};
use crate::support::random::Random;
use crate::support::server::until;
use crate::support::{Client, Reply, Server};

/// Adds elements `0`, `1` … with vectors by chance, each with its number as an attribute.
fn fill(c: &mut Client, key: &str, elements: usize, dim: usize, options: &str) {
    let mut random = Random::new(elements as u64);
    for n in 0..elements {
        let vector = vector(&mut random, dim);
        let line = format!(
            "VADD {key} VALUES {dim} {vector} {n} EF 30 SETATTR \"{{\\\"n\\\":{n}}}\" {options}"
        );
        assert_eq!(c.cmd(&line).to_string(), ":1", "{line}");
    }
}

fn vector(random: &mut Random, dim: usize) -> String {
    let numbers = (0..dim).map(|_| (random.below(2001) as f64 / 1000.0 - 1.0).to_string());
    numbers.collect::<Vec<_>>().join(" ")
}

fn digest(c: &mut Client, key: &str) -> String {
    c.cmd(&format!("DEBUG DIGEST-VALUE {key}")).to_string()
}

/// A reply on one line: `-` is nothing, `[…]` an array.
fn shown(reply: &Reply) -> String {
    match reply {
        Reply::NilBulk | Reply::NilArray => "-".into(),
        Reply::Integer(n) => n.to_string(),
        Reply::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.to_string(),
    }
}

fn transcript(c: &mut Client, lines: &[(&str, &str)]) {
    for (line, answer) in lines {
        assert_eq!(shown(&c.cmd(line)), *answer, "{line}");
    }
}

#[test]
fn elements_come_and_go() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    transcript(
        &mut c,
        &[
            ("VSIM v VALUES nonsense", "[]"),
            ("VDIM v", "-ERR key does not exist"),
            ("VINFO v", "-"),
            ("VADD v VALUES 2 3 4 a SETATTR \"{\\\"n\\\":1}\"", "1"),
            ("VADD v VALUES 2 -3 -4 b", "1"),
            ("VADD v VALUES 2 4 -3 c", "1"),
            ("VADD v VALUES 2 4 -3 c CAS", "0"),
            ("VCARD v", "3"),
            ("VDIM v", "2"),
            ("TYPE v", "+vectorset"),
            ("OBJECT ENCODING v", "raw"),
            ("SCAN 0 TYPE vectorset", "[0 [v]]"),
            ("VSIM v ELE a", "[a c b]"),
            (
                "VSIM v ELE a COUNT 1 WITHSCORES WITHATTRIBS",
                "[a 0.9995279014110565 {\"n\":1}]",
            ),
            ("VSIM v VALUES 2 3 4 EPSILON 0.6", "[a c]"),
            ("VSIM v ELE a FILTER .n==1", "[a]"),
            ("VSIM v ELE a FILTER .n==2", "[]"),
            ("VSIM v ELE a TRUTH COUNT 2", "[a c]"),
            ("VGETATTR v a", "{\"n\":1}"),
            ("VGETATTR v b", "-"),
            ("VSETATTR v b {}", "1"),
            ("VSETATTR v z {}", "0"),
            ("VISMEMBER v a", "1"),
            ("VISMEMBER v z", "0"),
            ("VRANGE v - +", "[a b c]"),
            ("VRANGE v (a [c 1", "[b]"),
            ("VRANDMEMBER v 0", "[]"),
            (
                "VRANDMEMBER v -9223372036854775808",
                "-ERR COUNT value is out of range",
            ),
            ("VRANDMEMBER nokey -9223372036854775808", "[]"),
            ("VEMB v z", "-"),
            ("VLINKS v z", "-"),
            (
                "VADD v VALUES 3 1 1 1 d",
                "-ERR Vector dimension mismatch - got 3 but set has 2",
            ),
            (
                "VADD v VALUES 2 1 1 d BIN",
                "-ERR asked quantization mismatch with existing vector set",
            ),
            (
                "VADD v VALUES 2 1 1 d M 8",
                "-ERR asked M value mismatch with existing vector set",
            ),
            (
                "VADD v VALUES 2 1 inf d",
                "-ERR invalid vector specification",
            ),
            ("VSIM v ELE z", "-ERR element not found in set"),
            (
                "VSIM v ELE a FILTER (",
                "-ERR syntax error in FILTER expression near: (",
            ),
            (
                "GET v",
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            ("COPY v w", "1"),
            ("VREM v a", "1"),
            ("VREM v a", "0"),
            ("VREM v b", "1"),
            ("VREM v c", "1"),
            ("EXISTS v", "0"),
            ("VCARD w", "3"),
            ("UNLINK w", "1"),
        ],
    );
}

/// Quantised scores are sums of integers times two factors, so they are the same on every processor and in Redis: these
/// are what Redis 8.6.2 answers.
#[test]
fn scores_are_those_of_redis() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    for (options, scores) in [
        ("", "[a 1 b 0.835428923368454 c 0.5]"),
        ("BIN", "[a 1 b 1 c 0.5]"),
    ] {
        c.cmd("DEL v");
        for (name, vector) in [("a", "1 2 3 4"), ("b", "4 3 2 1"), ("c", "2 -1 4 -3")] {
            c.cmd(&format!("VADD v VALUES 4 {vector} {name} {options}"))
                .is(1);
        }
        let reply = c.cmd("VSIM v VALUES 4 1 2 3 4 WITHSCORES");
        assert_eq!(shown(&reply), scores);
    }
    // From 32 components on the last step rounds once.
    c.cmd("DEL v");
    for (name, step) in [("a", 7), ("b", 11), ("c", 13)] {
        let numbers = (1..=40).map(|n| (n * step % 29 - 14).to_string());
        let vector = numbers.collect::<Vec<_>>().join(" ");
        c.cmd(&format!("VADD v VALUES 40 {vector} {name}")).is(1);
    }
    let reply = c.cmd("VSIM v ELE a WITHSCORES");
    assert_eq!(
        shown(&reply),
        "[a 1 c 0.6632615327835083 b 0.33045005798339844]"
    );
}

/// A long search blocks who asked and nobody else; it is of the instant at which it was asked for; whoever goes meanwhile
/// takes it along.
#[test]
fn long_searches_run_beside_the_server() {
    let server = Server::oxidis().start();
    let mut c = server.client();
    fill(&mut c, "v", 3000, 4, "");
    const LONG: &str = "VSIM v VALUES 4 1 1 1 1 TRUTH FILTER .n>=0 COUNT 3000";
    let inline = c.cmd(&format!("{LONG} NOTHREAD"));
    assert_eq!(inline.items().len(), 3000);
    assert_eq!(c.cmd(LONG).to_string(), inline.to_string());
    c.cmd("CONFIG SET vset-force-single-threaded-execution yes")
        .ok();
    assert_eq!(c.cmd(LONG).to_string(), inline.to_string());
    c.cmd("CONFIG SET vset-force-single-threaded-execution no")
        .ok();
    c.cmd("MULTI").ok();
    c.cmd(LONG);
    assert_eq!(c.cmd("EXEC").items()[0].to_string(), inline.to_string());

    // Pipelined: asked for first, deleted then.
    let mut wire = encode(&split(LONG));
    wire.extend(encode(&["VCARD", "v"]));
    c.send(&wire).expect("the server listens");
    let mut other = server.client();
    other.cmd("DEL v");
    let reply = c.read().expect("an answer");
    assert!([0, 3000].contains(&reply.items().len()), "{reply}");
    c.read().expect("the next one");

    // The searching clients leave: by themselves, and because they are killed.
    fill(&mut other, "v", 3000, 4, "");
    for round in 0..20 {
        let mut gone = server.client();
        let id = gone.cmd("CLIENT ID").to_string();
        gone.send(&encode(&split(LONG)))
            .expect("the server listens");
        if round % 2 == 0 {
            other.cmd(&format!("CLIENT UNBLOCK {}", &id[1..]));
            other.cmd(&format!("CLIENT KILL ID {}", &id[1..]));
        }
        drop(gone);
    }
    let settled = until(Duration::from_secs(10), || {
        let info = other.cmd("INFO clients").text();
        info.contains("blocked_clients:0\r\n").then_some(())
    });
    assert!(settled.is_some());
    assert_eq!(other.cmd("VCARD v").to_string(), ":3000");
}

/// VADD with CAS: neighbours are looked for on a thread, while others add and remove. Every element is there afterwards, on
/// the replica as well, and is its own nearest.
#[test]
fn adding_with_cas_looks_for_neighbours_beside_the_server() {
    const DIM: usize = 700;
    /// Enough elements of that size for a search to take long by estimate.
    const FIRST: usize = 1500;
    fn add(c: &mut Client, random: &mut Random, name: &str, options: &[&str]) -> Reply {
        let numbers = (0..DIM).map(|_| random.below(2001) as f32 / 1000.0 - 1.0);
        let blob: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        let mut words: Vec<&[u8]> =
            vec![b"VADD", b"v", b"FP32", &blob, name.as_bytes(), b"M", b"4"];
        words.extend(options.iter().map(|option| option.as_bytes()));
        c.call(&words)
    }
    let primary = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut c = primary.client();
    let mut random = Random::new(17);
    for n in 0..FIRST {
        add(&mut c, &mut random, &n.to_string(), &["EF", "4"]).is(1);
    }
    let replica = Server::oxidis()
        .args(["--enable-debug-command", "yes"])
        .start();
    let mut r = replica.client();
    r.cmd(&format!("REPLICAOF 127.0.0.1 {}", primary.port()))
        .ok();

    const CAS: &[&str] = &["CAS", "EF", "4000"];
    std::thread::scope(|scope| {
        for adder in 0..3 {
            let mut c = primary.client();
            let mut random = Random::new(100 + adder);
            scope.spawn(move || {
                for n in 0..20 {
                    add(&mut c, &mut random, &format!("{adder}-{n}"), CAS).is(1);
                }
            });
        }
        for n in 0..60 {
            c.cmd(&format!("VREM v {n}")).is(1);
            add(&mut c, &mut random, &n.to_string(), &["EF", "4"]).is(1);
        }
    });
    c.cmd("VCARD v").is((FIRST + 60) as i64);
    // With as many candidates as there are elements: the graph is a poor one, for four neighbours were looked for.
    for adder in 0..3 {
        for n in 0..20 {
            let found = c.cmd(&format!("VSIM v ELE {adder}-{n} COUNT 1 EF 4000"));
            assert_eq!(found.items()[0].text(), format!("{adder}-{n}"));
        }
    }
    // Of an element that exists; inside a transaction; of another shape; of a set that is not there yet.
    add(&mut c, &mut random, "5", CAS).is(0);
    c.cmd("MULTI").ok();
    add(&mut c, &mut random, "in", CAS).status("QUEUED");
    assert_eq!(c.cmd("EXEC").items()[0], 1.into());
    add(&mut c, &mut random, "x", &["CAS", "BIN"]).error("ERR asked quantization mismatch");
    c.cmd("VADD w VALUES 2 1 2 a CAS").is(1);
    // Pipelined: in order, and the next command finds it.
    for n in 0..5 {
        let name = format!("p{n}");
        add(&mut c, &mut random, &name, CAS).is(1);
        c.cmd(&format!("VISMEMBER v {name}")).is(1);
    }
    c.cmd("WAIT 1 0").is(1);
    assert_eq!(digest(&mut c, "v"), digest(&mut r, "v"));

    // Clients that leave, sets that go.
    for round in 0..10 {
        let mut gone = primary.client();
        let blob = vec![0u8; DIM * 4];
        let words: &[&[u8]] = &[b"VADD", b"v", b"FP32", &blob, b"gone", b"CAS", b"M", b"4"];
        gone.send(&encode(words)).expect("the server listens");
        match round {
            3 => drop(c.cmd("RENAME v u")),
            4 => drop(c.cmd("RENAME u v")),
            8 => drop(c.cmd("DEL v")),
            _ => {}
        }
    }
    let settled = until(Duration::from_secs(10), || {
        let info = c.cmd("INFO clients").text();
        info.contains("blocked_clients:0\r\n").then_some(())
    });
    assert!(settled.is_some());
    c.cmd("PING").status("PONG");
}

/// The set on disk equals the set in memory: as an RDB file, as an AOF with and without one in it. An update counts as
/// well: Redis forgets the new vector of an element that existed.
#[test]
fn sets_survive_a_restart() {
    for (appendonly, preamble) in [("no", "yes"), ("yes", "yes"), ("yes", "no")] {
        let mut server = Server::oxidis()
            .args(["--appendonly", appendonly])
            .args(["--aof-use-rdb-preamble", preamble])
            .args(["--enable-debug-command", "yes"])
            .start();
        let mut c = server.client();
        fill(&mut c, "q8", 200, 5, "");
        fill(&mut c, "bin", 100, 70, "BIN M 5");
        fill(&mut c, "f32", 100, 5, "NOQUANT");
        c.cmd("VADD reduced REDUCE 3 VALUES 5 1 2 3 4 5 a").is(1);
        if appendonly == "yes" {
            c.cmd("BGREWRITEAOF");
            let done = until(Duration::from_secs(20), || {
                let info = c.cmd("INFO persistence").text();
                let done = info.contains("aof_rewrite_in_progress:0\r\n")
                    && info.contains("aof_rewrite_scheduled:0\r\n");
                done.then_some(info)
            });
            assert!(done.is_some_and(|info| info.contains("aof_last_bgrewrite_status:ok")));
        }
        c.cmd("VADD q8 VALUES 5 9 8 7 6 -5 17 SETATTR x").is(0);
        c.cmd("VREM q8 18").is(1);
        c.cmd("VSETATTR f32 3 {}").is(1);
        // An empty attribute, which no file can tell from none, is none from the beginning.
        c.cmd("VADD f32 VALUES 5 1 2 3 4 5 plain NOQUANT SETATTR \"\"")
            .is(1);
        c.cmd("VGETATTR f32 plain").nil();
        if appendonly == "no" {
            c.cmd("SAVE").ok();
        }
        let keys = ["q8", "bin", "f32", "reduced"];
        let before = keys.map(|key| digest(&mut c, key));
        let found = c.cmd("VSIM q8 ELE 17 WITHSCORES").to_string();
        let links = c.cmd("VLINKS q8 17").to_string();
        server.restart();
        let mut c = server.client();
        let loaded = until(Duration::from_secs(20), || {
            let info = c.cmd("INFO persistence").text();
            info.contains("loading:0\r\n").then_some(())
        });
        assert!(loaded.is_some());
        assert_eq!(
            keys.map(|key| digest(&mut c, key)),
            before,
            "{appendonly} {preamble}"
        );
        if appendonly == "no" {
            assert_eq!(c.cmd("VSIM q8 ELE 17 WITHSCORES").to_string(), found);
            assert_eq!(c.cmd("VLINKS q8 17").to_string(), links);
        }
        c.cmd("VADD reduced REDUCE 3 VALUES 5 1 2 3 4 5 a").is(0);
        c.cmd("DEBUG RELOAD").ok();
        assert_eq!(digest(&mut c, "bin"), before[1]);
    }
}

/// Replicas have the same elements with the same vectors, updates included.
#[test]
fn replicas_hold_the_same() {
    let primary = Server::oxidis()
        .config("enable-debug-command yes\n")
        .start();
    let mut p = primary.client();
    fill(&mut p, "v", 100, 5, "");
    let replica = Server::oxidis()
        .config(&format!(
            "enable-debug-command yes\nreplicaof 127.0.0.1 {}\n",
            primary.port()
        ))
        .start();
    let mut r = replica.client();
    let synced = until(Duration::from_secs(20), || {
        (r.cmd("VCARD v").to_string() == ":100").then_some(())
    });
    assert!(synced.is_some());
    let mut random = Random::new(5);
    for n in 0..300 {
        let name = random.below(150);
        match n % 3 {
            0 => p.cmd(&format!("VREM v {name}")),
            1 => p.cmd(&format!("VSETATTR v {name} {n}")),
            _ => p.cmd(&format!(
                "VADD v VALUES 5 {} {name} CAS",
                vector(&mut random, 5)
            )),
        };
    }
    p.cmd("WAIT 1 10000").is(1);
    assert_eq!(digest(&mut r, "v"), digest(&mut p, "v"));
}

/// Payloads go to a Redis that has vector sets and come back, graph and all.
#[test]
fn payloads_are_exchanged_with_redis() {
    let Some(redis) = Server::redis() else {
        return println!("skipped: no redis-server");
    };
    let theirs = redis.config("enable-debug-command yes\n").start();
    let mut t = theirs.client();
    if t.cmd("VCARD v").is_error() {
        return println!("skipped: this redis-server has no vector sets");
    }
    let ours = Server::oxidis()
        .config("enable-debug-command yes\n")
        .start();
    let mut o = ours.client();
    for (options, dim) in [
        ("", 5),
        ("BIN", 130),
        ("NOQUANT", 7),
        ("M 4", 3),
        ("M 64", 3),
        ("REDUCE", 6),
        // To more components.
        ("REDUCE", 3),
    ] {
        for from_us in [true, false] {
            let (a, b) = match from_us {
                true => (&mut o, &mut t),
                false => (&mut t, &mut o),
            };
            a.cmd("DEL v");
            b.cmd("DEL v");
            if options == "REDUCE" {
                let mut random = Random::new(1);
                for n in 0..150 {
                    let vector = vector(&mut random, dim);
                    a.cmd(&format!("VADD v REDUCE 4 VALUES {dim} {vector} {n}"))
                        .is(1);
                }
            } else {
                fill(a, "v", 150, dim, options);
                a.cmd("VREM v 7").is(1);
            }
            let payload = a.cmd("DUMP v");
            b.call(&[b"RESTORE".as_slice(), b"v", b"0", payload.bytes()])
                .ok();
            assert_eq!(digest(a, "v"), digest(b, "v"), "{options} {from_us}");
            for query in ["ELE 3", "ELE 99", "ELE 42 TRUTH"] {
                let line = format!("VSIM v {query} WITHSCORES");
                let (x, y) = (a.cmd(&line), b.cmd(&line));
                if options == "NOQUANT" {
                    // The order of a sum of floats is another.
                    assert_eq!(x.items().len(), y.items().len());
                } else {
                    assert_eq!(scores(&x), scores(&y), "{options} {from_us} {line}");
                }
            }
            let links = |c: &mut Client| -> Vec<Vec<Vec<String>>> {
                let mut all = vec![];
                for n in [3, 50, 99] {
                    let reply = c.cmd(&format!("VLINKS v {n}"));
                    let level = |level: &Reply| {
                        let mut names: Vec<String> =
                            level.items().iter().map(ToString::to_string).collect();
                        names.sort();
                        names
                    };
                    all.push(reply.items().iter().map(level).collect());
                }
                all
            };
            assert_eq!(links(a), links(b), "{options} {from_us}");
        }
    }
}

/// The scores of a reply with scores.
fn scores(reply: &Reply) -> Vec<String> {
    let pairs = reply.items().chunks(2);
    pairs.map(|pair| pair[1].to_string()).collect()
}

/// redis 15385, 15386, 15400: payloads that say what cannot be are refused, and whatever is taken stands being used.
#[test]
fn payloads_that_lie_do_no_harm() {
    let server = Server::oxidis()
        .config("enable-debug-command yes\n")
        .start();
    let mut c = server.client();
    c.cmd("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1").ok();
    let mut payloads = vec![];
    for options in ["", "BIN", "NOQUANT M 4"] {
        c.cmd("DEL v");
        fill(&mut c, "v", 12, 3, options);
        payloads.push(c.cmd("DUMP v").bytes().to_vec());
    }
    let mut random = Random::new(Random::seed_from_env("OXIDIS_TEST_SEED"));
    let (mut taken, mut refused) = (0, 0);
    for round in 0..3000 {
        let mut payload = random.pick(&payloads).clone();
        let body = payload.len() - 10;
        for _ in 0..1 + random.below(3) {
            let at = 1 + random.below(body - 1);
            match random.below(4) {
                0 => payload[at] ^= 1 << random.below(8),
                1 => payload[at] = random.below(256) as u8,
                2 => payload[at] = payload[at].wrapping_add(1),
                _ => {
                    payload.remove(at);
                }
            }
        }
        let reply = c.call(&[b"RESTORE".as_slice(), b"h", b"0", &payload, b"REPLACE"]);
        if reply.is_error() {
            refused += 1;
            continue;
        }
        taken += 1;
        if c.cmd("TYPE h").to_string() != "+vectorset" {
            continue;
        }
        for line in [
            "VINFO h",
            "VSIM h ELE 3 FILTER .n>1",
            "MEMORY USAGE h",
            "DEBUG DIGEST-VALUE h",
        ] {
            c.cmd(line);
        }
        let names: Vec<Vec<u8>> = c
            .cmd("VRANGE h - +")
            .items()
            .iter()
            .map(|name| name.bytes().to_vec())
            .collect();
        for name in &names {
            c.call(&[b"VLINKS".as_slice(), b"h", name, b"WITHSCORES"]);
            c.call(&[b"VEMB".as_slice(), b"h", name]);
        }
        let dump = c.cmd("DUMP h");
        c.call(&[
            b"RESTORE".as_slice(),
            b"again",
            b"0",
            dump.bytes(),
            b"REPLACE",
        ])
        .ok();
        for name in &names {
            let removed = c.call(&[b"VREM".as_slice(), b"h", name]);
            assert_eq!(removed.to_string(), ":1", "round {round}");
        }
        c.cmd("EXISTS h").is(0);
    }
    assert!(taken > 100 && refused > 100, "{taken} {refused}");
    c.cmd("PING").status("PONG");
}
