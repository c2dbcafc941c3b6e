//! An agent as a child of a test, and what it is given to do.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bioxen_guest::agent::{Hello, QuantumOrder, Reply, Request, Work};
use bioxen_guest::quantum::{self, Assignment, Origin};
use bioxen_guest::{Job, Limits, Outcome, read_frame, write_frame};
use bioxen_hypervisor::process::effects::Reservation;
use bioxen_hypervisor::{Cell, CellSpec, ChassisName};
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::{Engine, VmType};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::quantity::Pace;
use bioxen_protocol::worker::{CellAllocation, CellOrder, Desired, DesiredState};

const DEADLINE: Duration = Duration::from_secs(60);

/// `bioxen-guest agent`. Dropping it kills it.
pub(crate) struct Agent {
    process: Child,
    next_id: u64,
}

impl Agent {
    pub(crate) fn start() -> Self {
        Self::with_packs(None)
    }

    pub(crate) fn with_packs(packs: Option<&Path>) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_bioxen-guest"))
            .arg("agent")
            .args(packs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent starts");
        let mut agent = Self { process, next_id: 1 };
        let hello: Hello = agent.read();
        assert_eq!(hello, Hello::ours());
        agent
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn quantum(&mut self, assignment: &Assignment) -> Result<quantum::Outcome, quantum::Failure> {
        let id = self.ask(Work::Quantum(Box::new(QuantumOrder::of(assignment))));
        self.reply().into_quantum(id, assignment)
    }

    pub(crate) fn job(&mut self, job: &Job) -> Outcome {
        let id = self.ask(Work::Job(Box::new(job.clone())));
        self.reply().into_job(id, job.id).expect("a job's outcome")
    }

    fn ask(&mut self, what: Work) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&Request { id, what });
        id
    }

    pub(crate) fn send(&mut self, request: &Request) {
        write_frame(self.process.stdin.as_mut().expect("a pipe"), request).expect("it is handed over");
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.process.stdin.as_mut().expect("a pipe").write_all(bytes).expect("it is handed over");
    }

    pub(crate) fn reply(&mut self) -> Reply {
        self.read()
    }

    pub(crate) fn close_input(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Closes its input and waits until it has ended: its status, and what it said.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        self.close_input();
        let mut said = String::new();
        self.process.stderr.as_mut().expect("a pipe").read_to_string(&mut said).expect("text");
        (self.process.wait().expect("it ends").code(), said)
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> T {
        read_frame(self.process.stdout.as_mut().expect("a pipe")).expect("a frame").expect("a frame")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A quantum to `target_tick`, with all the time that it takes.
pub(crate) fn assignment(origin: Origin, target_tick: u64) -> Assignment {
    Assignment {
        origin,
        changes: Vec::new().into(),
        target_tick,
        floor_tick: 0,
        horizon_tick: None,
        horizon_generations: None,
        desired: DesiredState::Running,
        recording: None,
        memory_kb: 1024,
        atp: AtpWatch::default(),
        watch_from_tick: 0,
        time: Duration::from_secs(3600),
    }
}

/// What is desired of a new VM on a pool.
pub(crate) fn desired(chassis: &str, engine: Engine, edit: impl Fn(&mut CellOrder)) -> Arc<Desired> {
    let mut order = CellOrder {
        biological_type: chassis.to_owned(),
        pack: None,
        vm_type: VmType::Xcpng,
        pool: None,
        engine,
        seed: 11,
        replicate: 2,
        parameters: [("s0".to_owned(), 9000.0)].into(),
        allocation: CellAllocation { atp_millipercent: 60_000, ribosomes: 9, memory_kb: 1024 },
        schedule: Vec::new(),
        horizon_tick: None,
        horizon_generations: None,
        pace: Pace::Max,
        priority: 3,
        record: None,
        packages: Vec::new(),
    };
    edit(&mut order);
    let key = VmKey { user: "alice".parse().expect("a user"), vm: "c1".parse().expect("a VM") };
    let absent = Desired::absent(key, Generation { incarnation: 1, index: 7 });
    Arc::new(Desired { order: Some(Arc::new(order)), state: DesiredState::Running, ..absent })
}

pub(crate) fn job(id: u64, code: &str) -> Job {
    job_on(ChassisName::Syn3a, id, code)
}

pub(crate) fn job_on(chassis: ChassisName, id: u64, code: &str) -> Job {
    let cell = Cell::new(&CellSpec::unlimited(chassis)).expect("a cell");
    Job {
        id,
        checkpoint: cell.checkpoint(),
        code: code.to_owned(),
        limits: Limits::default(),
        reservation: Reservation { atp_milli_percent: 60_000, ribosome_units: 10 },
        packages: Vec::new(),
        recording: None,
    }
}

/// Processes whose parent is `parent`.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("processes");
    let numbers = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(|process| stat(*process).is_some_and(|(_, of)| of == parent)).collect()
}

/// Whether a process has ended, be it that nobody has collected it.
pub(crate) fn is_gone(process: u32) -> bool {
    stat(process).is_none_or(|(state, _)| state == "Z" || state == "X")
}

/// Ends a process of the test's own, and waits until it has.
pub(crate) fn kill(process: u32) {
    let killed = Command::new("kill").args(["-9", &process.to_string()]).status().expect("kill");
    assert!(killed.success());
    until("it is killed", || is_gone(process));
}

pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < DEADLINE, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Its state and its parent.
fn stat(process: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in between may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
