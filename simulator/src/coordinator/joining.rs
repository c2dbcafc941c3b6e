//! Joining: a ledger and the journal are held against each other, and a journal that lost its end is healed, by the
//! coordinator's own decision on it. Around it stands what `recover` does, message by message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bioxen_coordinator::fleet::Fleet;
use bioxen_coordinator::journal::heal::decide;
use bioxen_coordinator::journal::{Difference, Joining as Decision, Mark, Position};
use bioxen_coordinator::ledger::{Applied, StoredBatch};
use bioxen_coordinator::rows::{self, RowsError};

use super::standing::GATHER;
use super::{Coordinator, LEDGER_LAG, Moment, PATIENCE, Role};
use crate::message::{Batch, Message, Node, Out};

/// One that refused to start is started again by somebody who has read why.
pub(super) const STARTED_AGAIN_AFTER: Duration = Duration::from_secs(3);
const FLEET: &str = "fleet";

/// What is on the disk of a coordinator.
#[derive(Debug)]
pub(super) struct Ledger {
    fleet: Fleet,
    position: Position,
    /// How many batches it keeps.
    kept: usize,
    written: Duration,
}

impl Ledger {
    pub(super) fn empty(fleet: &Fleet) -> Self {
        Self { fleet: fleet.clone(), position: Position::START, kept: 0, written: Duration::ZERO }
    }
}

/// A ledger that was given up: what it held, and what was said of it.
#[derive(Debug)]
pub(crate) struct SetAside {
    pub(crate) kept: Vec<Arc<Batch>>,
    pub(crate) differences: Vec<Difference>,
}

#[derive(Debug)]
pub(super) enum Joining {
    /// Asks what stands in the journal; since when, once it has.
    Surveying(Option<Duration>),
    /// The journal lost this: asks the others whether they know more.
    Gathering {
        lost: Lost,
        since: Duration,
        ahead: bool,
    },
    Healing {
        lost: Lost,
        sent: Duration,
    },
}

#[derive(Debug, Default)]
pub(super) struct Lost {
    missing: VecDeque<Arc<Batch>>,
    fence: u64,
}

impl Joining {
    /// The batch that is appended again, and behind what.
    pub(super) fn healed_next(&self) -> Option<(Arc<Batch>, u64)> {
        let Self::Healing { lost, .. } = self else { return None };
        Some((Arc::clone(lost.missing.front()?), lost.fence))
    }

    pub(super) fn told_of(&mut self, is_ahead: bool) {
        if let Self::Gathering { ahead, .. } = self {
            *ahead |= is_ahead;
        }
    }
}

impl Coordinator {
    /// The ledger follows behind.
    pub(super) fn write_ledger(&mut self, now: Duration) {
        if now >= self.ledger.written + LEDGER_LAG && !matches!(self.role, Role::Ended(_)) {
            self.complete_ledger(now);
        }
    }

    fn complete_ledger(&mut self, now: Duration) {
        let (fleet, position, kept) = (self.settled.clone(), self.position, self.kept.len());
        self.ledger = Ledger { fleet, position, kept, written: now };
    }

    /// Killed and started again: what is left is the ledger.
    ///
    /// # Errors
    /// Its rows are no fleet.
    pub(crate) fn restart(&mut self, now: Duration) -> Result<(), String> {
        let loaded = from_rows(&self.ledger.fleet);
        self.settled = loaded.map_err(|error| format!("a ledger cannot be loaded: {error}"))?;
        self.position = self.ledger.position;
        self.kept.truncate(self.ledger.kept);
        self.heard = now;
        self.role = Role::Joining(Joining::Surveying(None));
        Ok(())
    }

    /// Ends what role it had: what it knows to be stored goes into the ledger, and joins the journal anew.
    pub(super) fn step_down(&mut self, moment: Moment, out: &mut Out) {
        self.complete_ledger(moment.now);
        self.survey(moment.now, out);
    }

    fn survey(&mut self, now: Duration, out: &mut Out) {
        self.asked += 1;
        let (from, number) = (self.number, self.asked);
        out.push((Node::Journal, Message::Survey { from, number }));
        self.role = Role::Joining(Joining::Surveying(Some(now)));
    }

    pub(super) fn tick_joining(&mut self, moment: Moment, out: &mut Out) {
        let now = moment.now;
        let Role::Joining(joining) = &mut self.role else { return };
        match joining {
            Joining::Surveying(sent) if sent.is_none_or(|sent| now >= sent + PATIENCE) => {
                self.survey(now, out);
            }
            Joining::Gathering { since, ahead, .. } if now >= *since + GATHER => {
                if *ahead {
                    self.survey(now, out)
                } else {
                    self.heal(now, out)
                }
            }
            Joining::Healing { lost, sent } if now >= *sent + PATIENCE => {
                *sent = now;
                let sequence = lost.fence + 1;
                self.look(sequence, out);
            }
            _ => {}
        }
    }

    /// What stands in the journal is known: does the ledger join it?
    pub(super) fn join(&mut self, moment: Moment, last: u64, batches: &[(u64, Arc<Batch>)], out: &mut Out) {
        if !matches!(self.role, Role::Joining(Joining::Surveying(_))) {
            return;
        }
        let now = moment.now;
        match self.joining(last, batches) {
            Ok(Decision::Joined { after }) => {
                let from = batches.partition_point(|(sequence, _)| *sequence <= after.sequence);
                self.position = after;
                self.go_on(now, last, &batches[from..]);
            }
            Ok(Decision::JournalLost { missing, expected_sequence, .. }) => {
                let first = missing.first().map_or(u64::MAX, |batch| batch.first_index);
                let again = self.kept.iter().filter(|batch| batch.first_index >= first);
                let lost = Lost { missing: again.cloned().collect(), fence: expected_sequence };
                self.role = Role::Joining(Joining::Gathering { lost, since: now, ahead: false });
                if !self.ask_the_others(out) {
                    self.heal(now, out);
                }
            }
            Ok(Decision::LedgerBehindOrGone { .. }) => {
                // Nothing is said of it, so it must hold nothing that the journal lacks.
                let kept = std::mem::take(&mut self.kept);
                self.set_aside.push(SetAside { kept, differences: Vec::new() });
                self.forget_all();
                self.go_on(now, last, batches);
            }
            Ok(Decision::Diverged { differences }) => {
                let kept = std::mem::take(&mut self.kept);
                self.set_aside.push(SetAside { kept, differences });
                self.forget_all();
                self.role = Role::Ended(now);
            }
            Err(why) => self.broken = Some(why),
        }
    }

    fn joining(&self, last: u64, batches: &[(u64, Arc<Batch>)]) -> Result<Decision, String> {
        let at = self.ledger.position;
        let applied = Applied {
            fleet: FLEET.to_owned(),
            incarnation: 1,
            index: at.index,
            sequence: at.sequence,
            hash: at.hash,
        };
        let stands =
            batches.iter().any(|(sequence, batch)| *sequence == at.sequence && batch.hash() == at.hash);
        if stands || at.index == 0 {
            return Ok(Decision::Joined { after: at });
        }
        let mut marks = Vec::with_capacity(batches.len());
        let mut end = Position::START;
        for (sequence, batch) in batches {
            let joined = end.joins(*sequence, batch.first_index, batch.previous);
            joined.map_err(|error| format!("the journal cannot be read by anybody: {error}"))?;
            end = batch.position(*sequence);
            let (first_index, fleet) = (batch.first_index, FLEET.to_owned());
            marks.push(Mark { position: end, first_index, fleet });
        }
        let recent: Vec<StoredBatch> = self.kept.iter().map(|batch| stored(batch)).collect();
        Ok(decide(&applied, &recent, &marks, last.max(end.sequence)))
    }

    /// Follows from here.
    fn go_on(&mut self, now: Duration, last: u64, rest: &[(u64, Arc<Batch>)]) {
        self.fence = self.position.sequence;
        if !self.fold_all(now, rest) {
            self.broken =
                Some("the journal cannot be read by anybody behind where a ledger joins it".to_owned());
        }
        self.fence = self.fence.max(last);
        self.heard = now;
        self.role = Role::Follower;
    }

    fn heal(&mut self, now: Duration, out: &mut Out) {
        let Role::Joining(Joining::Gathering { lost, .. }) = &mut self.role else { return };
        let lost = std::mem::take(lost);
        self.role = Role::Joining(Joining::Healing { lost, sent: now });
        self.heal_next(now, out);
    }

    /// The first of the batches that were lost stands again.
    pub(super) fn healed(&mut self, sequence: u64, out: &mut Out) {
        let Role::Joining(Joining::Healing { lost, sent }) = &mut self.role else { return };
        lost.missing.pop_front();
        lost.fence = sequence;
        let now = *sent;
        self.heal_next(now, out);
    }

    fn heal_next(&mut self, now: Duration, out: &mut Out) {
        let Role::Joining(joining) = &self.role else { return };
        match joining.healed_next() {
            // The journal may have lost its end once more.
            Some((_, fence)) => self.look(fence + 1, out),
            None => self.survey(now, out),
        }
    }

    /// Started again, and told to believe the journal.
    pub(super) fn believe_the_journal(&mut self, now: Duration) {
        self.heard = now;
        self.role = Role::Joining(Joining::Surveying(None));
    }

    fn forget_all(&mut self) {
        self.settled = Fleet::new(1);
        self.position = Position::START;
        self.kept.clear();
        self.ledger = Ledger::empty(&self.settled);
    }

    /// Whether it has this batch: in memory, or in its ledger where it is down.
    pub(crate) fn holds(&self, batch: &Batch, is_down: bool) -> bool {
        let kept =
            &self.kept[..if is_down { self.ledger.kept.min(self.kept.len()) } else { self.kept.len() }];
        let at = kept.binary_search_by_key(&batch.first_index, |kept| kept.first_index);
        at.is_ok_and(|at| kept[at].id == batch.id)
    }
}

fn stored(batch: &Batch) -> StoredBatch {
    StoredBatch {
        first_index: batch.first_index,
        last_index: batch.last_index(),
        sequence: 0,
        hash: batch.hash(),
        previous_hash: batch.previous,
        payload: Default::default(),
    }
}

/// A fleet as the ledger would give it back.
fn from_rows(fleet: &Fleet) -> Result<Fleet, RowsError> {
    let rows = rows::all(fleet)?.into_iter().filter_map(|(key, value)| Some(Ok((key, value?))));
    rows::load(rows, fleet.next_index - 1)
}
