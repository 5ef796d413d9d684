//! BACKUP: copies of the data set, made while clients are served.
//!
//! ```text
//!   BACKUP START      begins, in the directory that `backupdirname` names
//!   BACKUP SEAL       ends it: the files are the data set as of now
//!   BACKUP LIST       their paths, to be copied elsewhere
//!   BACKUP CLEANUP    removes them
//! ```
//!
//! Mirrors: `backupCommand` of backup.c; the work is done in `persistence/act/backup.rs`.

use super::prelude::*;
use crate::persistence;

pub const COMMANDS: &[&Command] = &[&BACKUP];

const BACKUP: Command = Command {
    name: "backup",
    arity: Arity::Exactly(2),
    docs: Docs {
        group: Group::Server,
        since: "8.10.0",
        complexity: "Depends on the subcommand",
        summary: "What concerns backups.",
        ..Docs::BASE
    },
    subcommands: &[
        &BACKUP_ABORT,
        &BACKUP_CLEANUP,
        &BACKUP_HELP,
        &BACKUP_LIST,
        &BACKUP_SEAL,
        &BACKUP_START,
        &BACKUP_STATUS,
    ],
    ..Command::BASE
};

const BASE: Docs = Docs {
    group: Group::Server,
    since: "8.10.0",
    complexity: "O(1)",
    ..Docs::BASE
};

const BACKUP_START: Command = Command {
    name: "start",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript],
    docs: Docs {
        summary: "Begins a backup: another thread writes its base, and changes are kept from now on.",
        ..BASE
    },
    run: backup_start,
    ..Command::BASE
};

fn backup_start(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    persistence::act::backup::start_backup(ctx.state)?;
    ctx.reply.ok();
    Ok(())
}

const BACKUP_SEAL: Command = Command {
    name: "seal",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript],
    docs: Docs {
        summary: "Ends a backup: what its files hold is the data set as of now.",
        ..BASE
    },
    run: backup_seal,
    ..Command::BASE
};

fn backup_seal(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    persistence::act::backup::seal_backup(ctx.state)?;
    ctx.reply.ok();
    Ok(())
}

const BACKUP_ABORT: Command = Command {
    name: "abort",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript],
    docs: Docs {
        summary: "Gives up a backup that is not sealed yet.",
        ..BASE
    },
    run: backup_abort,
    ..Command::BASE
};

fn backup_abort(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    persistence::act::backup::abort_backup(ctx.state)?;
    ctx.reply.ok();
    Ok(())
}

const BACKUP_CLEANUP: Command = Command {
    name: "cleanup",
    arity: Arity::Exactly(2),
    flags: &[Admin, NoScript],
    docs: Docs {
        summary: "Removes the files of a backup that is over.",
        ..BASE
    },
    run: backup_cleanup,
    ..Command::BASE
};

fn backup_cleanup(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    persistence::act::backup::clean_up_backup(ctx.state)?;
    ctx.reply.ok();
    Ok(())
}

const BACKUP_LIST: Command = Command {
    name: "list",
    arity: Arity::Exactly(2),
    flags: &[Admin, Stale],
    docs: Docs {
        summary: "Returns the paths of the files that a backup has so far.",
        ..BASE
    },
    run: backup_list,
    ..Command::BASE
};

fn backup_list(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let files = ctx.state.persistence.backup.files();
    ctx.reply.array(files.len());
    for file in files {
        ctx.reply.bulk(file.as_os_str().as_encoded_bytes());
    }
    Ok(())
}

const BACKUP_STATUS: Command = Command {
    name: "status",
    arity: Arity::Exactly(2),
    flags: &[Admin, Stale],
    docs: Docs {
        summary: "Tells how far a backup is.",
        ..BASE
    },
    run: backup_status,
    ..Command::BASE
};

fn backup_status(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    let backup = &ctx.state.persistence.backup;
    let fields = [
        ("state", backup.phase().name()),
        ("error", backup.error()),
        ("start_time", &backup.started_s().to_string()),
        ("end_time", &backup.sealed_s().to_string()),
    ];
    ctx.reply.map(fields.len());
    for (name, value) in fields {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

const BACKUP_HELP: Command = Command {
    name: "help",
    arity: Arity::Exactly(2),
    flags: &[Loading, Stale],
    docs: Docs {
        summary: "Tells what the subcommands do.",
        ..BASE
    },
    run: backup_help,
    ..Command::BASE
};

fn backup_help(ctx: &mut Ctx<'_>, _: Args<'_>) -> Result {
    ctx.reply.help(
        "BACKUP",
        &[
            "ABORT",
            "    Give up the backup that is under way.",
            "CLEANUP",
            "    Remove the files of a backup that is sealed or failed.",
            "LIST",
            "    The paths of its files.",
            "SEAL",
            "    End the backup that is under way; it is the data set as of now.",
            "START",
            "    Begin a backup in the directory that backupdirname names.",
            "STATUS",
            "    How far it is, why it failed, when it was started and sealed.",
        ],
    );
    Ok(())
}
