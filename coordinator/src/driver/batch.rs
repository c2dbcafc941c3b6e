//! The batch being filled, and the one whose append is in flight.
//!
//! Nothing that a batch causes leaves before its append is acknowledged: replies, orders to workers, waiters and the
//! ledger's rows all travel with it.

use std::collections::{BTreeMap, BTreeSet};

use bioxen_protocol::id::VmKey;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::ProcessEnd;
use bytes::Bytes;

use super::counted::PlacedAgain;
use super::waiting::Waiter;
use crate::answer::outbox::Outgoing;
use crate::fleet::entry::Entry;
use crate::journal::{Batch, Hash};
use crate::rows::RowChange;

/// Above this no further command is taken into a batch; far enough below the journal's own bounds for what one command
/// may add (the end of a worker's boot adds an entry a VM).
const FULL_BYTES: usize = 256 * 1024;
const FULL_ENTRIES: usize = 2_000;
/// Answers and waiters that may wait for one acknowledgement: bounds memory while the journal does not answer.
const FULL_EFFECTS: usize = 4_096;

/// A batch being filled.
#[derive(Debug, Default)]
pub(super) struct Filling {
    pub(super) entries: Vec<Entry>,
    pub(super) placed_again: Vec<PlacedAgain>,
    pub(super) bytes: usize,
    /// Set with the first entry.
    pub(super) time_ms: u64,
    pub(super) effects: Vec<Outgoing>,
    /// Leases, and what is said of guests: given only behind an append that was sent after their heartbeats came, for that alone shows that this
    /// coordinator still led when they did. The tick brings one within half a second.
    pub(super) grants: Vec<Outgoing>,
    pub(super) waiters: Vec<Waiter>,
    /// VMs whose level is told again although nothing changed.
    pub(super) tell_again: BTreeSet<VmKey>,
    /// The submit stream was read up to here.
    pub(super) submit_sequence: Option<u64>,
}

impl Filling {
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES
            || self.entries.len() >= FULL_ENTRIES
            || self.effects.len() + self.waiters.len() >= FULL_EFFECTS
    }

    pub(super) fn has_effects(&self) -> bool {
        !self.effects.is_empty() || !self.waiters.is_empty() || !self.tell_again.is_empty()
    }

    pub(super) fn needs_append(&self) -> bool {
        !self.entries.is_empty() || self.submit_sequence.is_some()
    }
}

/// A sealed batch.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) batch: Batch,
    pub(super) payload: Bytes,
    pub(super) hash: Hash,
    pub(super) rows: Vec<RowChange>,
    pub(super) placed_again: Vec<PlacedAgain>,
    pub(super) released: Released,
}

/// What an acknowledgement releases.
#[derive(Debug, Default)]
pub(super) struct Released {
    pub(super) effects: Vec<Outgoing>,
    pub(super) waiters: Vec<Waiter>,
    /// The states of the VMs that the batch touched, for whoever waits for them.
    pub(super) states: BTreeMap<VmKey, VmState>,
    /// Processes that ended with the batch.
    pub(super) ended: Vec<(VmKey, ProcessEnd)>,
}
