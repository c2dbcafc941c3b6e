//! What workers packed of VMs whose placement ended without a checkpoint: found, checked, and cleared away once nobody
//! needs it. It decides nothing: the fleet says which VM wants what.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::object_store::ObjectStore;
use async_nats::{Client, jetstream};
use bioxen_protocol::id::{BootId, VmKey, WorkerId};
use bioxen_protocol::limits::CHECKPOINT_BYTES;
use bioxen_protocol::packed::{CHECKPOINTS_BUCKET, Pieces, boot_of};
use futures::StreamExt as _;
use tokio::io::AsyncReadExt as _;

use crate::fleet::checkpoint::{Lost, Taken};

/// How long one search may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Nothing larger is read: the pieces of many thousands of VMs fit.
const OBJECT_BYTES: u64 = 256 * 1024 * 1024;

pub(crate) type Boot = (WorkerId, BootId);

/// What a search came to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Of each VM that was looked for, in its order.
    pub(crate) vms: Vec<FoundVm>,
    /// Every boot that has something in the store.
    pub(crate) boots: BTreeSet<Boot>,
}

#[derive(Debug)]
pub(crate) struct FoundVm {
    pub(crate) key: VmKey,
    pub(crate) lost: Lost,
    pub(crate) newest: Option<Taken>,
    /// When its boot packed last, in milliseconds since 1970 on the worker's clock.
    pub(crate) packed_ms: Option<u64>,
}

/// Why a search failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SearchError {
    #[error("bucket {CHECKPOINTS_BUCKET} cannot be read: {0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
    #[error("it took longer than {PATIENCE:?}")]
    Late,
}

fn store_error(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SearchError {
    SearchError::Store(error.into())
}

/// The newest piece of each VM, written in the generation that was lost, and whole.
pub(crate) async fn search(client: &Client, wanted: Vec<(VmKey, Lost)>) -> Result<Found, SearchError> {
    tokio::time::timeout(PATIENCE, search_all(client, wanted)).await.map_err(|_| SearchError::Late)?
}

async fn search_all(client: &Client, wanted: Vec<(VmKey, Lost)>) -> Result<Found, SearchError> {
    let bucket = bucket(client).await?;
    let names = names(&bucket).await?;
    let wanted_boots: BTreeSet<Boot> =
        wanted.iter().map(|(_, lost)| (lost.worker.clone(), lost.boot.clone())).collect();
    let mut search = Search {
        wanted: wanted.into_iter().map(|(key, lost)| (key, (lost, None))).collect(),
        packed_ms: BTreeMap::new(),
    };
    let mut boots = BTreeSet::new();
    for name in names {
        let Some(boot) = boot_of(&name) else { continue };
        if wanted_boots.contains(&boot)
            && let Some(bytes) = read(&bucket, &name).await?
        {
            // Checksums of many pieces take their time.
            let read = tokio::task::spawn_blocking(move || {
                search.take(&name, &bytes);
                search
            });
            search = read.await.map_err(store_error)?;
        }
        boots.insert(boot);
    }
    let Search { wanted, packed_ms } = search;
    let vms = wanted.into_iter().map(|(key, (lost, newest))| {
        let packed_ms = packed_ms.get(&(lost.worker.clone(), lost.boot.clone())).copied();
        FoundVm { key, lost, newest, packed_ms }
    });
    Ok(Found { vms: vms.collect(), boots })
}

/// Clears away what a boot packed.
pub(crate) async fn clear(client: &Client, boot: &Boot) -> Result<(), SearchError> {
    let clear = async {
        let bucket = bucket(client).await?;
        for name in names(&bucket).await? {
            if boot_of(&name).as_ref() == Some(boot) {
                bucket.delete(&name).await.map_err(store_error)?;
            }
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, clear).await.map_err(|_| SearchError::Late)?
}

async fn bucket(client: &Client) -> Result<ObjectStore, SearchError> {
    let bucket = jetstream::new(client.clone()).get_object_store(CHECKPOINTS_BUCKET).await;
    bucket.map_err(store_error)
}

async fn names(bucket: &ObjectStore) -> Result<Vec<String>, SearchError> {
    let mut list = bucket.list().await.map_err(store_error)?;
    let mut names = Vec::new();
    while let Some(object) = list.next().await {
        names.push(object.map_err(store_error)?.name);
    }
    Ok(names)
}

/// None where it was replaced or cleared away meanwhile, or is none of ours.
async fn read(bucket: &ObjectStore, name: &str) -> Result<Option<Vec<u8>>, SearchError> {
    use async_nats::jetstream::object_store::GetErrorKind;
    let object = match bucket.get(name).await {
        Ok(object) => object,
        Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(store_error(error)),
    };
    let mut bytes = Vec::new();
    if let Err(error) = object.take(OBJECT_BYTES).read_to_end(&mut bytes).await {
        tracing::warn!(object = name, %error, "packed checkpoints cannot be read: passed over");
        return Ok(None);
    }
    Ok(Some(bytes))
}

#[derive(Debug)]
struct Search {
    wanted: BTreeMap<VmKey, (Lost, Option<Taken>)>,
    packed_ms: BTreeMap<Boot, u64>,
}

impl Search {
    fn take(&mut self, name: &str, bytes: &[u8]) {
        let pieces = match Pieces::read(bytes) {
            Ok(pieces) => pieces,
            Err(error) => return tracing::warn!(object = name, %error, "passed over"),
        };
        if let Some(boot) = boot_of(name) {
            let packed_ms = self.packed_ms.entry(boot).or_default();
            *packed_ms = (*packed_ms).max(pieces.packed_ms);
        }
        for piece in pieces {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    tracing::warn!(object = name, %error, "a packed checkpoint is passed over");
                    continue;
                }
            };
            let Some((lost, newest)) = self.wanted.get_mut(&piece.key) else { continue };
            let is_newer =
                newest.as_ref().is_none_or(|than| (piece.tick, piece.applied) > (than.tick, than.applied));
            if piece.generation != lost.generation || !is_newer || piece.checkpoint.len() > CHECKPOINT_BYTES {
                continue;
            }
            *newest = Some(Taken::new(piece.checkpoint.into(), piece.tick, piece.applied));
        }
    }
}
