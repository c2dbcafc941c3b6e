//! What a leader does for VMs on their way: it looks for what lost workers packed, and places again.

use std::collections::VecDeque;

use bioxen_coordinator::fleet::checkpoint::{Lost, Taken};
use bioxen_coordinator::fleet::command::Command;
use bioxen_protocol::id::{BootId, VmKey, WorkerId};
use bioxen_protocol::worker::WorkerCommand;

use super::Moment;
use super::leading::Leading;
use crate::packed::Packed;

/// As the driver bounds them.
const SEARCHED_AT_ONCE: usize = 256;

/// What was found in the store a tick ago: it may be out of date by now.
pub(super) type Found = VecDeque<(VmKey, Lost, Option<Taken>)>;

impl Leading {
    /// Journals what the last search found, and begins the next.
    pub(super) fn search(&mut self, moment: Moment, packed: &Packed) {
        while let Some((key, lost, taken)) = self.found.pop_front() {
            let entries = self.fleet.found(&key, lost.generation, taken, None);
            for entry in entries.into_iter().flatten() {
                self.evolve(moment, entry);
            }
        }
        let after = self.searched_to.take();
        let searched = self.fleet.searched(SEARCHED_AT_ONCE, after.as_ref());
        self.searched_to = searched.last().map(|(key, _)| key.clone());
        self.found = searched
            .into_iter()
            .map(|(key, lost)| {
                let taken = packed.newest(&key, lost.generation);
                (key, lost, taken)
            })
            .collect();
    }

    pub(super) fn place_again(&mut self, moment: Moment) {
        for entry in self.fleet.next_moves() {
            self.evolve(moment, entry);
        }
        while let Some(entries) = self.fleet.next_replacement() {
            for entry in entries {
                self.evolve(moment, entry);
            }
        }
        self.fleet.places_are_blocked();
    }

    pub(super) fn operate(&mut self, moment: Moment, command: &Command) {
        self.take(moment, command);
    }

    pub(super) fn worker_leaves(&mut self, moment: Moment, worker: WorkerId, boot: BootId) {
        let epoch = self.epoch;
        if !self.is_registered(&worker, &boot) {
            return self.tell(&worker, &boot, WorkerCommand::Leave { epoch, may_go: true });
        }
        self.take(moment, &Command::Leave { worker: worker.clone(), boot: boot.clone() });
        self.place_again(moment);
        let may_go = self.fleet.may_go(&worker, &boot);
        self.tell(&worker, &boot, WorkerCommand::Leave { epoch, may_go });
    }

    pub(super) fn worker_ended(&mut self, moment: Moment, worker: WorkerId, boot: BootId) {
        self.leases.ended(&worker, &boot);
        self.take(moment, &Command::Expire { worker, boot });
    }
}
