//! The order that a cell is made from, and the changes that it takes on its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::{Engine, VmType};
use crate::package::VmPackage;
use crate::pool::XcpngPool;
use crate::quantity::Pace;

/// Everything that decides a trajectory, but for the changes asked for later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellOrder {
    pub biological_type: String,
    /// SHA-256 of the chassis' pack where it is imported; a worker with another one of that name refuses the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    pub vm_type: VmType,
    /// The XCP-ng pool that its guest is on, where it has one; without effect on the trajectory, as is `vm_type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<XcpngPool>,
    pub engine: Engine,
    pub seed: u64,
    pub replicate: u32,
    pub parameters: BTreeMap<String, f64>,
    pub allocation: CellAllocation,
    pub schedule: Vec<OrderedChange>,
    pub horizon_tick: Option<u64>,
    /// Divisions since creation at which it completes; only a stochastic cell divides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_generations: Option<u64>,
    /// Absent: 60 without a horizon, max with one.
    pub pace: Pace,
    pub priority: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordOrder>,
    /// Installed before it first started: there from minute 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Arc<VmPackage>>,
}

/// What a VM records: a row at each multiple of `every_ticks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordOrder {
    pub variables: Vec<String>,
    pub every_ticks: u64,
}

/// What of an allocation reaches the cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellAllocation {
    /// Thousandths of a percent.
    pub atp_millipercent: u64,
    /// Allocation units; the chassis' most means no cap.
    pub ribosomes: u64,
    pub memory_kb: u64,
}

impl CellOrder {
    /// The scheduled calls in their order, each with its tick.
    pub fn calls(&self) -> impl Iterator<Item = (u64, &str)> {
        self.schedule.iter().filter_map(|change| Some((change.tick, change.call.as_deref()?)))
    }
}

/// A change known at creation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderedChange {
    pub tick: u64,
    pub parameters: BTreeMap<String, f64>,
    pub allocation: Option<CellAllocation>,
    /// Process code to run there, after the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

impl OrderedChange {
    /// Whether it holds anything but a call.
    pub fn changes_cell(&self) -> bool {
        !self.parameters.is_empty() || self.allocation.is_some()
    }
}

/// A change asked for while the VM existed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberedChange {
    /// Counts up from 1 in the life of a VM.
    pub ordinal: u64,
    pub allocation: CellAllocation,
    /// The grid point at which it took effect, once the worker has said so.
    pub tick: Option<u64>,
    /// Where it puts a package in; `allocation` is then that before it, and not given to the cell again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<Arc<VmPackage>>,
}
