//! Sums add up and limits hold under any commands, and the fleet from its rows is the fleet.

use bioxen_protocol::command::{AllocationRequest, OnFull, Verb};
use bioxen_protocol::id::{BootId, WorkerId};
use bioxen_protocol::quantity::AtpPercent;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{DesiredState, ObservedState};
use proptest::prelude::*;

use super::{Bench, start};
use crate::fleet::amounts::Amounts;
use crate::fleet::command::{Answer, Ask, Command};
use crate::fleet::movement::Cordon;
use crate::fleet::rows::Rows;
use crate::fleet::worker::Worker;
use crate::fleet::{Fleet, Touched};

/// The fleet from its own rows.
pub(super) fn through_rows(fleet: &Fleet) -> Fleet {
    let requests = fleet.accounts.iter().flat_map(|(user, account)| {
        account.requests.iter().map(|(id, request)| (user.clone(), id.clone(), request.clone()))
    });
    let mut restored = Fleet::restore(Rows {
        head: Some(fleet.head()),
        accounts: fleet
            .accounts
            .keys()
            .filter_map(|user| Some((user.clone(), fleet.account_row(user)?)))
            .collect(),
        vms: fleet.vms().cloned().collect(),
        workers: fleet.workers.iter().map(|(id, worker)| (id.clone(), unused(worker))).collect(),
        requests: requests.collect(),
        ensembles: fleet.ensembles().map(super::ensembles::without_members).collect(),
        members: super::ensembles::members(fleet),
    })
    .unwrap();
    restored.touched = Touched::default();
    restored.room_may_have_appeared = false;
    restored.ends_may_be_due = false;
    restored.places_may_be_due = false;
    // A VM that lacks room to begin anew is looked for again: a newer checkpoint of it may need less.
    restored.unknown_may_have_room = fleet.unknown_may_have_room;
    restored.balance_may_be_due = fleet.balance_may_be_due;
    restored
}

fn unused(worker: &Worker) -> Worker {
    Worker { used: Amounts::NOTHING, ..worker.clone() }
}

#[derive(Debug, Clone)]
enum Step {
    Create { user: u8, vm: u8, queue: bool },
    Ask { user: u8, vm: u8, verb: Verb },
    Allocate { user: u8, vm: u8, ribosomes: u64, atp: u64 },
    Observe { user: u8, vm: u8, state: u8, applied: u64 },
    Boot { worker: u8, boot: u8 },
    Expire { worker: u8 },
    Ensemble { user: u8, name: u8, members: u64 },
    End { user: u8, name: u8, destroy: bool },
    Move { user: u8, vm: u8, to: Option<u8> },
    Cordon { worker: u8, cordon: Cordon },
    Leave { worker: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let (user, vm) = (0..3u8, 0..14u8);
    let verbs = vec![Verb::Start, Verb::Start, Verb::Pause, Verb::Resume, Verb::Stop, Verb::Destroy];
    prop_oneof![
        3 => (user.clone(), vm.clone(), any::<bool>()).prop_map(|(user, vm, queue)| Step::Create { user, vm, queue }),
        4 => (user.clone(), vm.clone(), proptest::sample::select(verbs))
            .prop_map(|(user, vm, verb)| Step::Ask { user, vm, verb }),
        2 => (user.clone(), vm.clone(), 1..17u64, 1..80_000u64)
            .prop_map(|(user, vm, ribosomes, atp)| Step::Allocate { user, vm, ribosomes, atp }),
        2 => (user.clone(), vm.clone(), proptest::option::of(0..3u8))
            .prop_map(|(user, vm, to)| Step::Move { user, vm, to }),
        1 => (0..3u8, proptest::sample::select(vec![Cordon::Open, Cordon::Open, Cordon::Cordoned, Cordon::Draining]))
            .prop_map(|(worker, cordon)| Step::Cordon { worker, cordon }),
        1 => (0..3u8).prop_map(|worker| Step::Leave { worker }),
        6 => (user, vm, 0..6u8, prop_oneof![0..6u64, Just(u64::MAX)])
            .prop_map(|(user, vm, state, applied)| Step::Observe { user, vm, state, applied }),
        1 => (0..3u8, 0..3u8).prop_map(|(worker, boot)| Step::Boot { worker, boot }),
        1 => (0..3u8).prop_map(|worker| Step::Expire { worker }),
        1 => (0..3u8, 0..3u8, 1..12u64).prop_map(|(user, name, members)| Step::Ensemble { user, name, members }),
        1 => (0..3u8, 0..3u8, any::<bool>()).prop_map(|(user, name, destroy)| Step::End { user, name, destroy }),
    ]
}

fn take(bench: &mut Bench, step: Step) {
    // Refusals are answers too; the bench checks the sums after each.
    let _refused_or_not = match step {
        Step::Create { user, vm, queue } => {
            let on_full = if queue { OnFull::Queue } else { OnFull::Reject };
            bench.create(&format!("u{user}"), &format!("c{vm}"), on_full)
        }
        Step::Ask { user, vm, verb } => {
            let ask = match verb {
                Verb::Pause => Ask::Pause,
                Verb::Resume => Ask::Resume,
                Verb::Stop => Ask::Stop,
                Verb::Destroy => Ask::Destroy,
                _ => start(),
            };
            bench.ask(&format!("u{user}"), &format!("c{vm}"), verb, ask)
        }
        Step::Allocate { user, vm, ribosomes, atp } => {
            let (ribosomes, atp_percentage) = (Some(ribosomes), Some(AtpPercent(atp)));
            let request = AllocationRequest { ribosomes, atp_percentage, memory_kb: None };
            bench.ask(&format!("u{user}"), &format!("c{vm}"), Verb::Allocate, Ask::Allocate(request))
        }
        Step::Observe { user, vm, state, applied } => {
            let states = [
                ObservedState::Running,
                ObservedState::Paused,
                ObservedState::Stopped,
                ObservedState::Completed,
                ObservedState::Failed,
                ObservedState::Absent,
            ];
            let state = states[usize::from(state)];
            bench.observe_applied(&format!("u{user}"), &format!("c{vm}"), state, applied);
            for ensemble in 0..3 {
                let member = format!("e{ensemble}-{:05}", vm + 1);
                bench.observe_applied(&format!("u{user}"), &member, state, applied);
            }
            Ok(Answer::Nothing)
        }
        Step::Move { user, vm, to } => {
            let to = to.map(|to| format!("w{to}").parse().unwrap());
            let key = super::key(&format!("u{user}"), &format!("c{vm}"));
            bench.run(&Command::Move { operator: "root".parse().unwrap(), key, to })
        }
        Step::Cordon { worker, cordon } => {
            let worker = format!("w{worker}").parse().unwrap();
            bench.run(&Command::Cordon { operator: "root".parse().unwrap(), worker, cordon })
        }
        Step::Leave { worker } => {
            let worker: WorkerId = format!("w{worker}").parse().unwrap();
            let boot: Option<BootId> = bench.fleet.workers.get(&worker).map(|known| known.boot.clone());
            boot.map_or(Ok(Answer::Nothing), |boot| bench.run(&Command::Leave { worker, boot }))
        }
        Step::Ensemble { user, name, members } => {
            bench.ensemble(&format!("u{user}"), &format!("e{name}"), members)
        }
        Step::End { user, name, destroy } => {
            let (verb, ask) = if destroy { (Verb::Destroy, Ask::Destroy) } else { (Verb::Stop, Ask::Stop) };
            bench.ask(&format!("u{user}"), &format!("e{name}"), verb, ask)
        }
        Step::Boot { worker, boot } => {
            bench.worker(&format!("w{worker}"), &format!("b{boot}"));
            Ok(Answer::Nothing)
        }
        Step::Expire { worker } => {
            let id: WorkerId = format!("w{worker}").parse().unwrap();
            let boot: Option<BootId> = bench.fleet.workers.get(&id).map(|known| known.boot.clone());
            boot.map_or(Ok(Answer::Nothing), |boot| bench.run(&Command::Expire { worker: id, boot }))
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sums_add_up_and_limits_hold_under_any_commands(steps in proptest::collection::vec(step(), 1..150)) {
        let mut bench = Bench::new();
        for step in steps {
            take(&mut bench, step);
        }
        bench.settle();
        bench.fleet.take_touched();
        prop_assert_eq!(through_rows(&bench.fleet), bench.fleet.clone());
        for vm in bench.fleet.vms() {
            prop_assert_eq!(vm.state == VmState::Queued, vm.queued_at.is_some());
            prop_assert!(vm.state != VmState::Destroyed || vm.held == Amounts::NOTHING);
            prop_assert!(vm.desired != DesiredState::Absent
                || matches!(vm.state, VmState::Destroying | VmState::Destroyed));
        }
    }
}
