//! One object into a bucket that a coordinator made, in bounded time. It knows nothing of what objects hold.

use std::time::Duration;

use async_nats::{Client, jetstream};

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why an object does not stand in its bucket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    #[error("bucket {bucket} is not there: a coordinator makes it when it starts ({source})")]
    Bucket { bucket: &'static str, source: Source },
    #[error("the object was not written: {0}")]
    Put(Source),
    #[error("it took longer than {0:?}")]
    Late(Duration),
}

/// Writes an object; one of the same name is replaced.
pub(crate) async fn put(
    client: &Client,
    bucket: &'static str,
    name: &str,
    mut bytes: &[u8],
    within: Duration,
) -> Result<(), PutError> {
    let put = async {
        let context = jetstream::new(client.clone());
        let store = context.get_object_store(bucket).await;
        let store = store.map_err(|error| PutError::Bucket { bucket, source: error.into() })?;
        store.put(name, &mut bytes).await.map(drop).map_err(|error| PutError::Put(error.into()))
    };
    tokio::time::timeout(within, put).await.map_err(|_| PutError::Late(within))?
}
