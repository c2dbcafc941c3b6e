//! The other end of a keeper: what is wanted of a guest, how far it has come, work for it.

use std::sync::{Arc, Weak};

use bioxen_guest::quantum::Assignment;
use bioxen_protocol::id::Generation;
use tokio::sync::{mpsc, watch};

use super::super::cells::process::ProcessWork;
use super::super::cells::scheduler::Number;
use super::host::Host;
use super::shown::Shown;

/// What is wanted of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Running,
    Paused,
    /// Off, and kept on the pool for the next start.
    Halted,
    /// Nothing of it may stay on the pool.
    Gone,
    /// It stays as it is: somebody else's by now, or this worker ends.
    LetGo,
}

impl Wanted {
    pub(super) fn is_end(self) -> bool {
        matches!(self, Self::Halted | Self::Gone | Self::LetGo)
    }
}

/// How far a guest has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// Not yet answered.
    Coming,
    Running,
    Paused,
    /// Nothing more is done with it here.
    Ended,
}

#[derive(Debug)]
pub(super) enum Work {
    Quantum(Number, Box<Assignment>),
    Process(Number, Box<ProcessWork>),
}

/// The other end of a keeper.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) generation: Generation,
    /// The VM's pool; of none where it has none. Whoever holds a pool keeps it open, and this needs none.
    pub(super) host: Weak<Host>,
    pub(super) wanted: watch::Sender<Wanted>,
    pub(super) work: mpsc::UnboundedSender<Work>,
    pub(super) reached: watch::Receiver<Reached>,
    pub(super) shown: Shown,
    /// What is wanted of the guest of a VM that was stopped.
    pub(super) resting: Wanted,
}

impl Handle {
    /// Whether a guest on `host` that claims `claimed` is this keeper's, or one that it takes over or has overcome.
    pub(super) fn has(&self, host: &Arc<Host>, claimed: Generation) -> bool {
        std::ptr::eq(self.host.as_ptr(), Arc::as_ptr(host)) && claimed <= self.generation
    }

    /// Says what is wanted; an end is not taken back.
    pub(super) fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|now| {
            let is_new = *now != wanted && (!now.is_end() || (wanted.is_end() && wanted != Wanted::Halted));
            if is_new {
                *now = wanted;
            }
            is_new
        });
    }

    pub(super) fn reached(&self) -> Reached {
        *self.reached.borrow()
    }

    /// At most one at a time: the VM is in work until it is committed.
    pub(super) fn give(&self, work: Work) {
        // A keeper that has ended leaves a VM that nobody holds any more.
        let _ = self.work.send(work);
    }

    /// Waits until nothing more is done with the guest.
    pub(super) async fn ended(&self) {
        let mut reached = self.reached.clone();
        // A keeper that is gone has ended, too.
        let _ = reached.wait_for(|reached| *reached == Reached::Ended).await;
    }
}
