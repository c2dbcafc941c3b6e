//! A pool, jobs on fresh cells, and their results. It expects nothing.

use std::path::PathBuf;

use bioxen_guest::{Done, Failure, Job, Limits, Outcome, Value};
use bioxen_hypervisor::process::effects::Reservation;
use bioxen_hypervisor::{Cell, CellSpec, ChassisName};
use bioxen_worker::guest::{GuestPool, PoolSettings};
use tokio::runtime::Runtime;

/// What the test's VM holds.
pub(crate) const RESERVATION: Reservation = Reservation { atp_milli_percent: 60_000, ribosome_units: 10 };

pub(crate) struct Guests {
    runtime: Runtime,
    pub(crate) pool: GuestPool,
}

impl Guests {
    pub(crate) fn start(children: usize) -> Self {
        Self::start_program(program(), children)
    }

    pub(crate) fn start_program(program: PathBuf, children: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let pool = GuestPool::start(&PoolSettings { program, children, packs: None }).expect("a pool");
        Self { runtime, pool }
    }

    pub(crate) fn outcome(&self, job: &Job) -> Outcome {
        self.runtime.block_on(self.pool.run(job)).expect("the job is taken")
    }

    /// The result of `code` on a fresh syn3a.
    pub(crate) fn run(&self, code: &str) -> Result<Done, Failure> {
        self.run_on(ChassisName::Syn3a, code)
    }

    pub(crate) fn run_on(&self, chassis: ChassisName, code: &str) -> Result<Done, Failure> {
        self.outcome(&job(&fresh(chassis), code)).result
    }

    /// The value of code that must work.
    pub(crate) fn value(&self, code: &str) -> Value {
        self.run(code).unwrap_or_else(|failure| panic!("{code}: {failure}")).value
    }

    /// All of `jobs` at once.
    pub(crate) fn together(&self, jobs: &[Job]) -> Vec<Outcome> {
        let all = futures::future::join_all(jobs.iter().map(|job| self.pool.run(job)));
        self.runtime.block_on(all).into_iter().map(|outcome| outcome.expect("the job is taken")).collect()
    }
}

/// The guest built beside the tests.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("the test's own path");
    let program = tests.ancestors().nth(2).expect("target/<profile>/deps/<test>").join("bioxen-guest");
    assert!(program.exists(), "{} is not built: run the tests through `make test`", program.display());
    program
}

pub(crate) fn fresh(chassis: ChassisName) -> Cell {
    Cell::new(&CellSpec::unlimited(chassis)).expect("a cell")
}

pub(crate) fn job(cell: &Cell, code: &str) -> Job {
    Job {
        id: 7,
        checkpoint: cell.checkpoint(),
        code: code.to_owned(),
        limits: Limits::default(),
        reservation: RESERVATION,
        packages: Vec::new(),
        recording: None,
    }
}
