//! Metadata that modules attach to keys: it follows its key wherever the key goes, each class asked as it wants.
//!
//! The expected lines are those of Redis 8.6.2 with the same module, unless a test says otherwise.

use super::snapshots::while_saving;
use super::{built, server};
use crate::support::client::Client;
use crate::support::fleet::wait_for;
use crate::support::random::Random;
use crate::support::reply::Reply;
use crate::support::{Server, server::Builder};

/// A server whose module has these classes, given as "NAME VERSION FLAGS …".
fn with_classes(classes: &str, lines: &str) -> Option<Builder> {
    let module = built()?.join("keymeta.so");
    server(
        &[],
        &format!("{lines}\nloadmodule {} {classes}", module.display()),
    )
}

fn started(classes: &str) -> Option<(Server, Client)> {
    let server = with_classes(classes, "save \"\"")?.start();
    let client = server.client();
    Some((server, client))
}

fn log(c: &mut Client) -> Vec<String> {
    let told = c.cmd("KEYMETA.LOG");
    told.items().iter().map(|line| line.text()).collect()
}

const ALL: &str = "KEEPONCOPY:KEEPONRENAME:KEEPONMOVE:ALLOWIGNORE:RDBLOAD:RDBSAVE:TELL";

#[test]
fn classes_are_made_while_their_module_is_loaded() {
    let Some((_server, mut c)) = started("FRST 1 -") else {
        return;
    };
    let refused = "ERR failed to create metadata class";
    c.cmd("KEYMETA.REGISTER SCND 1").error(refused);
    c.cmd("DEBUG ENABLE-KEYMETA-RUNTIME-REGISTRATION 1").ok();
    c.cmd("KEYMETA.REGISTER SCND 1").is(2);
    // A name is four characters of sixty-four, a version goes up to 31, the structure has a version too.
    for name in [
        "BAD 1",
        "TOOLONG 1",
        "BA%D 1",
        "VERS 32",
        "VERS -1",
        "FUTU 1 FUTURE",
    ] {
        c.cmd(&format!("KEYMETA.REGISTER {name}")).error(refused);
    }
    // Redis ends here.
    c.cmd("KEYMETA.REGISTER SCND 1").error(refused);
    for number in 3..=7 {
        c.cmd(&format!("KEYMETA.REGISTER CLS{number} 1")).is(number);
    }
    c.cmd("KEYMETA.REGISTER MORE 1").error(refused);
    // A class that was given up leaves its number to one of the same name.
    c.cmd("KEYMETA.UNREGISTER CLS5").ok();
    c.cmd("KEYMETA.REGISTER MORE 1").error(refused);
    c.cmd("KEYMETA.REGISTER CLS5 2").is(5);
}

#[test]
fn metadata_is_attached_to_a_key_that_is_there_and_open_for_writing() {
    let Some((_server, mut c)) = started(&format!("KMT1 1 {ALL}")) else {
        return;
    };
    c.cmd("KEYMETA.SET KMT1 k m").nil();
    c.cmd("SET k v").ok();
    c.cmd("KEYMETA.GET KMT1 k").nil();
    c.cmd("KEYMETA.SETREADING KMT1 k").is(1);
    c.cmd("KEYMETA.SETREADING NONE k").is(1);
    c.cmd("KEYMETA.SET KMT1 k m").ok();
    c.cmd("KEYMETA.SET KMT1 k n").ok();
    c.cmd("KEYMETA.GET KMT1 k").is("n");
    c.cmd("KEYMETA.ACTIVE").is(1);
    assert!(log(&mut c).is_empty());
}

/// Commands that change a value keep the metadata of its key; those that replace it, or delete it, drop it.
#[test]
fn metadata_stays_while_its_key_does() {
    let Some((_server, mut c)) = started(&format!("KMT1 1 {ALL}")) else {
        return;
    };
    let stays = [
        ("SET k 5", "INCR k"),
        ("SET k 5", "INCRBYFLOAT k 1.5"),
        ("SET k v", "APPEND k x"),
        ("SET k v", "SETRANGE k 3 x"),
        ("SET k v", "SETBIT k 100 1"),
        ("SET k v", "EXPIRE k 1000"),
        ("SET k v EX 100", "PERSIST k"),
        ("SET k v EX 100", "GETEX k PERSIST"),
        ("PFADD k a", "PFADD k b c d e"),
        ("RPUSH k 1 2", "LPOP k"),
        ("HSET k f v", "HSET k g w"),
        ("ZADD k 1 a", "ZINCRBY k 1 a"),
        ("XADD k * f v", "XADD k * f v"),
        ("SADD k 1", "SADD k text"),
    ];
    for (make, change) in stays {
        c.cmd("DEL k");
        c.cmd(make);
        c.cmd("KEYMETA.SET KMT1 k m").ok();
        c.cmd(change);
        assert_eq!(c.cmd("KEYMETA.GET KMT1 k").text(), "m", "{change}");
        log(&mut c);
        c.cmd("DEL k").is(1);
        assert_eq!(log(&mut c), ["unlink k>- 0>-1 m", "free k m"], "{change}");
    }
    let goes = [
        ("SET k 5", "SET k 6"),
        ("SET k 5", "SET k 6 KEEPTTL"),
        ("SET k v", "GETSET k w"),
        ("SET k v", "MSET k 1 j 2"),
        ("SET k v", "GETDEL k"),
        ("SET k v", "UNLINK k"),
        ("SET k v", "BITOP NOT k k"),
        ("SET k v", "EXPIREAT k 1"),
        ("RPUSH k 3 1 2", "SORT k STORE k"),
        ("RPUSH k 1", "LPOP k"),
        ("RPUSH k 1", "LMOVE k j LEFT LEFT"),
        ("RPUSH k 1", "LREM k 0 1"),
        ("RPUSH k 1", "LTRIM k 5 6"),
        ("SADD k 1", "SUNIONSTORE k k"),
        ("SADD k 1", "SREM k 1"),
        ("SADD k 1", "SPOP k"),
        ("SADD k 1", "SMOVE k j 1"),
        ("ZADD k 1 a", "ZUNIONSTORE k 1 k"),
        ("ZADD k 1 a", "ZRANGESTORE k k 0 -1"),
        ("ZADD k 1 a", "ZPOPMIN k"),
        ("ZADD k 1 a", "ZREM k a"),
        (
            "GEOADD k 1 1 a",
            "GEOSEARCHSTORE k k FROMMEMBER a BYRADIUS 1 m",
        ),
        ("HSET k f v", "HDEL k f"),
        ("HSET k f v", "HGETDEL k FIELDS 1 f"),
        ("HSET k f v", "HPEXPIRE k 0 FIELDS 1 f"),
        ("SET k v", "RENAME other k"),
        ("SET k v", "COPY other k REPLACE"),
        ("SET k v", "EVAL \"redis.call('del', 'k')\" 0"),
    ];
    for (make, change) in goes {
        c.cmd("DEL k j");
        c.cmd("SET other x").ok();
        c.cmd(make);
        c.cmd("KEYMETA.SET KMT1 k m");
        log(&mut c);
        c.cmd(change);
        assert_eq!(log(&mut c), ["unlink k>- 0>-1 m", "free k m"], "{change}");
        c.cmd("KEYMETA.GET KMT1 k").nil();
    }
    c.cmd("KEYMETA.ACTIVE").is(0);
}

#[test]
fn a_class_that_frees_when_a_key_is_unlinked_is_not_asked_to_free_again() {
    let Some((_server, mut c)) = started("KMT1 1 UNLINKFREE KMT2 1 TELL") else {
        return;
    };
    c.cmd("SET k v").ok();
    c.cmd("KEYMETA.SET KMT2 k two").ok();
    c.cmd("KEYMETA.SET KMT1 k one").ok();
    c.cmd("DEL k").is(1);
    assert_eq!(
        log(&mut c),
        ["unlink k>- 0>-1 one", "unlink k>- 0>-1 two", "free k two"]
    );
    c.cmd("KEYMETA.ACTIVE").is(0);
}

/// Metadata of keys that expire or are evicted goes as it does with DEL; a flush frees it without a word before.
#[test]
fn metadata_goes_with_keys_that_nobody_deletes() {
    let Some((_server, mut c)) = started(&format!("KMT1 1 {ALL}")) else {
        return;
    };
    for (lazily, wait) in [
        (true, "DEBUG SET-ACTIVE-EXPIRE 0"),
        (false, "DEBUG SET-ACTIVE-EXPIRE 1"),
    ] {
        c.cmd(wait).ok();
        c.cmd("SET k v").ok();
        c.cmd("KEYMETA.SET KMT1 k m").ok();
        log(&mut c);
        c.cmd("PEXPIRE k 20").is(1);
        let mut told = Vec::new();
        wait_for("the end of the key", || {
            if lazily {
                c.cmd("GET k");
            }
            told.extend(log(&mut c));
            !told.is_empty()
        });
        assert_eq!(told, ["unlink k>- 0>-1 m", "free k m"]);
    }
    // A key that is over, and written over before anybody found out.
    c.cmd("DEBUG SET-ACTIVE-EXPIRE 0").ok();
    c.cmd("SET k v").ok();
    c.cmd("KEYMETA.SET KMT1 k m").ok();
    c.cmd("PEXPIRE k 1").is(1);
    wait_for("the end of the key", || c.cmd("PTTL k") == (-2).into());
    c.cmd("SET k w").ok();
    c.cmd("KEYMETA.GET KMT1 k").nil();
    c.cmd("KEYMETA.ACTIVE").is(0);

    c.cmd("KEYMETA.SET KMT1 k m").ok();
    log(&mut c);
    c.cmd("CONFIG SET maxmemory-policy allkeys-lru maxmemory 1")
        .ok();
    wait_for("eviction", || c.cmd("DBSIZE") == 0.into());
    assert_eq!(log(&mut c), ["unlink k>- 0>-1 m", "free k m"]);
    c.cmd("CONFIG SET maxmemory 0").ok();

    for flush in ["FLUSHDB", "FLUSHALL SYNC", "FLUSHALL ASYNC"] {
        c.cmd("SET k v").ok();
        c.cmd("KEYMETA.SET KMT1 k m").ok();
        log(&mut c);
        c.cmd(flush).ok();
        wait_for("the end of the key", || c.cmd("KEYMETA.ACTIVE") == 0.into());
        assert_eq!(log(&mut c), ["free k m"], "{flush}");
    }
}

#[test]
fn rename_move_and_copy_ask_each_class() {
    let Some((_server, mut c)) = started(&format!("KMT1 1 {ALL} KMT2 2 UNLINKFREE")) else {
        return;
    };
    for key in ["k", "j"] {
        c.cmd(&format!("SET {key} v")).ok();
        c.cmd(&format!("KEYMETA.SET KMT1 {key} m{key}")).ok();
        c.cmd(&format!("KEYMETA.SET KMT2 {key} n{key}")).ok();
    }
    c.cmd("RENAME k j").ok();
    c.cmd("KEYMETA.GET KMT1 j").is("mk");
    c.cmd("KEYMETA.GET KMT2 j").nil();
    assert_eq!(
        log(&mut c),
        [
            "unlink j>- 0>-1 mj",
            "unlink j>- 0>-1 nj",
            "free j mj",
            "rename k>j 0>0 mk",
            "rename k>j 0>0 nk",
            "unlink k>- 0>-1 nk",
        ]
    );
    c.cmd("COPY j k").is(1);
    c.cmd("KEYMETA.GET KMT1 k").is("mk");
    assert_eq!(log(&mut c), ["copy j>k 0>0 mk"]);
    c.cmd("COPY j k DB 3 REPLACE").is(1);
    assert_eq!(log(&mut c), ["copy j>k 0>3 mk"]);
    c.cmd("KEYMETA.SET KMT2 j x").ok();
    c.cmd("MOVE j 5").is(1);
    assert_eq!(log(&mut c), ["move j>- 0>5 x", "unlink j>- 0>-1 x"]);
    c.cmd("SWAPDB 0 5").ok();
    c.cmd("KEYMETA.GET KMT1 j").is("mk");
    c.cmd("KEYMETA.GET KMT2 j").nil();
    c.cmd("FLUSHALL").ok();
    wait_for("the flush", || c.cmd("KEYMETA.ACTIVE") == 0.into());
}

/// Every number of classes, each with its own flags, under each kind of value, with and without a deadline.
#[test]
fn seven_classes_follow_a_key_each_in_its_own_way() {
    let specs = [
        "KEEPONCOPY:KEEPONRENAME:KEEPONMOVE:RDBLOAD:RDBSAVE",
        "KEEPONCOPY:KEEPONRENAME:UNLINKFREE:RDBLOAD:RDBSAVE",
        "KEEPONCOPY:RDBLOAD:RDBSAVE",
        "RDBLOAD:RDBSAVE",
        "KEEPONRENAME:KEEPONMOVE:RDBLOAD:RDBSAVE",
        "KEEPONRENAME:RDBLOAD:RDBSAVE",
        "KEEPONMOVE:UNLINKFREE:RDBLOAD:RDBSAVE",
    ];
    let classes: Vec<String> = (1..)
        .zip(specs)
        .map(|(n, spec)| format!("KMT{n} 1 {spec}"))
        .collect();
    let Some((_server, mut c)) = started(&classes.join(" ")) else {
        return;
    };
    for count in 1..=7 {
        for (make, deadline) in [
            ("SET k 3", false),
            ("SET k value", true),
            ("HSET k f v g w", false),
            ("RPUSH k a b c", true),
        ] {
            for (operation, flag, to, db) in [
                ("COPY k j", "KEEPONCOPY", "j", 0),
                ("RENAME k j", "KEEPONRENAME", "j", 0),
                ("MOVE k 9", "KEEPONMOVE", "k", 9),
                ("DEBUG RELOAD", "RDBSAVE", "k", 0),
                ("DUMP", "RDBSAVE", "k", 0),
            ] {
                c.cmd(make);
                for n in 1..=count {
                    c.cmd(&format!("KEYMETA.SET KMT{n} k meta{n}")).ok();
                }
                if deadline {
                    c.cmd("EXPIRE k 10000").is(1);
                }
                if operation == "DUMP" {
                    let payload = c.cmd("DUMP k");
                    c.cmd("DEL k").is(1);
                    c.call(&[b"RESTORE", &b"k"[..], b"10000000", payload.bytes()])
                        .ok();
                } else {
                    c.cmd(operation);
                }
                c.cmd(&format!("SELECT {db}")).ok();
                for (n, spec) in (1..=count).zip(specs) {
                    let got = c.cmd(&format!("KEYMETA.GET KMT{n} {to}"));
                    match spec.contains(flag) {
                        true => assert_eq!(got.text(), format!("meta{n}"), "{operation}"),
                        false => drop(got.nil()),
                    }
                }
                if deadline {
                    crate::support::has_to_live(&mut c, to, 10000);
                }
                c.cmd("SELECT 0").ok();
                c.cmd("FLUSHALL").ok();
                wait_for("the flush", || c.cmd("KEYMETA.ACTIVE") == 0.into());
            }
        }
    }
}

/// The payload of Redis 8.6.2 for the same key: read, and written to the bit but for the version and the checksum.
#[test]
fn a_payload_carries_metadata_as_redis_8_6_writes_it() {
    let Some((_server, mut c)) =
        started(&format!("KMT1 1 {ALL} KMT2 2 ALLOWIGNORE:RDBLOAD:RDBSAVE"))
    else {
        return;
    };
    c.cmd("SET k v").ok();
    c.cmd("KEYMETA.SET KMT1 k mk").ok();
    c.cmd("KEYMETA.SET KMT2 k mk2").ok();
    let ours = c.cmd("DUMP k");
    let ours = ours.bytes().to_vec();
    let theirs = b"\xf3\x02\x09\xf5\xc4\x28\x05\x02mk\x02\x07\x00\x11\xf6\xc4\x28\x05\x03mk2\x02\x07\x00\x00\x01v";
    assert_eq!(&ours[..ours.len() - 10], theirs);
    c.call(&[&b"RESTORE"[..], b"j", b"0", &ours]).ok();
    c.cmd("KEYMETA.GET KMT1 j").is("mk");
    // The class learns the version that the payload has.
    c.cmd("KEYMETA.GET KMT2 j").is("mk2@2");
    // Each byte damaged in turn, the checksum made right: refused, or another value, and nothing leaks.
    c.cmd("DEL k j").is(2);
    for at in 0..ours.len() - 10 {
        for by in [1, 0x55, 0x80] {
            let mut damaged = ours[..ours.len() - 8].to_vec();
            damaged[at] ^= by;
            let sum = oxidis::util::crc64::crc64(0, &damaged);
            damaged.extend_from_slice(&sum.to_le_bytes());
            c.call(&[&b"RESTORE"[..], b"d", b"0", &damaged, b"REPLACE"]);
        }
    }
    c.cmd("DEL d");
    c.cmd("KEYMETA.ACTIVE").is(0);
}

/// Metadata of a class that is missing, or does not load, is left out if the class said so, and refused otherwise.
#[test]
fn metadata_without_its_class_is_left_out_or_refused() {
    let Some((_server, mut c)) = started("") else {
        return;
    };
    c.cmd("DEBUG ENABLE-KEYMETA-RUNTIME-REGISTRATION 1").ok();
    for saves in [false, true] {
        for loads in [false, true] {
            for ignore in [false, true] {
                let flag = |on: bool, name| if on { name } else { "" };
                let flags = [
                    flag(saves, "RDBSAVE"),
                    flag(loads, "RDBLOAD"),
                    flag(ignore, "ALLOWIGNORE"),
                ];
                c.cmd(&format!("KEYMETA.REGISTER KMT1 1 {}:", flags.join(":")))
                    .is(1);
                c.cmd("SET k v").ok();
                c.cmd("KEYMETA.SET KMT1 k m").ok();
                let payload = c.cmd("DUMP k");
                let restored = c.call(&[b"RESTORE", &b"j"[..], b"0", payload.bytes()]);
                let reloaded = c.cmd("DEBUG RELOAD");
                if saves && !loads && !ignore {
                    restored.error("ERR Bad data format");
                    reloaded.error("ERR Error trying to load the RDB dump");
                } else {
                    restored.ok();
                    reloaded.ok();
                    for key in ["k", "j"] {
                        let got = c.cmd(&format!("KEYMETA.GET KMT1 {key}"));
                        match saves && loads {
                            true => assert_eq!(got.text(), "m"),
                            false => drop(got.nil()),
                        }
                    }
                }
                c.cmd("FLUSHALL").ok();
                wait_for("the flush", || c.cmd("KEYMETA.ACTIVE") == 0.into());
                c.cmd("KEYMETA.UNREGISTER KMT1").ok();
            }
        }
    }
    // A class that refuses what it reads, one that drops it, one that reads half of it, one that writes nothing.
    for (flags, works) in [
        ("RDBSAVE:RDBFAIL", false),
        ("RDBSAVE:RDBDROP", true),
        ("RDBSAVE:RDBSHORT", false),
        ("RDBEMPTY:RDBFAIL", true),
    ] {
        c.cmd(&format!("KEYMETA.REGISTER KMT1 1 {flags}")).is(1);
        c.cmd("SET k v").ok();
        c.cmd("KEYMETA.SET KMT1 k m").ok();
        let payload = c.cmd("DUMP k");
        let restored = c.call(&[b"RESTORE", &b"j"[..], b"0", payload.bytes()]);
        match works {
            true => {
                restored.ok();
                c.cmd("KEYMETA.GET KMT1 j").nil();
            }
            false => drop(restored.error("ERR Bad data format")),
        }
        c.cmd("DEL k j");
        c.cmd("KEYMETA.ACTIVE").is(0);
        c.cmd("KEYMETA.UNREGISTER KMT1").ok();
    }
}

#[test]
fn a_server_without_the_module_loads_the_file_if_the_class_allows_it() {
    let Some((one, mut c)) = started("KMT1 1 ALLOWIGNORE:RDBSAVE KMT2 1 RDBSAVE") else {
        return;
    };
    c.cmd("SET k v").ok();
    c.cmd("KEYMETA.SET KMT1 k m").ok();
    c.cmd("SAVE").ok();
    let preload = format!("preload-file rdb:{}", one.dir().join("dump.rdb").display());
    let two = server(&[], &preload).expect("built before").start();
    two.client().cmd("GET k").is("v");
    assert!(two.log().contains("Skipping metadata for class 'KMT1'"));
    // The tool walks over it.
    let checked = std::process::Command::new(env!("CARGO_BIN_EXE_oxidis-check-rdb"))
        .arg(one.dir().join("dump.rdb"))
        .output()
        .expect("the tool runs");
    assert!(checked.status.success());
    c.cmd("KEYMETA.SET KMT2 k m").ok();
    let payload = c.cmd("DUMP k");
    two.client()
        .call(&[b"RESTORE", &b"j"[..], b"0", payload.bytes()])
        .error("ERR Bad data format");
    assert!(
        two.log()
            .contains("Class 'KMT2' not registered or missing rdb_load()")
    );
}

/// Classes are found by their names: a server that made them in another order reads them right.
#[test]
fn metadata_outlives_restarts_and_goes_to_replicas() {
    let (one, other) = (
        format!("CLS1 1 {ALL} CLS2 1 {ALL} CLS3 1 {ALL}"),
        format!("CLS3 1 {ALL} CLS1 1 {ALL} CLS2 1 {ALL}"),
    );
    for (appendonly, preamble) in [("no", "yes"), ("yes", "yes"), ("yes", "no")] {
        let Some(builder) = with_classes(&one, "repl-diskless-sync-delay 0") else {
            return;
        };
        let args = [
            "--appendonly",
            appendonly,
            "--aof-use-rdb-preamble",
            preamble,
        ];
        let mut server = builder.args(args).start();
        let mut c = server.client();
        for key in ["k", "h"] {
            c.cmd(if key == "k" { "SET k v" } else { "HSET h f v" });
            for n in 1..=3 {
                c.cmd(&format!("KEYMETA.SET CLS{n} {key} meta{n}")).ok();
            }
            c.cmd(&format!("EXPIRE {key} 1000")).is(1);
        }
        if appendonly == "yes" {
            assert!(c.cmd("BGREWRITEAOF").text().contains("started"));
            wait_for("the rewrite", || {
                let info = c.cmd("INFO persistence").text();
                info.contains("aof_rewrite_in_progress:0")
                    && !info.contains("aof_last_rewrite_time_sec:-1")
            });
        } else {
            c.cmd("SAVE").ok();
        }
        server.restart();
        let mut c = server.client();
        let replica = with_classes(&other, "").expect("built before").start();
        let mut r = replica.client();
        r.cmd(&format!("REPLICAOF 127.0.0.1 {}", server.port()))
            .ok();
        wait_for("the data set", || r.cmd("GET k") == "v".into());
        for client in [&mut c, &mut r] {
            for key in ["k", "h"] {
                for n in 1..=3 {
                    let got = client.cmd(&format!("KEYMETA.GET CLS{n} {key}"));
                    assert_eq!(got.text(), format!("meta{n}"));
                }
                crate::support::has_to_live(client, key, 1000);
            }
        }
    }
}

/// A save that takes long, because each key is delayed, while metadata is changed, and goes with its keys: the file has it as
/// it was when the save began, and at the end nothing has leaked.
#[test]
fn metadata_changed_during_a_save_comes_out_as_of_its_beginning() {
    const KEYS: usize = 300;
    let mut random = Random::new(Random::seed_from_env("OXIDIS_MODULES_SEED"));
    for unlink in ["TELL", "UNLINKFREE"] {
        let flags = format!("KEEPONCOPY:RDBLOAD:RDBSAVE:{unlink}");
        let classes = format!("KMT1 1 {flags} KMT2 1 KEEPONRENAME:{flags}");
        let Some((one, mut c)) = started(&classes) else {
            return;
        };
        for key in 0..KEYS {
            c.cmd(&format!("SET k:{key} v")).ok();
            for class in ["KMT1", "KMT2"] {
                c.cmd(&format!("KEYMETA.SET {class} k:{key} {class}:{key}"))
                    .ok();
            }
        }
        while_saving(&mut c, |c, changes| {
            let key = random.below(KEYS);
            match random.below(7) {
                0 => drop(c.cmd(&format!("DEL k:{key}"))),
                1 => drop(c.cmd(&format!("SET k:{key} x"))),
                2 => drop(c.cmd(&format!("RENAME k:{key} gone:{key}"))),
                3 => drop(c.cmd(&format!("COPY k:{key} copy:{key} REPLACE"))),
                4 => drop(c.cmd(&format!("MOVE k:{key} 3"))),
                5 if changes > 150 => drop(c.cmd("FLUSHDB ASYNC")),
                _ => drop(c.cmd(&format!("KEYMETA.SET KMT1 k:{key} changed"))),
            }
        });
        c.cmd("FLUSHALL").ok();
        wait_for("the flush", || c.cmd("KEYMETA.ACTIVE") == 0.into());
        let preload = format!("preload-file rdb:{}", one.dir().join("dump.rdb").display());
        let two = with_classes(&classes, &preload)
            .expect("built before")
            .start();
        let mut c = two.client();
        c.cmd("DBSIZE").is(KEYS as i64);
        for key in 0..KEYS {
            for class in ["KMT1", "KMT2"] {
                c.cmd(&format!("KEYMETA.GET {class} k:{key}"))
                    .is(format!("{class}:{key}").as_str());
            }
        }
    }
}

fn usage(c: &mut Client) -> i64 {
    match c.cmd("MEMORY USAGE k") {
        Reply::Integer(bytes) => bytes,
        other => panic!("no number: {other}"),
    }
}

#[test]
fn memory_usage_counts_metadata() {
    let Some((_server, mut c)) = started("KMT1 1 USAGE KMT2 1 -") else {
        return;
    };
    c.cmd("SET k v").ok();
    let plain = usage(&mut c);
    c.cmd("KEYMETA.SET KMT2 k m").ok();
    let with = usage(&mut c);
    assert!(with > plain, "{with} {plain}");
    c.cmd("KEYMETA.SET KMT1 k m").ok();
    assert!(usage(&mut c) > 1_000_000);
}

/// Redis leaves the numbers of a module that goes at their keys, and ends when such a key goes.
#[test]
fn an_unloaded_module_takes_its_metadata_along() {
    let Some((server, mut c)) = started(&format!("KMT1 1 {ALL}")) else {
        return;
    };
    c.cmd("SET k v").ok();
    c.cmd("KEYMETA.SET KMT1 k m").ok();
    c.cmd("MODULE UNLOAD keymeta").ok();
    c.cmd("RENAME k j").ok();
    c.cmd("DUMP j").bytes();
    c.cmd("DEL j").is(1);
    let module = built().expect("built before").join("keymeta.so");
    c.cmd("SET k v").ok();
    c.cmd(&format!("MODULE LOAD {} KMT1 1 {ALL}", module.display()))
        .ok();
    c.cmd("KEYMETA.GET KMT1 k").nil();
    c.cmd("KEYMETA.SET KMT1 k m").ok();
    c.cmd("KEYMETA.GET KMT1 k").is("m");
    assert!(!server.log().contains("crashed"));
}

#[test]
fn migrate_carries_metadata() {
    let Some((one, mut c)) = started(&format!("KMT1 1 {ALL}")) else {
        return;
    };
    let Some((two, mut d)) = started(&format!("KMT1 1 {ALL}")) else {
        return;
    };
    let _ = &one;
    c.cmd("SET k v").ok();
    c.cmd("KEYMETA.SET KMT1 k m").ok();
    c.cmd(&format!("MIGRATE 127.0.0.1 {} k 0 5000", two.port()))
        .ok();
    d.cmd("KEYMETA.GET KMT1 k").is("m");
    c.cmd("KEYMETA.ACTIVE").is(0);
}

/// A file that is loaded over keys replaces them, and what modules attached to them.
#[test]
fn a_key_that_a_file_replaces_loses_its_metadata() {
    let Some((_server, mut c)) = started("KMT1 1 TELL KMT2 1 RDBSAVE:RDBLOAD") else {
        return;
    };
    c.cmd("SET k v").ok();
    c.cmd("KEYMETA.SET KMT1 k lost").ok();
    c.cmd("KEYMETA.SET KMT2 k saved").ok();
    c.cmd("DEBUG RELOAD NOFLUSH MERGE").ok();
    c.cmd("KEYMETA.GET KMT1 k").nil();
    c.cmd("KEYMETA.GET KMT2 k").is("saved");
    assert_eq!(
        log(&mut c),
        ["unlink k>- 0>-1 lost", "free k lost", "free k saved"]
    );
    c.cmd("KEYMETA.ACTIVE").is(1);
}
