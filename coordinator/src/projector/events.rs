//! Events: what users are told of one entry. Pure; the order of an entry's events is theirs for ever, because each is
//! known by its place in it.
//!
//! After the events of the entry that ends an ensemble's last member: completed, under the ensemble's name.
//!
//! ```text
//!   Created    accepted, created | queued          Placed    starting, or moved
//!   Queued     accepted, queued                    Observed  running | resumed | paused | stopped | failed | destroyed,
//!   Started    accepted                                      completed (and destroyed), allocated per change,
//!                                                            result
//!   Ensemble, EnsembleDesired  accepted               MemberRefused  failed, of the member
//!   Desired    accepted (, stopping | stopped      Expired   unknown, per VM
//!              | destroyed)                        BackupRestored  unknown, per VM
//!                                                Rejected  rejected
//!   Allocated  accepted (, allocated)              ProcessLost  result
//!                                                            alert first, where its energy is low
//!   ProcessStarted, Monitored,                     Installed  accepted (, result; else with Observed)
//!   Checkpointed, Restored  accepted (, stopped)   Alerted   alert, where it is raised
//!                                                  the rest  nothing
//! ```

use bioxen_protocol::error::Code;
use bioxen_protocol::event::{Event, EventName};
use bioxen_protocol::id::{UserId, VmId};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{ObservedState, ProcessEnd, ProcessStatus};

use super::fold::{Change, Completed, Confirmed, Step};
use super::{alerts, moves, words};
use crate::fleet::entry::{Cause, Entry, Observed, Rejected};

/// The events of one entry, in order.
pub(super) fn events(step: &Step<'_>) -> Vec<Event> {
    let mut events = of_entry(step);
    events.extend(step.completed.as_ref().map(|completed| ensemble_completed(step, completed)));
    events
}

fn ensemble_completed(step: &Step<'_>, completed: &Completed) -> Event {
    let Completed { key, counts } = completed;
    let reason =
        format!("{} completed, {} failed, {} stopped", counts.completed, counts.failed, counts.stopped);
    Event {
        state: Some(VmState::Stopped),
        reason: Some(reason),
        ..bare(step, EventName::Completed, &key.user, Some(&key.vm))
    }
}

fn of_entry(step: &Step<'_>) -> Vec<Event> {
    match (step.entry, &step.changes[..]) {
        (Entry::MemberRefused { key, number, reason }, _) => {
            let member = format!("{}-{number:05}", key.vm).parse().ok();
            let failed = bare(step, EventName::Failed, &key.user, member.as_ref());
            vec![Event { reason: Some(reason.clone()), ..failed }]
        }
        (Entry::Rejected(rejected), changes) => vec![refusal(step, rejected, changes.first())],
        (Entry::Expired { .. } | Entry::BackupRestored { .. }, changes) => {
            changes.iter().filter_map(|change| state_event(step, change)).collect()
        }
        (Entry::Observed(seen), [change]) => {
            let ended = seen.process.as_ref().map(|end| result(step, change, end));
            let short = alerts::of_energy(step, seen, change);
            short.into_iter().chain(observed(step, seen, change)).chain(ended).collect()
        }
        (Entry::Alerted(alerted), _) => alerts::of_units(step, alerted).into_iter().collect(),
        (Entry::ProcessLost { number, .. }, [change]) => {
            vec![result(step, change, &crate::fleet::lost_process(*number))]
        }
        (Entry::Placed { .. }, [change]) => {
            if let Some(moved) = moves::moved(step, change) {
                return vec![moved];
            }
            let state = state_event(step, change).into_iter();
            state.map(|event| Event { reason: moves::starts_again(change), ..event }).collect()
        }
        (_, [change]) => {
            let accepted = step.entry.cause().map(|cause| accepted(step, cause, change));
            let state = state_event(step, change).map(|event| caused(event, step.entry.cause()));
            accepted.into_iter().chain(state).chain(at_once(step, change)).collect()
        }
        _ => Vec::new(),
    }
}

fn observed(step: &Step<'_>, seen: &Observed, change: &Change) -> Vec<Event> {
    let allocated = step.confirmed().into_iter().map(|confirmed| {
        let from = confirmed.tick.map(|tick| format!(" from minute {}", words::minutes(tick)));
        let reason = in_effect(&from.unwrap_or_default(), &confirmed);
        let name = if confirmed.package.is_some() { EventName::Result } else { EventName::Allocated };
        Event { reason: Some(reason), ..about(step, change, name) }
    });
    let Some(state) = state_event(step, change) else { return allocated.collect() };
    // A change takes effect in a cell that runs: after it starts to, before it ends.
    if state.state == Some(VmState::Running) {
        return std::iter::once(state).chain(allocated).collect();
    }
    let released = seen.state == ObservedState::Completed && state.event == EventName::Destroyed;
    let failed = matches!(seen.state, ObservedState::Failed | ObservedState::Absent)
        && state.event == EventName::Destroyed
        && change.before.as_ref().is_some_and(|before| before.state != VmState::Destroying);
    let told = match (released, failed) {
        (true, _) => Some(EventName::Completed),
        (_, true) => Some(EventName::Failed),
        _ => None,
    };
    let first = told.map(|event| Event { event, ..state.clone() });
    allocated.chain(first).chain([state]).collect()
}

/// How a process ended.
fn result(step: &Step<'_>, change: &Change, end: &ProcessEnd) -> Event {
    let code = match end.status {
        ProcessStatus::Completed => None,
        ProcessStatus::Failed => Some(Code::ProcessFailed),
        ProcessStatus::Unsupported => Some(Code::UnsupportedForChassis),
        ProcessStatus::Unknown => Some(Code::Timeout),
    };
    Event { reason: Some(words::process(end)), code, ..about(step, change, EventName::Result) }
}

/// The event that tells the state that the entry brought about.
fn state_event(step: &Step<'_>, change: &Change) -> Option<Event> {
    let before = change.before.as_ref().map(|before| before.state);
    let after = change.after.as_ref()?;
    let name = match change.new_state()? {
        VmState::Created => EventName::Created,
        VmState::Queued => EventName::Queued,
        VmState::Starting => EventName::Starting,
        VmState::Running if before == Some(VmState::Paused) => EventName::Resumed,
        VmState::Running => EventName::Running,
        VmState::Paused => EventName::Paused,
        VmState::Stopping => EventName::Stopping,
        VmState::Stopped if after.is_completed() => EventName::Completed,
        VmState::Stopped => EventName::Stopped,
        VmState::Failed => EventName::Failed,
        VmState::Unknown => EventName::Unknown,
        VmState::Destroyed => EventName::Destroyed,
        // Told by `accepted`, whose state it is; there is no event of that name.
        VmState::Destroying => return None,
    };
    Some(Event { reason: after.reason.clone(), ..about(step, change, name) })
}

fn accepted(step: &Step<'_>, cause: &Cause, change: &Change) -> Event {
    caused(about(step, change, EventName::Accepted), Some(cause))
}

/// A change of a VM that no worker has yet is in effect at once.
fn at_once(step: &Step<'_>, change: &Change) -> Option<Event> {
    let tick = change.after.as_ref()?.tick;
    let from = format!(" from minute {}", words::minutes(tick));
    let (cause, name, reason) = match step.entry {
        Entry::Allocated { cause, ordinal: 0, allocation, .. } => {
            (cause, EventName::Allocated, format!("in effect{from}: {}", words::amounts(*allocation)))
        }
        Entry::Installed { cause, ordinal: 0, package, .. } => {
            (cause, EventName::Result, format!("in effect{from}: package {}", package.package))
        }
        _ => return None,
    };
    Some(caused(Event { reason: Some(reason), ..about(step, change, name) }, Some(cause)))
}

fn in_effect(from: &str, confirmed: &Confirmed) -> String {
    match &confirmed.package {
        Some(package) => format!("in effect{from}: package {package}"),
        None => format!("in effect{from}: {}", words::amounts(confirmed.allocation)),
    }
}

fn refusal(step: &Step<'_>, rejected: &Rejected, vm: Option<&Change>) -> Event {
    let after = vm.and_then(|change| change.after.as_ref());
    Event {
        verb: rejected.verb,
        request_id: rejected.request_id.clone(),
        state: after.map(|after| after.state),
        reason: Some(rejected.message.clone()),
        generation: after.and_then(|after| after.generation),
        code: Some(rejected.code),
        count: Some(rejected.count),
        ..bare(step, EventName::Rejected, &rejected.user, rejected.vm.as_ref())
    }
}

fn caused(event: Event, cause: Option<&Cause>) -> Event {
    let Some(cause) = cause else { return event };
    let request_id = cause.request.as_ref().map(|request| request.id.clone());
    Event { verb: Some(cause.verb), request_id, ..event }
}

pub(super) fn about(step: &Step<'_>, change: &Change, name: EventName) -> Event {
    Event {
        state: change.after.as_ref().map(|after| after.state),
        generation: change.generation(),
        ..bare(step, name, &change.key.user, Some(&change.key.vm))
    }
}

pub(super) fn bare(step: &Step<'_>, event: EventName, user: &UserId, vm: Option<&VmId>) -> Event {
    Event {
        event,
        user: user.clone(),
        vm_id: vm.cloned(),
        verb: None,
        request_id: None,
        index: step.index,
        time_ms: step.time_ms,
        time: words::rfc3339(step.time_ms),
        state: None,
        reason: None,
        generation: None,
        code: None,
        count: None,
        alert: None,
    }
}
