//! Where a fold of the journal can begin: at the first entry of all, or at a snapshot that joins what the journal holds.

use super::store::SnapshotStore;
use super::{Shadow, Snapshot, SnapshotError};
use crate::fleet::Fleet;
use crate::journal::{Journal, Position};
use crate::projector::Chain;

/// Which of several is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The shortest way to the present.
    Newest,
    /// The longest stretch to look at.
    Oldest,
}

impl Shadow {
    /// Before the first entry of a fleet.
    pub fn first() -> Self {
        let (fleet, position) = (Fleet::new(1), Position::START);
        Self { fleet, fleet_id: None, position, chain: Chain::start(), last_event_index: 0 }
    }

    /// Where a snapshot says that it stands, whatever stream there is.
    ///
    /// # Errors
    /// When its rows are no fleet.
    pub(crate) fn at_its_own(snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        Self::of(snapshot, snapshot.head.position())
    }

    fn of(snapshot: &Snapshot, position: Position) -> Result<Self, SnapshotError> {
        let head = &snapshot.head;
        Ok(Self {
            fleet: snapshot.load()?,
            fleet_id: Some(head.fleet.clone()),
            position,
            chain: Chain { number: head.audit_number, hash: head.audit_hash.clone() },
            last_event_index: head.last_event_index,
        })
    }
}

/// The newest or oldest place at which a fold can begin, of those that fit; None where none fits. A snapshot that is
/// damaged or does not join the journal is passed over, and said.
///
/// # Errors
/// When journal or bucket cannot be read, or the journal was compacted and nothing at all joins it.
pub async fn beginning(
    journal: &Journal,
    which: Which,
    fits: impl Fn(&Shadow) -> bool,
) -> Result<Option<Shadow>, SnapshotError> {
    let first_index = journal.before_first().await?.index;
    let is_whole = first_index == 0;
    let first = is_whole.then(Shadow::first).filter(|first| fits(first));
    if which == Which::Oldest && first.is_some() {
        return Ok(first);
    }
    let mut joins = is_whole;
    if let Some(store) = SnapshotStore::open(journal).await? {
        let mut indexes: Vec<u64> = store.list().await?.iter().map(|listed| listed.index).collect();
        if which == Which::Newest {
            indexes.reverse();
        }
        for index in indexes {
            if let Some(beginning) = read(journal, &store, index).await? {
                joins = true;
                if fits(&beginning) {
                    return Ok(Some(beginning));
                }
            }
        }
    }
    if joins { Ok(first) } else { Err(SnapshotError::NoBeginning { first_index }) }
}

/// None where it is of no use, which is said.
pub(super) async fn read(
    journal: &Journal,
    store: &SnapshotStore,
    index: u64,
) -> Result<Option<Shadow>, SnapshotError> {
    let snapshot = match store.get(index).await {
        Ok(Some(snapshot)) => snapshot,
        Ok(None) => return Ok(None),
        Err(error @ SnapshotError::Store(_)) => return Err(error),
        Err(error) => {
            tracing::warn!(snapshot = index, %error, "a snapshot is passed over");
            return Ok(None);
        }
    };
    let Some(position) = journal.locate(snapshot.head.position()).await? else {
        tracing::warn!(snapshot = index, "a snapshot does not join the journal: it is passed over");
        return Ok(None);
    };
    match Shadow::of(&snapshot, position) {
        Ok(beginning) => Ok(Some(beginning)),
        Err(error) => {
            tracing::warn!(snapshot = index, %error, "a snapshot is passed over");
            Ok(None)
        }
    }
}
