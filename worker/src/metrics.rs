//! The names and meanings of the worker's metrics, and how they are set. It decides nothing.

use std::time::Duration;

use bioxen_protocol::limits::TICKS_PER_MINUTE;
use bioxen_telemetry::{Metric, MetricKind, describe};

use crate::backend::Figures;

pub const SIMULATED_MINUTES: Metric = Metric {
    name: "bioxen_worker_simulated_minutes_total",
    kind: MetricKind::Counter,
    help: "Whole simulated minutes committed, all VMs together",
};
pub const QUANTA: Metric =
    Metric { name: "bioxen_worker_quanta_total", kind: MetricKind::Counter, help: "Quanta committed" };
pub const QUANTA_DISCARDED: Metric = Metric {
    name: "bioxen_worker_quanta_discarded_total",
    kind: MetricKind::Counter,
    help: "Quanta computed and not committed, because the lease did not stand any more",
};
pub const CPU_MILLISECONDS: Metric = Metric {
    name: "bioxen_worker_simulation_cpu_milliseconds_total",
    kind: MetricKind::Counter,
    help: "CPU time of the simulation threads, milliseconds",
};
pub const SCHEDULER_LAG: Metric = Metric {
    name: "bioxen_worker_scheduler_lag_seconds",
    kind: MetricKind::Gauge,
    help: "Time from when the quantum taken last was due to when a thread took it",
};
pub const WORST_LAG: Metric = Metric {
    name: "bioxen_worker_worst_lag_minutes",
    kind: MetricKind::Gauge,
    help: "Simulated minutes by which the latest VM lags behind its pace",
};
pub const VMS: Metric =
    Metric { name: "bioxen_worker_vms", kind: MetricKind::Gauge, help: "VMs held, by state" };
pub const RIBOSOMES: Metric = Metric {
    name: "bioxen_worker_ribosomes",
    kind: MetricKind::Gauge,
    help: "Allocation units of the VMs held",
};
pub const LEASE_REMAINING: Metric = Metric {
    name: "bioxen_worker_lease_remaining_seconds",
    kind: MetricKind::Gauge,
    help: "For how long the lease still stands; 0 where it does not",
};
pub const BAD_MESSAGES: Metric = Metric {
    name: "bioxen_worker_bad_messages_total",
    kind: MetricKind::Counter,
    help: "Messages from the bus that were dropped: not decodable, or of a leader that no longer leads",
};

pub const GUESTS: Metric = Metric {
    name: "bioxen_worker_guests",
    kind: MetricKind::Gauge,
    help: "Children that run process code, ready or at work",
};
pub const GUEST_JOBS: Metric = Metric {
    name: "bioxen_worker_guest_jobs_total",
    kind: MetricKind::Counter,
    help: "Jobs of process code, by outcome: completed, failed, or the limit that ended one (fuel, memory, wall, advance, result, killed)",
};
pub const GUEST_FUEL: Metric = Metric {
    name: "bioxen_worker_guest_fuel_total",
    kind: MetricKind::Counter,
    help: "Units of work that process code has used",
};
pub const GUESTS_LOST: Metric = Metric {
    name: "bioxen_worker_guests_lost_total",
    kind: MetricKind::Counter,
    help: "Children that ended or were ended, and were replaced",
};

const ALL: [Metric; 14] = [
    SIMULATED_MINUTES,
    QUANTA,
    QUANTA_DISCARDED,
    CPU_MILLISECONDS,
    SCHEDULER_LAG,
    WORST_LAG,
    VMS,
    RIBOSOMES,
    LEASE_REMAINING,
    BAD_MESSAGES,
    GUESTS,
    GUEST_JOBS,
    GUEST_FUEL,
    GUESTS_LOST,
];

/// Tells `/metrics` what each means.
pub fn describe_all() {
    describe(&ALL);
}

/// Sets all that follow from the backend's figures and the lease.
pub fn record(figures: &Figures, lease_remaining: Duration) {
    let cpu_ms = u64::try_from(figures.cpu.as_millis()).unwrap_or(u64::MAX);
    metrics::counter!(SIMULATED_MINUTES.name).absolute(figures.committed_ticks / TICKS_PER_MINUTE);
    metrics::counter!(QUANTA.name).absolute(figures.quanta);
    metrics::counter!(QUANTA_DISCARDED.name).absolute(figures.quanta_discarded);
    metrics::counter!(CPU_MILLISECONDS.name).absolute(cpu_ms);
    metrics::gauge!(SCHEDULER_LAG.name).set(figures.scheduler_lag.as_secs_f64());
    metrics::gauge!(WORST_LAG.name).set(figures.worst_lag_ticks as f64 / TICKS_PER_MINUTE as f64);
    metrics::gauge!(RIBOSOMES.name).set(figures.ribosomes as f64);
    metrics::gauge!(LEASE_REMAINING.name).set(lease_remaining.as_secs_f64());
    for (state, vms) in
        [("running", figures.running), ("paused", figures.paused), ("starting", figures.starting)]
    {
        metrics::gauge!(VMS.name, "state" => state).set(vms as f64);
    }
}
