//! What operators ask through `bioxen.v1.ops`: their own verbs, beside any user's verb on that user's VM.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{RequestId, WorkerId};
use crate::quantity::AtpPercent;

/// An operator's own verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorVerb {
    /// Get or set a user's limits.
    Quota,
    Workers,
    Users,
    /// Compare ledger, journal and audit.
    Verify,
    Config,
    /// Take a snapshot of the fleet now.
    Snapshot,
    /// What a backup would hold.
    Backup,
    /// A worker takes no more VMs.
    Cordon,
    Uncordon,
    /// It takes no more, and those that it has move away.
    Drain,
    /// A VM goes to another worker.
    Move,
}

impl FromStr for OperatorVerb {
    type Err = super::UnknownVerb;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "quota" => Self::Quota,
            "workers" => Self::Workers,
            "users" => Self::Users,
            "verify" => Self::Verify,
            "config" => Self::Config,
            "snapshot" => Self::Snapshot,
            "backup" => Self::Backup,
            "cordon" => Self::Cordon,
            "uncordon" => Self::Uncordon,
            "drain" => Self::Drain,
            "move" => Self::Move,
            _ => return Err(super::UnknownVerb),
        })
    }
}

/// The body of an operator's `quota`: without a field it reads, with any it sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQuota {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_vms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queued: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_atp_percentage: Option<AtpPercent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ribosomes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_commands_per_second: Option<u64>,
}

/// The body of an operator's `move`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Move {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Without it the fleet chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<WorkerId>,
}
