//! The fleet core, the count of leases and the workers' side of them in one process: a seeded scheduler, a model of the
//! bus, of the journal, of crashes, pauses and clocks, and an oracle that checks the invariants after every event.
//!
//! ```text
//!   Plan (seed, sizes, kinds of faults) --> World --step--> Oracle: I1-I5, I7, I8 after every event
//!                                             |
//!                                             '--calm--> does the fleet settle?
//! ```
//!
//! A run depends on its plan alone, so a failure is told as a plan, and made smaller by leaving things out. It must not
//! read a clock or draw from anything but the seed.
//!
//! What decides is the fleet's own code: the core, its rows, the count of leases, how a ledger joins the journal, what
//! became of an append, whether a batch continues the chain, and the worker's lease and VMs. What waits, asks and is told
//! around them is written a second time here, and can differ from what runs:
//!
//! | here | there |
//! |---|---|
//! | `coordinator/leading.rs`, `moving.rs` | `driver/`: what is taken, sealed and released, in which order |
//! | `coordinator/mod.rs`, `standing.rs` | `follow.rs`, `lead.rs`, `journal/append.rs`: when who asks what |
//! | `coordinator/joining.rs` | `recover.rs`, and the ledger's committer: what is on the disk of one that was killed |
//! | `worker.rs`, `worker/leaving.rs` | the worker's `agent`: which report follows which command |
//! | `cells.rs` | the worker's `backend/basic`: cells that count ticks in the place of cells that grow |
//! | `packed.rs` | packed checkpoints, without their slots |
//! | `journal.rs`, `bus.rs` | nats-server |
//!
//! There are no durable submissions, ensembles, process code, recordings, snapshots, and no projector.

mod bus;
mod cells;
mod coordinator;
mod journal;
mod message;
mod operators;
mod oracle;
mod packed;
pub mod plan;
mod random;
mod settled;
mod users;
mod worker;
mod world;

use std::time::Duration;

pub use plan::Plan;
use world::{Trial, World};

/// A fleet that nothing befalls any more settles in this time: the longest fault, and leases, leadership and retries
/// after it, with room to spare.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// Events between looks at whether it has.
const LOOK_EVERY: usize = 200;

/// What a run without a violation came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub events: u64,
    pub commits: u64,
    pub accepted: u64,
    pub refused: u64,
    pub faults: u64,
    /// VMs placed again: moved while they ran, and after their worker was lost.
    pub moved: u64,
    pub replaced: u64,
    /// Batches that the journal lost and got back, and fleets that lost some for good.
    pub healed: u64,
    pub torn: u64,
    /// VMs of the largest fleet.
    pub largest: u64,
}

impl Figures {
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            commits: self.commits + other.commits,
            accepted: self.accepted + other.accepted,
            refused: self.refused + other.refused,
            faults: self.faults + other.faults,
            moved: self.moved + other.moved,
            replaced: self.replaced + other.replaced,
            healed: self.healed + other.healed,
            torn: self.torn + other.torn,
            largest: self.largest.max(other.largest),
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { events, commits, accepted, refused, faults, moved, replaced, healed, torn, largest } =
            self;
        write!(
            f,
            "{events} events, {faults} faults, {accepted} commands accepted and {refused} refused, {commits} quanta \
             committed, {moved} VMs moved and {replaced} placed anew, {healed} lost batches healed and {torn} fleets \
             that lost some for good, {largest} VMs in the largest"
        )
    }
}

/// Runs a plan.
///
/// # Errors
/// The invariant that was broken, and after how many events; or what did not settle.
pub fn run(plan: &Plan) -> Result<Figures, String> {
    run_traced(plan, false)
}

/// As [`run`]; prints every event where `traces`.
///
/// # Errors
/// As [`run`].
pub fn run_traced(plan: &Plan, traces: bool) -> Result<Figures, String> {
    let mut world = World::new(plan).ok_or("the plan's names are no ids")?;
    world.traces = traces;
    let mut events = 0;
    while events < plan.events {
        events += 1;
        world.step().map_err(|violation| format!("after {events} events: {violation}"))?;
    }
    world.calm_down();
    let calm = world.now();
    events += settle(&mut world, calm).map_err(|why| format!("after {events} events: {why}"))?;
    for step in Trial::STEPS.into_iter().filter(|_| plan.trial) {
        let not_before = world.begin_trial(step);
        events += settle(&mut world, not_before).map_err(|why| format!("in the trial, {step:?}: {why}"))?;
    }
    let (users, oracle) = (world.users(), &world.oracle);
    Ok(Figures {
        events: events as u64,
        commits: oracle.commits,
        accepted: users.accepted,
        refused: users.refused,
        faults: world.faults,
        moved: oracle.moved,
        replaced: oracle.replaced,
        healed: oracle.healed,
        torn: u64::from(oracle.is_torn),
        largest: oracle.fleet().vms().count() as u64,
    })
}

/// Goes on until everything stands as desired, and that time has come; how many events that took.
fn settle(world: &mut World, not_before: Duration) -> Result<usize, String> {
    let mut events = 0;
    loop {
        for _ in 0..LOOK_EVERY {
            events += 1;
            world.step()?;
        }
        match world.unsettled() {
            None if world.now() >= not_before => return Ok(events),
            Some(why) if world.now() > not_before + SETTLES_WITHIN => {
                return Err(format!("does not settle within {} s: {why}", SETTLES_WITHIN.as_secs()));
            }
            _ => {}
        }
    }
}

/// A smaller plan that fails too: fewer events, fewer processes, fewer kinds of faults, for as long as that goes.
pub fn shrink(plan: &Plan) -> Plan {
    let mut least = plan.clone();
    loop {
        let Some(smaller) = smaller(&least).into_iter().find(|plan| run(plan).is_err()) else { return least };
        least = smaller;
    }
}

fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    for events in [plan.events / 2, plan.events - plan.events / 8, plan.events.saturating_sub(10)] {
        if events < plan.events {
            plans.push(Plan { events, ..plan.clone() });
        }
    }
    for fault in &plan.faults {
        let mut faults = plan.faults.clone();
        faults.remove(fault);
        plans.push(Plan { faults, ..plan.clone() });
    }
    plans.push(Plan { trial: false, ..plan.clone() });
    plans.push(Plan { huge: false, ..plan.clone() });
    let fewer = |count: usize| (count - count.div_ceil(8)).max(1);
    plans.push(Plan { workers: fewer(plan.workers), ..plan.clone() });
    plans.push(Plan { coordinators: fewer(plan.coordinators), ..plan.clone() });
    plans.push(Plan { users: fewer(plan.users), ..plan.clone() });
    plans.push(Plan { vms_per_user: fewer(plan.vms_per_user), ..plan.clone() });
    plans.retain(|smaller| smaller != plan);
    plans
}
