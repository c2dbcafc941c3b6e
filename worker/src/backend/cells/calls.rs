//! The scheduled calls of one VM that are still to come, and when the next is due. It runs none.

use std::collections::VecDeque;

use bioxen_protocol::worker::CellOrder;

use super::vm::Vm;

/// Each by its number, counted from 0, and its tick.
#[derive(Debug, Default)]
pub(super) struct Calls {
    to_come: VecDeque<(u64, u64)>,
    /// The one that the leader was last told is due.
    told: Option<u64>,
}

impl Calls {
    pub(super) fn of(order: Option<&CellOrder>) -> Self {
        let ticks = order.into_iter().flat_map(|order| order.calls().map(|(tick, _)| tick));
        Self { to_come: (0..).zip(ticks).collect(), told: None }
    }

    /// Calls before number `done` have ended.
    pub(super) fn ended(&mut self, done: u64) {
        self.to_come.retain(|(number, _)| *number >= done);
    }

    /// No cell goes beyond it before the call has run.
    pub(super) fn next_tick(&self) -> u64 {
        self.to_come.front().map_or(u64::MAX, |(_, tick)| *tick)
    }

    /// The call at which a cell at `tick` stands. Process code may have let its minute pass: it then comes at once.
    pub(super) fn due(&self, tick: u64) -> Option<u64> {
        self.to_come.front().filter(|(_, at)| *at <= tick).map(|(number, _)| *number)
    }

    /// Whether the leader has yet to hear that this call is due.
    pub(super) fn is_news(&mut self, due: Option<u64>) -> bool {
        let is_news = due.is_some() && due != self.told;
        self.told = due.or(self.told);
        is_news
    }
}

impl Vm {
    /// The scheduled call that only the leader's word is missing for.
    pub(super) fn call_due(&self) -> Option<u64> {
        let waits =
            self.state.is_some() && self.process.is_none() && !self.is_in_work && !self.is_change_due();
        self.calls.due(self.tick).filter(|_| waits)
    }

    /// Whether it stands at a scheduled call, and has not told.
    pub(super) fn is_call_news(&mut self) -> bool {
        let due = self.call_due();
        self.calls.is_news(due)
    }

    /// Whether it stands at a scheduled call: told again until the leader has it started.
    pub(super) fn waits_for_call(&self) -> bool {
        self.call_due().is_some()
    }
}
