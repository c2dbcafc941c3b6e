//! Process code in VMs: how it ends, and when its outcome is given up.

use bioxen_protocol::worker::{ProcessEnd, ProcessStatus};

use super::Fleet;
use super::entry::Entry;
use super::vm::Vm;

const LOST: &str = "its worker did not say in time how it ended: whether it took effect is unknown, and it is not run \
                    again; look at the cell, then decide";

impl Vm {
    /// Takes over how the process that runs ended; an end that is known stays.
    pub(super) fn end_process(&mut self, end: &ProcessEnd) {
        if let Some(process) = &mut self.process
            && process.number == end.number
            && process.end.is_none()
        {
            process.end = Some(end.clone());
        }
    }
}

impl Fleet {
    /// Processes of which nobody said in time how they ended: at most `most`, the rest when asked again.
    pub fn lost_processes(&self, now_ms: u64, most: usize) -> Vec<Entry> {
        let overdue = self.processes.iter().take_while(|(deadline_ms, _)| *deadline_ms <= now_ms).take(most);
        let lost = overdue.filter_map(|(_, key)| {
            let number = self.vm(key)?.running_process()?.number;
            Some(Entry::ProcessLost { key: key.clone(), number })
        });
        lost.collect()
    }
}

/// The end of a process that nobody told of.
pub fn lost(number: u64) -> ProcessEnd {
    ProcessEnd {
        number,
        status: ProcessStatus::Unknown,
        execution_type: "code".to_owned(),
        output: String::new(),
        reason: Some(LOST.to_owned()),
        nearest: Vec::new(),
        execution_us: 0,
    }
}
