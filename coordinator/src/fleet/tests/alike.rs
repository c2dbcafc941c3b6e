//! Whatever is asked of a VM that moves between its commands: it stands as one that never does.

use bioxen_protocol::command::{AllocationRequest, Verb};
use bioxen_protocol::worker::{DesiredState, Observation, ObservedState};
use proptest::prelude::*;

use super::movement::two_workers;
use super::{Bench, key, observation};
use crate::fleet::command::{Ask, Command};
use crate::fleet::vm::Vm;

#[derive(Debug, Clone, Copy)]
enum Step {
    Allocate(u64),
    Pause,
    Resume,
    Execute,
    Move,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..16u64).prop_map(Step::Allocate),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => Just(Step::Execute),
        3 => Just(Step::Move),
    ];
    proptest::collection::vec(step, 1..80)
}

/// What a user can know of a VM, and what its next placement is made from but for the generation.
fn seen(vm: &Vm) -> impl PartialEq + std::fmt::Debug + use<> {
    let process = vm.process.as_ref().map(|process| (process.number, process.end.is_some()));
    let ordinals: Vec<u64> = vm.changes.iter().map(|change| change.ordinal).collect();
    (vm.state, vm.desired, vm.allocation, vm.effective, vm.held, vm.last_ordinal, ordinals, process)
}

impl Bench {
    fn take(&mut self, vm: &str, step: Step) -> bool {
        let ask = match step {
            Step::Allocate(ribosomes) => {
                let ribosomes = Some(ribosomes);
                (
                    Verb::Allocate,
                    Ask::Allocate(AllocationRequest { ribosomes, ..AllocationRequest::default() }),
                )
            }
            Step::Pause => (Verb::Pause, Ask::Pause),
            Step::Resume => (Verb::Resume, Ask::Resume),
            Step::Execute => (Verb::Execute, Ask::Execute { digest: "d".to_owned(), timeout_ms: 1_000 }),
            Step::Move => return true,
        };
        self.ask("alice", vm, ask.0, ask.1).is_ok()
    }

    /// Its workers do as they are told, until nothing is left to do; what they hold, they tell with a checkpoint.
    fn carry_out(&mut self, vm: &str) {
        for _ in 0..4 {
            let of = self.vm(vm).clone();
            let at = of.placement.clone().unwrap();
            let told = self.told(vm);
            let stopped = told == DesiredState::Stopped;
            let process = of.running_process().filter(|process| process.generation == Some(at.generation));
            let state = match (stopped, of.desired) {
                (true, _) => ObservedState::Stopped,
                (false, DesiredState::Paused) => ObservedState::Paused,
                (false, _) => ObservedState::Running,
            };
            let observation = Observation {
                process: process.map(|process| crate::fleet::lost_process(process.number)),
                checkpoint: Some(vec![1]),
                ..observation(key("alice", vm), at.generation, state, of.last_ordinal)
            };
            let observation = Box::new(observation);
            self.run(&Command::Observe { worker: at.worker, boot: at.boot, observation }).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_vm_that_moves_between_its_commands_stands_as_one_that_never_does(steps in steps()) {
        let mut bench = two_workers();
        bench.runs("c2");
        let mut moves = 0;
        for step in steps {
            if matches!(step, Step::Move) {
                let to = if bench.worker_of("c1") == "w1" { "w2" } else { "w1" };
                moves += usize::from(bench.move_to("c1", Some(to)).is_ok());
                continue;
            }
            // The moving one has its command on its way, the other at rest.
            let accepted = (bench.take("c1", step), bench.take("c2", step));
            prop_assert_eq!(accepted.0, accepted.1);
            bench.carry_out("c1");
            bench.carry_out("c2");
            prop_assert_eq!(seen(bench.vm("c1")), seen(bench.vm("c2")));
        }
        bench.carry_out("c1");
        prop_assert!(bench.vm("c1").moving.is_none() && moves <= 80);
    }
}
