//! Options of modules: their values in CONFIG GET, CONFIG SET and the configuration file.
//!
//! Mirrors: the module configs of config.c, moduleConfigApplyConfig() and loadModuleConfigs() of module.c.

use std::sync::Arc;

use crate::modules::{Module, ModuleOption, OptionKind, OptionValue, abi};
use crate::state::State;
use crate::util::glob::{self, Case};
use crate::util::num::{parse_i64, parse_memory};

const MEMORY: u32 = 1 << 7;
const BIT_FLAGS: u32 = 1 << 8;

/// The option of a full name, in any case.
pub fn find(state: &State, name: &[u8]) -> Option<usize> {
    let same = |option: &ModuleOption| option.is_named(name);
    state.modules.options.iter().position(same)
}

/// The value that a text means.
///
/// # Errors
/// The sentence for the client.
pub fn parse(option: &ModuleOption, text: &[u8]) -> Result<OptionValue, String> {
    match &option.kind {
        OptionKind::Bool if text.eq_ignore_ascii_case(b"yes") => Ok(OptionValue::Number(1)),
        OptionKind::Bool if text.eq_ignore_ascii_case(b"no") => Ok(OptionValue::Number(0)),
        OptionKind::Bool => Err("argument must be 'yes' or 'no'".into()),
        OptionKind::Text => Ok(OptionValue::Text(Some(text.to_vec()))),
        OptionKind::Number { min, max } => {
            let memory = option.flags & MEMORY != 0;
            let number = match memory {
                true => parse_memory(text).and_then(|n| i64::try_from(n).ok()),
                false => parse_i64(text),
            };
            let number = number.ok_or(match memory {
                true => "argument must be a memory value",
                false => "argument couldn't be parsed into an integer",
            })?;
            match (*min..=*max).contains(&number) {
                true => Ok(OptionValue::Number(number)),
                false => Err(format!(
                    "argument must be between {min} and {max} inclusive"
                )),
            }
        }
        OptionKind::Words { known } => {
            let mut value = 0;
            let words: Vec<&[u8]> = match option.flags & BIT_FLAGS != 0 {
                true => text
                    .split(|b| *b == b' ')
                    .filter(|w| !w.is_empty())
                    .collect(),
                false => vec![text],
            };
            let found = words.iter().map(|word| {
                let same =
                    |(known, _): &&(String, i64)| known.as_bytes().eq_ignore_ascii_case(word);
                known.iter().find(same).map(|(_, bits)| *bits)
            });
            let mut any = false;
            for bits in found {
                let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
                value |= bits.ok_or_else(|| {
                    format!(
                        "argument must be one of the following: {}",
                        names.join(", ")
                    )
                })?;
                any = true;
            }
            match any {
                true => Ok(OptionValue::Number(value)),
                false => Err("argument must be one of the following".into()),
            }
        }
    }
}

/// A value as CONFIG GET shows it.
pub fn show(option: &ModuleOption, value: &OptionValue) -> Vec<u8> {
    match (&option.kind, value) {
        (_, OptionValue::Text(text)) => text.clone().unwrap_or_default(),
        (OptionKind::Bool, OptionValue::Number(0)) => b"no".to_vec(),
        (OptionKind::Bool, _) => b"yes".to_vec(),
        (OptionKind::Words { known }, OptionValue::Number(n)) => {
            if let Some((name, _)) = known.iter().find(|(_, value)| value == n) {
                return name.clone().into_bytes();
            }
            if option.flags & BIT_FLAGS == 0 {
                return b"unknown".to_vec();
            }
            let mut left = *n;
            let mut names = Vec::new();
            for (name, bits) in known {
                if *bits != 0 && left & bits == *bits {
                    names.push(name.as_str());
                    left &= !bits;
                }
            }
            names.join(" ").into_bytes()
        }
        (OptionKind::Number { .. } | OptionKind::Text, OptionValue::Number(n)) => {
            n.to_string().into_bytes()
        }
    }
}

/// CONFIG GET: the options of modules that a pattern names, with their values.
pub fn get(state: &mut State, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for option in state.modules.options.clone() {
        for name in option.names().map(str::as_bytes) {
            let named = patterns.iter().any(|pattern| {
                pattern.eq_ignore_ascii_case(name)
                    || !option.is_hidden() && glob::matches(pattern, name, Case::Ignored)
            });
            if named {
                let value = abi::configs::get(state, &option);
                found.push((name.to_vec(), show(&option, &value)));
            }
        }
    }
    found
}

/// CONFIG SET: sets options of modules, all of them or none. Options that were set get their old values back on a
/// failure.
///
/// # Errors
/// The option at fault, and the sentence for the client.
pub fn set(state: &mut State, pairs: &[(&[u8], &[u8])]) -> Result<(), (Vec<u8>, String)> {
    let mut done: Vec<(ModuleOption, OptionValue)> = Vec::new();
    let mut failed = None;
    for (name, text) in pairs {
        let Some(at) = find(state, name) else {
            continue;
        };
        let option = state.modules.options[at].clone();
        let old = abi::configs::get(state, &option);
        let set = parse(&option, text).and_then(|value| match value == old {
            true => Ok(false),
            false => abi::configs::set(state, &option, &value).map(|()| true),
        });
        match set {
            Ok(true) => done.push((option, old)),
            Ok(false) => {}
            Err(reason) => {
                failed = Some((name.to_vec(), reason));
                break;
            }
        }
    }
    if failed.is_none() {
        failed = apply_all(state, &done);
    }
    let Some(failure) = failed else {
        return Ok(());
    };
    for (option, old) in done.iter().rev() {
        // The old value was good a moment ago.
        let _ = abi::configs::set(state, option, old);
    }
    let _ = apply_all(state, &done);
    Err(failure)
}

/// Calls each pair of apply function and data once.
fn apply_all(state: &mut State, done: &[(ModuleOption, OptionValue)]) -> Option<(Vec<u8>, String)> {
    let mut seen = Vec::new();
    for (option, _) in done {
        let pair = (option.apply, option.private.addr());
        if seen.contains(&pair) {
            continue;
        }
        seen.push(pair);
        if let Err(reason) = abi::configs::apply(state, option) {
            return Some((option.name.clone().into_bytes(), reason));
        }
    }
    None
}

/// Gives a module's options their defaults, before the values that wait for them.
///
/// # Errors
/// The line for the log.
#[doc(alias = "loadModuleDefaultConfigs")]
pub fn load_defaults(state: &mut State, module: &Arc<Module>) -> Result<(), String> {
    for option in own_options(state, module) {
        abi::configs::set(state, &option, &option.default).map_err(|reason| {
            let name = &option.name;
            format!("Issue attempting to set default value of configuration {name} : {reason}")
        })?;
    }
    state.modules.defaulted.push(module.id);
    Ok(())
}

fn own_options(state: &State, module: &Module) -> Vec<ModuleOption> {
    let own = |option: &&ModuleOption| option.module.id == module.id;
    state.modules.options.iter().filter(own).cloned().collect()
}

/// Gives a module's options the values that wait for them, or their defaults, unless they have these already.
///
/// # Errors
/// The line for the log.
#[doc(alias = "loadModuleConfigs")]
pub fn load_values(state: &mut State, module: &Arc<Module>) -> Result<(), String> {
    let has_defaults = state.modules.defaulted.contains(&module.id);
    let mut set = Vec::new();
    for option in own_options(state, module) {
        let queue = &mut state.modules.queued_options;
        let queued = queue.iter().position(|(name, _)| option.is_named(name));
        if queued.is_none() && has_defaults {
            continue;
        }
        let value = match queued.map(|at| queue.remove(at).1) {
            Some(text) => parse(&option, &text),
            None => Ok(option.default.clone()),
        };
        let result = value.and_then(|value| abi::configs::set(state, &option, &value));
        if let Err(reason) = result {
            return Err(format!(
                "Issue during loading of configuration {} : {reason}",
                option.name
            ));
        }
        set.push((option, OptionValue::Number(0)));
    }
    state.modules.configured.push(module.id);
    if let Some((name, reason)) = apply_all(state, &set) {
        let name = String::from_utf8_lossy(&name).into_owned();
        return Err(format!(
            "Issue during loading of configuration {name} : {reason}"
        ));
    }
    Ok(())
}

/// Whether a module registered options and never asked for their values.
pub fn forgot_to_load(state: &State, module: &Module) -> bool {
    let modules = &state.modules;
    modules
        .options
        .iter()
        .any(|option| option.module.id == module.id)
        && !modules.configured.contains(&module.id)
}

/// The lines that CONFIG REWRITE writes: of each option whether it is at its default, its name and its value.
pub fn lines(state: &mut State) -> Vec<(bool, Vec<u8>, Vec<u8>)> {
    let mut lines = Vec::new();
    for option in state.modules.options.clone() {
        let value = abi::configs::get(state, &option);
        let default = value == option.default;
        lines.push((
            default,
            option.name.clone().into_bytes(),
            show(&option, &value),
        ));
    }
    lines
}
