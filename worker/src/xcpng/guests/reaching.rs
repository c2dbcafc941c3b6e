//! How a guest is known and spoken to: the keys that it is made with, and the channel to it once it is up.

use std::net::SocketAddr;

use bioxen_protocol::id::{Generation, VmKey};

use super::super::channel::{self, Channel, HostKey, Program, SshFault, Target, UserKey};
use super::super::fault::XcpngError;
use super::{Guests, Order, Up};

/// Worker and guest say frames to each other that only their own version is sure to read.
const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Guests {
    /// What a VM's guest is made with, where there is none yet: a new host key, and who may log in.
    ///
    /// # Errors
    /// The key of `ssh_key_path` cannot be used; no randomness.
    pub fn order(&self, key: &VmKey, generation: Generation) -> Result<Order, XcpngError> {
        let host_key = HostKey::generate()?;
        Ok(Order {
            key: key.clone(),
            generation,
            seed: channel::seed(self.pool.settings(), &host_key)?,
            host_key: host_key.public().to_owned(),
        })
    }

    /// Opens the channel to a guest that came up, within what is left of the time that it was given for that.
    ///
    /// # Errors
    /// BX018, as [`Channel::open`]; a program of another version; the key of `ssh_key_path` cannot be used.
    pub async fn channel(&self, up: &Up, program: &Program) -> Result<Channel, XcpngError> {
        let settings = self.pool.settings();
        let key = UserKey::read(&settings.ssh_key_path)?;
        let shown = up.guest.shown();
        let target = Target {
            guest: &shown,
            address: SocketAddr::new(up.address, settings.ssh_port),
            user: &settings.ssh_user,
            key: &key,
            host_key: up.guest.host_key.as_deref().unwrap_or_default(),
            ssh_timeout: settings.ssh_timeout,
            program,
        };
        let channel = Channel::open(&target, up.deadline).await?;
        if channel.version() == VERSION {
            return Ok(channel);
        }
        let fault = SshFault::Version { found: channel.version().to_owned(), expected: VERSION };
        channel.close().await;
        Err(XcpngError::Ssh { guest: shown, fault })
    }
}
