//! The VMs of this process and who runs next: all state of the backend, behind one lock that is held briefly.
//!
//! ```text
//!   place --> made --> running <--> paused        a thread: take -> (compute on a copy, lock free) -> commit
//!               \         \           /
//!                `---------`--- stopped / completed / failed: told of once, then no longer held
//! ```
//!
//! A quantum commits only if the lease stands when it has been computed; otherwise it is dropped, the cell stays as
//! it was, and nobody is taken until the lease stands again. No clock is read and nothing is computed here.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bioxen_guest::quantum::{Assignment, Failure, Origin, Outcome};
use bioxen_hypervisor::Cell;
use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::limits::TICKS_PER_MINUTE;
use bioxen_protocol::worker::{Desired, Observation, ObservedState, ProcessOrder};

use super::monitoring::Monitoring;
use super::process::{ProcessEnded, ProcessWork};
use super::scheduler::{Number, Scheduler};
use super::storing::{Saving, Storing};
use super::vm::{Need, Vm};
use crate::backend::{Figures, Standing};
use crate::words;

/// Lines of every quantum, for whoever has to prove what was computed where: BIOXEN_LOG=info,bioxen_worker::commits=trace.
const COMMITS: &str = "bioxen_worker::commits";

/// All VMs.
#[derive(Debug)]
pub(in crate::backend) struct Pool {
    quantum_ns: u64,
    pub(super) vms: HashMap<Number, Vm>,
    pub(super) numbers: HashMap<VmKey, Number>,
    next_number: u64,
    scheduler: Scheduler,
    lease_until_ns: u64,
    /// To be told of.
    changed: BTreeSet<Number>,
    pub(super) ended: Vec<Observation>,
    /// Process code that waits for a thread; its VMs are in work.
    processes: VecDeque<(Number, ProcessWork)>,
    /// Ended, and told of once their recordings are stored.
    pub(super) storing: HashMap<VmKey, Storing>,
    /// In work until what process code let them record is stored: only then does its end commit.
    pub(super) saving: HashMap<VmKey, Saving>,
    totals: Figures,
}

/// A VM as a query finds it; its metrics are computed outside the lock.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) observation: Observation,
    pub(super) biological_type: String,
    pub(super) cell: Arc<bioxen_hypervisor::Cell>,
    pub(super) lag_ticks: u64,
    pub(super) uptime: Duration,
    pub(super) cpu: Duration,
    pub(super) trace_kb: u64,
}

/// What is told of a VM that ends.
#[derive(Debug, Default)]
struct End {
    checkpoint: Option<Vec<u8>>,
    reason: Option<String>,
    summary: Option<String>,
}

impl Pool {
    pub(super) fn new(quantum_ns: u64) -> Self {
        Self {
            quantum_ns,
            vms: HashMap::new(),
            numbers: HashMap::new(),
            next_number: 0,
            scheduler: Scheduler::default(),
            lease_until_ns: 0,
            changed: BTreeSet::new(),
            ended: Vec::new(),
            processes: VecDeque::new(),
            storing: HashMap::new(),
            saving: HashMap::new(),
            totals: Figures::default(),
        }
    }

    pub(super) fn place(&mut self, desired: Desired, now_ns: u64) {
        self.forget(&desired.key);
        let number = Number(self.next_number);
        self.next_number += 1;
        let priority = desired.order.as_ref().map_or(5, |order| order.priority);
        self.scheduler.add(number, priority);
        self.numbers.insert(desired.key.clone(), number);
        self.vms.insert(number, Vm::new(desired, self.quantum_ns, now_ns));
        self.settle(number, now_ns);
    }

    pub(super) fn adjust(&mut self, desired: &Desired, now_ns: u64) {
        let Some(&number) = self.numbers.get(&desired.key) else { return };
        let Some(vm) = self.vms.get_mut(&number) else { return };
        vm.desire(desired, self.quantum_ns, now_ns);
        if vm.state.is_some() {
            self.changed.insert(number);
        }
        if let Some(order) = &desired.order {
            self.scheduler.set_priority(number, order.priority);
        }
        self.settle(number, now_ns);
    }

    /// Nothing commits before it is adjusted again.
    pub(super) fn freeze(&mut self, now_ns: u64) {
        let numbers: Vec<Number> = self.vms.keys().copied().collect();
        for number in numbers {
            if let Some(vm) = self.vms.get_mut(&number) {
                vm.is_frozen = true;
            }
            self.settle(number, now_ns);
        }
    }

    pub(super) fn forget(&mut self, key: &VmKey) {
        if let Some(number) = self.numbers.remove(key) {
            self.vms.remove(&number);
            self.scheduler.remove(number);
            self.changed.remove(&number);
        }
        self.ended.retain(|observation| observation.key != *key);
        self.storing.remove(key);
        self.saving.remove(key);
    }

    /// The lease stands until `until_ns`; whether threads that waited for it have to be woken.
    pub(super) fn lease(&mut self, until_ns: u64, now_ns: u64) -> bool {
        let before_ns = std::mem::replace(&mut self.lease_until_ns, until_ns);
        let has_lapsed = before_ns <= now_ns;
        if has_lapsed && self.lease_stands(now_ns) {
            for vm in self.vms.values_mut().filter(|vm| vm.state == Some(ObservedState::Running)) {
                vm.pacing.skip(before_ns, now_ns);
            }
        }
        // With each renewal: the word before may have been lost.
        let waiting = self.vms.iter().filter(|(_, vm)| vm.waits_for_call()).map(|(number, _)| *number);
        self.changed.extend(waiting);
        has_lapsed
    }

    pub(super) fn lease_stands(&self, now_ns: u64) -> bool {
        now_ns < self.lease_until_ns
    }

    /// The next quantum for a thread; none while the lease does not stand or nobody is due.
    pub(in crate::backend) fn take(&mut self, now_ns: u64) -> Option<(Number, Assignment)> {
        if !self.lease_stands(now_ns) {
            return None;
        }
        let (number, ready_at_ns) = self.scheduler.next(now_ns)?;
        self.totals.scheduler_lag = Duration::from_nanos(now_ns.saturating_sub(ready_at_ns));
        let vm = self.vms.get_mut(&number)?;
        vm.is_in_work = true;
        Some((number, vm.assignment(now_ns, Duration::from_nanos(self.quantum_ns))))
    }

    /// When the next quantum is due; none while the lease does not stand: its renewal wakes.
    pub(super) fn wake_ns(&self, now_ns: u64) -> Option<u64> {
        if self.lease_stands(now_ns) { self.scheduler.wake_ns() } else { None }
    }

    /// A quantum has been computed and took `used_ns` of CPU time.
    pub(in crate::backend) fn commit(
        &mut self,
        number: Number,
        outcome: Result<Outcome, Failure>,
        used_ns: u64,
        now_ns: u64,
    ) {
        self.totals.cpu += Duration::from_nanos(used_ns);
        self.scheduler.charge(number, used_ns);
        let lease_stands = self.lease_stands(now_ns);
        // Forgotten meanwhile: nobody is to hear of it.
        let Some(vm) = self.vms.get_mut(&number) else { return };
        vm.is_in_work = false;
        vm.cpu_ns += used_ns;
        if (!lease_stands || vm.is_frozen) && !is_on(Mutant::CommitUnchecked) {
            self.totals.quanta_discarded += 1;
            tracing::trace!(target: COMMITS, { vm.id = %vm.key, vm.generation = %vm.generation, at_ns = now_ns }, "discarded");
            return self.settle(number, now_ns);
        }
        self.totals.quanta += 1;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(failure) => {
                return self.end(
                    number,
                    ObservedState::Failed,
                    End { reason: Some(failure.to_string()), ..End::default() },
                );
            }
        };
        vm.commit(&outcome, now_ns);
        let tick = outcome.cell.tick();
        tracing::trace!(target: COMMITS, { vm.id = %vm.key, vm.generation = %vm.generation, tick, at_ns = now_ns }, "committed");
        self.totals.committed_ticks += outcome.cell.tick().saturating_sub(outcome.from_tick);
        if !outcome.applied_ticks.is_empty() || vm.is_energy_news(now_ns) {
            self.changed.insert(number);
        }
        if outcome.recorded.as_ref().is_some_and(|recorded| recorded.is_full) {
            let reason = trace_is_full(outcome.cell.tick(), vm.memory_kb);
            return self.end(number, ObservedState::Failed, End { reason: Some(reason), ..End::default() });
        }
        match (vm.ending(), outcome.checkpoint) {
            (Some(state), Some(checkpoint)) => {
                let summary = outcome.summary.filter(|_| state == ObservedState::Completed);
                let (checkpoint, reason) = match checkpoint {
                    Ok(bytes) => (Some(bytes), None),
                    Err(reason) => (None, Some(reason)),
                };
                self.end(number, state, End { checkpoint, reason, summary });
            }
            _ => self.settle(number, now_ns),
        }
    }

    /// Process code for a VM that is held in that generation; else nobody needs it.
    pub(super) fn execute(
        &mut self,
        key: &VmKey,
        generation: Generation,
        process: ProcessOrder,
        now_ns: u64,
    ) {
        let Some(&number) = self.numbers.get(key) else { return };
        let Some(vm) = self.vms.get_mut(&number).filter(|vm| vm.generation == generation) else { return };
        vm.execute(process);
        self.settle(number, now_ns);
    }

    /// The next process for a thread.
    pub(in crate::backend) fn take_process(&mut self) -> Option<(Number, ProcessWork)> {
        self.processes.pop_front()
    }

    pub(super) fn has_process(&self) -> bool {
        !self.processes.is_empty()
    }

    pub(in crate::backend) fn key(&self, number: Number) -> Option<&VmKey> {
        self.vms.get(&number).map(|vm| &vm.key)
    }

    /// A process has ended.
    pub(in crate::backend) fn commit_process(&mut self, number: Number, ended: ProcessEnded, now_ns: u64) {
        let Some(vm) = self.vms.get_mut(&number) else { return };
        if let Some(trace) = vm.trace_with(&ended) {
            let (generation, trace) = (vm.generation, Arc::new(trace));
            let saving = Saving { number, generation, ended, trace, is_taken: false };
            self.saving.insert(vm.key.clone(), saving);
            return;
        }
        self.finish_process(number, ended, now_ns);
    }

    pub(super) fn finish_process(&mut self, number: Number, ended: ProcessEnded, now_ns: u64) {
        let stands = self.lease_stands(now_ns);
        let Some(vm) = self.vms.get_mut(&number) else { return };
        vm.is_in_work = false;
        let stands = stands && !vm.is_frozen;
        vm.commit_process(if stands { ended } else { ended.discarded() }, now_ns);
        self.changed.insert(number);
        self.settle(number, now_ns);
    }

    /// VMs of which a sample is due now, as they stand.
    pub(super) fn take_samples(&mut self, now_ns: u64) -> Vec<(VmKey, Arc<bioxen_hypervisor::Cell>)> {
        let due = self.vms.values_mut().filter_map(|vm| match &vm.origin {
            Origin::Cell(cell) if vm.monitoring.take_due(now_ns) => Some((vm.key.clone(), Arc::clone(cell))),
            _ => None,
        });
        due.collect()
    }

    pub(super) fn monitoring(&mut self, key: &VmKey) -> Option<&mut Monitoring> {
        Some(&mut self.vms.get_mut(self.numbers.get(key)?)?.monitoring)
    }

    /// Gives a VM that is not in work its state and its place in the queues.
    fn settle(&mut self, number: Number, now_ns: u64) {
        let Some(vm) = self.vms.get_mut(&number) else { return };
        if vm.is_in_work {
            return;
        }
        if matches!(vm.origin, Origin::Cell(_)) && vm.settle_state(now_ns) {
            self.changed.insert(number);
        }
        if vm.state.is_some()
            && let Some(work) = vm.take_process()
        {
            self.processes.push_back((number, work));
            return self.scheduler.idle(number);
        }
        if vm.is_call_news() {
            self.changed.insert(number);
        }
        match vm.need(now_ns) {
            Need::Urgent => self.scheduler.urgent(number, now_ns),
            Need::At(due_ns) => self.scheduler.at(number, due_ns, now_ns),
            Need::Nothing => self.scheduler.idle(number),
        }
    }

    fn end(&mut self, number: Number, state: ObservedState, end: End) {
        let Some(mut vm) = self.vms.remove(&number) else { return };
        self.scheduler.remove(number);
        self.numbers.remove(&vm.key);
        self.changed.remove(&number);
        let End { checkpoint, reason, summary } = end;
        let reason = reason.map(|reason| words::line(&reason, words::REASON_BYTES_MOST));
        let trace = vm.trace.take();
        let observation = Observation { checkpoint, reason, summary, ..vm.observation(state) };
        match trace {
            None => self.ended.push(observation),
            Some(trace) => {
                let storing = Storing { observation, trace: Arc::new(trace), is_taken: false };
                self.storing.insert(vm.key, storing);
            }
        }
    }

    pub(super) fn observe(&mut self) -> Vec<Observation> {
        let mut told = std::mem::take(&mut self.ended);
        for number in std::mem::take(&mut self.changed) {
            if let Some(vm) = self.vms.get(&number)
                && let Some(state) = vm.state
            {
                told.push(vm.observation(state));
            }
        }
        told
    }

    pub(super) fn has_news(&self) -> bool {
        !self.ended.is_empty()
            || !self.changed.is_empty()
            || self.storing.values().any(|storing| !storing.is_taken)
            || self.saving.values().any(|saving| !saving.is_taken)
    }

    pub(super) fn see(&self, key: &VmKey, now_ns: u64) -> Option<Seen> {
        let vm = self.vms.get(self.numbers.get(key)?)?;
        let Origin::Cell(cell) = &vm.origin else { return None };
        Some(Seen {
            observation: vm.observation(vm.state?),
            biological_type: vm.biological_type.clone(),
            cell: Arc::clone(cell),
            lag_ticks: vm.lag_ticks(now_ns),
            uptime: Duration::from_nanos(now_ns.saturating_sub(vm.placed_at_ns)),
            cpu: Duration::from_nanos(vm.cpu_ns),
            trace_kb: vm.trace_kb(),
        })
    }

    /// Where the cells stand that may be packed.
    pub(super) fn standing(&self) -> Vec<Standing> {
        self.vms.values().filter_map(|vm| Some(vm.stands()?.0)).collect()
    }

    pub(super) fn stands(&self, key: &VmKey, generation: Generation) -> Option<(Standing, Arc<Cell>)> {
        let vm = self.vms.get(self.numbers.get(key)?)?;
        vm.stands().filter(|(standing, _)| standing.generation == generation)
    }

    pub(super) fn figures(&self, now_ns: u64) -> Figures {
        let mut figures = self.totals;
        for vm in self.vms.values() {
            figures.vms += 1;
            figures.ribosomes = figures.ribosomes.saturating_add(vm.ribosomes);
            match vm.state {
                None => figures.starting += 1,
                Some(ObservedState::Paused) => figures.paused += 1,
                Some(_) => figures.running += 1,
            }
            figures.worst_lag_ticks = figures.worst_lag_ticks.max(vm.lag_ticks(now_ns));
        }
        figures
    }
}

fn trace_is_full(tick: u64, memory_kb: u64) -> String {
    let minute = tick as f64 / TICKS_PER_MINUTE as f64;
    format!(
        "at minute {minute} what it records no longer fits its memory_kb of {memory_kb}: create it with more memory, fewer variables or rows further apart"
    )
}
