//! The projector: folds the journal once more and publishes what users and auditors are told, each event and record
//! once and in order.
//!
//! ```text
//!   driver --acknowledged batches--> fold --step--> events  --> BIOXEN_EVENTS
//!   journal --what was missed-------^           \-> records --> BIOXEN_AUDIT (chained, atomic batches)
//! ```
//!
//! What stands in the streams tells where to go on: each message names its entry and its place among what the entry
//! gives. So nothing is kept here that a crash could lose. This module decides nothing about the fleet and holds
//! nobody up: the driver passes batches by `try_send`, and what did not fit is read from the journal.

mod alerts;
mod audit_chain;
pub(crate) mod copies;
mod end;
mod events;
mod fold;
mod join;
mod moves;
mod output;
mod pages;
pub mod records;
mod shadow;
mod sink;
pub mod verify;
pub(crate) mod words;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bioxen_telemetry::{Metric, MetricKind};
use tokio::sync::{mpsc, watch};

use crate::fleet::Fleet;
use crate::journal::api::ApiError;
use crate::journal::{JournalBatch, Position, ReadError};
use crate::snapshot::SnapshotError;
pub use audit_chain::{Chain, FLEET};
use output::Output;
pub(crate) use shadow::shadowed;
use sink::{Flushed, Trouble};

/// Between two attempts at what failed: short beside a user's patience, long beside a request.
const PAUSE: Duration = Duration::from_millis(250);
/// Batches taken from the channel before they are published together.
const MOST_AT_ONCE: usize = 64;

/// Entries that are journaled and not yet published, by `sink`.
pub const LAG_ENTRIES: Metric = Metric {
    name: "bioxen_projector_lag_entries",
    kind: MetricKind::Gauge,
    help: "Entries of the journal whose events or audit records are not yet published",
};
/// What was published, by `sink`.
pub const PUBLISHED: Metric = Metric {
    name: "bioxen_projector_published_total",
    kind: MetricKind::Counter,
    help: "Events and audit records published",
};
/// 1 while the audit stream takes no more.
pub const AUDIT_FULL: Metric = Metric {
    name: "bioxen_audit_full",
    kind: MetricKind::Gauge,
    help: "1 while the audit stream is full and new commands are refused",
};
/// For `bioxen_telemetry::describe`.
pub const METRICS: [Metric; 3] = [LAG_ENTRIES, PUBLISHED, AUDIT_FULL];

/// How the projector works.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How long one request waits for its answer.
    pub wait: Duration,
    /// As the events stream is set: older entries are not published into a stream that has outlived all its messages.
    pub events_max_age: Duration,
}

/// What the projector folds on from.
#[derive(Debug)]
pub enum Start {
    /// The fleet exactly as it stands after this position. It is used where both streams hold all up to there, else
    /// the journal is folded from further back. A new leader gives the one before its own `Leader` entry.
    Fleet { fleet: Box<Fleet>, position: Position },
    /// Fold the journal from its beginning, or from a snapshot up to which both streams hold all.
    FromJournal,
}

/// How far the projector is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last entry folded.
    pub folded_index: u64,
    /// Every event of the entries up to this one stands in its stream.
    pub events_index: u64,
    /// Every audit record of the entries up to this one stands in its stream.
    pub audit_index: u64,
    /// The number of the last audit record.
    pub audit_number: u64,
    /// The audit stream takes no more: admission refuses new commands until it does.
    pub audit_full: bool,
}

/// Why the projector stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    #[error("the journal cannot be projected: {0}")]
    Journal(#[from] ReadError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(
        "the audit stream ends at record {number}, and of the journal only what follows a later snapshot is left: \
         records between are lost for good; restore a backup that holds them"
    )]
    Behind { number: u64 },
    #[error("stream {stream} cannot be projected into: {source}")]
    Stream { stream: &'static str, source: ApiError },
    #[error(
        "stream {stream} tells of entry {found_index}, the journal ends at {journal_index}: the journal lost its end, or \
         the stream is another fleet's; heal the journal from a ledger that holds the rest, or restore a backup, which \
         raises the incarnation"
    )]
    Ahead { stream: &'static str, found_index: u64, journal_index: u64 },
    #[error(
        "the audit stream holds another record than the journal gives for entry {index}: it was written by somebody \
         else, or altered; run verify, and keep a copy before anything is changed"
    )]
    Different { index: u64 },
    #[error("the audit stream's last record, of entry {index}, cannot be read: {reason}; run verify")]
    Unreadable { index: u64, reason: String },
    #[error("an event or audit record cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
}

/// Projects until the channel closes, and then to the journal's end.
///
/// `batches` are acknowledged ones, in order; those that are missing are read from the journal. An outage of NATS is
/// waited for. Dropping the future at any point loses and repeats nothing.
///
/// # Errors
/// When journal and streams do not fit together; never for an outage.
pub async fn run(
    client: Client,
    config: Config,
    start: Start,
    mut batches: mpsc::Receiver<Arc<JournalBatch>>,
    progress: watch::Sender<Progress>,
) -> Result<(), ProjectorError> {
    let mut start = start;
    loop {
        let output = patiently(|| Output::open(&client, config)).await?;
        let fits = patiently(|| join::fits(&client, config.wait, &start, &output)).await?;
        let (fleet, position) = match std::mem::replace(&mut start, Start::FromJournal) {
            Start::Fleet { fleet, position } if fits => (*fleet, position),
            _ => {
                let begins = patiently(|| join::beginning(&client, &output)).await?;
                (begins.fleet, begins.position)
            }
        };
        let projector = Projector { client: &client, config, fleet, position, output, progress: &progress };
        match projector.project(&mut batches).await {
            Err(Stop::Lost) => tracing::warn!(
                "a stream lost what nats-server had taken: publishing it again from the journal"
            ),
            Err(Stop::Error(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
    }
}

/// Asks again while the reason may pass.
async fn patiently<T, F: Future<Output = Result<T, ProjectorError>>>(
    mut question: impl FnMut() -> F,
) -> Result<T, ProjectorError> {
    loop {
        match question().await {
            Err(
                ProjectorError::Stream { source, .. }
                | ProjectorError::Journal(ReadError::Api { source, .. })
                | ProjectorError::Snapshot(
                    SnapshotError::Api(source) | SnapshotError::Journal(ReadError::Api { source, .. }),
                ),
            ) if source.is_passing() => {
                tracing::debug!(error = %source, "waiting for nats-server");
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Why projecting ended before the channel closed.
enum Stop {
    /// A stream lost messages.
    Lost,
    Error(ProjectorError),
}

impl From<ProjectorError> for Stop {
    fn from(error: ProjectorError) -> Self {
        Self::Error(error)
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Lost => Self::Lost,
            Trouble::Different { place } => Self::Error(ProjectorError::Different { index: place.index }),
        }
    }
}

/// What comes next.
enum Next {
    Batch(Arc<JournalBatch>),
    Closed,
    Nothing,
}

struct Projector<'a> {
    client: &'a Client,
    config: Config,
    fleet: Fleet,
    position: Position,
    output: Output,
    progress: &'a watch::Sender<Progress>,
}

impl Projector<'_> {
    async fn project(mut self, batches: &mut mpsc::Receiver<Arc<JournalBatch>>) -> Result<(), Stop> {
        // What the channel showed to be there, ahead of what was folded.
        let mut known_index = 0;
        // The epoch that was led, once the channel is closed.
        let mut closed: Option<u64> = None;
        let mut missing = true;
        loop {
            if missing && self.output.has_room() {
                let more = self.fold_page().await?;
                // Whoever leads since projects the rest: under load nobody would come to its end.
                let is_succeeded = closed.is_some_and(|epoch| self.fleet.epoch > epoch);
                missing = !is_succeeded && (more || known_index > self.position.index);
                if missing && !more {
                    // A replica that lags behind what the leader acknowledged.
                    tokio::time::sleep(PAUSE).await;
                }
            } else if closed.is_some() && self.output.is_flushed() {
                return Ok(());
            }
            if !missing && closed.is_none() {
                let mut next = self.next(batches).await;
                for _ in 0..MOST_AT_ONCE {
                    match next {
                        Next::Batch(batch) => {
                            known_index = known_index.max(batch.batch.last_index());
                            missing |= !self.fold(&batch)?;
                        }
                        // What the channel did not take is in the journal.
                        Next::Closed => (closed, missing) = (Some(self.fleet.epoch), true),
                        Next::Nothing => break,
                    }
                    if missing {
                        break;
                    }
                    next = batches.try_recv().map_or(Next::Nothing, Next::Batch);
                }
            }
            let flushed = self.output.flush().await?;
            let audit_full = match flushed.1 {
                Flushed::All => false,
                Flushed::Full => true,
                Flushed::Later => self.progress.borrow().audit_full,
            };
            self.tell(known_index, audit_full);
            if (missing || closed.is_some()) && flushed != (Flushed::All, Flushed::All) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// The next batch; nothing where what is pending should be tried again.
    async fn next(&self, batches: &mut mpsc::Receiver<Arc<JournalBatch>>) -> Next {
        let retry = async {
            if self.output.is_flushed() {
                std::future::pending().await
            } else {
                tokio::time::sleep(PAUSE).await
            }
        };
        tokio::select! {
            batch = batches.recv(), if self.output.has_room() => batch.map_or(Next::Closed, Next::Batch),
            () = retry => Next::Nothing,
        }
    }

    /// Folds the next page of the journal. False at its end.
    async fn fold_page(&mut self) -> Result<bool, ProjectorError> {
        let (client, wait, position) = (self.client, self.config.wait, self.position);
        let page = patiently(|| async { Ok(pages::journal_page(client, position, wait).await?) }).await?;
        for batch in &page {
            self.fold(batch)?;
        }
        Ok(!page.is_empty())
    }

    /// False where batches are missing before this one.
    fn fold(&mut self, batch: &JournalBatch) -> Result<bool, ProjectorError> {
        let content = &batch.batch;
        if content.last_index() <= self.position.index {
            return Ok(true);
        }
        if content.first_index != self.fleet.next_index {
            return Ok(false);
        }
        self.fleet.incarnation = content.incarnation;
        for entry in &content.entries {
            let step = fold::step(&mut self.fleet, content.time_ms, entry);
            self.output.push(&step)?;
        }
        self.position = batch.position();
        Ok(true)
    }

    fn tell(&self, known_index: u64, audit_full: bool) {
        let folded_index = self.position.index;
        let (events_index, audit_index) = self.output.published(folded_index);
        let now = Progress {
            folded_index,
            events_index,
            audit_index,
            audit_number: self.output.audit_number(),
            audit_full,
        };
        let newest = known_index.max(folded_index);
        for (sink, index) in [("events", events_index), ("audit", audit_index)] {
            metrics::gauge!(LAG_ENTRIES.name, "sink" => sink).set(newest.saturating_sub(index) as f64);
        }
        metrics::gauge!(AUDIT_FULL.name).set(if audit_full { 1.0 } else { 0.0 });
        self.progress.send_if_modified(|progress| {
            if audit_full && !progress.audit_full {
                tracing::error!(
                    "the audit stream is full: new commands are refused until BIOXEN_AUDIT's max_bytes is raised"
                );
            }
            let changed = *progress != now;
            *progress = now;
            changed
        });
    }
}

#[cfg(test)]
mod tests;
