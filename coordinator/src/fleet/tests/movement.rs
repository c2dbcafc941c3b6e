//! VMs that are placed again, moved, and workers that are emptied.

use bioxen_protocol::command::{AllocationRequest, OnFull, Verb};
use bioxen_protocol::id::WorkerId;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{DesiredState, Observation, ObservedState};

use super::{Bench, SYN3A, key, observation, start};
use crate::fleet::command::{Answer, Ask, Command};
use crate::fleet::entry::Entry;
use crate::fleet::movement::Cordon;
use crate::fleet::rejection::{NoRoom, Rejection};
use crate::fleet::vm::Vm;

impl Bench {
    /// As the driver does: moves that are due are asked for, and VMs that have left are placed.
    pub(super) fn place_again(&mut self) {
        for entry in self.fleet.next_moves() {
            self.fleet.evolve(self.now_ms, &entry);
        }
        while let Some(entries) = self.fleet.next_replacement() {
            for entry in entries {
                self.fleet.evolve(self.now_ms, &entry);
            }
        }
        self.fleet.places_are_blocked();
    }

    /// What was lost goes on elsewhere, and so does what is on its way.
    pub(super) fn go_on(&mut self) {
        self.recover();
        self.place_again();
    }

    /// Nothing waits that could go on.
    pub(super) fn settle(&mut self) {
        self.go_on();
        self.fleet.queue_is_blocked();
    }

    pub(super) fn move_to(&mut self, vm: &str, to: Option<&str>) -> Result<Answer, Rejection> {
        let to = to.map(|to| to.parse().unwrap());
        self.run(&Command::Move { operator: "root".parse().unwrap(), key: key("alice", vm), to })
    }

    pub(super) fn cordon(&mut self, worker: &str, cordon: Cordon) -> Result<Answer, Rejection> {
        let worker = worker.parse().unwrap();
        self.run(&Command::Cordon { operator: "root".parse().unwrap(), worker, cordon })
    }

    pub(super) fn vm(&self, vm: &str) -> &Vm {
        self.fleet.vm(&key("alice", vm)).unwrap()
    }

    pub(super) fn worker_of(&self, vm: &str) -> String {
        self.vm(vm).placement.as_ref().unwrap().worker.to_string()
    }

    /// What its worker is told.
    pub(super) fn told(&self, vm: &str) -> DesiredState {
        let vm = self.vm(vm);
        vm.desired_level(vm.placement.as_ref().unwrap().generation).state
    }

    pub(super) fn expire(&mut self, worker: &str) {
        let id: WorkerId = worker.parse().unwrap();
        let boot = self.fleet.workers[&id].boot.clone();
        self.run(&Command::Expire { worker: id, boot }).unwrap();
    }

    pub(super) fn runs(&mut self, vm: &str) {
        self.create("alice", vm, OnFull::Reject).unwrap();
        self.ask("alice", vm, Verb::Start, start()).unwrap();
        self.observe("alice", vm, ObservedState::Running);
    }

    pub(super) fn executes(&mut self, vm: &str) {
        let ask = Ask::Execute { digest: "d".to_owned(), timeout_ms: 1_000 };
        self.ask("alice", vm, Verb::Execute, ask).unwrap();
    }
}

/// `c1` runs on w1, and w2 has room.
pub(super) fn two_workers() -> Bench {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    bench.runs("c1");
    bench.worker("w2", "b2");
    bench
}

#[test]
fn a_boot_that_comes_back_late_has_no_say() {
    let mut bench = two_workers();
    let old = bench.vm("c1").placement.clone().unwrap();
    bench.expire("w1");
    bench.worker("w1", "b1");
    assert!(!bench.fleet.is_current(&old.worker, &old.boot, &key("alice", "c1"), old.generation));
    let stale = observation(key("alice", "c1"), old.generation, ObservedState::Stopped, 0);
    bench
        .run(&Command::Observe { worker: old.worker, boot: old.boot, observation: Box::new(stale) })
        .unwrap();
    assert_eq!((bench.state("alice", "c1"), bench.worker_of("c1").as_str()), (VmState::Starting, "w2"));
}

#[test]
fn a_vm_moves_while_users_see_it_running() {
    let mut bench = two_workers();
    bench.move_to("c1", Some("w2")).unwrap();
    assert_eq!((bench.told("c1"), bench.state("alice", "c1")), (DesiredState::Stopped, VmState::Running));
    bench.observe("alice", "c1", ObservedState::Stopped);
    let vm = bench.vm("c1");
    assert_eq!((vm.state, vm.tick, vm.checkpoint.as_deref()), (VmState::Running, 10, Some(&[1][..])));
    assert_eq!((bench.worker_of("c1").as_str(), bench.told("c1")), ("w2", DesiredState::Running));
    let w1: WorkerId = "w1".parse().unwrap();
    assert_eq!(bench.fleet.workers[&w1].used.slots, 0);
    bench.observe("alice", "c1", ObservedState::Running);
    assert!(bench.vm("c1").is_settled());
}

#[test]
fn what_is_asked_while_a_vm_moves_takes_effect_in_order() {
    let mut bench = two_workers();
    bench.move_to("c1", None).unwrap();
    let less = AllocationRequest { ribosomes: Some(4), ..AllocationRequest::default() };
    bench.ask("alice", "c1", Verb::Allocate, Ask::Allocate(less)).unwrap();
    bench.ask("alice", "c1", Verb::Pause, Ask::Pause).unwrap();
    bench.executes("c1");
    assert_eq!(bench.told("c1"), DesiredState::Stopped, "process code waits for the next placement");
    assert_eq!(bench.vm("c1").process.as_ref().unwrap().generation, None);
    // Its worker had stopped it before it heard of any of that.
    bench.observe_applied("alice", "c1", ObservedState::Stopped, 0);
    let vm = bench.vm("c1").clone();
    let generation = vm.placement.as_ref().unwrap().generation;
    assert_eq!((vm.changes.len(), vm.held.ribosomes), (1, SYN3A.ribosomes));
    assert_eq!(vm.running_process().unwrap().generation, Some(generation));
    assert_eq!((vm.state, bench.told("c1")), (VmState::Running, DesiredState::Paused));
    bench.observe("alice", "c1", ObservedState::Paused);
    assert_eq!((bench.state("alice", "c1"), bench.held("alice", "c1").ribosomes), (VmState::Paused, 4));
}

#[test]
fn a_stop_or_destroy_meanwhile_is_the_last_word() {
    let mut bench = two_workers();
    bench.move_to("c1", None).unwrap();
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    bench.observe("alice", "c1", ObservedState::Stopped);
    assert_eq!((bench.state("alice", "c1"), bench.vm("c1").placement.is_none()), (VmState::Stopped, true));
    bench.runs("c2");
    bench.move_to("c2", None).unwrap();
    bench.ask("alice", "c2", Verb::Destroy, Ask::Destroy).unwrap();
    bench.observe("alice", "c2", ObservedState::Absent);
    assert_eq!(bench.state("alice", "c2"), VmState::Destroyed);
}

#[test]
fn a_move_waits_for_process_code() {
    let mut bench = two_workers();
    bench.executes("c1");
    bench.move_to("c1", None).unwrap();
    assert_eq!(bench.told("c1"), DesiredState::Running);
    let number = bench.vm("c1").process.as_ref().unwrap().number;
    bench.fleet.evolve(1, &Entry::ProcessLost { key: key("alice", "c1"), number });
    assert_eq!(bench.told("c1"), DesiredState::Stopped);
}

#[test]
fn a_vm_whose_target_fills_up_meanwhile_goes_on_where_it_was() {
    let mut bench = two_workers();
    bench.move_to("c1", Some("w2")).unwrap();
    bench.cordon("w2", Cordon::Cordoned).unwrap();
    let before = bench.vm("c1").placement.clone().unwrap();
    bench.observe("alice", "c1", ObservedState::Stopped);
    let after = bench.vm("c1").placement.clone().unwrap();
    assert_eq!((after.worker.as_str(), after.generation > before.generation), ("w1", true));
    assert_eq!(bench.state("alice", "c1"), VmState::Running);
}

#[test]
fn a_worker_that_dies_while_a_vm_leaves_it_is_a_lost_worker() {
    let mut bench = two_workers();
    bench.move_to("c1", None).unwrap();
    bench.expire("w1");
    assert_eq!((bench.state("alice", "c1"), bench.worker_of("c1").as_str()), (VmState::Starting, "w2"));
}

#[test]
fn a_worker_that_gave_a_vm_up_and_was_out_of_reach_hands_it_over_when_it_is_back() {
    let mut bench = two_workers();
    bench.move_to("c1", None).unwrap();
    bench.cordon("w2", Cordon::Cordoned).unwrap();
    bench.expire("w1");
    bench.worker("w1", "b1");
    bench.observe("alice", "c1", ObservedState::Stopped);
    assert_eq!((bench.state("alice", "c1"), bench.worker_of("c1").as_str()), (VmState::Starting, "w1"));
}

#[test]
fn moves_that_cannot_be_are_refused_with_their_reason() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    bench.runs("c1");
    let alone = bench.move_to("c1", None).unwrap_err();
    let w1: WorkerId = "w1".parse().unwrap();
    assert_eq!(alone, Rejection::NoWorker { reasons: vec![(w1, NoRoom::ComesFrom)] });
    let unknown = bench.move_to("c1", Some("w9")).unwrap_err();
    assert!(matches!(unknown, Rejection::UnknownWorker { .. }), "{unknown:?}");
    bench.create("alice", "c2", OnFull::Reject).unwrap();
    assert!(matches!(bench.move_to("c2", None), Err(Rejection::NotMovable { .. })));
    assert!(matches!(bench.move_to("c3", None), Err(Rejection::NotFound { .. })));
    bench.worker("w2", "b2");
    bench.cordon("w2", Cordon::Cordoned).unwrap();
    let cordoned = bench.move_to("c1", Some("w2")).unwrap_err();
    let w2: WorkerId = "w2".parse().unwrap();
    assert_eq!(cordoned, Rejection::NoWorker { reasons: vec![(w2, NoRoom::Cordoned)] });
}

#[test]
fn a_cordoned_worker_takes_no_vm_and_keeps_what_it_has() {
    let mut bench = two_workers();
    bench.cordon("w1", Cordon::Cordoned).unwrap();
    bench.cordon("w2", Cordon::Cordoned).unwrap();
    assert_eq!(bench.told("c1"), DesiredState::Running);
    bench.create("alice", "c2", OnFull::Reject).unwrap();
    assert!(matches!(bench.ask("alice", "c2", Verb::Start, start()), Err(Rejection::NoWorker { .. })));
    // A cordon outlives the worker's process.
    bench.expire("w2");
    bench.worker("w2", "b3");
    assert!(matches!(bench.ask("alice", "c2", Verb::Start, start()), Err(Rejection::NoWorker { .. })));
    bench.cordon("w2", Cordon::Open).unwrap();
    bench.ask("alice", "c2", Verb::Start, start()).unwrap();
}

#[test]
fn a_drained_worker_gives_up_a_few_vms_at_a_time_until_it_has_none() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    for vm in 0..6 {
        bench.runs(&format!("c{vm}"));
    }
    bench.worker("w2", "b2");
    let (w1, b1) = ("w1".parse().unwrap(), "b1".parse().unwrap());
    bench.cordon("w1", Cordon::Draining).unwrap();
    assert_eq!((bench.fleet.leaving_from(&w1, &b1), bench.fleet.may_go(&w1, &b1)), (4, false));
    for _ in 0..6 {
        let leaving: Vec<String> =
            (0..6).map(|vm| format!("c{vm}")).filter(|vm| bench.vm(vm).is_leaving()).collect();
        for vm in leaving {
            bench.observe("alice", &vm, ObservedState::Stopped);
            bench.observe("alice", &vm, ObservedState::Running);
        }
    }
    assert!((0..6).all(|vm| bench.worker_of(&format!("c{vm}")) == "w2"));
    assert!(bench.fleet.may_go(&w1, &b1));
}

#[test]
fn a_worker_that_is_about_to_end_may_go_where_nobody_can_take_its_vms() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    bench.runs("c1");
    let (w1, b1): (WorkerId, _) = ("w1".parse().unwrap(), "b1".parse().unwrap());
    bench.run(&Command::Leave { worker: w1.clone(), boot: "b1".parse().unwrap() }).unwrap();
    assert!(bench.fleet.may_go(&w1, &b1));
    bench.worker("w2", "b2");
    assert!(bench.vm("c1").is_leaving() && !bench.fleet.may_go(&w1, &b1));
}

#[test]
fn a_process_whose_end_comes_with_the_handing_over_is_known() {
    let mut bench = two_workers();
    bench.executes("c1");
    bench.move_to("c1", None).unwrap();
    let at = bench.vm("c1").placement.clone().unwrap();
    let end = crate::fleet::lost_process(1);
    let seen = Observation {
        process: Some(end),
        ..observation(key("alice", "c1"), at.generation, ObservedState::Stopped, 1)
    };
    bench.run(&Command::Observe { worker: at.worker, boot: at.boot, observation: Box::new(seen) }).unwrap();
    assert_eq!((bench.worker_of("c1").as_str(), bench.vm("c1").running_process().is_none()), ("w2", true));
}

#[test]
fn vms_move_to_a_worker_that_joins_one_at_a_time_while_that_gains_more_than_one_of_them() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    for vm in 0..6 {
        bench.runs(&format!("c{vm}"));
    }
    bench.worker("w2", "b2");
    let mut moved = 0;
    while let Some(vm) = (0..6).map(|vm| format!("c{vm}")).find(|vm| bench.vm(vm).is_leaving()) {
        assert_eq!((0..6).filter(|vm| bench.vm(&format!("c{vm}")).moving.is_some()).count(), 1);
        bench.observe("alice", &vm, ObservedState::Stopped);
        bench.observe("alice", &vm, ObservedState::Running);
        moved += 1;
    }
    assert_eq!((moved, (0..6).filter(|vm| bench.worker_of(&format!("c{vm}")) == "w2").count()), (2, 2));
}
