//! `package("NAME/MODULE")` and `package("NAME")`: modules of the packages that the VM has, as tables that nobody can
//! change. A module's source runs once a job, when it is first asked for, in the script's own VM under the script's own
//! limits. There is no other way to other code: `require` stays away.

use std::collections::BTreeMap;
use std::rc::Rc;

use bioxen_guest::JobPackage;
use bioxen_hypervisor::process::nearest;
use mlua::{Error, Function, Lua, Table, Value};

use crate::meter::FUEL_PER_FUNCTION;
use crate::session::{Halt, Session};

/// Tables in one module, so that making them unchangeable ends.
const MAX_TABLES: usize = 10_000;
/// Where loaded modules and packages are kept: in the VM, out of the script's reach.
const LOADED: &str = "bioxen.packages";

/// Sources by module, by package.
type Known = BTreeMap<String, BTreeMap<String, String>>;

/// The function, for these packages.
pub(super) fn function(lua: &Lua, session: &Rc<Session>, packages: &[JobPackage]) -> mlua::Result<Function> {
    lua.set_named_registry_value(LOADED, lua.create_table()?)?;
    let known: Known =
        packages.iter().map(|package| (package.name.clone(), package.modules.clone())).collect();
    let session = Rc::clone(session);
    lua.create_function(move |lua, asked: String| {
        session.meter.charge(FUEL_PER_FUNCTION).map_err(|stop| Error::external(Halt::Stop(stop)))?;
        match asked.split_once('/') {
            Some((package, module)) => one(lua, &known, package, module),
            None => all(lua, &known, &asked),
        }
    })
}

/// Every module of a package, by name.
fn all(lua: &Lua, known: &Known, package: &str) -> mlua::Result<Table> {
    let modules = known.get(package).ok_or_else(|| unknown("package", package, known.keys()))?;
    let loaded: Table = lua.named_registry_value(LOADED)?;
    if let Value::Table(made) = loaded.raw_get(package)? {
        return Ok(made);
    }
    let made = lua.create_table()?;
    for name in modules.keys() {
        made.raw_set(name.as_str(), one(lua, known, package, name)?)?;
    }
    made.set_readonly(true);
    loaded.raw_set(package, &made)?;
    Ok(made)
}

fn one(lua: &Lua, known: &Known, package: &str, module: &str) -> mlua::Result<Table> {
    let modules = known.get(package).ok_or_else(|| unknown("package", package, known.keys()))?;
    let source = modules.get(module).ok_or_else(|| unknown("module", module, modules.keys()))?;
    let key = format!("{package}/{module}");
    let loaded: Table = lua.named_registry_value(LOADED)?;
    match loaded.raw_get::<Value>(key.as_str())? {
        Value::Table(made) => return Ok(made),
        Value::Nil => {}
        // Put there while it loads.
        _ => return Err(misuse(format!("module {key} asks for itself while it is loaded"))),
    }
    loaded.raw_set(key.as_str(), true)?;
    let made = load(lua, &key, source);
    let kept = made.as_ref().map_or(Value::Nil, |made| Value::Table(made.clone()));
    loaded.raw_set(key.as_str(), kept)?;
    made
}

fn load(lua: &Lua, key: &str, source: &str) -> mlua::Result<Table> {
    let chunk = super::load(lua, source, &format!("={key}"))?;
    let Value::Table(module) = chunk.call::<Value>(())? else {
        return Err(misuse(format!("module {key} returns no table")));
    };
    freeze(key, module.clone())?;
    Ok(module)
}

/// Makes a table and those in it unchangeable; metatables are not asked.
fn freeze(key: &str, table: Table) -> mlua::Result<()> {
    let mut open = vec![table];
    let mut frozen = 0;
    while let Some(table) = open.pop() {
        if table.is_readonly() {
            continue;
        }
        frozen += 1;
        if frozen > MAX_TABLES {
            return Err(misuse(format!("module {key} holds more than {MAX_TABLES} tables")));
        }
        table.set_readonly(true);
        for pair in table.pairs::<Value, Value>() {
            if let (_, Value::Table(inner)) = pair? {
                open.push(inner);
            }
        }
    }
    Ok(())
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    const SHOWN_CHARS: usize = 63;
    let shown: String = name.chars().take(SHOWN_CHARS).collect();
    let near = nearest(&shown, known.map(String::as_str));
    let told = if near.is_empty() {
        "none with modules was installed".to_owned()
    } else {
        format!("the nearest: {}", near.join(", "))
    };
    misuse(format!("there is no {what} {shown:?} in this VM; {told}"))
}

fn misuse(message: String) -> Error {
    Error::external(Halt::Misuse(message))
}
