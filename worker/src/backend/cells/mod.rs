//! VMs as cells that are committed in this process, whoever computes them: threads of its own, or guests.
//!
//! ```text
//!   agent --place, adjust, forget, lease--> pool <--take, commit-- threads of `basic`, keepers of `xcpng`
//!         <--observe, query, figures------   |
//!                                            vm (pacing), scheduler
//! ```
//!
//! | file | job |
//! |---|---|
//! | `pool`, `shared` | all VMs, and what a commit means; the lock around them |
//! | `vm`, `pacing`, `scheduler` | one VM; when it is due; who is next |
//! | `process`, `calls` | process code on a cell; when a scheduled call is due |
//! | `monitoring`, `watch` | samples of a cell; when its energy is told of |
//! | `storing` | what was recorded, on its way to the store |
//!
//! What a quantum is stands in `bioxen_guest::quantum`.

mod calls;
mod monitoring;
mod pacing;
mod pool;
pub(super) mod process;
pub(super) mod scheduler;
pub(super) mod shared;
mod storing;
#[cfg(test)]
mod tests;
mod vm;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use bioxen_guest::quantum;
use bioxen_hypervisor::trace::Trace;
use bioxen_hypervisor::{Cell, RibosomeCap};
use bioxen_protocol::command::VmType;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::limits::{TICKS_PER_MINUTE, TRACE_BYTES};
use bioxen_protocol::quantity::AtpPercent;
use bioxen_protocol::reply::{EffectiveAllocation, Sample};
use bioxen_protocol::worker::{Desired, LiveVm, Observation, ProcessOrder, QueryExtra};
use tokio::sync::Notify;

use self::pool::Seen;
use self::shared::Shared;
use super::basic::threads::Threads;
use super::{Backend, Figures, Recording, Standing};
use crate::clock;

/// Resident memory of a VM, as measured over 1,000 of them (see the measurement in `tests`). A cell of the ODE engine
/// does not grow, so all take the same; what is recorded comes on top.
const VM_MEMORY_KB: u64 = 4;

/// All VMs of a backend. Dropping it ends its threads.
#[derive(Debug)]
pub struct Cells {
    vm_type: VmType,
    shared: Arc<Shared>,
    _threads: Option<Threads>,
}

impl Cells {
    /// Computed by `threads`, of which `shared` knows.
    pub(super) fn with_threads(shared: Arc<Shared>, threads: Threads) -> Self {
        Self { vm_type: VmType::Basic, shared, _threads: Some(threads) }
    }

    /// In quanta of `quantum`, which somebody else takes and commits.
    pub(super) fn elsewhere(vm_type: VmType, quantum: Duration) -> Self {
        let shared = Arc::new(Shared::new(quantum, 0));
        Self { vm_type, shared, _threads: None }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Backend for Cells {
    fn vm_type(&self) -> VmType {
        self.vm_type
    }

    fn place(&self, desired: Desired) {
        self.shared.change(|pool, now_ns| pool.place(desired, now_ns));
    }

    fn adjust(&self, desired: &Desired) {
        self.shared.change(|pool, now_ns| pool.adjust(desired, now_ns));
    }

    fn freeze(&self) {
        self.shared.change(|pool, now_ns| pool.freeze(now_ns));
    }

    fn forget(&self, key: &VmKey) {
        self.shared.change(|pool, _| pool.forget(key));
    }

    fn lease(&self, until: Duration) {
        let until_ns = clock::nanoseconds(until);
        if self.shared.change(|pool, now_ns| pool.lease(until_ns, now_ns)) {
            self.shared.wake_all();
        }
    }

    fn observe(&self) -> Vec<Observation> {
        self.shared.lock().pool.observe()
    }

    fn changed(&self) -> &Notify {
        &self.shared.changed
    }

    fn query(&self, key: &VmKey, with: QueryExtra) -> Option<LiveVm> {
        let now_ns = clock::boot_time_ns();
        let (seen, history) = {
            let pool = &mut self.shared.lock().pool;
            let history = match with {
                QueryExtra::History(limit) => pool.monitoring(key).map(|of| of.newest(limit)),
                QueryExtra::Nothing | QueryExtra::Checkpoint => None,
            };
            (pool.see(key, now_ns)?, history.unwrap_or_default())
        };
        let checkpoint = (with == QueryExtra::Checkpoint).then(|| seen.cell.checkpoint());
        Some(LiveVm { checkpoint, history, ..live(&seen) })
    }

    fn execute(&self, key: &VmKey, generation: Generation, process: ProcessOrder) {
        self.shared.change(|pool, now_ns| pool.execute(key, generation, process, now_ns));
    }

    fn take_samples(&self, time_ms: u64) -> Vec<(VmKey, Sample)> {
        let due = self.shared.lock().pool.take_samples(clock::boot_time_ns());
        let samples = due.into_iter().map(|(key, cell)| {
            let sample = Sample { time_ms, metrics: metrics(&cell) };
            if let Some(monitoring) = self.shared.lock().pool.monitoring(&key) {
                monitoring.keep(sample.clone());
            }
            (key, sample)
        });
        samples.collect()
    }

    fn ended(&self, last: &Observation) -> Option<LiveVm> {
        let cell = Cell::restore(last.checkpoint.as_deref()?).ok()?;
        Some(LiveVm {
            state: last.state,
            tick: last.tick,
            applied: last.applied,
            lag_minutes: 0.0,
            uptime_seconds: 0.0,
            cpu_seconds: 0.0,
            memory_kb: 0,
            metrics: metrics(&cell),
            effective: Some(effective(&cell)),
            checkpoint: last.checkpoint.clone(),
            history: Vec::new(),
            guest: None,
        })
    }

    fn recordings(&self) -> Vec<Recording> {
        self.shared.lock().pool.recordings()
    }

    fn stored(&self, key: &VmKey, generation: Generation) {
        self.shared.change(|pool, now_ns| pool.stored(key, generation, now_ns));
    }

    fn rows(&self, key: &VmKey, row: usize) -> Option<(usize, Trace)> {
        self.shared.lock().pool.rows(key, row, TRACE_BYTES)
    }

    fn standing(&self) -> Vec<Standing> {
        self.shared.lock().pool.standing()
    }

    fn checkpoint(&self, key: &VmKey, generation: Generation) -> Option<(Standing, Vec<u8>)> {
        // The lock is held only to take the cell's handle.
        let (standing, cell) = self.shared.lock().pool.stands(key, generation)?;
        Some((standing, quantum::checkpoint(&cell).ok()?))
    }

    fn figures(&self) -> Figures {
        let now_ns = clock::boot_time_ns();
        let figures = self.shared.lock().pool.figures(now_ns);
        Figures { longest_in_work: self.shared.longest_in_work(), ..figures }
    }

    fn broken(&self) -> Option<String> {
        self.shared.lock().broken.clone()
    }
}

fn live(seen: &Seen) -> LiveVm {
    let mut metrics = metrics(&seen.cell);
    metrics.insert("vm_id".to_owned(), seen.observation.key.vm.as_str().into());
    metrics.insert("biological_type".to_owned(), seen.biological_type.as_str().into());
    LiveVm {
        state: seen.observation.state,
        tick: seen.observation.tick,
        applied: seen.observation.applied,
        lag_minutes: seen.lag_ticks as f64 / TICKS_PER_MINUTE as f64,
        uptime_seconds: seen.uptime.as_secs_f64(),
        cpu_seconds: seen.cpu.as_secs_f64(),
        memory_kb: VM_MEMORY_KB + seen.trace_kb,
        metrics,
        effective: Some(effective(&seen.cell)),
        checkpoint: None,
        history: Vec::new(),
        guest: None,
    }
}

fn effective(cell: &Cell) -> EffectiveAllocation {
    let given = cell.allocation();
    let ribosomes = match given.ribosomes {
        RibosomeCap::Units(units) => Some(u64::from(units)),
        RibosomeCap::Unlimited | RibosomeCap::Molecules(_) => None,
    };
    EffectiveAllocation { atp_percentage: AtpPercent(u64::from(given.atp_milli_percent)), ribosomes }
}

fn metrics(cell: &Cell) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(cell.metrics()) {
        Ok(serde_json::Value::Object(metrics)) => metrics,
        // Metrics are a struct of numbers and names: a map in any encoding.
        Ok(_) | Err(_) => serde_json::Map::new(),
    }
}
