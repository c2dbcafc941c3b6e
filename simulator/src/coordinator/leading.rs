//! What a coordinator does while it leads: decide, fill the next batch, release what an acknowledgement frees.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bioxen_coordinator::fleet::command::Command;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::fleet::{Fleet, Forget};
use bioxen_coordinator::leases::Leases;
use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::id::{BootId, VmKey, WorkerId};
use bioxen_protocol::limits::{LEASE, TICK};
use bioxen_protocol::worker::{Heartbeat, Observation, ObservedState, Register, WorkerCommand, WorkerReport};

use super::Moment;
use super::moving::Found;
use crate::message::{Asked, Batch, Message, Node, Out};
use crate::worker;

/// As the driver bounds them.
const AT_ONCE: usize = 256;
/// A leader that did not tick for longer was held up, and judges no lease by that time.
const LONGEST_AWAY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Leading {
    pub(super) epoch: u64,
    base: Instant,
    /// With everything decided, stored or not.
    pub(super) fleet: Fleet,
    pub(super) found: Found,
    pub(super) searched_to: Option<VmKey>,
    filling: Filling,
    in_flight: Option<InFlight>,
    pub(super) leases: Leases,
    ticked: Duration,
    last_append: Duration,
}

#[derive(Debug, Default)]
struct Filling {
    entries: Vec<Entry>,
    time_ms: u64,
    effects: Out,
    tell_again: BTreeSet<VmKey>,
}

#[derive(Debug)]
struct InFlight {
    batch: Arc<Batch>,
    begun: Duration,
    /// The last time.
    sent: Duration,
    effects: Out,
}

impl Leading {
    pub(super) fn new(fleet: Fleet, epoch: u64, base: Instant, now: Duration) -> Self {
        let mut leading = Self {
            epoch,
            base,
            fleet,
            found: Found::new(),
            searched_to: None,
            filling: Filling::default(),
            in_flight: None,
            leases: Leases::default(),
            ticked: now,
            last_append: now,
        };
        leading.count_leases_anew(now);
        leading.ask_for_heartbeats();
        leading
    }

    pub(super) fn in_flight(&self) -> Option<Arc<Batch>> {
        self.in_flight.as_ref().map(|in_flight| Arc::clone(&in_flight.batch))
    }

    /// Whether the batch in flight was not answered in time; asked again only after as long.
    pub(super) fn is_overdue(&mut self, now: Duration, patience: Duration) -> bool {
        let in_flight = self.in_flight.as_mut().filter(|in_flight| now >= in_flight.sent + patience);
        in_flight.map(|in_flight| in_flight.sent = now).is_some()
    }

    pub(super) fn acknowledged(&mut self, out: &mut Out) {
        if let Some(in_flight) = self.in_flight.take() {
            out.extend(in_flight.effects);
        }
    }

    pub(super) fn sent(&mut self, batch: Arc<Batch>, now: Duration, out: &mut Out) {
        let mut effects = std::mem::take(&mut self.filling.effects);
        if is_on(Mutant::ActBeforeAck) {
            out.append(&mut effects);
        }
        self.filling = Filling::default();
        self.in_flight = Some(InFlight { batch, begun: now, sent: now, effects });
        self.last_append = now;
    }

    pub(super) fn tick(&mut self, moment: Moment) {
        let unanswered = self.in_flight.as_ref().is_some_and(|sent| moment.now > sent.begun + LONGEST_AWAY);
        if unanswered || moment.now > self.ticked + LONGEST_AWAY {
            self.count_leases_anew(moment.now);
        } else {
            let healthy_since = moment.connected_since.map(|since| self.base + since);
            for (worker, boot) in self.leases.expired(self.base + moment.now, healthy_since) {
                self.take(moment, &Command::Expire { worker, boot });
            }
        }
        self.ticked = moment.now;
        if moment.now >= self.last_append + TICK
            && self.in_flight.is_none()
            && self.filling.entries.is_empty()
        {
            self.evolve(moment, Entry::Tick);
        }
    }

    pub(super) fn ask(&mut self, moment: Moment, asked: Arc<Asked>) {
        let Asked { cause, vm, ask } = (*asked).clone();
        let accepted = self.take(moment, &Command::User { cause, vm, ask });
        self.filling.effects.push((Node::Users, Message::Answer { asked, accepted }));
    }

    pub(super) fn report(&mut self, moment: Moment, from: usize, boot: BootId, report: WorkerReport) {
        let Some(worker) = worker::name(from) else { return };
        match report {
            WorkerReport::Register(register) => self.register(moment, worker, boot, &register),
            WorkerReport::Heartbeat(heartbeat) => self.heartbeat(moment, worker, boot, heartbeat),
            WorkerReport::Unconfirmed { vms } => {
                for (key, generation) in vms {
                    if self.fleet.is_current(&worker, &boot, &key, generation) {
                        self.filling.tell_again.insert(key);
                    } else {
                        let (worker, boot) = (worker.clone(), boot.clone());
                        self.tell_to_give_up(&Forget { worker, boot, key, generation });
                    }
                }
            }
            WorkerReport::Observed { vms, .. } => self.observe_all(moment, &worker, &boot, vms),
            // Its workers have no pools.
            WorkerReport::Guests { .. } => {}
            WorkerReport::Leaving {} => self.worker_leaves(moment, worker, boot),
            WorkerReport::Goodbye {} => self.worker_ended(moment, worker, boot),
            WorkerReport::Inventory { vms } => {
                if !self.is_registered(&worker, &boot) {
                    return;
                }
                if is_on(Mutant::AbsenceBelieved) {
                    self.believe_absence(moment, &worker, &boot, &vms);
                }
                self.observe_all(moment, &worker, &boot, vms);
                self.tell_unsettled(&worker, &boot);
            }
        }
    }

    fn register(&mut self, moment: Moment, worker: WorkerId, boot: BootId, register: &Register) {
        if let Some((holder, left)) = self.leases.held_by_other(&worker, &boot, self.base + moment.now) {
            let retry_after_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
            let command =
                WorkerCommand::BootRefused { epoch: self.epoch, holder: holder.to_string(), retry_after_ms };
            return self.tell(&worker, &boot, command);
        }
        let capacity = register.capacity.clone();
        self.take(moment, &Command::Register { worker: worker.clone(), boot: boot.clone(), capacity });
        self.grant(moment, &worker, &boot, register.number);
    }

    fn heartbeat(&mut self, moment: Moment, worker: WorkerId, boot: BootId, heartbeat: Heartbeat) {
        if !self.is_registered(&worker, &boot) {
            return self.tell(&worker, &boot, WorkerCommand::RegisterAgain { epoch: self.epoch });
        }
        self.grant(moment, &worker, &boot, heartbeat.number);
        self.tell_unsettled(&worker, &boot);
        if heartbeat.inventory != self.fleet.inventory_of(&worker, &boot) {
            self.tell(&worker, &boot, WorkerCommand::SendInventory { epoch: self.epoch });
        }
    }

    pub(super) fn is_registered(&self, worker: &WorkerId, boot: &BootId) -> bool {
        self.fleet.workers.get(worker).is_some_and(|known| known.boot == *boot && known.live)
    }

    fn grant(&mut self, moment: Moment, worker: &WorkerId, boot: &BootId, heartbeat: u64) {
        self.leases.heard(worker.clone(), boot.clone(), self.base + moment.now);
        let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        let (incarnation, epoch) = (self.fleet.incarnation, self.epoch);
        let registration = self.fleet.registration(worker, boot);
        let fleet = String::new();
        let grant = WorkerCommand::Grant { incarnation, epoch, heartbeat, lease_ms, registration, fleet };
        self.tell(worker, boot, grant);
        if let Some(in_flight) = self.in_flight.as_mut().filter(|_| is_on(Mutant::GrantBehindAnyAppend)) {
            in_flight.effects.extend(self.filling.effects.pop());
        }
    }

    fn observe_all(&mut self, moment: Moment, worker: &WorkerId, boot: &BootId, vms: Vec<Observation>) {
        for seen in vms {
            let (key, generation) = (seen.key.clone(), seen.generation);
            if !self.fleet.is_current(worker, boot, &key, generation) {
                if seen.state != ObservedState::Absent {
                    let gone = Forget { worker: worker.clone(), boot: boot.clone(), key, generation };
                    self.tell_to_give_up(&gone);
                }
                continue;
            }
            if !seen.applied_at.is_empty() {
                self.filling.tell_again.insert(key);
            }
            let (worker, boot) = (worker.clone(), boot.clone());
            self.take(moment, &Command::Observe { worker, boot, observation: Box::new(seen) });
        }
    }

    fn tell_unsettled(&mut self, worker: &WorkerId, boot: &BootId) {
        let unsettled = self.fleet.placed_on(worker, boot).filter(|vm| !vm.is_settled());
        let keys: Vec<VmKey> = unsettled.take(AT_ONCE).map(|vm| vm.key.clone()).collect();
        self.filling.tell_again.extend(keys);
    }

    pub(super) fn tell(&mut self, worker: &WorkerId, boot: &BootId, command: WorkerCommand) {
        if let Some(number) = worker::number(worker) {
            let message = Message::Command { boot: boot.clone(), command };
            self.filling.effects.push((Node::Worker(number), message));
        }
    }

    fn ask_for_heartbeats(&mut self) {
        let live = self.fleet.workers.iter().filter(|(_, known)| known.live);
        let live: Vec<_> = live.map(|(worker, known)| (worker.clone(), known.boot.clone())).collect();
        for (worker, boot) in live {
            self.tell(&worker, &boot, WorkerCommand::Beat { epoch: self.epoch });
        }
    }

    fn count_leases_anew(&mut self, now: Duration) {
        if is_on(Mutant::LeasesNotCountedAnew) {
            return;
        }
        for (worker, known) in self.fleet.workers.iter().filter(|(_, known)| known.live) {
            self.leases.heard(worker.clone(), known.boot.clone(), self.base + now);
        }
    }

    /// Decides; whether it was accepted.
    pub(super) fn take(&mut self, moment: Moment, command: &Command) -> bool {
        let now_ms = self.fleet.time_of_next(moment.wall_ms);
        let Ok(decided) = self.fleet.decide(now_ms, command) else { return false };
        for entry in decided.entries {
            self.evolve(moment, entry);
        }
        true
    }

    pub(super) fn evolve(&mut self, moment: Moment, entry: Entry) {
        if self.filling.entries.is_empty() {
            self.filling.time_ms = self.fleet.time_of_next(moment.wall_ms);
        }
        self.fleet.evolve(self.filling.time_ms, &entry);
        self.filling.entries.push(entry);
    }

    /// The next batch's epoch, time and entries, where one is due and none is in flight.
    pub(super) fn next_entries(&mut self, moment: Moment) -> Option<(u64, u64, Vec<Entry>)> {
        if self.in_flight.is_some() {
            return None;
        }
        let asks_nothing = self.filling.effects.is_empty() && self.filling.tell_again.is_empty();
        if self.filling.entries.is_empty() && asks_nothing && !self.fleet.ends_are_due() {
            return None;
        }
        for entry in self.fleet.ends_of_expired(AT_ONCE) {
            self.evolve(moment, entry);
        }
        self.place_again(moment);
        while let Some(entries) = self.fleet.next_from_queue(&|_, _| Err("no ensembles here".to_owned())) {
            for entry in entries {
                self.evolve(moment, entry);
            }
        }
        self.fleet.queue_is_blocked();
        if self.filling.entries.is_empty() {
            self.evolve(moment, Entry::Tick);
        }
        let touched = self.fleet.take_touched();
        let again = std::mem::take(&mut self.filling.tell_again);
        let keys: BTreeSet<VmKey> = touched.levels.iter().cloned().chain(again).collect();
        self.tell_levels(&keys, &touched.forget);
        Some((self.epoch, self.filling.time_ms, std::mem::take(&mut self.filling.entries)))
    }

    fn tell_levels(&mut self, keys: &BTreeSet<VmKey>, forget: &[Forget]) {
        for ((worker, boot), vms) in self.fleet.levels(keys, forget) {
            let (epoch, registration) = (self.epoch, self.fleet.registration(&worker, &boot));
            self.tell(&worker, &boot, WorkerCommand::Desire { epoch, registration, vms });
        }
    }

    fn tell_to_give_up(&mut self, gone: &Forget) {
        let command = WorkerCommand::Desire { epoch: self.epoch, registration: 0, vms: vec![gone.level()] };
        self.tell(&gone.worker, &gone.boot, command);
    }
}
