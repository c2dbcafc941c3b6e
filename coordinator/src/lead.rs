//! Leading: a candidate appends that it leads, and whoever's entry stands there first does.
//!
//! ```text
//!   candidate: do others know more? --no--> append Leader{epoch + 1} behind what was read
//!                                              | ours stands there: the driver leads   | another's: go on following
//! ```
//!
//! Nothing is decided before the acknowledgement of the own entry. Leading ends by a planned handover, or with the
//! journal lost to another; then nothing of what was held in memory is kept.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream;
use bioxen_protocol::id::random_token;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::driver::{Driver, DriverError, wall_ms};
use crate::fleet::format::Format;
use crate::follow::Following;
use crate::journal::batch::FORMAT;
use crate::journal::{AppendError, Batch, JournalBatch};
use crate::ledger::Ledger;
use crate::peers::Peers;
use crate::snapshot::keeper::{Keeper, Readers};
use crate::verify::Verifier;
use crate::{Member, RunError, answer, intake, projector};

/// Batches that the projector may be behind before it reads the journal for them.
const PROJECTOR_BATCHES: usize = 1_024;
/// How long one request may take, and what is still to be told at an end.
const WAIT: Duration = Duration::from_secs(5);
/// A candidate looks again after this where another knows more of the journal.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at what the others know.
const PAUSE_BETWEEN_FORMATS: Duration = Duration::from_secs(5);
/// A candidate whose append is not answered is alive.
const BEAT: Duration = Duration::from_secs(1);

/// How a candidature ended.
pub(crate) enum Candidature {
    Won(Box<Lead>),
    /// Another was quicker, or knows more.
    Lost,
    Unjoined,
    Stopped,
}

/// What a new leader has beside the fleet.
pub(crate) struct Lead {
    /// Where others send commands for this epoch.
    forwarded: Subscriber,
    /// The fleet before its own first entry, for the projector.
    before: projector::Start,
}

/// How leading ended.
pub(crate) enum Led {
    Stopped,
    /// Another leads, or the journal has to be healed.
    Deposed(Box<Ledger>),
}

/// Tries to lead.
pub(crate) async fn stand(
    member: &Member,
    following: &mut Following,
    stop: &mut watch::Receiver<bool>,
) -> Result<Candidature, RunError> {
    let is_resigned = following.fleet.leader.is_none() && following.position.index > 0;
    if !is_resigned && let Some(peer) = member.peers.ahead_of(following.position.index).await {
        tracing::warn!(
            peer = peer.name,
            peer_index = peer.index,
            index = following.position.index,
            "another coordinator knows more of the journal than stands in it: it heals first"
        );
        tokio::time::sleep(PAUSE).await;
        return Ok(Candidature::Lost);
    }
    match following.is_joined().await {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(index = following.position.index, "the journal lost what was read from it last");
            return Ok(Candidature::Unjoined);
        }
        Err(error) => {
            tracing::debug!(%error, "the journal cannot be read");
            return Ok(Candidature::Lost);
        }
    }
    let fleet = &following.fleet;
    let epoch = fleet.epoch + 1;
    let forwarded = intake::door::forwarded_to(&member.client, epoch).await?;
    let js = jetstream::new(member.client.clone());
    let submit_sequence = match intake::submit::cursor(&js, fleet.submit_sequence, fleet.time_ms).await {
        Ok(sequence) => sequence,
        Err(error) => {
            tracing::warn!(%error, "the submit stream cannot be read, so this coordinator does not try to lead yet");
            tokio::time::sleep(PAUSE).await;
            return Ok(Candidature::Lost);
        }
    };
    let fleet_id = following.fleet_id.clone().map_or_else(|| random_token(8), Ok)?;
    let batch = Batch {
        format: FORMAT,
        fleet: fleet_id,
        incarnation: fleet.incarnation,
        epoch,
        first_index: following.position.index + 1,
        time_ms: wall_ms().max(fleet.time_ms),
        previous_hash: following.position.hash,
        submit_sequence,
        entries: fleet.first_of_leader(&member.config.name, &member.config.resources),
    };
    let (payload, hash) = batch.encode().map_err(DriverError::from)?;
    let appending = append(member, &payload, &hash, following.position.sequence);
    let sequence = tokio::select! {
        _ = stop.wait_for(|stop| *stop) => return Ok(Candidature::Stopped),
        appended = appending => match appended {
            Ok(sequence) => sequence,
            Err(error @ AppendError::Superseded { .. }) => {
                tracing::info!(%error, "another coordinator was quicker");
                return Ok(Candidature::Lost);
            }
            Err(AppendError::Lost { .. }) => return Ok(Candidature::Unjoined),
            Err(error) => return Err(DriverError::from(error).into()),
        }
    };
    let (fleet, position) = (Box::new(following.fleet.clone()), following.position);
    let before = projector::Start::Fleet { fleet, position };
    let first_index = batch.first_index;
    following.take(JournalBatch { sequence, hash, payload, batch }).await?;
    crate::say_leads(epoch, following.fleet.incarnation, first_index);
    Ok(Candidature::Won(Box::new(Lead { forwarded, before })))
}

/// Appends until it is decided; who waits for that is alive.
async fn append(
    member: &Member,
    payload: &bytes::Bytes,
    hash: &crate::journal::Hash,
    fence: u64,
) -> Result<u64, AppendError> {
    let mut beats = tokio::time::interval(BEAT);
    let deciding = member.journal.append_until_decided(payload.clone(), hash, fence, false);
    tokio::pin!(deciding);
    loop {
        tokio::select! {
            decided = &mut deciding => return decided,
            _ = beats.tick() => member.health.beat(),
        }
    }
}

/// Leads until told to stop, or until another does.
pub(crate) async fn lead(
    member: &Member,
    following: Following,
    lead: Lead,
    stop: watch::Receiver<bool>,
) -> Result<Led, RunError> {
    let Following { fleet, fleet_id, position, feed, ledger_fatal, .. } = following;
    let client = member.client.clone();
    let js = jetstream::new(client.clone());
    let (projector, batches) = mpsc::channel(PROJECTOR_BATCHES);
    let (progress_sender, progress) = watch::channel(projector::Progress::default());
    let events_max_age =
        Duration::from_secs(u64::from(member.config.streams.events_max_age_days) * 24 * 3600);
    let projecting = projector::Config { wait: WAIT, events_max_age };
    let projector_task =
        tokio::spawn(projector::run(client.clone(), projecting, lead.before, batches, progress_sender));

    let readers = Readers {
        projector: progress.clone(),
        ledger: feed.committer.applied(),
        peers: member.peers.clone(),
    };
    let keeper = Keeper::start(member.journal.clone(), member.config.snapshots, readers)?;

    let (outbox, outgoing) = mpsc::unbounded_channel();
    let verifier = Verifier {
        journal: member.journal.clone(),
        committer: Arc::clone(&feed.committer),
        client: client.clone(),
        progress: progress.clone(),
    };
    let outbox_task = tokio::spawn(answer::outbox::run(client.clone(), verifier, keeper.clone(), outgoing));

    let rules = intake::Rules {
        limits: member.config.resources.chassis.clone(),
        sealing_key: member.config.sealing_key.clone(),
    };
    let (lanes, submits) = intake::start(&client, rules.clone(), &member.door, lead.forwarded).await?;
    let (decided_sender, decided) = watch::channel(fleet.submit_sequence);
    let mut reading = JoinSet::new();
    reading.spawn(intake::submit::run(client.clone(), js.clone(), fleet.submit_sequence, submits, rules));
    reading.spawn(intake::submit::purge(js, decided));
    let (activate, formats) = mpsc::channel(1);
    reading.spawn(watch_formats(member.peers.clone(), fleet.format, activate));

    let driver = Driver {
        client: client.clone(),
        connection: member.connection.clone(),
        journal: member.journal.clone(),
        fleet_id: fleet_id.unwrap_or_default(),
        fleet,
        position,
        feed: feed.clone(),
        ledger_fatal,
        projector,
        progress,
        keeper,
        outbox,
        lanes,
        formats,
        decided: decided_sender,
        stats: member.stats.clone(),
        health: member.health.clone(),
    };
    let led = supervise(driver.run(stop), projector_task).await;
    drop(reading);
    // The outbox ends when the driver's handle is gone; then nothing holds the committer any more.
    outbox_task.await.map_err(|error| RunError::Task(error.to_string()))?;
    client.flush().await.ok();
    let ledger = feed.close().await.map_err(DriverError::Ledger);
    match led {
        Ok(()) => ledger.map(|_| Led::Stopped).map_err(RunError::from),
        Err(RunError::Driver(error)) if error.is_deposition() => match ledger? {
            Some(ledger) => Ok(Led::Deposed(Box::new(ledger))),
            None => Err(error.into()),
        },
        // The first error is what matters: that the ledger's thread has ended may follow from it.
        Err(error) => Err(error),
    }
}

/// Finds out which format every live coordinator knows, until it is the newest.
async fn watch_formats(peers: Peers, mut active: Format, activate: mpsc::Sender<Format>) {
    while active < Format::NEWEST {
        let peers = peers.gather_patiently().await;
        if let Some(format) = Format::to_activate(active, peers.iter().map(|peer| peer.format)) {
            tracing::info!(%format, "every live coordinator knows this format: it is activated");
            active = format;
            if activate.send(format).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(PAUSE_BETWEEN_FORMATS).await;
    }
}

/// The driver's end ends the projector; the projector's end must not come first.
async fn supervise(
    driver: impl Future<Output = Result<(), DriverError>>,
    mut projector: JoinHandle<Result<(), projector::ProjectorError>>,
) -> Result<(), RunError> {
    tokio::pin!(driver);
    tokio::select! {
        led = &mut driver => {
            // Whoever leads now projects the rest. Else its channel is closed with the driver; it projects what it has,
            // or is given up after a while.
            let is_deposed = led.as_ref().is_err_and(DriverError::is_deposition);
            let patience = if is_deposed { Duration::ZERO } else { WAIT };
            let rest = tokio::time::timeout(patience, &mut projector).await;
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
