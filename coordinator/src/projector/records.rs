//! Reading one user's events and audit records: what the verbs `events` and `audit` answer.
//!
//! Where to begin is found by bisecting the stream, whose messages stand in the order of their entries; then one
//! filtered read takes the user's own. This file must not read on behalf of anybody but the user that it is given.

use std::time::Duration;

use async_nats::Client;
use bioxen_protocol::audit::AuditRecord;
use bioxen_protocol::event::Event;
use bioxen_protocol::id::UserId;
use bioxen_protocol::limits::RECORDS;
use bioxen_protocol::subject;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::pages::page;
use crate::journal::api::{self, ApiError};
use crate::journal::streams;

/// Read beyond the page, to give all that the last entry says in one answer.
const MORE: usize = 32;

/// The user's events of entries after `since_index`, oldest first: at most `limit` (and [`RECORDS`]), and beyond that
/// only what belongs to the last one's entry, so that the last index is a cursor.
///
/// # Errors
/// When nats-server does not answer.
pub async fn read_events(
    client: &Client,
    user: &UserId,
    since_index: u64,
    limit: usize,
    wait: Duration,
) -> Result<Vec<Event>, ApiError> {
    let filter = subject::events_of(user, None);
    read(
        client,
        Source { stream: streams::EVENTS, all: streams::EVENTS_SUBJECTS, filter },
        since_index,
        limit,
        wait,
    )
    .await
}

/// The user's audit records of entries after `since_index`, as [`read_events`].
///
/// # Errors
/// When nats-server does not answer.
pub async fn read_audit(
    client: &Client,
    user: &UserId,
    since_index: u64,
    limit: usize,
    wait: Duration,
) -> Result<Vec<AuditRecord>, ApiError> {
    let filter = subject::audit_of(user);
    read(
        client,
        Source { stream: streams::AUDIT, all: streams::AUDIT_SUBJECTS, filter },
        since_index,
        limit,
        wait,
    )
    .await
}

struct Source {
    stream: &'static str,
    all: &'static str,
    filter: String,
}

/// What both kinds have; the rest is not looked at while bisecting.
#[derive(Deserialize)]
struct Indexed {
    index: u64,
}

async fn read<T: DeserializeOwned>(
    client: &Client,
    source: Source,
    since_index: u64,
    limit: usize,
    wait: Duration,
) -> Result<Vec<T>, ApiError> {
    let limit = limit.clamp(1, RECORDS);
    let mut sequence = first_after(client, &source, since_index, wait).await?;
    let mut found: Vec<T> = Vec::new();
    let mut last_index = None;
    loop {
        let at_most = limit.saturating_sub(found.len()) + MORE;
        let messages = page(client, source.stream, &source.filter, sequence, at_most, wait).await?;
        let at_end = messages.is_empty();
        for message in messages {
            sequence = message.sequence + 1;
            // Whoever may publish there can leave anything: what is no record of ours is passed over.
            let Ok(Indexed { index }) = serde_json::from_slice(&message.payload) else { continue };
            if index <= since_index {
                continue;
            }
            if found.len() >= limit && last_index != Some(index) {
                return Ok(found);
            }
            if let Ok(record) = serde_json::from_slice(&message.payload) {
                found.push(record);
                last_index = Some(index);
            }
        }
        if at_end {
            return Ok(found);
        }
    }
}

/// A sequence before which no entry after `since_index` stands.
async fn first_after(
    client: &Client,
    source: &Source,
    since_index: u64,
    wait: Duration,
) -> Result<u64, ApiError> {
    let state = api::stream_state(client, source.stream, wait).await?;
    let (mut low, mut high) = (state.first_sequence, state.last_sequence + 1);
    if since_index == 0 {
        return Ok(low);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        let message = page(client, source.stream, source.all, middle, 1, wait).await?.into_iter().next();
        let index = message.and_then(|message| {
            let Indexed { index } = serde_json::from_slice(&message.payload).ok()?;
            Some((message.sequence, index))
        });
        match index {
            Some((sequence, index)) if index <= since_index => low = sequence + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
