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
use crate::journal::{Batch, Position, ReadError, streams};

/// Records read at once.
const RECORDS_AT_ONCE: usize = 1_000;
/// Differences listed at most; the first say enough.
const MOST_DIFFERENCES: usize = 100;
/// A record whose number is further ahead has a wrong number; nearer, those between are missing.
const MOST_MISSING: u64 = 10_000;

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
    #[error("the audit stream cannot be read: {0}")]
    Audit(#[from] ApiError),
    #[error("an audit record cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
}

/// Reads the whole audit stream and folds the whole journal. `up_to_index` is how far the projector says that it is:
/// records of later entries may be missing.
///
/// # Errors
/// When one of the two cannot be read; what differs is no error.
pub async fn verify_audit(
    client: &Client,
    up_to_index: u64,
    wait: Duration,
) -> Result<AuditVerified, VerifyError> {
    let mut check = AuditCheck::new();
    let mut position = Position::START;
    let mut sequence = 1;
    loop {
        let stored =
            page(client, streams::AUDIT, streams::AUDIT_SUBJECTS, sequence, RECORDS_AT_ONCE, wait).await?;
        if stored.is_empty() {
            break;
        }
        for Stored { sequence: at, payload } in stored {
            sequence = at + 1;
            let record = serde_json::from_slice::<AuditRecord>(&payload);
            while check.wants_more(record.as_ref().ok()) {
                if !fold_page(client, &mut check, &mut position, wait).await? {
                    break;
                }
            }
            match record {
                Ok(record) => check.record(&record)?,
                Err(error) => check.unreadable(at, &error),
            }
        }
    }
    loop {
        check.all_missing(up_to_index);
        if !fold_page(client, &mut check, &mut position, wait).await? {
            return Ok(check.verified);
        }
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
    /// The hash that the stream's next record must name.
    previous_hash: String,
    verified: AuditVerified,
}

impl AuditCheck {
    fn new() -> Self {
        Self {
            fleet: Fleet::new(0),
            chain: Chain::start(),
            expected: VecDeque::new(),
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
