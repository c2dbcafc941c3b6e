//! The backend with real cells: the same bits however they are run, and commits under the lease alone.

mod quanta;
mod watching;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bioxen_hypervisor::{Allocation, Cell, CellSpec, Change, ChassisName, RibosomeCap};
use bioxen_protocol::command::{Engine, VmType};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::quantity::Pace;
use bioxen_protocol::worker::{
    CellAllocation, CellOrder, Desired, DesiredState, NumberedChange, Observation, ObservedState, QueryExtra,
};
use tokio::time::timeout;

use super::pool::Pool;
use super::{Backend, Cells};
use crate::backend::basic;

const DEADLINE: Duration = Duration::from_secs(60);
const QUANTUM: Duration = Duration::from_millis(2);
const FOR_EVER: Duration = Duration::from_secs(1 << 33);
const S: u64 = 1_000_000_000;

fn key(vm: &str) -> VmKey {
    VmKey { user: "alice".parse().unwrap(), vm: vm.parse().unwrap() }
}

fn allocation(atp_percent: u64, ribosomes: u64) -> CellAllocation {
    CellAllocation { atp_millipercent: atp_percent * 1000, ribosomes, memory_kb: 1024 }
}

fn desired(vm: &str, pace: Pace, horizon_tick: Option<u64>) -> Desired {
    let order = CellOrder {
        biological_type: "weisse2015".to_owned(),
        pack: None,
        vm_type: VmType::Basic,
        pool: None,
        engine: Engine::Ode,
        seed: 1,
        replicate: 0,
        parameters: BTreeMap::from([("s0".to_owned(), 500.0)]),
        allocation: allocation(70, 9),
        schedule: Vec::new(),
        horizon_tick,
        horizon_generations: None,
        pace,
        priority: 3,
        record: None,
        packages: Vec::new(),
    };
    Desired {
        state: DesiredState::Running,
        order: Some(Arc::new(order)),
        horizon_tick,
        ..Desired::absent(key(vm), Generation { incarnation: 1, index: 7 })
    }
}

fn change(ordinal: u64, atp_percent: u64, tick: Option<u64>) -> NumberedChange {
    NumberedChange { ordinal, allocation: allocation(atp_percent, 12), tick, package: None }
}

/// The same cell without any worker.
fn alone(horizon_tick: u64, changes: &[NumberedChange]) -> Cell {
    let mut spec = CellSpec::unlimited(ChassisName::Weisse2015);
    spec.parameters.insert("s0".to_owned(), 500.0);
    spec.allocation = Allocation { atp_milli_percent: 70_000, ribosomes: RibosomeCap::Units(9) };
    let mut cell = Cell::new(&spec).unwrap();
    for change in changes {
        cell.advance_to(change.tick.unwrap()).unwrap();
        let atp = u32::try_from(change.allocation.atp_millipercent).unwrap();
        let ribosomes = Some(RibosomeCap::Units(12));
        let tick = cell.tick();
        cell.apply(&Change { tick, atp_milli_percent: Some(atp), ribosomes, ..Change::default() }).unwrap();
    }
    cell.advance_to(horizon_tick).unwrap();
    cell
}

/// A backend whose lease stands, and what it told.
struct Told {
    backend: Cells,
    last: BTreeMap<VmKey, Observation>,
}

impl Told {
    fn with_threads(threads: usize) -> Self {
        let backend = basic::start(threads, QUANTUM, None).unwrap();
        backend.lease(FOR_EVER);
        Self { backend, last: BTreeMap::new() }
    }

    /// Waits until what was told of a VM is as wanted.
    async fn until(&mut self, vm: &str, wanted: impl Fn(&Observation) -> bool) -> Observation {
        let key = key(vm);
        let wait = async {
            loop {
                if let Some(observation) = self.last.get(&key).filter(|told| wanted(told)) {
                    return observation.clone();
                }
                self.backend.changed().notified().await;
                for observation in self.backend.observe() {
                    self.last.insert(observation.key.clone(), observation);
                }
            }
        };
        timeout(DEADLINE, wait).await.expect("the observation waited for did not come")
    }

    async fn until_state(&mut self, vm: &str, state: ObservedState) -> Observation {
        self.until(vm, |told| told.state == state).await
    }
}

#[tokio::test]
async fn a_trajectory_has_the_same_bits_on_any_threads_among_others_and_at_any_pace() {
    const HORIZON_TICK: u64 = 400;
    let expected = alone(HORIZON_TICK, &[]).checkpoint();
    // A tick a quantum at pace 3,000: a tick is then 2 ms, as a quantum is.
    for (threads, others, pace) in
        [(1, 0, Pace::Max), (4, 100, Pace::Max), (1, 100, Pace::Ratio(3000.0)), (4, 0, Pace::Ratio(1e6))]
    {
        let mut told = Told::with_threads(threads);
        for other in 0..others {
            let pace = if other % 2 == 0 { Pace::Max } else { Pace::Ratio(600.0) };
            told.backend.place(desired(&format!("other-{other}"), pace, None));
        }
        told.backend.place(desired("c1", pace, Some(HORIZON_TICK)));
        let completed = told.until_state("c1", ObservedState::Completed).await;
        assert_eq!(completed.tick, HORIZON_TICK);
        assert_eq!(completed.checkpoint.as_ref(), Some(&expected), "{threads} threads, {pace:?}");
        for other in 0..others {
            told.until_state(&format!("other-{other}"), ObservedState::Running).await;
        }
    }
}

#[tokio::test]
async fn without_a_horizon_max_runs_on() {
    let mut told = Told::with_threads(1);
    let running = desired("c1", Pace::Max, None);
    told.backend.place(running.clone());
    told.until_state("c1", ObservedState::Running).await;
    let mut changes = Vec::new();
    for ordinal in 1..=3 {
        changes.push(change(ordinal, 10 * ordinal, None));
        told.backend.adjust(&Desired { changes: changes.clone(), ..running.clone() });
        let changed = told.until("c1", |told| told.applied == ordinal).await;
        assert_eq!(changed.state, ObservedState::Running);
    }
}

#[tokio::test]
async fn pauses_change_no_bit() {
    const HORIZON_TICK: u64 = 200_000;
    let mut told = Told::with_threads(2);
    // Seconds, within which it has to be paused five times, on a busy machine too.
    let running = desired("c1", Pace::Ratio(3e5), Some(HORIZON_TICK));
    told.backend.place(running.clone());
    for _ in 0..5 {
        told.backend.adjust(&Desired { state: DesiredState::Paused, ..running.clone() });
        let paused = told.until_state("c1", ObservedState::Paused).await;
        let live = told.backend.query(&key("c1"), QueryExtra::Nothing).unwrap();
        assert_eq!((live.state, live.tick), (ObservedState::Paused, paused.tick));
        told.backend.adjust(&running);
        told.until_state("c1", ObservedState::Running).await;
    }
    let completed = told.until_state("c1", ObservedState::Completed).await;
    let expected = alone(HORIZON_TICK, &[]);
    assert_eq!(completed.checkpoint, Some(expected.checkpoint()));
    let metrics = Cell::restore(&completed.checkpoint.unwrap()).unwrap().metrics();
    assert_eq!(metrics, expected.metrics());
}

#[tokio::test]
async fn changes_take_effect_at_a_told_grid_point_and_are_made_good_elsewhere_at_the_same() {
    const HORIZON_TICK: u64 = 100_000;
    let mut told = Told::with_threads(2);
    let running = desired("c1", Pace::Ratio(1e5), Some(HORIZON_TICK));
    told.backend.place(running.clone());
    let mut changes = Vec::new();
    for (ordinal, atp_percent) in [(1, 40), (2, 90), (3, 20)] {
        changes.push(change(ordinal, atp_percent, None));
        told.backend.adjust(&Desired { changes: changes.clone(), ..running.clone() });
        let observation = told.until("c1", |told| told.applied == ordinal).await;
        assert_eq!(observation.applied_at.len(), 1, "{observation:?}");
        let (told_ordinal, tick) = observation.applied_at[0];
        assert_eq!(told_ordinal, ordinal);
        changes.last_mut().unwrap().tick = Some(tick);
        told.backend.adjust(&Desired { changes: changes.clone(), ..running.clone() });
        told.until("c1", |told| told.applied_at.is_empty()).await;
    }
    let completed = told.until_state("c1", ObservedState::Completed).await;
    assert_eq!(completed.checkpoint, Some(alone(HORIZON_TICK, &changes).checkpoint()));

    // Elsewhere: from the order, and from a checkpoint after the first change.
    let first = changes[0].tick.unwrap();
    let restart = Desired {
        checkpoint: Some(alone(first, &changes[..1]).checkpoint()),
        checkpoint_applied: 1,
        changes: changes.clone(),
        ..desired("c3", Pace::Max, Some(HORIZON_TICK))
    };
    let mut elsewhere = Told::with_threads(1);
    let anew = Desired { changes, ..desired("c2", Pace::Max, Some(HORIZON_TICK)) };
    elsewhere.backend.place(anew);
    elsewhere.backend.place(restart);
    for vm in ["c2", "c3"] {
        let replayed = elsewhere.until_state(vm, ObservedState::Completed).await;
        assert_eq!((replayed.checkpoint, replayed.applied), (completed.checkpoint.clone(), 3));
        assert!(replayed.applied_at.is_empty(), "a past change was told as new");
    }
}

#[tokio::test]
async fn a_leader_that_carries_many_changes_is_given_a_checkpoint_that_contains_them() {
    let mut told = Told::with_threads(1);
    let paused = Desired { state: DesiredState::Paused, ..desired("c1", Pace::Ratio(60.0), None) };
    told.backend.place(paused.clone());
    told.until_state("c1", ObservedState::Paused).await;
    let asked: Vec<_> = (1..=20).map(|ordinal| change(ordinal, 20 + ordinal, None)).collect();
    told.backend.adjust(&Desired { changes: asked, ..paused.clone() });
    let relieved = told.until("c1", |told| told.applied == 20 && told.checkpoint.is_some()).await;
    let past: Vec<_> = (1..=20).map(|ordinal| change(ordinal, 20 + ordinal, Some(0))).collect();
    assert_eq!(relieved.checkpoint, Some(alone(0, &past).checkpoint()));
    let checkpoint_applied = 20;
    let carried = Desired { checkpoint: relieved.checkpoint, checkpoint_applied, ..paused };
    told.backend.adjust(&carried);
    told.until("c1", |told| told.checkpoint.is_none() && told.applied_at.is_empty()).await;
}

#[tokio::test]
async fn a_change_reaches_a_paused_vm_and_a_stop_comes_after_the_changes_before_it() {
    let mut told = Told::with_threads(1);
    let paused = Desired { state: DesiredState::Paused, ..desired("c1", Pace::Ratio(60.0), None) };
    told.backend.place(paused.clone());
    told.until_state("c1", ObservedState::Paused).await;
    let changes = vec![change(1, 40, None)];
    told.backend.adjust(&Desired { changes: changes.clone(), ..paused.clone() });
    let changed = told.until("c1", |told| told.applied == 1).await;
    assert_eq!((changed.state, changed.applied_at), (ObservedState::Paused, vec![(1, 0)]));
    let changes = vec![change(1, 40, Some(0)), change(2, 30, None)];
    told.backend.adjust(&Desired { state: DesiredState::Stopped, changes, ..paused });
    let stopped = told.until_state("c1", ObservedState::Stopped).await;
    assert_eq!((stopped.applied, stopped.applied_at), (2, vec![(2, 0)]));
    let expected = alone(0, &[change(1, 40, Some(0)), change(2, 30, Some(0))]);
    assert_eq!(stopped.checkpoint, Some(expected.checkpoint()));
    assert!(told.backend.query(&key("c1"), QueryExtra::Nothing).is_none(), "a stopped cell was still held");
}

#[tokio::test]
async fn a_stochastic_order_completes_with_the_bits_of_its_seed() {
    let (mut told, mut noisy) = (Told::with_threads(1), desired("noisy", Pace::Max, Some(300)));
    Arc::make_mut(noisy.order.as_mut().unwrap()).engine = Engine::Stochastic;
    let mut alone = bioxen_guest::quantum::order::cell(&noisy).unwrap();
    told.backend.place(noisy);
    let seen = told.until_state("noisy", ObservedState::Completed).await;
    assert_eq!(seen.checkpoint, alone.advance_to(seen.tick).ok().map(|()| alone.checkpoint()));
}

#[tokio::test]
async fn bad_orders_fail_with_the_reason() {
    let mut told = Told::with_threads(1);
    let with = |vm: &str, edit: &dyn Fn(&mut CellOrder)| {
        let mut desired = desired(vm, Pace::Max, Some(10));
        edit(Arc::make_mut(desired.order.as_mut().unwrap()));
        desired
    };
    told.backend.place(with("chassis", &|order| order.biological_type = "yeast".to_owned()));
    told.backend.place(with("parameter", &|order| {
        order.parameters.insert("nonsense".to_owned(), 1.0);
    }));
    told.backend.place(with("units", &|order| order.allocation.ribosomes = 1_000));
    told.backend.place(Desired { checkpoint: Some(vec![1, 2, 3]), ..desired("checkpoint", Pace::Max, None) });
    let late = vec![change(1, 50, Some(3))];
    let beyond = alone(5, &[]).checkpoint();
    told.backend.place(Desired {
        checkpoint: Some(beyond),
        changes: late,
        ..desired("late", Pace::Max, None)
    });
    for (vm, reason) in [
        ("chassis", "there is no chassis \"yeast\""),
        ("parameter", "there is no parameter \"nonsense\""),
        ("units", "1000 ribosome units are too many"),
        ("checkpoint", "checkpoint"),
        ("late", "has to be placed anew"),
    ] {
        let failed = told.until_state(vm, ObservedState::Failed).await;
        assert!(failed.reason.as_ref().unwrap().contains(reason), "{vm}: {failed:?}");
    }
}

#[tokio::test]
async fn a_panic_of_a_simulation_thread_breaks_the_backend() {
    let backend = basic::start(1, QUANTUM, None).unwrap();
    let shared = Arc::clone(&backend.shared);
    let panics = std::thread::spawn(move || {
        let _watch = super::shared::Watch(&shared);
        panic!("a panic made by a test");
    });
    assert!(panics.join().is_err());
    timeout(DEADLINE, backend.changed().notified()).await.unwrap();
    assert!(backend.broken().unwrap().contains("panicked"));
}

/// Not a test of behaviour: shows what a thousand VMs cost. Run it alone, in release, with `--ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn what_a_thousand_vms_at_pace_60_cost() {
    let resident_kb = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let mut told = Told::with_threads(2);
    let before_kb = resident_kb();
    for vm in 0..1000 {
        told.backend.place(desired(&format!("c{vm}"), Pace::Ratio(60.0), None));
    }
    for vm in 0..1000 {
        told.until_state(&format!("c{vm}"), ObservedState::Running).await;
    }
    for seconds in [0, 5, 10] {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let figures = told.backend.figures();
        println!("{seconds} s: {figures:?}; {} KiB a VM", (resident_kb() - before_kb) / 1000);
    }
    let live = told.backend.query(&key("c1"), QueryExtra::Nothing).unwrap();
    println!("{live:?}");
    let vm_bytes = size_of::<super::vm::Vm>() + size_of::<Cell>();
    println!("{vm_bytes} bytes of record and cell");
}
