//! What is told of VMs that go from one worker to another: the event `moved`, and the audit records of who wanted it.

use bioxen_protocol::audit::{AuditRecord, Outcome};
use bioxen_protocol::event::{Event, EventName};
use bioxen_protocol::id::{OperatorId, WorkerId};
use bioxen_protocol::state::VmState;

use super::audit_chain::{bare, of_fleet};
use super::events::about;
use super::fold::{Change, Glance, Step};
use super::words;
use crate::fleet::checkpoint::Recovery;
use crate::fleet::entry::Entry;
use crate::fleet::movement::{Cordon, MovedBy};

/// The event of a placing that is not the first since the VM was started.
pub(super) fn moved(step: &Step<'_>, change: &Change) -> Option<Event> {
    let before = change.before.as_ref().filter(|before| goes_on(before.state))?;
    let after = change.after.as_ref()?;
    let name =
        |glance: &Glance| glance.worker.as_ref().map_or_else(|| "none".to_owned(), WorkerId::to_string);
    let again = match (before.state, before.recovery) {
        (VmState::Unknown, Some(recovery)) => recovery.in_words(),
        _ => format!("it goes on from minute {}, nothing is computed again", words::minutes(after.tick)),
    };
    let why = match (before.state, before.moving.as_ref().map(|moving| &moving.by)) {
        (VmState::Unknown, _) => ", which is lost,".to_owned(),
        (_, Some(MovedBy::Operator(operator))) => format!(", as operator {operator} asked,"),
        (_, Some(MovedBy::Drain)) => ", which is drained,".to_owned(),
        (_, Some(MovedBy::Balance)) => ", which has less room,".to_owned(),
        (_, None) => String::new(),
    };
    let reason = format!("from worker {}{why} to worker {}: {again}", name(before), name(after));
    Some(Event { reason: Some(reason), ..about(step, change, EventName::Moved) })
}

fn goes_on(state: VmState) -> bool {
    matches!(state, VmState::Starting | VmState::Running | VmState::Paused | VmState::Unknown)
}

/// The reason of the event `starting`, where the placement before was lost.
pub(super) fn starts_again(change: &Change) -> Option<String> {
    change.before.as_ref().and_then(|before| before.recovery).map(Recovery::in_words)
}

/// That a VM shall move.
pub(super) fn moving(step: &Step<'_>) -> Option<AuditRecord> {
    let Entry::Moving { key, to, by } = step.entry else { return None };
    let from = step.changes.first().and_then(|change| change.before.as_ref()?.worker.clone());
    let from = from.map_or_else(|| "none".to_owned(), |worker| worker.to_string());
    let to = to.as_ref().map_or_else(|| "any other".to_owned(), |worker| format!("worker {worker}"));
    let (operator, why) = match by {
        MovedBy::Operator(operator) => (Some(operator.clone()), ""),
        MovedBy::Drain => (None, ": it is drained"),
        MovedBy::Balance => (None, ": it has less room"),
    };
    let outcome = if operator.is_some() { Outcome::Accepted } else { Outcome::Observed };
    let bare = bare(step, &key.user, "move", outcome, format!("from worker {from} to {to}{why}"));
    Some(AuditRecord { operator, vm_id: Some(key.vm.clone()), ..bare })
}

pub(super) fn cordoned(
    step: &Step<'_>,
    operator: &OperatorId,
    worker: &WorkerId,
    cordon: Cordon,
) -> AuditRecord {
    let action = match cordon {
        Cordon::Open => "uncordon",
        Cordon::Cordoned => "cordon",
        Cordon::Draining => "drain",
    };
    let record = of_fleet(step, action, Outcome::Accepted, format!("worker {worker}"));
    AuditRecord { operator: Some(operator.clone()), ..record }
}

pub(super) fn leaving(step: &Step<'_>, worker: &WorkerId, boot: &bioxen_protocol::id::BootId) -> AuditRecord {
    let note = format!("worker {worker}, boot {boot}: it is about to end, and its VMs move away");
    of_fleet(step, "sign-out", Outcome::Accepted, note)
}
