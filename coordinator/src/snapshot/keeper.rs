//! The thread that takes snapshots and compacts the journal behind them.
//!
//! It is fed acknowledged batches and holds nobody up: what it had no room for it reads from the journal. Whatever fails
//! here is tried again from the newest snapshot that stands; the fleet goes on meanwhile, and its journal grows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bioxen_protocol::reply::SnapshotTaken;
use tokio::sync::{mpsc, oneshot, watch};

use super::beginning::{self, Which, beginning};
use super::compact::{Kept, Settled, floor};
use super::file;
use super::{Shadow, SnapshotError, SnapshotSettings, SnapshotStore};
use crate::journal::{Journal, JournalBatch};
use crate::ledger::Applied;
use crate::metrics as name;
use crate::peers::Peers;
use crate::projector::Progress;

/// Batches that may wait before the journal is read for them.
const BATCHES: usize = 4_096;
/// The journal is not kept for a follower once it is as large as this.
const FOLLOWER_BYTES: u64 = 1024 * 1024 * 1024;
/// Between two attempts at what failed, and two looks at followers that are behind.
const PAUSE: Duration = Duration::from_secs(5);
/// How long whoever asks for a snapshot waits for it.
const LONGEST_TAKE: Duration = Duration::from_secs(60);

enum Order {
    Batch(Arc<JournalBatch>),
    Take(oneshot::Sender<Result<SnapshotTaken, String>>),
}

/// A handle on the thread. It ends with its last handle.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    orders: mpsc::Sender<Order>,
}

/// Who folds the journal too: it is not purged before they have passed.
#[derive(Debug)]
pub(crate) struct Readers {
    pub(crate) projector: watch::Receiver<Progress>,
    pub(crate) ledger: watch::Receiver<Option<Applied>>,
    /// Followers are waited for, within bounds: one that is further behind begins from a snapshot.
    pub(crate) peers: Peers,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(
        journal: Journal,
        settings: SnapshotSettings,
        readers: Readers,
    ) -> std::io::Result<Self> {
        let (orders, received) = mpsc::channel(BATCHES);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let settled = Settled::new(Duration::from_secs(settings.settled_seconds));
        let work = Work {
            journal,
            settings,
            readers,
            settled,
            kept: Vec::new(),
            last: None,
            purged: 0,
            asked: None,
        };
        std::thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(move || runtime.block_on(work.run(received)))?;
        Ok(Self { orders })
    }

    /// Shows a batch that the journal has.
    pub(crate) fn feed(&self, batch: &Arc<JournalBatch>) {
        // What does not fit, or comes after its end, stands in the journal.
        let _ = self.orders.try_send(Order::Batch(Arc::clone(batch)));
    }

    /// Takes a snapshot now.
    ///
    /// # Errors
    /// In words, where none could be taken.
    pub(crate) async fn take(&self) -> Result<SnapshotTaken, String> {
        let (answer, answered) = oneshot::channel();
        let taken = async {
            self.orders.send(Order::Take(answer)).await.ok()?;
            answered.await.ok()
        };
        match tokio::time::timeout(LONGEST_TAKE, taken).await {
            Ok(Some(taken)) => taken,
            Ok(None) => Err("the thread that takes them has ended".to_owned()),
            Err(_) => Err(format!("it took longer than {} s", LONGEST_TAKE.as_secs())),
        }
    }
}

/// The last snapshot, as far as the next one depends on it.
struct Last {
    index: u64,
    taken: Instant,
    /// Of journal, since.
    bytes: u64,
}

struct Work {
    journal: Journal,
    settings: SnapshotSettings,
    readers: Readers,
    settled: Settled,
    /// Verified, by index.
    kept: Vec<Kept>,
    last: Option<Last>,
    /// The journal holds nothing before this sequence.
    purged: u64,
    /// When followers were asked last how far they are, and one was behind.
    asked: Option<Instant>,
}

impl Work {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Err(error) = self.work(&mut orders).await {
            tracing::warn!(%error, "snapshots are not taken; trying again");
            metrics::counter!(name::SNAPSHOT_FAILURES).increment(1);
            tokio::time::sleep(PAUSE).await;
            if orders.is_closed() {
                return;
            }
        }
    }

    /// Until every handle is gone.
    async fn work(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<(), SnapshotError> {
        let store = SnapshotStore::open(&self.journal).await?;
        let store = store.ok_or_else(|| SnapshotError::Store("it is not there".into()))?;
        self.find_kept(&store).await?;
        let begins = beginning(&self.journal, Which::Newest, |_| true).await?;
        let mut shadow = begins.unwrap_or_else(super::Shadow::first);
        let index = shadow.position.index;
        self.last = Some(Last { index, taken: Instant::now(), bytes: 0 });
        self.catch_up(&mut shadow).await?;
        while let Some(order) = orders.recv().await {
            match order {
                Order::Batch(batch) => {
                    if !self.fold(&mut shadow, &batch)? {
                        self.catch_up(&mut shadow).await?;
                    }
                    if self.is_due(&shadow) {
                        self.take(&store, &shadow).await?;
                    }
                }
                Order::Take(answer) => {
                    self.catch_up(&mut shadow).await?;
                    let taken = self.take(&store, &shadow).await;
                    // Whoever asked may be gone.
                    let _ = answer.send(taken.map_err(|error| error.to_string()));
                }
            }
            self.compact(&store).await?;
        }
        Ok(())
    }

    /// Snapshots that stand from before, each read and verified anew.
    async fn find_kept(&mut self, store: &SnapshotStore) -> Result<(), SnapshotError> {
        self.kept.clear();
        store.clear_unfinished(&self.journal).await?;
        for listed in store.list().await? {
            if let Some(found) = beginning::read(&self.journal, store, listed.index).await? {
                let position = found.position;
                self.kept.push(Kept { index: position.index, sequence: position.sequence });
            }
        }
        Ok(())
    }

    fn fold(&mut self, shadow: &mut Shadow, batch: &JournalBatch) -> Result<bool, SnapshotError> {
        let before = shadow.position.index;
        let joined = shadow.fold(batch)?;
        if shadow.position.index > before
            && let Some(last) = &mut self.last
        {
            last.bytes += batch.payload.len() as u64;
        }
        Ok(joined)
    }

    /// Reads what was not fed.
    async fn catch_up(&mut self, shadow: &mut Shadow) -> Result<(), SnapshotError> {
        let journal = self.journal.clone();
        let mut failed = None;
        let from = shadow.position;
        journal
            .read_after(from, |batch| {
                if failed.is_none() {
                    failed = self.fold(shadow, &batch).err();
                }
            })
            .await?;
        failed.map_or(Ok(()), Err)
    }

    fn is_due(&self, shadow: &Shadow) -> bool {
        let Some(last) = &self.last else { return false };
        let entries = shadow.position.index.saturating_sub(last.index);
        let much = entries >= self.settings.every_entries || last.bytes >= self.settings.every_bytes;
        much && last.taken.elapsed() >= Duration::from_secs(self.settings.pause_seconds)
    }

    /// Writes one, and believes in it when it was read back.
    async fn take(&mut self, store: &SnapshotStore, shadow: &Shadow) -> Result<SnapshotTaken, SnapshotError> {
        let started = Instant::now();
        let written = shadow.snapshot()?;
        let index = written.head.index;
        let bytes = file::encode(&written)?;
        store.put(index, &bytes).await?;
        let read = store.get(index).await?;
        if read.as_ref() != Some(&written) {
            return Err(SnapshotError::Different { index });
        }
        written.load()?;
        self.kept.retain(|kept| kept.index != index);
        self.kept.push(Kept { index, sequence: written.head.sequence });
        let taken = SnapshotTaken {
            index,
            incarnation: written.head.incarnation,
            sequence: written.head.sequence,
            bytes: bytes.len() as u64,
            rows: written.rows.len() as u64,
            audit_records: written.head.audit_number,
            time_ms: written.head.time_ms,
        };
        self.last = Some(Last { index, taken: Instant::now(), bytes: 0 });
        metrics::gauge!(name::SNAPSHOT_INDEX).set(index as f64);
        metrics::gauge!(name::SNAPSHOT_BYTES).set(taken.bytes as f64);
        metrics::histogram!(name::SNAPSHOT_SECONDS).record(started.elapsed().as_secs_f64());
        tracing::info!(index, rows = taken.rows, bytes = taken.bytes, "a snapshot was taken and read back");
        Ok(taken)
    }

    /// Whether a follower still has to read below this snapshot, and the journal is small enough to wait for it.
    async fn is_waited_for(&mut self, floor: Kept) -> Result<bool, SnapshotError> {
        if self.asked.is_some_and(|asked| asked.elapsed() < PAUSE) {
            return Ok(true);
        }
        self.asked = Some(Instant::now());
        let peers = self.readers.peers.gather().await;
        let Some(slowest) =
            peers.iter().min_by_key(|peer| peer.index).filter(|peer| peer.index < floor.index)
        else {
            self.asked = None;
            return Ok(false);
        };
        let is_small = self.journal.state().await?.bytes < FOLLOWER_BYTES;
        tracing::debug!(peer = slowest.name, peer_index = slowest.index, is_small, "a follower is behind");
        Ok(is_small)
    }

    /// Purges what nobody needs any more: first the journal, then the snapshots before what is left.
    async fn compact(&mut self, store: &SnapshotStore) -> Result<(), SnapshotError> {
        let passed = {
            let projected = self.readers.projector.borrow();
            let kept = self.readers.ledger.borrow().as_ref().map_or(0, |applied| applied.index);
            projected.events_index.min(projected.audit_index).min(kept)
        };
        let settled = self.settled.note(Instant::now(), passed);
        let Some(floor) = floor(&self.kept, settled).filter(|floor| floor.sequence > self.purged) else {
            return Ok(());
        };
        if self.is_waited_for(floor).await? {
            return Ok(());
        }
        // The snapshot's own batch stays: a ledger that ends with it still joins.
        let batches = self.journal.purge_before(floor.sequence).await?;
        self.purged = floor.sequence;
        for old in store.list().await?.iter().filter(|listed| listed.index < floor.index) {
            store.delete(old.index).await?;
        }
        self.kept.retain(|kept| kept.index >= floor.index);
        tracing::info!(index = floor.index, batches, "the journal was compacted");
        Ok(())
    }
}
