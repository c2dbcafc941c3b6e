//! What is said to whoever waits while the journal does not answer: that the outcome is unknown, as it is.
//!
//! What was decided stays in its batch, which may yet be appended: whoever asks again under the same request id then gets
//! the answer. This file must neither drop an entry nor keep back an order to a worker.

use std::time::Duration;

use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::limits::RETRY_AFTER_MS;

use super::{Driver, State};
use crate::answer::Reply;
use crate::answer::outbox::Outgoing;

/// An append that is out for longer is not waited for: a cluster of nats-servers elects a leader in less, and clients
/// wait for 10 s.
const LONGEST_SILENCE: Duration = Duration::from_secs(9);

impl Driver {
    /// Answers everybody whose answer waits for an append that is out for too long.
    pub(super) fn answer_unheard(&self, state: &mut State) {
        let Some(sealed) = state.in_flight.as_mut().filter(|_| state.sent.elapsed() >= LONGEST_SILENCE)
        else {
            return;
        };
        let message = "outcome unknown: the journal does not answer this coordinator; nats-server is cut off from the others of its cluster, or too busy; retry with the same request_id";
        let unknown = ErrorBody::new(Code::Timeout, message);
        let unknown = unknown.with(|details| details.retry_after_ms = Some(RETRY_AFTER_MS));
        let mut waits = Vec::new();
        for effects in [&mut sealed.released.effects, &mut state.filling.effects] {
            let is_answer = |one: &mut Outgoing| !matches!(one, Outgoing::Worker { .. });
            waits.extend(effects.extract_if(.., is_answer).filter_map(Outgoing::into_reply_to));
        }
        for waiters in [&mut sealed.released.waiters, &mut state.filling.waiters] {
            waits.extend(waiters.drain(..).map(|waiter| waiter.reply_to));
        }
        self.send(waits.into_iter().map(|to| Outgoing::Reply(to, Reply::Error(unknown.clone()))).collect());
    }
}
