//! Values that only a module understands, under a save in the background: the file has each as it was when the save began.

use super::server;
use crate::support::client::Client;
use crate::support::fleet::wait_for;
use crate::support::random::Random;

const KEYS: usize = 300;

/// Changes something again and again while a save in the background is under way, which takes half a millisecond for each
/// key. `change` is told how many changes there were before.
pub(super) fn while_saving(c: &mut Client, mut change: impl FnMut(&mut Client, usize)) {
    c.cmd("CONFIG SET rdb-key-save-delay 500").ok();
    assert!(c.cmd("BGSAVE").text().contains("started"));
    let mut changes = 0;
    while c
        .cmd("INFO persistence")
        .text()
        .contains("rdb_bgsave_in_progress:1")
    {
        change(c, changes);
        changes += 1;
    }
    assert!(
        changes > 10,
        "the save was over before anything changed: {changes}"
    );
    wait_for("the file", || {
        c.cmd("INFO persistence")
            .text()
            .contains("rdb_last_bgsave_status:ok")
    });
}

/// A save that takes long, because each key is delayed, while values are changed, deleted, replaced and added; the file
/// is then loaded by another server.
#[test]
fn values_changed_during_a_save_come_out_as_of_its_beginning() {
    let mut random = Random::new(Random::seed_from_env("OXIDIS_MODULES_SEED"));
    let Some(builder) = server(&["counter"], "save \"\"") else {
        return;
    };
    let server_one = builder.start();
    let mut c = server_one.client();
    let mut model = Vec::new();
    for key in 0..KEYS {
        let value = random.below(1000) as i64;
        c.cmd(&format!("COUNTER.SET c:{key} {value}")).is(value);
        model.push(value);
    }
    while_saving(&mut c, |c, _| {
        let key = random.below(KEYS);
        match random.below(6) {
            0 => drop(c.cmd(&format!("DEL c:{key}"))),
            1 => drop(c.cmd(&format!("SET c:{key} x"))),
            2 => drop(c.cmd(&format!("COUNTER.SET new:{key} 1"))),
            3 => drop(c.cmd(&format!("COPY c:{key} copy:{key} REPLACE"))),
            4 => drop(c.cmd(&format!("COUNTER.INCR c:{key}"))),
            _ => drop(c.cmd(&format!("COUNTER.SET c:{key} 5000"))),
        }
    });

    let file = server_one.dir().join("dump.rdb");
    let preload = format!("preload-file rdb:{}", file.display());
    let Some(builder) = server(&["counter"], &preload) else {
        return;
    };
    let server_two = builder.start();
    let mut c = server_two.client();
    c.cmd("DBSIZE").is(KEYS as i64);
    for (key, value) in model.iter().enumerate() {
        c.cmd(&format!("COUNTER.GET c:{key}")).is(*value);
    }
}
