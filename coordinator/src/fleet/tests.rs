//! The core by example, and (in `random`) under any commands. The bench checks the sums after every one.

mod alerts;
mod alike;
mod checkpoints;
mod ensembles;
mod guests;
mod lost;
mod movement;
mod packages;
mod process;
mod random;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Fleet;
use super::amounts::Amounts;
use super::command::{Answer, Ask, Command, NewVm};
use super::entry::{Cause, Request};
use super::rejection::{Rejection, Resource};
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::{AllocationRequest, Engine, OnComplete, OnFull, Verb, VmType};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::quantity::{AtpPercent, Pace};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Capacity, CellAllocation, CellOrder, Observation, ObservedState};

const SYN3A: CellAllocation =
    CellAllocation { atp_millipercent: 60_000, ribosomes: 10, memory_kb: 512 * 1024 };
const SYN3A_MOST: CellAllocation =
    CellAllocation { atp_millipercent: 70_000, ribosomes: 15, memory_kb: 512 * 1024 };

struct Bench {
    fleet: Fleet,
    now_ms: u64,
    packed: checkpoints::PackedOf,
}

impl Bench {
    fn new() -> Self {
        let mut fleet = Fleet::new(1);
        fleet.evolve(0, &super::entry::Entry::Leader { epoch: 1, coordinator: "c".into() });
        Self { fleet, now_ms: 0, packed: Default::default() }
    }

    fn run(&mut self, command: &Command) -> Result<Answer, Rejection> {
        self.now_ms += 1;
        let decided = self.fleet.decide(self.now_ms, command)?;
        for entry in &decided.entries {
            self.fleet.evolve(self.now_ms, entry);
        }
        while self.fleet.ends_are_due() {
            for entry in self.fleet.ends_of_expired(2) {
                self.fleet.evolve(self.now_ms, &entry);
            }
        }
        self.end_ensembles();
        self.go_on();
        while let Some(entries) = self.fleet.next_from_queue(&ensembles::make) {
            for entry in entries {
                self.fleet.evolve(self.now_ms, &entry);
            }
        }
        self.fleet.queue_is_blocked();
        self.check();
        Ok(decided.answer)
    }

    fn ask(&mut self, user: &str, vm: &str, verb: Verb, ask: Ask) -> Result<Answer, Rejection> {
        self.ask_as(user, vm, verb, ask, None)
    }

    fn ask_as(
        &mut self,
        user: &str,
        vm: &str,
        verb: Verb,
        ask: Ask,
        request: Option<(&str, &str)>,
    ) -> Result<Answer, Rejection> {
        let request = request.map(|(id, digest)| Request { id: id.parse().unwrap(), digest: digest.into() });
        let cause = Cause { user: user.parse().unwrap(), operator: None, verb, request };
        self.run(&Command::User { cause, vm: vm.parse().unwrap(), ask })
    }

    fn create(&mut self, user: &str, vm: &str, on_full: OnFull) -> Result<Answer, Rejection> {
        self.ask(user, vm, Verb::Create, Ask::Create(Box::new(new_vm(on_full))))
    }

    fn worker(&mut self, name: &str, boot: &str) {
        let capacity = Capacity {
            max_vms: 16,
            total_ribosomes: 80,
            usable_ribosomes: 68,
            warning_permille: 850,
            vm_types: vec![VmType::Basic],
            packs: BTreeMap::new(),
            pools: Vec::new(),
            own_pools: None,
        };
        let command =
            Command::Register { worker: name.parse().unwrap(), boot: boot.parse().unwrap(), capacity };
        self.run(&command).unwrap();
    }

    /// What the worker says of the VM, in the generation that it was given.
    fn observe(&mut self, user: &str, vm: &str, state: ObservedState) {
        self.observe_applied(user, vm, state, u64::MAX);
    }

    /// The same where changes up to `applied` alone are in effect.
    fn observe_applied(&mut self, user: &str, vm: &str, state: ObservedState, applied: u64) {
        let key = key(user, vm);
        let Some(at) = self.fleet.vm(&key).and_then(|vm| vm.placement.clone()) else { return };
        let applied = self.fleet.vm(&key).map_or(0, |vm| vm.last_ordinal).min(applied);
        let observation = observation(key, at.generation, state, applied);
        let command =
            Command::Observe { worker: at.worker, boot: at.boot, observation: Box::new(observation) };
        self.run(&command).unwrap();
    }

    fn state(&self, user: &str, vm: &str) -> VmState {
        self.fleet.vm(&key(user, vm)).unwrap().state
    }

    fn held(&self, user: &str, vm: &str) -> Amounts {
        self.fleet.vm(&key(user, vm)).unwrap().held
    }

    /// I3, added up anew from the VMs.
    fn check(&self) {
        let sum = |held: &mut dyn Iterator<Item = Amounts>| held.fold(Amounts::NOTHING, Amounts::plus);
        assert_eq!(self.fleet.held, sum(&mut self.fleet.vms().map(|vm| vm.held)));
        for account in self.fleet.accounts.values() {
            assert_eq!(account.held, sum(&mut account.vms.values().map(|vm| vm.held)));
            assert!(account.held.slots <= self.fleet.config.max_vms_per_user);
        }
        for (id, worker) in &self.fleet.workers {
            assert_eq!(worker.used, sum(&mut self.fleet.placed_on(id, &worker.boot).map(|vm| vm.held)));
            assert!(worker.used.ribosomes <= worker.capacity.usable_ribosomes);
        }
        assert!(self.fleet.held.atp_millipercent <= self.fleet.config.global_atp_limit.0);
        assert!(self.fleet.held.ribosomes <= self.fleet.config.global_ribosome_limit);
    }
}

fn key(user: &str, vm: &str) -> VmKey {
    VmKey { user: user.parse().unwrap(), vm: vm.parse().unwrap() }
}

fn new_vm(on_full: OnFull) -> NewVm {
    let order = CellOrder {
        biological_type: "syn3a".into(),
        pack: None,
        vm_type: VmType::Basic,
        pool: None,
        engine: Engine::Ode,
        seed: 1,
        replicate: 0,
        parameters: BTreeMap::new(),
        allocation: SYN3A,
        schedule: Vec::new(),
        horizon_tick: None,
        horizon_generations: None,
        pace: Pace::Max,
        priority: 3,
        record: None,
        packages: Vec::new(),
    };
    let auto_start = on_full == OnFull::Queue;
    let (most, on_complete, labels) = (SYN3A_MOST, OnComplete::Stop, BTreeMap::new());
    NewVm { order: Arc::new(order), most, on_complete, labels, auto_start, on_full }
}

fn observation(key: VmKey, generation: Generation, state: ObservedState, applied: u64) -> Observation {
    let applied_at = (1..=applied).map(|ordinal| (ordinal, 10)).collect();
    let checkpoint = matches!(state, ObservedState::Stopped | ObservedState::Completed).then(|| vec![1]);
    Observation {
        key,
        generation,
        state,
        tick: 10,
        applied,
        applied_at,
        checkpoint,
        reason: None,
        process: None,
        summary: None,
        atp: AtpWatch::default(),
        call_due: None,
    }
}

fn start() -> Ask {
    Ask::Start { on_full: OnFull::Reject, horizon_tick: None }
}

#[test]
fn the_seventeenth_syn3a_exceeds_the_fleets_atp() {
    let mut bench = Bench::new();
    for number in 0..16 {
        bench.create(&format!("u{}", number / 8), &format!("c{number}"), OnFull::Reject).unwrap();
    }
    let refused = bench.create("u9", "c", OnFull::Reject).unwrap_err();
    let (limit, used, requested) = (1_000_000, 960_000, 60_000);
    assert_eq!(refused, Rejection::Fleet { resource: Resource::Atp, limit, used, requested });
}

#[test]
fn the_users_limit_comes_before_the_fleets_amounts() {
    let mut bench = Bench::new();
    for number in 0..10 {
        bench.create("alice", &format!("c{number}"), OnFull::Reject).unwrap();
    }
    let refused = bench.create("alice", "c10", OnFull::Reject).unwrap_err();
    assert_eq!(refused, Rejection::User { resource: Resource::Vms, limit: 10, used: 10, requested: 1 });
}

#[test]
fn a_decrease_is_given_back_when_the_worker_confirms_and_an_increase_is_taken_at_once() {
    let mut bench = Bench::new();
    bench.worker("w", "b");
    bench.create("alice", "c", OnFull::Reject).unwrap();
    bench.ask("alice", "c", Verb::Start, start()).unwrap();
    bench.observe("alice", "c", ObservedState::Running);
    let less = AllocationRequest { ribosomes: Some(5), ..AllocationRequest::default() };
    bench.ask("alice", "c", Verb::Allocate, Ask::Allocate(less)).unwrap();
    assert_eq!(bench.held("alice", "c").ribosomes, 10);
    bench.observe("alice", "c", ObservedState::Running);
    assert_eq!(bench.held("alice", "c").ribosomes, 5);
    let more = AllocationRequest { atp_percentage: Some(AtpPercent(70_000)), ..AllocationRequest::default() };
    bench.ask("alice", "c", Verb::Allocate, Ask::Allocate(more)).unwrap();
    assert_eq!(bench.held("alice", "c").atp_millipercent, 70_000);
}

#[test]
fn a_replayed_past_takes_nothing_that_the_start_did_not_take() {
    let mut bench = Bench::new();
    bench.worker("w", "b1");
    bench.create("alice", "c", OnFull::Reject).unwrap();
    bench.ask("alice", "c", Verb::Start, start()).unwrap();
    for ribosomes in [15, 5] {
        let ask = AllocationRequest { ribosomes: Some(ribosomes), ..AllocationRequest::default() };
        bench.ask("alice", "c", Verb::Allocate, Ask::Allocate(ask)).unwrap();
        bench.observe("alice", "c", ObservedState::Running);
    }
    bench.worker("w", "b2");
    assert_eq!(bench.state("alice", "c"), VmState::Starting, "it was not placed anew");
    assert_eq!(bench.held("alice", "c").ribosomes, 15);
    bench.observe_applied("alice", "c", ObservedState::Running, 1);
    assert_eq!(bench.held("alice", "c").ribosomes, 15);
    bench.observe("alice", "c", ObservedState::Running);
    assert_eq!(bench.held("alice", "c").ribosomes, 5);
}

#[test]
fn a_checkpoint_relieves_a_running_vm_of_the_changes_that_it_contains() {
    let mut bench = Bench::new();
    bench.worker("w", "b");
    bench.create("alice", "c", OnFull::Reject).unwrap();
    bench.ask("alice", "c", Verb::Start, start()).unwrap();
    bench.observe("alice", "c", ObservedState::Running);
    for ribosomes in [5, 7] {
        let ask = AllocationRequest { ribosomes: Some(ribosomes), ..AllocationRequest::default() };
        bench.ask("alice", "c", Verb::Allocate, Ask::Allocate(ask)).unwrap();
    }
    let at = bench.fleet.vm(&key("alice", "c")).and_then(|vm| vm.placement.clone()).unwrap();
    let seen = observation(key("alice", "c"), at.generation, ObservedState::Running, 2);
    let observation = Box::new(Observation { checkpoint: Some(vec![1]), ..seen });
    bench.run(&Command::Observe { worker: at.worker, boot: at.boot, observation }).unwrap();
    let vm = bench.fleet.vm(&key("alice", "c")).unwrap();
    assert_eq!((vm.changes.len(), vm.checkpoint_applied, vm.held.ribosomes), (0, 2, 7));
}

/// Its worker is lost without a checkpoint: the cell is computed again and goes through its past changes.
#[test]
fn a_vm_that_repeats_past_changes_holds_the_highest_of_them_until_it_has() {
    let mut bench = Bench::new();
    bench.worker("w", "b1");
    bench.create("alice", "c", OnFull::Reject).unwrap();
    bench.ask("alice", "c", Verb::Start, start()).unwrap();
    for (ordinal, ribosomes) in [(1, 4), (2, 12), (3, 6)] {
        let ask = AllocationRequest { ribosomes: Some(ribosomes), ..AllocationRequest::default() };
        bench.ask("alice", "c", Verb::Allocate, Ask::Allocate(ask)).unwrap();
        bench.observe_applied("alice", "c", ObservedState::Running, ordinal);
    }
    assert_eq!(bench.held("alice", "c").ribosomes, 6);
    bench.worker("w", "b2");
    assert_eq!(bench.state("alice", "c"), VmState::Starting, "it was not placed anew");
    let held: Vec<u64> = (0..=3)
        .map(|applied| {
            bench.observe_applied("alice", "c", ObservedState::Running, applied);
            bench.held("alice", "c").ribosomes
        })
        .collect();
    assert_eq!(held, [12, 12, 12, 6]);
}

#[test]
fn stop_gives_the_allocation_back_once_and_destroy_the_slot() {
    let mut bench = Bench::new();
    bench.worker("w", "b");
    bench.create("alice", "c", OnFull::Reject).unwrap();
    bench.ask("alice", "c", Verb::Start, start()).unwrap();
    bench.observe("alice", "c", ObservedState::Running);
    bench.ask("alice", "c", Verb::Stop, Ask::Stop).unwrap();
    assert_eq!(bench.held("alice", "c"), Amounts::of(SYN3A));
    assert_eq!(bench.state("alice", "c"), VmState::Stopping);
    bench.observe("alice", "c", ObservedState::Stopped);
    bench.observe("alice", "c", ObservedState::Stopped);
    assert_eq!(bench.held("alice", "c"), Amounts::SLOT);
    bench.ask("alice", "c", Verb::Destroy, Ask::Destroy).unwrap();
    assert_eq!(bench.held("alice", "c"), Amounts::NOTHING);
    assert_eq!(bench.state("alice", "c"), VmState::Destroyed);
}

#[test]
fn an_observation_of_another_generation_changes_nothing() {
    let mut bench = Bench::new();
    bench.worker("w", "b");
    bench.create("alice", "c", OnFull::Reject).unwrap();
    bench.ask("alice", "c", Verb::Start, start()).unwrap();
    let stale = Generation { incarnation: 1, index: 1 };
    let observation = Box::new(observation(key("alice", "c"), stale, ObservedState::Stopped, 0));
    let (worker, boot) = ("w".parse().unwrap(), "b".parse().unwrap());
    bench.run(&Command::Observe { worker, boot, observation }).unwrap();
    assert_eq!(bench.state("alice", "c"), VmState::Starting);
}

#[test]
fn placement_fills_two_workers_to_68_units_and_a_third_starts_what_waits() {
    let mut bench = Bench::new();
    bench.worker("w1", "b");
    bench.worker("w2", "b");
    for number in 0..16 {
        bench.create(&format!("u{}", number / 8), &format!("c{number}"), OnFull::Queue).unwrap();
    }
    let used =
        |bench: &Bench| -> Vec<u64> { bench.fleet.workers.values().map(|w| w.used.ribosomes).collect() };
    assert_eq!(used(&bench), [60, 60]);
    assert_eq!(bench.fleet.queued(), 4);
    bench.worker("w3", "b");
    assert_eq!((bench.fleet.queued(), used(&bench)), (0, vec![60, 60, 40]));
}

#[test]
fn a_repeated_request_is_answered_as_the_first_and_another_body_is_a_conflict() {
    let mut bench = Bench::new();
    let ask = || Ask::Create(Box::new(new_vm(OnFull::Reject)));
    let first = bench.ask_as("alice", "c", Verb::Create, ask(), Some(("r1", "a"))).unwrap();
    let again = bench.ask_as("alice", "generated", Verb::Create, ask(), Some(("r1", "a"))).unwrap();
    assert_eq!(first, again);
    assert_eq!(bench.fleet.accounts.values().map(|a| a.vms.len()).sum::<usize>(), 1);
    let conflict = bench.ask_as("alice", "c2", Verb::Create, ask(), Some(("r1", "b"))).unwrap_err();
    assert!(matches!(conflict, Rejection::RequestConflict { .. }));
}
