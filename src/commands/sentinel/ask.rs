//! SENTINEL's questions: what it knows of primaries, replicas and other sentinels, and whether a primary is down.
//!
//! Mirrors: the reading subcommands of sentinelCommand() in sentinel.c.

use super::*;
use crate::sentinel::{Group as Watched, Held, Instance};

/// The part that most of SENTINEL's subcommands share: they are an administrator's.
pub(super) const BASE: Command = Command {
    flags: &[Admin],
    ..Command::BASE
};

const NAME: crate::command::Arg = arg::string("master-name");

/// Reads the name of a group and asks about it.
fn about<T>(
    ctx: &mut Ctx<'_>,
    args: &mut Args<'_>,
    ask: impl FnOnce(&Sentinel, &Watched) -> T,
) -> Result<T> {
    let name = args.bytes()?;
    tell(ctx, |sentinel| {
        let group = text(name).ok().and_then(|name| sentinel.groups.get(name));
        group.map(|group| ask(sentinel, group)).ok_or(NO_SUCH_GROUP)
    })?
}

type Fields = Vec<(&'static str, String)>;

fn write_fields(ctx: &mut Ctx<'_>, fields: &Fields) {
    ctx.reply.map(fields.len());
    for (name, value) in fields {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value.as_bytes());
    }
}

fn write_list(ctx: &mut Ctx<'_>, list: &[Fields]) {
    ctx.reply.array(list.len());
    list.iter().for_each(|fields| write_fields(ctx, fields));
}

pub(super) const MYID: Command = Command {
    name: "myid",
    arity: Arity::Exactly(2),
    docs: Docs {
        since: "6.2.0",
        summary: "Returns the Redis Sentinel instance ID.",
        ..DOCS
    },
    run: myid,
    ..BASE
};

fn myid(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let id = tell(ctx, |sentinel| sentinel.core.my_id.clone())?;
    ctx.reply.bulk(id.as_bytes());
    Ok(())
}

pub(super) const MASTERS: Command = Command {
    name: "masters",
    arity: Arity::Exactly(2),
    docs: Docs {
        complexity: "O(N) where N is the number of masters",
        summary: "Returns a list of monitored masters.",
        ..DOCS
    },
    run: masters,
    ..BASE
};

pub(super) const PRIMARIES: Command = Command {
    name: "primaries",
    ..MASTERS
};

fn masters(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let list = tell(ctx, |sentinel| {
        let fields = |group: &Watched| sentinel.core.fields(group, &group.primary);
        sentinel.groups.values().map(fields).collect::<Vec<_>>()
    })?;
    write_list(ctx, &list);
    Ok(())
}

pub(super) const MASTER: Command = Command {
    name: "master",
    arity: Arity::Exactly(3),
    args: &[NAME],
    docs: Docs {
        summary: "Returns the state of a master.",
        ..DOCS
    },
    run: master,
    ..BASE
};

pub(super) const PRIMARY: Command = Command {
    name: "primary",
    ..MASTER
};

fn master(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let fields = about(ctx, &mut args, |sentinel, group| {
        sentinel.core.fields(group, &group.primary)
    })?;
    write_fields(ctx, &fields);
    Ok(())
}

pub(super) const REPLICAS: Command = Command {
    name: "replicas",
    arity: Arity::Exactly(3),
    args: &[NAME],
    docs: Docs {
        since: "5.0.0",
        complexity: "O(N) where N is the number of replicas",
        summary: "Returns a list of the monitored replicas.",
        ..DOCS
    },
    run: replicas,
    ..BASE
};

pub(super) const SLAVES: Command = Command {
    name: "slaves",
    docs: Docs {
        since: "2.8.0",
        deprecated: Some(("5.0.0", "`SENTINEL REPLICAS`")),
        ..REPLICAS.docs
    },
    ..REPLICAS
};

/// Lists the replicas of a group, but for those that ask not to be announced.
fn replicas(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let list = about(ctx, &mut args, |sentinel, group| {
        let announced = group.replicas.values().filter(|one| one.announced);
        let fields = |one: &Instance| sentinel.core.fields(group, one);
        announced.map(fields).collect::<Vec<_>>()
    })?;
    write_list(ctx, &list);
    Ok(())
}

pub(super) const SENTINELS: Command = Command {
    name: "sentinels",
    arity: Arity::Exactly(3),
    args: &[NAME],
    docs: Docs {
        complexity: "O(N) where N is the number of Sentinels",
        summary: "Returns a list of Sentinel instances.",
        ..DOCS
    },
    run: sentinels,
    ..BASE
};

fn sentinels(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let list = about(ctx, &mut args, |sentinel, group| {
        let fields = |one: &Instance| sentinel.core.fields(group, one);
        group.peers.values().map(fields).collect::<Vec<_>>()
    })?;
    write_list(ctx, &list);
    Ok(())
}

pub(super) const GET_MASTER_ADDR_BY_NAME: Command = Command {
    name: "get-master-addr-by-name",
    arity: Arity::Exactly(3),
    args: &[NAME],
    docs: Docs {
        summary: "Returns the port and IP address of a master.",
        ..DOCS
    },
    run: get_master_addr,
    ..BASE
};

pub(super) const GET_PRIMARY_ADDR_BY_NAME: Command = Command {
    name: "get-primary-addr-by-name",
    ..GET_MASTER_ADDR_BY_NAME
};

/// Answers the address of a group's primary: that of the promoted replica from its promotion on. Null for a group that
/// is not watched, so that clients go on to the next sentinel.
fn get_master_addr(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let address = about(ctx, &mut args, |sentinel, group| {
        let address = group.current_address();
        (address.announced(&sentinel.core), address.port)
    });
    let Ok((host, port)) = address else {
        ctx.reply.null_array();
        return Ok(());
    };
    ctx.reply.array(2);
    ctx.reply.bulk(host.as_bytes());
    ctx.reply.bulk(port.to_string().as_bytes());
    Ok(())
}

pub(super) const CKQUORUM: Command = Command {
    name: "ckquorum",
    arity: Arity::Exactly(3),
    args: &[NAME],
    docs: Docs {
        summary: "Checks for a Redis Sentinel quorum.",
        ..DOCS
    },
    run: ckquorum,
    ..BASE
};

fn ckquorum(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let quorum = about(ctx, &mut args, |_, group| group.check_quorum())?;
    let usable = quorum.usable;
    if quorum.reaches_quorum && quorum.reaches_majority {
        ctx.reply.simple(&format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        ));
        return Ok(());
    }
    let mut line = format!("NOQUORUM {usable} usable Sentinels. ");
    if !quorum.reaches_quorum {
        line += "Not enough available Sentinels to reach the specified quorum for this master";
    }
    if !quorum.reaches_majority {
        if !quorum.reaches_quorum {
            line += ". ";
        }
        line += "Not enough available Sentinels to reach the majority and authorize a failover";
    }
    Err(Error::coded(line))
}

pub(super) const IS_MASTER_DOWN_BY_ADDR: Command = Command {
    name: "is-master-down-by-addr",
    arity: Arity::Exactly(6),
    args: &[
        arg::string("ip"),
        arg::integer("port"),
        arg::integer("current-epoch"),
        arg::string("runid"),
    ],
    docs: Docs {
        summary: "Determines whether a master instance is down.",
        ..DOCS
    },
    run: is_master_down,
    ..BASE
};

pub(super) const IS_PRIMARY_DOWN_BY_ADDR: Command = Command {
    name: "is-primary-down-by-addr",
    ..IS_MASTER_DOWN_BY_ADDR
};

/// Answers whether the primary at an address looks down, and votes for a sentinel that names itself. A vote is answered
/// once the file that remembers it is saved.
fn is_master_down(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = args;
    let host = text(args.bytes()?)?;
    let (port, epoch) = (args.integer()?, args.integer()?);
    let id = text(args.bytes()?)?;
    let port = u16::try_from(port).unwrap_or(0);
    let epoch = u64::try_from(epoch).map_err(|_| Error::NotInteger)?;
    let candidate = (id != "*").then_some(id);
    let (verdict, saved) = tell(ctx, |sentinel| {
        let verdict = sentinel.is_down(host, port, epoch, candidate);
        let saved = sentinel.core.is_saved(verdict.after);
        (verdict, saved)
    })?;
    if saved {
        sentinel::act::write_verdict(ctx.reply, &verdict);
        return Ok(());
    }
    let (asker, after) = (asker(ctx, request), verdict.after);
    sentinel::act::hold(ctx.state, asker, after, Held::Verdict(verdict));
    Ok(())
}

pub(super) const INFO_CACHE: Command = Command {
    name: "info-cache",
    arity: Arity::AtLeast(2),
    args: &[arg::string("nodename").multiple()],
    docs: Docs {
        since: "3.2.0",
        complexity: "O(N) where N is the number of instances",
        summary: "Returns the cached `INFO` replies from the deployment's instances.",
        ..DOCS
    },
    run: info_cache,
    ..BASE
};

/// Answers the last INFO replies of the named groups, or of all: for each group its name, and for its primary and each
/// replica the age of the reply in milliseconds and its text.
fn info_cache(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let names: Vec<&[u8]> = args.collect();
    let wanted = |name: &str| names.is_empty() || names.contains(&name.as_bytes());
    type Cached = (i64, Option<Vec<u8>>);
    let groups = tell(ctx, |sentinel| {
        let now = sentinel.core.now.ms;
        let cached = |one: &Instance| -> Cached {
            let age = one.info_at.map_or(0, |at| now - at);
            (age, one.info_at.map(|_| one.info.clone()))
        };
        let groups = sentinel.groups.values().filter(|one| wanted(&one.name));
        groups
            .map(|group| {
                let servers = std::iter::once(&group.primary).chain(group.replicas.values());
                (group.name.clone(), servers.map(cached).collect::<Vec<_>>())
            })
            .collect::<Vec<_>>()
    })?;
    ctx.reply.array(groups.len() * 2);
    for (name, servers) in &groups {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.array(servers.len());
        for (age_ms, info) in servers {
            ctx.reply.array(2);
            ctx.reply.integer(*age_ms);
            ctx.reply.bulk_or_null(info.as_deref());
        }
    }
    Ok(())
}

pub(super) const PENDING_SCRIPTS: Command = Command {
    name: "pending-scripts",
    arity: Arity::Exactly(2),
    docs: Docs {
        summary: "Returns information about pending scripts for Redis Sentinel.",
        ..DOCS
    },
    run: pending_scripts,
    ..BASE
};

fn pending_scripts(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let (now, scripts) = tell(ctx, |sentinel| {
        let scripts = sentinel.core.scripts().iter().cloned();
        (sentinel.core.now.ms, scripts.collect::<Vec<_>>())
    })?;
    let reply = &mut *ctx.reply;
    reply.array(scripts.len());
    for script in &scripts {
        let running = script.running_since;
        reply.map(5);
        reply.bulk(b"argv");
        reply.array(1 + script.argv.len());
        reply.bulk(script.path.as_bytes());
        script
            .argv
            .iter()
            .for_each(|word| reply.bulk(word.as_bytes()));
        let (flags, time, ms) = match running {
            Some(since) => ("running", "run-time", now - since),
            None => ("scheduled", "run-delay", (script.not_before - now).max(0)),
        };
        let pid = running.map_or(0, |_| script.pid);
        let rest = [
            ("flags", flags.to_owned()),
            ("pid", pid.to_string()),
            (time, ms.to_string()),
            ("retry-num", script.tries.to_string()),
        ];
        for (name, value) in rest {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        }
    }
    Ok(())
}
