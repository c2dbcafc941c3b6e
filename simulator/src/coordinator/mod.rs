//! A coordinator: the real core, the real count of leases, the real decisions on what stands in the journal; around them
//! stands the driver's protocol, message by message.
//!
//! ```text
//!   joining --joins--> follower --2 s without a batch, connected--> standing --nobody knows more--> candidate
//!      ^  \                ^                                                                      | Leader{epoch + 1}
//!      |   '--diverged--> ended: somebody starts it again, believing the journal                  v stored
//!      '---- another's batch stands there, or what stood there is gone ------------------------ leader
//! ```
//!
//! It leads from the moment at which its own `Leader` entry is known to be stored, decides on the state behind its own
//! append, and says nothing before that append is known to be stored.

mod joining;
mod leading;
mod moving;
mod mutants;
mod standing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bioxen_coordinator::fleet::Fleet;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::journal::{Hash, Outcome, Position, Seen};
use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::config::ResourceConfig;

use crate::message::{Batch, Message, Node, Out, READ_AT_ONCE};
use crate::packed::Packed;
pub(crate) use joining::SetAside;
use joining::{Joining, Ledger};
use leading::Leading;
use standing::Standing;

/// Silence of the journal after which a follower wants to lead.
const SILENCE: Duration = Duration::from_secs(2);
/// What the journal does not answer is asked again, and an append looked for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How far the ledger may lag behind the journal.
const LEDGER_LAG: Duration = Duration::from_secs(1);

/// One life of a coordinator.
#[derive(Debug)]
pub(crate) struct Coordinator {
    number: usize,
    /// How many there are.
    of: usize,
    /// Where the durations of this run begin.
    base: Instant,
    packed: Packed,
    config: ResourceConfig,
    made: u64,
    /// The fold of what is known to be stored, and the batch that it ends with.
    settled: Fleet,
    position: Position,
    /// What the next append expects of the stream.
    fence: u64,
    /// Every batch that was folded.
    kept: Vec<Arc<Batch>>,
    /// Who leads, as far as this one has read.
    leader: Option<usize>,
    /// When a batch was last seen, or this life began.
    heard: Duration,
    role: Role,
    /// The number of the last question: answers to others come too late.
    asked: u64,
    ledger: Ledger,
    /// The connection that the last append was sent on, by when it came to stand.
    appended_on: Option<Duration>,
    /// Ledgers that were set aside, which was said.
    pub(crate) set_aside: Vec<SetAside>,
    /// The journal cannot be read any more, by anybody.
    pub(crate) broken: Option<String>,
}

#[derive(Debug)]
enum Role {
    Joining(Joining),
    Follower,
    Standing(Standing),
    Candidate {
        batch: Arc<Batch>,
        sent: Duration,
    },
    Leader(Box<Leading>),
    /// Refused to start.
    Ended(Duration),
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
    pub(crate) fn new(
        number: usize,
        of: usize,
        base: Instant,
        packed: Packed,
        config: ResourceConfig,
    ) -> Self {
        let settled = Fleet::new(1);
        Self {
            number,
            of,
            base,
            packed,
            config,
            made: 0,
            ledger: Ledger::empty(&settled),
            settled,
            position: Position::START,
            fence: 0,
            kept: Vec::new(),
            leader: None,
            heard: Duration::ZERO,
            role: Role::Follower,
            asked: 0,
            appended_on: None,
            set_aside: Vec::new(),
            broken: None,
        }
    }

    /// Some times a second: verdicts, signs of life, what was lost on the way.
    pub(crate) fn tick(&mut self, moment: Moment, out: &mut Out) {
        self.write_ledger(moment.now);
        match &mut self.role {
            Role::Joining(_) => self.tick_joining(moment, out),
            Role::Follower => {
                let silent_since = moment.connected_since.map(|connected| connected.max(self.heard));
                if silent_since.is_some_and(|since| moment.now >= since + SILENCE) {
                    self.stand(moment, out);
                } else {
                    self.read(out);
                }
            }
            Role::Standing(_) => self.tick_standing(moment, out),
            Role::Candidate { sent, .. } => {
                if moment.now >= *sent + PATIENCE {
                    *sent = moment.now;
                    self.look(self.fence + 1, out);
                }
            }
            Role::Leader(leading) => {
                leading.tick(moment);
                leading.search(moment, &self.packed);
                if leading.is_overdue(moment.now, PATIENCE) {
                    self.look(self.fence + 1, out);
                } else {
                    self.flush(moment, out);
                }
            }
            Role::Ended(since) => {
                if moment.now >= *since + joining::STARTED_AGAIN_AFTER {
                    self.believe_the_journal(moment.now);
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
            Message::HowFar { from, number } if !matches!(self.role, Role::Ended(_)) => {
                let index = self.position.index;
                out.push((Node::Coordinator(from), Message::SoFar { number, index }));
            }
            Message::Appended { id, sequence } => self.appended(moment, id, sequence, out),
            Message::Batches { number, last, batches } if number == self.asked => {
                self.read_on(moment, last, &batches, out);
            }
            Message::Surveyed { number, last, batches } if number == self.asked => {
                self.join(moment, last, &batches, out);
            }
            Message::Looked { number, last, ends_with, found } if number == self.asked => {
                self.looked(moment, (last, ends_with, found), out);
            }
            Message::SoFar { number, index } if number == self.asked => self.told_of(index),
            _ => {}
        }
    }

    /// Goes over what is stored behind what it knows.
    fn read_on(&mut self, moment: Moment, last: u64, batches: &[(u64, Arc<Batch>)], out: &mut Out) {
        if !matches!(self.role, Role::Follower) {
            return;
        }
        let is_shorter = last < self.fence;
        if is_shorter || !self.fold_all(moment.now, batches) {
            return self.step_down(moment, out);
        }
        if batches.len() == READ_AT_ONCE {
            self.read(out);
        } else {
            self.fence = self.fence.max(last);
        }
    }

    /// False at one that does not join.
    fn fold_all(&mut self, now: Duration, batches: &[(u64, Arc<Batch>)]) -> bool {
        for (sequence, batch) in batches {
            if self.position.joins(*sequence, batch.first_index, batch.previous).is_err() {
                return false;
            }
            self.fold(now, *sequence, batch);
        }
        true
    }

    fn fold(&mut self, now: Duration, sequence: u64, batch: &Arc<Batch>) {
        self.heard = now;
        self.position = batch.position(sequence);
        self.fence = self.fence.max(sequence);
        self.kept.push(Arc::clone(batch));
        for entry in &batch.entries {
            self.settled.evolve(batch.time_ms, entry);
            if let Entry::Leader { coordinator, .. } = entry {
                self.leader = coordinator.strip_prefix('c').and_then(|number| number.parse().ok());
            }
        }
        self.settled.take_touched();
    }

    /// The batch of its own that may stand behind the fence: which that is, and the fence.
    fn in_doubt(&self) -> Option<(Arc<Batch>, u64)> {
        match &self.role {
            Role::Candidate { batch, .. } => Some((Arc::clone(batch), self.fence)),
            Role::Leader(leading) => Some((leading.in_flight()?, self.fence)),
            Role::Joining(joining) => joining.healed_next(),
            _ => None,
        }
    }

    fn appended(&mut self, moment: Moment, id: u64, sequence: Option<u64>, out: &mut Out) {
        let Some((_, fence)) = self.in_doubt().filter(|(batch, _)| batch.id == id) else { return };
        match sequence {
            Some(sequence) if sequence == fence + 1 => self.stored(moment, sequence, out),
            _ => self.look(fence + 1, out),
        }
    }

    fn looked(
        &mut self,
        moment: Moment,
        (last_sequence, ends_with, found): (u64, Hash, Option<Hash>),
        out: &mut Out,
    ) {
        let Some((batch, fence)) = self.in_doubt() else {
            return self.looked_back(moment, found, out);
        };
        let seen = Seen {
            last_sequence,
            is_before: Some(ends_with == batch.previous),
            is_ours: found.map(|found| found == batch.hash()),
        };
        match Outcome::of(fence, seen) {
            Outcome::Nothing => self.append(batch, fence, out),
            Outcome::Ours => self.stored(moment, fence + 1, out),
            // Another was quicker: it goes on following, and reads what that one wrote.
            Outcome::Anothers if matches!(self.role, Role::Candidate { .. }) => {
                self.role = Role::Follower;
                self.read(out);
            }
            Outcome::Anothers | Outcome::Lost => self.step_down(moment, out),
        }
    }

    /// The batch in doubt stands at this sequence.
    fn stored(&mut self, moment: Moment, sequence: u64, out: &mut Out) {
        let Some((batch, _)) = self.in_doubt() else { return };
        if matches!(self.role, Role::Joining(_)) {
            return self.healed(sequence, out);
        }
        self.fold(moment.now, sequence, &batch);
        batch.released.store(true, Ordering::Relaxed);
        match &mut self.role {
            Role::Leader(leading) => leading.acknowledged(out),
            _ => {
                let leading = Leading::new(self.settled.clone(), batch.epoch, self.base, moment.now);
                self.role = Role::Leader(Box::new(leading));
            }
        }
        self.flush(moment, out);
    }

    /// Sends the next batch where none is in flight.
    fn flush(&mut self, moment: Moment, out: &mut Out) {
        let Role::Leader(leading) = &mut self.role else { return };
        let Some((epoch, time_ms, entries)) = leading.next_entries(moment) else { return };
        let batch = self.batch(epoch, time_ms, entries);
        if let Role::Leader(leading) = &mut self.role {
            leading.sent(Arc::clone(&batch), moment.now, out);
        }
        // Over a new connection the journal may be another than it was.
        let connected_since = moment.connected_since;
        let looks_first = connected_since.is_none() || connected_since != self.appended_on;
        self.appended_on = connected_since;
        if looks_first && !is_on(Mutant::NewConnectionTrusted) {
            self.look(self.fence + 1, out);
        } else {
            self.append(batch, self.fence, out);
        }
    }

    fn batch(&mut self, epoch: u64, time_ms: u64, entries: Vec<Entry>) -> Arc<Batch> {
        self.made += 1;
        let id = self.made * 1_000 + self.number as u64;
        let (first_index, previous) = (self.position.index + 1, self.position.hash);
        let released = AtomicBool::new(false);
        Arc::new(Batch { id, epoch, first_index, previous, time_ms, entries, released })
    }

    fn append(&self, batch: Arc<Batch>, expected: u64, out: &mut Out) {
        out.push((Node::Journal, Message::Append { from: self.number, batch, expected }));
    }

    fn read(&mut self, out: &mut Out) {
        self.asked += 1;
        let (from, number, after) = (self.number, self.asked, self.fence);
        out.push((Node::Journal, Message::Read { from, number, after }));
    }

    fn look(&mut self, sequence: u64, out: &mut Out) {
        self.asked += 1;
        let (from, number) = (self.number, self.asked);
        out.push((Node::Journal, Message::Look { from, number, sequence }));
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// The last batch that it knows to be stored.
    pub(crate) fn position(&self) -> Position {
        self.position
    }
}
