//! The random stories, and what a cluster does on an ordinary bad day.

use oxidis::cluster::machine::{Command, FailoverKind, SlotOrder};

use super::story::{self, Plan};
use super::world::World;
use crate::seeds;

#[test]
fn random_stories_end_well() {
    let seeds = seeds(if cfg!(debug_assertions) { 60 } else { 300 });
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let mine = seeds
                    .iter()
                    .copied()
                    .filter(|seed| seed % threads == worker);
                let mine: Vec<u64> = mine.collect();
                let fails = |seed: &u64| std::panic::catch_unwind(|| story::random(*seed)).is_err();
                scope.spawn(move || mine.into_iter().filter(fails).collect::<Vec<u64>>())
            })
            .collect();
        let results = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker"));
        results.flatten().collect()
    });
    let count = failed.len();
    assert!(
        failed.is_empty(),
        "{count} seeds fail, OXIDIS_SIM_SEED replays one: {failed:?}"
    );
}

#[test]
fn a_story_plays_again_exactly() {
    assert_eq!(story::random(5), story::random(5));
}

fn plan(primaries: usize, replicas: usize, timeout_ms: u64) -> Plan {
    Plan {
        primaries,
        replicas,
        timeout_ms,
    }
}

/// With the default timeout a dead primary is replaced in 1.1 timeouts and 0.3 s; Redis takes 17 to 21 s for the
/// verdict alone.
#[test]
fn a_dead_primary_is_replaced_at_once() {
    let mut world = World::new(1);
    world.build(&plan(3, 3, 15_000));
    world.add_client(1, 10);
    world.run(20_000);
    world.crash(0, false, false);
    let took = world.until(30_000, |world| world.machine(3).myself().is_primary());
    let took = took.expect("a failover");
    assert!(took < 16_800, "{took} ms");
    world.settle();
}

#[test]
fn the_replica_with_the_most_data_wins() {
    let mut world = World::new(2);
    world.build(&plan(3, 6, 1000));
    world.add_client(1, 5);
    world.run(500);
    // One of the two replicas hears nothing of its primary for a while: it lacks writes when the primary dies.
    world.cut(0, 3);
    world.run(400);
    world.crash(0, false, false);
    world.heal();
    let won = |world: &World| [3, 6].map(|id| world.machine(id).myself().is_primary());
    world
        .until(10_000, |world| won(world) != [false, false])
        .expect("a failover");
    assert_eq!(won(&world), [false, true]);
    world.settle();
}

#[test]
fn a_manual_failover_loses_nothing_and_pauses_shortly() {
    let mut world = World::new(3);
    world.build(&plan(3, 3, 15_000));
    world.add_client(1, 2);
    world.run(1000);
    world
        .order(3, Command::Failover(FailoverKind::Agreed))
        .expect("a replica");
    let took = world.until(5000, |world| world.machine(3).myself().is_primary());
    assert!(took.expect("a failover") < 300);
    assert_eq!(world.record.timed_out, 0);
    world.settle();
    assert!(world.lost_writes().is_empty());
}

#[test]
fn a_primary_that_is_cut_off_stops_to_take_writes() {
    let mut world = World::new(4);
    world.build(&plan(3, 3, 1000));
    for id in 1..6 {
        world.cut(0, id);
        world.cut(id, 0);
    }
    let took = world.until(5000, |world| !world.machine(0).is_up());
    assert!(took.expect("it notices") <= 2100);
    world
        .until(5000, |world| {
            world.machine(3).is_up() && world.machine(3).myself().is_primary()
        })
        .expect("the others go on");
    world.settle();
    assert!(world.machine(0).myself().is_replica());
}

/// A primary is restarted while nothing reaches it. It suspects nobody for a timeout, and took writes meanwhile, two seconds
/// after its start; its heir had long been elected.
#[test]
fn a_primary_that_starts_in_isolation_takes_no_write() {
    for one_way in [false, true] {
        let mut world = World::new(13);
        world.build(&plan(3, 3, 8000));
        world.crash(0, false, true);
        for id in 1..6 {
            world.cut(0, id);
            if !one_way {
                world.cut(id, 0);
            }
        }
        world.start(0);
        let up = world.until(30_000, |world| world.machine(0).is_up());
        assert_eq!(up, None, "one way {one_way}");
        assert!(world.machine(3).myself().is_primary());
        world.settle();
    }
}

#[test]
fn half_of_the_primaries_decide_nothing() {
    let mut world = World::new(5);
    world.build(&plan(4, 4, 1000));
    for a in [0, 1, 4, 5] {
        for b in [2, 3, 6, 7] {
            world.cut(a, b);
            world.cut(b, a);
        }
    }
    world.run(8000);
    assert!(world.record.wins.is_empty(), "no side has a majority");
    assert!((0..8).all(|id| !world.machine(id).is_up()));
    world.settle();
    assert!((0..4).all(|id| world.machine(id).myself().is_primary()));
}

/// Valkey 2724 and redis 6339 begin like this: the target of a slot dies before anybody heard that it has the slot.
#[test]
fn the_target_dies_right_after_it_got_the_slot() {
    for delay in 0..12 {
        let mut world = World::new(60 + delay);
        world.build(&plan(3, 3, 500));
        let (source, target) = (world.machine(0).myself().id, world.machine(1).myself().id);
        let order = |order| Command::SetSlot {
            slot: 7,
            order,
            keys: 0,
        };
        world
            .order(1, order(SlotOrder::Importing(source.as_bytes())))
            .expect("open");
        world
            .order(0, order(SlotOrder::Migrating(target.as_bytes())))
            .expect("open");
        world
            .order(1, order(SlotOrder::Node(target.as_bytes())))
            .expect("closed");
        world.run(delay);
        world.crash(1, delay % 2 == 0, true);
        world.run(4000);
        world.assert_rules();
        let _ = world.order(0, order(SlotOrder::Stable));
        world.settle();
    }
}

#[test]
fn two_reshardings_end_with_different_epochs() {
    let mut world = World::new(7);
    world.build(&plan(4, 0, 500));
    for (slot, from, to) in [(7, 0, 1), (16_000, 3, 2)] {
        let source = world.machine(from).myself().id;
        let target = world.machine(to).myself().id;
        let order = |order| Command::SetSlot {
            slot,
            order,
            keys: 0,
        };
        world
            .order(to, order(SlotOrder::Importing(source.as_bytes())))
            .expect("open");
        world
            .order(to, order(SlotOrder::Node(target.as_bytes())))
            .expect("closed");
    }
    assert_eq!(
        world.machine(1).myself().epoch,
        world.machine(2).myself().epoch
    );
    world.settle();
    assert_ne!(
        world.machine(1).myself().epoch,
        world.machine(2).myself().epoch
    );
    assert!(
        world.machine(0).owners().of(7)
            == world.machine(0).nodes().find(&world.machine(1).myself().id)
    );
}

/// A tool moves hundreds of slots faster than a disk keeps them: what others are told meanwhile is one message, not hundreds
/// that they have to read one after the other.
#[test]
fn many_slots_are_told_at_once() {
    let mut world = World::new(70);
    world.build(&plan(4, 0, 500));
    world.hosts[1].disk.delay_ms = 50;
    let (source, target) = (world.machine(0).myself().id, world.machine(1).myself().id);
    for slot in 0..300 {
        let importing = SlotOrder::Importing(source.as_bytes());
        for order in [importing, SlotOrder::Node(target.as_bytes())] {
            let order = Command::SetSlot {
                slot,
                order,
                keys: 0,
            };
            world.order(1, order).expect("a primary");
        }
        assert!(world.machine(1).held().count() <= 3 * 2 + 2);
    }
    let known = |world: &World| {
        [0, 2, 3].iter().all(|id| {
            let machine = world.machine(*id);
            (0..300).all(|slot| machine.owners().of(slot) == machine.nodes().find(&target))
        })
    };
    let took = world.until(2000, known).expect("all know");
    assert!(took <= 400, "{took} ms");
    world.settle();
}

#[test]
fn an_orphaned_primary_gets_a_replica() {
    let mut world = World::new(8);
    world.build(&plan(3, 4, 500));
    // n3 and n6 replicate n0; n4 is the only replica of n1.
    world.crash(4, false, false);
    let moved = |world: &World| {
        [3, 6]
            .iter()
            .any(|id| world.hosts[*id].data.following == Some(1))
    };
    world.until(20_000, moved).expect("a replica moves");
    let left = |world: &World| {
        let machine = world.machine(0);
        machine.nodes().good_replicas(machine.my_key())
    };
    world
        .until(3000, |world| left(world) == 1)
        .expect("one of two replicas moved");
    world.settle();
}

#[test]
fn a_primary_comes_back_with_a_file_of_three_failovers_ago() {
    let mut world = World::new(9);
    world.build(&plan(3, 6, 500));
    let old = world.hosts[0].disk.file.clone();
    world.crash(0, false, false);
    world.run(4000);
    for _ in 0..2 {
        let heir = [3, 6]
            .into_iter()
            .find(|id| world.machine(*id).myself().is_replica());
        let heir = heir.expect("one replica is left");
        world
            .order(heir, Command::Failover(FailoverKind::Agreed))
            .expect("a replica");
        world.run(1500);
    }
    world.hosts[0].disk.file = old.clone();
    world.hosts[0].disk.synced = old;
    world.settle();
    assert!(world.machine(0).myself().is_replica());
}

/// A wall clock that jumps by hours fails nobody over.
#[test]
fn wall_clocks_decide_nothing() {
    let mut world = World::new(10);
    world.build(&plan(3, 3, 500));
    for id in 0..6 {
        world.hosts[id].skew_ms = [-3_600_000, 7_200_000, 0][id % 3];
        world.run(1500);
    }
    assert!(world.record.wins.is_empty());
    let ailing = |id| {
        world
            .machine(id)
            .nodes()
            .iter()
            .any(|(_, node)| node.ailing())
    };
    assert!((0..6).all(|id| !ailing(id)));
    world.settle();
}

/// A disk that takes seconds holds back a vote, not the cluster: the others' votes suffice.
#[test]
fn a_slow_disk_delays_one_vote() {
    let mut world = World::new(11);
    world.build(&plan(5, 5, 1000));
    world.hosts[1].disk.delay_ms = 3000;
    world.crash(0, false, false);
    let took = world.until(8000, |world| world.machine(5).myself().is_primary());
    assert!(took.expect("a failover") < 3000);
    world.settle();
}

/// 20 nodes meet one node, each under the number 0: all epochs differ in the end, all links stand.
#[test]
fn a_cluster_forms() {
    let mut world = World::new(12);
    let count = 20;
    for _ in 0..count {
        world.add_host(1000);
    }
    let ip = world.hosts[0].ip;
    for id in 1..count {
        let meet = Command::Meet {
            ip,
            port: 7000,
            bus_port: 17000,
        };
        world.order(id, meet).expect("an address");
    }
    let took = world.until(20_000, |world| {
        (0..count).all(|id| {
            let machine = world.machine(id);
            let linked =
                |node: &oxidis::cluster::node::Node| node.link.is_some() && node.inbound.is_some();
            let mut others = machine
                .nodes()
                .iter()
                .filter(|(key, _)| *key != machine.my_key());
            machine.nodes().len() == count && others.all(|(_, node)| linked(node))
        })
    });
    assert!(took.expect("everybody knows everybody") <= 3000, "{took:?}");
    let epochs = |world: &World| {
        let epochs = (0..count).map(|id| world.machine(id).myself().epoch);
        epochs.collect::<std::collections::BTreeSet<u64>>().len()
    };
    world
        .until(60_000, |world| epochs(world) == count)
        .expect("epochs differ");
}

/// Thirty nodes meet one, with the default timeout: everybody knows everybody in a second. By random gossip alone it
/// takes more than ten.
#[test]
fn newcomers_are_introduced() {
    for seed in 14..18 {
        let mut world = World::new(seed);
        let count = 30;
        for _ in 0..count {
            world.add_host(15_000);
        }
        for id in 1..count {
            let meet = Command::Meet {
                ip: world.hosts[id].ip,
                port: 7000,
                bus_port: 17000,
            };
            world.order(0, meet).expect("an address");
            world.run(10);
        }
        let took = world.until(20_000, |world| {
            (0..count).all(|id| {
                let nodes = world.machine(id).nodes();
                let linked = nodes
                    .iter()
                    .filter(|(_, node)| node.link.is_some() && !node.in_handshake());
                linked.count() == count - 1
            })
        });
        assert!(took.expect("everybody knows everybody") <= 1000, "{took:?}");
    }
}

/// Three hundred nodes, a quarter dies at once. Minutes without optimisation: run with OXIDIS_SIM_LARGE=1.
#[test]
fn three_hundred_nodes() {
    if std::env::var_os("OXIDIS_SIM_LARGE").is_none() {
        println!("skipped: three hundred nodes are simulated with OXIDIS_SIM_LARGE=1");
        return;
    }
    let mut world = World::new(300);
    world.latency_ms = 1;
    world.build(&plan(150, 150, 15_000));
    println!("300 nodes stand after {} ms", world.now - 1_000_000);
    let start = world.now;
    for id in 0..74 {
        world.crash(id, false, false);
    }
    let heirs = |world: &World| {
        (150..224)
            .filter(|id| world.machine(*id).myself().is_primary())
            .count()
    };
    let took = world.until(60_000, |world| heirs(world) == 74);
    println!("74 failovers took {:?} ms", took);
    assert!(took.expect("all are replaced") < 18_500);
    assert!(world.now > start);
    world.assert_rules();
}
