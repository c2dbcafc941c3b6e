//! Commands: what clients ask. A file a verb that has fields; the rest share [`Plain`] and [`Waiting`].

mod advice;
mod allocate;
mod checkpoint;
mod create;
mod ensemble;
mod install;
mod list;
mod operator;
mod process;
mod results;
mod xcpng;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use advice::{History, Monitor, Optimize};
pub use allocate::Allocate;
pub use checkpoint::{CheckpointId, InvalidCheckpointId, Restore};
pub use create::{
    AllocationRequest, BiologicalSettings, Create, Engine, MemoryLimit, OnComplete, OnFull,
    PerformanceSettings, Record, ResourceLimits, ScheduledChange, VmConfig, VmType,
};
pub use ensemble::{Axis, Ensemble, Many, Point, Range, Sample, Scalar, member_seed};
pub use install::Install;
pub use list::{List, Records};
pub use operator::{Move, OperatorVerb, SetQuota};
pub use process::{Execute, OperonAction, Operons, Transcription};
pub use results::{Results, TableFormat};
pub use xcpng::XcpngConfig;

use crate::id::RequestId;

macro_rules! verbs {
    ($($name:ident $text:literal $kind:ident,)*) => {
        /// What a command asks for: the fourth token of its subject.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Verb {
            $(#[serde(rename = $text)] $name,)*
        }

        impl Verb {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            pub fn kind(self) -> VerbKind {
                match self {
                    $(Self::$name => VerbKind::$kind,)*
                }
            }
        }
    };
}

/// How a verb is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerbKind {
    /// Changes the fleet: decided, journaled, then answered.
    Change,
    /// As `Change`, and the answer waits for the state that was asked for.
    Waiting,
    /// Answered from acknowledged state.
    Read,
    /// Of the contract, but not served by this version: refused as BX008, saying so.
    NotYet,
}

verbs! {
    Create "create" Change,
    Ensemble "ensemble" Change,
    Start "start" Waiting,
    Stop "stop" Waiting,
    Pause "pause" Waiting,
    Resume "resume" Waiting,
    Destroy "destroy" Waiting,
    Allocate "allocate" Change,
    Status "status" Read,
    List "list" Read,
    Resources "resources" Read,
    Metrics "metrics" Read,
    Execute "execute" Change,
    Install "install" Change,
    Transcription "transcription" Change,
    EssentialGenes "essential-genes" Read,
    Operons "operons" Change,
    Plasmids "plasmids" Read,
    Optimize "optimize" Read,
    Recommendations "recommendations" Read,
    Monitor "monitor" Change,
    History "history" Read,
    Checkpoint "checkpoint" Change,
    Restore "restore" Change,
    Results "results" Read,
    Audit "audit" Read,
    Events "events" Read,
    Quota "quota" Read,
    Fleet "fleet" Read,
    Performance "performance" Read,
}

impl Verb {
    /// Whether the subject (or a durable body) must name a VM; `create` may.
    pub fn needs_vm(self) -> bool {
        !matches!(
            self,
            Self::Create
                | Self::Ensemble
                | Self::List
                | Self::Audit
                | Self::Events
                | Self::Quota
                | Self::Fleet
                | Self::Performance
        )
    }
}

impl Verb {
    /// Whether the subject or the body may name a VM.
    pub fn takes_vm(self) -> bool {
        self == Self::Create || self.needs_vm()
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verb {
    type Err = UnknownVerb;
    fn from_str(text: &str) -> Result<Self, UnknownVerb> {
        Self::ALL.iter().copied().find(|verb| verb.as_str() == text).ok_or(UnknownVerb)
    }
}

/// No verb has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown verb")]
pub struct UnknownVerb;

/// The body of a verb that has no fields of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// The body of `start`, `stop`, `pause`, `resume` and `destroy`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// How long to wait for the state asked for, in milliseconds (400, at most 30,000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// The body of `start`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// What to do where no limit or worker has room.
    #[serde(default)]
    pub on_full: OnFull,
    /// A new horizon, in simulated minutes since creation; a completed VM needs a larger one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_minutes: Option<crate::quantity::SimulatedTime>,
}
