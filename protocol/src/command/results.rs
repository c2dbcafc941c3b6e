//! `results`: what a VM recorded, or the gathered table of an ensemble, in chunks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::RequestId;

/// The body of `results`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Results {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    #[serde(default)]
    pub format: TableFormat,
    /// Where the chunk starts: a row of csv and json, a byte of parquet; `next` of the chunk before.
    #[serde(default)]
    pub offset: u64,
    /// The most rows (or bytes) of the chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Of an ensemble: the `create` body of this member instead, by which it can be run again alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    #[default]
    Json,
    Csv,
    Parquet,
}
