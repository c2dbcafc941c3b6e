//! What a guest says is taken only where it can be: the true outcome is, and each lie is refused in words.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bioxen_guest::agent::{Answer, QuantumOrder, QuantumOutcome, Reply, Request, Work};
use bioxen_guest::quantum::{Assignment, Failure, Origin};
use bioxen_guest::{Checkpoint, Failure as JobFailure, Outcome, Rows, Spent, decode, encode};
use bioxen_hypervisor::trace::Trace;
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::{Engine, VmType};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::quantity::Pace;
use bioxen_protocol::worker::{
    CellAllocation, CellOrder, Desired, DesiredState, NumberedChange, RecordOrder,
};

const ALLOCATION: CellAllocation = CellAllocation { atp_millipercent: 70_000, ribosomes: 9, memory_kb: 64 };

fn origin(chassis: &str) -> Origin {
    let order = CellOrder {
        biological_type: chassis.to_owned(),
        pack: None,
        vm_type: VmType::Xcpng,
        pool: None,
        engine: Engine::Ode,
        seed: 1,
        replicate: 0,
        parameters: BTreeMap::new(),
        allocation: ALLOCATION,
        schedule: Vec::new(),
        horizon_tick: None,
        horizon_generations: None,
        pace: Pace::Max,
        priority: 3,
        record: Some(RecordOrder { variables: vec!["atp".to_owned(), "r".to_owned()], every_ticks: 7 }),
        packages: Vec::new(),
    };
    let key = VmKey { user: "alice".parse().expect("a user"), vm: "c1".parse().expect("a VM") };
    let generation = Generation { incarnation: 1, index: 7 };
    let desired = Desired { order: Some(Arc::new(order)), ..Desired::absent(key, generation) };
    Origin::Order(Arc::new(Desired { state: DesiredState::Running, ..desired }))
}

fn change(ordinal: u64, memory_kb: u64, tick: Option<u64>) -> NumberedChange {
    let allocation = CellAllocation { atp_millipercent: 40_000, ribosomes: 8, memory_kb };
    NumberedChange { ordinal, allocation, tick, package: None }
}

fn assignment(origin: Origin, target_tick: u64) -> Assignment {
    Assignment {
        origin,
        changes: vec![change(1, 65, Some(20)), change(2, 66, None), change(3, 67, Some(90))].into(),
        target_tick,
        floor_tick: 30,
        horizon_tick: Some(100),
        horizon_generations: None,
        desired: DesiredState::Running,
        recording: None,
        memory_kb: 64,
        atp: AtpWatch::default(),
        watch_from_tick: 0,
        time: Duration::from_secs(3600),
    }
}

/// A quantum from an order to tick 50, and what it truly came to.
fn quantum() -> (Assignment, QuantumOutcome) {
    let assignment = assignment(origin("weisse2015"), 50);
    let outcome = QuantumOrder::of(&assignment).run().expect("it runs");
    (assignment, outcome)
}

#[test]
fn the_true_outcome_is_taken_whole() {
    let (first, outcome) = quantum();
    let local = first.clone().run().expect("it runs");
    let taken = outcome.into_outcome(&first).expect("it is true");
    assert_eq!(QuantumOutcome::of(&taken), QuantumOutcome::of(&local));
    assert_eq!((taken.from_tick, taken.cell.tick(), &taken.applied_ticks[..]), (0, 50, &[20, 30][..]));
    assert_eq!((taken.memory_kb, local.memory_kb, taken.checkpoint, taken.summary), (66, 66, None, None));

    // From the cell on, to the horizon: there the checkpoint and the metrics are the worker's own.
    let recording = taken.recorded.map(|recorded| recorded.recording);
    let mut next = Assignment { recording, ..assignment(Origin::Cell(taken.cell), 500) };
    next.changes.drain(..2);
    let local = next.clone().run().expect("it runs");
    let taken = QuantumOrder::of(&next).run().expect("it runs").into_outcome(&next).expect("it is true");
    assert_eq!(QuantumOutcome::of(&taken), QuantumOutcome::of(&local));
    assert_eq!((taken.from_tick, taken.cell.tick(), taken.memory_kb), (50, 100, 67));
    assert!(taken.checkpoint.is_some() && taken.summary.is_some());
    assert_eq!((taken.checkpoint, taken.summary), (local.checkpoint, local.summary));
}

#[test]
fn what_no_longer_fits_the_vm_s_memory_is_told_as_here() {
    let mut small = assignment(origin("weisse2015"), 100);
    (small.memory_kb, small.changes) = (0, Vec::new().into());
    let outcome = QuantumOrder::of(&small).run().expect("it runs");
    assert!(outcome.recorded.as_ref().expect("rows").is_full);
    let taken = outcome.clone().into_outcome(&small).expect("it is true");
    assert_eq!((taken.cell.tick(), taken.recorded.map(|recorded| recorded.is_full)), (7, Some(true)));
    let mut lie = outcome;
    lie.recorded.as_mut().expect("rows").is_full = false;
    assert!(matches!(lie.into_outcome(&small), Err(Failure::Guest { .. })));
}

#[test]
fn lies_are_refused_in_words() {
    let (assignment, truth) = quantum();
    let beyond = {
        let further = Assignment { target_tick: 60, ..assignment.clone() };
        QuantumOrder::of(&further).run().expect("it runs")
    };
    let other = Assignment { origin: origin("ecoli"), ..assignment.clone() };
    let other = QuantumOrder::of(&other).run().expect("it runs");
    let rows = |edit: &dyn Fn(&mut Trace)| {
        let mut lie = truth.clone();
        let recorded = lie.recorded.as_mut().expect("rows");
        let mut trace = Trace::decode(&recorded.rows.0).expect("a trace");
        edit(&mut trace);
        recorded.rows = Rows(trace.encode());
        lie
    };
    let ticks =
        |applied_ticks: &[u64]| QuantumOutcome { applied_ticks: applied_ticks.to_vec(), ..truth.clone() };
    let energy = |crossings, tick| {
        let atp = AtpWatch { is_low: true, crossings, tick, level_permille: 1 };
        QuantumOutcome { atp, ..truth.clone() }
    };
    let mut damaged = truth.clone();
    damaged.cell.0[100] ^= 1;
    let lies = [
        (damaged, "its cell: "),
        (QuantumOutcome { cell: Checkpoint(Vec::new()), ..truth.clone() }, "its cell: "),
        (beyond, "stands at tick 60; it was to go from 0 to 50"),
        (other, "its cell is a ecoli"),
        (ticks(&[20, 30, 40]), "took effect at ticks [20, 30, 40]"),
        (ticks(&[20]), "took effect at ticks [20]"),
        (ticks(&[20, 31]), "took effect at ticks [20, 31]"),
        (QuantumOutcome { recorded: None, ..truth.clone() }, "is missing"),
        (rows(&|trace| trace.push(&[1.0, 1.0])), "9 rows from tick 0; up to tick 50 there are 8"),
        (rows(&|trace| trace.first_tick = 7), "8 rows from tick 7"),
        (rows(&|trace| trace.names[0] = "q".to_owned()), "8 rows"),
        (rows(&|trace| trace.every_ticks = 1), "8 rows"),
        (energy(1, 51), "the last at tick 51"),
    ];
    for (lie, words) in lies {
        let refused = lie.into_outcome(&assignment).expect_err(words);
        assert!(matches!(refused, Failure::Guest { .. }), "{refused:?}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let low_before = AtpWatch { crossings: 2, ..AtpWatch::default() };
    let forgetful = Assignment { atp: low_before, ..assignment.clone() };
    let refused = energy(1, 10).into_outcome(&forgetful).expect_err("it forgot");
    assert!(refused.to_string().contains("2 times already"), "{refused}");
    truth.into_outcome(&assignment).expect("the truth is still taken");
}

#[test]
fn a_cell_from_before_the_quantum_is_refused() {
    let (first, outcome) = quantum();
    let early = outcome.clone();
    let taken = outcome.into_outcome(&first).expect("it is true");
    let mut next = assignment(Origin::Cell(taken.cell), 80);
    let later = QuantumOrder::of(&next).run();
    assert!(matches!(later, Err(Failure::Past { ordinal: 1, .. })), "{later:?}");
    next.changes.clear();
    let later = QuantumOrder::of(&next).run().expect("it runs").into_outcome(&next).expect("it is true");
    next.origin = Origin::Cell(later.cell);
    let refused = early.into_outcome(&next).expect_err("it is early").to_string();
    assert!(refused.contains("stands at tick 50; it was to go from 80 to 80"), "{refused}");
}

#[test]
fn a_reply_to_something_else_is_no_outcome() {
    let (assignment, outcome) = quantum();
    let job = Outcome { id: 5, spent: Spent::default(), result: Err(JobFailure::Fuel { limit: 1 }) };
    let quantum = |id| Reply { id, what: Ok(Answer::Quantum(Box::new(outcome.clone()))) };
    let of_job = |id| Reply { id, what: Ok(Answer::Job(Box::new(job.clone()))) };
    assert!(quantum(3).into_quantum(3, &assignment).is_ok());
    assert!(matches!(quantum(2).into_quantum(3, &assignment), Err(Failure::Guest { .. })));
    assert!(matches!(of_job(3).into_quantum(3, &assignment), Err(Failure::Guest { .. })));
    assert_eq!(of_job(3).into_job(3, 5).expect("the job's"), job);
    for wrong in [of_job(3).into_job(3, 6), of_job(2).into_job(3, 5), quantum(3).into_job(3, 5)] {
        assert!(matches!(wrong, Err(Failure::Guest { .. })), "{wrong:?}");
    }
    let told = Reply { id: 3, what: Err("the model has no finite solution".to_owned()) };
    let failure = told.into_quantum(3, &assignment).expect_err("it failed");
    assert_eq!(failure.to_string(), "the model has no finite solution");
}

#[test]
fn requests_and_replies_come_back_as_they_were_and_cells_travel_as_bytes() {
    let (assignment, outcome) = quantum();
    let taken = outcome.clone().into_outcome(&assignment).expect("it is true");
    let bytes = taken.cell.checkpoint().len();
    let next = Assignment { origin: Origin::Cell(taken.cell), changes: Vec::new().into(), ..assignment };
    let request = Request { id: 1, what: Work::Quantum(Box::new(QuantumOrder::of(&next))) };
    let frame = encode(&request).expect("it encodes");
    assert!(frame.len() < bytes + 400, "{} bytes for a cell of {bytes}", frame.len());
    assert_eq!(decode::<Request>(&frame[4..]).expect("it decodes"), request);
    let reply = Reply { id: 1, what: Ok(Answer::Quantum(Box::new(outcome))) };
    let frame = encode(&reply).expect("it encodes");
    assert_eq!(decode::<Reply>(&frame[4..]).expect("it decodes"), reply);
}
