//! A pool as keepers use it: its guests, and what runs in them.

use std::sync::Arc;

use bioxen_protocol::id::{UserId, WorkerId};

use super::collection::Looked;
use crate::guest::Modules;
use crate::xcpng::Pool;
use crate::xcpng::channel::Program;
use crate::xcpng::guests::Guests;

/// What all pools of a worker share.
#[derive(Debug, Clone)]
pub struct Common {
    pub worker: WorkerId,
    /// What runs in guests.
    pub program: Program,
    pub modules: Arc<Modules>,
}

#[derive(Debug)]
pub(super) struct Host {
    guests: Guests,
    common: Common,
    /// Whose VMs brought it along; none where it is of the file.
    user: Option<UserId>,
    looked: Looked,
}

impl Host {
    /// For the guests of `fleet`; `user` is whose VMs brought the pool along.
    pub(super) fn new(pool: &Pool, fleet: &str, common: &Common, user: Option<&UserId>) -> Self {
        let guests = Guests::new(pool.clone(), fleet, &common.worker);
        Self { guests, common: common.clone(), user: user.cloned(), looked: Looked::default() }
    }

    pub(super) fn name(&self) -> &str {
        self.guests.pool().name()
    }

    pub(super) fn guests(&self) -> &Guests {
        &self.guests
    }

    pub(super) fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// What was found there that may be nobody's.
    pub(super) fn looked(&self) -> &Looked {
        &self.looked
    }

    pub(super) fn modules(&self) -> &Modules {
        &self.common.modules
    }

    /// What runs in a guest.
    pub(super) fn program(&self) -> &Program {
        &self.common.program
    }
}
