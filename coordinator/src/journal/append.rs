//! Appending one batch, exactly once, behind a fence.
//!
//! ```text
//!   publish, expecting sequence S ---- ack S+1 --------------------------> appended
//!        ^        |
//!        |        | no ack, an error, a conflict, "duplicate"; first of all where the connection is a new one
//!        |        v
//!        |   what stands at S+1?
//!        +-- nothing ---+--- our bytes ----------------------------------> appended
//!        (connection    +--- another's bytes ----------------------------> Superseded
//!         healthy)      +--- a hole, nothing stands at S any more, or ---> Lost
//!                            what we follow is not the stream's last batch
//! ```
//!
//! Every attempt carries the same fence, so however many copies are still under way, at most one
//! lands. This file must not retry with another fence: only the caller may choose a new one.

use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Request};
use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::limits::HOLD;
use bytes::Bytes;
use serde::Deserialize;

use super::api::{self, ApiError, code};
use super::{Batch, Hash, Journal, Patience, streams};
use crate::ledger::StoredBatch;

/// Between two attempts; short beside a lease, long beside a request.
const PAUSE_BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);

/// Why a batch is not, or not surely, in the journal.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(
        "another coordinator appended at sequence {sequence} of the journal ({found}): this one no longer \
         leads; it must drop what it decided since and follow"
    )]
    Superseded { sequence: u64, found: Found },
    #[error(
        "the journal lost what stood at its end: expected sequence {expected_sequence}, the stream's last is \
         {last_sequence} and no message is there; stop, and start again to heal it from the ledger"
    )]
    Lost { expected_sequence: u64, last_sequence: u64 },
    #[error(
        "the journal has no room ({description}): raise BIOXEN_JOURNAL's max_bytes or free the disk; nothing \
         was appended"
    )]
    Full { description: String },
    #[error("JetStream refused the batch: {description} (error {code}); nothing was appended")]
    Refused { code: u64, description: String },
    #[error(
        "it is unknown whether the batch was appended: tried for {waited_ms} ms, last: {last}; whoever waits \
         must retry with the same request_id"
    )]
    Unknown {
        waited_ms: u128,
        #[source]
        last: ApiError,
    },
}

/// What stands where our batch should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A batch of this leader's.
    Batch { fleet: String, incarnation: u64, epoch: u64, first_index: u64 },
    /// Something that is no batch that we can read.
    Unreadable { reason: String },
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Batch { fleet, incarnation, epoch, first_index } => write!(
                f,
                "a batch of fleet {fleet}, incarnation {incarnation}, epoch {epoch}, from index {first_index}"
            ),
            Self::Unreadable { reason } => write!(f, "no readable batch: {reason}"),
        }
    }
}

/// What a re-appended tail became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reappended {
    pub batches: usize,
    /// Sequence of the last batch in the stream now.
    pub last_sequence: u64,
}

/// One attempt's outcome, where it decides anything.
enum Attempt {
    Appended(u64),
    /// Look at what stands in the stream.
    Doubtful(ApiError),
}

impl Journal {
    /// Appends a batch behind `expected_sequence`, the stream's last as the caller knows it, and
    /// returns the batch's own sequence.
    ///
    /// # Errors
    /// `Superseded`: step down. `Lost`: stop and heal. `Full` and `Refused`: nothing was appended.
    /// `Unknown`: it may still land; behind the same fence no other batch of ours can.
    pub async fn append(
        &self,
        payload: Bytes,
        hash: &Hash,
        expected_sequence: u64,
    ) -> Result<u64, AppendError> {
        self.append_fenced(payload, Some(hash), expected_sequence, false).await
    }

    /// Appends however long that takes, saying so as often as callers are told. Behind the same fence no other batch of
    /// ours can land, so the same bytes may be sent again. Where the connection is a new one it `looks_first`: the server
    /// may have lost its end meanwhile, and neither a fence nor an acknowledgement shows that.
    ///
    /// # Errors
    /// As [`Journal::append`], but never that the outcome is unknown.
    pub async fn append_until_decided(
        &self,
        payload: Bytes,
        hash: &Hash,
        expected_sequence: u64,
        looks_first: bool,
    ) -> Result<u64, AppendError> {
        let patience = Patience { total: HOLD, ..self.patience };
        let patient = Self { patience, ..self.clone() };
        loop {
            let appended = patient.append_fenced(payload.clone(), Some(hash), expected_sequence, looks_first);
            match appended.await {
                Err(AppendError::Unknown { waited_ms, last }) => {
                    tracing::warn!(waited_ms, error = %last, "the journal does not answer; trying on");
                }
                decided => return decided,
            }
        }
    }

    /// Appends a lost tail again, verbatim and in order, behind the stream's present end.
    ///
    /// Without message ids: the stream still remembers those of batches that it lost, and would
    /// swallow them as duplicates. A journal that lost its end may lose it again, so healing `looks_first` before each;
    /// only who writes a stream of his own need not.
    ///
    /// # Errors
    /// As [`Journal::append`]. What was appended before the error stays, and the next start goes on.
    pub async fn reappend(
        &self,
        missing: &[StoredBatch],
        expected_sequence: u64,
        looks_first: bool,
    ) -> Result<Reappended, AppendError> {
        let mut last_sequence = expected_sequence;
        for batch in missing {
            last_sequence =
                self.append_fenced(batch.payload.clone(), None, last_sequence, looks_first).await?;
        }
        Ok(Reappended { batches: missing.len(), last_sequence })
    }

    async fn append_fenced(
        &self,
        payload: Bytes,
        message_id: Option<&Hash>,
        expected_sequence: u64,
        looks_first: bool,
    ) -> Result<u64, AppendError> {
        let started = Instant::now();
        let mut doubtful = looks_first.then_some(ApiError::Disconnected);
        loop {
            let doubt = match doubtful.take() {
                Some(doubt) => doubt,
                None => match self.attempt(&payload, message_id, expected_sequence).await? {
                    Attempt::Appended(sequence) => return Ok(sequence),
                    Attempt::Doubtful(doubt) => doubt,
                },
            };
            let last = match self.look(&payload, expected_sequence).await {
                Ok(Some(outcome)) => return outcome,
                // The stream's state was told, so the server is up.
                Ok(None) => match doubt {
                    ApiError::TimedOut { subject, waited_ms } => ApiError::NotStored { subject, waited_ms },
                    doubt => doubt,
                },
                Err(error) => error,
            };
            if started.elapsed() >= self.patience.total {
                return Err(AppendError::Unknown { waited_ms: started.elapsed().as_millis(), last });
            }
            tokio::time::sleep(PAUSE_BETWEEN_ATTEMPTS).await;
        }
    }

    async fn attempt(
        &self,
        payload: &Bytes,
        message_id: Option<&Hash>,
        expected_sequence: u64,
    ) -> Result<Attempt, AppendError> {
        let mut headers = HeaderMap::new();
        if !is_on(Mutant::NoFence) {
            headers.insert(streams::HEADER_EXPECTED_LAST_SEQUENCE, expected_sequence.to_string());
        }
        if let Some(hash) = message_id {
            headers.insert(streams::HEADER_MESSAGE_ID, hash.to_string());
        }
        let request = Request::new().headers(headers).payload(payload.clone());
        let subject = streams::JOURNAL_SUBJECT;
        let answer = match api::ask(&self.client, subject, request, self.patience.answer).await {
            Ok(message) => api::read::<Ack>(subject, &message.payload),
            Err(error) => Err(error),
        };
        match answer {
            Ok(ack)
                if ack.stream == streams::JOURNAL
                    && !ack.duplicate
                    && Some(ack.sequence) == expected_sequence.checked_add(1) =>
            {
                Ok(Attempt::Appended(ack.sequence))
            }
            Ok(ack) => Ok(Attempt::Doubtful(ack.doubt())),
            Err(ApiError::Refused { code, description, .. }) if is_final(code) => {
                Err(if code == code::STREAM_FULL || code::STORAGE_EXCEEDED.contains(&code) {
                    AppendError::Full { description }
                } else {
                    AppendError::Refused { code, description }
                })
            }
            // A conflict (10071) too: an earlier attempt of ours may be what it conflicts with.
            Err(error) => Ok(Attempt::Doubtful(error)),
        }
    }

    /// What stands behind the fence; `None` where nothing does and the batch may be sent again.
    async fn look(
        &self,
        payload: &Bytes,
        expected_sequence: u64,
    ) -> Result<Option<Result<u64, AppendError>>, ApiError> {
        let last_sequence = self.state().await?.last_sequence;
        self.unless_behind(last_sequence, expected_sequence).await?;
        let sequence = expected_sequence + 1;
        let ends_with = match last_sequence == expected_sequence {
            true => self.last_hash(expected_sequence).await?,
            false => None,
        };
        let behind = match last_sequence > expected_sequence {
            true => api::message_at(&self.client, streams::JOURNAL, sequence, self.patience.answer).await?,
            false => None,
        };
        // An earlier attempt of ours may have landed since.
        let ends_with = ends_with.filter(|last| *last != Hash::of(payload));
        let ours = Batch::decode(payload).ok();
        let seen = Seen {
            last_sequence,
            is_before: ends_with.zip(ours).map(|(last, ours)| ours.previous_hash == last),
            is_ours: behind.as_ref().map(|stored| stored.payload == *payload),
        };
        Ok(match (Outcome::of(expected_sequence, seen), behind) {
            (Outcome::Nothing, _) => None,
            (Outcome::Ours, _) => Some(Ok(sequence)),
            (Outcome::Anothers, Some(stored)) => {
                Some(Err(AppendError::Superseded { sequence, found: describe(&stored.payload) }))
            }
            (Outcome::Anothers | Outcome::Lost, _) => {
                Some(Err(AppendError::Lost { expected_sequence, last_sequence }))
            }
        })
    }
}

impl Journal {
    /// The hash of the last batch that stands, which should stand at this sequence; zeroes where none does.
    async fn last_hash(&self, expected_sequence: u64) -> Result<Option<Hash>, ApiError> {
        let wait = self.patience.answer;
        let last =
            api::last_of_subject(&self.client, streams::JOURNAL, streams::JOURNAL_SUBJECT, wait).await?;
        self.unless_behind(last.unwrap_or(0), expected_sequence).await?;
        let Some(sequence) = last else { return Ok(Some(Hash::ZERO)) };
        let stored = api::message_at(&self.client, streams::JOURNAL, sequence, wait).await?;
        Ok(stored.map(|stored| Hash::of(&stored.payload)))
    }

    /// On a cluster, whoever leads the stream may be behind a replica, or not know yet that another leads: an error where
    /// he tells an end before this sequence although a replica has what stands there.
    async fn unless_behind(&self, told: u64, expected_sequence: u64) -> Result<(), ApiError> {
        let is_behind = told < expected_sequence
            && api::message_at(&self.client, streams::JOURNAL, expected_sequence, self.patience.answer)
                .await?
                .is_some();
        if is_behind { Err(api::leader_is_behind(streams::JOURNAL, told)) } else { Ok(()) }
    }
}

/// What a look at the stream shows of an append in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub last_sequence: u64,
    /// Whether the stream's last batch is the one that ours follows; none where it was not looked at.
    pub is_before: Option<bool>,
    /// Whether the batch behind the fence is ours; none where there is none.
    pub is_ours: Option<bool>,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing stands behind the fence: the same bytes may be sent again.
    Nothing,
    Ours,
    Anothers,
    /// What stood before the fence, or behind it, is gone.
    Lost,
}

impl Outcome {
    /// Pure: the simulator asks it too. Sequences come again after a tail was lost, so that the stream may end at the
    /// fence with another batch there.
    pub fn of(expected_sequence: u64, Seen { last_sequence, is_before, is_ours }: Seen) -> Self {
        if last_sequence == expected_sequence {
            return if is_before == Some(false) { Self::Lost } else { Self::Nothing };
        }
        match is_ours {
            _ if last_sequence < expected_sequence => Self::Lost,
            None => Self::Lost,
            Some(ours) if ours || is_on(Mutant::AnyBatchOurs) => Self::Ours,
            Some(_) => Self::Anothers,
        }
    }
}

/// A stream's acknowledgement.
#[derive(Deserialize)]
struct Ack {
    stream: String,
    #[serde(rename = "seq")]
    sequence: u64,
    #[serde(default)]
    duplicate: bool,
}

impl Ack {
    fn doubt(&self) -> ApiError {
        ApiError::Unreadable {
            subject: streams::JOURNAL_SUBJECT.to_owned(),
            reason: format!(
                "stream {} acknowledged sequence {}{}",
                self.stream,
                self.sequence,
                if self.duplicate { " as a duplicate" } else { "" }
            ),
        }
    }
}

/// Whether a refusal says for certain that nothing was stored and that asking again is no use.
fn is_final(code: u64) -> bool {
    code == code::STREAM_FULL
        || code == code::MESSAGE_TOO_LARGE
        || code::STORAGE_EXCEEDED.contains(&code)
        || code::NOT_ENABLED.contains(&code)
}

fn describe(payload: &[u8]) -> Found {
    match Batch::decode(payload) {
        Ok(Batch { fleet, incarnation, epoch, first_index, .. }) => {
            Found::Batch { fleet, incarnation, epoch, first_index }
        }
        Err(error) => Found::Unreadable { reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_ends_at_the_fence_with_another_batch_has_lost_ours() {
        let seen = |last_sequence, is_before, is_ours| Seen { last_sequence, is_before, is_ours };
        assert_eq!(Outcome::of(7, seen(7, Some(true), None)), Outcome::Nothing);
        assert_eq!(Outcome::of(7, seen(7, Some(false), None)), Outcome::Lost);
        assert_eq!(Outcome::of(7, seen(6, None, None)), Outcome::Lost);
        assert_eq!(Outcome::of(7, seen(9, None, None)), Outcome::Lost);
        assert_eq!(Outcome::of(7, seen(9, None, Some(true))), Outcome::Ours);
        assert_eq!(Outcome::of(7, seen(9, None, Some(false))), Outcome::Anothers);
    }
}
