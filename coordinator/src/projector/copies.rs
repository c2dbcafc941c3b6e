//! Audit records as they are, out of their stream and into an empty one.

use std::time::Duration;

use async_nats::Client;
use bioxen_protocol::audit::AuditRecord;
use bioxen_protocol::subject::Subject;
use bytes::Bytes;

use super::end::Place;
use super::pages::page;
use super::sink::{Flushed, Kind, Pending, Sink, Trouble};
use crate::journal::api::{ApiError, Stored};
use crate::journal::streams;

const WAIT: Duration = Duration::from_secs(5);
const RECORDS_AT_ONCE: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(100);

/// The next records from a sequence on; none at the stream's end.
///
/// # Errors
/// When nats-server does not answer.
pub(crate) async fn audit_page(client: &Client, sequence: u64) -> Result<Vec<Stored>, ApiError> {
    page(client, streams::AUDIT, streams::AUDIT_SUBJECTS, sequence, RECORDS_AT_ONCE, WAIT).await
}

/// Writes records into an empty stream, in order.
#[derive(Debug)]
pub(crate) struct AuditWriter {
    sink: Sink<()>,
    /// Those of one entry, until it is seen how many there are.
    of_entry: Vec<(AuditRecord, Bytes)>,
    written: u64,
}

impl AuditWriter {
    pub(crate) async fn open(client: &Client) -> Result<Self, ApiError> {
        let sink = Sink::open(client.clone(), Kind::Audit, WAIT).await?;
        Ok(Self { sink, of_entry: Vec::new(), written: 0 })
    }

    /// False where the stream is full.
    pub(crate) async fn push(&mut self, record: AuditRecord, payload: Bytes) -> Result<bool, ApiError> {
        if self.of_entry.first().is_some_and(|(first, _)| first.index != record.index) {
            self.take_entry();
        }
        self.of_entry.push((record, payload));
        Ok(self.sink.pending() < RECORDS_AT_ONCE as u64 || self.flush().await?)
    }

    /// How many stand; None where the stream is full. Those of the last entry are left out unless the last is `complete`.
    pub(crate) async fn finish(mut self, complete: u64) -> Result<Option<u64>, ApiError> {
        if self.of_entry.last().is_some_and(|(last, _)| last.number == complete) {
            self.take_entry();
        }
        Ok(self.flush().await?.then_some(self.written))
    }

    fn take_entry(&mut self) {
        let of = self.of_entry.len() as u64;
        for (n, (record, payload)) in (0..).zip(std::mem::take(&mut self.of_entry)) {
            let place = Place { incarnation: record.incarnation, index: record.index, n, of };
            let subject = Subject::Audit { user: record.user, action: record.action }.to_string();
            self.sink.push(Pending { place, subject, payload, content: () });
        }
    }

    async fn flush(&mut self) -> Result<bool, ApiError> {
        loop {
            let written = &mut self.written;
            match self.sink.flush(|_| *written += 1).await {
                Ok(Flushed::All) => return Ok(true),
                Ok(Flushed::Full) => return Ok(false),
                Ok(Flushed::Later) => tokio::time::sleep(PAUSE).await,
                Err(Trouble::Lost | Trouble::Different { .. }) => {
                    let reason = "somebody else writes there too".to_owned();
                    return Err(ApiError::Failed { subject: streams::AUDIT.to_owned(), reason });
                }
            }
        }
    }
}
