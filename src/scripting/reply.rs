//! Values between commands and Lua.
//!
//! | reply | Lua |
//! |---|---|
//! | integer | number |
//! | bulk string | string |
//! | status | `{ok = …}` |
//! | error | `{err = …}` |
//! | array | table |
//! | null | `false`; `nil` after `setresp(3)` |
//! | map, set | `{map = {…}}`, `{set = {x = true}}` |
//! | double, big number, verbatim | `{double = n}`, `{big_number = …}`, `{verbatim_string = {string, format}}` |
//! | boolean | boolean |
//!
//! and back, where a number loses its fraction and a table ends at its first `nil`.
//!
//! Mirrors: `redisProtocolToLuaType` and `luaReplyToRedisReply` of script_lua.c. Differs: a command's
//! reply arrives as a tree of values, never as bytes.

use mlua::{Lua, Table, Value as LuaValue};

use super::error::ScriptError;
use crate::resp::{Protocol, Reply, Value};

/// How deep a returned table may be nested.
const DEPTH_MAX: usize = 1000;

/// A command's reply as a Lua value. `resp3` as the script asked for.
pub fn to_lua(lua: &Lua, value: Value, resp3: bool) -> mlua::Result<LuaValue> {
    let single = |field: &str, value: LuaValue| -> mlua::Result<LuaValue> {
        let table = lua.create_table_with_capacity(0, 1)?;
        table.raw_set(field, value)?;
        Ok(LuaValue::Table(table))
    };
    let string = |bytes: &[u8]| lua.create_string(bytes).map(LuaValue::String);
    Ok(match value {
        Value::Integer(n) => LuaValue::Number(n as f64),
        Value::Bulk(bytes) => string(&bytes)?,
        Value::Null if resp3 => LuaValue::Nil,
        Value::Null => LuaValue::Boolean(false),
        Value::Simple(text) => single("ok", string(text.as_bytes())?)?,
        Value::Error(text) => {
            let error = ScriptError {
                text,
                coded: true,
                counted: true,
            };
            LuaValue::Table(error.to_table(lua)?)
        }
        Value::Array(values) | Value::Push(values) => {
            let table = lua.create_table_with_capacity(values.len(), 0)?;
            for (i, value) in values.into_iter().enumerate() {
                table.raw_seti(i + 1, to_lua(lua, value, resp3)?)?;
            }
            LuaValue::Table(table)
        }
        Value::Map(pairs) => {
            let inner = lua.create_table_with_capacity(0, pairs.len())?;
            for (key, value) in pairs {
                inner.raw_set(to_lua(lua, key, resp3)?, to_lua(lua, value, resp3)?)?;
            }
            single("map", LuaValue::Table(inner))?
        }
        Value::Set(values) => {
            let inner = lua.create_table_with_capacity(0, values.len())?;
            for value in values {
                inner.raw_set(to_lua(lua, value, resp3)?, true)?;
            }
            single("set", LuaValue::Table(inner))?
        }
        Value::Double(n) => single("double", LuaValue::Number(n))?,
        Value::Boolean(yes) => LuaValue::Boolean(yes),
        Value::BigNumber(digits) => single("big_number", string(digits.as_bytes())?)?,
        Value::Verbatim(format, text) => {
            let inner = lua.create_table_with_capacity(0, 2)?;
            inner.raw_set("string", string(&text)?)?;
            inner.raw_set("format", string(format.as_bytes())?)?;
            single("verbatim_string", LuaValue::Table(inner))?
        }
    })
}

/// Answers with what a script returned. `script` is the protocol the script asked for. An error reply
/// that is not counted yet is handed back to be counted.
pub fn answer(
    value: &LuaValue,
    script: Protocol,
    reply: &mut Reply,
) -> mlua::Result<Option<String>> {
    let mut error = None;
    put(value, script, reply, 0, &mut error)?;
    Ok(error)
}

fn put(
    value: &LuaValue,
    script: Protocol,
    reply: &mut Reply,
    depth: usize,
    error: &mut Option<String>,
) -> mlua::Result<()> {
    if depth > DEPTH_MAX {
        let text = "ERR reached lua stack limit";
        reply.error_text(text);
        *error = Some(text.into());
        return Ok(());
    }
    match value {
        LuaValue::String(text) => reply.bulk(&text.as_bytes()),
        LuaValue::Boolean(yes) if script == Protocol::Resp3 => reply.boolean(*yes),
        LuaValue::Boolean(true) => reply.integer(1),
        LuaValue::Integer(n) => reply.integer(*n),
        // A conversion that C leaves undefined saturates here.
        LuaValue::Number(n) => reply.integer(*n as i64),
        LuaValue::Table(table) => put_table(table, script, reply, depth, error)?,
        _ => reply.null(),
    }
    Ok(())
}

fn put_table(
    table: &Table,
    script: Protocol,
    reply: &mut Reply,
    depth: usize,
    error: &mut Option<String>,
) -> mlua::Result<()> {
    let get = |field: &str| table.raw_get::<LuaValue>(field);
    let one_line = |text: &mlua::LuaString| text.to_string_lossy().replace(['\r', '\n'], " ");
    if let LuaValue::String(text) = get("err")? {
        let text = text.to_string_lossy();
        let text = text.strip_prefix('-').unwrap_or(&text);
        if !table.raw_get("ignore_error_stats_update").unwrap_or(false) {
            *error = Some(text.to_owned());
        }
        reply.error_text(text);
        return Ok(());
    }
    if let LuaValue::String(text) = get("ok")? {
        reply.simple(&one_line(&text));
        return Ok(());
    }
    match get("double")? {
        LuaValue::Number(n) => {
            reply.double(n);
            return Ok(());
        }
        LuaValue::Integer(n) => {
            reply.double(n as f64);
            return Ok(());
        }
        _ => {}
    }
    if let LuaValue::String(digits) = get("big_number")? {
        reply.big_number(&one_line(&digits));
        return Ok(());
    }
    if let LuaValue::Table(inner) = get("verbatim_string")?
        && let LuaValue::String(format) = inner.raw_get("format")?
        && let LuaValue::String(text) = inner.raw_get("string")?
    {
        let format: String = format.to_string_lossy().chars().take(3).collect();
        reply.verbatim(&format, text.as_bytes().to_vec());
        return Ok(());
    }
    if let LuaValue::Table(inner) = get("map")? {
        let open = reply.open();
        let mut count = 0;
        for pair in inner.pairs::<LuaValue, LuaValue>() {
            let (key, value) = pair?;
            put(&key, script, reply, depth + 1, error)?;
            put(&value, script, reply, depth + 1, error)?;
            count += 1;
        }
        reply.close_map(open, count);
        return Ok(());
    }
    if let LuaValue::Table(inner) = get("set")? {
        let open = reply.open();
        let mut count = 0;
        for pair in inner.pairs::<LuaValue, LuaValue>() {
            put(&pair?.0, script, reply, depth + 1, error)?;
            count += 1;
        }
        reply.close_set(open, count);
        return Ok(());
    }
    let open = reply.open();
    let mut count = 0;
    loop {
        let value = table.raw_get::<LuaValue>(count + 1)?;
        if value.is_nil() {
            break;
        }
        put(&value, script, reply, depth + 1, error)?;
        count += 1;
    }
    reply.close_array(open, count);
    Ok(())
}
