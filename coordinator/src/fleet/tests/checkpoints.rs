//! Checkpoints by name, and VMs whose placement ended without one.

use std::collections::BTreeMap;

use bioxen_protocol::command::{AllocationRequest, CheckpointId, Verb};
use bioxen_protocol::id::VmKey;
use bioxen_protocol::limits::{CHECKPOINTS_PER_VM, CHECKPOINTS_PER_VM_BYTES};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::ObservedState;

use super::packages::put;
use super::process::running;
use super::{Bench, SYN3A, key, start};
use crate::fleet::checkpoint::{Live, Taken};
use crate::fleet::command::{Answer, Ask, Command};
use crate::fleet::entry::Entry;
use crate::fleet::rejection::{NoCheckpoint, Rejection};

/// What lost workers had packed, by VM.
pub(super) type PackedOf = BTreeMap<VmKey, Taken>;

impl Bench {
    /// As the driver does: what was lost is looked for, and what was found journaled.
    pub(super) fn recover(&mut self) {
        let (mut goes_on, mut after) = (true, None);
        while std::mem::take(&mut goes_on) {
            for (key, lost) in self.fleet.searched(3, after.as_ref()) {
                let taken = self.packed.get(&key).cloned();
                for entry in self.fleet.found(&key, lost.generation, taken, None).into_iter().flatten() {
                    self.fleet.evolve(self.now_ms, &entry);
                    goes_on = true;
                }
                after = Some(key);
            }
        }
    }

    fn checkpoint(&mut self, bytes: usize, tick: u64, applied: u64) -> Result<u64, Rejection> {
        let placement = self.fleet.vm(&key("alice", "c1")).and_then(|vm| vm.placement.clone());
        let taken = Taken::new(vec![7; bytes].into(), tick, applied);
        let live = placement.map(|at| Box::new(Live { generation: at.generation, taken }));
        match self.ask("alice", "c1", Verb::Checkpoint, Ask::Checkpoint { live })? {
            Answer::Checkpointed { checkpoint, .. } => Ok(checkpoint.0),
            other => panic!("{other:?}"),
        }
    }

    fn lose_worker(&mut self) {
        let command = Command::Expire { worker: "w1".parse().unwrap(), boot: "b1".parse().unwrap() };
        self.run(&command).unwrap();
        assert_eq!(self.state("alice", "c1"), VmState::Unknown);
    }
}

fn back_to(checkpoint: u64) -> Ask {
    Ask::Restore { checkpoint: CheckpointId(checkpoint), home: None }
}

fn allocate(bench: &mut Bench, ribosomes: u64) {
    let less = AllocationRequest { ribosomes: Some(ribosomes), ..AllocationRequest::default() };
    bench.ask("alice", "c1", Verb::Allocate, Ask::Allocate(less)).unwrap();
}

#[test]
fn a_restore_takes_allocation_and_time_back_and_drops_what_came_after() {
    let mut bench = running();
    let first = bench.checkpoint(500, 30, 0).unwrap();
    allocate(&mut bench, 4);
    bench.observe("alice", "c1", ObservedState::Running);
    let running = bench.ask("alice", "c1", Verb::Restore, back_to(first)).unwrap_err();
    assert!(matches!(running, Rejection::State { state: VmState::Running, .. }), "{running:?}");
    // Its worker was lost: the change is not in the journal's own checkpoint.
    bench.lose_worker();
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    bench.ask("alice", "c1", Verb::Restore, back_to(first)).unwrap();
    let vm = bench.fleet.vm(&key("alice", "c1")).unwrap();
    assert_eq!((vm.tick, vm.allocation, vm.changes.len()), (30, SYN3A, 0));
    assert_eq!((vm.checkpoint_applied, vm.checkpoint.as_deref().map(<[u8]>::len)), (0, Some(500)));
    assert_eq!(vm.held.ribosomes, 0, "a stopped VM holds its slot alone");
    bench.worker("w2", "b2");
    bench.ask("alice", "c1", Verb::Start, start()).unwrap();
    assert_eq!(bench.held("alice", "c1").ribosomes, SYN3A.ribosomes);
}

#[test]
fn a_restore_takes_back_packages_and_scheduled_calls_that_came_after() {
    let mut bench = running();
    put(&mut bench, "c1", "before@1.0.0", "d", 1).unwrap();
    let first = bench.checkpoint(500, 30, 1).unwrap();
    put(&mut bench, "c1", "after@1.0.0", "d", 1).unwrap();
    let call = Entry::CallStarted {
        key: key("alice", "c1"),
        call: 0,
        tick: 40,
        number: 3,
        digest: "d".into(),
        timeout_ms: 1,
    };
    bench.fleet.evolve(bench.now_ms, &call);
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    bench.observe("alice", "c1", ObservedState::Stopped);
    bench.ask("alice", "c1", Verb::Restore, back_to(first)).unwrap();
    bench.ask("alice", "c1", Verb::Start, start()).unwrap();
    let vm = bench.fleet.vm(&key("alice", "c1")).unwrap();
    let installed: Vec<_> = vm.packages.iter().map(|of| of.package.package.to_string()).collect();
    assert_eq!(installed, ["before@1.0.0"]);
    let level = vm.desired_level(vm.placement.as_ref().unwrap().generation);
    assert_eq!((level.calls_done, vm.running_process().is_none()), (0, true), "the call comes again");
    put(&mut bench, "c1", "after@1.0.0", "d", 1).unwrap();
    assert_eq!(bench.fleet.vm(&key("alice", "c1")).unwrap().packages.len(), 2);
}

#[test]
fn checkpoints_are_kept_within_their_number_and_bytes() {
    let mut bench = running();
    let ids: Vec<u64> = (0..20).map(|tick| bench.checkpoint(500, tick, 0).unwrap()).collect();
    let kept = |bench: &Bench| -> Vec<u64> {
        bench.fleet.vm(&key("alice", "c1")).unwrap().checkpoints.iter().map(|named| named.index).collect()
    };
    assert_eq!(kept(&bench), ids[20 - CHECKPOINTS_PER_VM..]);
    let large = bench.checkpoint(CHECKPOINTS_PER_VM_BYTES - 600, 30, 0).unwrap();
    assert_eq!(kept(&bench), [ids[19], large]);
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    bench.observe("alice", "c1", ObservedState::Stopped);
    let gone = bench.ask("alice", "c1", Verb::Restore, back_to(ids[0])).unwrap_err();
    assert!(matches!(gone, Rejection::Checkpoint { why: NoCheckpoint::Unknown { .. }, .. }), "{gone:?}");
}

#[test]
fn a_cell_of_a_placement_that_is_over_is_not_taken() {
    let mut bench = running();
    let taken = Taken::new(vec![7].into(), 3, 0);
    let generation = bench.fleet.vm(&key("alice", "c1")).unwrap().placement.clone().unwrap().generation;
    let live = Some(Box::new(Live { generation, taken }));
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    bench.observe("alice", "c1", ObservedState::Stopped);
    bench.ask("alice", "c1", Verb::Start, start()).unwrap();
    bench.observe("alice", "c1", ObservedState::Running);
    let moved = bench.ask("alice", "c1", Verb::Checkpoint, Ask::Checkpoint { live }).unwrap_err();
    assert!(matches!(moved, Rejection::Checkpoint { why: NoCheckpoint::Moved, .. }), "{moved:?}");
}

#[test]
fn a_lost_vm_goes_on_from_what_was_packed_and_carries_out_later_changes_alone() {
    let mut bench = running();
    allocate(&mut bench, 4);
    bench.observe("alice", "c1", ObservedState::Running);
    allocate(&mut bench, 7);
    bench.packed.insert(key("alice", "c1"), Taken::new(vec![9; 40].into(), 80, 1));
    bench.lose_worker();
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    let vm = bench.fleet.vm(&key("alice", "c1")).unwrap().clone();
    assert_eq!((vm.state, vm.tick, vm.checkpoint_tick), (VmState::Stopped, 80, 80));
    assert_eq!((vm.checkpoint_applied, vm.changes.len(), vm.checkpoint_allocation.ribosomes), (1, 1, 4));
    assert!(vm.lost.is_none() && vm.recovery.is_some());
    bench.worker("w2", "b2");
    bench.ask("alice", "c1", Verb::Start, start()).unwrap();
    assert_eq!(bench.held("alice", "c1").ribosomes, 7);
}

#[test]
fn a_checkpoint_taken_by_name_may_be_newer_than_what_was_packed() {
    let mut bench = running();
    bench.checkpoint(500, 90, 0).unwrap();
    bench.packed.insert(key("alice", "c1"), Taken::new(vec![9; 40].into(), 80, 0));
    bench.lose_worker();
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    assert_eq!(bench.fleet.vm(&key("alice", "c1")).unwrap().checkpoint_tick, 90);
}

#[test]
fn what_was_packed_before_the_journals_own_checkpoint_is_not_used() {
    let mut bench = running();
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    bench.observe("alice", "c1", ObservedState::Stopped);
    bench.ask("alice", "c1", Verb::Start, start()).unwrap();
    bench.packed.insert(key("alice", "c1"), Taken::new(vec![9; 40].into(), 5, 0));
    bench.lose_worker();
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    let vm = bench.fleet.vm(&key("alice", "c1")).unwrap();
    assert_eq!((vm.checkpoint.as_deref(), vm.checkpoint_tick), (Some(&[1][..]), 10));
}

#[test]
fn a_lost_vm_is_not_started_before_it_was_looked_for() {
    let mut bench = running();
    bench.lose_worker();
    let cause = crate::fleet::entry::Cause {
        user: "alice".parse().unwrap(),
        operator: None,
        verb: Verb::Stop,
        request: None,
    };
    let ask = |ask| Command::User { cause: cause.clone(), vm: "c1".parse().unwrap(), ask };
    let stop = bench.fleet.decide(1, &ask(Ask::Stop)).unwrap();
    for entry in &stop.entries {
        bench.fleet.evolve(1, entry);
    }
    let early = bench.fleet.decide(1, &ask(start())).unwrap_err();
    assert!(matches!(early, Rejection::Checkpoint { why: NoCheckpoint::Searching, .. }), "{early:?}");
}
