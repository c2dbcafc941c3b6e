//! The agent as a worker has it: the real program over pipes. What it computes has the bytes of what is computed here, in
//! whatever pieces; code of users runs in its child; and it ends as it should.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bioxen_guest::agent::{Answer, QuantumOrder, Request, Work};
use bioxen_guest::quantum::{Assignment, Failure, Origin, Outcome};
use bioxen_guest::{Done, Failure as JobFailure, Job, Limits, Value, encode};
use bioxen_hypervisor::trace::recordable;
use bioxen_hypervisor::{Cell, ChassisName};
use bioxen_protocol::command::Engine;
use bioxen_protocol::pool::XcpngPool;
use bioxen_protocol::worker::{
    CellAllocation, CellOrder, Desired, DesiredState, NumberedChange, OrderedChange, RecordOrder,
};

use self::support::{Agent, assignment, children_of, desired, is_gone, job, job_on, until};

const EVERY_TICKS: u64 = 4;

/// Everything of an outcome that a worker takes over.
fn told(outcome: &Outcome) -> impl PartialEq + std::fmt::Debug {
    let recorded = outcome.recorded.as_ref().map(|recorded| (recorded.rows.encode(), recorded.is_full));
    (
        (outcome.cell.checkpoint(), outcome.from_tick, outcome.applied_ticks.clone(), outcome.atp),
        (outcome.checkpoint.clone(), outcome.summary.clone(), recorded, outcome.memory_kb),
    )
}

fn allocation(atp_percent: u64, memory_kb: u64) -> CellAllocation {
    CellAllocation { atp_millipercent: atp_percent * 1000, ribosomes: 9, memory_kb }
}

fn change(ordinal: u64, atp_percent: u64, tick: Option<u64>) -> NumberedChange {
    NumberedChange { ordinal, allocation: allocation(atp_percent, 2048), tick, package: None }
}

/// With a schedule and a recording.
fn eventful(order: &mut CellOrder) {
    let drug = OrderedChange {
        tick: 45,
        parameters: [("s0".to_owned(), 3000.0)].into(),
        allocation: Some(allocation(55, 1024)),
        call: None,
    };
    order.schedule = vec![drug];
    let variables = vec!["atp".to_owned(), "growth_rate_per_min".to_owned()];
    order.record = Some(RecordOrder { variables, every_ticks: EVERY_TICKS });
}

#[test]
fn quanta_in_a_guest_have_the_bytes_of_those_computed_here() {
    let mut agent = Agent::start();
    for (chassis, engine) in [
        ("syn3a", Engine::Ode),
        ("ecoli", Engine::Ode),
        ("ecoli", Engine::Stochastic),
        ("syn3a", Engine::Stochastic),
    ] {
        let desired = desired(chassis, engine, eventful);
        let (mut here, mut there) = (Origin::Order(Arc::clone(&desired)), Origin::Order(desired));
        let mut recording = None;
        // Made and told of; two changes, one at a known tick; the schedule's; to the horizon, which lies before the target.
        let changes =
            [vec![], vec![change(1, 40, Some(10)), change(2, 70, None)], vec![change(3, 30, None)], vec![]];
        for (target, changes) in [0, 37, 60, 500].into_iter().zip(changes) {
            let of = |origin: Origin| Assignment {
                changes: changes.clone().into(),
                horizon_tick: Some(80),
                recording: recording.clone(),
                floor_tick: 20,
                ..assignment(origin, target)
            };
            let local = of(here).run().expect("it runs here");
            let remote = agent.quantum(&of(there)).expect("it runs there");
            assert_eq!(told(&remote), told(&local), "{chassis} {engine:?} to tick {target}");
            assert_eq!(remote.cell.tick(), target.min(80));
            recording = remote.recorded.map(|recorded| recorded.recording);
            (here, there) = (Origin::Cell(local.cell), Origin::Cell(remote.cell));
        }
    }
}

#[test]
fn wherever_its_time_cuts_a_trajectory_the_bytes_are_the_same() {
    const TARGET: u64 = 4000;
    let mut agent = Agent::start();
    let order = desired("ecoli", Engine::Ode, |_| {});
    let whole = assignment(Origin::Order(Arc::clone(&order)), TARGET).run().expect("it runs here");
    let (mut origin, mut quanta) = (Origin::Order(order), 0);
    loop {
        let piece = Assignment { time: Duration::from_micros(200), ..assignment(origin, TARGET) };
        let outcome = agent.quantum(&piece).expect("it runs there");
        quanta += 1;
        let is_whole = outcome.cell.tick() == TARGET;
        assert!(quanta < 100_000, "it stands still at tick {}", outcome.cell.tick());
        origin = Origin::Cell(Arc::clone(&outcome.cell));
        if is_whole {
            assert_eq!(outcome.cell.checkpoint(), whole.cell.checkpoint(), "after {quanta} quanta");
            return;
        }
    }
}

#[test]
fn a_request_says_nothing_of_where_its_guest_is() {
    const POOL: &str = "a-pool-by-its-name";
    let on_pool = |order: &mut CellOrder| order.pool = Some(XcpngPool::Named(POOL.to_owned()));
    let assignment = assignment(Origin::Order(desired("syn3a", Engine::Ode, on_pool)), 10);
    let frame = encode(&QuantumOrder::of(&assignment)).expect("a frame");
    assert!(!frame.windows(POOL.len()).any(|bytes| bytes == POOL.as_bytes()), "the guest is told its pool");
}

#[test]
fn a_stop_and_a_restart_elsewhere_go_on_from_the_checkpoint_in_the_order() {
    let (mut agent, mut elsewhere) = (Agent::start(), Agent::start());
    let first = desired("syn3a", Engine::Ode, |_| {});
    let whole = assignment(Origin::Order(Arc::clone(&first)), 90).run().expect("it runs here");
    let stop =
        Assignment { desired: DesiredState::Stopped, ..assignment(Origin::Order(Arc::clone(&first)), 50) };
    let stopped = agent.quantum(&stop).expect("it runs there");
    let checkpoint = stopped.checkpoint.expect("it stops").expect("it is small");
    let again = Desired { checkpoint: Some(checkpoint), ..Desired::clone(&first) };
    let rest = elsewhere.quantum(&assignment(Origin::Order(Arc::new(again)), 90)).expect("it runs there");
    assert_eq!((rest.from_tick, rest.cell.checkpoint()), (50, whole.cell.checkpoint()));
}

#[test]
fn a_recording_larger_than_a_frame_comes_in_several_quanta() {
    const TARGET: u64 = 9_000;
    let mut agent = Agent::start();
    let record_all = |order: &mut CellOrder| {
        let variables = recordable().map(str::to_owned).collect();
        order.record = Some(RecordOrder { variables, every_ticks: 1 });
        order.allocation.memory_kb = 1 << 20;
    };
    let mut origin = Origin::Order(desired("weisse2015", Engine::Ode, record_all));
    let (mut recording, mut rows, mut quanta) = (None, 0, 0);
    loop {
        let next = Assignment { recording, memory_kb: 1 << 20, ..assignment(origin, TARGET) };
        let outcome = agent.quantum(&next).expect("it runs there");
        let recorded = outcome.recorded.expect("rows");
        (rows, quanta) = (rows + recorded.rows.rows() as u64, quanta + 1);
        if outcome.cell.tick() == TARGET {
            break;
        }
        (origin, recording) = (Origin::Cell(outcome.cell), Some(recorded.recording));
    }
    assert!(rows == TARGET + 1 && quanta > 1, "{rows} rows in {quanta} quanta");
}

#[test]
fn a_cell_that_cannot_go_on_is_told_in_the_words_of_here() {
    let mut agent = Agent::start();
    let cell =
        assignment(Origin::Order(desired("ecoli", Engine::Ode, |_| {})), 30).run().expect("it runs").cell;
    let late = || Assignment {
        changes: vec![change(1, 40, Some(10))].into(),
        ..assignment(Origin::Cell(Arc::clone(&cell)), 40)
    };
    let nonsense = || {
        assignment(
            Origin::Order(desired("ecoli", Engine::Ode, |order| order.biological_type = "yeast".into())),
            1,
        )
    };
    for (of, words) in
        [(&late as &dyn Fn() -> Assignment, "placed anew"), (&nonsense, "no chassis \"yeast\"")]
    {
        let here = of().run().expect_err("it cannot");
        let there = agent.quantum(&of()).expect_err("it cannot");
        assert!(matches!(there, Failure::Told { .. }), "{there:?}");
        assert_eq!(there.to_string(), here.to_string());
        assert!(here.to_string().contains(words), "{here}");
    }
    agent.quantum(&assignment(Origin::Cell(cell), 40)).expect("the next is answered");
}

#[test]
fn a_chassis_of_a_pack_is_computed_where_the_pack_is() {
    const NAME: &str = "exemplum";
    let packs = tempfile::tempdir().expect("a folder");
    let sheet = include_str!("../../hypervisor/packs/minimal_cell/pack.toml")
        .replace("\"minimal_cell\"\n", "\"exemplum\"\n");
    std::fs::create_dir(packs.path().join(NAME)).expect("a folder");
    std::fs::write(packs.path().join(NAME).join("pack.toml"), sheet).expect("a pack");
    bioxen_packs::load(packs.path()).expect("it is known here");
    let chassis: ChassisName = NAME.parse().expect("it is known here");

    let order = desired(NAME, Engine::Ode, |order| order.pack = chassis.digest().map(str::to_owned));
    let next = assignment(Origin::Order(order), 30);
    let mut agent = Agent::with_packs(Some(packs.path()));
    let local = next.clone().run().expect("it runs here");
    assert_eq!(told(&agent.quantum(&next).expect("it runs there")), told(&local));
    let done = agent.job(&job_on(chassis, 1, "return cell.time()")).result.expect("its child has it too");
    assert_eq!(done.value.as_f64(), Some(0.0));
    let without = Agent::start().quantum(&next).expect_err("it is not known there");
    assert!(without.to_string().contains("exemplum"), "{without}");
}

#[test]
fn process_code_runs_in_the_child_and_what_never_ends_is_ended() {
    let mut agent = Agent::start();
    let mut done = |job: Job| agent.job(&job).result;
    let value = |result: Result<Done, JobFailure>| result.expect("it works").value;
    let call = value(done(job(1, "start_transcription(['dnaA', 'dnaN'])")));
    assert!(matches!(&call, Value::List(genes) if genes.len() == 2), "{call:?}");
    let advanced = done(job(2, "cell.advance(2) return cell.time()")).expect("it works");
    let left = advanced.checkpoint.expect("the cell has changed");
    assert_eq!(Cell::restore(&left.0).expect("a cell").tick(), 20);
    let limits = Limits { fuel: u64::MAX, wall_ms: 300, ..Limits::DEFAULT };
    let endless = Job { limits, ..job(3, "while true do end") };
    assert_eq!(done(endless), Err(JobFailure::Wall { limit_ms: 300 }));
    assert!(matches!(done(job(4, "local none return none.field")), Err(JobFailure::Runtime { .. })));
    assert_eq!(value(done(job(5, "return 6 * 7"))).as_f64(), Some(42.0));
}

#[test]
fn a_child_that_is_lost_costs_one_job_and_is_replaced() {
    let mut agent = Agent::start();
    let children = children_of(agent.id());
    assert_eq!(children.len(), 1, "one child stands ready");
    support::kill(children[0]);
    let lost = agent.job(&job(1, "return 1")).result;
    assert!(matches!(lost, Err(JobFailure::Killed { .. })), "{lost:?}");
    assert_eq!(agent.job(&job(2, "return 2")).result.expect("it works").value.as_f64(), Some(2.0));
    let next = assignment(Origin::Order(desired("ecoli", Engine::Ode, |_| {})), 5);
    assert_eq!(agent.quantum(&next).expect("it runs").cell.tick(), 5);
}

#[test]
fn it_ends_with_its_input_and_its_child_with_it() {
    let mut agent = Agent::start();
    let children = children_of(agent.id());
    assert_eq!(agent.end(), (Some(0), String::new()));
    assert!(children.iter().all(|child| is_gone(*child)), "{children:?} outlived it");

    // Also in the middle of a job.
    let mut agent = Agent::start();
    let children = children_of(agent.id());
    let limits = Limits { fuel: u64::MAX, wall_ms: 20_000, ..Limits::DEFAULT };
    let endless = Job { limits, ..job(1, "while true do end") };
    agent.send(&Request { id: 1, what: Work::Job(Box::new(endless)) });
    agent.close_input();
    let Ok(Answer::Job(outcome)) = agent.reply().what else { panic!("a job's outcome") };
    assert!(matches!(outcome.result, Err(JobFailure::Killed { .. })), "{outcome:?}");
    assert_eq!(agent.end().0, Some(0));
    assert!(children.iter().all(|child| is_gone(*child)), "{children:?} outlived it");

    // And where it has no time to end anything.
    let agent = Agent::start();
    let children = children_of(agent.id());
    drop(agent);
    until("the child ends when its agent is killed", || children.iter().all(|child| is_gone(*child)));
}

#[test]
fn what_is_no_frame_ends_it_with_a_word() {
    let frame = |body: &[u8]| [&u32::try_from(body.len()).expect("short").to_be_bytes()[..], body].concat();
    for (bytes, words) in [
        (frame(&[0xc1; 5]), "does not decode"),
        (frame(b"\x81\xa2id\x01"), "does not decode"),
        (vec![0xff; 4], "longer than the 8388608 allowed"),
        (vec![0, 0, 0, 9, 1], "the pipe between"),
    ] {
        let mut agent = Agent::start();
        let children = children_of(agent.id());
        agent.send_bytes(&bytes);
        let (status, said) = agent.end();
        assert_eq!(status, Some(1), "{said}");
        assert!(said.starts_with("bioxen-guest: ") && said.contains(words), "{said}");
        assert!(children.iter().all(|child| is_gone(*child)), "{children:?} outlived it");
    }
}
