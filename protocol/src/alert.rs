//! Alerts: what users and operators are told without having asked, once for each time that a threshold is crossed.
//!
//! ```text
//!   energy of a VM      seen by its worker     told with its observations     raised below 0.2, over at 0.25
//!   units that are held seen by the leader     told by entries of their own   raised above 90 %, over below 80 %
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::WorkerId;

/// atp_level, in thousandths of the chassis' unlimited steady state, below which an alert is raised.
pub const ATP_LOW_PERMILLE: u64 = 200;
/// From there on it is over, and may be raised again: noise around the threshold is no news.
pub const ATP_RECOVERED_PERMILLE: u64 = 250;
/// Thousandths of a user's or the fleet's limit above which an alert is raised.
pub const UNITS_PERMILLE: u64 = 900;
/// Thousandths of a worker's usable units, where the worker does not say (its `resource_warning_threshold`).
pub const WORKER_PERMILLE: u64 = 850;
/// By so much must use fall below its threshold before the same alert may be raised again.
pub const UNITS_RECOVERY_PERMILLE: u64 = 100;

/// How the energy of a VM has fared since its creation: a level, so a lost or repeated message costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtpWatch {
    /// Below the threshold, and not recovered since.
    pub is_low: bool,
    /// How often it fell below the threshold.
    pub crossings: u64,
    /// The grid point of the last time, and the level then found.
    pub tick: u64,
    pub level_permille: u64,
}

impl AtpWatch {
    /// Takes the level found at `tick` in. Levels are looked at on a grid of their own, so what is found depends on the
    /// trajectory alone.
    pub fn see(&mut self, tick: u64, level_permille: u64) {
        if self.is_low {
            self.is_low = level_permille < ATP_RECOVERED_PERMILLE;
        } else if level_permille < ATP_LOW_PERMILLE {
            *self = Self { is_low: true, crossings: self.crossings.saturating_add(1), tick, level_permille };
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A VM's atp_level is low.
    AtpLevel,
    /// What a user's VMs hold comes near to the user's limit, or the fleet's where the user has none.
    UserAtp,
    UserRibosomes,
    /// What all VMs hold comes near to the fleet's limit.
    FleetAtp,
    FleetRibosomes,
    /// What a worker's VMs hold comes near to what it may hold.
    WorkerRibosomes,
}

/// The part of an `alert` event that programs read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    pub kind: AlertKind,
    /// A share: of the unlimited steady state for `atp_level`, else of `limit`.
    pub value: f64,
    /// The share that was crossed.
    pub threshold: f64,
    /// Times that it was crossed since the alert before, where more than once.
    pub times: u64,
    /// The simulated minute of the last time, of a VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<f64>,
    /// Percent of ATP or ribosome units that are held, and the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_level_counts_once_until_it_has_recovered() {
        let mut watch = AtpWatch::default();
        for (tick, level) in [(10, 900), (20, 199), (30, 150), (40, 210), (50, 190), (60, 250), (70, 120)] {
            watch.see(tick, level);
        }
        assert_eq!(watch, AtpWatch { is_low: true, crossings: 2, tick: 70, level_permille: 120 });
    }
}
