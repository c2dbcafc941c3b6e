//! The object stores of a fleet. A coordinator makes them; others fill them.

use async_nats::jetstream::object_store::Config;
use async_nats::jetstream::stream::StorageType;
use async_nats::{Client, jetstream};
use bioxen_protocol::package::PACKAGES_BUCKET;
use bioxen_protocol::packed::CHECKPOINTS_BUCKET;
use bioxen_protocol::worker::RESULTS_BUCKET;

use crate::snapshot::SNAPSHOTS_BUCKET;

/// Each by its name, and what lies in it.
const BUCKETS: [(&str, &str); 4] = [
    (RESULTS_BUCKET, "what VMs recorded"),
    (CHECKPOINTS_BUCKET, "what workers packed of their VMs"),
    (PACKAGES_BUCKET, "published packages"),
    (SNAPSHOTS_BUCKET, "the fleet at an index"),
];

/// A bucket could be neither found nor made.
#[derive(Debug, thiserror::Error)]
#[error("object store {bucket} cannot be made: {source}; has JetStream room for it?")]
pub struct BucketError {
    bucket: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Makes the buckets that are not there yet; those that are stay as they are.
///
/// # Errors
/// JetStream refuses or does not answer.
pub(crate) async fn ensure(client: &Client, replicas: u8) -> Result<(), BucketError> {
    let context = jetstream::new(client.clone());
    for (bucket, description) in BUCKETS {
        if context.get_object_store(bucket).await.is_ok() {
            continue;
        }
        let config = Config {
            bucket: bucket.to_owned(),
            description: Some(description.to_owned()),
            storage: StorageType::File,
            num_replicas: replicas.into(),
            ..Config::default()
        };
        let made = context.create_object_store(config).await;
        made.map_err(|error| BucketError { bucket, source: error.into() })?;
    }
    Ok(())
}
