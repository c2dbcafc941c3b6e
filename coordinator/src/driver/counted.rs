//! What acknowledged entries count for in Prometheus: processes and alerts. Each entry is counted by the leader that
//! wrote it, once.

use bioxen_protocol::worker::ProcessStatus;

use super::seal::ended_processes;
use crate::fleet::alerts::{Measure, Whose};
use crate::fleet::entry::Entry;
use crate::metrics as name;

/// Counts a batch that the journal has.
pub(super) fn count(entries: &[Entry]) {
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
