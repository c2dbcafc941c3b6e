//! What travels between the processes of a run.

use std::sync::Arc;

use bioxen_coordinator::fleet::command::{Ask, Command};
use bioxen_coordinator::fleet::entry::{Cause, Entry};
use bioxen_protocol::id::{BootId, VmId};
use bioxen_protocol::worker::{WorkerCommand, WorkerReport};

/// A place that messages go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Node {
    Journal,
    Coordinator(usize),
    Worker(usize),
    Users,
}

/// A batch as the journal has it: who wrote it, and what it says.
#[derive(Debug, PartialEq)]
pub(crate) struct Batch {
    /// Unlike any other's; stands for its hash.
    pub(crate) id: u64,
    pub(crate) epoch: u64,
    pub(crate) time_ms: u64,
    /// The sequence that it is to get: nothing else may have been stored since its writer read the journal.
    pub(crate) sequence: u64,
    pub(crate) entries: Vec<Entry>,
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
    },
    /// Stored, or another batch stands there.
    Appended {
        id: u64,
        stored: bool,
    },
    Read {
        from: usize,
        after: u64,
    },
    Batches(Vec<Arc<Batch>>),
}

/// Where messages are put on their way.
pub(crate) type Out = Vec<(Node, Message)>;
