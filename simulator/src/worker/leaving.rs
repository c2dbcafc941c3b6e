//! A worker that is told to end, as its agent does it: its VMs move away where there is room, then it packs and says so.

use std::time::Duration;

use bioxen_protocol::worker::WorkerReport;
use bioxen_worker::backend::Backend;

use super::Worker;
use crate::message::Out;
use crate::packed::Packed;

const SILENCE: Duration = Duration::from_millis(1_500);
const LONGEST: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// Since when, and when a leader was last heard.
    since: Option<(Duration, Duration)>,
    may_go: bool,
}

impl Leaving {
    pub(super) fn heard(&mut self, now: Duration, may_go: bool) {
        if let Some((_, heard)) = &mut self.since {
            *heard = now;
            self.may_go |= may_go;
        }
    }
}

impl Worker {
    pub(crate) fn told_to_end(&mut self, now: Duration, out: &mut Out) {
        self.leaving.since.get_or_insert((now, now));
        self.tell_leaving(out);
    }

    pub(super) fn tell_leaving(&self, out: &mut Out) {
        if self.leaving.since.is_some() {
            self.report(WorkerReport::Leaving {}, out);
        }
    }

    /// Whether it has ended: nothing commits any more, and what its cells have come to is packed.
    pub(crate) fn goes(&self, now: Duration, packed: &Packed, out: &mut Out) -> bool {
        let Some((since, heard)) = self.leaving.since else { return false };
        if !self.leaving.may_go && now < (since + LONGEST).min(heard + SILENCE) {
            return false;
        }
        self.cells.lease(Duration::ZERO);
        self.pack(packed);
        self.report(WorkerReport::Goodbye {}, out);
        true
    }
}
