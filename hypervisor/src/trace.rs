//! What a VM records: chosen variables at every so many grid points, and the same as bytes.
//!
//! ```text
//!   Recording (variables, every) --row(cell)--> a row at each multiple of `every`, as the cell arrives there
//!   Trace: rows of one stretch, column by column --encode--> bytes --decode--> Trace
//! ```
//!
//! A row depends on the cell's state alone, so traces are the same bits wherever the cell was computed; a cell that goes
//! on from a checkpoint goes on with the rows after it. It neither runs cells nor stores anything.

use crate::cell::Cell;
use crate::checkpoint::checksum;
use crate::grid::minutes_of;
use crate::metrics::Metrics;
use crate::model::core::NAMES;

/// Variables in one recording: more than there are.
pub const MAX_RECORDED: usize = 64;
const MAGIC: [u8; 4] = *b"BXTR";
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
const NUMBER_BYTES: usize = 8;

type Read = fn(&Metrics) -> f64;

/// The metrics that are numbers of a moment. One that has no value is recorded as not a number.
const METRICS: [(&str, Read); 12] = [
    ("growth_rate_per_min", |metrics| metrics.growth_rate_per_min),
    ("doubling_time_min", |metrics| metrics.doubling_time_min.unwrap_or(f64::NAN)),
    ("atp", |metrics| metrics.atp),
    ("atp_level", |metrics| metrics.atp_level),
    ("ribosomes_total", |metrics| metrics.ribosomes_total),
    ("ribosomes_active", |metrics| metrics.ribosomes_active),
    ("ribosome_mass_fraction", |metrics| metrics.ribosome_mass_fraction),
    ("enzyme_mass_fraction", |metrics| metrics.enzyme_mass_fraction),
    ("protein_total", |metrics| metrics.protein_total),
    ("mrna_total", |metrics| metrics.mrna_total),
    ("mass_closure", |metrics| metrics.mass_closure),
    ("energy_closure", |metrics| metrics.energy_closure),
];

/// What is recorded, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    variables: Vec<String>,
    every_ticks: u64,
}

/// Why there is no such recording, or no such trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// Neither a variable of the model nor a metric.
    #[error("{name:?} is neither a variable of the model nor a metric that is a number")]
    Unknown {
        /// As given.
        name: String,
    },
    /// None, or more than there can be.
    #[error("{found} variables are to be recorded; expected 1 to {MAX_RECORDED}, each once")]
    Count {
        /// How many, or how many with repeats.
        found: usize,
    },
    /// A row at no distance from the next.
    #[error("a row every 0 minutes is not possible; expected at least 0.1")]
    Every,
    /// Bytes that are none of ours.
    #[error("these bytes are not a trace of this version, or damaged: {what} does not fit")]
    Bytes {
        /// What is wrong.
        what: &'static str,
    },
}

/// Rows of one stretch of a recording, without a hole.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Grid points between rows.
    pub every_ticks: u64,
    /// Where the first row stands.
    pub first_tick: u64,
    /// The variables, in the order asked for.
    pub names: Vec<String>,
    /// A column for each variable, all of one length.
    pub columns: Vec<Vec<f64>>,
}

impl Recording {
    /// # Errors
    /// A variable that no cell has, none or too many, or no distance between rows.
    pub fn new(variables: &[String], every_ticks: u64) -> Result<Self, TraceError> {
        let mut once: Vec<&String> = variables.iter().collect();
        once.sort();
        once.dedup();
        if variables.is_empty() || variables.len() > MAX_RECORDED || once.len() < variables.len() {
            return Err(TraceError::Count { found: variables.len() });
        }
        if every_ticks == 0 {
            return Err(TraceError::Every);
        }
        match variables.iter().find(|name| !recordable().any(|known| known == *name)) {
            Some(name) => Err(TraceError::Unknown { name: name.chars().take(80).collect() }),
            None => Ok(Self { variables: variables.to_vec(), every_ticks }),
        }
    }

    /// What is recorded, in order.
    #[must_use]
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Grid points between rows.
    #[must_use]
    pub fn every_ticks(&self) -> u64 {
        self.every_ticks
    }

    /// Whether a row stands at `tick`.
    #[must_use]
    pub fn is_due(&self, tick: u64) -> bool {
        tick.is_multiple_of(self.every_ticks)
    }

    /// The first row's tick after `tick`.
    #[must_use]
    pub fn next_tick(&self, tick: u64) -> u64 {
        (tick / self.every_ticks + 1).saturating_mul(self.every_ticks)
    }

    /// Bytes that the rows from minute 0 up to `tick` take.
    #[must_use]
    pub fn bytes_up_to(&self, tick: u64) -> u64 {
        let rows = tick / self.every_ticks + 1;
        rows.saturating_mul((self.variables.len() * NUMBER_BYTES) as u64)
    }

    /// The last tick up to which the rows take no more than `bytes`.
    #[must_use]
    pub fn last_tick_within(&self, bytes: u64) -> u64 {
        let rows = bytes / (self.variables.len() * NUMBER_BYTES) as u64;
        rows.saturating_mul(self.every_ticks).saturating_sub(1)
    }

    /// The values at the cell's tick, in the order of the variables.
    #[must_use]
    pub fn row(&self, cell: &Cell) -> Vec<f64> {
        let metrics = cell.metrics();
        let value = |name: &String| {
            let of_state = cell.variables().find(|(known, _)| known == name).map(|(_, value)| value);
            let of_metrics =
                || METRICS.iter().find(|(known, _)| known == name).map(|(_, read)| read(&metrics));
            of_state.or_else(of_metrics).unwrap_or(f64::NAN)
        };
        self.variables.iter().map(value).collect()
    }

    /// A trace without rows, whose first will stand at `first_tick`.
    #[must_use]
    pub fn trace(&self, first_tick: u64) -> Trace {
        let (names, columns) = (self.variables.clone(), vec![Vec::new(); self.variables.len()]);
        Trace { every_ticks: self.every_ticks, first_tick, names, columns }
    }
}

/// Everything that can be recorded: the model's variables, then metrics.
pub fn recordable() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(METRICS.iter().map(|(name, _)| *name))
}

impl Trace {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// The simulated minute of a row.
    #[must_use]
    pub fn minute(&self, row: usize) -> f64 {
        minutes_of(self.first_tick.saturating_add((row as u64).saturating_mul(self.every_ticks)))
    }

    /// Appends a row that [`Recording::row`] gave.
    pub fn push(&mut self, row: &[f64]) {
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(*value);
        }
    }

    /// The rows from `row` on, at most `rows` of them.
    #[must_use]
    pub fn window(&self, row: usize, rows: usize) -> Self {
        let end = row.saturating_add(rows).min(self.rows());
        let start = row.min(end);
        Self {
            every_ticks: self.every_ticks,
            first_tick: self.first_tick.saturating_add((start as u64).saturating_mul(self.every_ticks)),
            names: self.names.clone(),
            columns: self.columns.iter().map(|column| column[start..end].to_vec()).collect(),
        }
    }

    /// Goes on with `later`, which may begin inside of this one: from its first row on its rows stand.
    ///
    /// # Errors
    /// Other variables or another distance, or a hole between the two.
    pub fn continue_with(&mut self, later: &Self) -> Result<(), TraceError> {
        if self.names != later.names || self.every_ticks != later.every_ticks {
            return Err(TraceError::Bytes { what: "what the next stretch records" });
        }
        let kept = later.first_tick.saturating_sub(self.first_tick) / self.every_ticks.max(1);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        if later.first_tick < self.first_tick || kept > self.rows() {
            return Err(TraceError::Bytes { what: "where the next stretch begins" });
        }
        for (column, more) in self.columns.iter_mut().zip(&later.columns) {
            column.truncate(kept);
            column.extend_from_slice(more);
        }
        Ok(())
    }

    /// Little-endian: magic, version, distance, first tick, rows, names, columns of f64, checksum (FNV-1a).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.columns.len() * (32 + self.rows() * NUMBER_BYTES));
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        for whole in [self.every_ticks, self.first_tick, self.rows() as u64, self.names.len() as u64] {
            out.extend_from_slice(&whole.to_le_bytes());
        }
        for name in &self.names {
            out.extend_from_slice(&(name.len() as u64).to_le_bytes());
            out.extend_from_slice(name.as_bytes());
        }
        for value in self.columns.iter().flatten() {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        out.extend_from_slice(&checksum(&out).to_le_bytes());
        out
    }

    /// The trace that [`Trace::encode`] gave these bytes for.
    ///
    /// # Errors
    /// Bytes that are none of this version's, or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, TraceError> {
        let wrong = |what| TraceError::Bytes { what };
        let body = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or_else(|| wrong("the length"))?;
        let (body, stored) = bytes.split_at(body);
        if stored != checksum(body).to_le_bytes() {
            return Err(wrong("the checksum"));
        }
        let mut rest = body.strip_prefix(&MAGIC).ok_or_else(|| wrong("the beginning"))?;
        if take(&mut rest, 1) != Some(&[VERSION]) {
            return Err(wrong("the version"));
        }
        let mut whole = || number(&mut rest).ok_or_else(|| wrong("the length"));
        let (every_ticks, first_tick, rows, variables) = (whole()?, whole()?, whole()?, whole()?);
        let variables = usize::try_from(variables).ok().filter(|variables| *variables <= MAX_RECORDED);
        let variables = variables.ok_or_else(|| wrong("the number of variables"))?;
        let mut names = Vec::with_capacity(variables);
        for _ in 0..variables {
            let length = number(&mut rest).and_then(|length| usize::try_from(length).ok());
            let name = length.and_then(|length| take(&mut rest, length));
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            names.push(name.ok_or_else(|| wrong("a name"))?.to_owned());
        }
        let values =
            rows.checked_mul(variables as u64).and_then(|values| values.checked_mul(NUMBER_BYTES as u64));
        if every_ticks == 0 || values != Some(rest.len() as u64) {
            return Err(wrong("the number of rows"));
        }
        let rows = usize::try_from(rows).map_err(|_| wrong("the number of rows"))?;
        let column = |_| (0..rows).map(|_| number(&mut rest).map_or(f64::NAN, f64::from_bits)).collect();
        let columns = (0..variables).map(column).collect();
        Ok(Self { every_ticks, first_tick, names, columns })
    }
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(bytes)?;
    *rest = left;
    Some(taken)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (taken, left) = rest.split_first_chunk::<NUMBER_BYTES>()?;
    *rest = left;
    Some(u64::from_le_bytes(*taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChassisName;
    use crate::spec::CellSpec;

    fn cell() -> Cell {
        let parameters = [("s0".to_owned(), 3000.0)].into();
        let spec = CellSpec { parameters, ..CellSpec::unlimited(ChassisName::Weisse2015) };
        Cell::new(&spec).unwrap()
    }

    fn recording() -> Recording {
        Recording::new(&["growth_rate_per_min".to_owned(), "atp".to_owned(), NAMES[0].to_owned()], 5).unwrap()
    }

    fn recorded(mut cell: Cell, first_tick: u64, last_tick: u64) -> Trace {
        let recording = recording();
        let mut trace = recording.trace(first_tick);
        for tick in (first_tick..=last_tick).filter(|tick| recording.is_due(*tick)) {
            cell.advance_to(tick).unwrap();
            trace.push(&recording.row(&cell));
        }
        trace
    }

    #[test]
    fn a_trace_reads_back_from_its_bytes_and_any_changed_byte_is_found() {
        let trace = recorded(cell(), 0, 200);
        let mut bytes = trace.encode();
        assert_eq!(Trace::decode(&bytes), Ok(trace));
        for place in (0..bytes.len()).step_by(7) {
            bytes[place] ^= 0x10;
            assert!(Trace::decode(&bytes).is_err(), "byte {place}");
            bytes[place] ^= 0x10;
        }
        assert!(Trace::decode(&bytes[..20]).is_err());
    }

    #[test]
    fn a_trace_continued_from_a_checkpoint_is_the_one_recorded_in_one_go() {
        let straight = recorded(cell(), 0, 200);
        let mut stopped = cell();
        stopped.advance_to(87).unwrap();
        let restored = Cell::restore(&stopped.checkpoint()).unwrap();
        let mut joined = recorded(cell(), 0, 100);
        joined.continue_with(&recorded(restored, 90, 200)).unwrap();
        assert_eq!(joined, straight);
        assert_eq!(straight.window(10, 3).minute(0), straight.minute(10));
        assert!(recorded(cell(), 0, 10).continue_with(&straight.window(10, 3)).is_err(), "a hole");
    }

    #[test]
    fn what_no_cell_has_is_refused_by_name() {
        let refused = Recording::new(&["growth".to_owned()], 1).unwrap_err();
        assert_eq!(refused, TraceError::Unknown { name: "growth".to_owned() });
        assert_eq!(Recording::new(&[], 1), Err(TraceError::Count { found: 0 }));
        assert_eq!(Recording::new(&["atp".to_owned()], 0), Err(TraceError::Every));
    }

    #[test]
    fn the_size_of_a_recording_is_known_beforehand() {
        let trace = recorded(cell(), 0, 200);
        let bytes: usize = trace.columns.iter().map(|column| column.len() * 8).sum();
        assert_eq!(recording().bytes_up_to(200), bytes as u64);
        assert_eq!(recording().last_tick_within(bytes as u64), 204, "up to the next row");
        assert_eq!(
            (recording().next_tick(0), recording().next_tick(4), recording().next_tick(5)),
            (5, 5, 10)
        );
    }
}
