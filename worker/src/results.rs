//! Recordings on their way into the object store. One is tried until it stands there: a VM's end is told only then, for
//! afterwards nobody here has its rows. It knows nothing of cells.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, jetstream};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::worker::{RESULTS_BUCKET, results_object};
use tokio::task::JoinSet;

use crate::backend::Recording;

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

/// Why a try failed.
#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error("bucket {RESULTS_BUCKET} is not there: a coordinator makes it when it starts ({0})")]
    Bucket(Box<dyn std::error::Error + Send + Sync>),
    #[error("the object was not written: {0}")]
    Put(Box<dyn std::error::Error + Send + Sync>),
    #[error("it took longer than {TRY_TIME:?}")]
    Late,
}

impl Stores {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), tasks: JoinSet::new() }
    }

    /// Begins to store one.
    pub(crate) fn store(&mut self, recording: Recording) {
        let context = jetstream::new(self.client.clone());
        self.tasks.spawn(async move {
            let Recording { key, generation, trace } = recording;
            let name = results_object(&key, generation);
            let bytes = tokio::task::spawn_blocking(move || Arc::new(trace.encode())).await.unwrap_or_default();
            while let Err(error) = put(&context, &name, &bytes).await {
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

async fn put(context: &jetstream::Context, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    let put = async {
        let bucket = context.get_object_store(RESULTS_BUCKET).await;
        let bucket = bucket.map_err(|error| StoreError::Bucket(error.into()))?;
        bucket.put(name, &mut &*bytes).await.map_err(|error| StoreError::Put(error.into()))?;
        Ok(())
    };
    tokio::time::timeout(TRY_TIME, put).await.map_err(|_| StoreError::Late)?
}
