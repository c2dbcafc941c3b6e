//! What events told of a pool: its tasks, the power of our guests, the addresses in guests. A memory, not a truth.
//!
//! Pure but for a lock. Whoever waits for something looks here first and is woken by each change; what nobody told is
//! read again from the pool, so a lost event costs time and nothing else. Hence it may be bounded: it holds some 60 MB at
//! most, whatever a pool tells, and a pool of some thousands of VMs fits in.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::fault::Fault;
use super::owner::NAME_PREFIX;
use super::record::Ref;

/// Tasks of all users of the pool are told, the newest are kept: a task may end before whoever began it hears its name.
const TASKS_MOST: usize = 2_000;
/// The result of a task of ours is a reference. What is larger is left to be read.
const RESULT_BYTES_MOST: usize = 4 << 10;
/// Each of guests and of what their tools tell.
const GUESTS_MOST: usize = 10_000;
const REFERENCE_BYTES_MOST: usize = 128;
const NAME_BYTES_MOST: usize = 512;
/// Of one interface.
const ADDRESSES_MOST: usize = 16;
const ADDRESS_BYTES_MOST: usize = 64;

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

    fn is_small(&self) -> bool {
        !matches!(self, Self::Success(result) if result.len() > RESULT_BYTES_MOST)
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
    /// Not everything had room.
    full: bool,
    tasks: Tasks,
    guests: BTreeMap<Ref, GuestSeen>,
    /// `VM_guest_metrics.networks`, by its reference.
    networks: BTreeMap<String, BTreeMap<String, String>>,
}

/// The newest tasks.
#[derive(Debug, Default)]
struct Tasks {
    by_reference: HashMap<String, (u64, TaskState)>,
    by_age: BTreeMap<u64, String>,
    told: u64,
}

impl Tasks {
    fn insert(&mut self, reference: &str, state: TaskState) {
        if let Some((_, known)) = self.by_reference.get_mut(reference) {
            *known = state;
            return;
        }
        self.told += 1;
        self.by_age.insert(self.told, reference.to_owned());
        self.by_reference.insert(reference.to_owned(), (self.told, state));
        if self.by_age.len() > TASKS_MOST
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_reference.remove(&oldest);
        }
    }

    fn remove(&mut self, reference: &str) {
        if let Some((age, _)) = self.by_reference.remove(reference) {
            self.by_age.remove(&age);
        }
    }
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
        Some(self.told().tasks.by_reference.get(task.as_str())?.1.clone())
    }

    pub(crate) fn knows_all(&self) -> bool {
        let told = self.told();
        told.whole && !told.full
    }

    pub(crate) fn is_full(&self) -> bool {
        self.told().full
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
        let reference = text("ref").filter(|text| text.len() <= REFERENCE_BYTES_MOST)?;
        let class = text("class")?;
        let record = event.get("snapshot").filter(|_| text("operation") != Some("del"));
        if class.eq_ignore_ascii_case("task") {
            match record.and_then(TaskState::of).filter(TaskState::is_small) {
                Some(state) => self.tasks.insert(reference, state),
                None => self.tasks.remove(reference),
            }
        } else if class.eq_ignore_ascii_case("vm") {
            let key = Ref::new(reference);
            self.full |= !keep(&mut self.guests, key, record.and_then(GuestSeen::of));
        } else if class.eq_ignore_ascii_case("vm_guest_metrics") {
            let key = reference.to_owned();
            self.full |= !keep(&mut self.networks, key, record.and_then(networks_of));
        }
        Some(())
    }
}

/// Remembers a value or forgets it; false where there is no room.
fn keep<K: Ord, V>(all: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> bool {
    let Some(value) = value else {
        all.remove(&key);
        return true;
    };
    let has_room = all.len() < GUESTS_MOST || all.contains_key(&key);
    if has_room {
        all.insert(key, value);
    }
    has_room
}

impl GuestSeen {
    /// None for a VM that is not ours, of which a pool may have thousands, and for a snapshot.
    fn of(record: &Value) -> Option<Self> {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let is_ours = |name: &&str| name.starts_with(NAME_PREFIX) && name.len() <= NAME_BYTES_MOST;
        let name = text("name_label").filter(is_ours)?;
        if record.get("is_a_snapshot").and_then(Value::as_bool) == Some(true) {
            return None;
        }
        let short = |name: &str| text(name).filter(|text| text.len() <= REFERENCE_BYTES_MOST);
        let reference = |name: &str| short(name).map(Ref::new).and_then(Ref::some);
        Some(Self {
            name: name.to_owned(),
            guest_metrics: reference("guest_metrics"),
            resident_on: reference("resident_on"),
        })
    }
}

/// The addresses of a guest's first interface.
pub(crate) fn networks_of(record: &Value) -> Option<BTreeMap<String, String>> {
    let networks = record.get("networks")?.as_object()?;
    let address = |(name, value): (&String, &Value)| {
        let text = value.as_str().filter(|text| name.len().max(text.len()) <= ADDRESS_BYTES_MOST)?;
        name.starts_with("0/").then(|| (name.clone(), text.to_owned()))
    };
    Some(networks.iter().filter_map(address).take(ADDRESSES_MOST).collect())
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
    fn of_tasks_without_an_end_the_newest_are_kept() {
        let seen = Seen::default();
        let success = |result: &str| json!({ "status": "success", "result": result });
        for number in 0..3 * TASKS_MOST {
            seen.take(&event("task", "add", &number.to_string(), success("")), false);
            // One that comes and goes takes no room.
            seen.take(&event("task", "add", "passing", success("")), false);
            seen.take(&event("task", "del", "passing", Value::Null), false);
        }
        let told = seen.told();
        assert!(told.tasks.by_reference.len() <= TASKS_MOST && told.tasks.by_age.len() <= TASKS_MOST);
        drop(told);
        let newest = Ref::new((3 * TASKS_MOST - 1).to_string());
        assert_eq!(seen.task(&newest), Some(TaskState::Success(String::new())));
        assert_eq!(seen.task(&Ref::new("0")), None);
        let large = "y".repeat(RESULT_BYTES_MOST + 1);
        seen.take(&event("task", "mod", newest.as_str(), success(&large)), false);
        assert_eq!(seen.task(&newest), None, "it is read from the pool");
    }

    #[test]
    fn what_has_no_room_is_not_taken_for_what_is_not_there() {
        let seen = Seen::default();
        seen.take(&json!({ "events": [] }), true);
        assert!(seen.knows_all());
        let vm = |number: usize| json!({ "name_label": format!("{NAME_PREFIX}f/a/b/1.{number}") });
        for number in 0..=GUESTS_MOST {
            seen.take(&event("vm", "add", &number.to_string(), vm(number)), false);
        }
        assert_eq!(seen.guests().len(), GUESTS_MOST);
        assert!(seen.is_full() && !seen.knows_all());
        seen.take(&event("vm", "add", "a", vm(0)), true);
        assert!(seen.knows_all() && !seen.is_full());
    }

    #[test]
    fn of_a_guest_s_tools_a_few_short_addresses_are_kept() {
        let mut networks = json!({ "0/ip": "10.0.0.9", "1/ip": "10.0.0.10", "0/long": "1".repeat(100) });
        assert_eq!(networks_of(&json!({ "networks": networks })).unwrap().len(), 1);
        for number in 0..1000 {
            networks[format!("0/ipv6/{number}")] = json!("fd00::1");
        }
        assert_eq!(networks_of(&json!({ "networks": networks })).unwrap().len(), ADDRESSES_MOST);
    }

    #[test]
    fn a_failed_task_keeps_xapi_s_code_and_parameters() {
        let record = json!({ "status": "failure", "error_info": ["SR_FULL", "10", "4"] });
        let fault = Fault::new("SR_FULL", vec!["10".to_owned(), "4".to_owned()]);
        assert_eq!(TaskState::of(&record), Some(TaskState::Failure(fault)));
        assert_eq!(TaskState::of(&json!({ "status": "cancelling" })), Some(TaskState::Pending));
    }
}
