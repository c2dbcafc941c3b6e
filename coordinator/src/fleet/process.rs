//! Process code in VMs: how it ends, and when its outcome is given up.

use bioxen_protocol::digest::sha256_hex;
use bioxen_protocol::limits::PROCESS_TIMEOUT_MS_DEFAULT;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{DesiredState, Observation, ObservedState, ProcessEnd, ProcessStatus};

use super::Fleet;
use super::entry::Entry;
use super::vm::Vm;

const LOST: &str = "its worker did not say in time how it ended: whether it took effect is unknown, and it is not run \
                    again; look at the cell, then decide";

impl Vm {
    /// Takes over how the process that runs ended; an end that is known stays.
    pub(super) fn end_process(&mut self, end: &ProcessEnd) {
        if let Some(process) = &mut self.process
            && process.number == end.number
            && process.end.is_none()
        {
            process.end = Some(end.clone());
        }
    }
}

impl Vm {
    /// Scheduled calls that have ended, one way or another.
    pub(super) fn calls_done(&self) -> u64 {
        let runs = self.running_process().is_some_and(|process| process.call.is_some());
        self.calls_started - u64::from(runs)
    }

    /// The code of the process that runs, where it is a scheduled call.
    pub(crate) fn running_call(&self) -> Option<&str> {
        let call = usize::try_from(self.running_process()?.call?).ok()?;
        self.order.calls().nth(call).map(|(_, code)| code)
    }
}

/// The start of the scheduled call at which a worker says that the VM stands. Each is started once: not again where the
/// VM was placed anew before its end was known.
pub(super) fn call_due(vm: &Vm, seen: &Observation) -> Option<Entry> {
    let call = seen.call_due.filter(|call| *call == vm.calls_started)?;
    let stands = matches!(vm.state, VmState::Starting | VmState::Running | VmState::Paused)
        && matches!(vm.desired, DesiredState::Running | DesiredState::Paused)
        && matches!(seen.state, ObservedState::Running | ObservedState::Paused);
    let ended = seen.process.as_ref().map(|end| end.number);
    let is_free = vm.running_process().is_none_or(|process| ended == Some(process.number));
    if !stands || !is_free {
        return None;
    }
    let (_, code) = vm.order.calls().nth(usize::try_from(call).ok()?)?;
    Some(Entry::CallStarted {
        key: vm.key.clone(),
        call,
        tick: seen.tick.max(vm.tick),
        number: vm.last_ordinal + 1,
        digest: code_digest(code),
        timeout_ms: PROCESS_TIMEOUT_MS_DEFAULT,
    })
}

/// What the journal and the audit trail keep of process code: its SHA-256, in hexadecimal.
pub fn code_digest(code: &str) -> String {
    sha256_hex(code)
}

impl Fleet {
    /// VMs in which process code runs.
    pub fn running_processes(&self) -> usize {
        self.processes.len()
    }

    /// Processes of which nobody said in time how they ended: at most `most`, the rest when asked again.
    pub fn lost_processes(&self, now_ms: u64, most: usize) -> Vec<Entry> {
        let overdue = self.processes.iter().take_while(|(deadline_ms, _)| *deadline_ms <= now_ms).take(most);
        let lost = overdue.filter_map(|(_, key)| {
            let number = self.vm(key)?.running_process()?.number;
            Some(Entry::ProcessLost { key: key.clone(), number })
        });
        lost.collect()
    }
}

/// The end of a process that nobody told of.
pub fn lost(number: u64) -> ProcessEnd {
    ProcessEnd {
        number,
        status: ProcessStatus::Unknown,
        execution_type: "code".to_owned(),
        output: String::new(),
        reason: Some(LOST.to_owned()),
        nearest: Vec::new(),
        execution_us: 0,
    }
}
