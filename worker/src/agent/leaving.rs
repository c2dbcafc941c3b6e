//! The end of a worker that is told to end: its VMs move away first, as far as others have room and a leader answers.
//!
//! ```text
//!   told --Leaving, each second--> leader: moves its VMs away --Leave { may_go }--> it goes
//!      \--no leader answers, or it takes too long-------------------------------^
//!   it goes: nothing commits, the rest is packed, Goodbye
//! ```

use std::time::Duration;

use bioxen_protocol::worker::WorkerReport;
use tokio::time::Instant;

use super::{Agent, Phase};

/// Without a leader's word for so long nobody moves anything away.
const SILENCE: Duration = Duration::from_millis(1_500);
/// How long VMs may take to move away: whoever stops the worker grants more before he kills.
const LONGEST: Duration = Duration::from_secs(20);

/// Where a worker that is told to end stands.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// Since when, and when a leader was last heard.
    since: Option<(Instant, Instant)>,
    may_go: bool,
}

impl Leaving {
    pub(super) fn is_told(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn heard(&mut self, may_go: bool) {
        if let Some((_, heard)) = &mut self.since {
            *heard = Instant::now();
            self.may_go |= may_go;
        }
    }

    /// The moment to go has come; waits for ever where the worker is not told to end.
    pub(super) async fn over(&self) {
        match self.since {
            None => std::future::pending().await,
            Some(_) if self.may_go => {}
            Some((since, heard)) => tokio::time::sleep_until((since + LONGEST).min(heard + SILENCE)).await,
        }
    }
}

impl Agent {
    /// It is told to end.
    pub(super) async fn begin_to_leave(&mut self, signal: &str) {
        let now = Instant::now();
        self.leaving = Leaving { since: Some((now, now)), may_go: self.phase != Phase::Registered };
        tracing::info!("told to end by {signal}: its VMs move away where there is room");
        self.tell_leaving().await;
    }

    pub(super) async fn tell_leaving(&self) {
        if self.leaving.is_told() && self.phase == Phase::Registered {
            self.report(&WorkerReport::Leaving {}).await;
        }
    }

    /// Nothing commits from here on, and what the cells have come to is packed.
    pub(super) async fn go(&mut self) {
        self.backend.lease(Duration::ZERO);
        tracing::info!("packing what the cells have come to");
        self.packing.last(&self.client, &self.backend, self.vms.generations()).await;
        self.report(&WorkerReport::Goodbye {}).await;
        // What is not sent by then costs others a lease.
        let _ = tokio::time::timeout(SILENCE, self.client.flush()).await;
    }
}
