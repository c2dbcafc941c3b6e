//! Joining the ledger and the journal at start: which of them knows more, and whether they agree.
//!
//! ```text
//!   the ledger's last batch stands in the journal ------> Joined: fold the journal's tail
//!   the journal ends at a batch that the ledger keeps --> JournalLost: re-append what is missing
//!   the ledger is empty, or too old to join ------------> LedgerBehindOrGone: fold it all again
//!   anything else --------------------------------------> Diverged: refuse to start
//! ```
//!
//! This file only finds out. What is done about it, and said in the log, is the caller's.

use bioxen_mutants::{Mutant, is_on};

use super::api::{self, Stored};
use super::{Hash, Journal, JournalBatch, Position, ReadError, streams};
use crate::ledger::{Applied, Ledger, LedgerError, StoredBatch};

/// Differences listed at most; the first say enough.
const MOST_DIFFERENCES: usize = 20;

/// How the ledger and the journal stand to one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joining {
    /// Fold what the journal holds after this position.
    Joined { after: Position },
    /// The journal lost its tail, or an older copy of it was put back.
    JournalLost {
        /// What to append again, verbatim and in order: see [`Journal::reappend`].
        missing: Vec<StoredBatch>,
        /// Where the journal ends now.
        journal_end: Position,
        /// The stream's last sequence, behind which to append.
        expected_sequence: u64,
    },
    /// Set the ledger aside where it is not empty, and fold the journal from its beginning or a snapshot.
    LedgerBehindOrGone { reason: Refold },
    /// They tell different stories: refuse to start unless told which to believe.
    Diverged { differences: Vec<Difference> },
}

/// Why the ledger is no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refold {
    LedgerEmpty,
    /// The journal was compacted beyond the ledger's last entry.
    JournalBeginsLater {
        ledger_index: u64,
        journal_first_index: u64,
    },
}

/// One thing in which the ledger and the journal differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// They belong to different fleets.
    Fleet { ledger: String, journal: String },
    /// Different batches begin or end at this index; `None` where one has no batch that ends there.
    Batch { last_index: u64, ledger: Option<Hash>, journal: Option<Hash> },
    /// Entries from the journal's end to the ledger's oldest batch kept are in neither.
    Between { journal_last_index: u64, ledger_first_index: u64 },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let say =
            |hash: &Option<Hash>| hash.map_or_else(|| "no such batch".to_owned(), |hash| hash.to_string());
        match self {
            Self::Fleet { ledger, journal } => {
                write!(f, "the ledger is of fleet {ledger}, the journal of fleet {journal}")
            }
            Self::Batch { last_index, ledger, journal } => write!(
                f,
                "the batch up to index {last_index}: {} in the ledger, {} in the journal",
                say(ledger),
                say(journal)
            ),
            Self::Between { journal_last_index, ledger_first_index } => write!(
                f,
                "the journal ends at index {journal_last_index}, the ledger's oldest batch kept begins at index \
                 {ledger_first_index}: what lies between is in neither"
            ),
        }
    }
}

/// Why it cannot be told how they stand.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(transparent)]
    Journal(#[from] ReadError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A batch of the journal's, without its entries.
#[derive(Debug, Clone)]
pub struct Mark {
    pub position: Position,
    pub first_index: u64,
    pub fleet: String,
}

impl Journal {
    /// Finds out how a ledger stands to this journal. Quick where they join: one message is read.
    ///
    /// # Errors
    /// When either cannot be read, or the journal's own chain is broken.
    pub async fn join(&self, ledger: &Ledger) -> Result<Joining, JoinError> {
        let Some(applied) = ledger.applied() else {
            return Ok(Joining::LedgerBehindOrGone { reason: Refold::LedgerEmpty });
        };
        if let Some(stored) = self.stored_at(applied.sequence).await?
            && Hash::of(&stored.payload) == applied.hash
        {
            return Ok(Joining::Joined { after: applied.position() });
        }
        let (marks, expected_sequence) = self.marks().await?;
        let recent = ledger.batches_after(0)?;
        Ok(decide(applied, &recent, &marks, expected_sequence))
    }

    /// Where a fold that ended at this position stands in the stream as it is now: sequences are others where a lost
    /// tail was appended again, or a backup restored. None where the journal does not join it.
    ///
    /// # Errors
    /// When the journal cannot be read, or its own chain is broken.
    pub async fn locate(&self, position: Position) -> Result<Option<Position>, ReadError> {
        if let Some(stored) = self.stored_at(position.sequence).await?
            && Hash::of(&stored.payload) == position.hash
        {
            return Ok(Some(position));
        }
        let before = self.before_first().await?;
        if before.hash == position.hash && before.index == position.index {
            return Ok(Some(before));
        }
        if before.index > position.index {
            return Ok(None);
        }
        let (marks, _) = self.marks().await?;
        let found = marks.into_iter().map(|mark| mark.position).find(|mark| mark.hash == position.hash);
        Ok(found)
    }

    /// Whether a batch that was read still stands there.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) async fn holds(&self, sequence: u64, hash: &Hash) -> Result<bool, ReadError> {
        let stored = self.stored_at(sequence).await?;
        Ok(stored.is_some_and(|stored| Hash::of(&stored.payload) == *hash))
    }

    async fn stored_at(&self, sequence: u64) -> Result<Option<Stored>, ReadError> {
        if sequence == 0 {
            return Ok(None);
        }
        self.patiently(|| api::message_at(&self.client, streams::JOURNAL, sequence, self.patience.answer))
            .await
            .map_err(|source| ReadError::Api { sequence, source })
    }

    /// All that the journal holds, however much was compacted away before, and its last sequence.
    async fn marks(&self) -> Result<(Vec<Mark>, u64), ReadError> {
        let mut marks = Vec::new();
        let before = self.before_first().await?;
        let end = self
            .read_after(before, |batch: JournalBatch| {
                marks.push(Mark {
                    position: batch.position(),
                    first_index: batch.batch.first_index,
                    fleet: batch.batch.fleet,
                });
            })
            .await?;
        Ok((marks, end.fence()))
    }
}

/// The decision, from what both hold: the ledger's last batch and those that it keeps, the journal's and its last
/// sequence. Pure: the simulator asks it too.
pub fn decide(applied: &Applied, recent: &[StoredBatch], marks: &[Mark], expected_sequence: u64) -> Joining {
    if let Some(mark) = marks.iter().rev().find(|mark| mark.position.hash == applied.hash) {
        return Joining::Joined { after: mark.position };
    }
    if let Some(first) = marks.first()
        && first.first_index > applied.index + 1
    {
        let (ledger_index, journal_first_index) = (applied.index, first.first_index);
        let reason = Refold::JournalBeginsLater { ledger_index, journal_first_index };
        return Joining::LedgerBehindOrGone { reason };
    }
    let journal_end = marks.last().map_or(Position::START, |mark| mark.position);
    let joins = |batch: &StoredBatch| {
        batch.first_index == journal_end.index + 1 && batch.previous_hash == journal_end.hash
    };
    if let Some(first_missing) = recent.iter().position(joins)
        && is_chain(&recent[first_missing..], applied)
    {
        if is_on(Mutant::TailGivenUp) {
            return Joining::LedgerBehindOrGone { reason: Refold::LedgerEmpty };
        }
        let missing = recent[first_missing..].to_vec();
        return Joining::JournalLost { missing, journal_end, expected_sequence };
    }
    Joining::Diverged { differences: differences(applied, recent, marks, journal_end) }
}

/// Whether what would be appended again is whole, up to where the ledger stands.
fn is_chain(batches: &[StoredBatch], applied: &Applied) -> bool {
    batches.windows(2).all(|pair| pair[1].previous_hash == pair[0].hash)
        && batches.last().is_some_and(|last| last.hash == applied.hash)
}

fn differences(
    applied: &Applied,
    recent: &[StoredBatch],
    marks: &[Mark],
    journal_end: Position,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    if let Some(mark) = marks.last()
        && mark.fleet != applied.fleet
    {
        let (ledger, journal) = (applied.fleet.clone(), mark.fleet.clone());
        differences.push(Difference::Fleet { ledger, journal });
    }
    let from = marks.first().map_or(u64::MAX, |mark| mark.first_index);
    let ours = recent.iter().filter(|batch| batch.first_index >= from);
    let mut by_index: std::collections::BTreeMap<u64, (Option<Hash>, Option<Hash>)> =
        ours.map(|batch| (batch.last_index, (Some(batch.hash), None))).collect();
    by_index.entry(applied.index).or_default().0 = Some(applied.hash);
    let kept_from = recent.first().map_or(applied.index, |batch| batch.first_index);
    for mark in marks.iter().filter(|mark| mark.first_index >= kept_from) {
        by_index.entry(mark.position.index).or_default().1 = Some(mark.position.hash);
    }
    let unequal = by_index.into_iter().filter(|(_, (ledger, journal))| ledger != journal);
    differences.extend(
        unequal
            .map(|(last_index, (ledger, journal))| Difference::Batch { last_index, ledger, journal })
            .take(MOST_DIFFERENCES),
    );
    if let Some(first) = recent.first()
        && first.first_index > journal_end.index + 1
    {
        let (journal_last_index, ledger_first_index) = (journal_end.index, first.first_index);
        differences.push(Difference::Between { journal_last_index, ledger_first_index });
    }
    differences
}
