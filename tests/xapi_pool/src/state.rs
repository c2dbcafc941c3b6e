//! All that a pool is, behind one lock: objects, sessions, faults, what was seen of its callers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::fault::{Fault, Faults};
use crate::guest::Keeper;
use crate::lifecycle;
use crate::model::Model;
use crate::options::Options;
use crate::session::Sessions;
use crate::store::{Fields, Store};
use crate::value::{Failure, Value};

/// What was seen of the callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Calls by method.
    pub calls: BTreeMap<String, u64>,
    /// Most calls that were under way at once, `event.from` aside.
    pub most_calls_at_once: usize,
    /// Most clones and starts that were under way at once.
    pub most_clones_and_starts_at_once: usize,
    /// Logins that named no originator.
    pub logins_without_originator: u64,
    /// Most TCP connections that were open at once.
    pub most_connections_at_once: usize,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) model: &'static Model,
    pub(crate) store: Store,
    pub(crate) sessions: Sessions,
    pub(crate) faults: Faults,
    pub(crate) violations: Vec<String>,
    pub(crate) seen: Seen,
    /// Tasks that somebody cancelled.
    pub(crate) cancelled: BTreeSet<String>,
    /// The pool's life: what was begun in an earlier one is never finished.
    pub(crate) life: u64,
    /// Events of changes up to here are never told again.
    pub(crate) skipped: u64,
    pub(crate) calls_now: usize,
    pub(crate) connections_now: usize,
    /// Hosts: reference and address.
    pub(crate) hosts: Vec<(String, String)>,
    /// Which of them is the master.
    pub(crate) master: usize,
    pub(crate) keeper: Keeper,
    /// Where disks are.
    pub(crate) folder: PathBuf,
}

impl State {
    /// Notes that a caller did what no caller may.
    pub(crate) fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    /// Spends a fault.
    pub(crate) fn fault(&mut self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        self.faults.take(wanted)
    }

    /// # Errors
    /// HANDLE_INVALID.
    pub(crate) fn vm(&self, vm: &str) -> Result<&Fields, Failure> {
        self.store.record("VM", vm)
    }

    /// Notes that `task` carries `operation` out.
    ///
    /// # Errors
    /// The operation is not allowed now.
    pub(crate) fn begin(&mut self, vm: &str, operation: &str, task: &str) -> Result<(), Failure> {
        lifecycle::check(self.vm(vm)?, vm, operation)?;
        self.store.change_map("VM", vm, "current_operations", |operations| {
            operations.insert(task.to_owned(), Value::text(operation));
        });
        self.refresh(vm);
        let copies_and_starts = |fields: &Fields| {
            let operations = fields.get("current_operations").cloned();
            let Some(Value::Map(operations)) = operations else { return 0 };
            let counted = ["clone", "start"];
            operations.values().filter(|operation| counted.contains(&operation.as_text())).count()
        };
        let now = self.store.all("VM").iter().map(|(_, fields)| copies_and_starts(fields)).sum();
        self.seen.most_clones_and_starts_at_once = self.seen.most_clones_and_starts_at_once.max(now);
        Ok(())
    }

    /// `task` is done with `vm`.
    pub(crate) fn end(&mut self, vm: &str, task: &str) {
        self.store.change_map("VM", vm, "current_operations", |operations| {
            operations.remove(task);
        });
        self.refresh(vm);
    }

    /// Writes anew what `vm` allows.
    pub(crate) fn refresh(&mut self, vm: &str) {
        if let Ok(fields) = self.vm(vm) {
            let allowed = lifecycle::allowed(fields, vm);
            self.store.set("VM", vm, "allowed_operations", allowed);
        }
    }

    pub(crate) fn set_power(&mut self, vm: &str, state: &str) {
        self.store.set("VM", vm, "power_state", Value::text(state));
        let attached = Value::Bool(state != "Halted");
        for (class, field) in [("VBD", "VBDs"), ("VIF", "VIFs")] {
            for device in self.store.list("VM", vm, field) {
                self.store.set(class, &device, "currently_attached", attached.clone());
            }
        }
        self.refresh(vm);
    }
}
