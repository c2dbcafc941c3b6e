//! The states of a VM, as clients see them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a VM stands.
///
/// ```text
///  create --> created --start--> starting --> running <--pause/resume--> paused
///     \          ^                   |           |  \__________________________/
///      \--> queued (starts when      |         stop, horizon
///            there is room)          v           v
///                                  failed     stopping --> stopped --start--> starting
///  a worker out of reach: unknown;   any --destroy--> destroying --> destroyed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VmState {
    Created,
    Queued,
    Starting,
    Running,
    Paused,
    Stopping,
    Stopped,
    Failed,
    Unknown,
    Destroying,
    Destroyed,
}

impl VmState {
    pub const ALL: [Self; 11] = [
        Self::Created,
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
        Self::Unknown,
        Self::Destroying,
        Self::Destroyed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
        }
    }
}

impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
