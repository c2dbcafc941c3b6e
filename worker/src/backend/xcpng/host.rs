//! A pool as keepers use it: its guests, what a guest of it is given, and how it is reached.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bioxen_protocol::id::{Generation, VmKey, WorkerId};

use crate::guest::Modules;
use crate::xcpng::channel::{self, Channel, HostKey, Program, Target, UserKey};
use crate::xcpng::guests::{Guest, Guests, Order};
use crate::xcpng::{Deadline, Pool, XcpngError};

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

    /// What a VM's guest is made with, where there is none yet.
    ///
    /// # Errors
    /// The key of `ssh_key_path` cannot be used; no randomness.
    pub(super) fn order(&self, key: &VmKey, generation: Generation) -> Result<Order, XcpngError> {
        let host_key = HostKey::generate()?;
        Ok(Order {
            key: key.clone(),
            generation,
            seed: channel::seed(self.guests.pool().settings(), &host_key)?,
            host_key: host_key.public().to_owned(),
        })
    }

    /// Opens the channel to a guest that runs.
    ///
    /// # Errors
    /// BX018, as [`Channel::open`].
    pub(super) async fn channel(
        &self,
        guest: &Guest,
        address: IpAddr,
        deadline: Deadline,
    ) -> Result<Channel, XcpngError> {
        let settings = self.guests.pool().settings();
        let key = UserKey::read(&settings.ssh_key_path)?;
        let shown = guest.shown();
        let target = Target {
            guest: &shown,
            address: SocketAddr::new(address, settings.ssh_port),
            user: &settings.ssh_user,
            key: &key,
            host_key: guest.host_key.as_deref().unwrap_or_default(),
            ssh_timeout: settings.ssh_timeout,
            program: &self.common.program,
        };
        Channel::open(&target, deadline).await
    }
}
