//! The coordinator: takes commands from the bus, decides on them, journals what was decided, and answers.
//!
//! One command, from subject to reply, in five files:
//!
//! | step | where |
//! |---|---|
//! | a message becomes what is asked, in its user's queue | `intake/decode.rs` |
//! | the driver takes it, the core decides, the fleet evolves | `driver/changes.rs`, `fleet/decide/` |
//! | the batch is sealed, appended, acknowledged | `driver/seal.rs` |
//! | the ledger, the projector and whoever waits get their part | `driver/seal.rs`, `driver/waiting.rs` |
//! | the answer is encoded and published | `answer/outbox.rs` |
//!
//! ```text
//!  cmd, ops, submit --> intake --> driver (owns the fleet) --append--> journal (JetStream)
//!  worker reports   -->   |          |  after the ack: outbox, committer (sled), projector (events, audit)
//!  $SRV.* <-- services ---/          \--> workers: grants, desired levels
//! ```
//!
//! The core (`fleet/`) is pure. The journal is the truth; the ledger is a local memory that is verified, not trusted.

mod answer;
pub mod backup;
mod cell;
pub mod config;
mod connection;
mod driver;
pub mod fleet;
mod intake;
pub mod journal;
pub mod leases;
pub mod ledger;
mod metrics;
mod packed;
pub mod projector;
mod recordings;
mod recover;
pub mod rows;
pub mod snapshot;
pub mod verify;

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_nats::jetstream;
use bioxen_protocol::id::random_token;
use bioxen_protocol::package::PACKAGES_BUCKET;
use bioxen_protocol::packed::CHECKPOINTS_BUCKET;
use bioxen_protocol::worker::RESULTS_BUCKET;
use bioxen_telemetry::{Health, Readiness};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use config::Config;
pub use driver::DriverError;
pub use recover::RecoverError;

use driver::Driver;
use driver::stats::Stats;
use fleet::entry::Entry;
use journal::{Journal, Patience, server, streams};
use ledger::Committer;
use recover::{Recovered, recover};
use verify::Verifier;

/// How long one request at start may take.
const WAIT: Duration = Duration::from_secs(5);
/// The driver beats at least twice a tick; later than this it is stuck.
const HEART_MOST_AGE: Duration = Duration::from_secs(5);
/// Batches that the projector may be behind before it reads the journal for them.
const PROJECTOR_BATCHES: usize = 1_024;

/// Why a coordinator did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("no connection to nats-server at {url}: {source}; is it running, and is the address right?")]
    Connect { url: String, source: async_nats::ConnectError },
    #[error(transparent)]
    Packs(#[from] bioxen_packs::PacksError),
    #[error(transparent)]
    Server(#[from] server::ServerError),
    #[error(transparent)]
    Stream(#[from] streams::StreamError),
    #[error(transparent)]
    Bucket(#[from] recordings::BucketError),
    #[error(transparent)]
    Snapshots(#[from] snapshot::SnapshotError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error("nothing can be subscribed to: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    #[error(transparent)]
    Telemetry(#[from] bioxen_telemetry::TelemetryError),
    #[error("the submit stream cannot be read: {0}; start again")]
    Submit(#[source] async_nats::Error),
    #[error("no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error("no random name can be drawn: {0}")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Limits(#[from] intake::chassis::InvalidChassisLimits),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Projector(#[from] projector::ProjectorError),
    #[error("a task of the coordinator ended that must not: {0}")]
    Task(String),
}

/// Runs a coordinator until `stop` turns true, or until it may not lead any more.
///
/// # Errors
/// Whatever kept it from starting, or ended it; the text says what to do.
pub async fn run(config: Config, stop: watch::Receiver<bool>) -> Result<(), RunError> {
    intake::chassis::check(&config.resources.chassis)?;
    let (health, readiness) = (Health::new(HEART_MOST_AGE), Readiness::new());
    readiness.not_ready("leads", "it is starting");
    config.packs.as_deref().map(bioxen_packs::load).transpose()?;
    let handle = bioxen_telemetry::install_metrics()?;
    bioxen_telemetry::describe(metrics::ALL);
    bioxen_telemetry::describe(&projector::METRICS);
    let address = bioxen_telemetry::loopback(config.http_port);
    let (address, http) = bioxen_telemetry::serve(address, handle, health.clone(), readiness.clone()).await?;
    say(&format!("bioxen-coordinator metrics=http://{address}/metrics"));

    let connected = connection::connect(&config.url, &config.name).await;
    let (client, connection) =
        connected.map_err(|source| RunError::Connect { url: config.url.clone(), source })?;
    check_server(&client, &config).await?;
    let journal = Journal::new(client.clone(), Patience::default());
    let recovered = recover(&journal, &config.data, config.accept_journal).await?;
    let led = lead(config, client, connection, journal, recovered, stop, health, readiness).await;
    http.abort();
    led
}

async fn check_server(client: &async_nats::Client, config: &Config) -> Result<(), RunError> {
    server::check(client, WAIT).await?;
    match server::sync_always(config.monitoring_url.as_deref(), WAIT).await {
        server::SyncAlways::Yes => {}
        risk => tracing::warn!("{risk}"),
    }
    for (stream, ensured) in streams::ensure(client, &config.streams, WAIT).await? {
        tracing::info!(stream, ?ensured, "stream");
    }
    let replicas = config.streams.replicas;
    recordings::ensure(client, RESULTS_BUCKET, "what VMs recorded", replicas).await?;
    recordings::ensure(client, CHECKPOINTS_BUCKET, "what workers packed of their VMs", replicas).await?;
    recordings::ensure(client, PACKAGES_BUCKET, "published packages", replicas).await?;
    snapshot::SnapshotStore::ensure(client, replicas).await?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the parts that run() made, handed over once")]
async fn lead(
    config: Config,
    client: async_nats::Client,
    connection: connection::Connection,
    journal: Journal,
    recovered: Recovered,
    stop: watch::Receiver<bool>,
    health: Health,
    readiness: Readiness,
) -> Result<(), RunError> {
    let Recovered { mut fleet, fleet_id, position, ledger } = recovered;
    let fleet_id = fleet_id.map_or_else(|| random_token(8), Ok)?;
    let (committer, ledger_fatal) = Committer::start(ledger)?;
    let committer = Arc::new(committer);
    let js = jetstream::new(client.clone());
    fleet.submit_sequence =
        intake::submit::cursor(&js, fleet.submit_sequence, fleet.time_ms).await.map_err(RunError::Submit)?;
    let stats = Stats::new();

    let (projector, batches) = mpsc::channel(PROJECTOR_BATCHES);
    let (progress_sender, progress) = watch::channel(projector::Progress::default());
    let start = projector::Start::Fleet { fleet: Box::new(fleet.clone()), position };
    let events_max_age = Duration::from_secs(u64::from(config.streams.events_max_age_days) * 24 * 3600);
    let projecting = projector::Config { wait: WAIT, events_max_age };
    let projector_task =
        tokio::spawn(projector::run(client.clone(), projecting, start, batches, progress_sender));

    let readers = snapshot::keeper::Readers { projector: progress.clone(), ledger: committer.applied() };
    let keeper = snapshot::keeper::Keeper::start(journal.clone(), config.snapshots, readers)?;

    let (outbox, outgoing) = mpsc::unbounded_channel();
    let verifier = Verifier {
        journal: journal.clone(),
        committer: Arc::clone(&committer),
        client: client.clone(),
        progress: progress.clone(),
    };
    let outbox_task = tokio::spawn(answer::outbox::run(client.clone(), verifier, keeper.clone(), outgoing));

    let (lanes, submits) = intake::start(&client, config.resources.chassis.clone()).await?;
    let (decided_sender, decided) = watch::channel(fleet.submit_sequence);
    let limits = config.resources.chassis.clone();
    tokio::spawn(intake::submit::run(client.clone(), js.clone(), fleet.submit_sequence, submits, limits));
    tokio::spawn(intake::submit::purge(js, decided));
    intake::services::run(client.clone(), config.name.clone(), stats.clone(), SystemTime::now()).await?;

    let entries = first_entries(&fleet, &config);
    let driver = Driver {
        client: client.clone(),
        connection,
        journal,
        fleet,
        fleet_id,
        position,
        committer: Arc::clone(&committer),
        ledger_fatal,
        projector,
        progress,
        keeper,
        outbox,
        lanes,
        decided: decided_sender,
        stats,
        health,
        readiness,
    };
    let led = supervise(driver.run(entries, stop), projector_task).await;
    // The outbox ends when the driver's handle is gone; then nothing holds the committer any more.
    outbox_task.await.map_err(|error| RunError::Task(error.to_string()))?;
    client.flush().await.ok();
    if let Some(committer) = Arc::into_inner(committer) {
        committer.close().await.map_err(DriverError::Ledger)?;
    }
    led
}

/// What a new leader journals first: that it leads, and the limits where they are others than before.
fn first_entries(fleet: &fleet::Fleet, config: &Config) -> Vec<Entry> {
    let leader = Entry::Leader { epoch: fleet.epoch + 1, coordinator: config.name.clone() };
    let configured = Entry::Configured { config: config.resources.clone() };
    let is_new = fleet.next_index == 1 || fleet.config != config.resources;
    std::iter::once(leader).chain(is_new.then_some(configured)).collect()
}

/// The driver's end ends the projector; the projector's end must not come first.
async fn supervise(
    driver: impl Future<Output = Result<(), DriverError>>,
    mut projector: JoinHandle<Result<(), projector::ProjectorError>>,
) -> Result<(), RunError> {
    tokio::pin!(driver);
    tokio::select! {
        led = &mut driver => {
            // Its channel is closed with the driver; it projects what it has, or is given up after a while.
            let rest = tokio::time::timeout(WAIT, &mut projector).await;
            if rest.is_err() {
                projector.abort();
            }
            Ok(led?)
        }
        ended = &mut projector => {
            // The driver finds the channel closed with its next batch, and steps down.
            let led = tokio::time::timeout(WAIT, &mut driver).await;
            tracing::error!(?led, "the projector ended, so the driver has to");
            match ended {
                Ok(Ok(())) => Err(RunError::Task("the projector".to_owned())),
                Ok(Err(error)) => Err(error.into()),
                Err(error) => Err(RunError::Task(error.to_string())),
            }
        }
    }
}

/// The one line by which whoever started this process knows that it leads.
pub(crate) fn say_leads(epoch: u64, incarnation: u64, index: u64) {
    say(&format!("bioxen-coordinator leads epoch={epoch} incarnation={incarnation} index={index}"));
}

fn say(line: &str) {
    // Nobody may read it any more; that is no reason to end.
    let _ = writeln!(std::io::stdout(), "{line}");
}
