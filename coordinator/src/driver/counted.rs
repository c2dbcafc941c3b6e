//! What acknowledged entries count for in Prometheus: processes, alerts, and VMs that are placed again. Each entry is counted by the leader that
//! wrote it, once.

use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::ProcessStatus;

use super::seal::ended_processes;
use crate::fleet::Fleet;
use crate::fleet::alerts::{Measure, Whose};
use crate::fleet::entry::Entry;
use crate::fleet::movement::MovedBy;
use crate::metrics as name;

/// A placing that is not the first since its VM was started. The entry alone does not say so.
#[derive(Debug, Clone, Copy)]
pub(super) enum PlacedAgain {
    /// It left its worker for this reason.
    Moved(&'static str),
    /// Its worker was lost.
    Replaced,
}

impl PlacedAgain {
    /// What an entry is, before it is evolved.
    pub(super) fn of(fleet: &Fleet, entry: &Entry) -> Option<Self> {
        let Entry::Placed { key, .. } = entry else { return None };
        let vm = fleet.vm(key)?;
        if vm.state == VmState::Unknown {
            return Some(Self::Replaced);
        }
        let reason = match vm.moving.as_ref()?.by {
            MovedBy::Operator(_) => "operator",
            MovedBy::Drain => "drain",
            MovedBy::Balance => "balance",
        };
        Some(Self::Moved(reason))
    }
}

/// Counts a batch that the journal has.
pub(super) fn count(entries: &[Entry], placed_again: &[PlacedAgain]) {
    for placed in placed_again {
        match placed {
            PlacedAgain::Moved(reason) => metrics::counter!(name::MOVES, "reason" => *reason).increment(1),
            PlacedAgain::Replaced => metrics::counter!(name::REPLACEMENTS).increment(1),
        }
    }
    for entry in entries {
        match entry {
            Entry::ProcessStarted { .. } => started("execute"),
            Entry::CallStarted { .. } => started("scheduled"),
            Entry::Alerted(alerted) if alerted.is_raised => {
                let kind = match (&alerted.whose, alerted.measure) {
                    (Whose::User(_), Measure::Atp) => "user_atp",
                    (Whose::User(_), Measure::Ribosomes) => "user_ribosomes",
                    (Whose::Fleet, Measure::Atp) => "fleet_atp",
                    (Whose::Fleet, Measure::Ribosomes) => "fleet_ribosomes",
                    (Whose::Worker(_), _) => "worker_ribosomes",
                };
                metrics::counter!(name::ALERTS, "kind" => kind).increment(1);
            }
            Entry::Observed(seen) if seen.atp.is_some_and(|atp| atp.is_low) => {
                metrics::counter!(name::ALERTS, "kind" => "atp_level").increment(1);
            }
            _ => {}
        }
    }
    for (_, end) in ended_processes(entries) {
        let outcome = match end.status {
            ProcessStatus::Completed => "completed",
            ProcessStatus::Failed => "failed",
            ProcessStatus::Unsupported => "unsupported",
            ProcessStatus::Unknown => "unknown",
        };
        metrics::counter!(name::PROCESSES_ENDED, "outcome" => outcome).increment(1);
        if end.status != ProcessStatus::Unknown {
            metrics::histogram!(name::PROCESS_SECONDS).record(end.execution_us as f64 / 1e6);
        }
    }
}

fn started(kind: &'static str) {
    metrics::counter!(name::PROCESSES_STARTED, "kind" => kind).increment(1);
}
