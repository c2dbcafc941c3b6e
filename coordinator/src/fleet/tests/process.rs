//! Process code in VMs: one at a time, at most once, and an end in any case.

use bioxen_protocol::command::{OnFull, Verb};
use bioxen_protocol::limits::PROCESS_GRACE_MS;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Observation, ObservedState, ProcessEnd, ProcessStatus};

use super::{Bench, key, observation, start};
use crate::fleet::command::{Answer, Ask, Command};
use crate::fleet::entry::Entry;
use crate::fleet::rejection::Rejection;

const TIMEOUT_MS: u64 = 5_000;

fn execute() -> Ask {
    Ask::Execute { digest: "0f".to_owned(), timeout_ms: TIMEOUT_MS }
}

fn running() -> Bench {
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
