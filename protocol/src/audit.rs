//! Audit records: who did what, with which outcome, hash-chained.
//!
//! A record's `hash` is the SHA-256, in hex, of the record's own compact JSON without the `hash` field, in the
//! order of the fields below; `previous_hash` is the `hash` of the record before it in the stream (64 zeros for the
//! first). Anything that reads JSON in order can check it: no floats, no optional white space.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::sha256_hex;
use crate::error::Code;
use crate::id::{OperatorId, RequestId, UserId, VmId};

/// The `previous_hash` of the first record.
pub const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One record of the audit stream, always JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// Position in the audit stream, from 1.
    pub number: u64,
    /// The journal's index of the entry that this records.
    pub index: u64,
    pub incarnation: u64,
    pub time_ms: u64,
    pub time: String,
    /// Whose account it concerns.
    pub user: UserId,
    /// Who acted, where it was not the user: an operator.
    pub operator: Option<OperatorId>,
    /// The verb, or placement, worker, leader, quota ...
    pub action: String,
    pub vm_id: Option<VmId>,
    pub outcome: Outcome,
    pub code: Option<Code>,
    pub request_id: Option<RequestId>,
    /// How many refusals this one stands for; 1 otherwise.
    pub count: u64,
    /// What else an auditor wants to read, in words.
    pub note: String,
    pub previous_hash: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Accepted,
    Rejected,
    Observed,
}

impl AuditRecord {
    /// The hash that this record must carry.
    pub fn expected_hash(&self) -> Result<String, serde_json::Error> {
        let bare = Self { hash: String::new(), ..self.clone() };
        serde_json::to_vec(&bare).map(sha256_hex)
    }

    pub fn sealed(mut self, previous_hash: &str) -> Result<Self, serde_json::Error> {
        previous_hash.clone_into(&mut self.previous_hash);
        self.hash = self.expected_hash()?;
        Ok(self)
    }
}
