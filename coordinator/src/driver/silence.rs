//! A journal that does not answer: nats-server is cut off, or cannot write because its disk is full or has failed.
//!
//! ```text
//!   an append is out for HOLD --> whoever waits for it:  BX014, the outcome is unknown
//!                             --> whoever asks meanwhile: BX014, nothing was done
//!   it is acknowledged at last --> what was decided stands; those callers ask again and find it
//! ```
//!
//! Answers alone are given up here, never the batch: its bytes may land at any time.

use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::limits::{HOLD, RETRY_AFTER_MS};
use bioxen_protocol::worker::WorkerCommand;

use super::{Driver, State, processes};
use crate::answer::outbox::Outgoing;
use crate::answer::{Reply, ReplyTo};

const UNKNOWN: &str = "outcome unknown: the journal has stored nothing for 5 s (nats-server does not answer, or its \
                       disk is full); retry with the same request_id";
const NOTHING_DONE: &str = "nothing was done: the journal stores nothing at present (nats-server does not answer, or \
                            its disk is full); ask again";

impl Driver {
    /// Whether the append in flight has been out for so long that nobody shall wait for it.
    pub(super) fn is_journal_silent(state: &State) -> bool {
        state.in_flight.is_some() && state.sent.elapsed() >= HOLD
    }

    /// Answers everybody who waits for the journal. Orders to workers stay with their batches, but for those that every
    /// heartbeat brings anew: however long it lasts, memory stays bounded.
    pub(super) fn answer_without_journal(&mut self, state: &mut State) {
        state.filling.grants.clear();
        state.filling.effects.retain(|one| !comes_with_heartbeats(one));
        let mut waiters = std::mem::take(&mut state.filling.waiters);
        let mut effects = replies(&mut state.filling.effects);
        if let Some(sealed) = &mut state.in_flight {
            waiters.append(&mut sealed.released.waiters);
            effects.append(&mut replies(&mut sealed.released.effects));
        }
        for waiter in &waiters {
            self.stats.note(Some(waiter.verb), waiter.received, Some(Code::Timeout));
        }
        let waiters = waiters.into_iter().map(|waiter| waiter.reply_to);
        let unknown = effects.into_iter().chain(waiters).chain(processes::waiters(&mut state.processes));
        let mut answers: Vec<Outgoing> = unknown.map(|to| timeout(to, UNKNOWN)).collect();
        {
            let mut waiting = self.lanes.commands.lock();
            while let Some(incoming) = waiting.pop() {
                self.stats.note(incoming.verb, incoming.received, Some(Code::Timeout));
                answers.push(timeout(incoming.reply_to, NOTHING_DONE));
            }
        }
        self.send(answers);
    }
}

fn comes_with_heartbeats(one: &Outgoing) -> bool {
    use WorkerCommand::{RegisterAgain, SendInventory};
    matches!(one, Outgoing::Worker { command: SendInventory { .. } | RegisterAgain { .. }, .. })
}

/// Takes out who waits for an answer.
fn replies(effects: &mut Vec<Outgoing>) -> Vec<ReplyTo> {
    let answers = effects.extract_if(.., |one| !matches!(one, Outgoing::Worker { .. }));
    answers.filter_map(Outgoing::into_reply_to).collect()
}

fn timeout(to: ReplyTo, message: &str) -> Outgoing {
    let error = ErrorBody::new(Code::Timeout, message);
    Outgoing::Reply(to, Reply::Error(error.with(|details| details.retry_after_ms = Some(RETRY_AFTER_MS))))
}
