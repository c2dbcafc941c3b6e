//! Whole lives of VMs through the core: each gives exactly the events and records that it should, in order.

use std::sync::Arc;

use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::audit::{AuditRecord, NO_HASH, Outcome};
use bioxen_protocol::command::{AllocationRequest, Engine, OnComplete, OnFull, Verb, VmType};
use bioxen_protocol::error::Code;
use bioxen_protocol::event::{Event, EventName};
use bioxen_protocol::id::VmKey;
use bioxen_protocol::quantity::{AtpPercent, Pace};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Capacity, CellAllocation, CellOrder, Observation, ObservedState};

use super::audit_chain::{self, Chain, FLEET};
use super::{events, fold};
use crate::fleet::Fleet;
use crate::fleet::command::{Ask, Command, NewVm};
use crate::fleet::entry::{Cause, Entry, Rejected, Request};

const DAY_MS: u64 = 1_700_000_000_000;
const GIVEN: CellAllocation =
    CellAllocation { atp_millipercent: 60_000, ribosomes: 10, memory_kb: 512 * 1024 };

/// The core, and the projector's fold beside it.
struct Bench {
    core: Fleet,
    fold: Fleet,
    chain: Chain,
    events: Vec<Event>,
    records: Vec<AuditRecord>,
    requests: u64,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self {
            core: Fleet::new(1),
            fold: Fleet::new(1),
            chain: Chain::start(),
            events: Vec::new(),
            records: Vec::new(),
            requests: 0,
        };
        bench.happens(&Entry::Leader { epoch: 1, coordinator: "c1".to_owned() });
        bench.sign_in("w1", "b1");
        bench
    }

    fn happens(&mut self, entry: &Entry) {
        let time_ms = DAY_MS + self.core.next_index;
        self.core.evolve(time_ms, entry);
        let step = fold::step(&mut self.fold, time_ms, entry);
        self.events.extend(events::events(&step));
        for record in audit_chain::records(&step) {
            self.records.push(self.chain.seal(record).unwrap());
        }
    }

    fn run(&mut self, command: &Command) {
        let decided = self.core.decide(DAY_MS, command).unwrap();
        decided.entries.iter().for_each(|entry| self.happens(entry));
        for entry in self.core.ends_of_expired(usize::MAX) {
            self.happens(&entry);
        }
        while let Some(entries) = self.core.next_from_queue(&|_, _| Err("no members here".to_owned())) {
            entries.iter().for_each(|entry| self.happens(entry));
        }
        self.core.queue_is_blocked();
    }

    fn ask(&mut self, vm: &str, verb: Verb, ask: Ask) {
        self.requests += 1;
        let id = format!("r{}", self.requests).parse().unwrap();
        let request = Some(Request { id, digest: String::new() });
        let cause = Cause { user: "alice".parse().unwrap(), operator: None, verb, request };
        self.run(&Command::User { cause, vm: vm.parse().unwrap(), ask });
    }

    fn create(&mut self, vm: &str, on_complete: OnComplete, on_full: OnFull) {
        self.ask(vm, Verb::Create, Ask::Create(Box::new(new_vm(on_complete, on_full))));
    }

    fn create_and_run(&mut self, vm: &str, on_complete: OnComplete) {
        self.create(vm, on_complete, OnFull::Reject);
        self.observe(vm, ObservedState::Running, 0, &[]);
    }

    fn sign_in(&mut self, worker: &str, boot: &str) {
        let capacity = Capacity {
            max_vms: 4,
            total_ribosomes: 80,
            usable_ribosomes: 68,
            vm_types: vec![VmType::Basic],
            warning_permille: 850,
            packs: Default::default(),
            pools: Vec::new(),
            own_pools: None,
        };
        let (worker, boot) = (worker.parse().unwrap(), boot.parse().unwrap());
        self.run(&Command::Register { worker, boot, capacity });
    }

    fn expire(&mut self, worker: &str, boot: &str) {
        let (worker, boot) = (worker.parse().unwrap(), boot.parse().unwrap());
        self.run(&Command::Expire { worker, boot });
    }

    fn observe(&mut self, vm: &str, state: ObservedState, tick: u64, applied_at: &[(u64, u64)]) {
        let key = key(vm);
        let at = self.core.vm(&key).unwrap().placement.clone().unwrap();
        let observation = Observation {
            key,
            generation: at.generation,
            state,
            tick,
            applied: applied_at.last().map_or(at.applied, |(ordinal, _)| *ordinal),
            applied_at: applied_at.to_vec(),
            checkpoint: matches!(state, ObservedState::Stopped | ObservedState::Completed).then(|| vec![1]),
            reason: (state == ObservedState::Failed).then(|| "the solver gave up".to_owned()),
            process: None,
            summary: None,
            atp: AtpWatch::default(),
            call_due: None,
        };
        let observation = Box::new(observation);
        self.run(&Command::Observe { worker: at.worker, boot: at.boot, observation });
    }

    /// The events since this was last asked, as `name state`.
    fn told(&mut self) -> Vec<String> {
        let state = |event: &Event| event.state.map_or("-", VmState::as_str);
        std::mem::take(&mut self.events)
            .iter()
            .map(|event| format!("{} {}", event.event, state(event)))
            .collect()
    }
}

fn key(vm: &str) -> VmKey {
    VmKey { user: "alice".parse().unwrap(), vm: vm.parse().unwrap() }
}

fn new_vm(on_complete: OnComplete, on_full: OnFull) -> NewVm {
    let order = CellOrder {
        biological_type: "syn3a".into(),
        pack: None,
        vm_type: VmType::Basic,
        pool: None,
        engine: Engine::Ode,
        seed: 1,
        replicate: 0,
        parameters: Default::default(),
        allocation: GIVEN,
        schedule: Vec::new(),
        horizon_tick: Some(100),
        horizon_generations: None,
        pace: Pace::Max,
        priority: 3,
        record: None,
        packages: Vec::new(),
    };
    let (order, labels) = (Arc::new(order), Default::default());
    NewVm { order, most: GIVEN, on_complete, labels, auto_start: true, on_full }
}

const FEWER_RIBOSOMES: Ask =
    Ask::Allocate(AllocationRequest { atp_percentage: None, ribosomes: Some(8), memory_kb: None });

fn rejected(vm: Option<&str>, verb: Option<Verb>, count: u64) -> Entry {
    let (user, request_id) = ("bob".parse().unwrap(), Some("r-1".parse().unwrap()));
    let (code, message) = (Code::QuotaExceeded, "10 of 10 VMs are in use".to_owned());
    let vm = vm.map(|vm| vm.parse().unwrap());
    Entry::Rejected(Box::new(Rejected { user, operator: None, verb, vm, code, request_id, message, count }))
}

#[test]
fn a_life_from_create_to_destroy_is_told_once_and_in_order() {
    let mut bench = Bench::new();
    bench.create("c1", OnComplete::Stop, OnFull::Reject);
    bench.observe("c1", ObservedState::Running, 0, &[]);
    bench.ask("c1", Verb::Pause, Ask::Pause);
    bench.observe("c1", ObservedState::Paused, 20, &[]);
    bench.ask("c1", Verb::Resume, Ask::Resume);
    bench.observe("c1", ObservedState::Running, 20, &[]);
    bench.ask("c1", Verb::Stop, Ask::Stop);
    bench.observe("c1", ObservedState::Stopped, 30, &[]);
    bench.ask("c1", Verb::Start, Ask::Start { on_full: OnFull::Reject, horizon_tick: None });
    bench.observe("c1", ObservedState::Running, 30, &[]);
    bench.ask("c1", Verb::Destroy, Ask::Destroy);
    bench.observe("c1", ObservedState::Absent, 30, &[]);
    let indexes: Vec<u64> = bench.events.iter().map(|event| event.index).collect();
    assert!(indexes.is_sorted(), "{indexes:?}");
    let generation = bench.events.iter().find(|event| event.event == EventName::Running).unwrap().generation;
    assert_eq!(generation.unwrap().index, 4);
    assert_eq!(bench.events[0].time, "2023-11-14T22:13:20.003Z");
    let requests: Vec<_> = bench.events.iter().filter_map(|event| event.request_id.clone()).collect();
    let requests: Vec<&str> = requests.iter().map(|id| id.as_str()).collect();
    assert_eq!(requests, ["r1", "r1", "r2", "r3", "r4", "r4", "r5", "r6"]);
    assert_eq!(
        bench.told(),
        [
            "accepted created",
            "created created",
            "starting starting",
            "running running",
            "accepted running",
            "paused paused",
            "accepted paused",
            "resumed running",
            "accepted stopping",
            "stopping stopping",
            "stopped stopped",
            "accepted stopped",
            "starting starting",
            "running running",
            "accepted destroying",
            "destroyed destroyed",
        ]
    );
}

#[test]
fn an_allocation_is_told_at_the_minute_at_which_it_took_effect() {
    let mut bench = Bench::new();
    bench.create_and_run("c1", OnComplete::Stop);
    bench.told();
    bench.ask("c1", Verb::Allocate, FEWER_RIBOSOMES);
    assert_eq!(bench.told(), ["accepted running"]);
    bench.observe("c1", ObservedState::Running, 123, &[(1, 121)]);
    let event = bench.events.last().unwrap().clone();
    assert_eq!(
        event.reason.as_deref(),
        Some("in effect from minute 12.1: ATP 60 %, 8 ribosomes, 524288 KiB")
    );
    assert_eq!(bench.told(), ["allocated running"]);
    // The worker repeats itself until it is confirmed.
    bench.observe("c1", ObservedState::Paused, 124, &[(1, 121)]);
    assert_eq!(bench.told(), ["paused paused"]);
}

#[test]
fn an_allocation_that_ends_with_its_vm_is_told_before_the_end() {
    let mut bench = Bench::new();
    bench.create_and_run("c1", OnComplete::Stop);
    bench.ask("c1", Verb::Allocate, FEWER_RIBOSOMES);
    bench.told();
    bench.observe("c1", ObservedState::Completed, 100, &[(1, 99)]);
    assert_eq!(bench.told(), ["allocated stopped", "completed stopped"]);
}

#[test]
fn an_allocation_of_a_vm_that_never_started_is_told_at_once() {
    let mut bench = Bench::new();
    let new = NewVm { auto_start: false, ..new_vm(OnComplete::Stop, OnFull::Reject) };
    bench.ask("c1", Verb::Create, Ask::Create(Box::new(new)));
    bench.ask("c1", Verb::Allocate, FEWER_RIBOSOMES);
    let event = bench.events.last().unwrap().clone();
    assert_eq!(event.request_id, Some("r2".parse().unwrap()));
    assert!(event.reason.unwrap().starts_with("in effect from minute 0.0: "));
    assert_eq!(
        bench.told(),
        ["accepted created", "created created", "accepted created", "allocated created"]
    );
}

#[test]
fn a_completed_vm_is_told_with_its_reason_and_a_released_one_as_destroyed_too() {
    let mut bench = Bench::new();
    bench.create_and_run("c1", OnComplete::Stop);
    bench.create_and_run("c2", OnComplete::Release);
    bench.told();
    bench.observe("c1", ObservedState::Completed, 100, &[]);
    bench.observe("c2", ObservedState::Completed, 100, &[]);
    assert!(bench.events.iter().all(|event| event.reason.as_deref() == Some("completed")));
    assert!(bench.events.iter().all(|event| event.generation.is_some()));
    assert_eq!(bench.told(), ["completed stopped", "completed destroyed", "destroyed destroyed"]);
}

#[test]
fn a_queued_vm_is_told_when_it_waits_and_when_it_starts() {
    let mut bench = Bench::new();
    for vm in ["c1", "c2", "c3", "c4", "c5"] {
        bench.create(vm, OnComplete::Stop, OnFull::Queue);
    }
    let last: Vec<String> = bench.told().split_off(12);
    assert_eq!(last, ["accepted queued", "queued queued"]);
    bench.observe("c1", ObservedState::Running, 0, &[]);
    bench.ask("c1", Verb::Destroy, Ask::Destroy);
    bench.observe("c1", ObservedState::Absent, 1, &[]);
    assert_eq!(
        bench.told(),
        ["running running", "accepted destroying", "destroyed destroyed", "starting starting"]
    );
}

#[test]
fn an_expiry_tells_each_vm_that_it_leaves_unknown_and_ends_those_that_were_ending() {
    let mut bench = Bench::new();
    for vm in ["c1", "c2", "c3"] {
        bench.create_and_run(vm, OnComplete::Stop);
    }
    bench.ask("c2", Verb::Stop, Ask::Stop);
    bench.told();
    let before = bench.records.len();
    bench.expire("w1", "b1");
    let vms: Vec<_> = bench.events.iter().map(|event| event.vm_id.as_ref().unwrap().to_string()).collect();
    assert_eq!(vms, ["c1", "c3", "c2"]);
    assert_eq!(bench.told(), ["unknown unknown", "unknown unknown", "stopped stopped"]);
    let actions: Vec<&str> = bench.records[before..].iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["expiry", "observed", "observed", "observed"]);
    // Back with its VMs: running again, and not resumed.
    bench.sign_in("w1", "b1");
    bench.observe("c1", ObservedState::Running, 40, &[]);
    assert_eq!(bench.told(), ["running running"]);
}

#[test]
fn a_failure_says_why() {
    let mut bench = Bench::new();
    bench.create_and_run("c1", OnComplete::Stop);
    bench.told();
    bench.observe("c1", ObservedState::Failed, 7, &[]);
    assert_eq!(bench.events[0].reason.as_deref(), Some("the solver gave up"));
    assert_eq!(bench.told(), ["failed failed"]);
}

#[test]
fn a_refusal_is_told_and_recorded_with_code_and_count() {
    let mut bench = Bench::new();
    bench.happens(&rejected(Some("c9"), Some(Verb::Create), 1));
    bench.happens(&rejected(None, None, 25));
    let [first, second] = &bench.events[..] else { panic!("{:?}", bench.events) };
    assert_eq!((first.event, first.vm_id.as_ref().unwrap().as_str()), (EventName::Rejected, "c9"));
    assert_eq!((first.code, first.count), (Some(Code::QuotaExceeded), Some(1)));
    assert_eq!((second.vm_id.as_ref(), second.verb, second.count), (None, None, Some(25)));
    let [.., first, second] = &bench.records[..] else { panic!() };
    assert_eq!((first.action.as_str(), first.outcome), ("create", Outcome::Rejected));
    assert_eq!((second.action.as_str(), second.count), ("unknown", 25));
    assert_eq!(second.note, "10 of 10 VMs are in use");
}

#[test]
fn ticks_and_what_concerns_the_fleet_tell_no_user_anything() {
    let mut bench = Bench::new();
    bench.happens(&Entry::Tick);
    bench.happens(&Entry::Configured { config: Default::default() });
    assert!(bench.events.is_empty());
    let actions: Vec<(&str, &str)> =
        bench.records.iter().map(|record| (record.action.as_str(), record.user.as_str())).collect();
    assert_eq!(actions, [("leader", FLEET), ("sign-in", FLEET), ("config", FLEET)]);
}

#[test]
fn an_operator_is_recorded_beside_the_user_concerned() {
    let mut bench = Bench::new();
    let limits = crate::fleet::account::UserLimits {
        max_vms: Some(3),
        max_atp: Some(AtpPercent(150_500)),
        ..Default::default()
    };
    bench.run(&Command::SetLimits { operator: "root".parse().unwrap(), user: key("c1").user, limits });
    let record = bench.records.last().unwrap();
    assert_eq!((record.user.as_str(), record.action.as_str()), ("alice", "quota"));
    assert_eq!(record.operator.as_ref().unwrap().as_str(), "root");
    assert_eq!(record.note, "max_vms 3, max_atp_percentage 150.5");
    assert!(bench.events.is_empty());
}

#[test]
fn records_say_what_happened_in_words() {
    let mut bench = Bench::new();
    bench.create_and_run("c1", OnComplete::Stop);
    let notes: Vec<(&str, &str)> =
        bench.records.iter().map(|record| (record.action.as_str(), record.note.as_str())).collect();
    assert_eq!(
        notes,
        [
            ("leader", "c1 leads in epoch 1"),
            ("sign-in", "worker w1, boot b1: 4 VMs, 68 of 80 ribosomes usable"),
            ("create", "syn3a, seed 1: ATP 60 %, 10 ribosomes, 524288 KiB; absent to created at minute 0.0"),
            ("placement", "on worker w1, boot b1, generation 1.4"),
            ("observed", "starting to running at minute 0.0"),
        ]
    );
}

#[test]
fn the_chain_joins_every_record_to_the_one_before() {
    let mut bench = Bench::new();
    bench.create_and_run("c1", OnComplete::Stop);
    let mut previous = NO_HASH.to_owned();
    for (number, record) in (1..).zip(&bench.records) {
        assert_eq!(record.number, number);
        assert_eq!(record.previous_hash, previous);
        assert_eq!(record.expected_hash().unwrap(), record.hash);
        previous.clone_from(&record.hash);
    }
}
