//! At start: whether what the streams hold fits the journal, and from where to fold so that nothing is left out.

use std::time::Duration;

use async_nats::Client;

use super::end::Place;
use super::output::Output;
use super::{ProjectorError, Start};
use crate::fleet::entry::Entry;
use crate::journal::api::{self, ApiError};
use crate::journal::{Batch, Journal, Patience, Position, ReadError, streams};
use crate::snapshot::{self, Shadow, Which};

/// How many batches are looked at to see that nothing but ticks was journaled since the streams' ends: 80 minutes of
/// a fleet in which nothing happens.
const MOST_BATCHES: u64 = 10_000;

/// Whether the start's fleet can be folded on from; else the journal is folded from its beginning.
///
/// # Errors
/// Where a stream tells of entries that the journal does not hold.
pub(super) async fn fits(
    client: &Client,
    wait: Duration,
    start: &Start,
    output: &Output,
) -> Result<bool, ProjectorError> {
    let journal_end = journal_end(client, wait).await?;
    let (incarnation, journal_index) =
        journal_end.map_or((0, 0), |batch| (batch.incarnation, batch.last_index()));
    for (stream, end) in output.ends() {
        let ahead = |place: &Place| (place.incarnation, place.index) > (incarnation, journal_index);
        if let Some(place) = end.filter(ahead) {
            return Err(ProjectorError::Ahead { stream, found_index: place.index, journal_index });
        }
    }
    let Start::Fleet { fleet, position } = start else { return Ok(false) };
    let fits = fleet.next_index == position.index + 1 && holds_all(client, wait, *position, output).await?;
    if !fits {
        tracing::info!("folding the journal from further back: events or audit records may still be missing");
    }
    Ok(fits)
}

/// From where to fold where the start's fleet is no use: the journal's first batch, or the newest snapshot up to which
/// both streams hold all. Events that are gone with the journal's beginning are gone; audit records may not be.
///
/// # Errors
/// Where the journal was compacted beyond the audit stream's end.
pub(super) async fn beginning(client: &Client, output: &Output) -> Result<Shadow, ProjectorError> {
    let journal = Journal::new(client.clone(), Patience::default());
    let (number, [events, _]) = (output.audit_number(), output.ends());
    let events_told = told(events.1);
    let has_audit = |begins: &Shadow| begins.chain.number <= number;
    let has_all = |begins: &Shadow| has_audit(begins) && begins.last_event_index <= events_told;
    if let Some(begins) = snapshot::beginning(&journal, Which::Newest, has_all).await? {
        return Ok(begins);
    }
    let oldest = snapshot::beginning(&journal, Which::Oldest, has_audit).await?;
    let oldest = oldest.ok_or(ProjectorError::Behind { number })?;
    tracing::warn!(
        index = oldest.position.index,
        "the journal does not reach back to what the events stream lacks: events before this index stay lost"
    );
    Ok(oldest)
}

/// The last batch that stands in the journal.
async fn journal_end(client: &Client, wait: Duration) -> Result<Option<Batch>, ProjectorError> {
    let state = api::stream_state(client, streams::JOURNAL, wait).await;
    let mut sequence = state.map_err(at(0))?.last_sequence;
    for _ in 0..MOST_BATCHES {
        match batch_at(client, sequence, wait).await? {
            None if sequence > 1 => sequence -= 1,
            end => return Ok(end),
        }
    }
    Ok(None)
}

async fn batch_at(client: &Client, sequence: u64, wait: Duration) -> Result<Option<Batch>, ProjectorError> {
    if sequence == 0 {
        return Ok(None);
    }
    let Some(stored) =
        api::message_at(client, streams::JOURNAL, sequence, wait).await.map_err(at(sequence))?
    else {
        return Ok(None);
    };
    let batch = Batch::decode(&stored.payload);
    let undecodable = |source| ReadError::Undecodable { sequence, expected_index: 0, source };
    Ok(Some(batch.map_err(undecodable)?))
}

fn at(sequence: u64) -> impl Fn(ApiError) -> ReadError {
    move |source| ReadError::Api { sequence, source }
}

/// Whether both streams hold all that the entries up to a position give.
async fn holds_all(
    client: &Client,
    wait: Duration,
    position: Position,
    output: &Output,
) -> Result<bool, ProjectorError> {
    let [events_told, audit_told] = output.ends().map(|(_, place)| told(place));
    let mut sequence = position.sequence;
    for _ in 0..MOST_BATCHES {
        if sequence == 0 {
            return Ok(true);
        }
        let Some(batch) = batch_at(client, sequence, wait).await? else { return Ok(false) };
        for (index, entry) in (batch.first_index..).zip(&batch.entries) {
            let untold = (index > events_told && may_give_events(entry))
                || (index > audit_told && *entry != Entry::Tick);
            if untold && index <= position.index {
                return Ok(false);
            }
        }
        if batch.first_index <= events_told.min(audit_told) + 1 {
            return Ok(true);
        }
        sequence -= 1;
    }
    Ok(false)
}

/// The last entry of which a stream holds everything, as its last message shows.
fn told(end: Option<Place>) -> u64 {
    end.map_or(0, |place| place.index.saturating_sub(u64::from(!place.is_last_of_entry())))
}

pub(super) fn may_give_events(entry: &Entry) -> bool {
    !matches!(
        entry,
        Entry::Tick
            | Entry::Leader { .. }
            | Entry::Resign { .. }
            | Entry::Activate { .. }
            | Entry::Configured { .. }
            | Entry::Registered { .. }
            | Entry::LimitsSet { .. }
    )
}
