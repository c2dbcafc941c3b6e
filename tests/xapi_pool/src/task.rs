//! Tasks: what carries an asynchronous call out, and what is left of it until somebody destroys it.

use crate::clock;
use crate::shared::Call;
use crate::state::State;
use crate::value::{Answer, Failure, Value};
use crate::wire::xml;

/// A task for the call `label`.
pub(crate) fn create(state: &mut State, label: &str, session: &str) -> String {
    let host = state.hosts.get(state.master).map(|(host, _)| host.clone()).unwrap_or_default();
    let fields = [
        ("name_label", Value::text(label)),
        ("created", Value::Time(clock::now())),
        ("status", Value::text("pending")),
        ("type", Value::text("<none/>")),
        ("resident_on", Value::text(host)),
        ("allowed_operations", Value::texts(["cancel"])),
    ];
    let task = state.store.create("task", fields.map(|(name, value)| (name.to_owned(), value)).into());
    if let Ok(Value::Text(_)) = state.store.field("session", session, "uuid") {
        state.store.link("session", session, "tasks", &task);
    }
    task
}

/// Writes down how a call ended.
pub(crate) fn finish(state: &mut State, call: &Call, answer: Answer) {
    if state.life != call.life {
        return;
    }
    let task = &call.task;
    let (status, result, error) = match answer {
        Ok(value) => {
            let mut text = String::new();
            if value != Value::void() {
                xml::write_value(&mut text, &value);
            }
            ("success", text, Vec::new())
        }
        Err(failure) if failure.code == "TASK_CANCELLED" => ("cancelled", String::new(), list(failure)),
        Err(failure) => ("failure", String::new(), list(failure)),
    };
    state.store.set("task", task, "progress", Value::Float(1.0));
    state.store.set("task", task, "result", Value::text(result));
    state.store.set("task", task, "error_info", Value::texts(error));
    state.store.set("task", task, "finished", Value::Time(clock::now()));
    state.store.set("task", task, "allowed_operations", Value::List(Vec::new()));
    state.store.set("task", task, "status", Value::text(status));
}

/// `task.cancel`: what runs ends at its next slice.
///
/// # Errors
/// It has ended.
pub(crate) fn cancel(state: &mut State, task: &str) -> Answer {
    let status = state.store.field("task", task, "status")?;
    if status.as_text() != "pending" {
        return Err(Failure::new("OPERATION_NOT_ALLOWED", &["the task has ended"]));
    }
    state.cancelled.insert(task.to_owned());
    state.store.set("task", task, "allowed_operations", Value::List(Vec::new()));
    Ok(Value::void())
}

/// `task.destroy`.
///
/// # Errors
/// There is none.
pub(crate) fn destroy(state: &mut State, task: &str) -> Answer {
    state.store.record("task", task)?;
    state.store.destroy("task", task);
    Ok(Value::void())
}

fn list(failure: Failure) -> Vec<String> {
    std::iter::once(failure.code).chain(failure.params).collect()
}
