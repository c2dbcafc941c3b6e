//! One stream that the projector fills: what stands in it, what is still to be published, and publishing each message
//! exactly once, in order.
//!
//! ```text
//!   push --> pending --publish a window--> acknowledged
//!                ^            | conflict, no answer, an error
//!                |            v
//!                +---- what stands at the stream's end?  (drop what does; go on behind it)
//! ```
//!
//! Every message expects the one before it at the stream's end, so the answer to the last of a window stands for all,
//! and two projectors of one journal cannot interleave: whoever comes second finds the same message there already.
//! This file must not know what the messages say.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Request};
use bioxen_mutants::{Mutant, is_on};
use bytes::Bytes;
use serde::Deserialize;

use super::end::{End, Place, read_end};
use crate::journal::api::{self, ApiError, code};
use crate::journal::streams;

/// Events published before their answer is awaited.
const EVENTS_IN_FLIGHT: usize = 1_000;
/// Records of one atomic batch; nats-server takes 1,000.
const RECORDS_IN_BATCH: usize = 500;
/// Beyond this many the projector reads no further: what waits can always be folded again.
const MOST_PENDING: usize = 50_000;

const HEADER_BATCH_ID: &str = "Nats-Batch-Id";
const HEADER_BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const HEADER_BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// Which stream, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Published one by one with an id, so that live subscribers can tell a repeat.
    Events,
    /// In atomic batches: they are synced, and a sync each would be too slow.
    Audit,
}

impl Kind {
    pub(super) fn stream(self) -> &'static str {
        match self {
            Self::Events => streams::EVENTS,
            Self::Audit => streams::AUDIT,
        }
    }

    pub(super) fn subjects(self) -> &'static str {
        match self {
            Self::Events => streams::EVENTS_SUBJECTS,
            Self::Audit => streams::AUDIT_SUBJECTS,
        }
    }

    fn window(self) -> usize {
        match self {
            Self::Events => EVENTS_IN_FLIGHT,
            Self::Audit => RECORDS_IN_BATCH,
        }
    }
}

/// A message to be published; `T` is what its maker wants back once it stands.
#[derive(Debug)]
pub(super) struct Pending<T> {
    pub(super) place: Place,
    pub(super) subject: String,
    pub(super) payload: Bytes,
    pub(super) content: T,
}

/// Why a sink cannot go on as it is.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The stream lost messages that were published: fold the journal again from where it ends now.
    Lost,
    /// Another message stands at this place.
    Different { place: Place },
}

/// How far publishing came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    All,
    /// Ask again in a while.
    Later,
    /// The stream takes no more until somebody gives it room.
    Full,
}

enum Attempt {
    Stored,
    Full,
    Doubtful(ApiError),
}

#[derive(Debug)]
pub(super) struct Sink<T> {
    client: Client,
    kind: Kind,
    wait: Duration,
    end: End,
    pending: VecDeque<Pending<T>>,
    with_ids: bool,
    /// The end moved past all that was pending: somebody else published.
    overtaken: bool,
}

impl<T> Sink<T> {
    /// Finds the stream's end.
    pub(super) async fn open(client: Client, kind: Kind, wait: Duration) -> Result<Self, ApiError> {
        let end = read_end(&client, kind, wait).await?;
        Ok(Self { client, kind, wait, end, pending: VecDeque::new(), with_ids: true, overtaken: false })
    }

    /// The last message that is known to stand.
    pub(super) fn end(&self) -> &End {
        &self.end
    }

    pub(super) fn stands(&self, place: Place) -> bool {
        self.end.place.is_some_and(|end| end >= place)
    }

    pub(super) fn push(&mut self, pending: Pending<T>) {
        self.pending.push_back(pending);
    }

    pub(super) fn first_pending(&self) -> Option<Place> {
        self.pending.front().map(|pending| pending.place)
    }

    /// Whether somebody else has published since this was last asked.
    pub(super) fn take_overtaken(&mut self) -> bool {
        std::mem::take(&mut self.overtaken)
    }

    pub(super) fn pending(&self) -> u64 {
        self.pending.len() as u64
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < MOST_PENDING
    }

    /// Publishes what is pending; `stored` gets each message that this call put there, in order.
    pub(super) async fn flush(&mut self, mut stored: impl FnMut(Pending<T>)) -> Result<Flushed, Trouble> {
        while !self.pending.is_empty() {
            let count = self.pending.len().min(self.kind.window());
            match self.publish(count).await {
                Attempt::Stored => {
                    self.with_ids = true;
                    self.end.sequence += count as u64;
                    for pending in self.pending.drain(..count) {
                        self.end.place = Some(pending.place);
                        self.end.payload = pending.payload.clone();
                        stored(pending);
                    }
                }
                Attempt::Full => return Ok(Flushed::Full),
                Attempt::Doubtful(doubt) => {
                    tracing::debug!(stream = self.kind.stream(), error = %doubt, "looking at the stream's end");
                    // A stream may remember the id of a message that it lost, and swallow it as a repeat.
                    self.with_ids = self.look(&mut stored).await?;
                    if !self.with_ids {
                        return Ok(Flushed::Later);
                    }
                }
            }
        }
        Ok(Flushed::All)
    }

    /// Publishes the first `count`; the answer to the last stands for all.
    async fn publish(&self, count: usize) -> Attempt {
        let batch = self.client.new_inbox();
        let batch = batch.rsplit('.').next().unwrap_or(&batch);
        let expected = self.end.sequence + count as u64;
        let all = async {
            for (at, pending) in self.pending.iter().take(count).enumerate() {
                let headers = self.headers(pending, at, count, batch);
                let (subject, payload) = (pending.subject.clone(), pending.payload.clone());
                if at + 1 < count {
                    let published = self.client.publish_with_headers(subject.clone(), headers, payload).await;
                    published.map_err(|error| ApiError::Failed { subject, reason: error.to_string() })?;
                } else {
                    let request = Request::new().headers(headers).payload(payload);
                    let answer = api::ask(&self.client, &subject, request, self.wait).await?;
                    return api::read::<Ack>(&subject, &answer.payload).map(|ack| (subject, ack));
                }
            }
            Err(ApiError::Disconnected)
        };
        // While the connection is lost a full buffer makes even a publish wait.
        let answer = tokio::time::timeout(self.wait * 2, all).await.unwrap_or(Err(ApiError::Disconnected));
        match answer {
            Ok((_, ack))
                if ack.stream == self.kind.stream() && !ack.duplicate && ack.sequence == expected =>
            {
                Attempt::Stored
            }
            Ok((subject, ack)) => {
                let reason = format!("expected sequence {expected}, answered {ack:?}");
                Attempt::Doubtful(ApiError::Failed { subject, reason })
            }
            Err(ApiError::Refused { code, .. })
                if code == code::STREAM_FULL || code::STORAGE_EXCEEDED.contains(&code) =>
            {
                Attempt::Full
            }
            Err(error) => Attempt::Doubtful(error),
        }
    }

    fn headers(&self, pending: &Pending<T>, at: usize, count: usize, batch: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        pending.place.write(&mut headers);
        if self.kind == Kind::Events && is_on(Mutant::PublishedTwice) {
            return headers;
        }
        if self.kind == Kind::Events && self.with_ids {
            headers.insert(streams::HEADER_MESSAGE_ID, pending.place.message_id());
        }
        if self.kind == Kind::Events || at == 0 {
            let expected = self.end.sequence + at as u64;
            headers.insert(streams::HEADER_EXPECTED_LAST_SEQUENCE, expected.to_string());
        }
        if self.kind == Kind::Audit && count > 1 {
            headers.insert(HEADER_BATCH_ID, batch);
            headers.insert(HEADER_BATCH_SEQUENCE, (at + 1).to_string());
            if at + 1 == count {
                headers.insert(HEADER_BATCH_COMMIT, "1");
            }
        }
        headers
    }

    /// Reads the stream's end again and takes out what stands there. False where nothing new was learned.
    async fn look(&mut self, stored: &mut impl FnMut(Pending<T>)) -> Result<bool, Trouble> {
        let end = match read_end(&self.client, self.kind, self.wait).await {
            Ok(end) => end,
            Err(error) => {
                tracing::debug!(stream = self.kind.stream(), %error, "the stream's end cannot be read");
                return Ok(false);
            }
        };
        // All of it grown old is not lost: the sequence stays.
        let aged = end.place.is_none() && end.sequence >= self.end.sequence;
        if end.place < self.end.place && !aged {
            return Err(Trouble::Lost);
        }
        let learned = end.sequence != self.end.sequence;
        while self.pending.front().is_some_and(|pending| end.place >= Some(pending.place)) {
            let Some(pending) = self.pending.pop_front() else { break };
            let same = Some(pending.place) != end.place || end.payload == pending.payload;
            // An event may be worded anew by a later version; an audit record may not.
            if self.kind == Kind::Audit && !same {
                return Err(Trouble::Different { place: pending.place });
            }
            stored(pending);
        }
        self.overtaken |= learned && self.pending.is_empty();
        self.end = if aged { End { sequence: end.sequence, ..self.end.clone() } } else { end };
        Ok(learned)
    }
}

#[derive(Debug, Deserialize)]
struct Ack {
    stream: String,
    #[serde(rename = "seq")]
    sequence: u64,
    #[serde(default)]
    duplicate: bool,
}
