//! `restore`: back to a checkpoint that was taken by name (`checkpoint` itself has no fields of its own).

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{VmType, XcpngConfig};
use crate::id::RequestId;
use crate::text::as_text;

const EXPECTED: &str = "c and a whole number, as `checkpoint` answered it: c123";

/// A checkpoint of one VM, by the index of the entry that took it: `c123`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub u64);

/// Not the name of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a checkpoint_id: expected {EXPECTED}")]
pub struct InvalidCheckpointId(String);

/// The body of `restore`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// One of the VM's own, as `checkpoint` answered it and `status` lists it.
    pub checkpoint_id: CheckpointId,
    /// Where it shall run from then on; absent: where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_type: Option<VmType>,
    /// With `vm_type: xcpng`, as in `create`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xcpng_config: Option<XcpngConfig>,
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl FromStr for CheckpointId {
    type Err = InvalidCheckpointId;

    fn from_str(text: &str) -> Result<Self, InvalidCheckpointId> {
        let index = text.strip_prefix('c').and_then(|index| index.parse().ok()).map(Self);
        let shown = || InvalidCheckpointId(text.chars().take(40).collect());
        // One spelling alone, so that two names never mean the same.
        index.filter(|id| id.to_string() == text).ok_or_else(shown)
    }
}

as_text!(CheckpointId, EXPECTED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_one_spelling() {
        assert_eq!("c17".parse(), Ok(CheckpointId(17)));
        for wrong in ["", "c", "17", "c017", "c+17", "c17 ", "C17", "c-1", "c99999999999999999999"] {
            assert!(wrong.parse::<CheckpointId>().is_err(), "{wrong:?} was taken for a checkpoint");
        }
    }
}
