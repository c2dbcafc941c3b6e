//! Process code on its way: told to the VM's worker until it says how it ended, and who waits for that.
//!
//! The journal keeps the code's digest, not the code: a leader that takes over cannot tell it again. What ran is then
//! either reported, or given up at its deadline; it is never run twice.

use std::collections::BTreeMap;
use std::time::Instant;

use bioxen_protocol::command::Verb;
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{VmId, VmKey};
use bioxen_protocol::limits::PROCESS_TIMEOUT_MS_DEFAULT;
use bioxen_protocol::package::ModulesOf;
use bioxen_protocol::reply::Executed;
use bioxen_protocol::worker::{ProcessEnd, ProcessOrder, ProcessStatus, WorkerCommand};

use super::{Driver, State};
use crate::answer::outbox::Outgoing;
use crate::answer::{Reply, ReplyTo};
use crate::fleet::vm::{Process, Vm};

/// Callers that may wait for one process: whoever repeats its request waits too.
const WAITERS_PER_PROCESS: usize = 16;

/// A process of this leader.
#[derive(Debug)]
pub(super) struct Running {
    number: u64,
    code: String,
    timeout_ms: u64,
    waiters: Vec<ProcessWaiter>,
}

/// Who waits for a process to end.
#[derive(Debug)]
pub(super) struct ProcessWaiter {
    pub(super) verb: Verb,
    pub(super) reply_to: ReplyTo,
    pub(super) received: Instant,
}

/// By VM: at most one runs in each.
pub(super) type Processes = BTreeMap<VmKey, Running>;

impl Driver {
    /// Has the process told with its batch, and `waiter` wait for its end.
    pub(super) fn await_process(
        &mut self,
        state: &mut State,
        key: &VmKey,
        number: u64,
        code: Option<(String, u64)>,
        waiter: ProcessWaiter,
    ) {
        if let Some((code, timeout_ms)) = code {
            let running = Running { number, code, timeout_ms, waiters: vec![waiter] };
            state.processes.insert(key.clone(), running);
            return self.tell_process(state, key);
        }
        let process = self.fleet.vm(key).and_then(|vm| vm.process.as_ref()).filter(|of| of.number == number);
        if let Some(end) = process.and_then(|process| process.end.clone()) {
            return state.filling.effects.push(self.ended(waiter, &key.vm, &end));
        }
        match state.processes.get_mut(key) {
            Some(running) if running.number == number && running.waiters.len() < WAITERS_PER_PROCESS => {
                running.waiters.push(waiter);
            }
            _ if process.is_some() => {
                // Of a leader before: only its worker or its deadline can end it.
                let running = Running { number, code: String::new(), timeout_ms: 0, waiters: vec![waiter] };
                state.processes.insert(key.clone(), running);
            }
            _ => {
                let end =
                    ProcessEnd { reason: Some(FORGOTTEN.to_owned()), ..crate::fleet::lost_process(number) };
                state.filling.effects.push(self.ended(waiter, &key.vm, &end));
            }
        }
    }

    /// Tells a process to the VM's worker (once more).
    pub(super) fn tell_process(&self, state: &mut State, key: &VmKey) {
        let Some(vm) = self.fleet.vm(key) else { return };
        let Some((process, at)) = vm.running_process().zip(vm.placement.as_ref()) else { return };
        // Placed anew since: it may have taken effect there, and is not run again. Or to be placed anew first.
        if process.generation != Some(at.generation) {
            return;
        }
        let told = state.processes.get(key).filter(|running| running.number == process.number);
        let told = told.map(|running| (running.code.as_str(), running.timeout_ms));
        // A scheduled call's code stands in the VM's order, so that any leader can tell it.
        let scheduled = vm.running_call().map(|code| (code, PROCESS_TIMEOUT_MS_DEFAULT));
        let Some((code, timeout_ms)) = scheduled.or(told).filter(|(code, _)| !code.is_empty()) else {
            return;
        };
        let command = WorkerCommand::Execute {
            epoch: state.epoch,
            key: key.clone(),
            generation: at.generation,
            process: order(vm, process, code, timeout_ms),
        };
        let (worker, boot) = (at.worker.clone(), at.boot.clone());
        state.filling.effects.push(Outgoing::Worker { worker, boot, command });
    }

    /// The journal has their ends: whoever waits is answered.
    pub(super) fn processes_ended(&mut self, state: &mut State, ended: Vec<(VmKey, ProcessEnd)>) {
        let mut answers = Vec::new();
        for (key, end) in ended {
            if state.processes.get(&key).is_none_or(|running| running.number != end.number) {
                continue;
            }
            let Some(running) = state.processes.remove(&key) else { continue };
            answers.extend(running.waiters.into_iter().map(|waiter| self.ended(waiter, &key.vm, &end)));
        }
        self.send(answers);
    }

    fn ended(&self, waiter: ProcessWaiter, vm: &VmId, end: &ProcessEnd) -> Outgoing {
        let reply = reply(vm, end);
        let refused = match &reply {
            Reply::Error(error) => Some(error.code),
            _ => None,
        };
        self.stats.note(Some(waiter.verb), waiter.received, refused);
        Outgoing::Reply(waiter.reply_to, reply)
    }
}

/// Everybody that still waits, when the leader steps down.
pub(super) fn drain(processes: &mut Processes) -> Vec<ReplyTo> {
    let running = std::mem::take(processes).into_values();
    running.flat_map(|running| running.waiters).map(|waiter| waiter.reply_to).collect()
}

/// Everybody that still waits; what runs goes on.
pub(super) fn waiters(processes: &mut Processes) -> Vec<ReplyTo> {
    let waiters = processes.values_mut().flat_map(|running| std::mem::take(&mut running.waiters));
    waiters.map(|waiter| waiter.reply_to).collect()
}

const FORGOTTEN: &str = "the command took effect before, and another process has run in the VM since: its answer is no \
                         longer kept; look at the event `result` of its index";

fn order(vm: &Vm, process: &Process, code: &str, timeout_ms: u64) -> ProcessOrder {
    let before = vm.changes.iter().rfind(|change| change.ordinal < process.number);
    ProcessOrder {
        number: process.number,
        after: before.map_or(0, |change| change.ordinal),
        code: code.to_owned(),
        timeout_ms,
        reservation: vm.allocation,
        packages: modules(vm, process.number),
        call: process.call,
    }
}

/// The packages with modules that the VM had before the process, also where it is told again later.
fn modules(vm: &Vm, number: u64) -> Vec<ModulesOf> {
    let before = vm.packages.iter().filter(|installed| installed.ordinal < number);
    let with_modules = before.map(|installed| &installed.package).filter(|package| package.has_modules);
    with_modules.map(|of| ModulesOf { package: of.package.clone(), digest: of.digest.clone() }).collect()
}

fn reply(vm: &VmId, end: &ProcessEnd) -> Reply {
    let reason = end.reason.clone().unwrap_or_default();
    match end.status {
        ProcessStatus::Completed => Reply::Executed(Box::new(Executed {
            status: "completed".to_owned(),
            vm_id: vm.clone(),
            execution_time: end.execution_us as f64 / 1e6,
            biological_output: serde_json::from_str(&end.output).unwrap_or_default(),
            execution_type: end.execution_type.clone(),
        })),
        ProcessStatus::Failed => {
            let error = ErrorBody::new(Code::ProcessFailed, format!("the process failed: {reason}"));
            Reply::Error(error.with(|details| details.nearest.clone_from(&end.nearest)))
        }
        ProcessStatus::Unsupported => Reply::Error(ErrorBody::new(Code::UnsupportedForChassis, reason)),
        ProcessStatus::Unknown => Reply::Error(ErrorBody::new(Code::Timeout, reason)),
    }
}
