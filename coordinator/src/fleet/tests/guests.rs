//! VMs that have a guest on a pool: where they go, whose a guest is, and how a VM changes where it runs.

use std::sync::Arc;

use bioxen_protocol::command::{CheckpointId, OnFull, Verb, VmType};
use bioxen_protocol::id::Generation;
use bioxen_protocol::pool::{OwnPool, XcpngPool};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{Capacity, ObservedState};

use super::{Bench, key, new_vm, start};
use crate::fleet::checkpoint::{Live, Taken};
use crate::fleet::command::{Answer, Ask, Command};
use crate::fleet::entry::Entry;
use crate::fleet::format::Format;
use crate::fleet::home::Home;
use crate::fleet::rejection::{NoRoom, Rejection};

fn named(pool: &str) -> XcpngPool {
    XcpngPool::Named(pool.to_owned())
}

impl Bench {
    /// A worker with these pools, for so many VMs.
    fn worker_on(&mut self, name: &str, pools: &[&str], max_vms: u64) {
        self.worker_that_opens(name, pools, max_vms, None);
    }

    /// The same, which also opens passwords sealed for `key`.
    fn worker_that_opens(&mut self, name: &str, pools: &[&str], max_vms: u64, key: Option<&str>) {
        let capacity = Capacity {
            max_vms,
            total_ribosomes: 80,
            usable_ribosomes: 68,
            warning_permille: 850,
            vm_types: vec![VmType::Xcpng],
            packs: Default::default(),
            pools: pools.iter().map(|pool| (*pool).to_owned()).collect(),
            own_pools: key.map(str::to_owned),
        };
        let (worker, boot) = (name.parse().unwrap(), "b1".parse().unwrap());
        self.run(&Command::Register { worker, boot, capacity }).unwrap();
    }

    /// Waits for room where there is none.
    fn create_on(&mut self, user: &str, vm: &str, pool: &str) {
        let mut new = new_vm(OnFull::Queue);
        let order = Arc::make_mut(&mut new.order);
        (order.vm_type, order.pool) = (VmType::Xcpng, Some(named(pool)));
        self.ask(user, vm, Verb::Create, Ask::Create(Box::new(new))).unwrap();
    }

    /// A VM on a pool that runs at `w1`.
    fn on_pool() -> Self {
        let mut bench = Self::new();
        bench.worker_on("w1", &["lab"], 4);
        bench.create_on("alice", "c1", "lab");
        bench.observe("alice", "c1", ObservedState::Running);
        bench
    }

    fn generation(&self) -> Generation {
        let vm = self.vm("c1");
        vm.placement.as_ref().map(|at| at.generation).or(vm.last_generation).unwrap()
    }

    /// Whether a guest of the VM `c1` is kept that is told of in its present generation, a lower one, a higher one.
    fn keeps(&self) -> [bool; 3] {
        let now = self.generation();
        let lower = Generation { index: now.index - 1, ..now };
        let higher = Generation { incarnation: now.incarnation + 1, index: 1 };
        [now, lower, higher].map(|told| self.fleet.unowned(&[(key("alice", "c1"), told)]).is_empty())
    }

    fn verb(&mut self, verb: Verb, ask: Ask) {
        self.ask("alice", "c1", verb, ask).unwrap();
    }

    /// A checkpoint by name of the running VM, and its stop.
    fn kept_and_stopped(&mut self) -> CheckpointId {
        let generation = self.generation();
        let live = Some(Box::new(Live { generation, taken: Taken::new(vec![7; 100].into(), 10, 0) }));
        let taken = self.ask("alice", "c1", Verb::Checkpoint, Ask::Checkpoint { live }).unwrap();
        self.verb(Verb::Stop, Ask::Stop);
        self.observe("alice", "c1", ObservedState::Stopped);
        match taken {
            Answer::Checkpointed { checkpoint, .. } => checkpoint,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_vm_on_a_pool_goes_only_to_workers_that_have_it() {
    let mut bench = Bench::new();
    bench.worker("w0", "b1");
    bench.worker_on("w1", &["north", "south"], 4);
    bench.create_on("alice", "c1", "lab");
    assert_eq!(bench.state("alice", "c1"), VmState::Queued);
    let mut new = new_vm(OnFull::Reject);
    let order = Arc::make_mut(&mut new.order);
    (order.vm_type, order.pool, new.auto_start) = (VmType::Xcpng, Some(named("lab")), true);
    let refused = bench.ask("bob", "c", Verb::Create, Ask::Create(Box::new(new))).unwrap_err();
    let reasons = vec![
        ("w0".parse().unwrap(), NoRoom::VmType),
        ("w1".parse().unwrap(), NoRoom::Pool { pool: named("lab") }),
    ];
    assert_eq!(refused, Rejection::NoWorker { reasons });
    bench.worker_on("w2", &["lab"], 4);
    assert_eq!(bench.worker_of("c1"), "w2", "it waited for that worker");
    bench.observe("alice", "c1", ObservedState::Running);
    let moved = bench.move_to("c1", Some("w1")).unwrap_err();
    assert!(matches!(moved, Rejection::NoWorker { .. }), "{moved:?}");
}

#[test]
fn who_waits_for_a_pool_is_not_in_the_way_of_others() {
    let mut bench = Bench::new();
    bench.worker("w0", "b1");
    bench.worker_on("w1", &["lab"], 1);
    for (user, vm, pool) in [("alice", "a1", "lab"), ("alice", "a2", "lab"), ("bob", "b1", "nowhere")] {
        bench.create_on(user, vm, pool);
    }
    assert_eq!(bench.fleet.queued(), 2, "w1 has room for one, and nobody has the other pool");
    bench.create("carol", "c", OnFull::Queue).unwrap();
    assert_eq!(bench.state("carol", "c"), VmState::Starting, "those who wait need other workers");
    bench.create_on("dora", "d1", "lab");
    assert_eq!(bench.state("dora", "d1"), VmState::Queued);
    bench.ask("alice", "a1", Verb::Destroy, Ask::Destroy).unwrap();
    bench.observe("alice", "a1", ObservedState::Absent);
    assert_eq!(bench.state("alice", "a2"), VmState::Starting, "it waited for longer than d1");
    assert_eq!(bench.state("dora", "d1"), VmState::Queued);
}

#[test]
fn a_full_worker_is_kept_free_for_whoever_waited_first() {
    let mut bench = Bench::new();
    bench.worker("w0", "b1");
    for vm in ["a1", "a2", "a3", "a4", "a5", "a6"] {
        bench.create("alice", vm, OnFull::Queue).unwrap();
    }
    let large = |new: &mut crate::fleet::command::NewVm, ribosomes| {
        Arc::make_mut(&mut new.order).allocation.ribosomes = ribosomes;
    };
    for (user, ribosomes) in [("bob", 12), ("carol", 8)] {
        let mut new = new_vm(OnFull::Queue);
        large(&mut new, ribosomes);
        bench.ask(user, "c", Verb::Create, Ask::Create(Box::new(new))).unwrap();
    }
    assert_eq!(bench.state("bob", "c"), VmState::Queued, "8 of 68 units are free");
    assert_eq!(bench.state("carol", "c"), VmState::Queued, "a smaller one overtook");
}

#[test]
fn workers_of_different_kinds_are_balanced_apart() {
    let mut bench = Bench::new();
    bench.worker("w0", "b1");
    for vm in ["c1", "c2", "c3", "c4"] {
        bench.create("alice", vm, OnFull::Queue).unwrap();
        bench.observe("alice", vm, ObservedState::Running);
    }
    // The one with most room takes none of them.
    bench.worker_on("x9", &["lab"], 4);
    bench.settle();
    assert!(["c1", "c2", "c3", "c4"].iter().all(|vm| bench.vm(vm).moving.is_none()));
    bench.worker("w1", "b1");
    bench.settle();
    let moving = ["c1", "c2", "c3", "c4"].iter().filter(|vm| bench.vm(vm).moving.is_some()).count();
    assert_eq!(moving, 1, "nothing moved to the worker that fits");
}

#[test]
fn a_guest_is_its_vms_while_the_vm_may_be_served_by_it() {
    let mut bench = Bench::new();
    bench.worker_on("w1", &["lab"], 4);
    bench.create_on("alice", "c1", "lab");
    assert_eq!(bench.keeps(), [true, true, true], "an earlier guest is about to be taken over");
    bench.observe("alice", "c1", ObservedState::Running);
    assert_eq!(bench.keeps(), [true, false, true], "it has its own");
    bench.verb(Verb::Pause, Ask::Pause);
    bench.observe("alice", "c1", ObservedState::Paused);
    assert_eq!(bench.keeps(), [true, false, true]);
    bench.verb(Verb::Stop, Ask::Stop);
    bench.observe("alice", "c1", ObservedState::Stopped);
    assert_eq!(bench.keeps(), [true, false, true], "a stopped VM keeps its guest");
    bench.verb(Verb::Start, start());
    assert_eq!(bench.keeps(), [true, true, true]);
    bench.observe("alice", "c1", ObservedState::Running);
    bench.verb(Verb::Destroy, Ask::Destroy);
    assert_eq!(bench.keeps(), [true, false, true], "its own worker ends it");
    bench.observe("alice", "c1", ObservedState::Absent);
    assert_eq!(
        bench.fleet.unowned(&[(key("alice", "c1"), Generation { incarnation: 9, index: 9 })]).len(),
        1
    );
}

#[test]
fn a_vm_that_completed_or_failed_has_no_guest() {
    for (seen, reached) in
        [(ObservedState::Completed, VmState::Stopped), (ObservedState::Failed, VmState::Failed)]
    {
        let mut bench = Bench::on_pool();
        bench.observe("alice", "c1", seen);
        assert_eq!(bench.state("alice", "c1"), reached);
        assert_eq!(bench.keeps(), [false, false, true], "{seen:?}");
    }
}

#[test]
fn a_guest_of_a_vm_that_was_never_placed_was_an_earlier_ones() {
    let mut bench = Bench::on_pool();
    let before = bench.generation();
    bench.verb(Verb::Destroy, Ask::Destroy);
    bench.observe("alice", "c1", ObservedState::Absent);
    let mut new = new_vm(OnFull::Reject);
    Arc::make_mut(&mut new.order).vm_type = VmType::Xcpng;
    bench.ask("alice", "c1", Verb::Create, Ask::Create(Box::new(new))).unwrap();
    let found = [(key("alice", "c1"), before)];
    assert_eq!(bench.fleet.unowned(&found), found);
}

/// Lost with its worker, on its way to another of the same pool.
#[test]
fn a_guest_that_is_about_to_be_taken_over_is_kept() {
    let mut bench = Bench::on_pool();
    let first = bench.generation();
    bench.run(&Command::Expire { worker: "w1".parse().unwrap(), boot: "b1".parse().unwrap() }).unwrap();
    assert_eq!(bench.state("alice", "c1"), VmState::Unknown);
    assert_eq!(bench.keeps(), [true, true, true]);
    bench.worker_on("w2", &["lab"], 4);
    assert_eq!(bench.worker_of("c1"), "w2");
    let found = [(key("alice", "c1"), first)];
    assert!(bench.fleet.unowned(&found).is_empty(), "w2 has not told that it runs");
    bench.observe("alice", "c1", ObservedState::Running);
    assert_eq!(bench.fleet.unowned(&found), found);
}

#[test]
fn guests_of_basic_vms_and_of_nobody_are_nobodys() {
    let mut bench = Bench::new();
    bench.worker("w0", "b1");
    bench.create("alice", "c1", OnFull::Queue).unwrap();
    let generation = Generation { incarnation: 1, index: 99 };
    let found = [(key("alice", "c1"), generation), (key("bob", "c1"), generation)];
    assert_eq!(bench.fleet.unowned(&found), found);
}

#[test]
fn a_vm_is_restored_onto_a_pool_and_back() {
    let mut bench = Bench::new();
    bench.worker("w0", "b1");
    bench.worker_on("w1", &["lab"], 4);
    bench.create("alice", "c1", OnFull::Queue).unwrap();
    bench.observe("alice", "c1", ObservedState::Running);
    let checkpoint = bench.kept_and_stopped();
    let onto = |home: Home| Ask::Restore { checkpoint, home: Some(home) };
    let lab = || Home { vm_type: VmType::Xcpng, pool: Some(named("lab")) };
    let early = bench.ask("alice", "c1", Verb::Restore, onto(lab())).unwrap_err();
    assert_eq!(early, Rejection::OlderCoordinator, "a coordinator that cannot read the entry may be there");
    bench.fleet.evolve(bench.now_ms, &Entry::Activate { format: Format::NEWEST });
    bench.verb(Verb::Restore, onto(lab()));
    bench.verb(Verb::Start, start());
    assert_eq!(bench.worker_of("c1"), "w1");
    let level = bench.vm("c1").desired_level(bench.generation());
    assert_eq!(level.order.unwrap().pool, Some(named("lab")), "its worker is told the pool");
    assert_eq!((level.checkpoint.map(|bytes| bytes.len()), bench.vm("c1").tick), (Some(100), 10));
    bench.observe("alice", "c1", ObservedState::Running);
    bench.kept_and_stopped();
    let guest = [(key("alice", "c1"), bench.generation())];
    assert!(bench.fleet.unowned(&guest).is_empty());
    bench.verb(Verb::Restore, onto(Home { vm_type: VmType::Basic, pool: None }));
    assert_eq!(bench.fleet.unowned(&guest), guest, "it runs in a worker's own hypervisor again");
    bench.verb(Verb::Start, start());
    assert_eq!(bench.worker_of("c1"), "w0");
}

#[test]
fn a_vm_that_brings_its_pool_along_goes_to_who_opens_its_password() {
    let own = OwnPool {
        xapi_url: "https://10.0.0.5".to_owned(),
        username: "root".to_owned(),
        sealed_password: "00000000000000aa.AAAA".to_owned(),
        ssh_user: "bioxen".to_owned(),
        ssh_key_path: "k".to_owned(),
        template_name: "t".to_owned(),
        vm_memory_kb: None,
        vm_vcpus: None,
        tls_fingerprints: Vec::new(),
        network_uuid: None,
        storage_repository: None,
    };
    let pool = XcpngPool::Own(Arc::new(own));
    let mut bench = Bench::new();
    let mut new = new_vm(OnFull::Queue);
    let order = Arc::make_mut(&mut new.order);
    (order.vm_type, order.pool) = (VmType::Xcpng, Some(pool.clone()));
    let create = || Ask::Create(Box::new(new.clone()));
    let early = bench.ask("alice", "c1", Verb::Create, create()).unwrap_err();
    assert_eq!(early, Rejection::OlderCoordinator, "a coordinator that cannot read the order may be there");
    bench.fleet.evolve(bench.now_ms, &Entry::Activate { format: Format::NEWEST });
    bench.worker_on("w1", &["lab"], 4);
    bench.worker_that_opens("w2", &["lab"], 4, Some("00000000000000bb"));
    let mut at_once = new.clone();
    (at_once.on_full, at_once.auto_start) = (OnFull::Reject, true);
    let refused = bench.ask("bob", "c", Verb::Create, Ask::Create(Box::new(at_once))).unwrap_err();
    let why = |worker: &str| (worker.parse().unwrap(), NoRoom::Pool { pool: pool.clone() });
    assert_eq!(refused, Rejection::NoWorker { reasons: vec![why("w1"), why("w2")] });
    bench.ask("alice", "c1", Verb::Create, create()).unwrap();
    assert_eq!(bench.state("alice", "c1"), VmState::Queued);
    bench.worker_that_opens("w3", &[], 4, Some("00000000000000aa"));
    assert_eq!(bench.worker_of("c1"), "w3");
    bench.observe("alice", "c1", ObservedState::Running);
    let guest = [(key("alice", "c1"), bench.generation())];
    assert!(bench.fleet.unowned(&guest).is_empty());
    bench.verb(Verb::Stop, Ask::Stop);
    bench.observe("alice", "c1", ObservedState::Stopped);
    assert_eq!(bench.fleet.unowned(&guest), guest, "a guest whose end failed stays where nobody looks");
}
