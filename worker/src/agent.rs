//! The one task that talks to the bus: it registers, beats, takes commands, reports.
//!
//! ```text
//!   registering --grant--> registered --RegisterAgain--> registering      VMs are kept throughout
//!        \---BootRefused--> refused --after the time given--> registering
//! ```
//!
//! What was lost on the way is made good by the next heartbeat's digest, so a report is sent once and never
//! queued for long: while there is no connection it is dropped. It owns lease and VMs, and computes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use bioxen_protocol::client::servers;
use bioxen_protocol::id::{BootId, VmKey, WorkerId, random_token};
use bioxen_protocol::limits::{HEARTBEAT, OBSERVATIONS};
use bioxen_protocol::subject::Subject;
use bioxen_protocol::worker::{
    Capacity, Desired, DesiredState, Heartbeat, Observation, Register, VmQueryReply, WorkerCommand,
    WorkerReport,
};
use bioxen_telemetry::{Health, Readiness};
use futures::StreamExt;
use tokio::time::{MissedTickBehavior, interval};

use self::packing::Packing;
use crate::backend::Backend;
use crate::lease::{Ignored, Lease};
use crate::packs::Packs;
use crate::results::Stores;
use crate::settings::Settings;
use crate::vms::Vms;
use crate::{WorkerError, clock, metrics, wire};

mod guests;
mod leaving;
mod packing;
mod parts;
mod sending;
mod telemetry;

/// Finds a connection that is dead without having been closed.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const RECONNECT_DELAY: Duration = Duration::from_millis(500);
/// A quantum takes a tenth of a second; one in work for so long is stuck.
const STUCK_QUANTUM: Duration = Duration::from_secs(60);

const BUS: &str = "bus";
const LEASE: &str = "lease";

/// How others see whether the worker lives and is ready.
#[derive(Debug, Clone)]
pub struct Probes {
    pub health: Health,
    pub readiness: Readiness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Registering,
    /// Another boot holds the name; ask again at this time.
    Refused(Duration),
    Registered,
}

/// One boot of a worker.
#[derive(Debug)]
pub struct Agent {
    worker: WorkerId,
    boot: BootId,
    client: Client,
    commands: Subscriber,
    report_subject: String,
    capacity: Capacity,
    backend: Arc<dyn Backend>,
    vms: Vms,
    lease: Lease,
    phase: Phase,
    /// Of the last heartbeat or registration.
    number: u64,
    probes: Probes,
    frames: telemetry::Frames,
    stores: Stores,
    packing: Packing,
    leaving: leaving::Leaving,
    guests: guests::Guests,
}

impl Agent {
    /// Makes a boot id and connects, to offer VMs also of `packs` (name, digest); a bus that is not there yet is waited for.
    ///
    /// # Errors
    /// An address that cannot be one, figures that do not fit, no randomness.
    pub async fn connect(
        settings: &Settings,
        packs: BTreeMap<String, String>,
        backend: Arc<dyn Backend>,
        probes: Probes,
    ) -> Result<Self, WorkerError> {
        let capacity = Capacity {
            max_vms: settings.worker.max_vms,
            total_ribosomes: settings.worker.total_ribosomes,
            usable_ribosomes: settings.worker.usable_ribosomes()?,
            warning_permille: settings.worker.warning_permille(),
            vm_types: vec![backend.vm_type()],
            packs,
            pools: backend.pools(),
            own_pools: backend.own_pools(),
        };
        let worker = settings.name.clone();
        let boot: BootId = random_token(8)?.parse().map_err(crate::settings::BadSettings::Name)?;
        let url = settings.url.clone();
        let client = ConnectOptions::new()
            .name(format!("bioxen-worker {worker}"))
            .retry_on_initial_connect()
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(|_| RECONNECT_DELAY)
            .event_callback(log_event)
            .connect(servers(&url))
            .await
            .map_err(|source| WorkerError::Connect { url: url.clone(), source })?;
        let subject = Subject::WorkerCommand { worker: worker.clone(), boot: boot.clone() };
        let commands = client.subscribe(subject.to_string()).await?;
        let report = Subject::WorkerReport { worker: worker.clone(), boot: boot.clone() };
        tracing::info!(worker.id = %worker, worker.boot = %boot, bus.url = url, "worker starts");
        probes.readiness.not_ready(BUS, "not connected yet");
        probes.readiness.not_ready(LEASE, "no grant yet");
        Ok(Self {
            vms: Vms::new(Arc::clone(&backend), capacity.max_vms),
            frames: telemetry::Frames::new(&worker, settings.worker.resource_warning_threshold),
            packing: Packing::new(Packs::new(&client, &worker, &boot), &settings.worker),
            worker,
            boot,
            stores: Stores::new(&client),
            client,
            commands,
            report_subject: report.to_string(),
            capacity,
            backend,
            lease: Lease::default(),
            phase: Phase::Registering,
            number: 0,
            leaving: leaving::Leaving::default(),
            guests: guests::Guests::default(),
            probes,
        })
    }

    /// The worker's connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Works until `told` to stop, or until something makes that impossible. Told so, its VMs move away as far as others
    /// have room; then it commits nothing more, and what its cells have come to is packed.
    ///
    /// # Errors
    /// The connection was closed for good, or the backend no longer runs.
    pub async fn run(mut self, told: impl Future<Output = &'static str>) -> Result<(), WorkerError> {
        let backend = Arc::clone(&self.backend);
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = std::pin::pin!(told);
        loop {
            tokio::select! {
                command = self.commands.next() => {
                    let message = command.ok_or(WorkerError::Closed)?;
                    self.receive(message).await;
                }
                () = backend.changed().notified() => self.report_changes().await?,
                Some(stored) = self.stores.done() => self.backend.stored(&stored.0, stored.1),
                () = self.packing.due() => {
                    let held = self.vms.generations();
                    self.packing.begin(&self.backend, held);
                }
                _ = beat.tick() => self.beat().await,
                signal = &mut told, if !self.leaving.is_told() => self.begin_to_leave(signal).await,
                () = self.leaving.over() => {
                    self.go().await;
                    return Ok(());
                }
            }
        }
    }

    async fn beat(&mut self) {
        let figures = self.backend.figures();
        if figures.longest_in_work < STUCK_QUANTUM {
            self.probes.health.beat();
        }
        self.announce().await;
        self.tell_unconfirmed().await;
        self.tell_leaving().await;
        let now = clock::boot_time();
        self.tell_guests(now).await;
        self.show_readiness(now);
        metrics::record(&figures, self.lease.remaining(now));
        self.frames.check_threshold(&figures, self.capacity.usable_ribosomes);
        let frame = self.frames.frame(&self.boot, &figures, self.capacity.usable_ribosomes);
        if let Ok(json) = serde_json::to_vec(&frame) {
            self.publish(self.frames.subject(), json).await;
        }
        self.publish_samples(frame.time_ms).await;
    }

    /// What stands still until its level is told again, a part of it with each heartbeat.
    async fn tell_unconfirmed(&self) {
        let vms: Vec<_> = self.vms.unconfirmed().take(OBSERVATIONS).collect();
        if !vms.is_empty() && self.phase == Phase::Registered {
            self.report(&WorkerReport::Unconfirmed { vms }).await;
        }
    }

    /// What monitored VMs show, each on its own subject.
    async fn publish_samples(&self, time_ms: u64) {
        for (VmKey { user, vm }, sample) in self.backend.take_samples(time_ms) {
            if let Ok(json) = serde_json::to_vec(&sample) {
                self.publish(&Subject::VmTelemetry { user, vm }.to_string(), json).await;
            }
        }
    }

    /// The second's registration or heartbeat.
    async fn announce(&mut self) {
        let now = clock::boot_time();
        if let Phase::Refused(until) = self.phase {
            if now < until {
                return;
            }
            self.phase = Phase::Registering;
        }
        if !self.is_connected() {
            return;
        }
        self.number += 1;
        let number = self.number;
        let report = match self.phase {
            Phase::Registered => {
                let (epoch, inventory) = (self.lease.epoch(), self.vms.digest());
                WorkerReport::Heartbeat(Heartbeat { number, epoch, inventory })
            }
            Phase::Registering | Phase::Refused(_) => WorkerReport::Register(Register {
                capacity: self.capacity.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                number,
            }),
        };
        self.lease.sent(number, now);
        self.report(&report).await;
    }

    fn show_readiness(&self, now: Duration) {
        let readiness = &self.probes.readiness;
        if self.is_connected() {
            readiness.ready(BUS);
        } else {
            readiness.not_ready(BUS, "not connected; is nats-server running, and is --url right?");
        }
        if self.lease.stands(now) {
            readiness.ready(LEASE);
        } else {
            readiness.not_ready(LEASE, "no leader has granted one lately; is a coordinator running?");
        }
    }

    async fn receive(&mut self, message: Message) {
        let command = match wire::decode(&message.payload) {
            Ok(command) => command,
            Err(error) => return drop_message(&error),
        };
        if let WorkerCommand::Query { key, generation, with } = command {
            // A VM that has just ended is then known as such.
            let told = self.vms.observe();
            self.report_observed(told).await;
            let live = self.vms.query(&key, generation, with);
            let reply = live.map_or(VmQueryReply::Absent, |live| VmQueryReply::Vm(Box::new(live)));
            return self.answer(&message, &reply).await;
        }
        if let WorkerCommand::QueryTrace { key, generation, row } = &command {
            let reply = self.vms.rows(key, *generation, *row).unwrap_or(VmQueryReply::Absent);
            return self.answer(&message, &reply).await;
        }
        if let Err(ignored) = self.obey(command).await {
            drop_message(&ignored);
        }
    }

    async fn obey(&mut self, command: WorkerCommand) -> Result<(), Ignored> {
        match command {
            WorkerCommand::Grant { incarnation, epoch, heartbeat, lease_ms, registration, fleet } => {
                let lease = Duration::from_millis(lease_ms);
                let until = self.lease.grant(incarnation, epoch, heartbeat, lease)?;
                if self.lease.registered(incarnation, registration) {
                    self.vms.stand_still();
                }
                self.backend.fleet(&fleet);
                self.backend.lease(until);
                if self.phase != Phase::Registered {
                    tracing::info!(leader.epoch = epoch, "registered: the lease stands");
                    crate::say(&format!("bioxen-worker registered name={} boot={}", self.worker, self.boot));
                    self.phase = Phase::Registered;
                    self.guests.registered(clock::boot_time());
                }
                self.show_readiness(clock::boot_time());
            }
            WorkerCommand::BootRefused { epoch, holder, retry_after_ms } => {
                self.lease.hear(epoch)?;
                tracing::warn!(
                    worker.id = %self.worker, holder, retry_after_ms,
                    "refused: another boot of this name holds the lease; if it is to go on, choose another --name"
                );
                self.phase =
                    Phase::Refused(clock::boot_time() + Duration::from_millis(retry_after_ms.min(60_000)));
            }
            WorkerCommand::RegisterAgain { epoch } => {
                self.lease.hear(epoch)?;
                self.phase = Phase::Registering;
                self.announce().await;
            }
            WorkerCommand::Desire { epoch, registration, mut vms } => {
                self.lease.hear(epoch)?;
                if self.lease.registered(self.lease.incarnation(), registration) {
                    self.vms.stand_still();
                }
                if !self.lease.is_current(registration) {
                    // To give up a generation is right whenever it was told.
                    vms.retain(|desired| desired.state == DesiredState::Absent);
                }
                self.desire(vms).await;
            }
            WorkerCommand::SendInventory { epoch } => {
                self.lease.hear(epoch)?;
                self.send_inventory().await;
            }
            WorkerCommand::Beat { epoch } => {
                self.lease.hear(epoch)?;
                self.announce().await;
            }
            WorkerCommand::Leave { epoch, may_go } => {
                self.lease.hear(epoch)?;
                self.leaving.heard(may_go);
            }
            WorkerCommand::Execute { epoch, key, generation, process } => {
                self.lease.hear(epoch)?;
                self.backend.execute(&key, generation, process);
            }
            WorkerCommand::Unowned { epoch, vms } => {
                self.lease.hear(epoch)?;
                self.backend.unowned(&vms);
            }
            // Answered before.
            WorkerCommand::Query { .. } | WorkerCommand::QueryTrace { .. } => {}
        }
        Ok(())
    }

    async fn desire(&mut self, vms: Vec<Desired>) {
        let told: Vec<Observation> = vms.into_iter().filter_map(|desired| self.vms.desire(desired)).collect();
        self.report_observed(told).await;
    }

    async fn report_changes(&mut self) -> Result<(), WorkerError> {
        if let Some(reason) = self.backend.broken() {
            return Err(WorkerError::Broken(reason));
        }
        for recording in self.backend.recordings() {
            self.stores.store(recording);
        }
        let observed = self.vms.observe();
        self.report_observed(observed).await;
        Ok(())
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }
}

fn drop_message(why: &dyn std::fmt::Display) {
    ::metrics::counter!(metrics::BAD_MESSAGES.name).increment(1);
    tracing::warn!(%why, "a message from the bus was dropped");
}

async fn log_event(event: Event) {
    match event {
        Event::Connected => tracing::info!("connected to the bus"),
        Event::Disconnected => tracing::warn!("the connection to the bus is lost; trying again"),
        event => tracing::warn!(%event, "the bus"),
    }
}
