//! Reports about Redis and Valkey that a simulation can show, each as a story. Others are tests beside the code: the
//! codec's (`cluster/bus/tests.rs`), the file's (`cluster/file.rs`) and the machine's (`cluster/machine/tests.rs`).

use oxidis::cluster::bus::{Body, Extension, Kind, Message, decode};
use oxidis::cluster::machine::{Command, FailoverKind, Input};
use oxidis::cluster::node::{Flags, LinkId};

use super::story::Plan;
use super::world::World;

fn plan(primaries: usize, replicas: usize, timeout_ms: u64) -> Plan {
    Plan {
        primaries,
        replicas,
        timeout_ms,
    }
}

fn meet(world: &mut World, from: usize, to: usize) {
    let ip = world.hosts[to].ip;
    let command = Command::Meet {
        ip,
        port: 7000,
        bus_port: 17000,
    };
    world.order(from, command).expect("an address");
}

/// redis 8753, the upstream test failover-stale-votes: a second manual failover won with the votes of the first, in an
/// old epoch, and the real primary stayed paused for five seconds. Also valkey 1274: the second waited for the retry
/// time of the first.
#[test]
fn a_failover_does_not_win_with_old_votes() {
    let mut world = World::new(20);
    world.build(&plan(3, 3, 15_000));
    world.add_client(1, 5);
    for round in 0..4 {
        let (primary, replica) = if round % 2 == 0 { (0, 3) } else { (3, 0) };
        let epoch = world.machine(primary).myself().epoch;
        world
            .order(replica, Command::Failover(FailoverKind::Agreed))
            .expect("a replica");
        let done = |world: &World| {
            world.machine(replica).myself().is_primary()
                && world.machine(primary).myself().is_replica()
        };
        let took = world.until(5000, done).expect("a failover");
        assert!(took < 500, "{took} ms");
        assert!(world.machine(replica).myself().epoch > epoch);
        assert_eq!(world.hosts[primary].paused_until, 0);
        world
            .until(2000, |world| world.hosts[primary].data.down_since.is_none())
            .expect("in step");
    }
    assert_eq!((world.record.timed_out, world.record.wins.len()), (0, 4));
    world.settle();
}

/// redis 5857, 1868, valkey 1018, 1640: several primaries die at once, their replicas ask in the same epoch, and a lost
/// election costs four timeouts.
#[test]
fn primaries_that_die_together_are_replaced_together() {
    for seed in 21..26 {
        let mut world = World::new(seed);
        world.build(&plan(7, 7, 1000));
        for id in 0..3 {
            world.crash(id, true, false);
        }
        let done = |world: &World| (7..10).all(|id| world.machine(id).myself().is_primary());
        let took = world.until(20_000, done).expect("three failovers");
        assert!(took < 3000, "seed {seed}: {took} ms");
        world.settle();
    }
}

/// valkey 1015, 2811, the upstream test failover-subreplica: a replica whose primary became a replica itself.
#[test]
fn a_replica_of_a_replica_moves_up() {
    let mut world = World::new(26);
    world.build(&plan(3, 3, 500));
    let slots: Vec<u16> = world.machine(0).myself().slots.iter().collect();
    let target = world.machine(1).myself().id;
    let keep = slots.len() - 1;
    // All slots of n0 but one are given away while its replica hears nothing.
    for id in [0, 1, 2, 4, 5] {
        world.cut(id, 3);
    }
    for slot in slots {
        let node = oxidis::cluster::machine::SlotOrder::Node(target.as_bytes());
        let order = Command::SetSlot {
            slot,
            order: node,
            keys: 0,
        };
        for id in [1, 0] {
            let _ = world.order(id, order);
        }
    }
    assert!(keep > 0 && world.machine(0).myself().is_replica());
    world.settle();
    assert_eq!(world.hosts[3].data.following, Some(1));
}

/// valkey 461, 1251, 1307, 2840: one side of a handshake times out; one node knows the other for ever, but not the
/// other way round.
#[test]
fn a_handshake_that_lost_half_of_itself_is_repeated() {
    for seed in 30..38 {
        let mut world = World::new(seed);
        world.build(&plan(2, 0, 500));
        let stranger = world.add_host(500);
        meet(&mut world, stranger, 0);
        let named = |world: &World| {
            let nodes = world.machine(stranger).nodes();
            let mut others = nodes
                .iter()
                .filter(|(_, node)| !node.flags.any(Flags::MYSELF));
            others.any(|(_, node)| !node.in_handshake())
        };
        world.until(2000, named).expect("the stranger knows a node");
        // From here on, nothing of the stranger reaches the others until their handshakes have timed out.
        world.cut(stranger, 0);
        world.cut(stranger, 1);
        world.run(1500);
        world.heal();
        let known = |world: &World| {
            (0..2).all(|id| {
                world
                    .machine(id)
                    .nodes()
                    .iter()
                    .filter(|(_, n)| !n.in_handshake())
                    .count()
                    == 3
            })
        };
        assert!(world.until(10_000, known).is_some(), "seed {seed}");
    }
}

/// redis 2965: a node that was forgotten keeps calling. It is answered, not stored, and does not come back by gossip.
#[test]
fn a_forgotten_node_stays_away() {
    let mut world = World::new(40);
    world.build(&plan(3, 1, 500));
    let id = world.machine(3).myself().id;
    // One FORGET is enough: the others hear of it.
    world
        .order(1, Command::Forget(id.as_bytes()))
        .expect("a node");
    let gone = |world: &World| {
        [0, 1, 2]
            .iter()
            .all(|h| world.machine(*h).nodes().find(&id).is_none())
    };
    world.until(3000, gone).expect("forgotten");
    world.run(20_000);
    assert!((0..3).all(|host| world.machine(host).nodes().len() == 3));
    world.assert_rules();
    // A second FORGET says OK.
    assert!(world.order(2, Command::Forget(id.as_bytes())).is_ok());
    // An operator may bring it back when the minute is over; before, those who remember would forget it again.
    world.run(60_000);
    meet(&mut world, 3, 0);
    world.run(5000);
    assert!((0..3).all(|host| world.machine(host).nodes().find(&id).is_some()));
}

/// A node is started from a copy of another's file: two nodes of one name. Neither brings the cluster down.
#[test]
fn two_nodes_of_one_name() {
    let mut world = World::new(41);
    world.build(&plan(3, 0, 500));
    let copy = world.hosts[2].disk.file.clone();
    let twin = world.add_host(500);
    world.crash(twin, false, false);
    world.hosts[twin].disk.file = copy;
    world.record.hostile = true;
    world.start(twin);
    world.run(10_000);
    assert!((0..2).all(|id| world.machine(id).nodes().len() == 3));
    world.crash(twin, false, false);
    world.run(5000);
    for id in 0..3 {
        assert!(world.machine(id).is_up(), "n{id}");
    }
}

/// The upstream test noaddr-gossip-recovery: a node's address was taken by another; gossip brings the new address.
#[test]
fn a_lost_address_is_found_by_gossip() {
    let mut world = World::new(42);
    world.build(&plan(3, 1, 500));
    // n2 and n1 exchange their addresses.
    let (one, two) = (world.hosts[1].ip, world.hosts[2].ip);
    for id in [1, 2] {
        world.crash(id, false, false);
    }
    (world.hosts[1].ip, world.hosts[2].ip) = (two, one);
    world.settle();
}

/// redis 3588: TAKEOVER on both sides of a split. After healing the lower epoch gives way, and the table is one again.
#[test]
fn takeover_on_both_sides() {
    let mut world = World::new(43);
    world.build(&plan(3, 6, 500));
    for a in [0, 1, 2, 3, 4, 5] {
        for b in [6, 7, 8] {
            world.cut(a, b);
            world.cut(b, a);
        }
    }
    world.run(2000);
    for id in [6, 7, 8, 3] {
        world
            .order(id, Command::Failover(FailoverKind::Takeover))
            .expect("a replica");
    }
    for id in 0..9 {
        let now = world.now;
        world.record.fault(id, now + 1_000_000, 0);
    }
    world.run(3000);
    world.settle();
}

/// redis 9223, 10489, valkey 970, 981: the last slot leaves in the middle of a tool's work.
#[test]
fn the_last_slot_leaves() {
    let mut world = World::new(44);
    world.build(&plan(3, 0, 500));
    let slots: Vec<u16> = world.machine(0).myself().slots.iter().collect();
    for slot in slots.into_iter().take(6000) {
        let target = world.machine(1).myself().id;
        let node = oxidis::cluster::machine::SlotOrder::Node(target.as_bytes());
        for id in [1, 0] {
            let answer = world.order(
                id,
                Command::SetSlot {
                    slot,
                    order: node,
                    keys: 0,
                },
            );
            let refused = answer.err();
            assert!(refused.is_none_or(|text| text == "Please use SETSLOT only with masters."));
        }
    }
    assert!(world.machine(0).myself().is_replica());
    world.settle();
    assert_eq!(world.hosts[0].data.following, Some(1));
}

/// redis 7216, 2672, 14310: a flood of PUBLISH with a peer that does not read fails nobody else.
#[test]
fn a_flood_of_publish_fails_nobody() {
    let mut world = World::new(45);
    world.build(&plan(3, 3, 500));
    world.stop(5, 1500);
    for _ in 0..100 {
        for _ in 0..20 {
            world.tell(
                0,
                Input::Publish {
                    shard: false,
                    channel: b"c",
                    text: b"hello",
                },
            );
        }
        world.run(10);
    }
    // The last messages are still on their way.
    world.run(1000);
    for id in 0..5 {
        let nodes = world.machine(id).nodes();
        let stopped = world.machine(5).myself().id;
        assert!(
            nodes
                .iter()
                .all(|(_, node)| !node.ailing() || node.id == stopped)
        );
        assert!(id == 0 || world.record.published[&id] == 2000);
    }
    world.settle();
}

/// redis 15672: FORGOTTEN_NODE naming its sender freed the message that was being read. With every id in every place
/// nothing is lost, and a stranger changes nothing at all.
#[test]
fn messages_about_their_sender_or_their_reader() {
    let mut world = World::new(46);
    world.build(&plan(3, 3, 500));
    world.record.hostile = true;
    let ids: Vec<_> = (0..6).map(|id| world.machine(id).myself().id).collect();
    let before = world.view(0);
    let sample = world.sample_header(1);
    let header = decode(&sample).expect("its own message").header;
    let (peer, local) = (world.hosts[1].ip, world.hosts[0].ip);
    let slots = *world.machine(1).myself().slots.bitmap();
    let strangers = *b"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";
    let stranger = oxidis::cluster::id::NodeId::parse(&strangers).expect("a name");
    for (number, id) in ids.iter().enumerate() {
        for sender in [ids[1], ids[0], stranger] {
            let forgotten = Extension::Forgotten { id: *id, ttl_s: 60 };
            let harmless = *id == sender || *id == ids[0] || sender == stranger;
            let news = |kind, extensions| Body::News {
                kind,
                gossip: vec![],
                bad_ids: 0,
                extensions,
            };
            let mut bodies = vec![
                Body::AuthRequest,
                Body::AuthAck,
                Body::MfStart,
                Body::Update {
                    epoch: 1,
                    id: *id,
                    slots: &slots,
                },
                Body::Module {
                    module: [0; 8],
                    kind: 0,
                    payload: b"",
                },
                Body::Publish {
                    shard: true,
                    channel: b"",
                    text: b"",
                },
            ];
            if harmless {
                bodies.push(news(Kind::Pong, vec![forgotten]));
                bodies.push(news(Kind::Ping, vec![forgotten, forgotten]));
            }
            if sender == stranger {
                bodies.push(Body::Fail(*id));
                bodies.push(Body::Update {
                    epoch: 999,
                    id: *id,
                    slots: &slots,
                });
            }
            for (index, body) in bodies.into_iter().enumerate() {
                let link = LinkId::In(1_000_000 + number as u64 * 100 + index as u64);
                let mut header = header.clone();
                header.sender = sender;
                let bytes = Message { header, body }.encode();
                let bytes = &bytes;
                world.tell(0, Input::Accepted { link, peer, local });
                world.tell(0, Input::Received { link, bytes });
                world.tell(0, Input::Closed { link });
            }
        }
    }
    assert_eq!(world.view(0), before);
    world.settle();
}

/// redis 2285, 2336: with many nodes reports ran out before a quorum had met.
#[test]
fn forty_nodes_agree_on_a_dead_one() {
    let mut world = World::new(47);
    world.build(&plan(40, 0, 1000));
    world.crash(7, true, false);
    let id = {
        let nodes = world.machine(0).nodes();
        let ip = world.hosts[7].ip;
        let found = nodes.iter().find(|(_, node)| node.ip == Some(ip));
        found.expect("known").1.id
    };
    let failed = |world: &World| {
        let live = world.live();
        live.into_iter().all(|host| {
            let nodes = world.machine(host).nodes();
            nodes
                .find(&id)
                .is_some_and(|key| nodes.get(key).is_some_and(|node| node.failed()))
        })
    };
    let took = world.until(10_000, failed).expect("a verdict");
    assert!(took <= 1250 + 200 + 500, "{took} ms");
}

/// redis 13428, 12761, valkey 2090: after failovers and moves every node knows one shard for a primary and its replicas.
#[test]
fn shards_stay_whole() {
    let mut world = World::new(48);
    world.build(&plan(3, 5, 500));
    for id in [3, 4, 0] {
        let _ = world.order(id, Command::Failover(FailoverKind::Agreed));
        world.run(1500);
    }
    world.make_replica(6, 4);
    world.settle();
    for id in 0..8 {
        let machine = world.machine(id);
        assert_eq!(machine.shards_view(1).len(), 3, "n{id}");
        for (_, node) in machine.nodes().iter().filter(|(_, node)| node.is_replica()) {
            let primary = node.primary.and_then(|key| machine.nodes().get(key));
            assert_eq!(primary.map(|node| node.shard), Some(node.shard));
        }
    }
}

/// valkey 2724: the source of a migration fails over in the moment of the take-over, and its heir wins with an epoch above
/// the claim's. The source had deleted the keys by then. Here it keeps them until a quorum knows the new owner, who takes no
/// write before: the node that has the slot in the end has every write that was acknowledged.
#[test]
fn a_failover_in_the_moment_of_a_take_over_loses_nothing() {
    let (mut back, mut gone) = (0, 0);
    for seed in 0..60 {
        let mut world = World::new(5000 + seed);
        world.latency_ms = 3;
        world.build(&plan(5, 5, 1000));
        world.add_client(2, 2);
        world.run(600);
        // The claim reaches the source at once, the others only through it.
        for other in [2, 3, 4, 5, 7, 8, 9] {
            world.cut(1, other);
        }
        let slot = 99;
        assert!(world.machine(0).myself().slots.has(slot));
        if seed % 2 == 0 {
            world
                .order(5, Command::Failover(FailoverKind::Agreed))
                .expect("a replica");
            world.run(seed % 12);
        }
        let before: Vec<u32> = world
            .record
            .acks
            .iter()
            .filter(|ack| ack.slot == slot)
            .map(|ack| ack.id)
            .collect();
        assert!(!before.is_empty());
        world.migrate(slot, 1);
        world.run(seed / 4);
        if seed % 2 == 1 {
            let _ = world.order(5, Command::Failover(FailoverKind::Agreed));
        }
        world.run(900);
        world.heal();
        world.run(3000);
        world.settle();
        let owner = [0, 1, 5]
            .into_iter()
            .find(|id| world.machine(*id).myself().slots.has(slot));
        let owner = owner.expect("the slot is served");
        let acks = world.record.acks.iter().filter(|ack| ack.slot == slot);
        let lost: Vec<u32> = acks
            .map(|ack| ack.id)
            .filter(|id| !world.hosts[owner].data.writes.contains_key(id))
            .collect();
        assert!(lost.is_empty(), "seed {seed}, owner n{owner}: {lost:?}");
        *if owner == 1 { &mut gone } else { &mut back } += 1;
    }
    // Both ends of the race were seen.
    assert!(back > 0 && gone > 0, "{back} times back, {gone} times gone");
}

/// Two primaries: one alone cannot say that the other's replica is dead; a single primary can say it of its replica.
#[test]
fn one_of_two_primaries_decides_nothing_a_single_one_does() {
    let mut world = World::new(49);
    world.build(&plan(2, 1, 500));
    let id = world.machine(2).myself().id;
    let state = |world: &World, host: usize| {
        let nodes = world.machine(host).nodes();
        nodes
            .find(&id)
            .and_then(|key| nodes.get(key))
            .map(|node| node.flags)
            .expect("known")
    };
    world.stop(1, 3000);
    world.stop(2, 3000);
    world.run(2500);
    assert!(state(&world, 0).any(Flags::MAYBE_FAIL) && !state(&world, 0).any(Flags::FAIL));
    world.settle();
    let mut world = World::new(50);
    world.build(&plan(1, 1, 500));
    let id = world.machine(1).myself().id;
    world.stop(1, 2500);
    world.run(2000);
    let nodes = world.machine(0).nodes();
    let key = nodes.find(&id).expect("known");
    assert!(nodes.get(key).expect("known").failed());
    world.settle();
}

/// valkey 1274: a manual failover that got no votes expired, and the next one had to wait for the retry time of an
/// election while the primary stayed paused for nothing.
#[test]
fn a_manual_failover_does_not_wait_for_one_that_failed() {
    let mut world = World::new(51);
    world.build(&plan(3, 3, 15_000));
    let order = Command::Failover(FailoverKind::Agreed);
    // The voters do not hear the replica, its primary does.
    for voter in [1, 2] {
        world.cut(3, voter);
    }
    world.order(3, order).expect("a replica");
    let over = |world: &World| !world.machine(3).in_manual_failover();
    world.until(11_000, over).expect("it gives up");
    assert!(world.machine(3).myself().is_replica());
    world.heal();
    let heard = |world: &World| {
        [1, 2].iter().all(|voter| {
            let nodes = world.machine(*voter).nodes();
            nodes.iter().all(|(_, node)| !node.ailing())
        })
    };
    world.until(20_000, heard).expect("the links are back");
    world.run(200);
    let order = Command::Failover(FailoverKind::Agreed);
    world.order(3, order).expect("a replica");
    let won = |world: &World| world.machine(3).myself().is_primary();
    let took = world.until(5000, won).expect("a failover");
    assert!(took < 1000, "{took} ms");
    assert_eq!(world.hosts[0].paused_until, 0);
    world.settle();
}

/// redis 10942, 12824, 13422, valkey 784: tables ended the process while a handshake was under way, listed failed
/// replicas, and lost the slots of a primary that had failed.
#[test]
fn tables_while_nodes_fail_and_come() {
    let mut world = World::new(52);
    world.build(&plan(3, 4, 500));
    let failed = |world: &World, host: usize, id| {
        let nodes = world.machine(host).nodes();
        let key = nodes.find(&id)?;
        nodes.get(key).map(|node| node.failed())
    };
    // n3 and n6 replicate n0. One of them dies, then n0 and the other: its shard is served by nobody.
    let ids: Vec<_> = (0..7).map(|id| world.machine(id).myself().id).collect();
    world.crash(6, false, false);
    let gone = |world: &World| failed(world, 1, ids[6]) == Some(true);
    world.until(5000, gone).expect("a verdict");
    let listed = |world: &World| {
        let slots = world.machine(1).slots_view(1);
        let nodes = slots.iter().flat_map(|range| &range.nodes);
        nodes.map(|node| node.id).collect::<Vec<_>>()
    };
    assert!(!listed(&world).contains(&ids[6]) && listed(&world).contains(&ids[3]));
    world.crash(3, false, false);
    world.crash(0, false, false);
    let gone = |world: &World| failed(world, 1, ids[0]) == Some(true);
    world.until(5000, gone).expect("a verdict");
    assert!(listed(&world).contains(&ids[0]));
    let slots: usize = world
        .machine(1)
        .shards_view(1)
        .iter()
        .map(|shard| shard.slots.iter().map(|range| range.len()).sum::<usize>())
        .sum();
    assert_eq!(slots, 16384);
    // A node that nobody can reach is greeted: the handshake is in no table of shards.
    let ip = std::net::IpAddr::from([10, 9, 9, 9]);
    let meet = Command::Meet {
        ip,
        port: 7000,
        bus_port: 17000,
    };
    world.order(1, meet).expect("an address");
    world.run(10);
    let machine = world.machine(1);
    assert!(machine.nodes().iter().any(|(_, node)| node.in_handshake()));
    assert_eq!(machine.shards_view(1).len(), 3);
    world.settle();
}
