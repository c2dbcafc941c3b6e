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
mod buckets;
mod cell;
pub mod config;
mod connection;
mod driver;
mod feed;
pub mod fleet;
mod follow;
mod intake;
pub mod journal;
mod lead;
pub mod leases;
pub mod ledger;
mod metrics;
mod packed;
mod peers;
pub mod projector;
mod recordings;
mod recover;
pub mod rows;
pub mod snapshot;
pub mod verify;

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bioxen_protocol::id::random_token;
use bioxen_telemetry::{Health, Readiness};
use tokio::sync::watch;

pub use config::Config;
pub use driver::DriverError;
pub use recover::RecoverError;

use driver::stats::Stats;
use feed::Standing;
use follow::{Followed, Following};
use intake::door::Door;
use journal::{Journal, Patience, ReadError, server, streams};
use lead::{Candidature, Led};
use ledger::Ledger;
use peers::Peers;
use recover::{Recovered, recover};

/// How long one request at start may take.
const WAIT: Duration = Duration::from_secs(5);
/// The driver beats at least twice a tick; later than this it is stuck.
const HEART_MOST_AGE: Duration = Duration::from_secs(5);
/// Between two attempts to join the journal anew.
const PAUSE: Duration = Duration::from_millis(500);

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
    Bucket(#[from] buckets::BucketError),
    #[error(transparent)]
    Snapshots(#[from] snapshot::SnapshotError),
    #[error(transparent)]
    Recover(#[from] RecoverError),
    #[error("nothing can be subscribed to: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    #[error(transparent)]
    Telemetry(#[from] bioxen_telemetry::TelemetryError),
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
    #[error("the journal cannot be followed: {0}")]
    Follow(#[source] ReadError),
    #[error(
        "another coordinator runs under the name {name}: give each its own with --name, and its own --data; if it is this one's run before, stop that first"
    )]
    NameTaken { name: String },
    #[error("a task of the coordinator ended that must not: {0}")]
    Task(String),
}

/// One coordinator of a fleet: what it keeps whichever role it has.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) config: Config,
    pub(crate) client: async_nats::Client,
    pub(crate) connection: connection::Connection,
    pub(crate) journal: Journal,
    pub(crate) peers: Peers,
    pub(crate) door: Door,
    pub(crate) stats: Stats,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) health: Health,
    pub(crate) readiness: Readiness,
}

/// Runs a coordinator until `stop` turns true. It follows whoever leads, and leads where nobody does.
///
/// # Errors
/// Whatever kept it from starting, or ended it; the text says what to do.
pub async fn run(config: Config, mut stop: watch::Receiver<bool>) -> Result<(), RunError> {
    intake::chassis::check(&config.resources.chassis)?;
    let (health, readiness) = (Health::new(HEART_MOST_AGE), Readiness::new());
    readiness.not_ready("joined", "it is starting");
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
    let ledger = Ledger::open(&config.data).map_err(RecoverError::from)?;
    let peers = Peers::new(client.clone(), config.name.clone(), random_token(8)?);
    if let Some(peer) = peers.namesake().await {
        return Err(RunError::NameTaken { name: peer.name });
    }
    let index = ledger.applied().map_or(0, |applied| applied.index);
    let (standing, stands) = watch::channel(Standing { index, leads: false });
    peers.answer(stands).await?;
    let stats = Stats::new();
    intake::services::run(client.clone(), config.name.clone(), stats.clone(), SystemTime::now()).await?;
    let journal = Journal::new(client.clone(), Patience::default());
    let recovered = tokio::select! {
        recovered = recover(&journal, &peers, &config.data, ledger, config.accept_journal) => recovered?,
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    let door = Door::open(&client).await?;
    let member =
        Member { config, client, connection, journal, peers, door, stats, standing, health, readiness };
    let ended = take_roles(&member, recovered, stop).await;
    member.door.close().await;
    member.client.flush().await.ok();
    http.abort();
    ended
}

/// Follows and leads, in turns.
async fn take_roles(
    member: &Member,
    mut recovered: Recovered,
    mut stop: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let mut is_first = true;
    loop {
        ::metrics::gauge!(metrics::LEADS).set(0.0);
        let mut following = Following::start(member, recovered, is_first).await?;
        is_first = false;
        let lead = loop {
            match following.follow(member, &mut stop).await? {
                Followed::NobodyLeads => match lead::stand(member, &mut following, &mut stop).await? {
                    Candidature::Won(lead) => break Some(lead),
                    Candidature::Lost => {}
                    Candidature::Unjoined => break None,
                    Candidature::Stopped => return following.close().await.map(drop),
                },
                Followed::Unjoined => break None,
                Followed::Stopped => {
                    // What is held or on its way is passed on first.
                    member.door.close().await;
                    return following.close().await.map(drop);
                }
            }
        };
        let ledger = match lead {
            None => following.close().await?,
            Some(lead) => {
                member.shows_that_it_leads(&following);
                match lead::lead(member, following, *lead, stop.clone()).await? {
                    Led::Stopped => return Ok(()),
                    Led::Deposed(ledger) => *ledger,
                }
            }
        };
        member.shows_that_it_joins();
        let Some(again) = rejoin(member, ledger, &mut stop).await? else { return Ok(()) };
        recovered = again;
    }
}

/// Joins the journal anew, in the same process; None where it was told to stop meanwhile.
async fn rejoin(
    member: &Member,
    ledger: Ledger,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Recovered>, RunError> {
    let mut ledger = Some(ledger);
    loop {
        member.health.beat();
        let ledger = match ledger.take() {
            Some(ledger) => ledger,
            None => Ledger::open(&member.config.data).map_err(RecoverError::from)?,
        };
        let joining = recover(&member.journal, &member.peers, &member.config.data, ledger, false);
        tokio::select! {
            joined = joining => match joined {
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "the journal cannot be joined yet; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
                joined => return Ok(Some(joined?)),
            },
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
        }
    }
}

impl Member {
    fn shows_that_it_leads(&self, following: &Following) {
        self.standing.send_modify(|standing| standing.leads = true);
        ::metrics::gauge!(metrics::LEADS).set(1.0);
        self.readiness.note("role", format!("leader of epoch {}", following.fleet.epoch));
        self.readiness.ready("joined");
    }

    fn shows_that_it_joins(&self) {
        self.standing.send_modify(|standing| standing.leads = false);
        self.readiness.not_ready("joined", "it joins the journal anew");
    }
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
    buckets::ensure(client, config.streams.replicas).await?;
    Ok(())
}

/// The lines by which whoever started this process knows its role.
pub(crate) fn say_leads(epoch: u64, incarnation: u64, index: u64) {
    say(&format!("bioxen-coordinator leads epoch={epoch} incarnation={incarnation} index={index}"));
}

pub(crate) fn say_follows(epoch: u64, incarnation: u64, index: u64) {
    say(&format!("bioxen-coordinator follows epoch={epoch} incarnation={incarnation} index={index}"));
}

fn say(line: &str) {
    // Nobody may read it any more; that is no reason to end.
    let _ = writeln!(std::io::stdout(), "{line}");
}
