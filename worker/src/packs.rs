//! Packed checkpoints: those of all VMs that have changed, as one object per interval and one when the worker stops.
//!
//! ```text
//!   backend: what stands where --changed since?--> one cell after the other --> Packer --> object of a free slot
//!   slot   : free --written--> holds the newest piece of some VMs --all of them written anew or gone--> free
//! ```
//!
//! A slot is written again only when nothing in it is the newest any more, so the store holds one object more than there are
//! slots in use; where they get many, the oldest one's VMs are packed again. One cell is in memory at a time, beside the
//! object. It runs beside the simulation: cells are the committed ones, between two quanta. It talks to no leader.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_nats::Client;
use bioxen_protocol::id::{BootId, Generation, VmKey, WorkerId};
use bioxen_protocol::packed::{CHECKPOINTS_BUCKET, Packer, Piece, object_name};

use crate::backend::{Backend, Standing};
use crate::objects::{PutError, put};

/// Objects in use before the oldest one's VMs are packed again.
const SLOTS: usize = 6;
/// How long one object may take into the store.
const STORE_TIME: Duration = Duration::from_secs(20);

/// Why an object was not stored; what it was to hold is packed again in the next.
#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error(transparent)]
    Put(#[from] PutError),
    #[error("packing ended by itself: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

/// What one boot has packed, and where.
#[derive(Debug)]
pub(crate) struct Packs {
    client: Client,
    worker: WorkerId,
    boot: BootId,
    newest: Newest,
}

/// Which slot holds the newest piece of which VM. Pure.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    by_vm: BTreeMap<VmKey, Packed>,
    /// Slots by when they were written, oldest first.
    written: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed {
    generation: Generation,
    tick: u64,
    applied: u64,
    slot: usize,
}

impl Packed {
    fn is(&self, vm: &Standing) -> bool {
        (self.generation, self.tick, self.applied) == (vm.generation, vm.tick, vm.applied)
    }
}

impl Newest {
    /// Forgets VMs that `is_held` no longer knows in their generation, and frees slots that hold nothing newest.
    fn keep(&mut self, is_held: impl Fn(&VmKey, Generation) -> bool) {
        self.by_vm.retain(|key, packed| is_held(key, packed.generation));
        let by_vm = &self.by_vm;
        self.written.retain(|slot| by_vm.values().any(|packed| packed.slot == *slot));
    }

    /// The VMs to be packed now: those that have changed, and those of the oldest slot where slots get many.
    fn due(&self, mut standing: Vec<Standing>) -> Vec<Standing> {
        let crowded = self.written.first().copied().filter(|_| self.written.len() >= SLOTS);
        standing.retain(|vm| match self.by_vm.get(&vm.key) {
            Some(packed) => !packed.is(vm) || Some(packed.slot) == crowded,
            None => true,
        });
        standing
    }

    /// A slot that holds nothing newest.
    fn free(&self) -> usize {
        (0..).find(|slot| !self.written.contains(slot)).unwrap_or(0)
    }

    /// The slot was written with these.
    fn wrote(&mut self, slot: usize, pieces: Vec<Standing>) {
        for Standing { key, generation, tick, applied } in pieces {
            self.by_vm.insert(key, Packed { generation, tick, applied, slot });
        }
        self.written.push(slot);
    }
}

impl Packs {
    pub(crate) fn new(client: &Client, worker: &WorkerId, boot: &BootId) -> Self {
        let (worker, boot) = (worker.clone(), boot.clone());
        Self { client: client.clone(), worker, boot, newest: Newest::default() }
    }

    /// Packs what has changed and stores it. `held`: every VM that the leader may still ask this boot for, also such as
    /// have ended and of which it has not heard.
    pub(crate) async fn pack(mut self, backend: Arc<dyn Backend>, held: BTreeMap<VmKey, Generation>) -> Self {
        self.newest.keep(|key, generation| held.get(key) == Some(&generation));
        let begun = Instant::now();
        let due = self.newest.due(backend.standing());
        let packing = tokio::task::spawn_blocking(move || pack(&*backend, &due));
        match self.store(packing).await {
            Ok(Some((pieces, bytes))) => {
                tracing::debug!(pieces, bytes, took_ms = begun.elapsed().as_millis(), "checkpoints packed");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "checkpoints were not packed; they are with the next ones");
            }
        }
        self
    }

    async fn store(
        &mut self,
        packing: tokio::task::JoinHandle<(Vec<Standing>, Vec<u8>)>,
    ) -> Result<Option<(usize, usize)>, PackError> {
        let (pieces, bytes) = packing.await?;
        if pieces.is_empty() {
            return Ok(None);
        }
        let slot = self.newest.free();
        let name = object_name(&self.worker, &self.boot, slot);
        put(&self.client, CHECKPOINTS_BUCKET, &name, &bytes, STORE_TIME).await?;
        let count = pieces.len();
        self.newest.wrote(slot, pieces);
        Ok(Some((count, bytes.len())))
    }
}

/// The cells as they now stand, which may be further than when they were found due.
fn pack(backend: &dyn Backend, due: &[Standing]) -> (Vec<Standing>, Vec<u8>) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut packer = Packer::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let mut pieces = Vec::with_capacity(due.len());
    for vm in due {
        let Some((standing, checkpoint)) = backend.checkpoint(&vm.key, vm.generation) else { continue };
        let Standing { key, generation, tick, applied } = standing.clone();
        packer.push(&Piece { key, generation, tick, applied, checkpoint: &checkpoint });
        pieces.push(standing);
    }
    (pieces, packer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(name: &str, tick: u64) -> Standing {
        let key = VmKey { user: "alice".parse().unwrap(), vm: name.parse().unwrap() };
        Standing { key, generation: Generation { incarnation: 1, index: 7 }, tick, applied: 0 }
    }

    fn write(newest: &mut Newest, standing: &[Standing]) -> (usize, Vec<Standing>) {
        newest.keep(|key, _| standing.iter().any(|vm| vm.key == *key));
        let due = newest.due(standing.to_vec());
        let slot = newest.free();
        assert!(!newest.by_vm.values().any(|packed| packed.slot == slot), "a newest piece was written over");
        if !due.is_empty() {
            newest.wrote(slot, due.clone());
        }
        (slot, due)
    }

    #[test]
    fn only_what_has_changed_is_packed() {
        let mut newest = Newest::default();
        assert_eq!(write(&mut newest, &[vm("a", 1), vm("b", 1)]).1.len(), 2);
        assert_eq!(write(&mut newest, &[vm("a", 1), vm("b", 2)]).1, [vm("b", 2)]);
        assert_eq!(write(&mut newest, &[vm("a", 1), vm("b", 2)]).1, []);
        let anew = Standing { generation: Generation { incarnation: 1, index: 9 }, ..vm("a", 1) };
        assert_eq!(newest.due(vec![anew.clone()]), [anew]);
    }

    #[test]
    fn a_slot_is_written_again_when_nothing_in_it_is_the_newest() {
        let mut newest = Newest::default();
        assert_eq!(write(&mut newest, &[vm("a", 1), vm("b", 1)]).0, 0);
        assert_eq!(write(&mut newest, &[vm("a", 2), vm("b", 1)]).0, 1, "b's newest is in slot 0");
        assert_eq!(write(&mut newest, &[vm("a", 3), vm("b", 2)]).0, 2);
        assert_eq!(write(&mut newest, &[vm("a", 4), vm("b", 3)]).0, 0);
    }

    #[test]
    fn slots_stay_few_however_long_vms_stand_still() {
        let mut newest = Newest::default();
        let mut standing: Vec<Standing> = (0..50).map(|number| vm(&format!("vm{number}"), 1)).collect();
        for round in 0..50 {
            // One after the other goes on once more and then stands still.
            standing[round].tick += 1;
            let (slot, _) = write(&mut newest, &standing);
            assert!(slot <= SLOTS, "slot {slot} in round {round}");
            for vm in &standing {
                assert!(newest.by_vm[&vm.key].is(vm), "{vm:?} is not packed");
            }
        }
    }
}
