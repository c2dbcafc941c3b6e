//! What events told of a pool: its tasks, the power of our guests, the addresses in guests. A memory, not a truth.
//!
//! Pure but for a lock. Whoever waits for something looks here first and is woken by each change; what nobody told is
//! read again from the pool, so a lost event costs time and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::fault::Fault;
use super::owner::NAME_PREFIX;
use super::record::Ref;

/// How a task stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TaskState {
    Pending,
    /// With its result as XAPI has it, a fragment of XML.
    Success(String),
    Failure(Fault),
    Cancelled,
}

impl TaskState {
    /// None where the record is none of a task.
    pub(crate) fn of(record: &Value) -> Option<Self> {
        Some(match record.get("status")?.as_str()? {
            "success" => {
                Self::Success(record.get("result").and_then(Value::as_str).unwrap_or_default().to_owned())
            }
            "failure" => {
                let info = record.get("error_info").and_then(Value::as_array);
                let mut texts = info.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
                let code = texts.next().unwrap_or_else(|| "INTERNAL_ERROR".to_owned());
                Self::Failure(Fault::new(code, texts.collect()))
            }
            "cancelled" => Self::Cancelled,
            _ => Self::Pending,
        })
    }
}

/// One of our guests, as last told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GuestSeen {
    pub(crate) name: String,
    guest_metrics: Option<Ref>,
    resident_on: Option<Ref>,
}

#[derive(Debug)]
pub(crate) struct Seen {
    told: Mutex<Told>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Told {
    /// A whole batch was taken, so that what is not here is not there.
    whole: bool,
    tasks: HashMap<String, TaskState>,
    guests: BTreeMap<Ref, GuestSeen>,
    /// `VM_guest_metrics.networks`, by its reference.
    networks: HashMap<String, BTreeMap<String, String>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { told: Mutex::new(Told::default()), changes: watch::Sender::new(0) }
    }
}

impl Seen {
    /// A receiver that sees every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn task(&self, task: &Ref) -> Option<TaskState> {
        self.told().tasks.get(task.as_str()).cloned()
    }

    pub(crate) fn knows_all(&self) -> bool {
        self.told().whole
    }

    pub(crate) fn guests(&self) -> BTreeMap<Ref, GuestSeen> {
        self.told().guests.clone()
    }

    /// The host that a guest is on.
    pub(crate) fn host(&self, guest: &Ref) -> Option<Ref> {
        self.told().guests.get(guest)?.resident_on.clone()
    }

    pub(crate) fn networks(&self, guest: &Ref) -> Option<BTreeMap<String, String>> {
        let told = self.told();
        let metrics = told.guests.get(guest)?.guest_metrics.as_ref()?;
        told.networks.get(metrics.as_str()).cloned()
    }

    /// Takes a batch of events. A `whole` one tells of everything that there is, so what it lacks is gone.
    pub(crate) fn take(&self, batch: &Value, whole: bool) {
        {
            let mut told = self.told();
            if whole {
                *told = Told { whole: true, ..Told::default() };
            }
            let events = batch.get("events").and_then(Value::as_array);
            for event in events.into_iter().flatten() {
                told.take(event);
            }
        }
        self.changes.send_modify(|change| *change += 1);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // A memory that is half written is still only a memory.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn take(&mut self, event: &Value) -> Option<()> {
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let reference = text("ref")?;
        let class = text("class")?.to_ascii_lowercase();
        let record = event.get("snapshot").filter(|_| text("operation") != Some("del"));
        match class.as_str() {
            "task" => match record.and_then(TaskState::of) {
                Some(state) => drop(self.tasks.insert(reference.to_owned(), state)),
                None => drop(self.tasks.remove(reference)),
            },
            "vm" => match record.and_then(GuestSeen::of) {
                Some(guest) => drop(self.guests.insert(Ref::new(reference), guest)),
                None => drop(self.guests.remove(&Ref::new(reference))),
            },
            "vm_guest_metrics" => match record.and_then(networks_of) {
                Some(networks) => drop(self.networks.insert(reference.to_owned(), networks)),
                None => drop(self.networks.remove(reference)),
            },
            _ => {}
        }
        Some(())
    }
}

impl GuestSeen {
    /// None for a VM that is not ours, of which a pool may have thousands, and for a snapshot.
    fn of(record: &Value) -> Option<Self> {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let name = text("name_label").filter(|name| name.starts_with(NAME_PREFIX))?;
        if record.get("is_a_snapshot").and_then(Value::as_bool) == Some(true) {
            return None;
        }
        let reference = |name: &str| text(name).map(Ref::new).and_then(Ref::some);
        Some(Self {
            name: name.to_owned(),
            guest_metrics: reference("guest_metrics"),
            resident_on: reference("resident_on"),
        })
    }
}

pub(crate) fn networks_of(record: &Value) -> Option<BTreeMap<String, String>> {
    let networks = record.get("networks")?.as_object()?;
    Some(networks.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(class: &str, operation: &str, reference: &str, snapshot: Value) -> Value {
        json!({ "events": [{ "class": class, "operation": operation, "ref": reference, "snapshot": snapshot }] })
    }

    #[test]
    fn a_whole_batch_forgets_what_it_does_not_tell_of() {
        let seen = Seen::default();
        let pending = json!({ "status": "pending" });
        seen.take(&event("task", "add", "a", pending.clone()), true);
        seen.take(&event("task", "mod", "a", json!({ "status": "success", "result": "<value/>" })), false);
        assert_eq!(seen.task(&Ref::new("a")), Some(TaskState::Success("<value/>".to_owned())));
        seen.take(&event("Task", "add", "b", pending), true);
        assert_eq!((seen.task(&Ref::new("a")), seen.task(&Ref::new("b"))), (None, Some(TaskState::Pending)));
        seen.take(&event("task", "del", "b", Value::Null), false);
        assert_eq!(seen.task(&Ref::new("b")), None);
    }

    #[test]
    fn only_our_guests_are_remembered_with_their_addresses_and_hosts() {
        let seen = Seen::default();
        let vm = |name: &str| {
            json!({ "name_label": name, "power_state": "Running", "guest_metrics": "m", "resident_on": "h",
                    "is_a_snapshot": false })
        };
        seen.take(&event("vm", "add", "theirs", vm("database")), true);
        seen.take(&event("vm", "add", "ours", vm(&format!("{NAME_PREFIX}f/a/b/1.2"))), false);
        seen.take(
            &event("vm_guest_metrics", "add", "m", json!({ "networks": { "0/ip": "10.0.0.9" } })),
            false,
        );
        assert_eq!(seen.guests().len(), 1);
        assert_eq!(seen.networks(&Ref::new("ours")).unwrap()["0/ip"], "10.0.0.9");
        assert_eq!(seen.networks(&Ref::new("theirs")), None);
        assert_eq!(seen.host(&Ref::new("ours")), Some(Ref::new("h")));
        let mut halted = vm(&format!("{NAME_PREFIX}f/a/b/1.2"));
        halted["resident_on"] = json!("OpaqueRef:NULL");
        seen.take(&event("vm", "mod", "ours", halted), false);
        assert_eq!(seen.host(&Ref::new("ours")), None);
    }

    #[test]
    fn a_failed_task_keeps_xapi_s_code_and_parameters() {
        let record = json!({ "status": "failure", "error_info": ["SR_FULL", "10", "4"] });
        let fault = Fault::new("SR_FULL", vec!["10".to_owned(), "4".to_owned()]);
        assert_eq!(TaskState::of(&record), Some(TaskState::Failure(fault)));
        assert_eq!(TaskState::of(&json!({ "status": "cancelling" })), Some(TaskState::Pending));
    }
}
