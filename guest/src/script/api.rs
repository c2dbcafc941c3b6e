//! The table `cell` that a script finds: each entry asks the session, or does to it.

use std::rc::Rc;

use bioxen_guest::Value;
use bioxen_hypervisor::process::{Function, nearest};
use mlua::{Error, Lua, MultiValue, Table};

use super::values;
use crate::session::{Halt, Session};

/// Encoded size of one argument, such as a list of genes.
const ARGUMENT_BYTES: u64 = 64 * 1024;

/// What scripts have besides the functions of plain calls.
const SCRIPTS_ONLY: [&str; 6] = ["genes", "metrics", "record", "set_allocation", "time", "wait_until"];

/// The table, made so that an unknown name in it is refused with the nearest five.
pub(super) fn table(lua: &Lua, session: &Rc<Session>) -> mlua::Result<Table> {
    let cell = lua.create_table()?;
    for function in Function::ALL.iter().copied() {
        let session = Rc::clone(session);
        let call = lua.create_function(move |lua, arguments: MultiValue| {
            let arguments = arguments
                .iter()
                .map(|argument| values::one(argument, ARGUMENT_BYTES))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|problem| external(Halt::from(function.misused(problem))))?;
            values::to_lua(lua, &session.call(function, &arguments).map_err(external)?)
        })?;
        cell.raw_set(function.name(), call)?;
    }
    add_readings(lua, &cell, session)?;
    add_effects(lua, &cell, session)?;
    let meta = lua.create_table()?;
    meta.raw_set("__index", lua.create_function(|_, (_, key): (Table, mlua::Value)| unknown(&key))?)?;
    meta.raw_set("__metatable", "the cell")?;
    cell.set_metatable(Some(meta))?;
    Ok(cell)
}

fn add_readings(lua: &Lua, cell: &Table, session: &Rc<Session>) -> mlua::Result<()> {
    let asked = Rc::clone(session);
    let metrics =
        lua.create_function(move |lua, ()| values::to_lua(lua, &asked.metrics().map_err(external)?))?;
    cell.raw_set("metrics", metrics)?;
    let asked = Rc::clone(session);
    cell.raw_set("time", lua.create_function(move |_, ()| Ok(asked.minutes()))?)?;
    let asked = Rc::clone(session);
    cell.raw_set(
        "genes",
        lua.create_function(move |lua, named: Option<Vec<String>>| {
            values::to_lua(lua, &asked.genes(&named.unwrap_or_default()).map_err(external)?)
        })?,
    )
}

fn add_effects(lua: &Lua, cell: &Table, session: &Rc<Session>) -> mlua::Result<()> {
    let asked = Rc::clone(session);
    let set_allocation = lua.create_function(move |lua, wanted: Table| {
        let allocation = allocation(&wanted)?;
        values::to_lua(lua, &asked.set_allocation(allocation.0, allocation.1).map_err(external)?)
    })?;
    cell.raw_set("set_allocation", set_allocation)?;
    let asked = Rc::clone(session);
    let record = lua.create_function(move |_, (name, value): (String, f64)| {
        asked.record(name, value).map_err(external)
    })?;
    cell.raw_set("record", record)?;
    let asked = Rc::clone(session);
    let wait_until = lua.create_function(move |_, (condition, max_minutes): (mlua::Function, f64)| {
        wait_until(&asked, &condition, max_minutes)
    })?;
    cell.raw_set("wait_until", wait_until)
}

/// Lets time pass tick by tick until `condition` holds, and says whether it does.
fn wait_until(session: &Session, condition: &mlua::Function, max_minutes: f64) -> mlua::Result<bool> {
    let mut left = session.ticks(max_minutes).map_err(external)?;
    loop {
        let holds: mlua::Value = condition.call(())?;
        let holds = !matches!(holds, mlua::Value::Nil | mlua::Value::Boolean(false));
        if holds || left == 0 {
            return Ok(holds);
        }
        session.advance(1).map_err(external)?;
        left -= 1;
    }
}

fn allocation(wanted: &Table) -> mlua::Result<(Option<f64>, Option<f64>)> {
    let misuse = |text: &str| external(Halt::Misuse(format!("set_allocation: {text}")));
    let given =
        values::one(&mlua::Value::Table(wanted.clone()), ARGUMENT_BYTES).map_err(|text| misuse(&text))?;
    let mut allocation = (None, None);
    if let Value::Table(entries) = given {
        for (key, value) in entries {
            let number = value.as_f64().ok_or_else(|| misuse(&format!("{key} must be a finite number")))?;
            match key.as_str() {
                "atp_percentage" => allocation.0 = Some(number),
                "ribosomes" => allocation.1 = Some(number),
                _ => return Err(misuse(&format!("{key:?} is neither atp_percentage nor ribosomes"))),
            }
        }
    }
    Ok(allocation)
}

fn unknown(key: &mlua::Value) -> mlua::Result<()> {
    let name =
        if let mlua::Value::String(name) = key { name.to_string_lossy() } else { key.type_name().to_owned() };
    let known = Function::ALL.iter().map(|function| function.name()).chain(SCRIPTS_ONLY);
    let nearest = nearest(&name, known);
    Err(external(bioxen_hypervisor::process::ProcessError::UnknownFunction { name, nearest }.into()))
}

fn external(halt: Halt) -> Error {
    Error::external(halt)
}
