//! Compiled modules: small ones of our own (`tests/modules/*.c`), built when the tests run.
//!
//! Without a C compiler, or with a server that is built without the interface (`--no-default-features`), these tests say
//! so and pass.

mod cluster;
mod keymeta;
mod newer;
mod snapshots;
mod stress;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::Server;
use crate::support::server::Builder;

/// The folder of the modules built from `tests/modules`; `None`, and a line that says why, if they cannot be built.
pub fn built() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if cfg!(not(feature = "c-modules")) {
            eprintln!("skipped: built without the interface for compiled modules");
            return None;
        }
        let to =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("modules-{}", std::process::id()));
        std::fs::create_dir_all(&to).expect("a folder for the modules");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        for name in [
            "counter",
            "keymeta",
            "messenger",
            "newer",
            "plain",
            "stress",
        ] {
            let source = format!("{}/tests/modules/{name}.c", env!("CARGO_MANIFEST_DIR"));
            let compiled = Command::new(&compiler)
                .args(["-O1", "-shared", "-fPIC", "-pthread", "-o"])
                .arg(to.join(format!("{name}.so")))
                .arg(source)
                .output();
            match compiled {
                Err(error) => {
                    eprintln!("skipped: no C compiler ({}): {error}", compiler.display());
                    return None;
                }
                Ok(output) => {
                    let words = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(
                        output.status.success(),
                        "{name}.c does not compile: {words}"
                    );
                }
            }
        }
        Some(to)
    });
    built.as_deref()
}

/// A server with some of the modules loaded at its start.
fn server(names: &[&str], lines: &str) -> Option<Builder> {
    let folder = built()?;
    let mut config = format!("enable-module-command yes\nenable-debug-command yes\n{lines}\n");
    for name in names {
        config.push_str(&format!("loadmodule {}/{name}.so\n", folder.display()));
    }
    Some(Server::oxidis().config(&config))
}

#[test]
fn a_module_comes_and_goes_while_the_server_runs() {
    let Some(builder) = server(&[], "") else {
        return;
    };
    let server = builder.start();
    let mut c = server.client();
    let plain = built().expect("built above").join("plain.so");
    let plain = plain.display();
    c.cmd("PLAIN.ECHO 5")
        .error("ERR unknown command 'PLAIN.ECHO'");
    c.cmd(&format!("MODULE LOAD {plain}")).ok();
    c.cmd("PLAIN.ECHO 5").is(5);
    c.cmd("PLAIN.ECHO")
        .error("ERR wrong number of arguments for 'plain.echo' command");
    c.cmd(&format!("MODULE LOAD {plain}"))
        .error("ERR Error loading the extension");
    let own = c.cmd("COMMAND LIST FILTERBY MODULE plain");
    assert_eq!(own.items().len(), 1);
    assert_eq!(own.items()[0].text(), "plain.echo");
    c.cmd("MODULE UNLOAD plain").ok();
    c.cmd("PLAIN.ECHO 5")
        .error("ERR unknown command 'PLAIN.ECHO'");
    c.cmd("MODULE UNLOAD plain")
        .error("ERR Error unloading module: no such module with that name");
    // It fails at the last moment, after it registered a command.
    c.cmd(&format!("MODULE LOAD {plain} fail"))
        .error("ERR Error loading the extension");
    c.cmd("PLAIN.ECHO 5")
        .error("ERR unknown command 'PLAIN.ECHO'");
    c.cmd(&format!("MODULE LOAD {plain}")).ok();
    c.cmd("PLAIN.ECHO 6").is(6);
}

/// A module with data types, loaded with an option that it does not have, stayed although the load was refused.
#[test]
fn a_module_that_cannot_stay_goes_with_its_data_types() {
    let Some(builder) = server(&[], "") else {
        return;
    };
    let server = builder.start();
    let mut c = server.client();
    let counter = built().expect("built above").join("counter.so");
    let counter = counter.display();
    c.cmd(&format!("MODULE LOADEX {counter} CONFIG nosuch.option 1"))
        .error("ERR Error loading the extension");
    assert!(c.cmd("MODULE LIST").items().is_empty());
    c.cmd("COUNTER.INCR n").error("ERR unknown command");
    c.cmd(&format!("MODULE LOAD {counter}")).ok();
    c.cmd("COUNTER.INCR n").is(1);
    c.cmd("MODULE UNLOAD counter")
        .error("ERR Error unloading module: the module exports one or more module-side data types");
}

#[test]
fn a_modules_command_is_judged_described_and_counted_as_any_other() {
    let Some(builder) = server(&["counter"], "") else {
        return;
    };
    let server = builder.start();
    let mut c = server.client();
    c.cmd("COUNTER.INCR n").is(1);
    c.cmd("COUNTER.INCR n").is(2);
    c.cmd("TYPE n").status("counter-1");
    c.cmd("SET s x").ok();
    c.cmd("COUNTER.INCR s").error("WRONGTYPE");
    c.cmd("GET n").error("WRONGTYPE");
    assert_eq!(
        c.cmd("COMMAND GETKEYS COUNTER.INCR n").items()[0].text(),
        "n"
    );
    let stats = c.cmd("INFO commandstats").text();
    assert!(stats.contains("cmdstat_counter.incr:calls=3,"), "{stats}");
    c.cmd("ACL SETUSER bob on >pw ~a* +counter.incr").ok();
    c.cmd("AUTH bob pw").ok();
    c.cmd("COUNTER.INCR a").is(1);
    c.cmd("COUNTER.INCR n").error("NOPERM");
    c.cmd("COUNTER.GET a").error("NOPERM");
}

#[test]
fn a_modules_value_outlives_restarts_by_every_file() {
    for (appendonly, preamble) in [("no", "yes"), ("yes", "yes"), ("yes", "no")] {
        let Some(builder) = server(&["counter"], "") else {
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
        for _ in 0..3 {
            c.cmd("COUNTER.INCR n");
        }
        c.cmd("EXPIRE n 1000").is(1);
        match appendonly {
            "no" => drop(c.cmd("SAVE").ok()),
            // The base is written anew: with the value's bytes, or with the command that `aof_rewrite` emits.
            _ => {
                assert!(c.cmd("BGREWRITEAOF").text().contains("started"));
                crate::support::fleet::wait_for("the rewrite", || {
                    let info = c.cmd("INFO persistence").text();
                    info.contains("aof_rewrite_in_progress:0")
                        && !info.contains("aof_last_rewrite_time_sec:-1")
                });
            }
        }
        c.cmd("COUNTER.INCR n").is(4);
        if appendonly == "no" {
            c.cmd("SAVE").ok();
        }
        server.restart();
        let mut c = server.client();
        c.cmd("COUNTER.GET n").is(4);
        crate::support::has_to_live(&mut c, "n", 1000);
        c.cmd("COUNTER.INCR n").is(5);
    }
}

#[test]
fn a_replica_gets_a_modules_values_and_commands() {
    let Some(builder) = server(&["counter"], "") else {
        return;
    };
    let primary = builder.start();
    let mut c = primary.client();
    c.cmd("COUNTER.SET n 41").is(41);
    let Some(builder) = server(&["counter"], "") else {
        return;
    };
    let replica = builder.start();
    let mut r = replica.client();
    r.cmd(&format!("REPLICAOF 127.0.0.1 {}", primary.port()))
        .ok();
    crate::support::fleet::wait_for("the data set", || r.cmd("COUNTER.GET n") == 41.into());
    c.cmd("COUNTER.INCR n").is(42);
    c.cmd("COUNTER.CALL m").is(1);
    c.cmd("WAIT 1 0").is(1);
    r.cmd("COUNTER.GET n").is(42);
    r.cmd("GET m").is("1");
}

#[test]
fn a_payload_of_a_modules_type_can_be_restored_and_a_damaged_one_is_refused() {
    let Some(builder) = server(&["counter"], "") else {
        return;
    };
    let server = builder.start();
    let mut c = server.client();
    c.cmd("COUNTER.SET n 7").is(7);
    let payload = c.cmd("DUMP n");
    let payload = payload.bytes().to_vec();
    c.call(&[&b"RESTORE"[..], b"m", b"0", &payload]).ok();
    c.cmd("COUNTER.GET m").is(7);
    // Each byte but the last two of the version and eight of the checksum is damaged in turn; the checksum is made right.
    for at in 1..payload.len() - 10 {
        let mut damaged = payload[..payload.len() - 8].to_vec();
        damaged[at] ^= 0x55;
        let sum = oxidis::util::crc64::crc64(0, &damaged);
        damaged.extend_from_slice(&sum.to_le_bytes());
        // Refused, or another value: the server goes on in any case.
        c.call(&[&b"RESTORE"[..], b"d", b"0", &damaged, b"REPLACE"]);
    }
    c.cmd("PING").status("PONG");
}
