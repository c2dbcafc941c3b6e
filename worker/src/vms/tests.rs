//! Levels against a backend that only notes what it is asked.

use std::sync::Mutex;
use std::time::Duration;

use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::{Engine, VmType};
use bioxen_protocol::quantity::Pace;
use bioxen_protocol::reply::Sample;
use bioxen_protocol::worker::{CellAllocation, CellOrder, ProcessOrder, QueryExtra};
use tokio::sync::Notify;

use super::*;
use crate::backend::Figures;

#[derive(Debug, Default)]
struct Noting {
    asked: Mutex<Vec<String>>,
    tells: Mutex<Vec<Observation>>,
    /// What it takes its time to end.
    ends: Mutex<Vec<(VmKey, Generation)>>,
    changed: Notify,
}

impl Noting {
    fn note(&self, what: &str, key: &VmKey) {
        self.asked.lock().unwrap().push(format!("{what} {}", key.vm));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Backend for Noting {
    fn vm_type(&self) -> VmType {
        VmType::Basic
    }
    fn place(&self, desired: Desired) {
        self.note("place", &desired.key);
    }
    fn adjust(&self, desired: &Desired) {
        self.note("adjust", &desired.key);
    }
    fn freeze(&self) {
        self.asked.lock().unwrap().push("freeze".to_owned());
    }
    fn forget(&self, key: &VmKey) {
        self.note("forget", key);
    }
    fn is_ending(&self, key: &VmKey, generation: Generation) -> bool {
        self.ends.lock().unwrap().contains(&(key.clone(), generation))
    }
    fn lease(&self, _: Duration) {}
    fn observe(&self) -> Vec<Observation> {
        std::mem::take(&mut self.tells.lock().unwrap())
    }
    fn changed(&self) -> &Notify {
        &self.changed
    }
    fn query(&self, _: &VmKey, _: QueryExtra) -> Option<LiveVm> {
        None
    }
    fn execute(&self, key: &VmKey, _: Generation, _: ProcessOrder) {
        self.note("execute", key);
    }
    fn take_samples(&self, _: u64) -> Vec<(VmKey, Sample)> {
        Vec::new()
    }
    fn ended(&self, last: &Observation) -> Option<LiveVm> {
        self.note("ended", &last.key);
        None
    }
    fn figures(&self) -> Figures {
        Figures::default()
    }
    fn broken(&self) -> Option<String> {
        None
    }
}

fn key(vm: &str) -> VmKey {
    VmKey { user: "alice".parse().unwrap(), vm: vm.parse().unwrap() }
}

fn generation(index: u64) -> Generation {
    Generation { incarnation: 1, index }
}

fn desired(vm: &str, index: u64, state: DesiredState) -> Desired {
    let order = CellOrder {
        biological_type: "weisse2015".to_owned(),
        pack: None,
        vm_type: VmType::Basic,
        pool: None,
        engine: Engine::Ode,
        seed: 1,
        replicate: 0,
        parameters: BTreeMap::new(),
        allocation: CellAllocation { atp_millipercent: 100_000, ribosomes: 15, memory_kb: 1024 },
        schedule: Vec::new(),
        horizon_tick: None,
        horizon_generations: None,
        pace: Pace::Max,
        priority: 3,
        record: None,
        packages: Vec::new(),
    };
    Desired { state, order: Some(Arc::new(order)), ..Desired::absent(key(vm), generation(index)) }
}

fn observed(vm: &str, index: u64, state: ObservedState) -> Observation {
    let checkpoint = (state == ObservedState::Stopped).then(|| vec![1, 2, 3]);
    Observation { state, tick: 40, checkpoint, ..Observation::absent(key(vm), generation(index)) }
}

fn vms(max_vms: u64) -> (Arc<Noting>, Vms) {
    let backend = Arc::new(Noting::default());
    (Arc::clone(&backend), Vms::new(backend, max_vms))
}

/// The backend tells of a VM; what is passed on to the leader.
fn tell(backend: &Noting, vms: &mut Vms, observation: Observation) -> Vec<Observation> {
    backend.tells.lock().unwrap().push(observation);
    vms.observe()
}

#[test]
fn a_lower_generation_is_refused_also_after_the_vm_is_gone() {
    let (backend, mut vms) = vms(4);
    assert_eq!(vms.desire(desired("c1", 5, DesiredState::Running)), None);
    assert_eq!(backend.asked(), ["place c1"]);
    for state in [DesiredState::Running, DesiredState::Stopped, DesiredState::Absent] {
        assert_eq!(vms.desire(desired("c1", 4, state)), Some(Observation::absent(key("c1"), generation(4))));
    }
    vms.desire(desired("c1", 5, DesiredState::Absent));
    assert_eq!(backend.asked(), ["forget c1"]);
    for index in [4, 5] {
        let told = vms.desire(desired("c1", index, DesiredState::Running));
        assert_eq!(told, Some(Observation::absent(key("c1"), generation(index))));
    }
    assert!(backend.asked().is_empty(), "a generation that is gone was placed again");
    vms.desire(desired("c1", 6, DesiredState::Running));
    assert_eq!(backend.asked(), ["place c1"]);
}

#[test]
fn a_higher_generation_replaces_a_lower_one() {
    let (backend, mut vms) = vms(1);
    vms.desire(desired("c1", 5, DesiredState::Running));
    vms.desire(desired("c1", 6, DesiredState::Running));
    assert_eq!(backend.asked(), ["place c1", "forget c1", "place c1"]);
    let late = tell(&backend, &mut vms, observed("c1", 5, ObservedState::Running));
    assert!(late.is_empty(), "the lower generation was still told of");
    assert_eq!(tell(&backend, &mut vms, observed("c1", 6, ObservedState::Running)).len(), 1);
    assert!(vms.query(&key("c1"), generation(5), QueryExtra::Nothing).is_none());
}

#[test]
fn a_vm_that_ended_is_queried_by_its_last_observation_until_it_is_forgotten() {
    let (backend, mut vms) = vms(1);
    vms.desire(desired("c1", 5, DesiredState::Running));
    tell(&backend, &mut vms, observed("c1", 5, ObservedState::Completed));
    vms.query(&key("c1"), generation(5), QueryExtra::Nothing);
    vms.query(&key("c1"), generation(4), QueryExtra::Nothing);
    vms.desire(desired("c1", 5, DesiredState::Absent));
    vms.query(&key("c1"), generation(5), QueryExtra::Nothing);
    assert_eq!(backend.asked(), ["place c1", "ended c1", "forget c1"]);
}

#[test]
fn repeats_adjust_and_place_nothing_twice() {
    let (backend, mut vms) = vms(4);
    for _ in 0..3 {
        vms.desire(desired("c1", 5, DesiredState::Running));
    }
    assert_eq!(backend.asked(), ["place c1", "adjust c1", "adjust c1"]);
    for _ in 0..2 {
        assert!(vms.desire(desired("c1", 5, DesiredState::Absent)).is_some());
    }
    assert_eq!(backend.asked(), ["forget c1"]);
}

#[test]
fn a_stopped_vm_stays_with_its_checkpoint_until_it_is_desired_absent() {
    let (backend, mut vms) = vms(1);
    vms.desire(desired("c1", 5, DesiredState::Running));
    let stopped = observed("c1", 5, ObservedState::Stopped);
    assert_eq!(tell(&backend, &mut vms, stopped.clone()), std::slice::from_ref(&stopped));
    for state in [DesiredState::Stopped, DesiredState::Running] {
        assert_eq!(vms.desire(desired("c1", 5, state)), Some(stopped.clone()));
    }
    assert_eq!(vms.inventory().collect::<Vec<_>>(), [&stopped]);
    assert_eq!(
        vms.digest(),
        inventory_digest([(&key("c1"), generation(5), stopped.state, 0, AtpWatch::default())].into_iter())
    );
    assert_eq!(vms.live(), 0);
    vms.desire(desired("c1", 5, DesiredState::Absent));
    assert_eq!((vms.inventory().count(), vms.digest()), (0, 0));
}

#[test]
fn a_vm_is_in_the_inventory_once_its_cell_is_made() {
    let (backend, mut vms) = vms(4);
    vms.desire(desired("c1", 5, DesiredState::Running));
    assert_eq!((vms.inventory().count(), vms.digest(), vms.live()), (0, 0, 1));
    tell(&backend, &mut vms, observed("c1", 5, ObservedState::Running));
    assert_eq!(vms.inventory().count(), 1);
    assert_ne!(vms.digest(), 0);
}

#[test]
fn more_vms_than_the_worker_holds_fail_with_the_reason() {
    let (backend, mut vms) = vms(1);
    vms.desire(desired("c1", 5, DesiredState::Running));
    let told = vms.desire(desired("c2", 6, DesiredState::Running)).unwrap();
    assert_eq!(told.state, ObservedState::Failed);
    assert!(told.reason.unwrap().contains("max_vms of 1"));
    assert_eq!(backend.asked(), ["place c1"]);
    // Once there is room, the next generation is welcome.
    vms.desire(desired("c1", 5, DesiredState::Absent));
    assert_eq!(vms.desire(desired("c2", 7, DesiredState::Running)), None);
}

#[test]
fn without_an_order_there_is_nothing_to_make() {
    let (backend, mut vms) = vms(1);
    let without = Desired { order: None, ..desired("c1", 5, DesiredState::Running) };
    assert_eq!(vms.desire(without), Some(Observation::absent(key("c1"), generation(5))));
    assert_eq!(
        vms.desire(desired("c1", 5, DesiredState::Running)),
        Some(Observation::absent(key("c1"), generation(5)))
    );
    assert_eq!(
        vms.desire(desired("c1", 6, DesiredState::Stopped)),
        Some(Observation::absent(key("c1"), generation(6)))
    );
    assert_eq!(vms.desire(desired("c1", 7, DesiredState::Running)), None);
    assert_eq!(backend.asked(), ["place c1"]);
}

#[test]
fn an_order_that_comes_after_a_later_one_to_stop_brings_nothing() {
    let (backend, mut vms) = vms(1);
    let gone = Some(Observation::absent(key("c1"), generation(5)));
    assert_eq!(vms.desire(desired("c1", 5, DesiredState::Stopped)), gone);
    assert_eq!(vms.desire(desired("c1", 5, DesiredState::Running)), gone);
    assert!(backend.asked().is_empty(), "the leader has given its reservation back");
}

#[test]
fn what_stands_still_is_in_no_inventory_until_its_level_is_told_again() {
    let (backend, mut vms) = vms(4);
    for vm in ["c1", "c2"] {
        vms.desire(desired(vm, 5, DesiredState::Running));
        tell(&backend, &mut vms, observed(vm, 5, ObservedState::Running));
    }
    backend.asked();
    vms.stand_still();
    assert_eq!(backend.asked(), ["freeze"]);
    assert_eq!((vms.inventory().count(), vms.digest()), (0, 0));
    assert_eq!(vms.unconfirmed().count(), 2);
    assert_eq!(vms.desire(desired("c1", 5, DesiredState::Running)), None);
    assert_eq!(backend.asked(), ["adjust c1"]);
    assert_eq!(vms.inventory().count(), 1);
    assert!(vms.unconfirmed().eq([(key("c2"), generation(5))]));
    // Another worker's by now.
    assert!(vms.desire(desired("c2", 5, DesiredState::Absent)).is_some());
    assert_eq!(vms.unconfirmed().count(), 0);
}

/// A VM that runs, in generation 5, at a backend that takes its time to end it.
fn slow_to_end() -> (Arc<Noting>, Vms) {
    let (backend, mut vms) = vms(1);
    vms.desire(desired("c1", 5, DesiredState::Running));
    tell(&backend, &mut vms, observed("c1", 5, ObservedState::Running));
    backend.ends.lock().unwrap().push((key("c1"), generation(5)));
    backend.asked();
    (backend, vms)
}

/// It is gone; what is then told.
fn gone(backend: &Noting, vms: &mut Vms) -> Vec<Observation> {
    backend.ends.lock().unwrap().clear();
    tell(backend, vms, Observation::absent(key("c1"), generation(5)))
}

#[test]
fn a_vm_whose_guest_still_ends_is_told_absent_once_it_is_gone() {
    let (backend, mut vms) = slow_to_end();
    let (inventory, digest): (Vec<_>, _) = (vms.inventory().cloned().collect(), vms.digest());
    for _ in 0..2 {
        assert_eq!(vms.desire(desired("c1", 5, DesiredState::Absent)), None, "told before it was gone");
        // As the leader has it: it need not ask for an inventory.
        assert_eq!((vms.inventory().cloned().collect(), vms.digest()), (inventory.clone(), digest));
    }
    assert_eq!((backend.asked(), vms.live()), (vec!["forget c1".to_owned()], 0));
    let late = tell(&backend, &mut vms, observed("c1", 5, ObservedState::Running));
    assert!(late.is_empty(), "a VM that ends was told of as running");
    assert_eq!(gone(&backend, &mut vms), [Observation::absent(key("c1"), generation(5))]);
    assert_eq!((vms.inventory().count(), vms.digest()), (0, 0));
    assert!(gone(&backend, &mut vms).is_empty(), "it was told twice");
    assert!(vms.desire(desired("c1", 5, DesiredState::Absent)).is_some(), "the report may have been lost");
}

#[test]
fn an_order_to_give_up_that_is_repeated_after_the_end_is_answered() {
    let (backend, mut vms) = slow_to_end();
    vms.desire(desired("c1", 5, DesiredState::Absent));
    backend.ends.lock().unwrap().clear();
    assert!(vms.desire(desired("c1", 5, DesiredState::Absent)).is_some());
    assert!(gone(&backend, &mut vms).is_empty());
}

#[test]
fn a_generation_that_is_nobodys_leaves_the_inventory_while_it_ends() {
    let (backend, mut vms) = slow_to_end();
    assert_eq!(vms.desire(Desired::absent(key("c1"), generation(5))), None);
    assert_eq!((vms.inventory().count(), vms.digest()), (0, 0));
    assert_eq!(gone(&backend, &mut vms).len(), 1);
}

#[test]
fn a_later_generation_is_given_up_when_the_one_before_is_gone() {
    let (backend, mut vms) = slow_to_end();
    assert_eq!(vms.desire(desired("c1", 6, DesiredState::Absent)), None);
    assert_eq!(vms.inventory().count(), 0, "of generation 6 nothing was ever here");
    assert_eq!(gone(&backend, &mut vms), [Observation::absent(key("c1"), generation(6))]);
}

#[test]
fn a_late_order_for_what_ends_brings_nothing_and_tells_nothing() {
    let (backend, mut vms) = slow_to_end();
    vms.desire(desired("c1", 5, DesiredState::Absent));
    for state in [DesiredState::Running, DesiredState::Stopped] {
        assert_eq!(vms.desire(desired("c1", 5, state)), None);
    }
    assert_eq!(backend.asked(), ["forget c1"]);
}

#[test]
fn a_vm_that_is_placed_anew_does_not_wait_for_the_end_of_its_former_guest() {
    let (backend, mut vms) = slow_to_end();
    vms.desire(desired("c1", 5, DesiredState::Absent));
    assert_eq!(vms.desire(desired("c1", 7, DesiredState::Running)), None);
    assert_eq!(backend.asked(), ["forget c1", "place c1"]);
    assert!(gone(&backend, &mut vms).is_empty(), "the end of generation 5 was told as that of 7");
    assert_eq!(vms.live(), 1);
}
