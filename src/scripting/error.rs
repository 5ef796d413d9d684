//! Errors between the server and a script.
//!
//! Inside Lua, an error of a command is a table `{err = 'WRONGTYPE …'}`, one of a library a string
//! with the script's line before it. `redis.call` and the libraries raise those themselves; the other
//! functions of `redis` go through mlua, where one travels as a [`ScriptError`] until somebody catches it.
//!
//! Mirrors: `luaPushError`, `luaError` and the `errorInfo` of script_lua.c.
//! Differs: an error keeps its own type until Lua catches it; Redis has tables all the way.

use std::fmt;

use mlua::{Lua, Table, Value};

/// An error that one of our functions raises.
#[derive(Clone, Debug)]
pub struct ScriptError {
    /// The words, the code first.
    pub text: String,
    /// It is counted already.
    pub counted: bool,
}

impl ScriptError {
    /// An error of the `redis` functions: a leading `-` says that a code is in it, otherwise it is ERR.
    #[doc(alias = "luaPushError")]
    pub fn of_redis(text: &str) -> ScriptError {
        ScriptError {
            text: with_code(text),
            counted: false,
        }
    }

    /// The same as something to raise.
    pub fn raise(self) -> mlua::Error {
        mlua::Error::external(self)
    }

    /// The table that scripts see.
    pub fn to_table(&self, lua: &Lua) -> mlua::Result<Table> {
        let table = lua.create_table_with_capacity(0, 2)?;
        table.raw_set("err", lua.create_string(&self.text)?)?;
        if self.counted {
            table.raw_set("ignore_error_stats_update", true)?;
        }
        Ok(table)
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ScriptError {}

fn with_code(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    match text.strip_prefix('-') {
        None => format!("ERR {text}"),
        Some(text) if text.contains(' ') => text.to_owned(),
        Some(text) => format!("ERR {text}"),
    }
}

/// Where the script is that called the function now running: the innermost Lua function that is not
/// part of the prelude. Its source and line.
fn place(lua: &Lua) -> Option<(String, String, usize)> {
    (1..16).find_map(|level| {
        let found = lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let name = source.source.as_deref().unwrap_or("");
            if source.what == "C" || name == PRELUDE_NAME || source.what == "tail" {
                return None;
            }
            let short = source.short_src.as_deref().unwrap_or("?");
            let line = frame.current_line().unwrap_or(0);
            Some((name.to_owned(), short.to_owned(), line))
        });
        found.flatten()
    })
}

/// The prelude's chunk name.
pub const PRELUDE_NAME: &str = "=prelude";

/// The Lua value of an error that one of our functions raised, as a script sees it.
pub fn seen(lua: &Lua, error: &mlua::Error) -> mlua::Result<Value> {
    if let Some(own) = error.downcast_ref::<ScriptError>() {
        return Ok(Value::Table(own.to_table(lua)?));
    }
    let text = first_line(error);
    let text = match place(lua) {
        Some((_, short, line)) => format!("{short}:{line}: {text}"),
        None => text,
    };
    Ok(Value::String(lua.create_string(text)?))
}

/// The words of an error of the interpreter, without its stack trace.
pub fn first_line(error: &mlua::Error) -> String {
    let innermost = match error {
        mlua::Error::CallbackError { cause, .. } => return first_line(cause),
        mlua::Error::BadArgument { pos, cause, .. } => {
            return format!("bad argument #{pos} ({cause})");
        }
        mlua::Error::RuntimeError(text) | mlua::Error::MemoryError(text) => text.clone(),
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        other => other.to_string(),
    };
    let end = innermost
        .find("\nstack traceback")
        .unwrap_or(innermost.len());
    innermost[..end].to_owned()
}

/// The last handler: whatever was raised becomes a table with the place of it.
pub fn handle(lua: &Lua, raised: Value) -> mlua::Result<Table> {
    let seen = match &raised {
        Value::Error(error) => seen(lua, error)?,
        _ => raised,
    };
    let table = match seen {
        Value::Table(table) => table,
        other => {
            let text = match &other {
                Value::String(text) => text.to_string_lossy(),
                other => other.to_string()?,
            };
            let table = lua.create_table_with_capacity(0, 3)?;
            let mut bytes = b"ERR ".to_vec();
            match &other {
                Value::String(text) => bytes.extend_from_slice(&text.as_bytes()),
                _ => bytes.extend_from_slice(text.as_bytes()),
            }
            table.raw_set("err", lua.create_string(bytes)?)?;
            table
        }
    };
    if let Some((source, _, line)) = place(lua) {
        table.raw_set("source", source)?;
        table.raw_set("line", line)?;
    }
    Ok(table)
}
