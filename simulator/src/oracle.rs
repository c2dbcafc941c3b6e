//! What must hold after every event, judged from outside: by the journal's own bytes, by what hypervisors committed, and
//! by what users were told.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Bound;

use bioxen_coordinator::fleet::Fleet;
use bioxen_coordinator::fleet::amounts::Amounts;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_protocol::id::{Generation, RequestId, UserId, VmKey};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::CellAllocation;

use crate::cells::{Commit, Point};
use crate::message::{Asked, Batch};

/// Something that must never happen, in words.
pub(crate) type Violation = String;

#[derive(Debug)]
pub(crate) struct Oracle {
    /// The fold of what is stored.
    fleet: Fleet,
    /// The batch in which each request took effect.
    effects: BTreeMap<(UserId, RequestId), u64>,
    /// The generation that committed last for each VM.
    committed: BTreeMap<VmKey, Generation>,
    lives: BTreeMap<VmKey, Life>,
    pub(crate) commits: u64,
    /// VMs that were placed again, while they ran and after their worker was lost.
    pub(crate) moved: u64,
    pub(crate) replaced: u64,
}

/// What a VM went through since it was created, from which its trajectory follows.
#[derive(Debug)]
struct Life {
    /// Where it is followed from: minute 0, or a checkpoint with changes that nobody else knows the ticks of.
    base: Point,
    changes: BTreeMap<u64, CellAllocation>,
    ticks: BTreeMap<u64, u64>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self {
            fleet: Fleet::new(1),
            effects: BTreeMap::new(),
            committed: BTreeMap::new(),
            lives: BTreeMap::new(),
            commits: 0,
            moved: 0,
            replaced: 0,
        }
    }
}

impl Oracle {
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// A batch was stored.
    ///
    /// # Errors
    /// Time that goes back, a request that takes effect twice (I2), sums or limits that do not hold (I3), a checkpoint that is not what the
    /// journal says it must be (I8).
    pub(crate) fn stored(&mut self, batch: &Batch) -> Result<(), Violation> {
        if batch.time_ms < self.fleet.time_ms {
            return Err(format!("batch {} is earlier than the one before", batch.sequence));
        }
        let mut requests = BTreeSet::new();
        for entry in &batch.entries {
            if let Some((user, request)) = request_of(entry) {
                requests.insert((user.clone(), request.clone()));
            }
            self.count(entry);
            self.fleet.evolve(batch.time_ms, entry);
            self.follow(entry)?;
        }
        for request in requests {
            if let Some(before) = self.effects.insert(request.clone(), batch.sequence) {
                let (user, id) = request;
                let now = batch.sequence;
                return Err(format!(
                    "I2: request {id} of {user} took effect in batch {before} and again in {now}"
                ));
            }
        }
        self.fleet.take_touched();
        self.check_sums()
    }

    fn count(&mut self, entry: &Entry) {
        let Entry::Placed { key, .. } = entry else { return };
        match self.fleet.vm(key).map(|vm| vm.state) {
            Some(VmState::Unknown) => self.replaced += 1,
            Some(VmState::Starting | VmState::Running | VmState::Paused) => self.moved += 1,
            _ => {}
        }
    }

    fn follow(&mut self, entry: &Entry) -> Result<(), Violation> {
        match entry {
            Entry::Created(created) => {
                let (allocation, seed) = (created.order.allocation, created.order.seed);
                let base = Point::start(allocation, seed);
                let life = Life { base, changes: BTreeMap::new(), ticks: BTreeMap::new() };
                self.lives.insert(created.key.clone(), life);
            }
            Entry::Allocated { key, ordinal, allocation, .. } => {
                if let Some(life) = self.lives.get_mut(key) {
                    match ordinal {
                        0 => life.base.allocation = *allocation,
                        _ => drop(life.changes.insert(*ordinal, *allocation)),
                    }
                }
            }
            Entry::Observed(seen) => {
                let Some(life) = self.lives.get_mut(&seen.key) else { return Ok(()) };
                for (ordinal, tick) in &seen.applied_at {
                    life.ticks.entry(*ordinal).or_insert(*tick);
                }
                if let Some(bytes) = &seen.checkpoint {
                    life.check(&seen.key, bytes)?;
                }
            }
            Entry::Recovered(found) => {
                let Some(life) = self.lives.get_mut(&found.key) else { return Ok(()) };
                if let Some(taken) = &found.taken {
                    life.check(&found.key, &taken.bytes)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check_sums(&self) -> Result<(), Violation> {
        let sum = |held: &mut dyn Iterator<Item = Amounts>| held.fold(Amounts::NOTHING, Amounts::plus);
        let (fleet, config) = (&self.fleet, &self.fleet.config);
        if fleet.held != sum(&mut fleet.vms().map(|vm| vm.held)) {
            return Err("I3: the fleet's sum is not what its VMs hold".to_owned());
        }
        for (user, account) in &fleet.accounts {
            if account.held != sum(&mut account.vms.values().map(|vm| vm.held)) {
                return Err(format!("I3: the sum of {user} is not what its VMs hold"));
            }
            let most = account.limits.in_force(config).max_vms;
            if account.held.slots > most {
                return Err(format!("I3: {user} holds {} VMs of {most}", account.held.slots));
            }
        }
        for (id, worker) in &fleet.workers {
            let used = sum(&mut fleet.placed_on(id, &worker.boot).map(|vm| vm.held));
            let usable = worker.capacity.usable_ribosomes;
            if worker.used != used || used.ribosomes > usable || used.slots > worker.capacity.max_vms {
                return Err(format!("I3: worker {id} is counted with {:?} and holds {used:?}", worker.used));
            }
        }
        let Amounts { slots, atp_millipercent, ribosomes, .. } = fleet.held;
        let limits = (config.max_concurrent_vms, config.global_atp_limit.0, config.global_ribosome_limit);
        if slots > limits.0 || atp_millipercent > limits.1 || ribosomes > limits.2 {
            return Err(format!("I3: the fleet holds {:?} of {limits:?}", fleet.held));
        }
        Ok(())
    }

    /// A hypervisor committed a quantum.
    ///
    /// # Errors
    /// A VM that commits in two generations at a time (I4), or with more than it holds (I3, I7).
    pub(crate) fn committed(&mut self, commit: &Commit) -> Result<(), Violation> {
        self.commits += 1;
        let Commit { key, generation, in_effect, .. } = commit;
        let highest = self.committed.entry(key.clone()).or_insert(*generation);
        if generation < highest {
            return Err(format!("I4: {key} committed in generation {generation} after {highest}"));
        }
        *highest = *generation;
        let vm = self.fleet.vm(key);
        let held = vm.map_or(Amounts::NOTHING, |vm| vm.held);
        for allocation in in_effect {
            let lacks = held.lacks(Amounts::of(*allocation));
            if lacks != Amounts::NOTHING {
                let state = vm.map(|vm| vm.state);
                return Err(format!("I7: {key} ({state:?}) runs with {allocation:?} and holds {held:?}"));
            }
        }
        Ok(())
    }

    /// A user was told that a command was accepted.
    ///
    /// # Errors
    /// The journal does not have it (I1).
    pub(crate) fn answered(&self, asked: &Asked, accepted: bool) -> Result<(), Violation> {
        let Some(request) = asked.cause.request.as_ref().filter(|_| accepted) else { return Ok(()) };
        if self.effects.contains_key(&(asked.cause.user.clone(), request.id.clone())) {
            return Ok(());
        }
        Err(format!(
            "I1: {} of {} was accepted, and the journal does not have it",
            request.id, asked.cause.user
        ))
    }
}

impl Life {
    /// Whether a checkpoint is what follows; where it has changes of which only its lost worker knew when, it is believed.
    fn check(&mut self, key: &VmKey, bytes: &[u8]) -> Result<(), Violation> {
        let found = Point::decode(bytes).ok_or("a checkpoint cannot be read")?;
        if self.contained(found.applied).any(|(ordinal, _)| !self.ticks.contains_key(ordinal)) {
            self.base = found;
            return Ok(());
        }
        let expected = self.at(found.tick, found.applied);
        if expected != found {
            return Err(format!("I8: {key} stands at {found:?}, and follows {expected:?}"));
        }
        Ok(())
    }

    /// Changes that a checkpoint contains beyond where the VM is followed from.
    fn contained(&self, applied: u64) -> btree_map::Range<'_, u64, CellAllocation> {
        let from = self.base.applied;
        self.changes.range((Bound::Excluded(from), Bound::Included(applied.max(from))))
    }

    /// Where the cell stands at `tick`, from what the journal has.
    fn at(&self, tick: u64, applied: u64) -> Point {
        let mut at = self.base;
        let known = self.contained(applied);
        let mut due: Vec<(u64, u64, CellAllocation)> = known
            .filter_map(|(ordinal, allocation)| Some((*self.ticks.get(ordinal)?, *ordinal, *allocation)))
            .collect();
        due.sort_by_key(|(tick, ordinal, _)| (*tick, *ordinal));
        let mut due = due.into_iter().peekable();
        loop {
            while let Some((_, ordinal, allocation)) = due.next_if(|(when, ..)| *when <= at.tick) {
                at.allocation = allocation;
                at.applied = ordinal;
            }
            if at.tick >= tick {
                return at;
            }
            at.step();
        }
    }
}

fn request_of(entry: &Entry) -> Option<(&UserId, &RequestId)> {
    let cause = entry.cause()?;
    Some((&cause.user, &cause.request.as_ref()?.id))
}
