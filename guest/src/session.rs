//! The cell under a job's hands: what code can ask of it and do to it, charged and kept for the outcome. Plain calls
//! and scripts both go through it.

use std::cell::{Ref, RefCell};

use bioxen_guest::{Done, Job, Limits, Record, Spent, Value};
use bioxen_hypervisor::process::analyses::Analysis;
use bioxen_hypervisor::process::effects::{self, Reservation};
use bioxen_hypervisor::process::{Function, ProcessError};
use bioxen_hypervisor::trace::TraceError;
use bioxen_hypervisor::{Cell, Change, MAX_TICK, minutes_of, tick_at};

use crate::meter::{FUEL_PER_CHANGE, FUEL_PER_FUNCTION, FUEL_PER_STEP, FUEL_PER_TICK, Meter, Stop};
use crate::recorder::Recorder;

/// Bounds what one job brings into the journal.
const MAX_CHANGES: usize = 256;
/// Bounds an outcome's frame.
const MAX_RECORDS: usize = 10_000;
/// Bounds a record's name.
const MAX_RECORD_NAME_BYTES: usize = 64;
/// Solver steps between two looks at the meter.
const STEPS_AT_ONCE: u32 = 32;

/// Why a function did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    /// A limit: the job ends.
    #[error("{0}")]
    Stop(#[from] Stop),
    /// A script may go on.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Likewise.
    #[error("{0}")]
    Misuse(String),
}

pub(crate) struct Session {
    pub(crate) meter: Meter,
    pub(crate) limits: Limits,
    reservation: Reservation,
    start_tick: u64,
    cell: RefCell<Cell>,
    changes: RefCell<Vec<Change>>,
    records: RefCell<Vec<Record>>,
    /// Of the VM's own recording, where it has one.
    recorder: Option<RefCell<Recorder>>,
}

impl Session {
    /// # Errors
    /// A recording of what no cell has.
    pub(crate) fn new(cell: Cell, job: &Job) -> Result<Self, TraceError> {
        let recorder = job.recording.as_ref().map(|order| Recorder::new(order, &cell)).transpose()?;
        Ok(Self {
            meter: Meter::new(&job.limits),
            limits: job.limits,
            reservation: job.reservation,
            start_tick: cell.tick(),
            cell: RefCell::new(cell),
            changes: RefCell::default(),
            records: RefCell::default(),
            recorder: recorder.map(RefCell::new),
        })
    }

    /// Calls `function` as plain calls and scripts do.
    pub(crate) fn call(&self, function: Function, arguments: &[Value]) -> Result<Value, Halt> {
        self.meter.charge(FUEL_PER_FUNCTION)?;
        match (function, arguments) {
            (Function::StartTranscription, [genes]) => {
                let genes = names(function, genes)?;
                let change = effects::start_transcription(&self.cell(), genes.clone())?;
                self.apply(change)?;
                self.genes(&genes)
            }
            (Function::ManageOperons, [operons, Value::Text(action)]) => {
                let operons = names(function, operons)?;
                let change = effects::manage_operons(&self.cell(), operons.clone(), action)?;
                self.apply(change)?;
                value_of(&self.cell().operons(&operons).map_err(ProcessError::from)?)
            }
            (Function::InsertPlasmid | Function::RemovePlasmid, [Value::Text(plasmid)]) => {
                let insert = function == Function::InsertPlasmid;
                let change = effects::plasmid(&self.cell(), plasmid.clone(), insert);
                self.apply(change)?;
                value_of(&self.cell().plasmids().map_err(ProcessError::from)?)
            }
            (Function::SetNutrient, [molecules]) => {
                let molecules = number(function, molecules)?;
                let change = effects::set_nutrient(&self.cell(), molecules);
                self.apply(change)
            }
            (Function::AddDrug, [Value::Text(drug), micromolar]) => {
                let change = effects::add_drug(&self.cell(), drug, number(function, micromolar)?)?;
                self.apply(change)
            }
            (Function::Advance, [minutes]) => {
                self.advance(self.ticks(number(function, minutes)?)?)?;
                Ok(Value::Number(self.minutes()))
            }
            (_, []) => self.analyse(function),
            (_, given) => Err(function.misused(format!("these {} arguments do not fit", given.len())).into()),
        }
    }

    /// Figures of the state.
    pub(crate) fn metrics(&self) -> Result<Value, Halt> {
        self.meter.charge(FUEL_PER_FUNCTION)?;
        value_of(&self.cell().metrics())
    }

    /// The genes named, or all that the pack lists.
    pub(crate) fn genes(&self, named: &[String]) -> Result<Value, Halt> {
        self.meter.charge(FUEL_PER_FUNCTION)?;
        value_of(&self.cell().genes(named).map_err(ProcessError::from)?)
    }

    /// Simulated minutes.
    pub(crate) fn minutes(&self) -> f64 {
        minutes_of(self.cell().tick())
    }

    pub(crate) fn set_allocation(
        &self,
        atp_percentage: Option<f64>,
        ribosomes: Option<f64>,
    ) -> Result<Value, Halt> {
        self.meter.charge(FUEL_PER_FUNCTION)?;
        let change = effects::set_allocation(&self.cell(), &self.reservation, atp_percentage, ribosomes)?;
        self.apply(change)
    }

    pub(crate) fn record(&self, name: String, value: f64) -> Result<(), Halt> {
        self.meter.charge(FUEL_PER_FUNCTION)?;
        if name.is_empty() || name.len() > MAX_RECORD_NAME_BYTES || !value.is_finite() {
            let text = "record: expected a name of 1 to 64 bytes and a finite number";
            return Err(Halt::Misuse(text.to_owned()));
        }
        let mut records = self.records.borrow_mut();
        if records.len() == MAX_RECORDS {
            return Err(self.meter.stopped(Stop::Records).into());
        }
        records.push(Record { tick: self.cell().tick(), name, value });
        Ok(())
    }

    /// The ticks that `minutes` are.
    pub(crate) fn ticks(&self, minutes: f64) -> Result<u64, Halt> {
        tick_at(minutes).ok_or_else(|| {
            Function::Advance.misused(format!("{minutes} minutes are no whole number of tenths")).into()
        })
    }

    /// Lets `ticks` pass.
    pub(crate) fn advance(&self, ticks: u64) -> Result<(), Halt> {
        self.meter.charge(FUEL_PER_FUNCTION)?;
        let tick = self.cell().tick().saturating_add(ticks).min(MAX_TICK);
        if tick - self.start_tick > self.limits.advance_ticks {
            return Err(self.meter.stopped(Stop::Advance).into());
        }
        loop {
            let mut cell = self.cell.borrow_mut();
            let before = cell.tick();
            // Where a row is due it is stopped for; that changes no bit.
            let row = self.recorder.as_ref().map_or(tick, |recorder| recorder.borrow().next_tick(before));
            let progress = cell.advance_for(tick.min(row), STEPS_AT_ONCE).map_err(ProcessError::from)?;
            if let Some(recorder) = self.recorder.as_ref().filter(|_| progress.tick > before) {
                recorder.borrow_mut().arrive(&cell).map_err(|stop| self.meter.stopped(stop))?;
            }
            drop(cell);
            let passed = FUEL_PER_TICK.saturating_mul(progress.tick - before);
            self.meter.charge(passed.saturating_add(FUEL_PER_STEP * u64::from(progress.steps)))?;
            self.meter.look()?;
            if progress.tick == tick {
                return Ok(());
            }
        }
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent { fuel: self.meter.used(), ticks: self.cell().tick() - self.start_tick }
    }

    /// What the job did, with `value` as its result; `before` is the checkpoint that it started from.
    pub(crate) fn done(&self, value: Value, before: &[u8]) -> Done {
        let after = self.cell().checkpoint();
        Done {
            value,
            checkpoint: (after != before).then_some(bioxen_guest::Checkpoint(after)),
            changes: self.changes.take(),
            records: self.records.take(),
            rows: self.recorder.as_ref().map(|recorder| recorder.borrow().rows()),
        }
    }

    fn analyse(&self, function: Function) -> Result<Value, Halt> {
        if matches!(function, Function::TestProcess | Function::TestEcoliProcess) {
            // A minute on a copy.
            self.meter.charge(FUEL_PER_CHANGE)?;
        }
        match Analysis::of(function, &self.cell())? {
            Some(analysis) => value_of(&analysis),
            None => Err(function.misused("its arguments are missing").into()),
        }
    }

    fn apply(&self, change: Change) -> Result<Value, Halt> {
        self.meter.charge(FUEL_PER_CHANGE)?;
        let mut changes = self.changes.borrow_mut();
        if changes.len() == MAX_CHANGES {
            return Err(self.meter.stopped(Stop::Changes).into());
        }
        self.cell.borrow_mut().apply(&change).map_err(ProcessError::from)?;
        let answer = value_of(&change);
        changes.push(change);
        answer
    }

    fn cell(&self) -> Ref<'_, Cell> {
        self.cell.borrow()
    }
}

fn value_of<T: serde::Serialize>(data: &T) -> Result<Value, Halt> {
    Value::of(data).map_err(|error| Halt::Misuse(error.to_string()))
}

fn names(function: Function, list: &Value) -> Result<Vec<String>, Halt> {
    let wrong = || function.misused("a list of names in quotes was expected");
    let Value::List(list) = list else { return Err(wrong().into()) };
    let name = |item: &Value| if let Value::Text(name) = item { Some(name.clone()) } else { None };
    list.iter().map(name).collect::<Option<_>>().ok_or_else(|| wrong().into())
}

fn number(function: Function, value: &Value) -> Result<f64, Halt> {
    value.as_f64().ok_or_else(|| function.misused("a number was expected").into())
}
