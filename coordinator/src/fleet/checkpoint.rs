//! Checkpoints of VMs: those taken by name, those taken over from a worker that is gone, and what a VM is after either.
//!
//! ```text
//!   checkpoint --Checkpointed--> kept under its index --restore, Restored--> the VM stands there, stopped
//!   placement that ended without a checkpoint --> lost --search--> Recovered: the newest that its worker had packed
//! ```
//!
//! A checkpoint holds every change up to an ordinal. What it holds is not carried out again; what came after it is, unless
//! the VM was restored: then it never happened. Here are no bytes read: the edge does.

use std::sync::Arc;

use bioxen_protocol::command::CheckpointId;
use bioxen_protocol::digest::sha256_hex;
use bioxen_protocol::id::{BootId, Generation, VmKey, WorkerId};
use bioxen_protocol::limits::{CHECKPOINTS_PER_VM, CHECKPOINTS_PER_VM_BYTES, GRACE, TICKS_PER_MINUTE};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::CellAllocation;
use serde::{Deserialize, Serialize};

use super::Fleet;
use super::entry::{Checkpointed, Entry, Recovered};
use super::process::lost;
use super::vm::Vm;

/// A cell as bytes, and what they contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub bytes: Arc<[u8]>,
    /// SHA-256, in hex.
    pub digest: String,
    pub tick: u64,
    /// The highest ordinal of a change that it contains.
    pub applied: u64,
}

/// A cell as its worker gave it, and the placement in which it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub generation: Generation,
    pub taken: Taken,
}

/// A checkpoint kept by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The index of its entry: its name.
    pub index: u64,
    pub taken: Taken,
    /// In effect in it.
    pub allocation: CellAllocation,
    /// Scheduled calls that it contains.
    #[serde(default)]
    pub calls: u64,
    /// What had been recorded when it was taken, and how much of that counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<Generation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded_to: Vec<(Generation, u64)>,
}

/// What a request that took a checkpoint was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenAs {
    pub tick: u64,
    pub bytes: u64,
    pub digest: String,
}

/// A placement that ended without a checkpoint: its worker may have packed one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lost {
    pub worker: WorkerId,
    pub boot: BootId,
    pub generation: Generation,
    /// Until when its worker may have gone on with it, in milliseconds since 1970.
    pub until_ms: u64,
}

/// Where a VM goes on whose last placement was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    pub tick: u64,
    /// Ticks that are computed again, at most; none where nobody can say.
    pub lost_ticks: Option<u64>,
}

impl Taken {
    pub fn new(bytes: Arc<[u8]>, tick: u64, applied: u64) -> Self {
        let digest = sha256_hex(&bytes);
        Self { bytes, digest, tick, applied }
    }
}

impl TakenAs {
    pub fn of(taken: &Taken) -> Self {
        Self { tick: taken.tick, bytes: taken.bytes.len() as u64, digest: taken.digest.clone() }
    }
}

impl Named {
    pub fn id(&self) -> CheckpointId {
        CheckpointId(self.index)
    }
}

impl Recovery {
    /// In words, with whole numbers only.
    pub fn in_words(self) -> String {
        let minutes = |ticks: u64| format!("{}.{}", ticks / TICKS_PER_MINUTE, ticks % TICKS_PER_MINUTE);
        let again = match self.lost_ticks {
            Some(ticks) => {
                format!("at its pace up to {} simulated minutes are computed again", minutes(ticks))
            }
            None => "what its worker computed since then is computed again".to_owned(),
        };
        format!(
            "its last placement ended without a checkpoint: it goes on from minute {}, {again}",
            minutes(self.tick)
        )
    }
}

impl Vm {
    /// What is in effect in a checkpoint that contains the changes up to `applied`.
    pub(super) fn allocation_at(&self, applied: u64) -> CellAllocation {
        let change = self.changes.iter().rfind(|change| change.ordinal <= applied);
        change.map_or(self.checkpoint_allocation, |change| change.allocation)
    }

    /// Notes that its placement ended, if it did so without a checkpoint.
    pub(super) fn lose_placement(&mut self, now_ms: u64) {
        let Some(at) = self.placement.take() else { return };
        let grace_ms = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
        let until_ms = at.expired_ms.map_or(now_ms, |expired_ms| expired_ms.saturating_sub(grace_ms));
        // What it recorded in that placement is gone with the worker, so it has to be recorded again.
        if self.order.record.is_none() {
            let (worker, boot, generation) = (at.worker, at.boot, at.generation);
            self.lost = Some(Lost { worker, boot, generation, until_ms });
        }
    }

    fn keep(&mut self, index: u64, taken: &Taken) {
        let allocation = self.allocation_at(taken.applied);
        let runs = self.running_process().filter(|process| process.number > taken.applied);
        let calls = self.calls_started - u64::from(runs.is_some_and(|process| process.call.is_some()));
        let (recorded, recorded_to) = (self.recorded.clone(), self.recorded_to.clone());
        let taken = taken.clone();
        self.checkpoints.push(Named { index, taken, allocation, calls, recorded, recorded_to });
        let bytes = |kept: &[Named]| kept.iter().map(|named| named.taken.bytes.len()).sum::<usize>();
        while self.checkpoints.len() > CHECKPOINTS_PER_VM
            || bytes(&self.checkpoints) > CHECKPOINTS_PER_VM_BYTES
        {
            self.checkpoints.remove(0);
        }
    }

    fn recover(&mut self, found: &Recovered) {
        if self.lost.take_if(|lost| lost.generation == found.generation).is_none() {
            return;
        }
        if let Some(taken) = &found.taken {
            self.checkpoint_allocation = self.allocation_at(taken.applied);
            self.effective = self.checkpoint_allocation;
            self.changes.retain(|change| change.ordinal > taken.applied);
            self.checkpoint = Some(taken.bytes.clone());
            (self.checkpoint_applied, self.checkpoint_tick) = (taken.applied, taken.tick);
            self.tick = self.tick.max(taken.tick);
        }
        let tick = self.checkpoint_tick;
        self.recovery = Some(Recovery { tick, lost_ticks: found.lost_ticks });
    }

    fn restore(&mut self, named: &Named) {
        let Taken { bytes, tick, applied, .. } = &named.taken;
        self.checkpoint = Some(bytes.clone());
        (self.checkpoint_applied, self.checkpoint_tick) = (*applied, *tick);
        self.tick = *tick;
        self.allocation = named.allocation;
        self.effective = named.allocation;
        self.checkpoint_allocation = named.allocation;
        self.changes.clear();
        (self.state, self.reason) = (VmState::Stopped, None);
        (self.lost, self.recovery) = (None, None);
        if let Some(process) = self.running_process() {
            let end = lost(process.number);
            self.end_process(&end);
        }
        self.calls_started = named.calls;
        self.packages.retain(|installed| installed.ordinal <= *applied);
        // Of what was recorded since, nothing counts; of what was before, what counted then.
        let since = self.recorded.iter().filter(|generation| !named.recorded.contains(generation));
        self.recorded_to = since.map(|generation| (*generation, 0)).collect();
        self.recorded_to.extend(&named.recorded_to);
    }
}

impl Fleet {
    /// VMs whose last placement was lost, and which nobody has told yet what its worker had packed.
    pub fn lost(&self) -> impl Iterator<Item = (&VmKey, &Lost)> {
        self.lost.iter().filter_map(|key| Some((key, self.vm(key)?.lost.as_ref()?)))
    }

    pub fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// The entry for what was found, unless the VM has gone other ways since.
    pub fn recovery_of(
        &self,
        key: &VmKey,
        generation: Generation,
        taken: Option<Taken>,
        lost_ticks: Option<u64>,
    ) -> Option<Entry> {
        let vm = self.vm(key)?;
        vm.lost.as_ref().filter(|lost| lost.generation == generation)?;
        // What was taken by name in that placement may be newer than what was packed.
        let named = vm.checkpoints.iter().filter(|named| named.index > generation.index);
        let known = named.map(|named| named.taken.clone()).chain(taken);
        let known =
            known.filter(|taken| taken.applied >= vm.checkpoint_applied && taken.tick >= vm.checkpoint_tick);
        let taken = known.max_by_key(|taken| (taken.tick, taken.applied));
        Some(Entry::Recovered(Box::new(Recovered { key: key.clone(), generation, taken, lost_ticks })))
    }

    pub(super) fn checkpointed(&mut self, index: u64, entry: &Checkpointed) {
        self.edit(index, &entry.key, |vm| vm.keep(index, &entry.taken));
    }

    pub(super) fn recovered(&mut self, index: u64, found: &Recovered) {
        self.edit(index, &found.key, |vm| vm.recover(found));
    }

    pub(super) fn restored(&mut self, index: u64, key: &VmKey, checkpoint: CheckpointId) {
        let was = self.vm(key).map(|vm| vm.state);
        self.edit(index, key, |vm| {
            if let Some(named) = vm.checkpoints.iter().find(|named| named.id() == checkpoint).cloned() {
                vm.restore(&named);
            }
        });
        if let Some(was) = was {
            self.member_changed(index, key, was, None, false);
        }
    }
}
