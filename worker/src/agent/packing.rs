//! When checkpoints are packed: once an interval, one packing at a time, and once more at the end. What is packed is
//! [`Packs`]' business.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use bioxen_protocol::config::WorkerConfig;
use bioxen_protocol::id::{Generation, VmKey};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::backend::Backend;
use crate::packs::Packs;

/// How long the worker's end may wait for the store: whoever stops it grants more before he kills.
const LAST_TIME: Duration = Duration::from_secs(10);
/// Between two looks at the connection meanwhile: without it nothing comes to the store any more.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Packing {
    at_rest: Option<Packs>,
    under_way: Option<JoinHandle<Packs>>,
    every: Interval,
}

impl Packing {
    pub(super) fn new(packs: Packs, config: &WorkerConfig) -> Self {
        let seconds = Duration::from_secs(config.checkpoint_interval_seconds.max(1));
        let mut every = interval_at(Instant::now() + seconds, seconds);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { at_rest: Some(packs), under_way: None, every }
    }

    /// The next interval is over, and the packing before it.
    pub(super) async fn due(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            match under_way.await {
                Ok(packs) => self.at_rest = Some(packs),
                Err(error) => {
                    tracing::error!(%error, "checkpoints are not packed any more: start the worker again")
                }
            }
            self.under_way = None;
        }
        self.every.tick().await;
    }

    pub(super) fn begin(&mut self, backend: &Arc<dyn Backend>, held: BTreeMap<VmKey, Generation>) {
        if let Some(packs) = self.at_rest.take() {
            self.under_way = Some(tokio::spawn(packs.pack(Arc::clone(backend), held)));
        }
    }

    /// Packs all that has changed since, before the process ends.
    pub(super) async fn last(
        &mut self,
        client: &Client,
        backend: &Arc<dyn Backend>,
        held: BTreeMap<VmKey, Generation>,
    ) {
        let last = async {
            if let Some(under_way) = self.under_way.take() {
                self.at_rest = under_way.await.ok();
            }
            if let Some(packs) = self.at_rest.take() {
                packs.pack(Arc::clone(backend), held).await;
            }
        };
        let gone = async {
            while client.connection_state() == State::Connected {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            () = gone => tracing::warn!("no connection: the last checkpoints are not stored, those before them stand"),
            () = last => {}
            () = tokio::time::sleep(LAST_TIME) => {
                tracing::warn!("the store did not take the last checkpoints in time: those before them stand");
            }
        }
    }
}
