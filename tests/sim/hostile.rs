//! Bytes with changes at random, where they come from others: messages of the cluster bus, nodes.conf, and all that a
//! sentinel reads. Each is refused, or taken and then stood. The fuzz targets of the same names do this for as long as
//! one likes; both share the bodies in `fuzz/bodies`.
//!
//! The inputs that are changed are real ones: messages and files of a simulated cluster that fails over.
//!
//! - `OXIDIS_SIM_SEED`, `OXIDIS_SIM_SEEDS`: as everywhere here; a seed changes 200 inputs of each kind
//! - `OXIDIS_CORPUS=dir`: the inputs are written there first, for a fuzzer to begin with

use std::path::Path;

use oxidis::cluster::machine::{Command, FailoverKind, Input};
use oxidis::util::rng::Rng;

use crate::cluster::story::Plan;
use crate::cluster::world::World;
use crate::seeds;

#[path = "../../fuzz/bodies/bus.rs"]
mod bus;
#[path = "../../fuzz/bodies/nodes_conf.rs"]
mod nodes_conf;
#[path = "../../fuzz/bodies/sentinel.rs"]
mod sentinel;

/// Inputs that a seed changes.
const CHANGED: usize = 200;

/// The messages and files of a cluster that starts, fails over twice, and publishes.
fn cluster() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut world = World::new(1);
    world.sent = Some(Default::default());
    world.build(&Plan {
        primaries: 3,
        replicas: 3,
        timeout_ms: 1000,
    });
    for shard in [false, true] {
        let (channel, text) = (b"channel".as_slice(), b"text".as_slice());
        world.tell(
            0,
            Input::Publish {
                shard,
                channel,
                text,
            },
        );
    }
    world.tell(
        0,
        Input::Module {
            to: None,
            module: *b"a module",
            kind: 1,
            payload: b"content",
        },
    );
    world
        .order(4, Command::Failover(FailoverKind::Agreed))
        .expect("a replica");
    world.run(3000);
    world.crash(0, false, false);
    world.run(10_000);
    // It comes back with claims that are out of date.
    world.start(0);
    world.run(3000);
    let files = world.hosts.iter().filter_map(|host| host.disk.file.clone());
    let files = files.map(String::into_bytes).collect();
    let sent = world.sent.take().unwrap_or_default();
    (sent.values().map(|bytes| bytes.to_vec()).collect(), files)
}

/// What a sentinel reads, each after the byte that says of which kind it is.
fn of_a_sentinel() -> Vec<Vec<u8>> {
    let id = "b".repeat(40);
    let lines = format!(
        "monitor m 10.0.0.1 6379 2\nmyid {id}\nauth-pass m \"a b\"\nconfig-epoch m 7\nleader-epoch m 7\n\
         current-epoch 7\nknown-replica m 10.0.0.2 6380\nknown-sentinel m 10.0.0.3 26379 {id}\n\
         rename-command m CONFIG X\nresolve-hostnames yes\nannounce-port 5000\nnotification-script m /bin/true"
    );
    let report = format!(
        "# Server\r\nrun_id:{id}\r\n# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n\
         master_link_status:down\r\nmaster_link_down_since_seconds:12\r\nslave_repl_offset:99\r\nslave_priority:100\r\n\
         replica_announced:1\r\nconnected_slaves:1\r\nslave0:ip=10.0.0.2,port=6380,state=online,offset=99,lag=0\r\n"
    );
    let reply = "*3\r\n$7\r\nmessage\r\n%1\r\n+a\r\n:-1\r\n~2\r\n,1.5\r\n_\r\n-ERR no\r\n";
    vec![
        format!("\0{},26379,{id},7,m,10.0.0.1,6379,7", "10.0.0.5").into_bytes(),
        format!("\u{1}{report}").into_bytes(),
        format!("\u{2}{reply}").into_bytes(),
        format!("\u{3}{lines}").into_bytes(),
    ]
}

/// Changes some bytes, or adds, removes and repeats some.
fn change(input: &mut Vec<u8>, fixed: usize, rng: &mut Rng) {
    const WORTH_TRYING: [u8; 10] = [0, 1, 0x7f, 0x80, 0xff, b' ', b'\n', b',', b'0', b'-'];
    for _ in 0..1 + rng.below(4) {
        if input.len() <= fixed {
            return;
        }
        let mut below = |n: usize| rng.below(n as u64) as usize;
        let at = fixed + below(input.len() - fixed);
        match below(8) {
            0 => input[at] ^= 1 << below(8),
            1 => input[at] = below(256) as u8,
            2 => input[at] = WORTH_TRYING[below(WORTH_TRYING.len())],
            3 => input[at] = input[at].wrapping_add(1),
            4 => input.truncate(at),
            5 => drop(input.remove(at)),
            6 => input.insert(at, WORTH_TRYING[below(WORTH_TRYING.len())]),
            _ => {
                let end = at + below(input.len() - at).min(64);
                input.extend_from_within(at..end);
            }
        }
    }
}

/// Tries what a seed makes of the inputs, of which the first `fixed` bytes stay.
fn try_changed(name: &str, inputs: &[Vec<u8>], fixed: usize, stands: fn(&[u8])) {
    if let Some(dir) = std::env::var_os("OXIDIS_CORPUS") {
        let dir = Path::new(&dir).join(name);
        std::fs::create_dir_all(&dir).expect("a directory");
        for (i, input) in inputs.iter().enumerate() {
            std::fs::write(dir.join(format!("{i}")), input).expect("a file");
        }
    }
    inputs.iter().for_each(|input| stands(input));
    for seed in seeds(8) {
        let mut rng = Rng::new(seed);
        for _ in 0..CHANGED {
            let mut input = inputs[rng.below(inputs.len() as u64) as usize].clone();
            change(&mut input, fixed, &mut rng);
            let tried = std::panic::catch_unwind(|| stands(&input));
            assert!(tried.is_ok(), "seed {seed}: {}", input.escape_ascii());
        }
    }
}

#[test]
fn messages_of_the_bus_are_refused_or_stood() {
    let (messages, _) = cluster();
    let kinds: Vec<u8> = messages.iter().map(|bytes| bytes[13]).collect();
    for kind in 0..=10 {
        assert!(kinds.contains(&kind), "{kind} of {kinds:?}");
    }
    // A wrong frame goes no further: the length stays what it was, or follows.
    try_changed("bus", &messages, 8, |bytes| {
        let mut bytes = bytes.to_vec();
        if let Ok(length) = u32::try_from(bytes.len()).map(u32::to_be_bytes)
            && bytes.len() > 8
        {
            bytes[4..8].copy_from_slice(&length);
        }
        bus::stands(&bytes);
    });
}

#[test]
fn files_of_nodes_are_refused_or_stood() {
    let (_, files) = cluster();
    assert!(files.iter().all(|file| nodes_conf::stands(file)));
    try_changed("nodes_conf", &files, 0, |bytes| {
        nodes_conf::stands(bytes);
    });
}

#[test]
fn bytes_for_a_sentinel_are_refused_or_stood() {
    try_changed("sentinel", &of_a_sentinel(), 1, sentinel::stands);
}
