//! A coordinator: the real core and the real count of leases; around them stands the driver's protocol, message by
//! message.
//!
//! ```text
//!   follower --2 s without a batch, connected--> candidate: Leader{epoch + 1} on the way
//!      ^                                             | stored            | another's batch stands there
//!      |                                             v                   v
//!      '------ another's batch stands there ------ leader             follower
//! ```
//!
//! It leads from the moment at which its own `Leader` entry is known to be stored, decides on the state behind its own
//! append, and says nothing before that append is known to be stored.

mod leading;
mod moving;
mod mutants;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bioxen_coordinator::fleet::Fleet;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::rows::{self, RowsError};

use crate::message::{Batch, Message, Node, Out};
use crate::packed::Packed;
use leading::Leading;

/// Silence of the journal after which a follower wants to lead.
const SILENCE: Duration = Duration::from_secs(2);
/// An append that is not answered is looked for, and sent again.
const APPEND_PATIENCE: Duration = Duration::from_secs(1);
/// How far the ledger may lag behind the journal.
const LEDGER_LAG: Duration = Duration::from_secs(1);

/// One life of a coordinator.
#[derive(Debug)]
pub(crate) struct Coordinator {
    number: usize,
    /// Where the durations of this run begin.
    base: Instant,
    packed: Packed,
    made: u64,
    /// The fold of what is known to be stored.
    settled: Fleet,
    sequence: u64,
    /// Who leads, as far as this one has read.
    leader: Option<usize>,
    /// When a batch was last seen, or this life began.
    heard: Duration,
    role: Role,
    /// What the ledger holds, and since when.
    ledger: (Fleet, u64),
    ledger_at: Duration,
}

#[derive(Debug)]
enum Role {
    Follower,
    Candidate { batch: Arc<Batch>, sent: Duration },
    Leader(Box<Leading>),
}

/// What the world knows at a moment that a coordinator may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Its clock for spans.
    pub(crate) now: Duration,
    pub(crate) wall_ms: u64,
    /// Since when its connection stands; none while it does not.
    pub(crate) connected_since: Option<Duration>,
}

impl Coordinator {
    pub(crate) fn new(number: usize, base: Instant, packed: Packed) -> Self {
        let fleet = Fleet::new(1);
        Self {
            number,
            base,
            packed,
            made: 0,
            settled: fleet.clone(),
            sequence: 0,
            leader: None,
            heard: Duration::ZERO,
            role: Role::Follower,
            ledger: (fleet, 0),
            ledger_at: Duration::ZERO,
        }
    }

    /// Killed and started again: what is left is the ledger's rows.
    ///
    /// # Errors
    /// The rows are no fleet.
    pub(crate) fn restart(&mut self, now: Duration) -> Result<(), String> {
        let (fleet, sequence) = &self.ledger;
        self.settled = from_rows(fleet).map_err(|error| format!("a ledger cannot be loaded: {error}"))?;
        self.sequence = *sequence;
        self.heard = now;
        self.role = Role::Follower;
        Ok(())
    }

    /// Some times a second: verdicts, signs of life, what was lost on the way.
    pub(crate) fn tick(&mut self, moment: Moment, out: &mut Out) {
        if moment.now >= self.ledger_at + LEDGER_LAG {
            self.ledger = (self.settled.clone(), self.sequence);
            self.ledger_at = moment.now;
        }
        match &mut self.role {
            Role::Follower => {
                let silent_since = moment.connected_since.map(|connected| connected.max(self.heard));
                if silent_since.is_some_and(|since| moment.now >= since + SILENCE) {
                    self.campaign(moment, out);
                } else {
                    self.read(out);
                }
            }
            Role::Candidate { batch, sent } => {
                if moment.now >= *sent + APPEND_PATIENCE {
                    *sent = moment.now;
                    let batch = Arc::clone(batch);
                    self.read(out);
                    self.append(batch, out);
                }
            }
            Role::Leader(leading) => {
                leading.tick(moment);
                leading.search(moment, &self.packed);
                if let Some(batch) = leading.overdue(moment.now, APPEND_PATIENCE) {
                    self.read(out);
                    self.append(batch, out);
                } else {
                    self.flush(moment, out);
                }
            }
        }
    }

    pub(crate) fn receive(&mut self, moment: Moment, message: Message, out: &mut Out) {
        match message {
            Message::Ask(asked) => {
                if let Role::Leader(leading) = &mut self.role {
                    leading.ask(moment, asked);
                    self.flush(moment, out);
                } else if let Some(leader) = self.leader.filter(|leader| *leader != self.number) {
                    out.push((Node::Coordinator(leader), Message::Ask(asked)));
                }
            }
            Message::Operate(command) => {
                if let Role::Leader(leading) = &mut self.role {
                    leading.operate(moment, &command);
                    self.flush(moment, out);
                }
            }
            Message::Report { worker, boot, report } => {
                if let Role::Leader(leading) = &mut self.role {
                    leading.report(moment, worker, boot, report);
                    self.flush(moment, out);
                }
            }
            Message::Appended { id, stored } => match (&self.role, stored) {
                (Role::Candidate { batch, .. }, true) if batch.id == id => {
                    self.take(moment, &[Arc::clone(batch)], out)
                }
                (Role::Leader(leading), true) if leading.in_flight_id() == Some(id) => {
                    let batch = leading.in_flight();
                    self.take(moment, batch.as_slice(), out);
                }
                (_, true) => {}
                (_, false) => self.read(out),
            },
            Message::Batches(batches) => self.take(moment, &batches, out),
            _ => {}
        }
    }

    /// Goes over what is known to be stored, in order; what it has already is skipped.
    fn take(&mut self, moment: Moment, batches: &[Arc<Batch>], out: &mut Out) {
        for batch in batches {
            if batch.sequence != self.sequence + 1 {
                continue;
            }
            self.heard = moment.now;
            self.sequence += 1;
            for entry in &batch.entries {
                self.settled.evolve(batch.time_ms, entry);
                if let Entry::Leader { coordinator, .. } = entry {
                    self.leader = coordinator.strip_prefix('c').and_then(|number| number.parse().ok());
                }
            }
            self.settled.take_touched();
            match &mut self.role {
                Role::Candidate { batch: own, .. } if own.id == batch.id => {
                    let leading = Leading::new(self.settled.clone(), batch.epoch, self.base, moment.now);
                    self.role = Role::Leader(Box::new(leading));
                }
                Role::Leader(leading) if leading.in_flight_id() == Some(batch.id) => {
                    leading.acknowledged(out)
                }
                // Another's batch: whatever was decided on another state is dropped.
                _ => self.role = Role::Follower,
            }
        }
        self.flush(moment, out);
    }

    /// Wants to lead, whatever it has heard.
    pub(crate) fn take_over(&mut self, moment: Moment, out: &mut Out) {
        if matches!(self.role, Role::Follower) {
            self.campaign(moment, out);
        }
    }

    fn campaign(&mut self, moment: Moment, out: &mut Out) {
        let epoch = self.settled.epoch + 1;
        let leader = Entry::Leader { epoch, coordinator: format!("c{}", self.number) };
        let time_ms = self.settled.time_of_next(moment.wall_ms);
        let batch = self.batch(epoch, time_ms, vec![leader]);
        self.role = Role::Candidate { batch: Arc::clone(&batch), sent: moment.now };
        self.append(batch, out);
    }

    /// Sends the next batch where none is in flight.
    fn flush(&mut self, moment: Moment, out: &mut Out) {
        let Role::Leader(leading) = &mut self.role else { return };
        let Some((epoch, time_ms, entries)) = leading.next_entries(moment) else { return };
        let batch = self.batch(epoch, time_ms, entries);
        if let Role::Leader(leading) = &mut self.role {
            leading.sent(Arc::clone(&batch), moment.now, out);
        }
        self.append(batch, out);
    }

    fn batch(&mut self, epoch: u64, time_ms: u64, entries: Vec<Entry>) -> Arc<Batch> {
        self.made += 1;
        let id = self.made * 1_000 + self.number as u64;
        Arc::new(Batch { id, epoch, time_ms, sequence: self.sequence + 1, entries })
    }

    fn append(&self, batch: Arc<Batch>, out: &mut Out) {
        out.push((Node::Journal, Message::Append { from: self.number, batch }));
    }

    fn read(&self, out: &mut Out) {
        out.push((Node::Journal, Message::Read { from: self.number, after: self.sequence }));
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }
}

/// A fleet as the ledger would give it back.
fn from_rows(fleet: &Fleet) -> Result<Fleet, RowsError> {
    let rows = rows::all(fleet)?.into_iter().filter_map(|(key, value)| Some(Ok((key, value?))));
    rows::load(rows, fleet.next_index - 1)
}
