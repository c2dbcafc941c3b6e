//! The one thread that writes the ledger, behind the journal and never in its way.
//!
//! Writes that wait are merged into one commit. What waits is bounded in bytes: whoever submits more
//! waits, and so does admission. After the first error the thread ends and says so once; nothing is
//! tried again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{Applied, Ledger, LedgerError, LedgerWrite};

/// One commit's most bytes, so that progress is seen while much waits.
const MAX_COMMIT_BYTES: usize = 4 * 1024 * 1024;
/// A permit's bytes.
const PERMIT_BYTES: usize = 1024;
/// What may wait: 64 MiB, the most that the ledger lags.
const ALL_PERMITS: u32 = 64 * 1024;

/// How far the ledger is behind what was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    pub bytes: usize,
    /// Age of the oldest write in the commit under way; zero when idle.
    pub age: Duration,
}

struct Waiting {
    write: LedgerWrite,
    submitted: Instant,
    permit: OwnedSemaphorePermit,
}

/// What the thread does in order.
enum Work {
    Write(Waiting),
    /// Looks at what is committed, between two commits.
    Read(Look),
}

type Look = Box<dyn FnOnce(&Ledger) + Send>;

/// The handle on the thread that owns the ledger.
#[derive(Debug)]
pub struct Committer {
    queue: mpsc::Sender<Work>,
    room: Arc<Semaphore>,
    applied: watch::Receiver<Option<Applied>>,
    started: Instant,
    /// Milliseconds after `started` at which the oldest write under way was submitted; 0 when idle.
    oldest_ms: Arc<AtomicU64>,
    thread: JoinHandle<Option<Ledger>>,
}

impl Committer {
    /// Starts the thread. The receiver gives the error that ended it, if one does: then the process
    /// must stop.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(ledger: Ledger) -> std::io::Result<(Self, oneshot::Receiver<LedgerError>)> {
        let (queue, waiting) = mpsc::channel();
        let (report, applied) = watch::channel(ledger.applied().cloned());
        let (fatal, fatal_receiver) = oneshot::channel();
        let started = Instant::now();
        let oldest_ms = Arc::new(AtomicU64::new(0));
        let room = Arc::new(Semaphore::new(ALL_PERMITS as usize));
        let worker =
            Worker { ledger, waiting, report, started, oldest_ms: oldest_ms.clone(), room: room.clone() };
        let thread =
            std::thread::Builder::new().name("ledger".to_owned()).spawn(move || worker.run(fatal))?;
        Ok((Self { queue, room, applied, started, oldest_ms, thread }, fatal_receiver))
    }

    /// Hands a write to the thread, waiting while too much waits already. Writes are committed in the
    /// order in which they are submitted.
    ///
    /// # Errors
    /// When the thread has ended: the process must stop.
    pub async fn submit(&self, write: LedgerWrite) -> Result<(), LedgerError> {
        let permits = u32::try_from(write.bytes().div_ceil(PERMIT_BYTES)).unwrap_or(ALL_PERMITS);
        let permit = Arc::clone(&self.room)
            .acquire_many_owned(permits.clamp(1, ALL_PERMITS))
            .await
            .map_err(|_| LedgerError::Ended)?;
        let waiting = Waiting { write, submitted: Instant::now(), permit };
        self.queue.send(Work::Write(waiting)).map_err(|_| LedgerError::Ended)
    }

    /// Reads the ledger as it stands after what was submitted before.
    ///
    /// # Errors
    /// When the thread has ended.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Ledger) -> T + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let look: Look = Box::new(move |ledger| {
            // Whoever asked may be gone.
            let _ = answer.send(look(ledger));
        });
        self.queue.send(Work::Read(look)).map_err(|_| LedgerError::Ended)?;
        answered.await.map_err(|_| LedgerError::Ended)
    }

    /// The last batch that is on the disk, as it moves on.
    pub fn applied(&self) -> watch::Receiver<Option<Applied>> {
        self.applied.clone()
    }

    /// How far the ledger is behind.
    pub fn lag(&self) -> Lag {
        let free = self.room.available_permits().min(ALL_PERMITS as usize);
        let age = match self.oldest_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            oldest_ms => self.started.elapsed().saturating_sub(Duration::from_millis(oldest_ms)),
        };
        Lag { bytes: (ALL_PERMITS as usize - free) * PERMIT_BYTES, age }
    }

    /// Commits what waits, ends the thread and gives the ledger back.
    ///
    /// # Errors
    /// When the thread ended before, by an error that its receiver gave.
    pub async fn close(self) -> Result<Ledger, LedgerError> {
        let Self { queue, thread, .. } = self;
        drop(queue);
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        match joined {
            Ok(Ok(Some(ledger))) => Ok(ledger),
            _ => Err(LedgerError::Ended),
        }
    }
}

/// What ended the thread, where `error` says only that it has ended.
pub(crate) fn reason(error: LedgerError, fatal: &mut oneshot::Receiver<LedgerError>) -> LedgerError {
    match error {
        LedgerError::Ended => fatal.try_recv().unwrap_or(LedgerError::Ended),
        error => error,
    }
}

struct Worker {
    ledger: Ledger,
    waiting: mpsc::Receiver<Work>,
    report: watch::Sender<Option<Applied>>,
    started: Instant,
    oldest_ms: Arc<AtomicU64>,
    room: Arc<Semaphore>,
}

impl Worker {
    fn run(mut self, fatal: oneshot::Sender<LedgerError>) -> Option<Ledger> {
        // sled asserts on some errors: a panic is an error like another, and as final.
        let ended = catch_unwind(AssertUnwindSafe(|| self.commit_all()));
        let error = match ended {
            Ok(Ok(())) => return Some(self.ledger),
            Ok(Err(error)) => error,
            Err(_) => LedgerError::Broken,
        };
        // Whoever dropped the receiver learns it from the next submit.
        let _ = fatal.send(error);
        self.room.close();
        None
    }

    /// Ends when every handle is gone and nothing waits.
    fn commit_all(&mut self) -> Result<(), LedgerError> {
        while let Ok(first) = self.waiting.recv() {
            let first = match first {
                Work::Write(first) => first,
                Work::Read(look) => {
                    look(&self.ledger);
                    continue;
                }
            };
            let mut look = None;
            let oldest_ms = first.submitted.saturating_duration_since(self.started).as_millis();
            self.oldest_ms.store(u64::try_from(oldest_ms).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
            let mut bytes = first.write.bytes();
            let mut writes = vec![first.write];
            let mut permits = vec![first.permit];
            while bytes < MAX_COMMIT_BYTES
                && look.is_none()
                && let Ok(next) = self.waiting.try_recv()
            {
                let next = match next {
                    Work::Write(next) => next,
                    Work::Read(next) => {
                        look = Some(next);
                        continue;
                    }
                };
                bytes += next.write.bytes();
                writes.push(next.write);
                permits.push(next.permit);
            }
            self.ledger.commit(&writes)?;
            self.report.send_replace(self.ledger.applied().cloned());
            self.oldest_ms.store(0, Ordering::Relaxed);
            if let Some(look) = look {
                look(&self.ledger);
            }
        }
        Ok(())
    }
}
