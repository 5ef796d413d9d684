//! The flags by which a request to run a script is judged before it runs.
//!
//! Mirrors: evalGetCommandFlags() and fcallGetCommandFlags().
//! Differs: in nothing that a client sees.

use crate::command::ScriptFrom;
use crate::command::table::{CommandId, Flags};
use crate::resp::argv::Argv;
use crate::scripting::ScriptFlags;
use crate::state::State;

/// The flags by which a request to run a script is judged: what the script says of itself counts,
/// not what the command could do.
#[doc(alias = "evalGetCommandFlags")]
#[doc(alias = "fcallGetCommandFlags")]
pub(crate) fn script_flags(state: &State, id: CommandId, flags: Flags, argv: Argv<'_>) -> Flags {
    let word = argv.get(1);
    let own = match state.commands[id].decl.script {
        ScriptFrom::Library => state.scripts.libraries.function(word).map(|f| f.flags),
        ScriptFrom::Digest => state.scripts.get(word).map(|script| script.flags),
        ScriptFrom::Text => crate::scripting::shebang(word).ok().map(|(flags, _)| flags),
    };
    let Some(own) = own.filter(|own| !own.has(ScriptFlags::COMPAT)) else {
        return flags;
    };
    let cleared = [
        crate::command::Flag::Stale,
        crate::command::Flag::DenyOom,
        crate::command::Flag::Write,
        crate::command::Flag::MayReplicate,
    ];
    let mut bits = cleared.iter().fold(flags.0, |bits, f| bits & !(*f as u32));
    if !own.has(ScriptFlags::ALLOW_OOM) && !own.has(ScriptFlags::NO_WRITES) {
        bits |= crate::command::Flag::DenyOom as u32;
    }
    if !own.has(ScriptFlags::NO_WRITES) {
        bits |= crate::command::Flag::Write as u32;
    }
    if own.has(ScriptFlags::ALLOW_STALE) {
        bits |= crate::command::Flag::Stale as u32;
    }
    Flags(bits)
}
