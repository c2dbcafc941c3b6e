//! The globals of a script: arithmetic, texts, tables, and nothing that knows the host, the clock, the heap or an
//! address. It adds nothing to them but `tostring` and `string.format` that show no addresses.

use mlua::{Error, Function, Lua, Table, Value};

/// Functions of the base library that load code, reach other environments, or tell of the heap or the host.
const REMOVED: [&str; 8] =
    ["collectgarbage", "gcinfo", "getfenv", "setfenv", "loadstring", "newproxy", "print", "require"];

/// An address would differ from run to run.
const WITHOUT_ADDRESSES: &str = include_str!("without_addresses.luau");

/// To be called before the VM is sandboxed.
pub(super) fn prepare(lua: &Lua, seed: u32) -> mlua::Result<()> {
    let globals = lua.globals();
    for name in REMOVED {
        globals.raw_set(name, Value::Nil)?;
    }
    let math: Table = globals.get("math")?;
    // Luau starts its generator from the clock.
    math.get::<Function>("randomseed")?.call::<()>(seed)?;
    math.raw_set("randomseed", Value::Nil)?;
    let describe = lua.create_function(|_, value: Value| describe(&value))?;
    lua.load(WITHOUT_ADDRESSES).set_name("=globals").call::<()>(describe)
}

/// What a value is, or what its `__tostring` or message says.
fn describe(value: &Value) -> mlua::Result<String> {
    if let Value::Error(error) = value {
        return Ok(message(error));
    }
    let metatable = if let Value::Table(table) = value { table.metatable() } else { None };
    let own: Value = metatable.map_or(Ok(Value::Nil), |metatable| metatable.raw_get("__tostring"))?;
    match own {
        Value::Nil => Ok(value.type_name().to_owned()),
        Value::Function(own) => match own.call::<Value>(value)? {
            Value::String(text) => Ok(text.to_string_lossy()),
            _ => Err(Error::runtime("'__tostring' must return a string")),
        },
        _ => Err(Error::runtime("'__tostring' must be a function")),
    }
}

/// An error's own message, without the stack at which it was raised.
pub(super) fn message(error: &Error) -> String {
    match error {
        Error::CallbackError { cause, .. }
        | Error::BadArgument { cause, .. }
        | Error::WithContext { cause, .. } => message(cause),
        Error::RuntimeError(text) => text.split("\nstack traceback").next().unwrap_or_default().to_owned(),
        other => other.to_string(),
    }
}
