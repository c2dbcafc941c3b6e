//! Trajectories: what each cell must have come to, from what the journal says of it (I8).

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use bioxen_coordinator::fleet::entry::Entry;
use bioxen_protocol::id::VmKey;
use bioxen_protocol::worker::CellAllocation;

use super::Violation;
use crate::cells::Point;

#[derive(Debug, Default)]
pub(super) struct Lives(BTreeMap<VmKey, Life>);

/// What a VM went through since it was created, from which its trajectory follows.
#[derive(Debug)]
struct Life {
    /// Where it is followed from: minute 0, or a checkpoint with changes that nobody else knows the ticks of.
    base: Point,
    changes: BTreeMap<u64, CellAllocation>,
    ticks: BTreeMap<u64, u64>,
}

impl Lives {
    /// # Errors
    /// A checkpoint that is not what the journal says it must be.
    pub(super) fn follow(&mut self, entry: &Entry) -> Result<(), Violation> {
        match entry {
            Entry::Created(created) => {
                let (allocation, seed) = (created.order.allocation, created.order.seed);
                let base = Point::start(allocation, seed);
                let life = Life { base, changes: BTreeMap::new(), ticks: BTreeMap::new() };
                self.0.insert(created.key.clone(), life);
            }
            Entry::Allocated { key, ordinal, allocation, .. } => {
                if let Some(life) = self.0.get_mut(key) {
                    match ordinal {
                        0 => life.base.allocation = *allocation,
                        _ => drop(life.changes.insert(*ordinal, *allocation)),
                    }
                }
            }
            Entry::Observed(seen) => {
                let Some(life) = self.0.get_mut(&seen.key) else { return Ok(()) };
                for (ordinal, tick) in &seen.applied_at {
                    life.ticks.entry(*ordinal).or_insert(*tick);
                }
                if let Some(bytes) = &seen.checkpoint {
                    life.check(&seen.key, bytes)?;
                }
            }
            Entry::Recovered(found) => {
                let Some(life) = self.0.get_mut(&found.key) else { return Ok(()) };
                if let Some(taken) = &found.taken {
                    life.check(&found.key, &taken.bytes)?;
                }
            }
            _ => {}
        }
        Ok(())
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
