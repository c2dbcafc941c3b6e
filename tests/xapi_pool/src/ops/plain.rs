//! Calls that read or write one field, or read whole objects: the same for every class.

use crate::shared::Call;
use crate::state::State;
use crate::store::Fields;
use crate::value::{Answer, Failure, Value};

/// Fields of references that follow from other objects and so are never what a getter may write.
pub(super) fn access(state: &mut State, call: &Call) -> Answer {
    let (class, verb) = call.method.split_once('.').unwrap_or((call.method.as_str(), ""));
    match verb {
        "get_all" => Ok(Value::texts(state.store.all(class).into_iter().map(|(reference, _)| reference))),
        "get_all_records" => {
            let all = state.store.all(class).into_iter();
            Ok(Value::map(all.map(|(reference, fields)| (reference, Value::Map(fields.clone())))))
        }
        "get_record" => state.store.record(class, call.text(0)).cloned().map(Value::Map),
        "get_by_uuid" => {
            let found = matching(state, class, "uuid", call.text(0)).pop();
            found.map(Value::text).ok_or_else(|| Failure::new("UUID_INVALID", &[class, call.text(0)]))
        }
        "get_by_name_label" => Ok(Value::texts(matching(state, class, "name_label", call.text(0)))),
        _ => one_field(state, call, class, verb),
    }
}

fn one_field(state: &mut State, call: &Call, class: &str, verb: &str) -> Answer {
    let object = call.text(0);
    state.store.record(class, object)?;
    let prefixes = ["get_", "set_", "add_to_", "remove_from_", "add_", "remove_"];
    let fits = |prefix: &&&str| verb.strip_prefix(**prefix).is_some_and(|field| has(state, class, field));
    let prefix = prefixes.iter().find(fits);
    let prefix = *prefix.ok_or_else(|| Failure::new("MESSAGE_METHOD_UNKNOWN", &[&call.method]))?;
    let field = verb.strip_prefix(prefix).unwrap_or_default();
    let key = call.text(1).to_owned();
    let value = call.params.get(usize::from(prefix == "add_to_") + 1).cloned().unwrap_or(Value::Null);
    match prefix {
        "get_" => return state.store.field(class, object, field),
        "set_" => state.store.set(class, object, field, typed(state, class, field, value)),
        "add_to_" => {
            let Value::Map(entries) = state.store.field(class, object, field)? else {
                return Ok(Value::void());
            };
            if entries.contains_key(&key) {
                let uuid = state.store.text(class, object, "uuid");
                return Err(Failure::new("MAP_DUPLICATE_KEY", &[class, field, &uuid, &key]));
            }
            state.store.change_map(class, object, field, |entries: &mut Fields| {
                entries.insert(key, value);
            });
        }
        "remove_from_" => state.store.change_map(class, object, field, |entries: &mut Fields| {
            entries.remove(&key);
        }),
        "add_" => {
            if !state.store.list(class, object, field).contains(&key) {
                state.store.link(class, object, field, &key);
            }
        }
        _ => state.store.unlink(class, object, field, &key),
    }
    if class == "VM" {
        state.refresh(object);
    }
    Ok(Value::void())
}

fn has(state: &State, class: &str, field: &str) -> bool {
    state.model.fields.get(class).is_some_and(|fields| fields.contains_key(field))
}

/// A whole number that came as text, as a number.
pub(super) fn typed(state: &State, class: &str, field: &str, value: Value) -> Value {
    let kind = state.model.fields.get(class).and_then(|fields| fields.get(field)).map(|field| &field.kind);
    match kind {
        Some(crate::model::Type::Int) => Value::Int(value.as_int()),
        _ => value,
    }
}

fn matching(state: &State, class: &str, field: &str, text: &str) -> Vec<String> {
    let all = state.store.all(class).into_iter();
    let fits = |fields: &Fields| fields.get(field).is_some_and(|value| value.as_text() == text);
    all.filter(|(_, fields)| fits(fields)).map(|(reference, _)| reference).collect()
}
