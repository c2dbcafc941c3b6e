//! The journal: the fleet's only truth, an ordered chain of batches in one JetStream stream.
//!
//! ```text
//!            append (one in flight, fenced)              read_after / follow
//!   driver ------------------------------> BIOXEN_JOURNAL -------------------> fold, followers
//!                                              ^    |
//!                 reappend (verbatim)          |    | a tail that was lost
//!   ledger ------------------------------------+    v
//!                                                 join
//! ```
//!
//! Each batch carries the hash of the batch before it and our own index of its first entry, so that
//! what is read is proved to be what was written, whatever became of the stream's sequence numbers.
//! The stream's sequence serves one purpose: it is the fence against a second writer.
//!
//! This module must not interpret entries, decide anything about the fleet, or know sled.

mod age;
pub(crate) mod api;
pub mod append;
pub mod batch;
pub mod follow;
pub mod heal;
mod purge;
pub mod server;
pub mod streams;

use std::time::Duration;

use async_nats::Client;

pub use api::{ApiError, StreamState};
pub use append::{AppendError, Outcome, Seen};
pub use batch::{Batch, BatchError, Hash};
pub use follow::{Follower, JournalBatch, ReadEnd, ReadError};
pub use heal::{Difference, JoinError, Joining, Mark, Refold};

/// Where a fold of the journal stands: after this batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The stream's sequence of the last batch folded; 0 before the first.
    pub sequence: u64,
    /// Index of the last entry folded; 0 before the first. The first entry of a fleet has index 1.
    pub index: u64,
    /// Hash of the last batch folded; zeroes before the first.
    pub hash: Hash,
}

impl Position {
    /// Before the first batch of a fleet.
    pub const START: Self = Self { sequence: 0, index: 0, hash: Hash::ZERO };

    /// Proves that a batch, which stands at `sequence`, continues the chain here.
    ///
    /// # Errors
    /// What does not join; names its sequence and the index expected.
    pub fn joins(&self, sequence: u64, first_index: u64, previous_hash: Hash) -> Result<(), ReadError> {
        let expected_index = self.index + 1;
        let found_index = first_index;
        if found_index > expected_index {
            return Err(ReadError::Gap { sequence, expected_index, found_index });
        }
        if found_index < expected_index {
            return Err(ReadError::Repeated { sequence, expected_index, found_index });
        }
        if previous_hash != self.hash {
            let (index, expected, found) = (found_index, self.hash, previous_hash);
            return Err(ReadError::ChainBroken { sequence, index, expected, found });
        }
        Ok(())
    }
}

/// How long the journal tries before it says that it cannot.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long one request waits for its answer.
    pub answer: Duration,
    /// How long an append or a read goes on trying in all.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer: Duration::from_secs(2), total: Duration::from_secs(15) }
    }
}

/// A cheap handle on the fleet's journal.
#[derive(Clone, Debug)]
pub struct Journal {
    client: Client,
    patience: Patience,
}

impl Journal {
    /// A handle over a connection. The streams must exist: see [`streams::ensure`].
    pub fn new(client: Client, patience: Patience) -> Self {
        Self { client, patience }
    }

    pub(crate) fn patience(&self) -> Patience {
        self.patience
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What the stream's leader says of it: first and last sequence, messages kept.
    ///
    /// # Errors
    /// When JetStream does not answer, or refuses.
    pub async fn state(&self) -> Result<StreamState, ApiError> {
        api::stream_state(&self.client, streams::JOURNAL, self.patience.answer).await
    }
}
