//! The bucket of snapshots. Each is named by its index. This file moves bytes and judges none.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream;
use async_nats::jetstream::object_store::{GetErrorKind, ObjectStore};
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::{Snapshot, SnapshotError, file};
use crate::journal::api::{self, code};
use crate::journal::{Journal, streams};

/// The bucket's name.
pub const SNAPSHOTS_BUCKET: &str = "BIOXEN_SNAPSHOTS";
/// The stream below it.
const STREAM: &str = "OBJ_BIOXEN_SNAPSHOTS";

/// A snapshot that stands in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    pub index: u64,
    pub bytes: u64,
}

/// The bucket.
pub struct SnapshotStore {
    bucket: ObjectStore,
}

impl std::fmt::Debug for SnapshotStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(SNAPSHOTS_BUCKET)
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SnapshotError {
    SnapshotError::Store(error.into())
}

fn name(index: u64) -> String {
    format!("{index:020}")
}

impl SnapshotStore {
    /// None where the bucket was never made.
    ///
    /// # Errors
    /// When JetStream does not answer.
    pub async fn open(journal: &Journal) -> Result<Option<Self>, SnapshotError> {
        let client = journal.client();
        let exists = journal.patiently(|| api::stream_state(client, STREAM, journal.patience().answer));
        match exists.await {
            Err(error) if error.code() == Some(code::STREAM_NOT_FOUND) => return Ok(None),
            state => drop(state?),
        }
        let bucket = jetstream::new(client.clone()).get_object_store(SNAPSHOTS_BUCKET).await;
        Ok(Some(Self { bucket: bucket.map_err(failed)? }))
    }

    /// All of them, by index.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn list(&self) -> Result<Vec<Listed>, SnapshotError> {
        let mut objects = self.bucket.list().await.map_err(failed)?;
        let mut listed = Vec::new();
        while let Some(object) = objects.next().await {
            let object = object.map_err(failed)?;
            if let Ok(index) = object.name.parse() {
                listed.push(Listed { index, bytes: object.size as u64 });
            }
        }
        listed.sort_by_key(|snapshot| snapshot.index);
        Ok(listed)
    }

    /// Its bytes as they stand there; None where it is gone.
    ///
    /// # Errors
    /// When the bucket does not answer, or its own digest does not fit.
    pub async fn bytes(&self, index: u64) -> Result<Option<Vec<u8>>, SnapshotError> {
        let mut object = match self.bucket.get(name(index)).await {
            Ok(object) => object,
            Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::with_capacity(object.info().size);
        object.read_to_end(&mut bytes).await.map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Reads one; None where it is gone.
    ///
    /// # Errors
    /// As [`Self::bytes`], and when it is damaged.
    pub async fn get(&self, index: u64) -> Result<Option<Snapshot>, SnapshotError> {
        self.bytes(index).await?.map(|bytes| file::decode(&bytes)).transpose()
    }

    /// Puts bytes under an index.
    ///
    /// # Errors
    /// When the bucket refuses or does not answer.
    pub async fn put(&self, index: u64, bytes: &[u8]) -> Result<(), SnapshotError> {
        let mut reader = bytes;
        self.bucket.put(name(index).as_str(), &mut reader).await.map(drop).map_err(failed)
    }

    /// Clears away what writers left that were killed in the middle of one: pieces that no object names.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn clear_unfinished(&self, journal: &Journal) -> Result<(), SnapshotError> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: BTreeMap<String, u64>,
        }
        let (client, wait) = (journal.client(), journal.patience().answer);
        let piece = |nuid: &str| format!("$O.{SNAPSHOTS_BUCKET}.C.{nuid}");
        let mut named = BTreeSet::new();
        let mut objects = self.bucket.list().await.map_err(failed)?;
        while let Some(object) = objects.next().await {
            named.insert(piece(&object.map_err(failed)?.nuid));
        }
        let body = json!({ "subjects_filter": piece(">") });
        let info: Info = api::call(client, &streams::api_info(STREAM), &body, wait).await?;
        for subject in info.state.subjects.keys().filter(|subject| !named.contains(*subject)) {
            let body = json!({ "filter": subject });
            let _: serde_json::Value = api::call(client, &streams::api_purge(STREAM), &body, wait).await?;
            tracing::info!(subject, "what is left of a snapshot that was not finished is cleared away");
        }
        Ok(())
    }

    /// Deletes one.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn delete(&self, index: u64) -> Result<(), SnapshotError> {
        self.bucket.delete(name(index)).await.map_err(failed)
    }
}
