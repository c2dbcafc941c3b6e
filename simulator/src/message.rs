//! What travels between the processes of a run.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bioxen_coordinator::fleet::command::{Ask, Command};
use bioxen_coordinator::fleet::entry::{Cause, Entry};
use bioxen_coordinator::journal::{Hash, Position};
use bioxen_protocol::id::{BootId, VmId};
use bioxen_protocol::worker::{WorkerCommand, WorkerReport};

/// Batches in one answer.
pub(crate) const READ_AT_ONCE: usize = 64;

/// A place that messages go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    Journal,
    Coordinator(usize),
    Worker(usize),
    Users,
}

/// A batch as the journal has it: who wrote it, and what it says.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Unlike any other's.
    pub(crate) id: u64,
    pub(crate) epoch: u64,
    pub(crate) first_index: u64,
    pub(crate) previous: Hash,
    pub(crate) time_ms: u64,
    pub(crate) entries: Vec<Entry>,
    /// Its writer knows that it is stored, and has let out what waited for that. For the oracle alone.
    pub(crate) released: AtomicBool,
}

impl Batch {
    /// Stands for the hash of its bytes.
    pub(crate) fn hash(&self) -> Hash {
        let mut hash = Hash::ZERO;
        hash.0[24..].copy_from_slice(&self.id.to_be_bytes());
        hash
    }

    pub(crate) fn last_index(&self) -> u64 {
        (self.first_index + self.entries.len() as u64).saturating_sub(1)
    }

    /// After it, where it stands at `sequence`.
    pub(crate) fn position(&self, sequence: u64) -> Position {
        Position { sequence, index: self.last_index(), hash: self.hash() }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) cause: Cause,
    pub(crate) vm: VmId,
    pub(crate) ask: Ask,
}

#[derive(Debug, Clone)]
pub(crate) enum Message {
    Ask(Arc<Asked>),
    /// An operator's, that nobody waits for.
    Operate(Command),
    Answer {
        asked: Arc<Asked>,
        accepted: bool,
    },
    Report {
        worker: usize,
        boot: BootId,
        report: WorkerReport,
    },
    Command {
        boot: BootId,
        command: WorkerCommand,
    },
    Append {
        from: usize,
        batch: Arc<Batch>,
        /// The stream's last sequence, as the writer knows it: the fence.
        expected: u64,
    },
    /// Stored there, or refused by the fence.
    Appended {
        id: u64,
        sequence: Option<u64>,
    },
    Read {
        from: usize,
        number: u64,
        after: u64,
    },
    /// The question's number, the stream's last sequence, and what stands after the one that was named.
    Batches {
        number: u64,
        last: u64,
        batches: Vec<(u64, Arc<Batch>)>,
    },
    /// All that stands in the journal, to join a ledger with it.
    Survey {
        from: usize,
        number: u64,
    },
    Surveyed {
        number: u64,
        last: u64,
        batches: Vec<(u64, Arc<Batch>)>,
    },
    Look {
        from: usize,
        number: u64,
        sequence: u64,
    },
    /// The last batch that stands, and the one that stands there, by their hashes.
    Looked {
        number: u64,
        last: u64,
        ends_with: Hash,
        found: Option<Hash>,
    },
    /// Between coordinators: how far are you?
    HowFar {
        from: usize,
        number: u64,
    },
    SoFar {
        number: u64,
        index: u64,
    },
}

impl Message {
    /// Whether the stream's server has it to give: gone with that server.
    pub(crate) fn is_of_journal(&self) -> bool {
        matches!(
            self,
            Self::Appended { .. } | Self::Batches { .. } | Self::Surveyed { .. } | Self::Looked { .. }
        )
    }
}

/// Where messages are put on their way.
pub(crate) type Out = Vec<(Node, Message)>;
