//! COMMAND: the commands of this server, described from their declarations.
//!
//! Mirrors: `commandCommand` and its subcommands in server.c.
//! Differs: subcommands come in the order of their declaration, where Redis's come in the order of a hash table.

use super::prelude::*;
use crate::command::keys::{Keys, legacy_range};
use crate::command::table::{CommandId, CommandTable, Entry};
use crate::command::{Arg, ArgKind, FLAG_NAMES, KeyFlag};
use crate::resp::argv::Argv;
use crate::resp::{Mark, Reply};
use crate::util::glob::{self, Case};

pub const COMMANDS: &[&Command] = &[&COMMAND];

const COMMAND: Command = Command {
    name: "command",
    arity: Arity::AtLeast(1),
    flags: &[Loading, Stale],
    acl: &[Category::Connection],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(N) where N is the number of commands",
        summary: "Describes all commands.",
        ..Docs::BASE
    },
    subcommands: &[
        &COMMAND_COUNT,
        &COMMAND_DOCS,
        &COMMAND_GETKEYS,
        &COMMAND_GETKEYSANDFLAGS,
        &COMMAND_HELP,
        &COMMAND_INFO,
        &COMMAND_LIST,
    ],
    run: command,
    ..Command::BASE
};

/// Whether a client is told of a command: those for internal connections are told to these alone.
fn is_shown(entry: &Entry, internal: bool) -> bool {
    internal || !entry.flags.has(OnlyInternal)
}

#[doc(alias = "commandCommand")]
fn command(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let internal = ctx.client().is_internal();
    let commands = &ctx.state.commands;
    let shown = || commands.top_level().filter(|e| is_shown(e, internal));
    ctx.reply.array(shown().count());
    for entry in shown() {
        show_info(ctx.reply, commands, entry);
    }
    Ok(())
}

const COMMAND_COUNT: Command = Command {
    name: "count",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(1)",
        summary: "Returns the number of commands.",
        ..Docs::BASE
    },
    run: command_count,
    ..Command::BASE
};

#[doc(alias = "commandCountCommand")]
fn command_count(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let internal = ctx.client().is_internal();
    let commands = ctx.state.commands.top_level();
    ctx.reply
        .count(commands.filter(|e| is_shown(e, internal)).count());
    Ok(())
}

const COMMAND_DOCS: Command = Command {
    name: "docs",
    arity: Arity::AtLeast(2),
    flags: &[Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::string("command-name").optional().multiple()],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Server,
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands asked for",
        summary: "Returns the documentation of commands.",
        ..Docs::BASE
    },
    run: command_docs,
    ..Command::BASE
};

/// Answers the documentation of all commands, or of those named; unknown names are left out.
#[doc(alias = "commandDocsCommand")]
fn command_docs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let internal = ctx.client().is_internal();
    let commands = &ctx.state.commands;
    let mut asked: Vec<&Entry> = if args.is_empty() {
        commands.top_level().collect()
    } else {
        args.filter_map(|name| commands.find(name))
            .map(|id| &commands[id])
            .collect()
    };
    asked.retain(|entry| is_shown(entry, internal));
    ctx.reply.map(asked.len());
    for entry in asked {
        ctx.reply.bulk(entry.name.as_bytes());
        show_docs(ctx.reply, commands, entry);
    }
    Ok(())
}

const COMMAND_GETKEYS: Command = Command {
    name: "getkeys",
    arity: Arity::AtLeast(3),
    flags: &[Loading, Stale],
    acl: &[Category::Connection],
    args: &[
        arg::string("command"),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(N) where N is the number of arguments",
        summary: "Returns the keys a request names.",
        ..Docs::BASE
    },
    run: command_getkeys,
    ..Command::BASE
};

#[doc(alias = "commandGetKeysCommand")]
fn command_getkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let request = args.argv().skip(2);
    let keys = keys_of(ctx, request)?;
    ctx.reply.array(keys.len());
    for key in keys.iter() {
        ctx.reply.bulk(request.get(key.position));
    }
    Ok(())
}

const COMMAND_GETKEYSANDFLAGS: Command = Command {
    name: "getkeysandflags",
    arity: Arity::AtLeast(3),
    flags: &[Loading, Stale],
    acl: &[Category::Connection],
    args: &[
        arg::string("command"),
        arg::string("arg").optional().multiple(),
    ],
    docs: Docs {
        group: Group::Server,
        since: "7.0.0",
        complexity: "O(N) where N is the number of arguments",
        summary: "Returns the keys a request names and what it does with them.",
        ..Docs::BASE
    },
    run: command_getkeysandflags,
    ..Command::BASE
};

#[doc(alias = "commandGetKeysAndFlagsCommand")]
fn command_getkeysandflags(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    let request = args.argv().skip(2);
    let keys = keys_of(ctx, request)?;
    ctx.reply.array(keys.len());
    for key in keys.iter() {
        ctx.reply.array(2);
        ctx.reply.bulk(request.get(key.position));
        show_key_flags(ctx.reply, key.flags);
    }
    Ok(())
}

/// The keys of a request that is an argument of COMMAND GETKEYS. Fails if there is no such command, if it has no keys,
/// or if the number of arguments is wrong.
#[doc(alias = "getKeysSubcommandImpl")]
fn keys_of(ctx: &mut Ctx<'_>, request: Argv<'_>) -> Result<Keys> {
    let internal = ctx.client().is_internal();
    let commands = &ctx.state.commands;
    let id = commands.lookup(request).ok();
    let id = id.filter(|id| is_shown(&commands[*id], internal));
    let id = id.ok_or_else(|| Error::once("Invalid command specified"))?;
    let entry = &commands[id];
    let real = |spec: &KeySpec| !spec.has(crate::command::KeyFlag::NotKey);
    let foreign = entry
        .decl
        .foreign
        .is_some_and(|foreign| foreign.finds_keys());
    if entry.decl.find_keys.is_none() && !foreign && !entry.decl.keys.iter().any(real) {
        return Err(Error::once("The command has no key arguments"));
    }
    if !entry.accepts(request.len()) {
        return Err(Error::once(
            "Invalid number of arguments specified for command",
        ));
    }
    let keys = crate::command::keys::Keys::of(
        entry.decl,
        request,
        crate::command::keys::Search::default(),
    )
    .unwrap_or_default();
    if keys.is_empty() && !entry.flags.has(NoMandatoryKeys) {
        return Err(Error::once("Invalid arguments specified for command"));
    }
    Ok(keys)
}

const COMMAND_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    acl: &[Category::Connection],
    docs: Docs {
        group: Group::Server,
        since: "5.0.0",
        complexity: "O(1)",
        summary: "Tells what the subcommands do.",
        ..Docs::BASE
    },
    run: command_help,
    ..Command::BASE
};

#[doc(alias = "commandHelpCommand")]
fn command_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "COMMAND",
        &[
            "(no subcommand)",
            "    Describe all commands.",
            "COUNT",
            "    The number of commands.",
            "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
            "    The names of commands and subcommands.",
            "INFO [<command-name> ...]",
            "    Describe commands; all of them when none is named.",
            "DOCS [<command-name> ...]",
            "    The documentation of commands; all of them when none is named.",
            "GETKEYS <full-command>",
            "    The keys among the words of a request.",
            "GETKEYSANDFLAGS <full-command>",
            "    The same, with what the command does with each.",
        ],
    );
    Ok(())
}

const COMMAND_INFO: Command = Command {
    name: "info",
    arity: Arity::AtLeast(2),
    flags: &[Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::string("command-name").optional().multiple()],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Server,
        since: "2.8.13",
        complexity: "O(N) where N is the number of commands asked for",
        summary: "Describes commands.",
        ..Docs::BASE
    },
    run: command_info,
    ..Command::BASE
};

/// Describes all commands, or those named, with null for an unknown name.
#[doc(alias = "commandInfoCommand")]
fn command_info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result {
    if args.is_empty() {
        return command(ctx, args);
    }
    let internal = ctx.client().is_internal();
    let commands = &ctx.state.commands;
    ctx.reply.array(args.len());
    for name in args {
        let found = commands.find(name);
        match found.filter(|id| is_shown(&commands[*id], internal)) {
            Some(id) => show_info(ctx.reply, commands, &commands[id]),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

const COMMAND_LIST: Command = Command {
    name: "list",
    arity: Arity::AtLeast(2),
    flags: &[Loading, Stale],
    acl: &[Category::Connection],
    args: &[arg::one_of(
        "filterby",
        &[
            arg::string("module-name").token("MODULE"),
            arg::string("category").token("ACLCAT"),
            arg::pattern("pattern").token("PATTERN"),
        ],
    )
    .token("FILTERBY")
    .optional()],
    tips: &["nondeterministic_output_order"],
    docs: Docs {
        group: Group::Server,
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands",
        summary: "Returns the names of commands.",
        ..Docs::BASE
    },
    run: command_list,
    ..Command::BASE
};

/// Answers the names of all commands and subcommands, or of those in an ACL category or matching a pattern.
#[doc(alias = "commandListCommand")]
fn command_list(ctx: &mut Ctx<'_>, mut args: Args<'_>) -> Result {
    let mut wanted: Box<dyn Fn(&Entry) -> bool> = Box::new(|_| true);
    if !args.is_empty() {
        if args.len() != 3 || !args.word("FILTERBY") {
            return Err(Error::Syntax);
        }
        if args.word("MODULE") {
            let name = args.bytes()?;
            wanted = Box::new(move |e| {
                let module = e.decl.foreign.map(|foreign| foreign.module().as_bytes());
                module.is_some_and(|module| module == name)
            });
        } else if args.word("ACLCAT") {
            let category = ctx.state.commands.category(args.bytes()?);
            wanted = Box::new(move |e| category.is_some_and(|bit| e.categories.0 & bit != 0));
        } else if args.word("PATTERN") {
            let pattern = args.bytes()?;
            wanted = Box::new(move |e| glob::matches(pattern, e.name.as_bytes(), Case::Ignored));
        } else {
            return Err(Error::Syntax);
        }
    }
    let internal = ctx.client().is_internal();
    let mark = ctx.reply.open();
    let mut shown = 0;
    for entry in ctx
        .state
        .commands
        .iter()
        .filter(|e| !e.name.is_empty() && wanted(e) && is_shown(e, internal))
    {
        ctx.reply.bulk(entry.name.as_bytes());
        shown += 1;
    }
    ctx.reply.close_array(mark, shown);
    Ok(())
}

#[doc(alias = "addReplyCommandInfo")]
fn show_info(reply: &mut Reply, commands: &CommandTable, entry: &Entry) {
    let (first, last, step) = legacy_range(entry.decl.keys).0.unwrap_or_default();
    reply.array(10);
    reply.bulk(entry.name.as_bytes());
    reply.integer(entry.decl.redis_arity().into());
    let flags = FLAG_NAMES.iter().filter(|(flag, _)| entry.flags.has(*flag));
    show_names(reply, "", flags.map(|(_, name)| *name).collect());
    reply.integer(first.into());
    reply.integer(last.into());
    reply.integer(step.into());
    let categories = commands.category_names();
    let categories = categories.filter(|(bit, _)| entry.categories.0 & bit != 0);
    show_names(reply, "@", categories.map(|(_, name)| name).collect());
    reply.set(entry.decl.tips.len());
    for tip in entry.decl.tips {
        reply.bulk(tip.as_bytes());
    }
    show_key_specs(reply, entry.decl.keys);
    let subcommands = shown_subcommands(commands, entry);
    if subcommands.is_empty() {
        reply.set(0);
    } else {
        reply.array(subcommands.len());
    }
    for id in subcommands {
        show_info(reply, commands, &commands[id]);
    }
}

fn shown_subcommands(commands: &CommandTable, entry: &Entry) -> Vec<CommandId> {
    let shown = |id: &CommandId| !commands[*id].name.is_empty();
    entry.subcommands.iter().copied().filter(shown).collect()
}

/// Writes a set of status words, each with a prefix.
fn show_names(reply: &mut Reply, prefix: &str, names: Vec<&str>) {
    reply.set(names.len());
    for name in names {
        reply.simple(&format!("{prefix}{name}"));
    }
}

#[doc(alias = "addReplyFlagsForKeyArgs")]
fn show_key_flags(reply: &mut Reply, flags: &[KeyFlag]) {
    show_names(
        reply,
        "",
        flags.iter().filter_map(|flag| flag.name()).collect(),
    );
}

#[doc(alias = "addReplyCommandKeySpecs")]
fn show_key_specs(reply: &mut Reply, specs: &[KeySpec]) {
    reply.set(specs.len());
    for spec in specs {
        reply.map(3 + usize::from(spec.notes.is_some()));
        if let Some(notes) = spec.notes {
            reply.bulk(b"notes");
            reply.bulk(notes.as_bytes());
        }
        reply.bulk(b"flags");
        show_key_flags(reply, spec.flags);
        reply.bulk(b"begin_search");
        match spec.begin {
            crate::command::BeginSearch::Index(index) => {
                show_search(reply, "index", &[("index", Figure::Number(index))]);
            }
            crate::command::BeginSearch::Keyword(word, from) => {
                let figures = [
                    ("keyword", Figure::Word(word)),
                    ("startfrom", Figure::Number(from)),
                ];
                show_search(reply, "keyword", &figures);
            }
            crate::command::BeginSearch::Unknown => show_search(reply, "unknown", &[]),
        }
        reply.bulk(b"find_keys");
        match spec.find {
            crate::command::FindKeys::Range { last, step, limit } => {
                let figures = [
                    ("lastkey", Figure::Number(last)),
                    ("keystep", Figure::Number(step)),
                    ("limit", Figure::Number(limit)),
                ];
                show_search(reply, "range", &figures);
            }
            crate::command::FindKeys::KeyNum {
                number,
                first,
                step,
            } => {
                let figures = [
                    ("keynumidx", Figure::Number(number)),
                    ("firstkey", Figure::Number(first)),
                    ("keystep", Figure::Number(step)),
                ];
                show_search(reply, "keynum", &figures);
            }
            crate::command::FindKeys::Unknown => show_search(reply, "unknown", &[]),
        }
    }
}

#[derive(Clone, Copy)]
enum Figure {
    Number(i32),
    Word(&'static str),
}

fn show_search(reply: &mut Reply, kind: &str, figures: &[(&str, Figure)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(figures.len());
    for (name, figure) in figures {
        reply.bulk(name.as_bytes());
        match figure {
            Figure::Number(n) => reply.integer((*n).into()),
            Figure::Word(word) => reply.bulk(word.as_bytes()),
        }
    }
}

/// A map in a reply whose length is known only at its end.
struct Pairs<'a> {
    reply: &'a mut Reply,
    mark: Mark,
    len: usize,
}

impl<'a> Pairs<'a> {
    fn open(reply: &'a mut Reply) -> Self {
        let mark = reply.open();
        Pairs {
            reply,
            mark,
            len: 0,
        }
    }

    /// Writes a key; its value is to be written next.
    fn key(&mut self, name: &str) -> &mut Reply {
        self.len += 1;
        self.reply.bulk(name.as_bytes());
        self.reply
    }

    /// Writes a pair, unless there is no value.
    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.key(name).bulk(value.as_bytes());
        }
    }

    fn close(self) {
        self.reply.close_map(self.mark, self.len);
    }
}

#[doc(alias = "addReplyCommandDocs")]
fn show_docs(reply: &mut Reply, commands: &CommandTable, entry: &Entry) {
    let docs = &entry.decl.docs;
    let mut pairs = Pairs::open(reply);
    pairs.text(
        "summary",
        Some(docs.summary).filter(|text| !text.is_empty()),
    );
    pairs.text("since", Some(docs.since).filter(|text| !text.is_empty()));
    pairs.text("group", Some(docs.group.name()));
    pairs.text(
        "complexity",
        Some(docs.complexity).filter(|text| !text.is_empty()),
    );
    let module = match entry.decl.foreign {
        Some(foreign) => Some(foreign.module()),
        None => entry
            .flags
            .has(crate::command::Flag::Module)
            .then_some("vectorset"),
    };
    pairs.text("module", module);
    let flags = [
        (docs.deprecated.is_some(), "deprecated"),
        (docs.syscmd, "syscmd"),
    ];
    let flags: Vec<&str> = flags
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, n)| *n)
        .collect();
    if !flags.is_empty() {
        show_names(pairs.key("doc_flags"), "", flags);
    }
    if let Some((since, instead)) = docs.deprecated {
        pairs.text("deprecated_since", Some(since));
        pairs.text("replaced_by", Some(instead).filter(|text| !text.is_empty()));
    }
    if !entry.decl.history.is_empty() {
        let reply = pairs.key("history");
        reply.set(entry.decl.history.len());
        for (since, change) in entry.decl.history {
            reply.array(2);
            reply.bulk(since.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    if !entry.decl.args.is_empty() {
        show_args(pairs.key("arguments"), entry.decl.args);
    }
    let subcommands = shown_subcommands(commands, entry);
    if !subcommands.is_empty() {
        let reply = pairs.key("subcommands");
        reply.map(subcommands.len());
        for id in subcommands {
            reply.bulk(commands[id].name.as_bytes());
            show_docs(reply, commands, &commands[id]);
        }
    }
    pairs.close();
}

#[doc(alias = "addReplyCommandArgList")]
fn show_args(reply: &mut Reply, args: &[Arg]) {
    reply.array(args.len());
    for arg in args {
        let composed = matches!(
            arg.kind,
            crate::command::ArgKind::OneOf | crate::command::ArgKind::Block
        );
        let mut pairs = Pairs::open(reply);
        pairs.text("name", Some(arg.name));
        pairs.text("type", Some(kind_name(arg.kind)));
        let shown = arg.shown_as.or((!composed).then_some(arg.name));
        pairs.text("display_text", shown);
        if let Some(spec) = arg.key_spec {
            pairs.key("key_spec_index").integer(spec.into());
        }
        pairs.text("token", arg.token);
        pairs.text("summary", arg.summary);
        pairs.text("since", arg.since);
        pairs.text("deprecated_since", arg.deprecated_since);
        let flags = [
            (arg.optional, "optional"),
            (arg.multiple, "multiple"),
            (arg.multiple_token, "multiple_token"),
        ];
        let flags: Vec<&str> = flags
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, n)| *n)
            .collect();
        if !flags.is_empty() {
            show_names(pairs.key("flags"), "", flags);
        }
        if composed {
            show_args(pairs.key("arguments"), arg.args);
        }
        pairs.close();
    }
}

fn kind_name(kind: ArgKind) -> &'static str {
    match kind {
        crate::command::ArgKind::String => "string",
        crate::command::ArgKind::Integer => "integer",
        crate::command::ArgKind::Double => "double",
        crate::command::ArgKind::Key => "key",
        crate::command::ArgKind::Pattern => "pattern",
        crate::command::ArgKind::UnixTime => "unix-time",
        crate::command::ArgKind::PureToken => "pure-token",
        crate::command::ArgKind::OneOf => "oneof",
        crate::command::ArgKind::Block => "block",
    }
}
