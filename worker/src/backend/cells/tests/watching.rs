//! What is watched in a cell: its energy, on a grid of its own; and the minute of a scheduled call.

use std::sync::Arc;

use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::quantity::Pace;
use bioxen_protocol::worker::{CellAllocation, Desired, ObservedState, OrderedChange, ProcessOrder};

use super::super::Backend;
use super::{Told, allocation, desired, key};

fn with_schedule(vm: &str, pace: Pace, schedule: Vec<OrderedChange>) -> Desired {
    let mut desired = desired(vm, pace, Some(400));
    let mut order = desired.order.as_deref().cloned().unwrap();
    order.schedule = schedule;
    desired.order = Some(Arc::new(order));
    desired
}

fn at(tick: u64, atp_percent: Option<u64>, call: Option<&str>) -> OrderedChange {
    let allocation = atp_percent.map(|atp| CellAllocation { ribosomes: 9, ..allocation(atp, 9) });
    OrderedChange { tick, parameters: [].into(), allocation, call: call.map(str::to_owned) }
}

#[tokio::test]
async fn low_energy_is_found_at_the_same_tick_at_any_pace_and_not_counted_again_after_a_restart() {
    let fed = || OrderedChange { parameters: [("s0".to_owned(), 1e5)].into(), ..at(150, Some(70), None) };
    let dips = || vec![at(103, Some(4), None), fed(), at(300, Some(4), None)];
    let mut found = Vec::new();
    for pace in [Pace::Max, Pace::Ratio(6000.0)] {
        let mut told = Told::with_threads(2);
        told.backend.place(with_schedule("c1", pace, dips()));
        let completed = told.until_state("c1", ObservedState::Completed).await;
        found.push(completed.atp);
        // What the journal knows of is not told again where the cell is computed anew.
        let again = Desired { atp: completed.atp, reached_tick: 400, ..with_schedule("c2", pace, dips()) };
        told.backend.place(again);
        assert_eq!(told.until_state("c2", ObservedState::Completed).await.atp, completed.atp);
    }
    assert_eq!(found[0], found[1]);
    let AtpWatch { is_low, crossings, tick, level_permille } = found[0];
    assert_eq!((is_low, crossings, tick), (true, 2, 310), "the first whole minute after it");
    assert!(level_permille < 200, "{level_permille}");
}

#[tokio::test]
async fn a_cell_stands_at_its_scheduled_call_until_the_leader_has_it_started_and_then_goes_on() {
    let mut told = Told::with_threads(2);
    let calls = || vec![at(50, None, Some("test_process()")), at(50, None, Some("test_process()"))];
    told.backend.place(with_schedule("c1", Pace::Max, calls()));
    for (call, number) in [(0, 1), (1, 2)] {
        let due = told.until("c1", |seen| seen.call_due == Some(call)).await;
        assert_eq!(due.tick, 50);
        let process = ProcessOrder {
            number,
            after: 0,
            code: "test_process()".to_owned(),
            timeout_ms: 1_000,
            reservation: allocation(70, 9),
            packages: Vec::new(),
            call: Some(call),
        };
        // Told twice, run once; this backend has no guests, so it fails and changes nothing.
        told.backend.execute(&key("c1"), due.generation, process.clone());
        told.backend.execute(&key("c1"), due.generation, process);
    }
    let completed = told.until_state("c1", ObservedState::Completed).await;
    assert_eq!((completed.tick, completed.applied), (400, 2));

    // Of calls that have ended elsewhere none is due again.
    told.backend.place(Desired { calls_done: 2, ..with_schedule("c2", Pace::Max, calls()) });
    assert_eq!(told.until_state("c2", ObservedState::Completed).await.call_due, None);
}
