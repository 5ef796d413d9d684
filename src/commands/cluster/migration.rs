//! CLUSTER MIGRATION, which an operator uses, and what nodes say to each other about it: CLUSTER SYNCSLOTS, TRIMSLOTS.
//!
//! Mirrors: clusterMigrationCommand(), clusterSyncSlotsCommand() of cluster_asm.c, trimslotsCommand() of cluster.c.
//! Differs: TRIMSLOTS deletes at once the keys that it cannot take away as whole tables.

use super::super::prelude::*;
use super::needs_cluster;
use super::slots::ranges;
use crate::clients::ClientFlags;
use crate::cluster;
use crate::cluster::act::{migration, moving};
use crate::cluster::id::NodeId;
use crate::cluster::migration::{Form, Task, import};
use crate::cluster::slots::SlotSet;
use crate::command::Arg;
use crate::persistence::rdb::NEWEST_READ;
use crate::resp::Reply;
use crate::util::num;

const DOCS: Docs = Docs {
    group: Group::Cluster,
    since: "8.4.0",
    ..Docs::BASE
};

pub(super) const CLUSTER_MIGRATION: Command = Command {
    name: "migration",
    arity: Arity::AtLeast(4),
    flags: &[Admin, Stale, NoAsyncLoading],
    args: &[arg::one_of(
        "subcommand",
        &[
            arg::block("import", RANGE).token("IMPORT").multiple(),
            arg::one_of("cancel", &[TASK, ALL]).token("CANCEL"),
            arg::one_of("status", &[TASK.optional(), ALL.optional()]).token("STATUS"),
        ],
    )],
    docs: Docs {
        complexity: "O(N) where N is the number of slots or tasks named.",
        summary: "Takes slots over from another node as a whole, shows such moves, ends them.",
        ..DOCS
    },
    run: cluster_migration,
    ..Command::BASE
};

const RANGE: &[Arg] = &[arg::integer("start-slot"), arg::integer("end-slot")];
const TASK: Arg = arg::string("task-id").token("ID");
const ALL: Arg = arg::word("all", "ALL");

/// Begins to import slots, and answers the task's name at once; STATUS tells how far it is. CANCEL at the source only
/// makes the destination try again.
fn cluster_migration(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    if args.word("IMPORT") {
        let slots = slots_of(ranges(args, "migration")?)?;
        let id = migration::begin_import(ctx.state, slots).map_err(Error::once)?;
        ctx.reply.bulk(id.as_bytes());
        return Ok(());
    }
    let cancel = args.word("CANCEL");
    if !cancel && !args.word("STATUS") {
        return Err(Error::once("unknown argument"));
    }
    let id = match (args.len(), args.word("ALL"), args.word("ID")) {
        (1, true, _) => None,
        (2, _, true) => Some(args.bytes()?),
        (1 | 2, false, false) => return Err(Error::once("unknown argument")),
        _ => return Err(Error::WrongArity("cluster|migration".to_owned())),
    };
    if cancel {
        let cancelled = moving::cancel(ctx.state, id, "user request");
        ctx.reply.count(cancelled);
        return Ok(());
    }
    let tasks = ctx.state.cluster.migrations.tasks();
    let shown = tasks.filter(|task| id.is_none_or(|id| task.id.as_bytes() == id));
    let shown: Vec<&Task> = shown.collect();
    ctx.reply.array(shown.len());
    shown.into_iter().for_each(|task| show(ctx.reply, task));
    Ok(())
}

/// A task as a map.
#[doc(alias = "replyTaskStatus")]
fn show(reply: &mut Reply, task: &Task) {
    let slots = task.slots_text();
    let texts: [(&str, &[u8]); 7] = [
        ("id", task.id.as_bytes()),
        ("slots", slots.as_bytes()),
        ("source", task.source.as_bytes()),
        ("dest", task.dest.as_bytes()),
        ("operation", task.operation.name().as_bytes()),
        ("state", task.state.as_bytes()),
        ("last_error", task.last_error.as_bytes()),
    ];
    let time = |ms: Option<u64>| ms.map_or(-1, |ms| ms as i64);
    let numbers = [
        ("retries", task.retries as i64),
        ("create_time", task.created as i64),
        ("start_time", time(task.started)),
        ("end_time", time(task.ended)),
        ("write_pause_ms", task.write_pause_ms as i64),
    ];
    reply.map(texts.len() + numbers.len());
    for (name, text) in texts {
        reply.bulk(name.as_bytes());
        reply.bulk(text);
    }
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.integer(number);
    }
}

/// The slots of ranges; each may be named once.
pub(super) fn slots_of(ranges: Vec<std::ops::RangeInclusive<u16>>) -> Result<SlotSet> {
    let mut slots = SlotSet::new();
    for range in ranges {
        for slot in range {
            if !slots.insert(slot) {
                return Err(Error::once(format!("Slot {slot} specified multiple times")));
            }
        }
    }
    Ok(slots)
}

pub(super) const CLUSTER_SYNCSLOTS: Command = Command {
    name: "syncslots",
    arity: Arity::AtLeast(3),
    flags: &[Admin, NoScript, Stale, NoAsyncLoading],
    args: &[arg::one_of(
        "subcommand",
        &[
            arg::block(
                "sync",
                &[
                    arg::string("task-id"),
                    arg::block("slot-range", RANGE).multiple(),
                ],
            )
            .token("SYNC"),
            arg::string("task-id").token("RDBCHANNEL"),
            arg::word("snapshot-eof", "SNAPSHOT-EOF"),
            arg::word("stream-eof", "STREAM-EOF"),
            arg::block("ack", &[arg::string("state"), arg::integer("offset")]).token("ACK"),
            arg::string("error").token("FAIL"),
            arg::block(
                "conf",
                &[
                    arg::string("option").multiple(),
                    arg::string("value").multiple(),
                ],
            )
            .token("CONF"),
        ],
    )],
    tips: &["nondeterministic_output"],
    docs: Docs {
        complexity: "O(1)",
        summary: "The dialogue of two nodes about slots that move.",
        ..DOCS
    },
    run: cluster_syncslots,
    ..Command::BASE
};

/// A word of the dialogue. A client that has not shown the cluster's secret is refused and closed.
fn cluster_syncslots(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    let trusted = ClientFlags::INTERNAL | ClientFlags::PRIMARY;
    if !ctx.client().flags.any(trusted) {
        ctx.client().flags.set(ClientFlags::CLOSE_AFTER_REPLY);
        return Err(Error::once(
            "CLUSTER SYNCSLOTS subcommands are only allowed for internal clients",
        ));
    }
    if args.word("SYNC") {
        return sync(ctx, args);
    }
    if args.word("RDBCHANNEL") {
        let id = args.bytes()?;
        return match migration::open_rdb_channel(ctx.state, ctx.client, id) {
            true => Ok(()),
            false => Err(Error::once("no such slot migration task")),
        };
    }
    if args.word("ACK") {
        let (state, applied) = (args.bytes()?, args.bytes()?);
        let applied = num::parse_u64(applied).ok_or(Error::NotInteger)?;
        migration::acknowledged(ctx.state, state, applied);
        return Ok(());
    }
    if args.word("CONF") {
        return conf(ctx, args);
    }
    if args.word("SNAPSHOT-EOF") {
        moving::import_step(ctx.state, import::Input::SnapshotEnd);
        return Ok(());
    }
    if args.word("STREAM-EOF") {
        moving::import_step(ctx.state, import::Input::StreamEnd);
        return Ok(());
    }
    Err(Error::once("unknown argument"))
}

/// SYNC: a destination asks for slots. The answer comes when the task has begun, or is an error.
fn sync(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let id = NodeId::parse(args.bytes()?).ok_or(Error::once("invalid task ID"))?;
    let slots = slots_of(ranges(args, "syncslots")?)?;
    let announced = ctx.client().announced.as_deref();
    let announced = announced.and_then(|announced| Some((announced.node?, announced.reads_rdb)));
    let (dest, reads_rdb) =
        announced.ok_or(Error::once("the destination has not told its name"))?;
    let form = Form::for_reader_of(reads_rdb, NEWEST_READ);
    migration::begin_export(ctx.state, ctx.client, id, dest, slots, form).map_err(Error::coded)
}

/// CONF: facts that the other end tells, pairs of a name and a value. Unknown names are ignored, so that later versions can tell
/// more.
fn conf(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    while !args.is_empty() {
        let (name, value) = (args.bytes()?, args.bytes()?);
        if name.eq_ignore_ascii_case(b"NODE-ID") {
            let id = NodeId::parse(value).ok_or(Error::once("Invalid node id"))?;
            let known = needs_cluster(ctx.state)?.nodes().find(&id).is_some();
            if !known {
                return Err(Error::once(format!("unknown node {id}")));
            }
            ctx.client().announced.get_or_insert_default().node = Some(id);
        }
        if name.eq_ignore_ascii_case(b"CAPA")
            && let Some(version) = value.strip_prefix(import::READS_RDB.as_bytes())
        {
            let version = num::parse_u64(version).and_then(|version| version.try_into().ok());
            ctx.client().announced.get_or_insert_default().reads_rdb = version;
        }
        let of_primary = ctx.client().flags.has(ClientFlags::PRIMARY);
        if of_primary && name.eq_ignore_ascii_case(b"ASM-TASK") {
            let heard = moving::heard_of_task(ctx.state, value);
            heard.then_some(()).ok_or(Error::once("invalid ASM task"))?;
        }
    }
    ctx.reply.ok();
    Ok(())
}

pub(super) const TRIMSLOTS: Command = Command {
    name: "trimslots",
    arity: Arity::AtLeast(5),
    flags: &[Write],
    acl: &[Category::Keyspace, Category::Dangerous],
    args: &[arg::block(
        "ranges",
        &[
            arg::integer("numranges"),
            arg::block(
                "slots",
                &[arg::integer("startslot"), arg::integer("endslot")],
            )
            .multiple(),
        ],
    )
    .token("RANGES")],
    docs: Docs {
        group: Group::Server,
        complexity: "O(N) where N is the number of keys in the slots.",
        summary: "Deletes the keys of slots that other nodes serve.",
        ..DOCS
    },
    run: trimslots,
    ..Command::BASE
};

/// Deletes keys of slots that are not this node's; a primary propagates it to its replicas and its append-only file. A
/// node whose replicas may not understand it propagates each key's deletion as DEL. In the file the slots may have come
/// back later on.
fn trimslots(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    needs_cluster(ctx.state)?;
    if !args.word("RANGES") {
        return Err(Error::once("missing ranges argument"));
    }
    let count = args.integer()?;
    let words = usize::try_from(count).ok().and_then(|n| n.checked_mul(2));
    if count < 1 || words != Some(args.len()) {
        return Err(Error::once("invalid number of ranges"));
    }
    let slots = slots_of(ranges(args, "trimslots")?)?;
    let obeys = ctx.client().flags.has(ClientFlags::MUST_OBEY);
    let machine = needs_cluster(ctx.state)?;
    let own = slots.iter().find(|slot| machine.owns(*slot));
    if let Some(slot) = own.filter(|_| !obeys) {
        return Err(Error::once(format!(
            "the slot {slot} is served by this node"
        )));
    }
    ctx.suppress();
    cluster::act::slots::trim(ctx.state, &slots);
    ctx.reply.ok();
    Ok(())
}
