//! CONFIG: the configuration, seen and changed by clients.
//!
//! CONFIG SET changes all of its options or none: each value is parsed and checked, then all are set, then
//! `config/act/apply.rs` acts on them; if that fails (a port that is taken), the old values are set and applied again.
//!
//! Mirrors: `configGetCommand()`, `configSetCommand()`, `configRewriteCommand()`, `configResetStatCommand()` and the
//! update…() functions of config.c.

use super::prelude::*;
use crate::clients::ClientFlags;
use crate::config::{self, Permissions};
use crate::config::{Remark, Rewrite, SetError, disk};
use crate::modules::{EventData, EventId};
use crate::state::State;
use crate::util::args;

pub const COMMANDS: &[&Command] = &[&CONFIG];

const CONFIG: Command = Command {
    name: "config",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Server,
        since: "2.0.0",
        complexity: "Depends on subcommand.",
        summary: "Reads and changes the configuration of the running server.",
        ..Docs::BASE
    },
    subcommands: &[
        &CONFIG_GET,
        &CONFIG_HELP,
        &CONFIG_RESETSTAT,
        &CONFIG_REWRITE,
        &CONFIG_SET,
    ],
    ..Command::BASE
};

const CONFIG_GET: Command = Command {
    name: "get",
    arity: Arity::AtLeast(3),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[arg::string("parameter").multiple()],
    docs: Docs {
        group: Group::Server,
        since: "2.0.0",
        complexity: "O(N) where N is the number of options.",
        summary: "Returns options and their values, by name or pattern.",
        ..Docs::BASE
    },
    run: config_get,
    ..Command::BASE
};

#[doc(alias = "configGetCommand")]
fn config_get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let patterns: Vec<&[u8]> = args.collect();
    let mut found = ctx.state.config.get(&patterns);
    if !ctx.state.modules.options.is_empty()
        && let Some(doors) = ctx.state.module_doors
    {
        let more = (doors.get_options)(ctx.state, &patterns);
        found.extend(more);
    }
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk(&name);
        ctx.reply.bulk(&value);
    }
    Ok(())
}

const CONFIG_SET: Command = Command {
    name: "set",
    arity: Arity::AtLeast(4),
    flags: &[Admin, NoScript, Loading, Stale],
    args: &[arg::block("data", &[arg::string("parameter"), arg::string("value")]).multiple()],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Server,
        since: "2.0.0",
        complexity: "O(N) where N is the number of options set.",
        summary: "Sets options while the server runs, all of them or none.",
        ..Docs::BASE
    },
    run: config_set,
    ..Command::BASE
};

/// Sets options, all of them or none. Fails for an unknown option, a bad value, an option named twice, one that cannot
/// be changed while the server runs, and a protected one from elsewhere than `enable-protected-configs` allows. Values
/// of secret options are hidden from MONITOR and the slow log. Not propagated.
#[doc(alias = "configSetCommand")]
fn config_set(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    // The word after the name of a secret option is hidden, also where names and values are out of step.
    for position in args.position()..args.argv().len() - 1 {
        let name = args.argv().get(position);
        let option = config::find(name);
        let mut options = ctx.state.modules.options.iter();
        let of_module = options.any(|option| option.is_secret() && option.is_named(name));
        if of_module || option.is_some_and(|option| option.has(config::Flag::Sensitive)) {
            ctx.redact(position + 1);
        }
    }
    let mut pairs = Vec::with_capacity(args.len() / 2);
    while !args.is_empty() {
        pairs.push((args.bytes()?, args.bytes()?));
    }
    let permissions = Permissions {
        protected: is_trusted(ctx),
        loading: ctx.state.persistence.is_loading(),
    };
    let of_modules = options_of_modules(ctx, &mut pairs, permissions)?;
    match config::set(ctx.state, &pairs, permissions) {
        Ok(remarks) => {
            log(ctx.state, &remarks);
            let names = pairs.iter().chain(&of_modules).map(|(name, _)| *name);
            let told = EventData::Names(names.collect());
            ctx.state.tell_modules(EventId::Config, 0, told);
            ctx.reply.ok();
            Ok(())
        }
        Err(SetError::Loading) => Err(Error::Loading),
        Err(error) => Err(Error::once(error.to_string())),
    }
}

/// Takes the pairs of modules' options out, and sets them. The server's own, which come after, are judged before.
fn options_of_modules<'a>(
    ctx: &mut Ctx<'_>,
    pairs: &mut Vec<(&'a [u8], &'a [u8])>,
    permissions: Permissions,
) -> Result<Vec<(&'a [u8], &'a [u8])>> {
    let failed = |name: &[u8], reason: &str| {
        let name = String::from_utf8_lossy(name);
        Error::once(format!(
            "CONFIG SET failed (possibly related to argument '{name}') - {reason}"
        ))
    };
    let known = |name: &[u8]| {
        let mut options = ctx.state.modules.options.iter();
        options.find(|option| option.is_named(name))
    };
    let own: Vec<_> = pairs
        .extract_if(.., |(name, _)| known(name).is_some())
        .collect();
    for (at, (name, _)) in own.iter().enumerate() {
        if own[..at]
            .iter()
            .any(|(before, _)| before.eq_ignore_ascii_case(name))
        {
            return Err(failed(name, "duplicate parameter"));
        }
        let Some(option) = known(name) else { continue };
        let refusal = option.refuses(permissions.protected, permissions.loading);
        match refusal {
            Some("") => return Err(Error::Loading),
            Some(reason) => return Err(failed(name, reason)),
            None => {}
        }
    }
    if own.is_empty() {
        return Ok(own);
    }
    // Whether the others can be set is known before any is.
    if let Err(error) = ctx.state.config.with(pairs, permissions) {
        return Err(match error {
            SetError::Loading => Error::Loading,
            error => Error::once(error.to_string()),
        });
    }
    if let Some(doors) = ctx.state.module_doors {
        (doors.set_options)(ctx.state, &own).map_err(|(name, reason)| failed(&name, &reason))?;
    }
    Ok(own)
}

/// May the client change protected options?
fn is_trusted(ctx: &mut Ctx<'_>) -> bool {
    let local = is_local(ctx);
    ctx.state.config.enable_protected_configs.allows(local)
}

/// Does the client's connection come from this machine?
fn is_local(ctx: &mut Ctx<'_>) -> bool {
    let client = ctx.client();
    let no_network = ClientFlags::UNIX_SOCKET | ClientFlags::FAKE;
    let address = client.address.parse::<std::net::SocketAddr>();
    client.flags.any(no_network) || address.is_ok_and(|a| a.ip().is_loopback())
}

const CONFIG_REWRITE: Command = Command {
    name: "rewrite",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript, Loading, Stale],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Server,
        since: "2.8.0",
        complexity: "O(N) where N is the number of lines and options.",
        summary: "Writes the configuration in force to the file it came from.",
        ..Docs::BASE
    },
    run: config_rewrite,
    ..Command::BASE
};

#[doc(alias = "configRewriteCommand")]
fn config_rewrite(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    rewrite_file(ctx.state, false)?;
    ctx.reply.ok();
    Ok(())
}

/// CONFIG REWRITE, and DEBUG CONFIG-REWRITE-FORCE-ALL with `force_all`.
pub fn rewrite_file(state: &mut State, force_all: bool) -> Result {
    if state.config.file.is_none() {
        return Err(Error::once("The server is running without a config file"));
    }
    let module_options = match state.module_doors {
        Some(doors) => (doors.option_lines)(state),
        None => Vec::new(),
    };
    let loaded = state.modules.loaded.iter().map(|loaded| {
        let words = std::iter::once(loaded.path.as_bytes());
        let words = words.chain(loaded.args.iter().map(Vec::as_slice));
        let mut line = b"loadmodule".to_vec();
        for word in words {
            line.push(b' ');
            match args::needs_repr(word) {
                true => args::repr(&mut line, word),
                false => line.extend_from_slice(word),
            }
        }
        line
    });
    let users = state.acl.users().map(|user| args::repr_words(&user.line()));
    let rewrite = Rewrite {
        force_all,
        users: Some(match state.config.aclfile.is_empty() {
            true => users.collect(),
            false => Vec::new(),
        }),
        modules: Some(loaded.collect()),
        module_options,
        ..Rewrite::default()
    };
    match state.config.rewrite_file(&state.disk, &rewrite) {
        Ok(()) => {
            state.log.notice("CONFIG REWRITE executed with success.");
            Ok(())
        }
        Err(error) => {
            let reason = disk::reason(&error);
            state
                .log
                .warning(format_args!("CONFIG REWRITE failed: {reason}"));
            Err(Error::once(format!("Rewriting config file: {reason}")))
        }
    }
}

const CONFIG_RESETSTAT: Command = Command {
    name: "resetstat",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript, Loading, Stale],
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        group: Group::Server,
        since: "2.0.0",
        complexity: "O(N) where N is the number of commands.",
        summary: "Sets the counters INFO shows back to zero.",
        ..Docs::BASE
    },
    run: config_resetstat,
    ..Command::BASE
};

#[doc(alias = "configResetStatCommand")]
fn config_resetstat(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.state.stats.reset();
    ctx.state.eviction.reset_figures();
    ctx.state.keyspace.env().reset_hits_and_misses();
    ctx.state.commands.reset_stats();
    ctx.state.cluster.stats.reset();
    ctx.reply.ok();
    Ok(())
}

const CONFIG_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        group: Group::Server,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Describes the subcommands of CONFIG.",
        ..Docs::BASE
    },
    run: config_help,
    ..Command::BASE
};

#[doc(alias = "configHelpCommand")]
fn config_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Result {
    ctx.reply.help(
        "CONFIG",
        &[
            "GET <pattern> [<pattern> ...]",
            "    Return the options that match, and their values.",
            "SET <option> <value> [<option> <value> ...]",
            "    Set options, all of them or none.",
            "RESETSTAT",
            "    Set the counters of INFO back to zero.",
            "REWRITE",
            "    Write the configuration to its file.",
        ],
    );
    Ok(())
}

/// Writes the remarks of a change of configuration to the log.
pub fn log(state: &State, remarks: &[Remark]) {
    for Remark { level, text } in remarks {
        state.log.write(*level, text);
    }
}

#[cfg(test)]
mod tests {
    use crate::resp::Value;
    use crate::{Server, server::Handle};

    fn server() -> Handle {
        Server::builder().start().expect("it starts")
    }

    fn text(value: &Value) -> String {
        match value {
            Value::Error(text) => text.clone(),
            value => String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned(),
        }
    }

    #[test]
    fn a_taken_port_undoes_the_whole_set() {
        let server = server();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().port().to_string();
        let answer = server.execute(["CONFIG", "SET", "maxmemory", "5gb", "port", &taken]);
        assert!(text(&answer).starts_with(
            "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port"
        ));
        let Value::Map(pairs) = server.execute(["CONFIG", "GET", "maxmemory"]) else {
            panic!("no map");
        };
        assert_eq!(text(&pairs[0].1), "0");
    }

    #[test]
    fn another_port_and_address_are_listened_on() {
        let server = server();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let port = address.port().to_string();
        let set =
            |option: &str, value: &str| text(&server.execute(["CONFIG", "SET", option, value]));
        assert_eq!(set("port", &port), "OK");
        assert!(std::net::TcpStream::connect(address).is_ok());
        assert_eq!(
            set("bind", "*"),
            "OK",
            "on the same port the old socket makes room"
        );
        assert!(std::net::TcpStream::connect(address).is_ok());
        assert!(set("bind", "256.256.256.256").contains("Failed to bind to specified addresses"));
        assert!(std::net::TcpStream::connect(address).is_ok());
        assert_eq!(set("bind", ""), "OK");
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn subcommands_answer_in_redis_words() {
        let server = server();
        let answer = |words: &[&str]| text(&server.execute(words));
        assert_eq!(
            answer(&["CONFIG", "SET", "a", "b", "c"]),
            "ERR syntax error"
        );
        assert_eq!(
            answer(&["CONFIG", "SET", "a", "b"]),
            "ERR Unknown option or number of arguments for CONFIG SET - 'a'"
        );
        assert_eq!(
            answer(&["CONFIG", "REWRITE"]),
            "ERR The server is running without a config file"
        );
        assert_eq!(answer(&["CONFIG", "RESETSTAT"]), "OK");
        assert_eq!(
            answer(&["CONFIG", "SET", "tls-replication", "yes"]),
            "ERR CONFIG SET failed (possibly related to argument 'tls-replication') - \
             Unable to update TLS configuration. Check server logs."
        );
        assert!(answer(&["CONFIG", "SET", "dir", "/"]).contains("protected"));
    }
}
