//! Verifying the audit stream: its numbers, its hash chain, and that it is what the journal gives (I6).
//!
//! Journal and audit stream are read side by side, a page at a time, so that neither need fit into memory.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Client;
use bioxen_protocol::audit::AuditRecord;
use bioxen_protocol::reply::Difference;

use super::audit_chain::{self, Chain, FLEET};
use super::fold;
use super::pages::{journal_page, page};
use crate::fleet::Fleet;
use crate::journal::api::{ApiError, Stored};
use crate::journal::{Batch, Journal, Patience, Position, ReadError, streams};
use crate::snapshot::{self, Shadow, SnapshotError, Which};

/// Records read at once.
const RECORDS_AT_ONCE: usize = 1_000;
/// Differences listed at most; the first say enough.
const MOST_DIFFERENCES: usize = 100;
/// A record whose number is further ahead has a wrong number; nearer, those between are missing.
const MOST_MISSING: u64 = 10_000;
/// Between looks at a stream whose end is not seen yet.
const BEHIND_PAUSE: Duration = Duration::from_millis(50);

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditVerified {
    /// Records that the stream holds.
    pub records: u64,
    pub differences: Vec<Difference>,
}

/// Why it could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the journal cannot be folded: {0}")]
    Journal(#[from] ReadError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the audit stream cannot be read: {0}")]
    Audit(#[from] ApiError),
    #[error("an audit record cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
}

/// Reads the whole audit stream and folds the journal as far back as it goes; of records from before that the chain
/// alone is checked, up to the head that the snapshot carries. `up_to_index` is how far the projector says that it is:
/// records of later entries may be missing.
///
/// # Errors
/// When one of the two cannot be read; what differs is no error.
pub async fn verify_audit(
    client: &Client,
    up_to_index: u64,
    wait: Duration,
) -> Result<AuditVerified, VerifyError> {
    let journal = Journal::new(client.clone(), Patience::default());
    let begins = snapshot::beginning(&journal, Which::Oldest, |_| true).await?;
    let begins = begins.unwrap_or_else(Shadow::first);
    let mut position = begins.position;
    let mut check = AuditCheck::new(begins);
    let mut sequence = 1;
    let mut behind = Behind(wait);
    loop {
        let stored =
            page(client, streams::AUDIT, streams::AUDIT_SUBJECTS, sequence, RECORDS_AT_ONCE, wait).await?;
        if stored.is_empty() {
            if check.expected.is_empty() && fold_page(client, &mut check, &mut position, wait).await? {
                continue;
            }
            let lacks = check.expected.front().is_some_and(|first| first.index <= up_to_index);
            if (lacks || position.index < up_to_index) && behind.is_given_time().await {
                continue;
            }
            break;
        }
        for Stored { sequence: at, payload } in stored {
            sequence = at + 1;
            let record = serde_json::from_slice::<AuditRecord>(&payload);
            while check.wants_more(record.as_ref().ok()) {
                let tells_further = record.as_ref().is_ok_and(|record| record.index > position.index);
                let goes_on = fold_page(client, &mut check, &mut position, wait).await?
                    || (tells_further && position.index < up_to_index && behind.is_given_time().await);
                if !goes_on {
                    break;
                }
            }
            match record {
                Ok(record) => check.record(&record)?,
                Err(error) => check.unreadable(at, &error),
            }
        }
    }
    check.old_missing();
    loop {
        check.all_missing(up_to_index);
        if !fold_page(client, &mut check, &mut position, wait).await? {
            return Ok(check.verified);
        }
    }
}

/// In a cluster any server answers what is read, and one of them may know less than the projector does. So long it is
/// given to come to know the rest, in all; then what it does not know is taken for missing.
struct Behind(Duration);

impl Behind {
    /// False once its time is over.
    async fn is_given_time(&mut self) -> bool {
        let pause = BEHIND_PAUSE.min(self.0);
        self.0 -= pause;
        tokio::time::sleep(pause).await;
        !pause.is_zero()
    }
}

/// False at the journal's end.
async fn fold_page(
    client: &Client,
    check: &mut AuditCheck,
    position: &mut Position,
    wait: Duration,
) -> Result<bool, VerifyError> {
    let batches = journal_page(client, *position, wait).await?;
    for batch in &batches {
        check.fold(&batch.batch)?;
        *position = batch.position();
    }
    Ok(!batches.is_empty())
}

/// The comparison itself: batches and records go in, differences come out.
struct AuditCheck {
    fleet: Fleet,
    chain: Chain,
    /// What the journal gives and the stream has not yet shown.
    expected: VecDeque<AuditRecord>,
    /// Where the fold began: records up to there are not folded again.
    begins: Chain,
    /// The last record seen.
    number: u64,
    /// The hash that the stream's next record must name.
    previous_hash: String,
    verified: AuditVerified,
}

impl AuditCheck {
    fn new(begins: Shadow) -> Self {
        Self {
            fleet: begins.fleet,
            chain: begins.chain.clone(),
            expected: VecDeque::new(),
            begins: begins.chain,
            number: 0,
            previous_hash: Chain::start().hash,
            verified: AuditVerified::default(),
        }
    }

    fn fold(&mut self, batch: &Batch) -> Result<(), serde_json::Error> {
        self.fleet.incarnation = batch.incarnation;
        for entry in &batch.entries {
            let step = fold::step(&mut self.fleet, batch.time_ms, entry);
            for record in audit_chain::records(&step) {
                self.expected.push_back(self.chain.seal(record)?);
            }
        }
        Ok(())
    }

    /// Whether more of the journal must be folded to judge this record.
    fn wants_more(&self, record: Option<&AuditRecord>) -> bool {
        match (self.expected.front(), self.expected.back(), record) {
            (Some(first), Some(last), Some(record)) => {
                record.number > last.number && record.number - first.number <= MOST_MISSING
            }
            (first, ..) => first.is_none(),
        }
    }

    fn record(&mut self, record: &AuditRecord) -> Result<(), serde_json::Error> {
        self.verified.records += 1;
        let hash = record.expected_hash()?;
        if record.hash != hash {
            self.differs(record, format!("hash {}", record.hash), format!("hash {hash} of what it says"));
        }
        if record.previous_hash != self.previous_hash {
            let (found, expected) = (&record.previous_hash, self.previous_hash.clone());
            self.differs(
                record,
                format!("previous_hash {found}"),
                format!("{expected}, of the record before it"),
            );
        }
        self.previous_hash.clone_from(&record.hash);
        let next_number = std::mem::replace(&mut self.number, record.number) + 1;
        if record.number <= self.begins.number {
            if record.number != next_number {
                self.differs(record, "its number".to_owned(), format!("record {next_number}"));
            }
            if record.number == self.begins.number && record.hash != self.begins.hash {
                let head = format!("{}, as the snapshot there has it", self.begins.hash);
                self.differs(record, format!("hash {}", record.hash), head);
            }
            return Ok(());
        }
        let gap = |first: &AuditRecord| record.number.checked_sub(first.number);
        if self.expected.front().and_then(gap).is_some_and(|gap| gap <= MOST_MISSING) {
            while let Some(missing) = self.next_expected(|number| number < record.number) {
                self.missing(&missing);
            }
        }
        match self.next_expected(|number| number == record.number) {
            Some(expected) if expected != *record => {
                self.differs(record, shown(record), format!("{}, as the journal gives it", shown(&expected)));
            }
            Some(_) => {}
            None => self.differs(record, shown(record), "no such record, by the journal".to_owned()),
        }
        Ok(())
    }

    fn next_expected(&mut self, fits: impl Fn(u64) -> bool) -> Option<AuditRecord> {
        self.expected.front().is_some_and(|first| fits(first.number)).then(|| self.expected.pop_front())?
    }

    fn unreadable(&mut self, sequence: u64, error: &serde_json::Error) {
        self.verified.records += 1;
        self.differ(FLEET, None, format!("sequence {sequence}: {error}"), "an audit record".to_owned());
    }

    /// The stream has ended before the records that the oldest snapshot knows of.
    fn old_missing(&mut self) {
        if self.number < self.begins.number {
            let expected = format!("{} records, up to the oldest snapshot", self.begins.number);
            self.differ(FLEET, None, format!("{} records", self.number), expected);
        }
    }

    /// The stream has ended: what the journal gives up to this entry is missing.
    fn all_missing(&mut self, up_to_index: u64) {
        for missing in std::mem::take(&mut self.expected) {
            if missing.index <= up_to_index {
                self.missing(&missing);
            }
        }
    }

    fn missing(&mut self, record: &AuditRecord) {
        let expected = format!("record {}: {}", record.number, shown(record));
        self.differ(record.user.as_str(), Some(record.index), "no record".to_owned(), expected);
    }

    fn differs(&mut self, record: &AuditRecord, found: String, expected: String) {
        let found = format!("record {}: {found}", record.number);
        self.differ(record.user.as_str(), Some(record.index), found, expected);
    }

    fn differ(&mut self, account: &str, index: Option<u64>, found: String, expected: String) {
        if self.verified.differences.len() < MOST_DIFFERENCES {
            let (place, account) = ("audit".to_owned(), account.to_owned());
            self.verified.differences.push(Difference { place, account, index, found, expected });
        }
    }
}

fn shown(record: &AuditRecord) -> String {
    serde_json::to_string(record).unwrap_or_else(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::entry::Entry;
    use crate::journal::batch::{FORMAT, Hash};

    fn batch(entries: Vec<Entry>) -> Batch {
        Batch {
            format: FORMAT,
            fleet: "lab".to_owned(),
            incarnation: 1,
            epoch: 1,
            first_index: 1,
            time_ms: 1_700_000_000_000,
            previous_hash: Hash::ZERO,
            submit_sequence: 0,
            entries,
        }
    }

    fn leaders(count: u64) -> Batch {
        let leader = |epoch| Entry::Leader { epoch, coordinator: format!("c{epoch}") };
        batch((1..=count).flat_map(|epoch| [leader(epoch), Entry::Tick]).collect())
    }

    /// The records that a batch gives.
    fn records(batch: &Batch) -> Vec<AuditRecord> {
        let mut check = AuditCheck::new(Shadow::first());
        check.fold(batch).unwrap();
        check.expected.into()
    }

    fn differences(batch: &Batch, found: &[AuditRecord]) -> Vec<Difference> {
        let mut check = AuditCheck::new(Shadow::first());
        check.fold(batch).unwrap();
        found.iter().for_each(|record| check.record(record).unwrap());
        check.all_missing(u64::MAX);
        assert_eq!(check.verified.records, found.len() as u64);
        check.verified.differences
    }

    #[test]
    fn what_the_journal_gives_verifies() {
        let batch = leaders(5);
        assert_eq!(differences(&batch, &records(&batch)), []);
    }

    #[test]
    fn any_changed_field_is_found() {
        let batch = leaders(3);
        let good = records(&batch);
        let mut changed = Vec::new();
        let fields = serde_json::to_value(&good[1]).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            let other = match value {
                serde_json::Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
                serde_json::Value::String(text) if name == "outcome" => {
                    assert_eq!(text, "accepted");
                    "rejected".into()
                }
                serde_json::Value::String(text) => format!("x{text}").into(),
                _ if name == "code" => "BX001".into(),
                _ => "x".into(),
            };
            let mut fields = fields.clone();
            fields[name] = other;
            let mut found = good.clone();
            found[1] = serde_json::from_value(fields).unwrap();
            assert_ne!(differences(&batch, &found), [], "a changed {name} was not found");
            changed.push(name.clone());
        }
        assert_eq!(changed.len(), 16);
    }

    #[test]
    fn a_record_that_was_forged_with_its_hash_is_found() {
        let batch = leaders(3);
        let mut found = records(&batch);
        found[1].note = "somebody else leads".to_owned();
        let previous = found[0].hash.clone();
        found[1] = found[1].clone().sealed(&previous).unwrap();
        let differences = differences(&batch, &found);
        assert_eq!(differences.len(), 2, "{differences:#?}");
        assert_eq!((differences[0].account.as_str(), differences[0].index), (FLEET, Some(3)));
    }

    #[test]
    fn a_missing_record_is_named_and_the_others_are_not() {
        let batch = leaders(4);
        let mut found = records(&batch);
        found.remove(1);
        let mut differences = differences(&batch, &found);
        assert_eq!(differences.remove(1).found, "no record");
        assert_eq!(differences.len(), 1, "the next one names a hash that is not before it");
    }

    #[test]
    fn records_that_are_not_published_yet_are_no_difference() {
        let batch = leaders(4);
        let mut check = AuditCheck::new(Shadow::first());
        check.fold(&batch).unwrap();
        for record in &records(&batch)[..2] {
            check.record(record).unwrap();
        }
        check.all_missing(3);
        assert_eq!(check.verified.differences, []);
    }

    #[test]
    fn a_record_that_no_entry_gives_is_found() {
        let batch = leaders(2);
        let mut found = records(&batch);
        let last = found.last().unwrap().clone();
        found.push(AuditRecord { number: 3, ..last.clone() }.sealed(&last.hash).unwrap());
        let differences = differences(&batch, &found);
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].expected, "no such record, by the journal");
    }
}
