//! Reading the journal in order and proving the chain as it is read.
//!
//! Batches come by batched direct gets: no consumer to create, to lose or to clean up. A sequence may
//! be missing in the stream (a tail that was lost and appended again leaves a hole), so the proof is the
//! chain of hashes and indexes, never the sequence. This file must not interpret entries.

use std::time::{Duration, Instant};

use async_nats::Message;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;

use super::api::{self, ApiError, Stored};
use super::{Batch, BatchError, Hash, Journal, Position, streams};

/// Messages asked for at once.
const MESSAGES_AT_ONCE: u64 = 512;
/// Bytes asked for at once: a dozen of the largest batches.
const BYTES_AT_ONCE: u64 = 8 * 1024 * 1024;
/// How long to wait before asking a stream again that should have more.
const PAUSE_BEFORE_ASKING_AGAIN: Duration = Duration::from_millis(5);
/// How often a follower asks; a leader is missed only after 2 s.
const PAUSE_WHILE_FOLLOWING: Duration = Duration::from_millis(25);

/// A batch as it stands in the journal, its chain proved.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalBatch {
    pub sequence: u64,
    pub hash: Hash,
    /// The bytes, verbatim: what the ledger keeps.
    pub payload: Bytes,
    pub batch: Batch,
}

/// Where reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadEnd {
    /// After the last batch that was read.
    pub position: Position,
    /// The stream's last sequence when reading began: the fence for the next append, or more.
    pub stream_last_sequence: u64,
    pub batches: u64,
}

impl ReadEnd {
    /// How many sequences at the stream's end have no message: a tail that was lost, unless healed.
    pub fn missing_at_end(&self) -> u64 {
        self.stream_last_sequence.saturating_sub(self.position.sequence)
    }

    /// What the next append must expect of the stream.
    pub fn fence(&self) -> u64 {
        self.stream_last_sequence.max(self.position.sequence)
    }
}

/// The first place where the journal is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(
        "entries are missing from the journal: index {expected_index} should come next, sequence {sequence} \
         begins with index {found_index}; start from a snapshot behind the gap, or heal from a ledger that \
         holds them"
    )]
    Gap { sequence: u64, expected_index: u64, found_index: u64 },
    #[error(
        "the journal repeats itself: index {expected_index} should come next, sequence {sequence} begins with \
         index {found_index}; two leaders wrote, or messages were copied in by hand"
    )]
    Repeated { sequence: u64, expected_index: u64, found_index: u64 },
    #[error(
        "the journal's chain breaks at sequence {sequence}, index {index}: the batch names {found} as the one \
         before it, expected {expected}; it was altered, or mixed with another fleet's"
    )]
    ChainBroken { sequence: u64, index: u64, expected: Hash, found: Hash },
    #[error("sequence {sequence} of the journal, where index {expected_index} should come next: {source}")]
    Undecodable { sequence: u64, expected_index: u64, source: BatchError },
    #[error(
        "the journal is shorter than it was: sequence {expected_sequence} was read before, the stream's last \
         is {last_sequence}; stop, and start again to heal it from the ledger"
    )]
    Regressed { expected_sequence: u64, last_sequence: u64 },
    #[error("reading the journal from sequence {sequence}: {source}")]
    Api { sequence: u64, source: ApiError },
}

impl JournalBatch {
    /// Proves that a message continues the chain after `position`.
    ///
    /// # Errors
    /// When it does not decode or does not join; names its sequence and the index expected.
    pub(crate) fn prove(message: Stored, position: &Position) -> Result<Self, ReadError> {
        let Stored { sequence, payload } = message;
        let expected_index = position.index + 1;
        let batch = Batch::decode(&payload).map_err(|source| ReadError::Undecodable {
            sequence,
            expected_index,
            source,
        })?;
        position.joins(sequence, batch.first_index, batch.previous_hash)?;
        Ok(Self { sequence, hash: Hash::of(&payload), payload, batch })
    }

    /// Where a fold stands after this batch.
    pub fn position(&self) -> Position {
        Position { sequence: self.sequence, index: self.batch.last_index(), hash: self.hash }
    }
}

impl Journal {
    /// Reads everything after a position to the stream's present end, in order, each batch proved
    /// before `visit` sees it.
    ///
    /// # Errors
    /// At the first batch that does not join, naming its sequence and index; what was visited before
    /// stands. Also when the stream is shorter than the position, or does not answer.
    pub async fn read_after(
        &self,
        position: Position,
        mut visit: impl FnMut(JournalBatch),
    ) -> Result<ReadEnd, ReadError> {
        let at = |sequence: u64| move |source: ApiError| ReadError::Api { sequence, source };
        let last_sequence = self.patiently(|| self.last_sequence_behind(&position)).await;
        let stream_last_sequence = last_sequence.map_err(at(position.sequence))?;
        if stream_last_sequence < position.sequence {
            return Err(ReadError::Regressed {
                expected_sequence: position.sequence,
                last_sequence: stream_last_sequence,
            });
        }
        let mut end = ReadEnd { position, stream_last_sequence, batches: 0 };
        while end.position.sequence < stream_last_sequence {
            let next = end.position.sequence + 1;
            let messages =
                self.patiently(|| self.get_from(next, MESSAGES_AT_ONCE)).await.map_err(at(next))?;
            if messages.is_empty() {
                break;
            }
            for message in messages {
                let batch = JournalBatch::prove(message, &end.position)?;
                end.position = batch.position();
                end.batches += 1;
                visit(batch);
            }
        }
        Ok(end)
    }

    /// The stream's last sequence as its leader has it. On a cluster that may be less than a replica has shown before: the
    /// leader has not come so far yet, or another was elected and it has not heard of that. Where what was read last still
    /// stands, nothing is lost, and the leader is asked again.
    async fn last_sequence_behind(&self, position: &Position) -> Result<u64, ApiError> {
        let last_sequence = self.state().await?.last_sequence;
        if last_sequence >= position.sequence {
            return Ok(last_sequence);
        }
        let wait = self.patience.answer;
        match api::message_at(&self.client, streams::JOURNAL, position.sequence, wait).await? {
            Some(stored) if Hash::of(&stored.payload) == position.hash => {
                Err(api::leader_is_behind(streams::JOURNAL, last_sequence))
            }
            _ => Ok(last_sequence),
        }
    }

    /// Reads as [`Journal::read_after`] and collects.
    ///
    /// # Errors
    /// As [`Journal::read_after`].
    pub async fn read_from(&self, position: Position) -> Result<(Vec<JournalBatch>, ReadEnd), ReadError> {
        let mut batches = Vec::new();
        let end = self.read_after(position, |batch| batches.push(batch)).await?;
        Ok((batches, end))
    }

    /// Follows the journal live after a position.
    pub fn follow(&self, position: Position) -> Follower {
        Follower { journal: self.clone(), position }
    }

    /// The position before the first batch that the stream still holds; the start where it holds none.
    /// # Errors
    /// When it does not answer, or what it holds first is no batch.
    pub async fn before_first(&self) -> Result<Position, ReadError> {
        let messages = self
            .patiently(|| self.get_from(1, 1))
            .await
            .map_err(|source| ReadError::Api { sequence: 1, source })?;
        let Some(Stored { sequence, payload }) = messages.into_iter().next() else {
            return Ok(Position::START);
        };
        let batch = Batch::decode(&payload).map_err(|source| ReadError::Undecodable {
            sequence,
            expected_index: 1,
            source,
        })?;
        Ok(Position {
            sequence: sequence.saturating_sub(1),
            index: batch.first_index.saturating_sub(1),
            hash: batch.previous_hash,
        })
    }

    /// The next messages from a sequence; empty only where the stream's leader has none.
    async fn get_from(&self, sequence: u64, at_most: u64) -> Result<Vec<Stored>, ApiError> {
        let messages = self.direct_get(sequence, at_most).await?;
        let which = json!({ "seq": sequence, "next_by_subj": streams::JOURNAL_SUBJECT });
        if messages.is_empty()
            && api::leader_has(&self.client, streams::JOURNAL, &which, self.patience.answer).await?
        {
            let subject = streams::api_direct_get(streams::JOURNAL);
            return Err(ApiError::Failed { subject, reason: "a replica lags behind".to_owned() });
        }
        Ok(messages)
    }

    async fn direct_get(&self, sequence: u64, at_most: u64) -> Result<Vec<Stored>, ApiError> {
        let subject = streams::api_direct_get(streams::JOURNAL);
        let failed = |reason: String| ApiError::Failed { subject: subject.clone(), reason };
        let body = json!({
            "seq": sequence,
            "next_by_subj": streams::JOURNAL_SUBJECT,
            "batch": at_most,
            "max_bytes": BYTES_AT_ONCE,
        });
        let inbox = self.client.new_inbox();
        let mut answers =
            self.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
        self.client
            .publish_with_reply(subject.clone(), inbox, Bytes::from(body.to_string()))
            .await
            .map_err(|error| failed(error.to_string()))?;
        let mut messages = Vec::new();
        loop {
            let waited_ms = self.patience.answer.as_millis();
            match tokio::time::timeout(self.patience.answer, answers.next()).await {
                Ok(Some(message)) => match end_of_batch(&message) {
                    None => messages.push(api::stored(&subject, message)?),
                    Some(200..=299 | 404) => return Ok(messages),
                    Some(503) => return Err(ApiError::NoResponders { subject }),
                    Some(status) => return Err(failed(format!("status {status}"))),
                },
                Ok(None) => return Err(ApiError::Disconnected),
                Err(_) => return Err(ApiError::TimedOut { subject, waited_ms }),
            }
        }
    }

    /// Asks again while the reason may pass and patience lasts.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        mut question: impl FnMut() -> F,
    ) -> Result<T, ApiError> {
        let started = Instant::now();
        loop {
            match question().await {
                Err(error) if error.is_passing() && started.elapsed() < self.patience.total => {
                    tokio::time::sleep(PAUSE_BEFORE_ASKING_AGAIN).await;
                }
                answer => return answer,
            }
        }
    }
}

/// The status that ends a batched get, `None` for a message.
fn end_of_batch(message: &Message) -> Option<u16> {
    message.status.map(|status| status.as_u16())
}

/// A live reader of the journal.
///
/// It asks the stream again and again. A subscription to the journal's subject would be no source:
/// whoever subscribes also sees appends that the stream refused.
#[derive(Debug)]
pub struct Follower {
    journal: Journal,
    position: Position,
}

impl Follower {
    /// After the last batch that was returned.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The next batches, as soon as there are any; empty where `patience` passed without one.
    ///
    /// # Errors
    /// As [`Journal::read_after`].
    pub async fn next(&mut self, patience: Duration) -> Result<(Vec<JournalBatch>, ReadEnd), ReadError> {
        let started = Instant::now();
        loop {
            let (batches, end) = self.journal.read_from(self.position).await?;
            self.position = end.position;
            if !batches.is_empty() || started.elapsed() >= patience {
                return Ok((batches, end));
            }
            tokio::time::sleep(PAUSE_WHILE_FOLLOWING).await;
        }
    }
}
