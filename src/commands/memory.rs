//! MEMORY: what the memory of the server is used for.
//!
//! Mirrors: `memoryCommand` of object.c.
//! Differs: the words of the doctor are ours; tables never rehash, so what Redis tells about that is 0.

use super::info::memory_overview;
use super::prelude::*;
use crate::state::State;
use crate::types::foreign::Place;

pub const COMMANDS: &[&Command] = &[&MEMORY];

const MEMORY: Command = Command {
    name: "memory",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "Depends on the subcommand",
        summary: "What concerns memory.",
        ..Docs::BASE
    },
    subcommands: &[
        &MEMORY_DOCTOR,
        &MEMORY_HELP,
        &MEMORY_MALLOC_STATS,
        &MEMORY_PURGE,
        &MEMORY_STATS,
        &MEMORY_USAGE,
    ],
    ..Command::BASE
};

const MEMORY_DOCTOR: Command = Command {
    name: "doctor",
    arity: Arity::Exactly(2),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(1)",
        summary: "Tells whether something is wrong with the use of memory.",
        ..Docs::BASE
    },
    run: memory_doctor,
    ..Command::BASE
};

fn memory_doctor(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let text = diagnosis(ctx.state);
    ctx.reply.verbatim("txt", text);
    Ok(())
}

/// With fewer bytes in use than this, the figures mean nothing.
const SMALL: usize = 5 << 20;

/// The text of MEMORY DOCTOR: each figure that is out of the ordinary, with a sentence about what it means.
#[doc(alias = "getMemoryDoctorReport")]
fn diagnosis(state: &State) -> String {
    let memory = memory_overview(state);
    if memory.used < SMALL {
        return "There is too little data for a diagnosis: with less than 5 MB in use the figures say \
                nothing.\n"
            .into();
    }
    let mut text = String::new();
    if memory.peak as f64 / memory.used as f64 > 1.5 {
        text += " * Peak memory: once there was more than 150% of what is in use now. The allocator may \
                 have kept the difference, which then looks like fragmentation. It is used again when \
                 the data grows.\n\n";
    }
    if memory.fragmentation() > 1.4 && memory.fragmentation_bytes() > 10 << 20 {
        text += " * High fragmentation: the process takes more than 1.4 times the physical memory that \
                 its data needs. Freed memory between data in use cannot be given back; MEMORY PURGE \
                 gives back what can.\n\n";
    }
    let clients = state
        .clients
        .connected()
        .saturating_sub(memory.replicas)
        .max(1);
    if memory.clients_normal / clients > 200 << 10 {
        text += " * Big client buffers: clients take more than 200 KB each. Some may read their replies \
                 too slowly, or send very long requests; CLIENT LIST shows them.\n\n";
    }
    if memory.replicas > 0 && memory.clients_replicas / memory.replicas > 10 << 20 {
        text += " * Big replica buffers: replicas take more than 10 MB each. Some do not keep up with \
                 the writes.\n\n";
    }
    match text.as_str() {
        "" => "No memory problem was found.\n".into(),
        _ => format!("Memory problems were found:\n\n{text}"),
    }
}

const MEMORY_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(1)",
        summary: "Tells what the subcommands do.",
        ..Docs::BASE
    },
    run: memory_help,
    ..Command::BASE
};

fn memory_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "MEMORY",
        &[
            "DOCTOR",
            "    Whether something is wrong with the use of memory.",
            "MALLOC-STATS",
            "    What the allocator tells of itself.",
            "PURGE",
            "    Ask the allocator to give unused memory back.",
            "STATS",
            "    Where memory goes, in figures.",
            "USAGE <key> [SAMPLES <count>]",
            "    Bytes a key and its value take. Of nested values <count> elements are looked at",
            "    (default: 5, 0 for all).",
        ],
    );
    Ok(())
}

const MEMORY_MALLOC_STATS: Command = Command {
    name: "malloc-stats",
    arity: Arity::Exactly(2),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(1)",
        summary: "Returns what the allocator tells of itself.",
        ..Docs::BASE
    },
    run: memory_malloc_stats,
    ..Command::BASE
};

fn memory_malloc_stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply
        .bulk(b"Stats not supported for the current allocator");
    Ok(())
}

const MEMORY_PURGE: Command = Command {
    name: "purge",
    arity: Arity::Exactly(2),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "Depends on how much memory is unused",
        summary: "Gives unused memory back to the system.",
        ..Docs::BASE
    },
    run: memory_purge,
    ..Command::BASE
};

fn memory_purge(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    crate::sys::alloc::purge();
    ctx.reply.ok();
    Ok(())
}

const MEMORY_STATS: Command = Command {
    name: "stats",
    arity: Arity::Exactly(2),
    tips: &[
        "nondeterministic_output",
        "request_policy:all_shards",
        "response_policy:special",
    ],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(1)",
        summary: "Returns where memory goes, in figures.",
        ..Docs::BASE
    },
    run: memory_stats,
    ..Command::BASE
};

/// Answers where the memory goes, as pairs of name and figure, in the names of Redis; bytes unless a name says
/// otherwise. The figures are those of INFO memory.
fn memory_stats(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let memory = memory_overview(ctx.state);
    let links = crate::cluster::act::links::memory(ctx.state);
    let reply = &mut *ctx.reply;
    let mut pairs = 0;
    let mark = reply.open();
    macro_rules! integers {
        ($($name:literal: $value:expr),* $(,)?) => {
            $( reply.bulk($name.as_bytes()); reply.integer($value as i64); pairs += 1; )*
        };
    }
    macro_rules! doubles {
        ($($name:literal: $value:expr),* $(,)?) => {
            $( reply.bulk($name.as_bytes()); reply.double($value); pairs += 1; )*
        };
    }
    integers!(
        "peak.allocated": memory.peak,
        "total.allocated": memory.used,
        "startup.allocated": memory.startup,
        "replication.backlog": memory.backlog,
        "replica.fullsync.buffer": 0,
        "clients.slaves": memory.clients_replicas,
        "clients.normal": memory.clients_normal,
        "cluster.links": links,
        "aof.buffer": memory.aof_buffer,
        "lua.caches": memory.scripts,
        "functions.caches": memory.functions,
        "script.VMs": memory.interpreters,
    );
    for (db, bytes) in &memory.tables {
        reply.bulk(format!("db.{db}").as_bytes());
        reply.map(2);
        reply.bulk(b"overhead.hashtable.main");
        reply.count(*bytes);
        // Deadlines are part of the entries.
        reply.bulk(b"overhead.hashtable.expires");
        reply.count(0);
        pairs += 1;
    }
    let tables: usize = memory.tables.iter().map(|(_, bytes)| bytes).sum();
    let bytes_per_key = memory.dataset.checked_div(memory.keys).unwrap_or(0);
    integers!(
        "overhead.db.hashtable.lut": tables,
        "overhead.db.hashtable.rehashing": 0,
        "overhead.total": memory.overhead,
        "db.dict.rehashing.count": 0,
        "keys.count": memory.keys,
        "keys.bytes-per-key": bytes_per_key,
        "dataset.bytes": memory.dataset,
    );
    doubles!(
        "dataset.percentage": memory.dataset_percent(),
        "peak.percentage": memory.peak_percent(),
    );
    integers!(
        "allocator.allocated": memory.used,
        "allocator.active": memory.used,
        "allocator.resident": memory.resident,
        "allocator.muzzy": 0,
    );
    doubles!("allocator-fragmentation.ratio": 1.0);
    integers!("allocator-fragmentation.bytes": 0);
    doubles!("allocator-rss.ratio": memory.fragmentation());
    integers!("allocator-rss.bytes": memory.fragmentation_bytes());
    doubles!("rss-overhead.ratio": 1.0);
    integers!("rss-overhead.bytes": 0);
    doubles!("fragmentation": memory.fragmentation());
    integers!("fragmentation.bytes": memory.fragmentation_bytes());
    reply.close_map(mark, pairs);
    Ok(())
}

const MEMORY_USAGE: Command = Command {
    name: "usage",
    arity: Arity::AtLeast(3),
    flags: &[ReadOnly],
    keys: &[KeySpec::at(2, &[Ro])],
    args: &[
        arg::key("key"),
        arg::integer("count").token("SAMPLES").optional(),
    ],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(N) where N is the number of samples",
        summary: "Returns how many bytes a key and its value take.",
        ..Docs::BASE
    },
    run: memory_usage,
    ..Command::BASE
};

/// Answers the bytes that a key and its value take, null for a missing key. Elements of large values are sampled (5, or
/// SAMPLES of them, all for 0). Leaves the access clock alone.
fn memory_usage(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let key = args.key()?;
    let mut samples = 5;
    while !args.is_empty() {
        if !args.word_with("SAMPLES", 1) {
            return Err(Error::Syntax);
        }
        samples = args.integer()?;
        if samples < 0 {
            return Err(Error::Syntax);
        }
    }
    let entry = ctx.state.keyspace[ctx.db].peek(key);
    let bytes = entry.map(|entry| entry.mem_bytes(samples as usize));
    let meta = ctx.state.keyspace[ctx.db].meta(key).map_or(0, |meta| {
        let place = Place {
            db: ctx.db.0 as i32,
            key: Some(key),
        };
        meta.get().memory(place, samples as usize)
    });
    match bytes {
        Some(bytes) => ctx.reply.count(bytes + meta),
        None => ctx.reply.null(),
    }
    Ok(())
}
