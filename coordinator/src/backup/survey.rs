//! What a backup that is taken now would hold, without reading it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use bioxen_protocol::reply::{BackupSurvey, SnapshotInfo, Stored};

use super::BackupError;
use super::objects::{self, BUCKETS};
use crate::journal::{Journal, Patience, api, streams};
use crate::snapshot::SnapshotStore;

/// How long one request may take.
const WAIT: Duration = Duration::from_secs(5);

/// Counts what the fleet's streams and buckets hold.
///
/// # Errors
/// When one of them does not answer.
pub async fn survey(client: &Client) -> Result<BackupSurvey, BackupError> {
    let journal = Journal::new(client.clone(), Patience::default());
    let stored = |state: api::StreamState| Stored { count: state.messages, bytes: state.bytes };
    let snapshots = match SnapshotStore::open(&journal).await? {
        Some(store) => store.list().await?,
        None => Vec::new(),
    };
    let info = |listed: &crate::snapshot::Listed| SnapshotInfo { index: listed.index, bytes: listed.bytes };
    let mut buckets = BTreeMap::new();
    for name in BUCKETS {
        let bucket = objects::bucket(client, name).await?;
        let listed = objects::list(&bucket, name).await?;
        let bytes = listed.iter().map(|(_, bytes)| bytes).sum();
        buckets.insert(name.to_owned(), Stored { count: listed.len() as u64, bytes });
    }
    Ok(BackupSurvey {
        snapshots: snapshots.iter().map(info).collect(),
        journal: stored(journal.state().await?),
        audit: stored(api::stream_state(client, streams::AUDIT, WAIT).await?),
        objects: buckets,
    })
}
