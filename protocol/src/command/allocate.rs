//! `allocate`: new absolute amounts, all or nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::AllocationRequest;
use crate::id::RequestId;
use crate::quantity::AtpPercent;

/// The body of `allocate`; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allocate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atp_percentage: Option<AtpPercent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ribosomes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_kb: Option<u64>,
}

impl Allocate {
    pub fn amounts(&self) -> AllocationRequest {
        AllocationRequest {
            atp_percentage: self.atp_percentage,
            ribosomes: self.ribosomes,
            memory_kb: self.memory_kb,
        }
    }
}
