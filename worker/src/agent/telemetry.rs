//! The second's frame: what the worker does, for whoever listens. It sends nothing itself.

use bioxen_protocol::id::{BootId, WorkerId};
use bioxen_protocol::limits::TICKS_PER_MINUTE;
use bioxen_protocol::subject::Subject;
use bioxen_protocol::worker::TelemetryFrame;

use crate::backend::Figures;
use crate::clock;

/// What frames of one worker have in common.
#[derive(Debug)]
pub(super) struct Frames {
    worker: String,
    subject: String,
    warning_threshold: f64,
    is_above: bool,
}

impl Frames {
    pub(super) fn new(worker: &WorkerId, warning_threshold: f64) -> Self {
        let subject = Subject::WorkerTelemetry { worker: worker.clone() }.to_string();
        Self { worker: worker.to_string(), subject, warning_threshold, is_above: false }
    }

    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    pub(super) fn frame(&self, boot: &BootId, figures: &Figures, ribosomes_usable: u64) -> TelemetryFrame {
        let minutes = |ticks: u64| ticks as f64 / TICKS_PER_MINUTE as f64;
        TelemetryFrame {
            worker: self.worker.clone(),
            boot: boot.to_string(),
            time_ms: clock::wall_clock_ms(),
            vms: figures.vms,
            running: figures.running,
            paused: figures.paused,
            ribosomes_used: figures.ribosomes,
            ribosomes_usable,
            simulated_minutes: minutes(figures.committed_ticks),
            quanta: figures.quanta,
            quanta_discarded: figures.quanta_discarded,
            worst_lag_minutes: minutes(figures.worst_lag_ticks),
            cpu_seconds: figures.cpu.as_secs_f64(),
        }
    }

    /// Warns once when the use of ribosomes rises above the operator's threshold.
    pub(super) fn check_threshold(&mut self, figures: &Figures, ribosomes_usable: u64) {
        let is_above = figures.ribosomes as f64 > self.warning_threshold * ribosomes_usable as f64;
        if is_above && !self.is_above {
            tracing::warn!(
                worker.ribosomes = figures.ribosomes,
                worker.ribosomes_usable = ribosomes_usable,
                "use of ribosomes is above resource_warning_threshold"
            );
        }
        self.is_above = is_above;
    }
}
