//! A worker as the fleet knows it: one boot at a time, what it offers, what is placed there.

use bioxen_protocol::id::BootId;
use bioxen_protocol::worker::Capacity;
use serde::{Deserialize, Serialize};

use super::amounts::Amounts;
use super::movement::Cordon;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    pub boot: BootId,
    pub capacity: Capacity,
    /// False once lease and grace are over.
    pub live: bool,
    /// The index of the entry that registered the boot last.
    #[serde(default)]
    pub registration: u64,
    /// The index of the last entry about it.
    pub index: u64,
    /// Its use is above its threshold, and has not recovered since.
    #[serde(default)]
    pub alerted: bool,
    #[serde(default)]
    pub cordon: Cordon,
    /// This boot has said that it is about to end.
    #[serde(default)]
    pub leaving: bool,
    /// What the VMs placed on this boot hold; derived.
    #[serde(skip)]
    pub used: Amounts,
}

impl Worker {
    /// Whether its VMs shall go elsewhere.
    pub fn is_emptied(&self) -> bool {
        self.leaving || self.cordon == Cordon::Draining
    }
}
