//! A pool as keepers use it: its guests, and what runs in them.

use std::sync::Arc;

use bioxen_protocol::id::WorkerId;

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
}

impl Host {
    /// For the guests of `fleet`.
    pub(super) fn new(pool: &Pool, fleet: &str, common: &Common) -> Self {
        Self { guests: Guests::new(pool.clone(), fleet, &common.worker), common: common.clone() }
    }

    pub(super) fn name(&self) -> &str {
        self.guests.pool().name()
    }

    pub(super) fn guests(&self) -> &Guests {
        &self.guests
    }

    pub(super) fn modules(&self) -> &Modules {
        &self.common.modules
    }

    /// What runs in a guest.
    pub(super) fn program(&self) -> &Program {
        &self.common.program
    }
}
