//! Disks that fail and power that goes: whatever call fails, and whenever the power is cut, the server starts again, has
//! what it promised, nothing twice, and nothing in another database.
//!
//! - `OXIDIS_SIM_SEEDS`: how many seeds (default: 1000, or 100 in a build without optimisation, which takes as long)
//! - `OXIDIS_SIM_SEED`: one seed, to look at it

use oxidis::sys::files::{Call, Choices, Failure, Fault};
use oxidis::util::rng::Rng;

use crate::machine::{Machine, Options, formatted};
use crate::seeds;

const SEEDS: u64 = if cfg!(debug_assertions) { 100 } else { 1000 };
const POLICIES: [&str; 3] = ["always", "everysec", "no"];
const FAILURES: [Failure; 4] = [
    Failure::Broken,
    Failure::Full,
    Failure::Short,
    Failure::Interrupted,
];

fn options(rng: &mut Rng) -> Options {
    Options {
        appendonly: rng.below(5) > 0,
        fsync: POLICIES[rng.below(3) as usize],
        preamble: rng.below(2) == 0,
        auto_gc: rng.below(4) > 0,
        timestamps: rng.below(4) == 0,
    }
}

/// Something that a server, its clients or its operator do.
fn step(machine: &mut Machine, rng: &mut Rng) {
    match rng.below(40) {
        0..=17 => machine.change(rng),
        18..=20 => machine.pass(100 * (1 + rng.below(12))),
        21..=23 => machine.cron(),
        24..=28 => {
            machine.help(rng);
        }
        29..=31 => {
            machine.cmd("BGREWRITEAOF");
        }
        32 => {
            machine.cmd("BGSAVE");
        }
        33 => machine.save(),
        34 => {
            machine.cmd("CONFIG SET appendonly yes");
        }
        35 if rng.below(3) == 0 => {
            machine.cmd("CONFIG SET appendonly no");
        }
        35 => machine.rewrite_config(),
        36 => machine.save_users(),
        37 => {
            machine.cmd(["BACKUP START", "BACKUP SEAL", "BACKUP CLEANUP"][rng.below(3) as usize]);
        }
        38 => machine.disk.heal(),
        _ => {
            let call = (rng.below(4) > 0).then(|| Call::ALL[rng.below(12) as usize]);
            machine.disk.set_fault(Fault {
                call,
                nth: 1 + rng.below(6),
                failure: FAILURES[rng.below(4) as usize],
                lasts: rng.below(3) == 0,
            });
        }
    }
}

/// A life of a server after another, on one disk.
fn live(seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let options = options(&mut rng);
    let mut machine = Machine::start(formatted(), &options, 0)?;
    for _ in 0..3 {
        let steps = 10 + rng.below(60);
        for _ in 0..steps {
            step(&mut machine, &mut rng);
            if rng.below(2) == 0 && !machine.turn() {
                break;
            }
        }
        if rng.below(4) == 0 {
            oxidis::persistence::act::saving::end_persistence(&mut machine.state);
        }
        let killed = rng.below(3) == 0;
        let disk = match killed {
            true => machine.disk.after_kill(),
            false => {
                let cut = |seed| {
                    let disk = machine.disk.after_power_cut(&mut Choices::seeded(seed));
                    machine.reborn(disk, false)
                };
                // The same moment may leave many disks.
                for _ in 0..3 {
                    cut(rng.next_u64())?;
                }
                machine
                    .disk
                    .after_power_cut(&mut Choices::seeded(rng.next_u64()))
            }
        };
        machine = machine.reborn(disk, killed)?;
    }
    Ok(())
}

#[test]
fn servers_of_many_seeds_keep_what_they_promised() {
    for seed in seeds(SEEDS) {
        live(seed).unwrap_or_else(|what| panic!("OXIDIS_SIM_SEED={seed}: {what}"));
    }
}

/// A short life with every step in it; `look` is called after each.
fn whole_life(machine: &mut Machine, mut look: impl FnMut(&mut Machine) -> bool) {
    let mut rng = Rng::new(1);
    let steps: &[&str] = &[
        "INCR n",
        "SELECT 1",
        "INCR n",
        "BGREWRITEAOF",
        "APPEND s x",
        "help",
        "INCR n",
        "SAVE",
        "CONFIG REWRITE",
        "ACL SAVE",
        "BACKUP START",
        "INCR n",
        "help",
        "INCR n",
        "BACKUP SEAL",
        "help",
        "INCR n",
        "BACKUP CLEANUP",
        "CONFIG SET appendonly no",
        "INCR n",
        "BGREWRITEAOF",
        "help",
        "CONFIG SET appendonly yes",
        "INCR n",
        "help",
        "INCR n",
        "SHUTDOWN",
    ];
    for line in steps {
        match *line {
            "help" => machine.settle(&mut rng),
            "SAVE" => machine.save(),
            "CONFIG REWRITE" => machine.rewrite_config(),
            "ACL SAVE" => machine.save_users(),
            "SHUTDOWN" => oxidis::persistence::act::saving::end_persistence(&mut machine.state),
            line => {
                machine.cmd(line);
            }
        }
        machine.pass(1001);
        let goes_on = machine.turn();
        machine.cron();
        if !look(machine) || !goes_on {
            return;
        }
    }
}

fn every_policy() -> impl Iterator<Item = Options> {
    POLICIES.into_iter().map(|fsync| Options {
        appendonly: true,
        fsync,
        preamble: true,
        auto_gc: true,
        timestamps: false,
    })
}

/// How many calls a whole life makes.
fn calls_of_a_life(options: &Options) -> u64 {
    let mut machine = Machine::start(formatted(), options, 0).expect("a disk that works");
    let before = machine.disk.calls();
    whole_life(&mut machine, |_| true);
    machine.disk.calls() - before
}

const HOW: [(Failure, bool); 6] = [
    (Failure::Broken, false),
    (Failure::Broken, true),
    (Failure::Full, false),
    (Failure::Full, true),
    (Failure::Short, false),
    (Failure::Interrupted, false),
];

#[test]
fn every_call_may_fail_once_or_for_long() {
    for options in every_policy() {
        for nth in 1..=calls_of_a_life(&options) {
            for (failure, lasts) in HOW {
                // Without optimisation each is tried at every sixth call.
                let turn = nth as usize % HOW.len();
                if cfg!(debug_assertions) && HOW[turn] != (failure, lasts) {
                    continue;
                }
                let about = format!("{} call {nth} {failure:?} lasts {lasts}", options.fsync);
                let disk = formatted();
                let mut machine = Machine::start(disk, &options, 0).expect("a disk that works");
                machine.disk.set_fault(Fault {
                    call: None,
                    nth,
                    failure,
                    lasts,
                });
                let mut since = 0;
                whole_life(&mut machine, |machine| {
                    // For long, but not for ever.
                    since += u64::from(machine.disk.strikes() > 0);
                    if since == 3 {
                        machine.disk.heal();
                    }
                    true
                });
                if machine.disk.strikes() == 0 {
                    continue;
                }
                let killed = machine.disk.after_kill();
                machine
                    .reborn(killed, true)
                    .unwrap_or_else(|what| panic!("{about}, killed: {what}"));
                for seed in 0..2 {
                    let cut = machine.disk.after_power_cut(&mut Choices::seeded(seed));
                    machine
                        .reborn(cut, false)
                        .unwrap_or_else(|what| panic!("{about}, power cut {seed}: {what}"));
                }
            }
        }
    }
}

/// Disks looked at of one power cut: all there can be, if they are not more.
const IMAGES: usize = if cfg!(debug_assertions) { 6 } else { 100 };
/// The same where a test is about one power cut.
const MOST_IMAGES: usize = if cfg!(debug_assertions) { 200 } else { 10_000 };

#[test]
fn the_power_may_go_at_every_call() {
    for options in every_policy() {
        for nth in 1..=calls_of_a_life(&options) {
            let disk = formatted();
            let mut machine = Machine::start(disk, &options, 0).expect("a disk that works");
            machine.disk.set_fault(Fault {
                call: None,
                nth,
                failure: Failure::PowerCut,
                lasts: false,
            });
            whole_life(&mut machine, |machine| !machine.disk.is_dead());
            let about = format!("{} call {nth}", options.fsync);
            let mut choices = Choices::all();
            for image in 0..IMAGES {
                let cut = machine.disk.after_power_cut(&mut choices);
                machine
                    .reborn(cut, false)
                    .unwrap_or_else(|what| panic!("{about}, image {image}: {what}"));
                if !choices.advance() {
                    break;
                }
            }
            for seed in 0..3 {
                let cut = machine.disk.after_power_cut(&mut Choices::seeded(seed));
                machine
                    .reborn(cut, false)
                    .unwrap_or_else(|what| panic!("{about}, seed {seed}: {what}"));
            }
        }
    }
}

/// Every disk that a power cut now can leave, up to a bound, leads to what was promised.
fn cut_in_every_way(machine: &Machine, about: &str) -> usize {
    let mut choices = Choices::all();
    for image in 1..=MOST_IMAGES {
        let cut = machine.disk.after_power_cut(&mut choices);
        let reborn = machine.reborn(cut, false);
        reborn.unwrap_or_else(|what| panic!("{about}, image {image}: {what}"));
        if !choices.advance() {
            return image;
        }
    }
    MOST_IMAGES
}

fn plain(fsync: &'static str) -> Options {
    Options {
        appendonly: true,
        fsync,
        preamble: true,
        auto_gc: true,
        timestamps: false,
    }
}

fn turns(machine: &mut Machine, lines: &[&str]) {
    for line in lines {
        machine.cmd(line);
        assert!(machine.turn(), "{line}");
    }
}

/// The entry of the directory of the append-only file was never forced to disk: all could be gone.
#[test]
fn the_first_acknowledged_write_under_always_is_safe() {
    let mut machine = Machine::start(formatted(), &plain("always"), 0).expect("it starts");
    turns(&mut machine, &["INCR n", "INCR n"]);
    cut_in_every_way(&machine, "always");
}

/// The new increment could be on disk without the end of the one before: a gap in the middle, or no start.
#[test]
fn a_power_cut_at_the_switch_of_increments_leaves_a_prefix() {
    for fsync in ["everysec", "no"] {
        let mut machine = Machine::start(formatted(), &plain(fsync), 0).expect("it starts");
        let lines = [
            "INCR n",
            "APPEND s x",
            "BGREWRITEAOF",
            "INCR n",
            "APPEND s y",
        ];
        turns(&mut machine, &lines);
        let images = cut_in_every_way(&machine, fsync);
        assert!(images > 100, "{fsync}: {images}");
    }
}

/// The directory could not be forced to disk after the manifest was in its place: its base was deleted.
#[test]
fn a_base_that_a_manifest_may_name_is_not_deleted() {
    for nth in 1..=8 {
        let mut rng = Rng::new(nth);
        let mut machine = Machine::start(formatted(), &plain("everysec"), 0).expect("it starts");
        turns(&mut machine, &["INCR n", "BGREWRITEAOF", "INCR n"]);
        machine.disk.set_fault(Fault {
            call: Some(Call::SyncDir),
            nth,
            failure: Failure::Broken,
            lasts: false,
        });
        machine.settle(&mut rng);
        turns(&mut machine, &["INCR n", "APPEND s x"]);
        let killed = machine.reborn(machine.disk.after_kill(), true);
        killed.unwrap_or_else(|what| panic!("fsync {nth}: {what}"));
        cut_in_every_way(&machine, &format!("fsync {nth}"));
        // Once the disk is well, the next rewrite is as good as ever, and nothing old is left.
        machine.disk.heal();
        machine.pass(2000);
        machine.cron();
        turns(&mut machine, &["BGREWRITEAOF", "INCR n"]);
        machine.settle(&mut rng);
        machine.pass(2000);
        machine.cron();
        let files = machine.aof_files();
        assert_eq!(files.len(), 3, "fsync {nth}: {files:?}");
    }
}

/// A rewrite while the AOF is off began at number 1 again, though history had it: old data came back, or the increment
/// being written to was deleted.
#[test]
fn the_name_of_an_increment_is_used_once() {
    let mut rng = Rng::new(1);
    let keeping = Options {
        auto_gc: false,
        ..plain("always")
    };
    let mut machine = Machine::start(formatted(), &keeping, 0).expect("it starts");
    turns(
        &mut machine,
        &[
            "INCR n",
            "CONFIG SET appendonly no",
            "INCR n",
            "BGREWRITEAOF",
        ],
    );
    machine.settle(&mut rng);
    let mut machine = machine
        .reborn(machine.disk.after_kill(), true)
        .expect("it starts without the file");
    turns(
        &mut machine,
        &["INCR n", "CONFIG SET appendonly yes", "INCR n"],
    );
    machine.settle(&mut rng);
    turns(&mut machine, &["INCR n"]);
    let files = machine.aof_files();
    let increments = files.iter().filter(|name| name.ends_with(".incr.aof"));
    assert_eq!(increments.count(), 2, "{files:?}");
    // History files may be deleted now; files that are still written to may not.
    machine.cmd("CONFIG SET aof-disable-auto-gc no");
    turns(&mut machine, &["BGREWRITEAOF", "INCR n"]);
    machine.settle(&mut rng);
    turns(&mut machine, &["INCR n"]);
    machine
        .reborn(machine.disk.after_kill(), true)
        .expect("all is there");
    cut_in_every_way(&machine, "after the history went");
}
