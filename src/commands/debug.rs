//! DEBUG: what tests and the curious need to see and to turn.
//!
//! Mirrors: `debugCommand` of debug.c, with its digests: one data set has the same digest here and there.
//! Differs: the tables shown are ours, which neither rehash nor chain.

use super::prelude::*;
use crate::keyspace;
use crate::keyspace::{Db, DbId, Entry, NewValue, ValueRef};
use crate::persistence;
use crate::persistence::rdb::dump;
use crate::replication;
use crate::resp::Value;
use crate::state::REPLY_BUFFER_PEAK_RESET;
use crate::types::Kind;
use crate::types::elements::Order;
use crate::types::foreign::Place;
use crate::types::{Foreign, Held, List};
use crate::util::crc16::crc16;
use crate::util::glob::{self, Case};
use crate::util::num;
use crate::util::sha1::sha1;

pub const COMMANDS: &[&Command] = &[&DEBUG];

const DEBUG: Command = Command {
    name: "debug",
    arity: Arity::AtLeast(2),
    flags: &[NeedsDebugCommand, Admin, NoScript, Loading, Stale],
    docs: Docs {
        group: Group::Server,
        since: "1.0.0",
        complexity: "Depends on the subcommand",
        summary: "Looks into the server, and turns switches meant for tests.",
        syscmd: true,
        ..Docs::BASE
    },
    run: debugCommand,
    ..Command::BASE
};

/// Named as in Redis: it is what one looks for in the stacks of a server that DEBUG made sleep or crash.
#[allow(non_snake_case)]
#[inline(never)]
fn debugCommand(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let name = args.bytes()?;
    let lower = name.to_ascii_lowercase();
    match (lower.as_slice(), args.len()) {
        (b"help", 0) => help(ctx),
        (b"config-rewrite-force-all", 0) => {
            super::config::rewrite_file(ctx.state, true)?;
            ctx.reply.ok();
        }
        (b"set-allow-access-expired", 1) => {
            let on = switch(&mut args)?;
            ctx.state.keyspace.env().set_see_expired(on);
            ctx.reply.ok();
        }
        (b"keysizes-hist-assert" | b"reply-copy-avoidance", 1) => {
            // Both switches are taken without effect: the histograms are always kept exact, and a large value is never
            // copied into the reply.
            switch(&mut args)?;
            ctx.reply.ok();
        }
        (b"dict-resizing", 1) => {
            // There is nothing to switch: a table grows and shrinks by one segment at a time.
            switch(&mut args)?;
            ctx.reply.ok();
        }
        (b"digest", 0) => digest(ctx),
        (b"digest-value", _) => digest_value(ctx, args),
        (b"assert", 0) => {
            // Taken apart, so that nothing can tell at compile time.
            let one = args.len() + 1;
            assert!(one == 2, "1 == 2");
        }
        (b"panic", 0) => panic!("called by Unittest"),
        (b"segfault", 0) => crate::sys::crash::segfault(),
        (b"error", 1) => return Err(Error::coded(text(&mut args)?)),
        (b"htstats", 1 | 2) => table_stats(ctx, args)?,
        (b"htstats-key", 1 | 2) => super::debug_values::hash_table(ctx, args)?,
        (b"internal_secret", 0) => {
            let Some(machine) = ctx.state.cluster.machine() else {
                return Err(Error::once("Internal secret is missing"));
            };
            // A hash tells whether two nodes agree, and not the secret.
            let hash = crc16(machine.secret());
            ctx.reply.integer(hash.into());
        }
        (b"mark-internal-client", 0) => {
            ctx.client()
                .flags
                .set(crate::clients::ClientFlags::INTERNAL);
            ctx.reply.ok();
        }
        (b"mark-internal-client", 1) => {
            if !args.word("UNMARK") {
                return Err(Error::Syntax);
            }
            ctx.client()
                .flags
                .clear(crate::clients::ClientFlags::INTERNAL);
            ctx.reply.ok();
        }
        (b"clusterlink", 3) => super::debug_cluster::kill_links(ctx, args)?,
        (b"drop-cluster-packet-filter", 1) => super::debug_cluster::drop_filter(ctx, args)?,
        (b"close-cluster-link-on-packet-drop", 1) => {
            let on = switch(&mut args)?;
            super::debug_cluster::close_on_drop(ctx.state, on);
            ctx.reply.ok();
        }
        (b"listpack", 1) => super::debug_values::listpack(ctx, args)?,
        (b"quicklist", 1 | 2) => super::debug_values::quicklist(ctx, args)?,
        (b"log", 1) => {
            let message = text(&mut args)?;
            ctx.state.log.warning(format_args!("DEBUG LOG: {message}"));
            ctx.reply.ok();
        }
        (b"object", 1) => object(ctx, args)?,
        (b"client-eviction", 0) => client_eviction(ctx)?,
        (b"pause-cron", 1) => {
            ctx.state.debug.pause_cron = switch(&mut args)?;
            ctx.reply.ok();
        }
        (b"repl-pause", 1) => repl_pause(ctx, args)?,
        (b"populate", 1..=3) => populate(ctx, args)?,
        (b"protocol", 1) => protocol(ctx, args)?,
        (b"quicklist-packed-threshold", 1) => {
            let wrong = || {
                Error::once("argument must be a memory value bigger than 1 and smaller than 4gb")
            };
            let bytes = num::parse_memory(args.bytes()?).ok_or_else(wrong)?;
            if bytes >= 4 << 30 {
                return Err(wrong());
            }
            ctx.state.list_plain_from = bytes as usize;
            ctx.reply.ok();
        }
        (b"replybuffer", 2) => reply_buffer(ctx, args)
            .map_err(|error| error.unwrap_or_else(|| args.wrong_subcommand()))?,
        (b"aof-flush-sleep", 1) => {
            let us = num::parse_u64(args.bytes()?).ok_or(Error::NotInteger)?;
            ctx.state.persistence.aof.flush_sleep_us = us;
            ctx.reply.ok();
        }
        (b"loadaof", 0) => {
            persistence::act::loading::reload_aof(ctx.state).map_err(Error::once)?;
            ctx.reply.ok();
        }
        (b"change-repl-id", 0) => {
            replication::act::primary::change_stream(ctx.state);
            ctx.reply.ok();
        }
        (b"replicate", 1..) => {
            // The words are sent as they are, whatever they do to the replicas.
            let words: Vec<&[u8]> = args.collect();
            replication::act::stream::say_to_replicas(ctx.state, &words);
            ctx.reply.ok();
        }
        (b"reload", _) => reload(ctx, args)?,
        (b"set-active-expire", 1) => {
            ctx.state.active_expire = switch(&mut args)?;
            ctx.reply.ok();
        }
        (b"set-disable-deny-scripts", 1) => {
            ctx.state.debug.disable_deny_scripts = switch(&mut args)?;
            ctx.reply.ok();
        }
        (b"enable-keymeta-runtime-registration", 1) => {
            ctx.state.debug.key_classes_anytime = switch(&mut args)?;
            ctx.reply.ok();
        }
        (b"set-skip-checksum-validation", 1) => {
            ctx.state.persistence.skip_checksum = switch(&mut args)?;
            ctx.reply.ok();
        }
        (b"sleep", 1) => {
            let seconds = num::parse_f64(args.bytes()?).unwrap_or(0.0);
            if seconds > 0.0 {
                ctx.state.clock.sleep((seconds * 1e6) as u64);
            }
            ctx.reply.ok();
        }
        (b"stringmatch-len", 2) => {
            let (pattern, string) = (args.bytes()?, args.bytes()?);
            let matches = glob::matches(pattern, string, Case::Sensitive);
            ctx.reply.integer(matches.into());
        }
        (b"structsize", 0) => {
            let sizes = format!(
                "bits:{} value:{} client:{} command:{}",
                usize::BITS,
                size_of::<crate::types::Value>(),
                size_of::<crate::clients::Client>(),
                size_of::<crate::command::table::Entry>(),
            );
            ctx.reply.bulk(sizes.as_bytes());
        }
        _ => return Err(args.wrong_subcommand()),
    }
    Ok(())
}

/// DEBUG RELOAD: the data set goes to its file and comes back.
fn reload(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let (mut save, mut flush) = (true, true);
    let mut flags = crate::persistence::loading::Flags::default();
    while !args.is_empty() {
        if args.word("MERGE") {
            flags.allow_duplicates = true;
        } else if args.word("NOFLUSH") {
            flush = false;
        } else if args.word("NOSAVE") {
            save = false;
        } else {
            return Err(Error::once(
                "DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            ));
        }
    }
    persistence::act::loading::reload(ctx.state, save, flush, flags).map_err(Error::once)?;
    ctx.reply.ok();
    Ok(())
}

/// Lists the subcommands, a line of syntax and a line of explanation each.
fn help(ctx: &mut Ctx<'_>) {
    ctx.reply.help(
        "DEBUG",
        &[
            "AOF-FLUSH-SLEEP <microseconds>",
            "    Wait before each write to the append-only file.",
            "CHANGE-REPL-ID",
            "    Begin a replication stream of another name.",
            "CLOSE-CLUSTER-LINK-ON-PACKET-DROP <0|1>",
            "    Close the link of a message that the packet filter drops.",
            "CLUSTERLINK KILL <TO|FROM|ALL> <node-id>",
            "    Close the links of the cluster bus to a node, from it, or both.",
            "CONFIG-REWRITE-FORCE-ALL",
            "    CONFIG REWRITE with every option written out.",
            "DICT-RESIZING <0|1>",
            "    Accepted; tables here grow by a segment at a time.",
            "ASSERT",
            "    Crash by an assertion that fails.",
            "KEYSIZES-HIST-ASSERT <0|1>",
            "    Accepted; histograms of sizes are counted where sizes change.",
            "REPLY-COPY-AVOIDANCE <0|1>",
            "    Accepted; a large value is always sent from where it lies.",
            "SET-ALLOW-ACCESS-EXPIRED <0|1>",
            "    Find keys that are past their deadline as if they had none.",
            "CLIENT-EVICTION",
            "    How many clients there are of each size, while maxmemory-clients is set.",
            "DIGEST",
            "    A hash of all data, 40 zeros when there is none.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Hashes of values.",
            "MARK-INTERNAL-CLIENT [UNMARK]",
            "    Treat this client as an internal connection, which finds internal commands.",
            "DROP-CLUSTER-PACKET-FILTER <kind>",
            "    Drop messages of the cluster bus of this kind; -1 drops none.",
            "ENABLE-KEYMETA-RUNTIME-REGISTRATION <0|1>",
            "    Whether modules may make classes of key metadata after they were loaded.",
            "ERROR <string>",
            "    Answer with this error.",
            "HTSTATS <dbid> [full]",
            "    The shape of a database's table.",
            "HTSTATS-KEY <key> [full]",
            "    The shape of a value's table.",
            "INTERNAL_SECRET",
            "    A hash of the secret that the nodes of a cluster share; an error outside of cluster mode.",
            "LISTPACK <key>",
            "    The elements of a value that is a listpack, as they lie in it.",
            "LOADAOF",
            "    Empty the databases and replay the append-only file.",
            "LOG <message>",
            "    Write a line to the log.",
            "OBJECT <key>",
            "    How a key is stored.",
            "PANIC",
            "    Crash by a panic.",
            "PAUSE-CRON <0|1>",
            "    Stop periodic work.",
            "POPULATE <count> [<prefix>] [<size>]",
            "    Create strings that are not propagated.",
            "PROTOCOL <type>",
            "    A reply of a type: string, integer, double, bignum, null, array, set, map, attrib,",
            "    push, verbatim, true, false.",
            "REPL-PAUSE <clear|after-fork|before-rdb-channel|on-streaming-repl-buf>",
            "    Stop the process (SIGSTOP) at a moment of a full synchronisation.",
            "QUICKLIST <key> [<0|1>]",
            "    The blocks of a list, with 1 their elements too.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    From which size on an element of a list is a block of its own; 0 for the default.",
            "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
            "    Save, empty the databases, load.",
            "REPLYBUFFER PEAK-RESET-TIME (NEVER|RESET|<milliseconds>)",
            "    How long the peak of a reply buffer is remembered.",
            "REPLYBUFFER RESIZING <0|1>",
            "    Whether reply buffers are fitted to what clients need.",
            "REPLICATE <word> [<word> ...]",
            "    Send these words to the replicas, whatever they do there.",
            "SEGFAULT",
            "    Crash by writing where nothing is.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Whether keys are expired that nobody looks at.",
            "SET-DISABLE-DENY-SCRIPTS <0|1>",
            "    Whether scripts may call what they otherwise may not.",
            "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
            "    Whether checksums of snapshots and payloads are ignored.",
            "SLEEP <seconds>",
            "    Do nothing for that long.",
            "STRINGMATCH-LEN <pattern> <string>",
            "    Whether a glob pattern matches.",
            "STRUCTSIZE",
            "    Sizes of inner structures.",
        ],
    );
}

fn text(args: &mut Args<'_>) -> Result<String> {
    Ok(String::from_utf8_lossy(args.bytes()?).into_owned())
}

/// Takes 0 or 1. As in Redis, a text that is no number is 0.
fn switch(args: &mut Args<'_>) -> Result<bool> {
    Ok(num::parse_i64(args.bytes()?).unwrap_or(0) != 0)
}

type Hash = [u8; 20];

/// Adds bytes whose place does not matter.
#[doc(alias = "xorDigest")]
fn add(into: &mut Hash, bytes: &[u8]) {
    into.iter_mut().zip(sha1(bytes)).for_each(|(a, b)| *a ^= b);
}

/// Adds bytes that follow what was added before.
#[doc(alias = "mixDigest")]
fn mix(into: &mut Hash, bytes: &[u8]) {
    add(into, bytes);
    *into = sha1(into);
}

/// The number of a type in Redis, which goes into digests.
fn type_number(kind: Kind) -> u32 {
    match kind {
        Kind::String => 0,
        Kind::List => 1,
        Kind::Set => 2,
        Kind::Zset => 3,
        Kind::Hash => 4,
        Kind::Stream => 6,
        Kind::Array => 7,
        // A module's.
        Kind::Vset | Kind::Module => 5,
    }
}

/// Adds the value of a key; the digest does not depend on the value's encoding.
#[doc(alias = "xorObjectDigest")]
fn mix_value(into: &mut Hash, entry: &Entry<'_>) {
    mix(into, &type_number(entry.kind()).to_be_bytes());
    match entry.value() {
        ValueRef::String(string) => mix(into, &string.to_vec()),
        ValueRef::Object(value) if value.kind() == Kind::Module => {
            let place = Place {
                db: 0,
                key: Some(entry.key()),
            };
            if let Some(digest) = Foreign::of(value).and_then(|own| own.get().digest(place)) {
                add(into, &digest);
            }
        }
        // The elements of a module's value are a sum of their own.
        ValueRef::Object(value) if value.kind() == Kind::Vset => {
            let mut all = Hash::default();
            value.elements(&mut |parts| {
                let mut element = Hash::default();
                parts.iter().for_each(|part| mix(&mut element, part));
                add(&mut all, &element);
            });
            add(into, &all);
        }
        ValueRef::Object(value) => {
            let ordered = value.order() == Order::Counts;
            value.elements(&mut |parts| match parts {
                _ if ordered => parts.iter().for_each(|part| mix(into, part)),
                [member] => add(into, member),
                parts => {
                    let mut element = Hash::default();
                    let (pair, more) = parts.split_at(2);
                    pair.iter().for_each(|part| mix(&mut element, part));
                    more.iter().for_each(|part| add(&mut element, part));
                    add(into, &element);
                }
            });
        }
    }
    if entry.deadline().is_some() {
        add(into, b"!!expire!!");
    }
}

/// DEBUG DIGEST: answers a hash of all data that does not depend on the order of keys or on encodings, 40 zeros for
/// none.
#[doc(alias = "computeDatasetDigest")]
fn digest(ctx: &mut Ctx<'_>) {
    let mut all = Hash::default();
    for db in ctx.state.keyspace.iter().filter(|db| !db.is_empty()) {
        mix(&mut all, &db.id().0.to_be_bytes());
        for entry in db.iter() {
            let mut of_key = Hash::default();
            mix(&mut of_key, entry.key());
            mix_value(&mut of_key, &entry);
            add(&mut all, &of_key);
        }
    }
    ctx.reply.simple(&hex(&all));
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest_value(ctx: &mut Ctx<'_>, args: Args<'_>) {
    ctx.reply.array(args.len());
    for key in args {
        let entry = ctx.state.keyspace[ctx.db].peek_raw(key);
        let mut digest = Hash::default();
        if let Some(entry) = entry {
            mix_value(&mut digest, &entry);
        }
        ctx.reply.simple(&hex(&digest));
    }
}

fn table_stats(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let db = args.integer()?;
    if !(0..i64::from(ctx.state.config.databases)).contains(&db) {
        return Err(Error::once("Out of range database"));
    }
    let text = describe_table(&ctx.state.keyspace[DbId(db as u32)]);
    ctx.reply.verbatim("txt", text);
    Ok(())
}

fn describe_table(db: &Db) -> String {
    let stats = db.table_stats();
    let mem = db.mem();
    let load = mem.keys as f64 * 100.0 / stats.slots.max(1) as f64;
    let mut text = format!(
        "[Segmented table]\n table size: {}\n number of elements: {}\n elements with a deadline: {}\n \
         load: {load:.2}%\n words in the top: {}\n blocks: {}\n segments: {}\n table bytes: {}\n",
        stats.slots,
        mem.keys,
        mem.volatile,
        stats.top,
        stats.blocks,
        stats.segments,
        mem.table_bytes,
    );
    for (depth, count) in stats
        .depths
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
    {
        text += &format!("   segments of depth {depth}: {count}\n");
    }
    text
}

/// DEBUG OBJECT: answers the representation of a key in one line, and for a list figures about its blocks.
fn object(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let env = ctx.state.keyspace.env();
    let entry = ctx.state.keyspace[ctx.db]
        .peek_raw(args.key()?)
        .ok_or(Error::NoSuchKey)?;
    // The payload of DUMP, without its type, version and checksum.
    let options = persistence::act::saving::dump_options(ctx.state);
    let serialized = dump::dump(entry.value(), options.0, options.1)
        .map_or(0, |payload| payload.len().saturating_sub(11));
    let mut line = format!(
        "Value at:{:#x} refcount:1 encoding:{} serializedlength:{serialized} lru:{} lru_seconds_idle:{}",
        entry.address(),
        entry.encoding(),
        entry.clock(),
        env.idle_ms(entry.clock()) / 1000,
    );
    let list = entry.value().as_object().and_then(List::of);
    let list = list.and_then(List::quick_stats);
    if let Some(list) = list {
        line += &format!(
            " ql_nodes:{} ql_avg_node:{:.2} ql_listpack_max:{} ql_compressed:{} \
             ql_uncompressed_size:{}",
            list.nodes,
            list.elements as f64 / list.nodes.max(1) as f64,
            list.fill,
            u8::from(list.compress_depth != 0),
            list.uncompressed_bytes,
        );
    }
    ctx.reply.simple(&line);
    Ok(())
}

/// The longest value that POPULATE creates, in bytes.
const POPULATE_MAX: i64 = 512 << 20;

/// DEBUG CLIENT-EVICTION: the number of clients of each size, and their memory.
fn client_eviction(ctx: &mut Ctx<'_>) -> Result {
    let state = &*ctx.state;
    if state.config.maxmemory_clients == crate::config::ClientMemory::Bytes(0) {
        return Err(Error::once("maxmemory-clients is disabled."));
    }
    let clients = &state.clients;
    let mut text = String::new();
    for (from, upto, count, bytes) in clients.usage.buckets(clients) {
        let upto = upto.map_or_else(|| "+".into(), |upto| format!("- {upto:>10}"));
        text += &format!("bucket {from:>10} {upto:<12}: tot-mem: {bytes:>10}, clients: {count}\n");
    }
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// DEBUG REPL-PAUSE: stops the process at a moment of every full synchronisation, or with `clear` no more.
fn repl_pause(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let pauses = &mut ctx.state.debug.replication_pauses;
    if args.word("CLEAR") {
        *pauses = Default::default();
    } else if args.word("AFTER-FORK") {
        pauses.after_fork = true;
    } else if args.word("BEFORE-RDB-CHANNEL") {
        pauses.before_rdb_channel = true;
    } else if args.word("ON-STREAMING-REPL-BUF") {
        pauses.on_streaming_buffer = true;
    } else {
        return Err(Error::Syntax);
    }
    ctx.reply.ok();
    Ok(())
}

/// DEBUG POPULATE: creates strings `prefix:0`, `prefix:1` and so on, where there are none. Not propagated.
fn populate(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let count = args.positive()?;
    let prefix = args.next().unwrap_or(b"key");
    let size = if args.is_empty() { 0 } else { args.positive()? };
    if size > POPULATE_MAX {
        return Err(Error::OutOfRange);
    }
    let (mut key, mut value) = (Vec::new(), Vec::new());
    for i in 0..count {
        key.clear();
        key.extend_from_slice(prefix);
        key.extend_from_slice(format!(":{i}").as_bytes());
        if ctx.db().contains(&key) {
            continue;
        }
        value.clear();
        value.extend_from_slice(format!("value:{i}").as_bytes());
        if size > 0 {
            value.resize(size as usize, 0);
        }
        ctx.db().set(&key, NewValue::Bytes(&value), None);
        keyspace::act::notify::touched(ctx.state, ctx.db, &key);
    }
    ctx.reply.ok();
    Ok(())
}

/// The number that tests of client libraries expect; not meant to be π.
#[allow(clippy::approx_constant)]
const SAMPLE_DOUBLE: f64 = 3.141;

/// DEBUG PROTOCOL: answers a reply of the wanted type, for tests of client libraries. Under RESP2 the types of RESP3
/// take their older form; a push message has none, and fails.
fn protocol(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let kind = args.bytes()?.to_ascii_lowercase();
    let reply = &mut *ctx.reply;
    let numbers = || (0..3).map(Value::Integer).collect::<Vec<_>>();
    match kind.as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(SAMPLE_DOUBLE),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => reply.value(&Value::Array(numbers())),
        b"set" => reply.value(&Value::Set(numbers())),
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.boolean(n == 1);
            }
        }
        b"attrib" => {
            if reply.resp3() {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            // An attribute is no reply by itself, so one follows.
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if !reply.resp3() {
                return Err(Error::once("RESP2 is not supported by this command"));
            }
            reply.bulk(b"Some real reply following the push reply");
            // Sent to the asking client itself, a message follows the reply.
            ctx.state.clients.send(ctx.client, |message| {
                message.push(2);
                message.bulk(b"server-cpu-usage");
                message.integer(42);
            });
        }
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        _ => {
            return Err(Error::once(
                "Wrong protocol type name. Please use one of the following: string|integer|double|\
                 bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

/// `Err(None)`: not a subcommand of REPLYBUFFER.
fn reply_buffer(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> std::result::Result<(), Option<Error>> {
    let debug = &mut ctx.state.debug;
    if args.word("PEAK-RESET-TIME") {
        debug.reply_buffer_peak_reset = if args.word("NEVER") {
            None
        } else if args.word("RESET") {
            Some(REPLY_BUFFER_PEAK_RESET)
        } else {
            Some(args.integer()?)
        };
    } else if args.word("RESIZING") {
        debug.reply_buffer_resizing = switch(&mut args)?;
    } else {
        return Err(None);
    }
    ctx.reply.ok();
    Ok(())
}
