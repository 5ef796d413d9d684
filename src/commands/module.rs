//! MODULE: there is no interface for modules, and clients that ask get Redis's own error words.
//!
//! Mirrors: `moduleCommand` of module.c.
//! Differs: MODULE LIST is empty, LOAD and UNLOAD always fail.

use super::prelude::*;

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
            "    The modules that are loaded: none.",
            "LOAD <path> [<arg> ...]",
            "    Loads a module; fails here.",
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
    ctx.reply.array(0);
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
    let path = String::from_utf8_lossy(args.bytes()?);
    ctx.state.log.warning(format_args!(
        "Module {path} failed to load: this server has no interface for modules"
    ));
    Err(Error::once(
        "Error loading the extension. Please check the server logs.",
    ))
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
    run: module_load,
    ..Command::BASE
};

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

fn module_unload(_: &mut Ctx<'_>, _: Args<'_>) -> Result {
    Err(Error::once(
        "Error unloading module: no such module with that name",
    ))
}
