//! Objects of a bucket, from it and into it, as they are.

use async_nats::jetstream::object_store::{GetErrorKind, ObjectStore};
use async_nats::{Client, jetstream};
use bioxen_protocol::package::PACKAGES_BUCKET;
use bioxen_protocol::packed::CHECKPOINTS_BUCKET;
use bioxen_protocol::worker::RESULTS_BUCKET;
use futures::StreamExt as _;
use tokio::io::AsyncReadExt as _;

use super::archive::Writer;
use super::{BackupError, ObjectName, PartKind};

/// Buckets that a backup holds; the first is read before the journal's end, the others after it.
pub(super) const BUCKETS: [&str; 3] = [CHECKPOINTS_BUCKET, PACKAGES_BUCKET, RESULTS_BUCKET];
/// An object may be replaced while it is read.
const ATTEMPTS: u32 = 5;

pub(super) async fn bucket(client: &Client, name: &str) -> Result<ObjectStore, BackupError> {
    let found = jetstream::new(client.clone()).get_object_store(name).await;
    found.map_err(|error| failed(name, error))
}

fn failed(bucket: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BackupError {
    BackupError::Bucket { bucket: bucket.to_owned(), source: error.into() }
}

/// Names and sizes of what a bucket holds.
pub(super) async fn list(bucket: &ObjectStore, name: &str) -> Result<Vec<(String, u64)>, BackupError> {
    let mut objects = bucket.list().await.map_err(|error| failed(name, error))?;
    let mut listed = Vec::new();
    while let Some(object) = objects.next().await {
        let object = object.map_err(|error| failed(name, error))?;
        listed.push((object.name, object.size as u64));
    }
    Ok(listed)
}

/// Copies every object of a bucket into the backup.
pub(super) async fn save(client: &Client, name: &str, writer: &mut Writer) -> Result<(), BackupError> {
    let bucket = bucket(client, name).await?;
    for (object, _) in list(&bucket, name).await? {
        if let Some(bytes) = read(&bucket, name, &object).await? {
            let of = ObjectName { bucket: name.to_owned(), name: object };
            writer.put(PartKind::Object, Some(of), &bytes)?;
        }
    }
    Ok(())
}

/// None where it is gone: then nothing refers to it any more.
async fn read(bucket: &ObjectStore, name: &str, object: &str) -> Result<Option<Vec<u8>>, BackupError> {
    let mut attempt = 1;
    loop {
        let mut found = match bucket.get(object).await {
            Ok(found) => found,
            Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(name, error)),
        };
        let mut bytes = Vec::with_capacity(found.info().size);
        match found.read_to_end(&mut bytes).await {
            Ok(_) => return Ok(Some(bytes)),
            Err(error) if attempt < ATTEMPTS => {
                tracing::debug!(object, %error, "it changed while it was read; reading it again");
                attempt += 1;
            }
            Err(error) => return Err(failed(name, error)),
        }
    }
}

/// Puts an object into its bucket.
pub(super) async fn put(client: &Client, object: &ObjectName, bytes: &[u8]) -> Result<(), BackupError> {
    let bucket = bucket(client, &object.bucket).await?;
    let mut reader = bytes;
    let put = bucket.put(object.name.as_str(), &mut reader).await;
    put.map(drop).map_err(|error| failed(&object.bucket, error))
}
