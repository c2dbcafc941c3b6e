//! A worker: runs the VMs that a coordinator places on it, and says how they stand.
//!
//! ```text
//!            leader
//!   commands |    ^ reports: register, heartbeats, observations
//!            v    |
//!   agent (one task) -- lease: may we commit?
//!            |       -- vms: desired against held, generations
//!            v
//!   Backend: basic -- simulation threads -- cells of bioxen-hypervisor
//! ```
//!
//! A worker decides nothing of the fleet: it holds a lease of 3 s that heartbeats renew, and brings what it holds
//! to what the leader desires, level by level. Its promise is small and hard: nothing commits unless the lease
//! stands when the quantum has been computed, and of each VM only the highest generation seen is served.
//!
//! | module | job |
//! |---|---|
//! | [`settings`] | what an operator sets |
//! | [`agent`] | the one task that talks to the bus and owns the rest |
//! | [`lease`], [`vms`] | pure: the lease; desired against held |
//! | [`backend`] | the trait; `cells`: pool, pacing, scheduler; `basic`: threads; `xcpng`: guests |
//! | [`guest`] | the pool of children that run process code |
//! | [`xcpng`] | XCP-ng pools, as a client of XAPI; channels to guests |
//! | `words` | what others say, within words of ours |
//! | `results`, `packs` | recordings and packed checkpoints on their way into object stores |
//! | [`wire`], [`metrics`] | messages as bytes; names of metrics |

pub mod agent;
pub mod backend;
mod clock;
pub mod guest;
pub mod lease;
pub mod metrics;
mod objects;
mod packs;
mod results;
pub mod settings;
pub mod vms;
pub mod wire;
mod words;
pub mod xcpng;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bioxen_protocol::command::VmType;
use bioxen_protocol::config::InvalidWorkerConfig;
use bioxen_telemetry::{Health, Readiness, TelemetryError, install_metrics, loopback, serve};
use tokio::signal::unix::{SignalKind, signal};

use self::agent::{Agent, Probes};
use self::backend::cells::Cells;
use self::backend::xcpng::{Common, Xcpng};
use self::backend::{Backend, basic};
use self::guest::{GuestPool, Modules, PoolSettings};
use self::settings::{BadSettings, Settings};
use self::xcpng::channel::Program;
use self::xcpng::config::OwnPools;
use self::xcpng::{BadClient, Pool, XcpngError};

/// A supervisor restarts a worker whose agent has not come round for so long.
const BEAT_AGE_LIMIT: Duration = Duration::from_secs(10);

/// Why a worker cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Settings(#[from] BadSettings),
    #[error(transparent)]
    Packs(#[from] bioxen_packs::PacksError),
    #[error(transparent)]
    Config(#[from] InvalidWorkerConfig),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error("the runtime did not start: {0}; raise the limit on threads of this account")]
    Runtime(#[source] std::io::Error),
    #[error("the simulation threads did not start: {0}; lower worker.threads or raise the limit on threads")]
    Threads(#[source] std::io::Error),
    #[error("signals cannot be received: {0}")]
    Signals(#[source] std::io::Error),
    #[error("no random boot id: {0}")]
    Random(#[from] getrandom::Error),
    #[error("no connection to {url}: {source}; is the address right (--url)?")]
    Connect { url: String, source: async_nats::ConnectError },
    #[error("the subscription of commands failed: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    #[error("the connection to the bus was closed for good; start the worker again")]
    Closed,
    #[error("the simulation stopped: {0}; start the worker again, its VMs are placed anew")]
    Broken(String),
    #[error(transparent)]
    Guests(#[from] guest::GuestError),
    #[error(transparent)]
    Pool(#[from] BadClient),
    #[error(transparent)]
    GuestProgram(#[from] XcpngError),
    #[error("metrics and health are no longer served; start the worker again")]
    ProbesEnded,
}

/// Runs a worker until SIGINT or SIGTERM. Call once in a process.
///
/// # Errors
/// What keeps it from starting, or from doing its work at all; a lost connection is no error but waited out.
pub async fn run(settings: Settings) -> Result<(), WorkerError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WorkerError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(WorkerError::Signals)?;
    let prometheus = install_metrics()?;
    metrics::describe_all();
    let probes = Probes { health: Health::new(BEAT_AGE_LIMIT), readiness: Readiness::new() };
    let threads = settings.worker.threads.unwrap_or_else(cores);
    let quantum = Duration::from_millis(settings.worker.scheduling_quantum_ms);
    let packs = settings.packs.as_deref().map(bioxen_packs::load).transpose()?.unwrap_or_default();
    let runner = match settings.backend {
        VmType::Basic => Runner::basic(&settings, threads, quantum)?,
        VmType::Xcpng => Runner::xcpng(&settings, quantum)?,
    };
    let agent = Agent::connect(&settings, packs, runner.backend(), probes.clone()).await?;
    runner.modules().connect(agent.client());
    let (address, http) =
        serve(loopback(settings.http_port), prometheus, probes.health, probes.readiness).await?;
    tracing::info!("metrics and health on http://{address}");
    say(&format!("bioxen-worker metrics=http://{address}/metrics"));
    let told = async {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    };
    let ended = tokio::select! {
        ended = agent.run(told) => ended,
        _ = http => Err(WorkerError::ProbesEnded),
    };
    runner.end().await;
    ended
}

/// The backend, and what has to be ended with it.
enum Runner {
    Basic { backend: Arc<Cells>, guests: Arc<GuestPool> },
    Xcpng { backend: Arc<Xcpng>, modules: Arc<Modules> },
}

impl Runner {
    fn basic(settings: &Settings, threads: usize, quantum: Duration) -> Result<Self, WorkerError> {
        let pool = PoolSettings { packs: settings.packs.clone(), ..PoolSettings::beside_worker(threads)? };
        let guests = Arc::new(GuestPool::start(&pool)?);
        let backend = basic::start(threads, quantum, Some(&guests)).map_err(WorkerError::Threads)?;
        Ok(Self::Basic { backend: Arc::new(backend), guests })
    }

    fn xcpng(settings: &Settings, quantum: Duration) -> Result<Self, WorkerError> {
        let mut pools = BTreeMap::new();
        for (name, pool) in &settings.pools {
            pools.insert(name.clone(), Pool::open(name, pool.clone())?);
        }
        let own_pools = settings.own_pools.clone().map(OwnPools::open).transpose()?;
        let program = Program::read(&guest::program()?, settings.packs.as_deref())?;
        let modules = Arc::new(Modules::default());
        let common = Common { worker: settings.name.clone(), program, modules: Arc::clone(&modules) };
        let backend = Xcpng::start(pools, own_pools, quantum, common).map_err(WorkerError::Threads)?;
        Ok(Self::Xcpng { backend: Arc::new(backend), modules })
    }

    fn backend(&self) -> Arc<dyn Backend> {
        match self {
            Self::Basic { backend, .. } => Arc::clone(backend) as Arc<dyn Backend>,
            Self::Xcpng { backend, .. } => Arc::clone(backend) as Arc<dyn Backend>,
        }
    }

    fn modules(&self) -> &Modules {
        match self {
            Self::Basic { guests, .. } => guests.modules(),
            Self::Xcpng { modules, .. } => modules,
        }
    }

    async fn end(self) {
        match self {
            // The backend's threads may wait for a guest.
            Self::Basic { guests, .. } => guests.end(),
            Self::Xcpng { backend, .. } => backend.close().await,
        }
    }
}

/// Standard output is for whoever started the process: where its metrics are, and that it is registered.
pub(crate) fn say(line: &str) {
    // Nobody may read it any more; that is no reason to end.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
