//! Requests that took effect are remembered, so that a repeat does not (I2): the newest 10,000 of a user, for 24 hours.

use std::collections::{BTreeMap, VecDeque};

use bioxen_protocol::command::Verb;
use bioxen_protocol::id::{RequestId, VmId};
use bioxen_protocol::limits::{REQUEST_AGE, REQUESTS_PER_USER};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::CellAllocation;
use serde::{Deserialize, Serialize};

use super::checkpoint::TakenAs;
use super::package::PackageSummary;

/// A request that took effect, with its first answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub digest: String,
    pub verb: Verb,
    pub vm: Option<VmId>,
    pub index: u64,
    pub time_ms: u64,
    /// The state after the command, as first answered.
    pub state: VmState,
    pub allocation: Option<CellAllocation>,
    pub queue_position: Option<u64>,
    /// A process's number, or the seconds between a monitor's samples.
    #[serde(default)]
    pub number: u64,
    /// Of an ensemble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<u64>,
    /// Of a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<TakenAs>,
    /// The package that it put in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<PackageSummary>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requests {
    by_id: BTreeMap<RequestId, Remembered>,
    /// Oldest first; in the order of index.
    order: VecDeque<RequestId>,
}

impl Requests {
    pub fn get(&self, id: &RequestId, now_ms: u64) -> Option<&Remembered> {
        self.by_id.get(id).filter(|request| !is_old(request, now_ms))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&RequestId, &Remembered)> {
        self.by_id.iter()
    }

    pub fn find(&self, id: &RequestId) -> Option<&Remembered> {
        self.by_id.get(id)
    }

    /// Remembers one, and returns the ids that were forgotten for it.
    pub fn remember(&mut self, id: RequestId, request: Remembered, now_ms: u64) -> Vec<RequestId> {
        if self.by_id.insert(id.clone(), request).is_some() {
            self.order.retain(|known| *known != id);
        }
        self.order.push_back(id);
        let mut forgotten = Vec::new();
        while let Some(oldest) = self.order.front() {
            let old = self.by_id.get(oldest).is_none_or(|request| is_old(request, now_ms));
            if !old && self.order.len() <= REQUESTS_PER_USER {
                break;
            }
            self.by_id.remove(oldest);
            forgotten.extend(self.order.pop_front());
        }
        forgotten
    }

    /// From rows, in any order.
    pub fn restore(rows: Vec<(RequestId, Remembered)>) -> Self {
        let mut order: Vec<_> = rows.iter().map(|(id, request)| (request.index, id.clone())).collect();
        order.sort();
        Self { by_id: rows.into_iter().collect(), order: order.into_iter().map(|(_, id)| id).collect() }
    }
}

fn is_old(request: &Remembered, now_ms: u64) -> bool {
    now_ms.saturating_sub(request.time_ms) > u64::try_from(REQUEST_AGE.as_millis()).unwrap_or(u64::MAX)
}
