//! The feed: every batch that the journal is known to hold passes here, in order, once, whichever role this coordinator
//! has. A follower passes what it read, a leader what was acknowledged.
//!
//! ```text
//!   follow.rs --read---------\
//!                             pass --> ledger (committer), standing (what peers and probes are told)
//!   driver --acknowledged----/
//! ```
//!
//! Whatever wants to keep up with the journal hangs on here. It must not decide anything, and holds the caller up only
//! where the ledger is too far behind.

use std::sync::Arc;

use tokio::sync::watch;

use crate::journal::JournalBatch;
use crate::ledger::{Committer, LedgerError, LedgerWrite};
use crate::rows::RowChange;

/// How far this coordinator is, for those that ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The last entry that it knows to be journaled.
    pub(crate) index: u64,
    pub(crate) leads: bool,
}

/// A handle on the place where batches pass.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    pub(crate) committer: Arc<Committer>,
    standing: watch::Sender<Standing>,
}

impl Feed {
    pub(crate) fn new(committer: Committer, standing: watch::Sender<Standing>) -> Self {
        Self { committer: Arc::new(committer), standing }
    }

    /// Takes the next batch and the rows that it changed.
    ///
    /// # Errors
    /// When the ledger has failed: the process must stop.
    pub(crate) async fn pass(
        &self,
        batch: &Arc<JournalBatch>,
        rows: Vec<RowChange>,
    ) -> Result<(), LedgerError> {
        let JournalBatch { sequence, hash, payload, batch } = &**batch;
        self.standing.send_modify(|standing| standing.index = batch.last_index());
        self.committer.submit(LedgerWrite::new(batch, *sequence, *hash, payload.clone(), rows)).await
    }

    /// Commits what waits and gives the ledger back; None where others still hold a handle.
    ///
    /// # Errors
    /// When the ledger has failed.
    pub(crate) async fn close(self) -> Result<Option<crate::ledger::Ledger>, LedgerError> {
        match Arc::into_inner(self.committer) {
            Some(committer) => committer.close().await.map(Some),
            None => Ok(None),
        }
    }
}
