//! What must hold after every event, judged from outside: by what the journal has stored, by what hypervisors committed,
//! and by what users were told.
//!
//! It follows the chain of batches. What the journal loses stays in it until it stands again, or another batch stands in
//! its place: then it is gone, and whatever rests on it cannot be judged any more.

mod lives;
mod sums;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bioxen_coordinator::fleet::Fleet;
use bioxen_coordinator::fleet::amounts::Amounts;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::journal::{Difference, Position};
use bioxen_protocol::id::{Generation, RequestId, UserId, VmKey};
use bioxen_protocol::state::VmState;

use crate::cells::Commit;
use crate::coordinator::SetAside;
use crate::message::{Asked, Batch};
use lives::Lives;
use sums::Sums;

/// Something that must never happen, in words.
pub(crate) type Violation = String;

#[derive(Debug)]
pub(crate) struct Oracle {
    /// The fold of the chain.
    fleet: Fleet,
    /// Every batch that was stored, less what is gone.
    chain: Vec<Arc<Batch>>,
    /// How many of them stand in the journal.
    stands: usize,
    /// The index of the batch in which each request took effect.
    effects: BTreeMap<(UserId, RequestId), u64>,
    /// Requests that took effect in what is gone.
    gone: BTreeSet<(UserId, RequestId)>,
    /// Something is gone on which others had acted: of cells nothing can be said any more.
    pub(crate) is_torn: bool,
    /// The generation that committed last for each VM.
    committed: BTreeMap<VmKey, Generation>,
    lives: Lives,
    sums: Sums,
    pub(crate) commits: u64,
    /// VMs that were placed again, while they ran and after their worker was lost.
    pub(crate) moved: u64,
    pub(crate) replaced: u64,
    /// Batches that the journal lost and that stand in it again.
    pub(crate) healed: u64,
}

impl Oracle {
    /// Of a large fleet, sums are added up whole only now and then.
    pub(crate) fn new(is_large: bool) -> Self {
        Self {
            fleet: Fleet::new(1),
            chain: Vec::new(),
            stands: 0,
            effects: BTreeMap::new(),
            gone: BTreeSet::new(),
            is_torn: false,
            committed: BTreeMap::new(),
            lives: Lives::default(),
            sums: Sums::new(is_large),
            commits: 0,
            moved: 0,
            replaced: 0,
            healed: 0,
        }
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The journal lost its end, and has so many batches left.
    pub(crate) fn lost(&mut self, left: usize) {
        self.stands = self.stands.min(left);
    }

    /// Whether everything that was stored and is not gone stands.
    pub(crate) fn is_whole(&self) -> bool {
        self.stands == self.chain.len()
    }

    /// Whether a coordinator that ends here follows the journal as it is.
    pub(crate) fn follows(&self, at: Position) -> bool {
        let found = self.chain.binary_search_by_key(&at.index, |batch| batch.last_index());
        at.index == 0 || found.is_ok_and(|found| self.chain[found].hash() == at.hash)
    }

    /// A batch was stored. What is gone with that, of what others had acted on.
    ///
    /// # Errors
    /// A batch that does not join the one before it (I1), time that goes back, a request that takes effect twice (I2), sums or limits that
    /// do not hold (I3), a checkpoint that is not what the journal says it must be (I8).
    pub(crate) fn stored(&mut self, batch: &Arc<Batch>) -> Result<Vec<Arc<Batch>>, Violation> {
        if self.chain.get(self.stands).is_some_and(|lost| lost.id == batch.id) {
            self.stands += 1;
            self.healed += 1;
            return Ok(Vec::new());
        }
        let gone = self.chain.split_off(self.stands);
        if !gone.is_empty() {
            self.fold_again(&gone)?;
        }
        let end = self.chain.last().map_or(Position::START, |last| last.position(0));
        let joined = end.joins(self.stands as u64 + 1, batch.first_index, batch.previous);
        joined.map_err(|error| format!("I1: nobody can read the journal any more: {error}"))?;
        self.chain.push(Arc::clone(batch));
        self.stands += 1;
        self.fold(batch)?;
        Ok(gone.into_iter().filter(|batch| batch.released.load(Ordering::Relaxed)).collect())
    }

    fn fold(&mut self, batch: &Batch) -> Result<(), Violation> {
        let index = batch.first_index;
        if batch.time_ms < self.fleet.time_ms {
            return Err(format!("the batch from index {index} is earlier than the one before"));
        }
        let mut requests = BTreeSet::new();
        for entry in &batch.entries {
            own(entry)?;
            if let Some((user, request)) = request_of(entry) {
                requests.insert((user.clone(), request.clone()));
            }
            self.count(entry);
            self.fleet.evolve(batch.time_ms, entry);
            if !self.is_torn {
                self.lives.follow(entry)?;
            }
        }
        for request in requests {
            if let Some(before) = self.effects.insert(request.clone(), index) {
                let (user, id) = request;
                return Err(format!(
                    "I2: request {id} of {user} took effect in the batch from index {before} and again in that from {index}"
                ));
            }
        }
        let touched = self.fleet.take_touched();
        self.sums.check(&self.fleet, &touched)
    }

    /// Follows the chain from its beginning: its end is gone.
    fn fold_again(&mut self, gone: &[Arc<Batch>]) -> Result<(), Violation> {
        self.is_torn |= gone.iter().any(|batch| batch.released.load(Ordering::Relaxed));
        let entries = gone.iter().flat_map(|batch| &batch.entries);
        let requests = entries.filter_map(request_of);
        self.gone.extend(requests.map(|(user, request)| (user.clone(), request.clone())));
        self.fleet = Fleet::new(1);
        self.effects.clear();
        self.lives = Lives::default();
        self.sums = self.sums.anew();
        let (moved, replaced) = (self.moved, self.replaced);
        let chain = std::mem::take(&mut self.chain);
        chain.iter().try_for_each(|batch| self.fold(batch))?;
        self.chain = chain;
        (self.moved, self.replaced) = (moved, replaced);
        Ok(())
    }

    fn count(&mut self, entry: &Entry) {
        let Entry::Placed { key, .. } = entry else { return };
        match self.fleet.vm(key).map(|vm| vm.state) {
            Some(VmState::Unknown) => self.replaced += 1,
            Some(VmState::Starting | VmState::Running | VmState::Paused) => self.moved += 1,
            _ => {}
        }
    }

    /// A hypervisor committed a quantum.
    ///
    /// # Errors
    /// A VM that commits in two generations at a time (I4), or with more than it holds (I3, I7).
    pub(crate) fn committed(&mut self, commit: &Commit) -> Result<(), Violation> {
        self.commits += 1;
        if self.is_torn {
            return Ok(());
        }
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
        let request_of = (asked.cause.user.clone(), request.id.clone());
        if self.effects.contains_key(&request_of) || self.gone.contains(&request_of) {
            return Ok(());
        }
        Err(format!(
            "I1: {} of {} was accepted, and the journal does not have it",
            request.id, asked.cause.user
        ))
    }

    /// A coordinator set its ledger aside, and said in what it differs.
    ///
    /// # Errors
    /// What is gone with it was not named (I1).
    pub(crate) fn said(&self, aside: &SetAside) -> Result<(), Violation> {
        let stands = &self.chain[..self.stands];
        let stands = |batch: &Batch| {
            let at = stands.binary_search_by_key(&batch.first_index, |known| known.first_index);
            at.is_ok_and(|at| stands[at].id == batch.id)
        };
        let Some(first) = aside.kept.iter().find(|batch| !stands(batch)) else { return Ok(()) };
        let named = |difference: &Difference| match difference {
            Difference::Batch { last_index, ledger, .. } => {
                *last_index == first.last_index() && *ledger == Some(first.hash())
            }
            Difference::Fleet { .. } | Difference::Between { .. } => false,
        };
        if aside.differences.iter().any(named) {
            return Ok(());
        }
        let from = first.first_index;
        Err(format!(
            "I1: what a ledger had from index {from} on was set aside, and not named: {:?}",
            aside.differences
        ))
    }
}

/// What a user asked for is on the user's own VM, unless an operator asked (I5).
fn own(entry: &Entry) -> Result<(), Violation> {
    match (entry.cause(), entry.key()) {
        (Some(cause), Some(key)) if cause.user != key.user && cause.operator.is_none() => {
            Err(format!("I5: {} acted on {key}", cause.user))
        }
        _ => Ok(()),
    }
}

fn request_of(entry: &Entry) -> Option<(&UserId, &RequestId)> {
    let cause = entry.cause()?;
    Some((&cause.user, &cause.request.as_ref()?.id))
}
