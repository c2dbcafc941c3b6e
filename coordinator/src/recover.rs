//! Starting: ledger and journal are joined, healed where one lost its end, and folded into the fleet.

use std::path::Path;
use std::time::Duration;

use crate::fleet::Fleet;
use crate::journal::{
    AppendError, Difference, JoinError, Joining, Journal, JournalBatch, Position, ReadError, Refold,
};
use crate::ledger::{Ledger, LedgerError, LedgerWrite, set_aside};
use crate::peers::Peers;
use crate::rows::{self, RowsError};
use crate::snapshot::{self, Shadow, SnapshotError, Which};

/// Batches written to the ledger at once while it is rebuilt.
const REBUILD_STEP: usize = 512;
/// Before a journal is looked at again that somebody else heals.
const PAUSE: Duration = Duration::from_millis(250);

/// Where a coordinator continues.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) fleet: Fleet,
    /// None where the journal is empty: a new fleet.
    pub(crate) fleet_id: Option<String>,
    /// The fold's position; its sequence is the fence of the next append.
    pub(crate) position: Position,
    /// The sequence of the batch that the fold ends with, where it was seen to stand.
    pub(crate) read_at: Option<u64>,
    pub(crate) ledger: Ledger,
}

/// Why a coordinator does not start.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the journal cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("what the journal lost cannot be appended again: {0}")]
    Append(#[from] AppendError),
    #[error("{}", diverged(.0))]
    Diverged(Vec<Difference>),
}

fn diverged(differences: &[Difference]) -> String {
    let list: Vec<_> = differences.iter().map(|one| format!("  {one}")).collect();
    format!(
        "the ledger and the journal tell different stories, so nothing was started:\n{}\nfind out which is right; --accept-journal sets the ledger aside and believes the journal",
        list.join("\n")
    )
}

/// Joins a ledger, kept in `data`, with the journal.
pub(crate) async fn recover(
    journal: &Journal,
    peers: &Peers,
    data: &Path,
    mut ledger: Ledger,
    accept_journal: bool,
) -> Result<Recovered, RecoverError> {
    loop {
        match journal.join(&ledger).await? {
            Joining::Joined { after } => return from_ledger(journal, ledger, after).await,
            Joining::JournalLost { missing, journal_end, expected_sequence } => {
                let ledger_index = ledger.applied().map_or(0, |applied| applied.index);
                tracing::warn!(
                    batches = missing.len(),
                    journal_index = journal_end.index,
                    ledger_index,
                    "the journal lost its end (or an older copy of it was put back): healing it from the ledger"
                );
                if let Some(peer) = peers.ahead_of(ledger_index).await {
                    tracing::warn!(
                        peer = peer.name,
                        peer_index = peer.index,
                        "another coordinator knows more of the journal: it heals first"
                    );
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                match journal.reappend(&missing, expected_sequence, true).await {
                    Ok(healed) => tracing::warn!(
                        batches = healed.batches,
                        sequence = healed.last_sequence,
                        "the journal is healed"
                    ),
                    // Whoever was quicker wrote the same bytes, or leads: look again.
                    Err(error @ (AppendError::Superseded { .. } | AppendError::Lost { .. })) => {
                        tracing::warn!(%error, "the journal changed while it was healed; looking again");
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Joining::LedgerBehindOrGone { reason } => {
                if reason != Refold::LedgerEmpty {
                    drop(ledger);
                    let aside = set_aside(data)?;
                    tracing::warn!(aside = %aside.display(), ?reason, "the ledger is too old to join: set aside");
                    ledger = Ledger::open(data)?;
                }
                return from_journal(journal, ledger).await;
            }
            Joining::Diverged { differences } if accept_journal => {
                drop(ledger);
                let aside = set_aside(data)?;
                for difference in &differences {
                    tracing::warn!(%difference, "the ledger differs from the journal");
                }
                tracing::warn!(aside = %aside.display(), "the ledger is set aside, the journal is believed");
                return from_journal(journal, Ledger::open(data)?).await;
            }
            Joining::Diverged { differences } => return Err(RecoverError::Diverged(differences)),
        }
    }
}

impl RecoverError {
    /// Whether nats-server did not answer, or its servers do not agree yet how much it holds, which may pass.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Join(JoinError::Journal(ReadError::Api { source, .. }))
            | Self::Read(ReadError::Api { source, .. }) => source.is_passing(),
            Self::Join(JoinError::Journal(ReadError::Regressed { .. }))
            | Self::Read(ReadError::Regressed { .. }) => true,
            Self::Append(error) => matches!(error, AppendError::Unknown { .. }),
            _ => false,
        }
    }
}

async fn from_ledger(journal: &Journal, ledger: Ledger, after: Position) -> Result<Recovered, RecoverError> {
    let index = ledger.applied().map_or(0, |applied| applied.index);
    let fleet = rows::load(ledger.rows(), index)?;
    let fleet_id = ledger.applied().map(|applied| applied.fleet.clone());
    let recovered = continue_from(journal, ledger, fleet, fleet_id, after).await?;
    // The ledger's last batch stands there, or it would not have joined.
    let recovered = Recovered { read_at: recovered.read_at.or(Some(after.sequence)), ..recovered };
    let entries = recovered.position.index.saturating_sub(index);
    if entries > 0 {
        tracing::info!(
            entries,
            ledger_index = index,
            "the ledger was behind the journal: brought up to date"
        );
    }
    Ok(recovered)
}

/// Fills an empty ledger: from the newest snapshot, where there is one, and the journal's tail.
async fn from_journal(journal: &Journal, mut ledger: Ledger) -> Result<Recovered, RecoverError> {
    let begins = snapshot::beginning(journal, Which::Newest, |_| true).await?;
    let begins = begins.unwrap_or_else(Shadow::first);
    if begins.position.index > 0 {
        let rows = begins.snapshot()?.rows;
        ledger.restore(&begins.applied(), rows)?;
    }
    let (snapshot_index, position) = (begins.position.index, begins.position);
    let recovered = continue_from(journal, ledger, begins.fleet, begins.fleet_id, position).await?;
    if recovered.position.index > 0 {
        let index = recovered.position.index;
        tracing::warn!(index, snapshot_index, "the ledger was empty: rebuilt from the journal");
    }
    Ok(recovered)
}

/// Folds everything after `after`, and brings the ledger there.
async fn continue_from(
    journal: &Journal,
    mut ledger: Ledger,
    mut fleet: Fleet,
    mut fleet_id: Option<String>,
    after: Position,
) -> Result<Recovered, RecoverError> {
    let mut writes: Vec<LedgerWrite> = Vec::new();
    let mut failed: Option<RecoverError> = None;
    let end = journal
        .read_after(after, |batch: JournalBatch| {
            if failed.is_some() {
                return;
            }
            fleet_id.get_or_insert_with(|| batch.batch.fleet.clone());
            let touched = rows::fold(&mut fleet, &batch.batch);
            match rows::changed(&fleet, &touched) {
                Ok(rows) => {
                    writes.push(LedgerWrite::new(
                        &batch.batch,
                        batch.sequence,
                        batch.hash,
                        batch.payload,
                        rows,
                    ));
                }
                Err(error) => failed = Some(error.into()),
            }
            if writes.len() >= REBUILD_STEP
                && let Err(error) = ledger.commit(&std::mem::take(&mut writes))
            {
                failed = Some(error.into());
            }
        })
        .await?;
    if let Some(error) = failed {
        return Err(error);
    }
    ledger.commit(&writes)?;
    let position = Position { sequence: end.fence(), ..end.position };
    let read_at = (end.batches > 0).then_some(end.position.sequence);
    Ok(Recovered { fleet, fleet_id, position, read_at, ledger })
}
