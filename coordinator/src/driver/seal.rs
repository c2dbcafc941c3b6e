//! Sealing a batch, sending it, and what its acknowledgement releases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bioxen_protocol::id::VmKey;
use bioxen_protocol::limits::LEADER_SILENCE;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{ProcessEnd, WorkerCommand};

use super::batch::{Filling, Released, Sealed};
use super::{Append, Driver, DriverError, State, owes_append};
use crate::answer::outbox::Outgoing;
use crate::fleet::entry::Entry;
use crate::fleet::{Forget, Touched};
use crate::intake::ensemble::make_member;
use crate::journal::batch::FORMAT;
use crate::journal::{Batch, JournalBatch, Position};
use crate::rows;

/// VMs in one message to a worker: bounds the message far below the bus's own limit.
const LEVELS_PER_MESSAGE: usize = 8;
/// VMs of expired boots that end in one batch; the rest in the next.
const ENDS_AT_ONCE: usize = 256;

impl Driver {
    /// Sends the batch that was filled; releases at once what needs no append.
    pub(super) fn send_next(&mut self, state: &mut State) -> Result<Option<Append>, DriverError> {
        // Whoever has not appended for so long may have been deposed, and must not answer reads before it knows.
        let is_sure = state.sent.elapsed() < LEADER_SILENCE || !state.filling.has_effects();
        if !owes_append(state) && !self.fleet.ends_are_due() && is_sure {
            let released = self.release_reads(state);
            self.release(state, released);
            return Ok(None);
        }
        let sealed = self.seal(state)?;
        metrics::histogram!(crate::metrics::BATCH_ENTRIES).record(sealed.batch.entries.len() as f64);
        metrics::histogram!(crate::metrics::BATCH_BYTES).record(sealed.payload.len() as f64);
        let (journal, payload, hash) = (self.journal.clone(), sealed.payload.clone(), sealed.hash);
        let fence = self.position.sequence;
        state.in_flight = Some(sealed);
        state.sent = Instant::now();
        let connected_since = self.connection.healthy_since();
        let looks_first = connected_since.is_none() || connected_since != state.appended_on;
        state.appended_on = connected_since;
        Ok(Some(Box::pin(
            async move { journal.append_until_decided(payload, &hash, fence, looks_first).await },
        )))
    }

    fn seal(&mut self, state: &mut State) -> Result<Sealed, DriverError> {
        if !state.filling.is_full() {
            for entry in self.fleet.ends_of_expired(ENDS_AT_ONCE) {
                self.evolve(state, entry)?;
            }
        }
        if !state.filling.is_full() {
            for entry in self.fleet.lost_processes(self.now_ms(), ENDS_AT_ONCE) {
                self.evolve(state, entry)?;
            }
            for entry in self.fleet.ends_of_ensembles(ENDS_AT_ONCE) {
                self.evolve(state, entry)?;
            }
        }
        self.place_again(state)?;
        while !state.filling.is_full()
            && let Some(entries) = self.fleet.next_from_queue(&|ensemble, number| {
                make_member(ensemble, number, &self.fleet.config.chassis)
            })
        {
            for entry in entries {
                self.evolve(state, entry)?;
            }
        }
        if !state.filling.is_full() {
            self.fleet.queue_is_blocked();
        }
        if state.resigns {
            let coordinator = self.fleet.leader.clone().unwrap_or_default();
            self.evolve(state, Entry::Resign { epoch: state.epoch, coordinator })?;
        }
        if state.filling.entries.is_empty() {
            self.evolve(state, Entry::Tick)?;
        }
        let filling = std::mem::take(&mut state.filling);
        if let Some(sequence) = filling.submit_sequence {
            self.fleet.submit_sequence = sequence;
        }
        let touched = self.fleet.take_touched();
        let batch = Batch {
            format: FORMAT,
            fleet: self.fleet_id.clone(),
            incarnation: self.fleet.incarnation,
            epoch: state.epoch,
            first_index: self.position.index + 1,
            time_ms: filling.time_ms,
            previous_hash: self.position.hash,
            submit_sequence: self.fleet.submit_sequence,
            entries: filling.entries,
        };
        let (payload, hash) = batch.encode()?;
        let rows = rows::changed(&self.fleet, &touched)?;
        let levels: BTreeSet<VmKey> = touched.levels.iter().chain(&filling.tell_again).cloned().collect();
        let mut effects = filling.effects;
        effects.extend(filling.grants);
        effects.extend(self.levels(state, &levels, &touched.forget));
        let states = self.states(&touched, &filling.waiters);
        let ended = ended_processes(&batch.entries);
        let released = Released { effects, waiters: filling.waiters, states, ended };
        Ok(Sealed { batch, payload, hash, rows, placed_again: filling.placed_again, released })
    }

    /// The effects of a batch without entries. It is called only while no append is in flight.
    fn release_reads(&mut self, state: &mut State) -> Released {
        let Filling { mut effects, grants, waiters, tell_again, .. } = std::mem::take(&mut state.filling);
        state.filling.grants = grants;
        effects.extend(self.levels(state, &tell_again, &[]));
        let states = self.states(&Touched::default(), &waiters);
        Released { effects, waiters, states, ended: Vec::new() }
    }

    fn states(&self, touched: &Touched, waiters: &[super::waiting::Waiter]) -> BTreeMap<VmKey, VmState> {
        let keys = touched.vms.iter().chain(waiters.iter().map(|waiter| &waiter.key));
        let ensembles = touched.members.iter().map(|(ensemble, _)| ensemble).chain(&touched.ensembles);
        let state = |key: &VmKey| self.fleet.state_of(key).unwrap_or(VmState::Destroyed);
        keys.chain(ensembles).map(|key| (key.clone(), state(key))).collect()
    }

    /// What workers are told of these VMs, and of generations that they shall give up.
    fn levels(&self, state: &State, keys: &BTreeSet<VmKey>, forget: &[Forget]) -> Vec<Outgoing> {
        let mut messages = Vec::new();
        for ((worker, boot), mut levels) in self.fleet.levels(keys, forget) {
            let (epoch, registration) = (state.epoch, self.fleet.registration(&worker, &boot));
            while !levels.is_empty() {
                let rest = levels.split_off(levels.len().min(LEVELS_PER_MESSAGE));
                let command =
                    WorkerCommand::Desire { epoch, registration, vms: std::mem::replace(&mut levels, rest) };
                messages.push(Outgoing::Worker { worker: worker.clone(), boot: boot.clone(), command });
            }
        }
        messages
    }

    /// The journal has the batch: everything that waited for that may happen.
    pub(super) async fn acknowledged(&mut self, state: &mut State, sequence: u64) -> Result<(), DriverError> {
        let Some(sealed) = state.in_flight.take() else { return Ok(()) };
        metrics::histogram!(crate::metrics::APPEND_SECONDS).record(state.sent.elapsed().as_secs_f64());
        state.last_append = Instant::now();
        let Sealed { batch, payload, hash, rows, placed_again, released } = sealed;
        self.position = Position { sequence, index: batch.last_index(), hash };
        super::counted::count(&batch.entries, &placed_again);
        self.release(state, released);
        self.decided.send_replace(batch.submit_sequence);
        let batch = Arc::new(JournalBatch { sequence, hash, payload, batch });
        self.keeper.feed(&batch);
        // A projector that is behind reads the journal for what it misses here.
        if let Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) =
            self.projector.try_send(Arc::clone(&batch))
        {
            return Err(DriverError::Projector("its channel is closed".to_owned()));
        }
        self.feed.pass(&batch, rows).await?;
        Ok(())
    }

    fn release(&mut self, state: &mut State, released: Released) {
        let Released { effects, waiters, states, ended } = released;
        self.send(effects);
        self.processes_ended(state, ended);
        let stats = self.stats.clone();
        let answers = state.waiting.acknowledged(waiters, &states, &mut |waiter| {
            stats.note(Some(waiter.verb), waiter.received, None)
        });
        self.send(answers);
    }
}

/// What processes came to in a batch.
pub(super) fn ended_processes(entries: &[Entry]) -> Vec<(VmKey, ProcessEnd)> {
    let ended = entries.iter().filter_map(|entry| match entry {
        Entry::Observed(seen) => Some((seen.key.clone(), seen.process.clone()?)),
        Entry::ProcessLost { key, number } => Some((key.clone(), crate::fleet::lost_process(*number))),
        _ => None,
    });
    ended.collect()
}
