//! Recordings on their way into the object store. One is tried until it stands there: a VM's end is told only then, for
//! afterwards nobody here has its rows. It knows nothing of cells.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::worker::{RESULTS_BUCKET, results_object};
use tokio::task::JoinSet;

use crate::backend::Recording;
use crate::objects::put;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one try may take: a large recording on a slow bus.
const TRY_TIME: Duration = Duration::from_secs(60);

/// Recordings that are being stored.
#[derive(Debug)]
pub(crate) struct Stores {
    client: Client,
    tasks: JoinSet<(VmKey, Generation)>,
}

impl Stores {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), tasks: JoinSet::new() }
    }

    /// Begins to store one.
    pub(crate) fn store(&mut self, recording: Recording) {
        let client = self.client.clone();
        self.tasks.spawn(async move {
            let Recording { key, generation, trace } = recording;
            let name = results_object(&key, generation);
            let bytes = tokio::task::spawn_blocking(move || Arc::new(trace.encode())).await.unwrap_or_default();
            while let Err(error) = put(&client, RESULTS_BUCKET, &name, &bytes, TRY_TIME).await {
                tracing::warn!(vm.id = %key, vm.generation = %generation, %error, "a recording is not stored yet; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            tracing::info!(vm.id = %key, vm.generation = %generation, bytes = bytes.len(), "recording stored");
            (key, generation)
        });
    }

    /// One that stands in the store; waits for ever where none is under way.
    pub(crate) async fn done(&mut self) -> Option<(VmKey, Generation)> {
        match self.tasks.join_next().await {
            Some(Ok(stored)) => Some(stored),
            Some(Err(error)) => {
                tracing::error!(%error, "storing a recording ended by itself");
                None
            }
            None => std::future::pending().await,
        }
    }
}
