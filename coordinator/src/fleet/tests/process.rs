//! Process code in VMs: one at a time, at most once, and an end in any case.

use std::collections::BTreeMap;
use std::sync::Arc;

use bioxen_protocol::command::{OnFull, Verb};
use bioxen_protocol::limits::PROCESS_GRACE_MS;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Observation, ObservedState, OrderedChange, ProcessEnd, ProcessStatus};

use super::{Bench, key, observation, start};
use crate::fleet::command::{Answer, Ask, Command};
use crate::fleet::entry::Entry;
use crate::fleet::rejection::Rejection;

const TIMEOUT_MS: u64 = 5_000;

fn execute() -> Ask {
    Ask::Execute { digest: "0f".to_owned(), timeout_ms: TIMEOUT_MS }
}

/// A fleet with one worker and alice's VM `c1` running there.
pub(super) fn running() -> Bench {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    bench.create("alice", "c1", OnFull::Reject).unwrap();
    bench.ask("alice", "c1", Verb::Start, start()).unwrap();
    bench.observe("alice", "c1", ObservedState::Running);
    bench
}

fn ended(bench: &mut Bench, number: u64) {
    let key = key("alice", "c1");
    let at = bench.fleet.vm(&key).unwrap().placement.clone().unwrap();
    let end = ProcessEnd {
        number,
        status: ProcessStatus::Completed,
        execution_type: "call".to_owned(),
        output: "1".to_owned(),
        reason: None,
        nearest: Vec::new(),
        execution_us: 9,
    };
    let seen = Observation {
        process: Some(end),
        checkpoint: Some(vec![7]),
        ..observation(key, at.generation, ObservedState::Running, number)
    };
    let (worker, boot) = (at.worker, at.boot);
    bench.run(&Command::Observe { worker, boot, observation: Box::new(seen) }).unwrap();
}

fn number(answer: &Answer) -> u64 {
    match answer {
        Answer::Process { number, .. } => *number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_process_ends_once_with_what_it_left_and_the_next_may_follow() {
    let mut bench = running();
    let first = number(&bench.ask("alice", "c1", Verb::Execute, execute()).unwrap());
    let busy = bench.ask("alice", "c1", Verb::Execute, execute()).unwrap_err();
    assert!(matches!(busy, Rejection::Busy { .. }), "{busy:?}");
    ended(&mut bench, first);
    let vm = bench.fleet.vm(&key("alice", "c1")).unwrap();
    assert_eq!((vm.checkpoint.as_deref(), vm.checkpoint_applied), (Some(&[7][..]), first));
    let index = vm.index;
    ended(&mut bench, first);
    assert_eq!(bench.fleet.vm(&key("alice", "c1")).unwrap().index, index, "told twice, taken once");
    let second = number(&bench.ask("alice", "c1", Verb::Execute, execute()).unwrap());
    assert!(second > first);
}

#[test]
fn a_process_of_which_nobody_tells_is_given_up_at_its_deadline_and_its_late_end_changes_no_answer() {
    let mut bench = running();
    let first = number(&bench.ask("alice", "c1", Verb::Execute, execute()).unwrap());
    let deadline_ms = bench.now_ms + TIMEOUT_MS + PROCESS_GRACE_MS;
    assert_eq!(bench.fleet.lost_processes(deadline_ms - 1, 9), []);
    let lost = bench.fleet.lost_processes(deadline_ms, 9);
    assert_eq!(lost, [Entry::ProcessLost { key: key("alice", "c1"), number: first }]);
    bench.fleet.evolve(deadline_ms, &lost[0]);
    assert_eq!(bench.fleet.lost_processes(u64::MAX, 9), []);
    bench.now_ms = deadline_ms;
    ended(&mut bench, first);
    let process = bench.fleet.vm(&key("alice", "c1")).unwrap().process.clone().unwrap();
    assert_eq!(process.end.map(|end| end.status), Some(ProcessStatus::Unknown));
}

#[test]
fn a_repeated_request_waits_for_the_first_process_and_runs_none() {
    let mut bench = running();
    let ask = |bench: &mut Bench| bench.ask_as("alice", "c1", Verb::Execute, execute(), Some(("r1", "d1")));
    let first = ask(&mut bench).unwrap();
    let last_ordinal = bench.fleet.vm(&key("alice", "c1")).unwrap().last_ordinal;
    assert_eq!(ask(&mut bench).unwrap(), first);
    ended(&mut bench, number(&first));
    assert_eq!(ask(&mut bench).unwrap(), first);
    assert_eq!(bench.fleet.vm(&key("alice", "c1")).unwrap().last_ordinal, last_ordinal);
}

#[test]
fn process_code_needs_a_vm_that_stands_at_a_worker() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    bench.create("alice", "c1", OnFull::Reject).unwrap();
    let refused = bench.ask("alice", "c1", Verb::Execute, execute()).unwrap_err();
    assert!(matches!(refused, Rejection::State { state: VmState::Created, .. }), "{refused:?}");
}

/// A running VM with two calls in its schedule, and what its worker says of it.
fn with_calls() -> (Bench, impl Fn(&mut Bench, u64, u64) -> Vec<Entry>) {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    let mut new = super::new_vm(OnFull::Reject);
    let call = |tick| OrderedChange {
        tick,
        parameters: BTreeMap::new(),
        allocation: None,
        call: Some("advance(1)".to_owned()),
    };
    Arc::make_mut(&mut new.order).schedule = vec![call(10), call(20)];
    bench.ask("alice", "c1", Verb::Create, Ask::Create(Box::new(new))).unwrap();
    bench.ask("alice", "c1", Verb::Start, start()).unwrap();
    bench.observe("alice", "c1", ObservedState::Running);
    let due = |bench: &mut Bench, call: u64, tick: u64| {
        let at = bench.fleet.vm(&key("alice", "c1")).unwrap().placement.clone().unwrap();
        let seen = observation(key("alice", "c1"), at.generation, ObservedState::Running, at.applied);
        let observation = Box::new(Observation { call_due: Some(call), tick, ..seen });
        let command = Command::Observe { worker: at.worker, boot: at.boot, observation };
        let entries = bench.fleet.decide(bench.now_ms, &command).unwrap().entries;
        bench.run(&command).unwrap();
        entries
    };
    (bench, due)
}

#[test]
fn a_scheduled_call_is_started_once_when_its_minute_has_come_and_the_next_after_it_has_ended() {
    let (mut bench, due) = with_calls();
    let vm = |bench: &Bench| bench.fleet.vm(&key("alice", "c1")).unwrap().clone();
    let entries = due(&mut bench, 0, 10);
    let [Entry::CallStarted { call: 0, tick: 10, number: 1, digest, .. }] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(digest.len(), 64, "{digest}");
    assert_eq!(vm(&bench).running_call(), Some("advance(1)"));
    assert_eq!(due(&mut bench, 0, 10), [], "told again, started once");
    let level = |bench: &Bench| vm(bench).desired_level(vm(bench).placement.unwrap().generation);
    assert_eq!(level(&bench).calls_done, 0, "it is under way");
    ended(&mut bench, 1);
    assert_eq!(level(&bench).calls_done, 1);
    assert!(matches!(due(&mut bench, 1, 20)[..], [Entry::CallStarted { call: 1, number: 2, .. }]));
}

#[test]
fn a_call_of_which_nobody_tells_is_given_up_and_not_started_again_elsewhere() {
    let (mut bench, due) = with_calls();
    due(&mut bench, 0, 10);
    bench.observe("alice", "c1", ObservedState::Failed);
    bench.ask("alice", "c1", Verb::Start, start()).unwrap();
    bench.observe("alice", "c1", ObservedState::Running);
    let vm = bench.fleet.vm(&key("alice", "c1")).unwrap().clone();
    let (process, at) = (vm.process.clone().unwrap(), vm.placement.clone().unwrap());
    assert_ne!(process.generation, Some(at.generation), "its code is told to no other placement");
    assert_eq!(vm.desired_level(at.generation).calls_done, 0, "the cell waits at it");
    assert_eq!(due(&mut bench, 0, 10), []);
    let lost = bench.fleet.lost_processes(u64::MAX, 9);
    bench.fleet.evolve(bench.now_ms, &lost[0]);
    let vm = bench.fleet.vm(&key("alice", "c1")).unwrap();
    assert_eq!(vm.desired_level(at.generation).calls_done, 1, "and goes on without it");
}
