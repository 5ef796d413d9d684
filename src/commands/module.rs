//! MODULE: modules are loaded, listed and unloaded. `modules/act/load.rs` does the work.
//!
//! Mirrors: `moduleCommand` of module.c.

use super::prelude::*;
use crate::state::LoadRequest;

pub const COMMANDS: &[&Command] = &[&MODULE];

const MODULE: Command = Command {
    name: "module",
    arity: Arity::AtLeast(2),
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "Depends on the subcommand",
        summary: "What concerns modules.",
        ..Docs::BASE
    },
    subcommands: &[
        &MODULE_HELP,
        &MODULE_LIST,
        &MODULE_LOAD,
        &MODULE_LOADEX,
        &MODULE_UNLOAD,
    ],
    ..Command::BASE
};

const MODULE_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        group: Group::Server,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Shows the subcommands.",
        ..Docs::BASE
    },
    run: module_help,
    ..Command::BASE
};

fn module_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "MODULE",
        &[
            "LIST",
            "    The modules that are loaded.",
            "LOAD <path> [<arg> ...]",
            "    Loads a module.",
            "LOADEX <path> [[CONFIG NAME VALUE] ...] [ARGS ...]",
            "    The same with settings.",
            "UNLOAD <name>",
            "    Unloads a module.",
        ],
    );
    Ok(())
}

const MODULE_LIST: Command = Command {
    name: "list",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(modules)",
        summary: "Lists the modules that are loaded.",
        ..Docs::BASE
    },
    run: module_list,
    ..Command::BASE
};

fn module_list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let loaded = &ctx.state.modules.loaded;
    ctx.reply.array(loaded.len());
    for loaded in loaded {
        ctx.reply.map(4);
        ctx.reply.bulk(b"name");
        ctx.reply.bulk(loaded.module.name.as_bytes());
        ctx.reply.bulk(b"ver");
        ctx.reply.integer(loaded.module.version.into());
        ctx.reply.bulk(b"path");
        ctx.reply.bulk(loaded.path.as_bytes());
        ctx.reply.bulk(b"args");
        ctx.reply.array(loaded.args.len());
        for arg in &loaded.args {
            ctx.reply.bulk(arg);
        }
    }
    Ok(())
}

const MODULE_LOAD: Command = Command {
    name: "load",
    arity: Arity::AtLeast(3),
    flags: &[NeedsModuleCommand, Admin, NoScript, NoAsyncLoading],
    args: &[
        arg::string("path"),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(1)",
        summary: "Loads a module.",
        ..Docs::BASE
    },
    run: module_load,
    ..Command::BASE
};

fn module_load(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let request = LoadRequest {
        path: args.bytes()?.to_vec(),
        args: args.map(<[u8]>::to_vec).collect(),
        options: None,
    };
    load(ctx, &request)
}

/// Loads a module; the log says why one cannot be loaded.
fn load(ctx: &mut Ctx<'_>, request: &LoadRequest) -> Result {
    let loaded = match ctx.state.module_doors {
        Some(doors) => (doors.load)(ctx.state, request),
        None => {
            ctx.state
                .log
                .warning("This server is built without the interface for compiled modules");
            false
        }
    };
    if !loaded {
        return Err(Error::once(
            "Error loading the extension. Please check the server logs.",
        ));
    }
    ctx.reply.ok();
    Ok(())
}

const MODULE_LOADEX: Command = Command {
    name: "loadex",
    arity: Arity::AtLeast(3),
    flags: &[NeedsModuleCommand, Admin, NoScript, NoAsyncLoading],
    args: &[
        arg::string("path"),
        arg::block("configs", &[arg::string("name"), arg::string("value")])
            .token("CONFIG")
            .optional()
            .multiple_token(),
        arg::string("args").token("ARGS").optional().multiple(),
    ],
    docs: Docs {
        group: Group::Server,
        since: "7.0.0",
        complexity: "O(1)",
        summary: "Loads a module with settings and arguments.",
        ..Docs::BASE
    },
    run: module_loadex,
    ..Command::BASE
};

/// `path [CONFIG name value]… [ARGS arg…]`: loads a module with values for its options.
fn module_loadex(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let mut request = LoadRequest {
        path: args.bytes()?.to_vec(),
        args: Vec::new(),
        options: Some(Vec::new()),
    };
    while !args.is_empty() {
        if args.word_with("CONFIG", 2) {
            let option = (args.bytes()?.to_vec(), args.bytes()?.to_vec());
            request.options.get_or_insert_default().push(option);
        } else if args.word("ARGS") {
            request.args = args.by_ref().map(<[u8]>::to_vec).collect();
        } else {
            return Err(Error::Syntax);
        }
    }
    load(ctx, &request)
}

const MODULE_UNLOAD: Command = Command {
    name: "unload",
    arity: Arity::Exactly(3),
    flags: &[NeedsModuleCommand, Admin, NoScript, NoAsyncLoading],
    args: &[arg::string("name")],
    docs: Docs {
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(1)",
        summary: "Unloads a module.",
        ..Docs::BASE
    },
    run: module_unload,
    ..Command::BASE
};

fn module_unload(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let name = args.bytes()?;
    let done = match ctx.state.module_doors {
        Some(doors) => (doors.unload)(ctx.state, name),
        None => Err("no such module with that name".into()),
    };
    done.map_err(|reason| {
        ctx.state
            .log
            .warning(format_args!("Error unloading module: {reason}"));
        Error::once(format!("Error unloading module: {reason}"))
    })?;
    ctx.reply.ok();
    Ok(())
}
