//! Process code on a cell: to a guest and back. What comes back is checked before it may become the VM's cell.

use std::sync::Arc;
use std::time::Instant;

use bioxen_guest::quantum::checkpoint;
use bioxen_guest::{Done, Failure, Job, JobPackage, Limits, Outcome, RecordingOrder};
use bioxen_hypervisor::Cell;
use bioxen_hypervisor::process::effects::Reservation;
use bioxen_hypervisor::trace::{Recording, Trace};
use bioxen_protocol::limits::PROCESS_RESULT_BYTES;
use bioxen_protocol::worker::{ProcessEnd, ProcessOrder, ProcessStatus};

use crate::guest::GuestPool;
use crate::words;

const NO_GUESTS: &str = "this worker runs no process code; an operator has to start it with bioxen-guest";
const NOT_COMMITTED: &str =
    "the worker's lease ended before it could be committed: nothing was changed; run it again";

/// Names that are near to one that is not known, as a guest may give them back.
const NEAREST_MOST: usize = 10;
const NAME_BYTES_MOST: usize = 128;

/// One process, and the cell that it begins with.
#[derive(Debug)]
pub(in crate::backend) struct ProcessWork {
    pub(in crate::backend) order: ProcessOrder,
    pub(super) cell: Arc<Cell>,
    pub(super) horizon_tick: Option<u64>,
    /// What the VM records, and the ceiling on that.
    pub(super) recording: Option<Arc<Recording>>,
    pub(super) memory_kb: u64,
}

/// How it ended, and the cell that it left; none where nothing changed.
#[derive(Debug)]
pub(in crate::backend) struct ProcessEnded {
    pub(super) end: ProcessEnd,
    pub(super) cell: Option<Cell>,
    /// Which scheduled call it was, where it was one.
    pub(super) call: Option<u64>,
    /// What the VM records, of the time that it let pass.
    pub(super) rows: Option<Trace>,
}

impl ProcessEnded {
    /// The same, not committed.
    pub(super) fn discarded(self) -> Self {
        Self { end: failed(self.end, NOT_COMMITTED.to_owned()), cell: None, call: self.call, rows: None }
    }
}

impl ProcessWork {
    /// Runs it; takes as long as it takes, at most its time.
    pub(in crate::backend) fn run(self, guests: Option<&GuestPool>) -> ProcessEnded {
        let begun = Instant::now();
        let outcome = match guests {
            Some(guests) => self.packages(guests).and_then(|packages| {
                guests.run_blocking(&self.job(packages)).map_err(|refused| refused.to_string())
            }),
            None => Err(NO_GUESTS.to_owned()),
        };
        self.end(begun, outcome)
    }

    /// What it comes to: what a guest said of its job, or why none was asked.
    pub(in crate::backend) fn end(self, begun: Instant, outcome: Result<Outcome, String>) -> ProcessEnded {
        let call = self.order.call;
        let mut end = ProcessEnd {
            number: self.order.number,
            status: ProcessStatus::Completed,
            execution_type: execution_type(&self.order.code).to_owned(),
            output: String::new(),
            reason: None,
            nearest: Vec::new(),
            execution_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        let taken = match outcome.map(|outcome| outcome.result) {
            Ok(Ok(done)) => self.take(done),
            Ok(Err(failure)) => {
                return ProcessEnded { end: told(end, failure), cell: None, call, rows: None };
            }
            Err(refused) => Err(refused),
        };
        match taken {
            Ok((output, cell, rows)) => {
                end.output = output;
                ProcessEnded { end, cell, call, rows }
            }
            Err(reason) => ProcessEnded { end: failed(end, reason), cell: None, call, rows: None },
        }
    }

    /// Whether a script may ask for packages; a plain call needs none.
    pub(in crate::backend) fn needs_packages(&self) -> bool {
        !self.order.packages.is_empty() && execution_type(&self.order.code) != "call"
    }

    fn packages(&self, guests: &GuestPool) -> Result<Vec<JobPackage>, String> {
        if !self.needs_packages() {
            return Ok(Vec::new());
        }
        guests.modules().fetch_blocking(&self.order.packages).map_err(|error| error.to_string())
    }

    pub(in crate::backend) fn job(&self, packages: Vec<JobPackage>) -> Job {
        let left = self.horizon_tick.map_or(u64::MAX, |horizon| horizon.saturating_sub(self.cell.tick()));
        let reserved = self.order.reservation;
        let narrow = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
        Job {
            id: self.order.number,
            checkpoint: self.cell.checkpoint(),
            code: self.order.code.clone(),
            limits: Limits {
                wall_ms: self.order.timeout_ms,
                memory_kb: Limits::DEFAULT.memory_kb.min(reserved.memory_kb),
                advance_ticks: Limits::DEFAULT.advance_ticks.min(left),
                result_bytes: PROCESS_RESULT_BYTES as u64,
                ..Limits::DEFAULT
            },
            reservation: Reservation {
                atp_milli_percent: narrow(reserved.atp_millipercent),
                ribosome_units: narrow(reserved.ribosomes),
            },
            packages,
            recording: self.recording.as_ref().map(|recording| RecordingOrder {
                variables: recording.variables().to_vec(),
                every_ticks: recording.every_ticks(),
                last_tick: recording.last_tick_within(self.memory_kb.saturating_mul(1024)),
            }),
        }
    }

    /// The result as JSON text, the cell afterwards, and what the VM recorded on the way.
    fn take(&self, done: Done) -> Result<(String, Option<Cell>, Option<Trace>), String> {
        let output = serde_json::to_string(&done.value).map_err(|error| error.to_string())?;
        if output.len() > PROCESS_RESULT_BYTES {
            return Err(format!(
                "the result has {} bytes as JSON and at most {PROCESS_RESULT_BYTES} are kept: return less",
                output.len()
            ));
        }
        let Some(left) = done.checkpoint else { return Ok((output, None, None)) };
        let cell = Cell::restore(&left.0).map_err(|error| error.to_string())?;
        if cell.tick() < self.cell.tick() {
            return Err(
                "the guest gave a cell of an earlier time back: nothing was changed; tell an operator"
                    .to_owned(),
            );
        }
        checkpoint(&cell)?;
        let rows = done.rows.map(|rows| Trace::decode(&rows.0)).transpose();
        let rows = rows.map_err(|error| format!("what the VM recorded meanwhile is lost: {error}"))?;
        Ok((output, Some(cell), rows))
    }
}

/// A guest has a say in the reason, and one that is longer than a report takes would hold up all of them.
fn failed(end: ProcessEnd, reason: String) -> ProcessEnd {
    let reason = words::cut(&reason, words::REASON_BYTES_MOST);
    ProcessEnd { status: ProcessStatus::Failed, output: String::new(), reason: Some(reason), ..end }
}

/// What the guest said of a job that failed.
fn told(end: ProcessEnd, failure: Failure) -> ProcessEnd {
    let end = failed(end, failure.to_string());
    match failure {
        Failure::UnknownFunction { nearest, .. } | Failure::UnknownGene { nearest, .. } => {
            let nearest = nearest.iter().take(NEAREST_MOST).map(|name| words::line(name, NAME_BYTES_MOST));
            ProcessEnd { nearest: nearest.collect(), ..end }
        }
        Failure::Unsupported { .. } => ProcessEnd { status: ProcessStatus::Unsupported, ..end },
        _ => end,
    }
}

/// Which of its two forms the code has.
fn execution_type(code: &str) -> &'static str {
    if bioxen_hypervisor::process::call::looks_like_call(code) { "call" } else { "script" }
}
