//! Events: what users are told, each a fold of one entry of the journal.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::command::Verb;
use crate::error::Code;
use crate::id::{Generation, RequestId, UserId, VmId};
use crate::state::VmState;

macro_rules! events {
    ($($variant:ident $text:literal,)*) => {
        /// The last token of an event's subject.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum EventName {
            $(#[serde(rename = $text)] $variant,)*
        }

        impl EventName {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

events! {
    Accepted "accepted",
    Rejected "rejected",
    Queued "queued",
    Created "created",
    Starting "starting",
    Running "running",
    Allocated "allocated",
    Paused "paused",
    Resumed "resumed",
    Stopping "stopping",
    Stopped "stopped",
    Completed "completed",
    Failed "failed",
    Moved "moved",
    Unknown "unknown",
    Alert "alert",
    Destroyed "destroyed",
    Result "result",
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventName {
    type Err = UnknownEvent;
    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.iter().copied().find(|event| event.as_str() == text).ok_or(UnknownEvent)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown event")]
pub struct UnknownEvent;

/// The payload of an event, always JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    pub event: EventName,
    pub user: UserId,
    pub vm_id: Option<VmId>,
    /// The command that caused it, where one did.
    pub verb: Option<Verb>,
    pub request_id: Option<RequestId>,
    /// The journal's index of the entry that this tells.
    pub index: u64,
    /// Milliseconds since 1970, the entry's.
    pub time_ms: u64,
    /// RFC 3339, UTC.
    pub time: String,
    pub state: Option<VmState>,
    pub reason: Option<String>,
    pub generation: Option<Generation>,
    /// Of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// How many refusals this one stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What an `alert` is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
}
