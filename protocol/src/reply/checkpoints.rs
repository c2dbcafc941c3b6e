//! What `checkpoint` and `restore` answer, and `status` lists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AllocationReply;
use crate::command::CheckpointId;
use crate::id::VmId;
use crate::state::VmState;

/// The answer of `checkpoint`: it is journaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checkpointed {
    pub vm_id: VmId,
    #[serde(flatten)]
    pub checkpoint: CheckpointInfo,
}

/// One checkpoint that a VM may be restored to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointInfo {
    pub checkpoint_id: CheckpointId,
    /// Where the cell stands in it.
    pub simulated_minutes: f64,
    pub bytes: u64,
    /// SHA-256 of the bytes, in hex: equal digests are equal cells, to the bit.
    pub digest: String,
}

/// The answer of `restore`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    pub vm_id: VmId,
    pub state: VmState,
    pub checkpoint_id: CheckpointId,
    pub simulated_minutes: f64,
    /// That of the checkpoint: `start` takes it.
    pub allocation: AllocationReply,
}
