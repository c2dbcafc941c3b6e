//! How leading ends: by a planned handover, which leaves nobody without an answer, or by the loss of the journal.
//!
//! ```text
//!   told to end: the door closes --> what was taken is decided, appended, answered --> Resign, the last entry
//!   deposed:     commands are held for whoever leads; who waits is told that the outcome is unknown
//! ```

use std::time::{Duration, Instant};

use bioxen_protocol::error::{Code, ErrorBody};

use super::{Append, Driver, DriverError, State, processes};
use crate::answer::Reply;
use crate::answer::outbox::Outgoing;
use crate::fleet::format::Format;

/// How long the end may take where nats-server does not answer.
const LONGEST_END: Duration = Duration::from_secs(10);
/// How long process code and cells that were asked for are waited for before the lead is given up: other coordinators
/// hold commands for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Between two looks at whether they have come.
const LOOK: Duration = Duration::from_millis(10);

impl Driver {
    /// The planned handover.
    pub(super) async fn end(&mut self, state: &mut State, append: Option<Append>) -> Result<(), DriverError> {
        let finished = tokio::time::timeout(LONGEST_END, self.finish(state, append)).await;
        finished.unwrap_or_else(|_| {
            tracing::warn!("the journal does not answer: what was not acknowledged is told to be unknown");
            Ok(())
        })
    }

    /// Decides, appends and answers all that has arrived, then hands lead and ledger over complete.
    async fn finish(&mut self, state: &mut State, mut append: Option<Append>) -> Result<(), DriverError> {
        let began = Instant::now();
        self.lanes.door.close().await;
        loop {
            self.health.beat();
            while self.take_waiting(state)? {}
            while let Ok(report) = self.lanes.reports.try_recv() {
                self.take_report(state, report, !state.filling.is_full())?;
            }
            self.take_put_off(state)?;
            if let Some(append) = append.take() {
                let sequence = append.await?;
                self.acknowledged(state, sequence).await?;
            }
            append = self.send_next(state)?;
            if append.is_some() || state.filling.needs_append() || self.lanes.commands.lock().len() > 0 {
                continue;
            }
            let is_waited_for =
                !state.processes.is_empty() || state.checkpoints.any_waits() || state.waiting.any();
            if !is_waited_for || began.elapsed() >= LONGEST_WAIT {
                break;
            }
            tokio::select! {
                Some(report) = self.lanes.reports.recv() => self.take_report(state, report, !state.filling.is_full())?,
                Some(fetched) = state.checkpoints.fetched() => self.take_fetched(state, fetched)?,
                () = tokio::time::sleep(LOOK) => {
                    self.tick(state)?;
                    self.answer_overdue(state);
                }
            }
        }
        // Whoever waits for a state longer than that hears the one that was reached.
        let stats = self.stats.clone();
        let note =
            &mut |waiter: &super::waiting::Waiter| stats.note(Some(waiter.verb), waiter.received, None);
        let reached = state.waiting.give_up(note);
        self.send(reached);
        self.resign(state).await
    }

    async fn resign(&mut self, state: &mut State) -> Result<(), DriverError> {
        if self.fleet.format < Format::WITH_RESIGN {
            return Ok(());
        }
        state.resigns = true;
        if let Some(append) = self.send_next(state)? {
            let sequence = append.await?;
            self.acknowledged(state, sequence).await?;
        }
        tracing::info!(epoch = state.epoch, "the lead is given up");
        Ok(())
    }

    /// Tells everybody whose command was not acknowledged that its outcome is unknown.
    pub(super) async fn step_down(&mut self, state: &mut State, led: &Result<(), DriverError>) {
        match led {
            Ok(()) => {}
            Err(error) if error.is_deposition() => {
                tracing::warn!(%error, "stepping down: what was not acknowledged is dropped");
                self.lanes.door.hold().await;
            }
            Err(error) => {
                tracing::error!(%error, "the driver ends");
                self.lanes.door.close().await;
            }
        }
        let unknown = || {
            let message = "outcome unknown: the coordinator stepped down; retry with the same request_id";
            Reply::Error(ErrorBody::new(Code::Timeout, message))
        };
        let sealed = state.in_flight.take().map(|sealed| sealed.released).unwrap_or_default();
        let filling = std::mem::take(&mut state.filling);
        let effects = sealed.effects.into_iter().chain(filling.effects);
        let waiters = sealed.waiters.into_iter().chain(filling.waiters);
        let not_taken: Vec<_> = {
            let mut waiting = self.lanes.commands.lock();
            std::iter::from_fn(|| waiting.pop()).map(|incoming| incoming.reply_to).collect()
        };
        let unanswered = effects
            .filter_map(Outgoing::into_reply_to)
            .chain(waiters.map(|waiter| waiter.reply_to))
            .chain(state.waiting.drain())
            .chain(processes::drain(&mut state.processes))
            .chain(state.checkpoints.drain())
            .chain(not_taken);
        for reply_to in unanswered {
            reply_to.send(&self.client, &unknown()).await;
        }
        self.client.flush().await.ok();
    }
}

impl DriverError {
    /// Whether another leads now, or the journal has to be healed: this coordinator follows from there on.
    pub(crate) fn is_deposition(&self) -> bool {
        use crate::journal::AppendError::{Lost, Superseded};
        matches!(self, Self::Journal(Superseded { .. } | Lost { .. }))
    }
}
