//! VMs of lost workers: they go on elsewhere from what was packed of them.

use bioxen_protocol::command::{AllocationRequest, OnFull, Verb};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{DesiredState, ObservedState};

use super::movement::two_workers;
use super::{Bench, key};
use crate::fleet::checkpoint::Taken;
use crate::fleet::command::Ask;
use crate::fleet::movement::Cordon;

#[test]
fn the_vms_of_a_lost_worker_are_placed_elsewhere_with_all_that_they_hold() {
    let mut bench = two_workers();
    bench.packed.insert(key("alice", "c1"), Taken::new(vec![9; 40].into(), 80, 0));
    let (held, first) = (bench.held("alice", "c1"), bench.vm("c1").placement.clone().unwrap().generation);
    bench.expire("w1");
    let vm = bench.vm("c1");
    assert_eq!((vm.state, vm.held, vm.checkpoint_tick), (VmState::Starting, held, 80));
    let at = vm.placement.clone().unwrap();
    assert!(at.worker.as_str() == "w2" && at.generation > first && !at.over);
    assert_eq!(bench.fleet.workers[&at.worker].used, held);
    bench.observe("alice", "c1", ObservedState::Running);
    assert_eq!(bench.state("alice", "c1"), VmState::Running);
}

#[test]
fn a_paused_vm_of_a_lost_worker_stays_paused() {
    let mut bench = two_workers();
    bench.ask("alice", "c1", Verb::Pause, Ask::Pause).unwrap();
    bench.observe("alice", "c1", ObservedState::Paused);
    bench.expire("w1");
    assert_eq!(bench.told("c1"), DesiredState::Paused);
    bench.observe("alice", "c1", ObservedState::Paused);
    assert_eq!(bench.state("alice", "c1"), VmState::Paused);
}

#[test]
fn vms_that_lack_room_to_begin_anew_are_searched_in_turn_for_a_checkpoint_that_needs_less() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    let small = AllocationRequest { ribosomes: Some(1), ..AllocationRequest::default() };
    for vm in ["c1", "c2", "c3"] {
        bench.runs(vm);
        bench.ask("alice", vm, Verb::Allocate, Ask::Allocate(small)).unwrap();
        bench.observe_applied("alice", vm, ObservedState::Running, 1);
    }
    bench.cordon("w1", Cordon::Cordoned).unwrap();
    bench.worker("w2", "b2");
    for vm in ["d1", "d2", "d3", "d4", "d5", "d6"] {
        bench.runs(vm);
    }
    bench.expire("w1");
    let mut searched = |after: Option<&str>| {
        let after = after.map(|vm| key("alice", vm));
        let found = bench.fleet.searched(2, after.as_ref());
        found.into_iter().map(|(key, _)| key.vm.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(searched(None), ["c1", "c2"]);
    assert_eq!(searched(Some("c2")), ["c3", "c1"]);
    bench.packed.insert(key("alice", "c3"), Taken::new(vec![9; 40].into(), 80, 1));
    bench.go_on();
    let states = ["c1", "c2", "c3"].map(|vm| bench.state("alice", vm));
    assert_eq!(states, [VmState::Unknown, VmState::Unknown, VmState::Starting]);
}

#[test]
fn where_there_is_no_room_a_lost_workers_vm_waits_for_it_or_for_its_worker() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    bench.runs("c1");
    bench.runs("c2");
    bench.expire("w1");
    assert_eq!((bench.state("alice", "c1"), bench.held("alice", "c1").ribosomes), (VmState::Unknown, 10));
    // The same boot comes back with the cell: nothing was lost.
    bench.worker("w1", "b1");
    assert_eq!(bench.told("c1"), DesiredState::Running);
    bench.observe("alice", "c1", ObservedState::Running);
    assert_eq!(bench.state("alice", "c1"), VmState::Running);
    assert_eq!(bench.state("alice", "c2"), VmState::Unknown);
    // Another boot of its name is a worker like any other.
    bench.expire("w1");
    bench.worker("w1", "b2");
    assert_eq!(bench.state("alice", "c1"), VmState::Starting);
    assert_eq!(bench.vm("c1").placement.clone().unwrap().boot.as_str(), "b2");
}

#[test]
fn those_of_a_lost_worker_go_before_those_that_wait() {
    let mut bench = Bench::new();
    bench.worker("w1", "b1");
    for vm in 0..6 {
        bench.runs(&format!("c{vm}"));
    }
    bench.create("bob", "waits", OnFull::Queue).unwrap();
    assert_eq!(bench.state("bob", "waits"), VmState::Queued);
    bench.expire("w1");
    bench.worker("w2", "b2");
    assert!((0..6).all(|vm| bench.state("alice", &format!("c{vm}")) == VmState::Starting));
    assert_eq!(bench.state("bob", "waits"), VmState::Queued);
}

#[test]
fn process_code_of_a_lost_worker_is_not_run_again() {
    let mut bench = two_workers();
    bench.executes("c1");
    bench.expire("w1");
    assert_eq!(bench.worker_of("c1"), "w2");
    assert!(bench.vm("c1").running_process().is_none(), "its outcome is unknown at once");
}
