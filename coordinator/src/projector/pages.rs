//! Reading a stream a page at a time, by batched direct gets: no consumer to create, to lose or to clean up.
//!
//! This file must not interpret what it reads, but for proving that journal batches join.

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;

use crate::journal::api::{self, ApiError, Stored};
use crate::journal::{JournalBatch, Position, ReadError, streams};

/// Bytes asked for at once.
const PAGE_BYTES: u64 = 8 * 1024 * 1024;
/// Batches of the journal asked for at once.
const BATCHES: usize = 256;

/// The next messages at or after a sequence whose subject fits; none where the stream ends before.
pub(super) async fn page(
    client: &Client,
    stream: &str,
    filter: &str,
    sequence: u64,
    at_most: usize,
    wait: Duration,
) -> Result<Vec<Stored>, ApiError> {
    let subject = streams::api_direct_get(stream);
    let failed = |reason: String| ApiError::Failed { subject: subject.clone(), reason };
    if client.connection_state() != State::Connected {
        return Err(ApiError::Disconnected);
    }
    let body = json!({ "seq": sequence, "next_by_subj": filter, "batch": at_most, "max_bytes": PAGE_BYTES });
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| failed(error.to_string()))?;
    client
        .publish_with_reply(subject.clone(), inbox, Bytes::from(body.to_string()))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let mut messages = Vec::new();
    loop {
        match tokio::time::timeout(wait, answers.next()).await {
            Ok(Some(message)) => match message.status.map(|status| status.as_u16()) {
                None => messages.push(api::stored(&subject, message)?),
                // The page's end, or nothing there.
                Some(200..=299 | 404) => return Ok(messages),
                Some(503) => return Err(ApiError::NoResponders { subject }),
                Some(status) => return Err(failed(format!("status {status}"))),
            },
            Ok(None) => return Err(ApiError::Disconnected),
            Err(_) => return Err(ApiError::TimedOut { subject, waited_ms: wait.as_millis() }),
        }
    }
}

/// The next batches of the journal after a position, each proved to join; none at its end.
pub(super) async fn journal_page(
    client: &Client,
    after: Position,
    wait: Duration,
) -> Result<Vec<JournalBatch>, ReadError> {
    let sequence = after.sequence + 1;
    let page = page(client, streams::JOURNAL, streams::JOURNAL_SUBJECT, sequence, BATCHES, wait);
    let messages = page.await.map_err(|source| ReadError::Api { sequence, source })?;
    let mut position = after;
    let mut batches = Vec::with_capacity(messages.len());
    for message in messages {
        let batch = JournalBatch::prove(message, &position)?;
        position = batch.position();
        batches.push(batch);
    }
    Ok(batches)
}
