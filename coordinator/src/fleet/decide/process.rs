//! `execute` and its short forms: one process at a time in a VM that stands at a worker; `monitor`.

use bioxen_protocol::state::VmState;

use super::{Decided, wrong_state};
use crate::fleet::command::Answer;
use crate::fleet::entry::{Cause, Entry};
use crate::fleet::rejection::Rejection;
use crate::fleet::vm::Vm;

pub(super) fn decide_execute(
    cause: &Cause,
    vm: &Vm,
    digest: &str,
    timeout_ms: u64,
) -> Result<Decided, Rejection> {
    let stands = matches!(vm.state, VmState::Starting | VmState::Running | VmState::Paused);
    if !stands || vm.placement.is_none() {
        return Err(wrong_state(vm, cause.verb));
    }
    if vm.running_process().is_some() {
        return Err(Rejection::Busy { vm: vm.key.vm.clone(), state: vm.state });
    }
    let number = vm.last_ordinal + 1;
    let (cause, key, digest) = (cause.clone(), vm.key.clone(), digest.to_owned());
    let answer = Answer::Process { vm: key.vm.clone(), number };
    Ok(Decided { entries: vec![Entry::ProcessStarted { cause, key, number, digest, timeout_ms }], answer })
}

pub(super) fn decide_monitor(cause: &Cause, vm: &Vm, interval_seconds: u64) -> Result<Decided, Rejection> {
    if matches!(vm.state, VmState::Destroying | VmState::Destroyed) {
        return Err(wrong_state(vm, cause.verb));
    }
    let (cause, key) = (cause.clone(), vm.key.clone());
    let answer = Answer::Monitored { vm: key.vm.clone(), state: vm.state, interval_seconds };
    Ok(Decided { entries: vec![Entry::Monitored { cause, key, interval_seconds }], answer })
}
