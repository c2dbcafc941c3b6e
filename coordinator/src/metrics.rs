//! The names of what Prometheus sees, with their units.

use bioxen_telemetry::{Metric, MetricKind};

pub(crate) const COMMANDS: &str = "bioxen_commands_total";
pub(crate) const COMMAND_SECONDS: &str = "bioxen_command_seconds";
pub(crate) const APPEND_SECONDS: &str = "bioxen_journal_append_seconds";
pub(crate) const JOURNAL_SILENT: &str = "bioxen_journal_silent_seconds";
pub(crate) const BATCH_ENTRIES: &str = "bioxen_journal_batch_entries";
pub(crate) const BATCH_BYTES: &str = "bioxen_journal_batch_bytes";
pub(crate) const LEDGER_LAG_BYTES: &str = "bioxen_ledger_lag_bytes";
pub(crate) const LEDGER_LAG_SECONDS: &str = "bioxen_ledger_lag_seconds";
pub(crate) const PROJECTOR_LAG: &str = "bioxen_projector_lag_entries";
pub(crate) const WAITING_COMMANDS: &str = "bioxen_waiting_commands";
pub(crate) const QUEUED_VMS: &str = "bioxen_queued_vms";
pub(crate) const VMS: &str = "bioxen_vms";
pub(crate) const RESERVED: &str = "bioxen_reserved";
pub(crate) const LIMIT: &str = "bioxen_limit";
pub(crate) const WORKERS: &str = "bioxen_workers";
pub(crate) const INDEX: &str = "bioxen_journal_index";
pub(crate) const PROCESSES_STARTED: &str = "bioxen_processes_started_total";
pub(crate) const PROCESSES_ENDED: &str = "bioxen_processes_ended_total";
pub(crate) const PROCESSES_RUNNING: &str = "bioxen_processes_running";
pub(crate) const PROCESS_SECONDS: &str = "bioxen_process_seconds";
pub(crate) const ALERTS: &str = "bioxen_alerts_total";
pub(crate) const MOVES: &str = "bioxen_moves_total";
pub(crate) const REPLACEMENTS: &str = "bioxen_replacements_total";
pub(crate) const SNAPSHOT_INDEX: &str = "bioxen_snapshot_index";
pub(crate) const SNAPSHOT_BYTES: &str = "bioxen_snapshot_bytes";
pub(crate) const SNAPSHOT_SECONDS: &str = "bioxen_snapshot_seconds";
pub(crate) const SNAPSHOT_FAILURES: &str = "bioxen_snapshot_failures_total";
pub(crate) const LEADS: &str = "bioxen_leads";
pub(crate) const FORWARDED: &str = "bioxen_forwarded_commands_total";
pub(crate) const HELD_COMMANDS: &str = "bioxen_held_commands";
pub(crate) const RESERVED_REPLIES: &str = "bioxen_reserved_reply_subjects_total";

pub(crate) const ALL: &[Metric] = &[
    metric(
        COMMANDS,
        MetricKind::Counter,
        "Commands answered, by verb and outcome (accepted or the error's code)",
    ),
    metric(COMMAND_SECONDS, MetricKind::Histogram, "From intake to answer, by verb"),
    metric(APPEND_SECONDS, MetricKind::Histogram, "From sending a batch to the journal's acknowledgement"),
    metric(
        JOURNAL_SILENT,
        MetricKind::Gauge,
        "How long the append in flight has waited for its acknowledgement; 0 where none is",
    ),
    metric(BATCH_ENTRIES, MetricKind::Histogram, "Entries of a batch"),
    metric(BATCH_BYTES, MetricKind::Histogram, "Bytes of a batch"),
    metric(LEDGER_LAG_BYTES, MetricKind::Gauge, "Bytes that wait for the ledger"),
    metric(LEDGER_LAG_SECONDS, MetricKind::Gauge, "Age of the oldest write that waits for the ledger"),
    metric(
        PROJECTOR_LAG,
        MetricKind::Gauge,
        "Journal entries that are not yet told as events and audit records",
    ),
    metric(WAITING_COMMANDS, MetricKind::Gauge, "Commands in the users' intake queues"),
    metric(QUEUED_VMS, MetricKind::Gauge, "VMs that wait for room"),
    metric(VMS, MetricKind::Gauge, "VMs by state"),
    metric(
        RESERVED,
        MetricKind::Gauge,
        "What VMs hold, by resource (vms, atp_percent, ribosomes, memory_kb)",
    ),
    metric(LIMIT, MetricKind::Gauge, "The fleet's limit, by resource"),
    metric(WORKERS, MetricKind::Gauge, "Workers whose lease stands"),
    metric(INDEX, MetricKind::Gauge, "Index of the journal's last acknowledged entry"),
    metric(
        PROCESSES_STARTED,
        MetricKind::Counter,
        "Process code whose start is journaled, by kind (execute or scheduled)",
    ),
    metric(
        PROCESSES_ENDED,
        MetricKind::Counter,
        "Process code whose end is journaled, by outcome (completed, failed, unsupported, unknown)",
    ),
    metric(PROCESSES_RUNNING, MetricKind::Gauge, "Process code whose end is not journaled yet"),
    metric(PROCESS_SECONDS, MetricKind::Histogram, "How long process code took at its worker"),
    metric(ALERTS, MetricKind::Counter, "Alerts raised, by kind"),
    metric(
        MOVES,
        MetricKind::Counter,
        "VMs that went from one worker to another, by reason (operator, drain, balance)",
    ),
    metric(
        REPLACEMENTS,
        MetricKind::Counter,
        "VMs placed anew because their worker was lost, or ended without them",
    ),
    metric(SNAPSHOT_INDEX, MetricKind::Gauge, "Index of the newest snapshot that was read back"),
    metric(SNAPSHOT_BYTES, MetricKind::Gauge, "Bytes of the newest snapshot"),
    metric(SNAPSHOT_SECONDS, MetricKind::Histogram, "To write a snapshot, read it back and verify it"),
    metric(SNAPSHOT_FAILURES, MetricKind::Counter, "Snapshots that were not taken, and tried again"),
    metric(LEADS, MetricKind::Gauge, "1 while this coordinator leads, 0 while it follows"),
    metric(
        FORWARDED,
        MetricKind::Counter,
        "Commands passed on to the leader, by direction (sent or received)",
    ),
    metric(HELD_COMMANDS, MetricKind::Gauge, "Commands held because nobody leads"),
    metric(
        RESERVED_REPLIES,
        MetricKind::Counter,
        "Messages dropped for a reply subject that starts with bioxen. or $",
    ),
];

const fn metric(name: &'static str, kind: MetricKind, help: &'static str) -> Metric {
    Metric { name, kind, help }
}
