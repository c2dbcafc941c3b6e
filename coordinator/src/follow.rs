//! Following: the journal's batches are folded as they come, and the ledger is kept warm behind them.
//!
//! ```text
//!   recovered --> following --silence, a resignation, an empty journal--> candidate (lead.rs)
//!       ^            |  ^                                                     |
//!       |            |  '---------------- another was quicker ----------------'
//!       '-- the journal is shorter than it was, or does not join: look again, heal
//! ```
//!
//! A follower decides and answers nothing: its door forwards commands to the leader, or holds them while there is none.
//! Whether it may try to lead is a question of liveness alone. That only one leads is the fence's doing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bioxen_protocol::limits::LEADER_SILENCE;
use tokio::sync::{oneshot, watch};

use crate::feed::Feed;
use crate::fleet::Fleet;
use crate::fleet::format::Format;
use crate::journal::{Journal, JournalBatch, Patience, Position, ReadError};
use crate::ledger::{self, Committer, Ledger, LedgerError};
use crate::recover::Recovered;
use crate::{Member, RunError, rows};

/// How often the journal is asked for more.
const PAUSE: Duration = Duration::from_millis(25);
/// After a question that was not answered.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(250);
/// How long one question waits; who follows asks again by itself.
const PATIENCE: Patience = Patience { answer: Duration::from_secs(2), total: Duration::ZERO };
/// Followers become candidates a little apart, by their names.
const MOST_JITTER_MS: u64 = 150;

/// A coordinator's copy of the fleet, as far as the journal was read.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) fleet: Fleet,
    /// None where the journal is empty.
    pub(crate) fleet_id: Option<String>,
    /// The fold's position; its sequence is the fence of the next append.
    pub(crate) position: Position,
    pub(crate) feed: Feed,
    pub(crate) ledger_fatal: oneshot::Receiver<LedgerError>,
    journal: Journal,
    /// The last batch that was read: its sequence.
    read_at: Option<u64>,
    /// When a batch came last, or was stored last as far as nats-server says.
    heard: Instant,
    /// This process has seen nobody lead, and by the journal's age or word nobody does.
    may_lead_at_once: bool,
    /// What the door was told last: who leads in which epoch.
    told: Option<(Option<String>, u64)>,
}

/// Why following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    /// Nobody leads, as far as can be seen from here.
    NobodyLeads,
    /// The journal is not what was followed: join it anew.
    Unjoined,
    Stopped,
}

impl Following {
    /// Goes on from where a start or a lost lead has recovered to.
    pub(crate) async fn start(
        member: &Member,
        recovered: Recovered,
        is_first: bool,
    ) -> Result<Self, RunError> {
        let Recovered { fleet, fleet_id, position, read_at, ledger } = recovered;
        let (committer, ledger_fatal) = Committer::start(ledger)?;
        let feed = Feed::new(committer, member.standing.clone());
        member.standing.send_modify(|standing| standing.index = position.index);
        let silent = member.journal.silent_for().await.unwrap_or_default();
        let heard = silent.and_then(|silent| Instant::now().checked_sub(silent)).unwrap_or_else(Instant::now);
        // Where this one led last, its own run before has ended: its ledger was locked.
        let was_ours = is_first && fleet.leader.as_ref() == Some(&member.config.name);
        let is_old = is_first && silent.is_some_and(|silent| silent >= LEADER_SILENCE);
        let journal = Journal::new(member.client.clone(), PATIENCE);
        let may_lead_at_once = was_ours || is_old;
        Ok(Self {
            fleet,
            fleet_id,
            position,
            feed,
            ledger_fatal,
            journal,
            read_at,
            heard,
            may_lead_at_once,
            told: None,
        })
    }

    /// Follows until nobody leads any more.
    ///
    /// # Errors
    /// When the ledger fails, or the journal holds what this program cannot read: it stops and never skips.
    pub(crate) async fn follow(
        &mut self,
        member: &Member,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Followed, RunError> {
        loop {
            member.health.beat();
            self.tell(member).await;
            let read = tokio::select! {
                biased;
                failed = &mut self.ledger_fatal => {
                    let error = failed.unwrap_or(LedgerError::Ended);
                    return Err(RunError::Driver(error.into()));
                }
                _ = stop.wait_for(|stop| *stop) => return Ok(Followed::Stopped),
                read = self.journal.read_from(self.position) => read,
            };
            let pause = match read {
                Ok((batches, end)) => {
                    let is_quiet = batches.is_empty();
                    for batch in batches {
                        self.take(batch).await?;
                    }
                    self.position.sequence = end.fence();
                    if is_quiet && self.nobody_leads(member) {
                        return Ok(Followed::NobodyLeads);
                    }
                    PAUSE
                }
                Err(ReadError::Api { source, .. }) if source.is_passing() => {
                    tracing::debug!(error = %source, "the journal cannot be followed; trying again");
                    PAUSE_AFTER_ERROR
                }
                Err(
                    error @ (ReadError::Regressed { .. }
                    | ReadError::Gap { .. }
                    | ReadError::Repeated { .. }
                    | ReadError::ChainBroken { .. }),
                ) => {
                    tracing::warn!(%error, "the journal changed behind this coordinator: joining it anew");
                    return Ok(Followed::Unjoined);
                }
                Err(error) => return Err(RunError::Follow(error)),
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(Followed::Stopped),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes the next batch of the journal.
    pub(crate) async fn take(&mut self, batch: JournalBatch) -> Result<(), RunError> {
        let touched = rows::fold(&mut self.fleet, &batch.batch);
        let changed = rows::changed(&self.fleet, &touched).map_err(crate::DriverError::from)?;
        self.fleet_id.get_or_insert_with(|| batch.batch.fleet.clone());
        self.position = batch.position();
        self.read_at = Some(batch.sequence);
        self.heard = Instant::now();
        self.may_lead_at_once = false;
        let passed = self.feed.pass(&Arc::new(batch), changed).await;
        passed.map_err(|error| crate::DriverError::from(ledger::reason(error, &mut self.ledger_fatal)))?;
        Ok(())
    }

    /// Whether what was read last still stands in the journal.
    pub(crate) async fn is_joined(&self) -> Result<bool, ReadError> {
        match self.read_at {
            Some(sequence) => self.journal.holds(sequence, &self.position.hash).await,
            None => Ok(true),
        }
    }

    fn nobody_leads(&self, member: &Member) -> bool {
        let Some(healthy_since) = member.connection.healthy_since() else { return false };
        if self.fleet.format > Format::NEWEST {
            return false;
        }
        // An empty journal, or one whose leader has resigned.
        if self.fleet.leader.is_none() || self.may_lead_at_once {
            return true;
        }
        let silent_since = self.heard.max(healthy_since);
        silent_since.elapsed() >= LEADER_SILENCE + jitter(&member.config.name)
    }

    /// Tells door and probes who leads, where that is new.
    async fn tell(&mut self, member: &Member) {
        let now = Some((self.fleet.leader.clone(), self.fleet.epoch));
        if self.told == now || self.may_lead_at_once {
            return;
        }
        if self.fleet.format > Format::NEWEST {
            tracing::warn!(
                format = %self.fleet.format,
                newest_known = %Format::NEWEST,
                "the fleet writes a newer format than this coordinator knows: it follows and never leads; start a newer version in its place"
            );
        }
        self.told = now;
        let epoch = self.fleet.epoch;
        let leader = self.fleet.leader.as_ref().filter(|leader| **leader != member.config.name);
        match leader {
            Some(leader) => {
                member.door.forward(epoch).await;
                member.readiness.note("role", format!("follower: {leader} leads in epoch {epoch}"));
                tracing::info!(leader, epoch, index = self.position.index, "following");
                crate::say_follows(epoch, self.fleet.incarnation, self.position.index);
            }
            None => {
                member.door.hold().await;
                member.readiness.note("role", "follower: nobody leads");
            }
        }
        member.readiness.ready("joined");
    }

    /// Gives the ledger back, complete.
    ///
    /// # Errors
    /// When it has failed.
    pub(crate) async fn close(mut self) -> Result<Ledger, RunError> {
        let closed = self.feed.close().await;
        let closed = closed
            .map_err(|error| crate::DriverError::from(ledger::reason(error, &mut self.ledger_fatal)))?;
        closed.ok_or_else(|| RunError::Task("the ledger is still in use".to_owned()))
    }
}

/// Always the same for a name, and most likely another for another.
fn jitter(name: &str) -> Duration {
    let sum = name.bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    Duration::from_millis(sum % MOST_JITTER_MS)
}
