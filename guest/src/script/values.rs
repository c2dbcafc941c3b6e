//! Values of a script as data, and back, bounded in depth and size. It calls nothing of the script: metatables are not
//! asked.

use std::collections::BTreeMap;

use bioxen_guest::{MAX_DEPTH, Value};
use mlua::{Lua, MultiValue, Table};

/// Up to here every whole number is exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The result that a script's return values are: none is nothing, one is itself, several are a list.
pub(super) fn result(values: &MultiValue, limit_bytes: u64) -> Result<Value, String> {
    let mut budget = Budget { limit_bytes, left: limit_bytes };
    match values.len() {
        0 => Ok(Value::Null),
        1 => values.front().map_or(Ok(Value::Null), |value| from_lua(value, 0, &mut budget)),
        _ => values
            .iter()
            .map(|value| from_lua(value, 1, &mut budget))
            .collect::<Result<_, _>>()
            .map(Value::List),
    }
}

/// One value, such as an argument.
pub(super) fn one(value: &mlua::Value, limit_bytes: u64) -> Result<Value, String> {
    from_lua(value, 0, &mut Budget { limit_bytes, left: limit_bytes })
}

/// Data as a value of the script's own.
pub(super) fn to_lua(lua: &Lua, value: &Value) -> mlua::Result<mlua::Value> {
    Ok(match value {
        Value::Null => mlua::Value::Nil,
        Value::Bool(value) => mlua::Value::Boolean(*value),
        Value::Whole(whole) => mlua::Value::Number(*whole as f64),
        Value::Number(number) => mlua::Value::Number(*number),
        Value::Text(text) => mlua::Value::String(lua.create_string(text)?),
        Value::List(list) => {
            let table = lua.create_table_with_capacity(list.len(), 0)?;
            for item in list {
                table.raw_push(to_lua(lua, item)?)?;
            }
            mlua::Value::Table(table)
        }
        Value::Table(entries) => {
            let table = lua.create_table_with_capacity(0, entries.len())?;
            for (key, item) in entries {
                table.raw_set(key.as_str(), to_lua(lua, item)?)?;
            }
            mlua::Value::Table(table)
        }
    })
}

/// What may still be taken; a little is taken for each value, so that tables that hold themselves end too.
struct Budget {
    limit_bytes: u64,
    left: u64,
}

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.left = self
            .left
            .checked_sub(bytes as u64)
            .ok_or_else(|| format!("it takes more than the {} bytes allowed", self.limit_bytes))?;
        Ok(())
    }
}

fn from_lua(value: &mlua::Value, depth: usize, budget: &mut Budget) -> Result<Value, String> {
    budget.take(1)?;
    match value {
        mlua::Value::Nil => Ok(Value::Null),
        mlua::Value::Boolean(value) => Ok(Value::Bool(*value)),
        mlua::Value::Integer(whole) => Ok(Value::Whole(*whole)),
        mlua::Value::Number(number) => Ok(number_of(*number)),
        mlua::Value::String(text) => {
            let bytes = text.as_bytes();
            budget.take(bytes.len())?;
            let text =
                std::str::from_utf8(&bytes).map_err(|_| "it holds a text that is not UTF-8".to_owned())?;
            Ok(Value::Text(text.to_owned()))
        }
        mlua::Value::Table(_) if depth == MAX_DEPTH => {
            Err(format!("it is nested more than {MAX_DEPTH} deep"))
        }
        mlua::Value::Table(table) => table_of(table, depth, budget),
        mlua::Value::Error(error) => Ok(Value::Text(super::globals::message(error))),
        other => Err(format!("it holds a {}", other.type_name())),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
fn number_of(number: f64) -> Value {
    if !number.is_finite() {
        Value::Null
    } else if number == number.trunc()
        && number.abs() <= EXACT
        && !(number == 0.0 && number.is_sign_negative())
    {
        Value::Whole(number as i64)
    } else {
        Value::Number(number)
    }
}

/// A list where the keys are 1, 2, .. without a gap, an empty table among them; else a table by name.
fn table_of(table: &Table, depth: usize, budget: &mut Budget) -> Result<Value, String> {
    let mut by_position = BTreeMap::new();
    let mut by_name = BTreeMap::new();
    for pair in table.pairs::<mlua::Value, mlua::Value>() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        let value = from_lua(&value, depth + 1, budget)?;
        match position_of(&key) {
            Some(position) => drop(by_position.insert(position, value)),
            None => drop(by_name.insert(name_of(&key, budget)?, value)),
        }
    }
    // Positions are distinct and begin at 1, so the last says whether there is a gap.
    let last = by_position.last_key_value().map_or(0, |(last, _)| *last);
    if by_name.is_empty() && last == by_position.len() {
        return Ok(Value::List(by_position.into_values().collect()));
    }
    for (position, value) in by_position {
        let name = position.to_string();
        budget.take(name.len())?;
        if by_name.insert(name.clone(), value).is_some() {
            return Err(format!("it has the key {name:?} twice, as a number and as a text"));
        }
    }
    Ok(Value::Table(by_name))
}

/// The place in a list that a key is, from 1.
fn position_of(key: &mlua::Value) -> Option<usize> {
    let whole = match key {
        mlua::Value::Integer(whole) => *whole,
        mlua::Value::Number(number) => match number_of(*number) {
            Value::Whole(whole) => whole,
            _ => return None,
        },
        _ => return None,
    };
    usize::try_from(whole).ok().filter(|position| *position > 0)
}

fn name_of(key: &mlua::Value, budget: &mut Budget) -> Result<String, String> {
    let name = match from_lua(key, MAX_DEPTH, budget) {
        Ok(Value::Text(text)) => text,
        Ok(Value::Whole(whole)) => whole.to_string(),
        Ok(Value::Number(number)) => number.to_string(),
        _ => return Err(format!("it has a {} as a key", key.type_name())),
    };
    budget.take(name.len())?;
    Ok(name)
}
