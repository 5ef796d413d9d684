//! Clusters of 3 to 300 nodes in one process, on one seed.
//!
//! A random story builds a cluster, lets clients write, breaks things for a while, mends them, and waits until the cluster
//! has come to rest. Rules are checked at every event and at the end (see `checks`). A story that fails prints its seed;
//! `OXIDIS_SIM_SEED=n` plays it again, exactly, and `OXIDIS_SIM_TRACE=1` prints the nodes' logs. `OXIDIS_SIM_SEEDS=10000` plays so many.
//!
//! # Reported bugs, and what holds them off
//!
//! `bugs::` and `scenarios::` stand here, `codec::` for `src/cluster/bus/tests.rs`, `machine::` for
//! `src/cluster/machine/tests.rs`, `file::` for `src/cluster/file.rs`, `migration::` for `src/cluster/migration/tests.rs`,
//! `it::` for `tests/it/cluster.rs` and the files under `tests/it/cluster/`.
//!
//! | report | held by |
//! |---|---|
//! | redis 15672, 15685, valkey 4675: FORGOTTEN_NODE names its sender | `bugs::messages_about_their_sender_or_their_reader` |
//! | redis 15722: strangers join an open bus | `it::nodes_under_tls_fail_over`, `it::strangers_on_the_bus_are_cut_off` |
//! | secrets of the cluster are taken from strangers | `machine::a_secret_is_taken_on_own_connections_only` |
//! | redis 15615: lengths that overflow; extensions of length zero | `codec::lengths_are_checked_in_order`, `codec::no_bytes_make_it_panic` |
//! | lengths without a bound | `codec::a_stream_that_is_none_is_closed`, `machine::strangers_are_few_and_short_of_words` |
//! | redis 8753, failover-stale-votes | `bugs::a_failover_does_not_win_with_old_votes` |
//! | valkey 1274: a manual failover waits for one that expired | `bugs::a_manual_failover_does_not_wait_for_one_that_failed` |
//! | an old primary takes over again before it has the data, its offset equal by chance (seed 4649) | `machine::offsets_that_are_equal_by_chance_are_no_data` |
//! | redis 5857, 1868, valkey 1009, 1018, 1640: elections at once | `bugs::primaries_that_die_together_are_replaced_together` |
//! | redis 6339, 12336, 2969, 7116, 10517, valkey 445: the target of a slot dies | `scenarios::the_target_dies_right_after_it_got_the_slot` |
//! | valkey 2724: a failover in the moment of a take-over | `bugs::a_failover_in_the_moment_of_a_take_over_loses_nothing` |
//! | a take-over after the pause of the source has ended | `migration::a_claim_that_does_not_come_lets_writes_go_on` |
//! | valkey 1015, 1777, 2441, 2811, 651, 3468, failover-subreplica: chains of replicas | `bugs::a_replica_of_a_replica_moves_up`, `scenarios::random_stories_end_well` (links reorder) |
//! | redis 2285, 2336: reports run out before a quorum | `bugs::forty_nodes_agree_on_a_dead_one` |
//! | valkey 2139, 2277: thousands of reports | `scenarios::three_hundred_nodes` (a quarter dies at once) |
//! | redis 3929, 13789, 11740, 14282, 1404, valkey 2281, 2291: cost of many nodes | `benches/cluster`, part `rest` |
//! | redis 12196, 2672, 10863, 14310, 7216, valkey 546: floods of PUBLISH | `bugs::a_flood_of_publish_fails_nobody`, `it::a_flood_of_messages_fails_no_node_over` |
//! | redis 14137, 13353, 10924: nodes.conf after a crash or a double start | `it::a_damaged_file_stops_the_start_and_stays`, `scenarios::random_stories_end_well` (disks forget) |
//! | redis 12761, 13428, 13468, valkey 2171, 2090, 573: shard IDs differ | `bugs::shards_stay_whole`, `file::files_of_old_are_read` |
//! | redis 3599, 3607, 13443: a bad file ends the process | `file::a_damaged_file_names_line_and_reason`, `file::no_bytes_make_it_panic` |
//! | valkey 1251, 461, 2840, 1307: half a handshake | `bugs::a_handshake_that_lost_half_of_itself_is_repeated` |
//! | redis 2965: a forgotten node keeps calling | `bugs::a_forgotten_node_stays_away` |
//! | a primary that is restarted in isolation takes writes | `scenarios::a_primary_that_starts_in_isolation_takes_no_write` |
//! | redis 3138: an isolated primary tells an old table | nothing on the wire allows more; `scenarios::a_primary_that_is_cut_off_stops_to_take_writes` |
//! | redis 3588: TAKEOVER on both sides | `bugs::takeover_on_both_sides` |
//! | redis 9223, 10489, 10381, valkey 970, 981: the last slot leaves | `bugs::the_last_slot_leaves` |
//! | valkey 1912: figures of slots on a demoted primary | `it::the_stream_is_counted_for_replicas` |
//! | redis 13311, 11752, 12701: references to what is gone | keys with generations: `node.rs`, `a_key_does_not_find_the_next_node_of_its_cell` |
//! | redis 10942, 12824, 13422, valkey 784: tables | `bugs::tables_while_nodes_fail_and_come`, `machine::tables_are_the_same_everywhere` |
//! | valkey 2817: light headers | never sent; `codec::a_stream_that_is_none_is_closed` |
//! | valkey 4627, 4655, 4700: answers to an old election | `machine::unknown_kinds_are_no_fault` (there are none) |
//! | noaddr-gossip-recovery | `bugs::a_lost_address_is_found_by_gossip` |
//! | the lock of a file that is renamed away | `it::a_damaged_file_stops_the_start_and_stays` |
//! | votes that leave before they are saved | `machine::a_claim_waits_for_the_disk`, a rule of `checks` at every event |

mod bugs;
mod checks;
mod data;
mod scenarios;
pub mod story;
pub mod world;

/// Every test that the table names is there.
#[test]
fn the_table_names_tests() {
    let sources = [
        ("bugs", include_str!("bugs.rs")),
        ("scenarios", include_str!("scenarios.rs")),
        ("codec", include_str!("../../../src/cluster/bus/tests.rs")),
        (
            "machine",
            include_str!("../../../src/cluster/machine/tests.rs"),
        ),
        ("file", include_str!("../../../src/cluster/file.rs")),
        (
            "migration",
            include_str!("../../../src/cluster/migration/tests.rs"),
        ),
        ("it", include_str!("../../it/cluster.rs")),
        ("it", include_str!("../../it/cluster/bus.rs")),
        ("it", include_str!("../../it/cluster/figures.rs")),
    ];
    let rows = include_str!("mod.rs")
        .lines()
        .filter(|line| line.starts_with("//! | "));
    let mut named = 0;
    for word in rows.flat_map(|row| row.split('`').skip(1).step_by(2)) {
        let Some((place, test)) = word.split_once("::") else {
            continue;
        };
        let test = format!("fn {test}()");
        let there = sources
            .iter()
            .any(|(name, text)| *name == place && text.contains(&test));
        assert!(there, "{word} is no test");
        named += 1;
    }
    assert!(named > 30, "{named} tests are named");
}
