//! Commands that change the fleet: decided, evolved, answered with their batch.

use std::time::{Duration, Instant};

use bioxen_protocol::command::{SetQuota, Verb, VerbKind};
use bioxen_protocol::error::{Amount, Code, ErrorBody};
use bioxen_protocol::id::{UserId, VmId, VmKey};
use bioxen_protocol::quantity::SimulatedTime;
use bioxen_protocol::reply::{
    Allocated, Checkpointed, EnsembleAccepted, Installed, Monitored, PackageReply, Restored,
};
use bioxen_protocol::state::VmState;
use bioxen_protocol::subject::Subject;

use super::processes::ProcessWaiter;
use super::waiting::Waiter;
use super::{Driver, DriverError, State};
use crate::answer::outbox::{CreatedAnswer, Outgoing};
use crate::answer::reads::{allocation, checkpoint_as, package, quota};
use crate::answer::{Reply, errors};
use crate::fleet::account::UserLimits;
use crate::fleet::command::{Answer, Ask, Command};
use crate::fleet::entry::{Cause, Entry, Rejected};
use crate::fleet::rejection::{PackageRefusal, Rejection};
use crate::intake::{Asked, Incoming};
use crate::journal::batch::MAX_ENTRY_BYTES;

impl Driver {
    /// Takes one decoded command, or puts it off until what it needs has been fetched.
    pub(super) fn take_command(&mut self, state: &mut State, incoming: Incoming) -> Result<(), DriverError> {
        match self.unless_put_off(state, incoming) {
            Some(incoming) => self.take_now(state, incoming),
            None => Ok(()),
        }
    }

    /// Takes one decoded command.
    pub(super) fn take_now(&mut self, state: &mut State, mut incoming: Incoming) -> Result<(), DriverError> {
        if let Some(sequence) = incoming.submit_sequence {
            // Read again after a reconnect: it was decided on already.
            if sequence <= state.filling.submit_sequence.unwrap_or(self.fleet.submit_sequence) {
                return Ok(());
            }
            state.filling.submit_sequence = Some(sequence);
        }
        let asked =
            std::mem::replace(&mut incoming.asked, Asked::Refused(ErrorBody::new(Code::Timeout, "taken")));
        match asked {
            Asked::Refused(error) => self.refuse(state, incoming, error),
            Asked::Read(read) => {
                self.read(state, incoming, read);
                Ok(())
            }
            Asked::SetQuota { user, quota } => self.set_quota(state, incoming, user, &quota),
            Asked::Cordon { worker, cordon } => self.cordon(state, incoming, worker, cordon),
            Asked::Move { vm, to } => self.move_vm(state, incoming, vm, to),
            Asked::Change { cause, vm, ask, wait, warnings } => {
                self.change(state, incoming, Change { wait, warnings, ..Change::of(cause, vm, ask) })
            }
            Asked::Install { cause, vm, package, found } => {
                let (offer, unread) = match found {
                    Some(Ok(offer)) => (Some(offer), None),
                    Some(Err(error)) => (None, Some(error)),
                    None => (None, None),
                };
                let ask = Ask::Install { package, offer };
                self.change(state, incoming, Change { unread, ..Change::of(cause, vm, ask) })
            }
            Asked::Execute { cause, vm, digest, code, timeout_ms } => {
                let ask = Ask::Execute { digest, timeout_ms };
                let code = Some((code, timeout_ms));
                self.change(state, incoming, Change { code, ..Change::of(cause, vm, ask) })
            }
        }
    }

    fn change(&mut self, state: &mut State, incoming: Incoming, change: Change) -> Result<(), DriverError> {
        let Change { cause, vm, ask, wait, warnings, code, unread } = change;
        if !self.fleet.is_repeat(self.now_ms(), &cause)
            && let Err(error) = self.admits(state, &cause.user)
        {
            return self.refuse(state, incoming, error);
        }
        let user = cause.user.clone();
        let command = Command::User { cause, vm, ask };
        let decided = match self.fleet.decide(self.now_ms(), &command) {
            Ok(decided) => decided,
            Err(rejection) => {
                let told =
                    unread.filter(|_| matches!(rejection, Rejection::Package(PackageRefusal::Unread { .. })));
                let error = told.unwrap_or_else(|| errors::error(&rejection, user.as_str()));
                return self.refuse(state, incoming, error);
            }
        };
        for entry in &decided.entries {
            let bytes = crate::journal::Batch::entry_bytes(entry)?;
            if bytes > MAX_ENTRY_BYTES {
                let message = format!(
                    "the command takes {bytes} bytes in the journal, at most {MAX_ENTRY_BYTES} fit: make it smaller"
                );
                return self.refuse(state, incoming, ErrorBody::new(Code::ApiValidation, message));
            }
        }
        // A repeat has no entries, and does not run again.
        let code = code.filter(|_| !decided.entries.is_empty());
        for entry in decided.entries {
            self.evolve(state, entry)?;
        }
        if let Answer::Process { vm, number } = decided.answer {
            let Incoming { reply_to, received, verb, .. } = incoming;
            let waiter = ProcessWaiter { verb: verb.unwrap_or(Verb::Execute), reply_to, received };
            self.await_process(state, &VmKey { user, vm }, number, code, waiter);
            return Ok(());
        }
        self.answer(state, incoming, &user, decided.answer, wait, warnings);
        Ok(())
    }

    /// Limits that no entry carries: a full audit stream, and the user's rate.
    fn admits(&self, state: &mut State, user: &UserId) -> Result<(), ErrorBody> {
        if self.progress.borrow().audit_full {
            return Err(ErrorBody::new(
                Code::ResourceExhaustion,
                "the audit stream is full, and nothing is done that cannot be recorded: an operator must give BIOXEN_AUDIT more room",
            ));
        }
        let Some(limit) = self.fleet.limits_of(user).max_commands_per_second else { return Ok(()) };
        let second = self.now_ms() / 1000;
        let rate = state.rates.entry(user.clone()).or_insert((second, 0));
        if rate.0 != second {
            *rate = (second, 0);
        }
        rate.1 += 1;
        if rate.1 <= limit {
            return Ok(());
        }
        let message =
            format!("user {user} may send {limit} commands a second: wait, then send fewer at once");
        Err(ErrorBody::new(Code::QuotaExceeded, message).with(|details| {
            details.resource = Some("commands_per_second".to_owned());
            details.limit = Some(Amount::Count(limit));
            details.used = Some(Amount::Count(rate.1 - 1));
            details.requested = Some(Amount::Count(1));
            details.retry_after_ms = Some(1000 - self.now_ms() % 1000);
        }))
    }

    fn answer(
        &mut self,
        state: &mut State,
        incoming: Incoming,
        user: &UserId,
        answer: Answer,
        wait: Duration,
        warnings: Vec<String>,
    ) {
        let Incoming { reply_to, received, verb, .. } = incoming;
        let key = |vm: &VmId| VmKey { user: user.clone(), vm: vm.clone() };
        match answer {
            Answer::Created { vm, state: reached, queue_position } => {
                self.stats.note(verb, received, None);
                let Some(made) = self.fleet.vm(&key(&vm)).cloned() else {
                    let gone = errors::error(&Rejection::NotFound { vm }, user.as_str());
                    state.filling.effects.push(Outgoing::Reply(reply_to, Reply::Error(gone)));
                    return;
                };
                let answer = CreatedAnswer { vm, state: reached, queue_position, warnings, wait };
                state.filling.effects.push(Outgoing::Created { reply_to, vm: Box::new(made), answer });
            }
            Answer::Ensemble { name, members } => {
                self.stats.note(verb, received, None);
                let accepted = EnsembleAccepted { name, members, queued: members };
                state.filling.effects.push(Outgoing::Reply(reply_to, Reply::Ensemble(accepted)));
            }
            Answer::Allocated { vm, state: reached, allocation: amounts } => {
                self.stats.note(verb, received, None);
                let allocated = Allocated { vm_id: vm, state: reached, allocation: allocation(amounts) };
                state.filling.effects.push(Outgoing::Reply(reply_to, Reply::Allocated(allocated)));
            }
            Answer::Reach { vm, goal } => {
                let key = key(&vm);
                // A VM that is not remembered any more was destroyed.
                let now = self.fleet.state_of(&key).unwrap_or(VmState::Destroyed);
                state.filling.waiters.push(Waiter {
                    key,
                    goal,
                    verb: verb.unwrap_or(Verb::Start),
                    reply_to,
                    deadline: Instant::now() + wait,
                    received,
                    state: now,
                });
            }
            Answer::Monitored { vm, state: reached, interval_seconds } => {
                self.stats.note(verb, received, None);
                let subject = Subject::VmTelemetry { user: user.clone(), vm: vm.clone() }.to_string();
                let monitored = Monitored { vm_id: vm, state: reached, interval_seconds, subject };
                state.filling.effects.push(Outgoing::Reply(reply_to, Reply::Monitored(monitored)));
            }
            Answer::Checkpointed { vm, checkpoint, taken } => {
                self.stats.note(verb, received, None);
                let checkpoint = checkpoint_as(checkpoint, &taken);
                let taken = Checkpointed { vm_id: vm, checkpoint };
                state.filling.effects.push(Outgoing::Reply(reply_to, Reply::Checkpointed(taken)));
            }
            Answer::Restored { vm, state: reached, checkpoint, tick, allocation: amounts } => {
                self.stats.note(verb, received, None);
                let restored = Restored {
                    vm_id: vm,
                    state: reached,
                    checkpoint_id: checkpoint,
                    simulated_minutes: SimulatedTime { ticks: tick }.minutes(),
                    allocation: allocation(amounts),
                };
                state.filling.effects.push(Outgoing::Reply(reply_to, Reply::Restored(restored)));
            }
            Answer::Installed { vm, installed } => {
                self.stats.note(verb, received, None);
                let PackageReply { package, digest, load } = package(&installed);
                let installed = Installed { vm_id: vm, package, digest, load };
                state.filling.effects.push(Outgoing::Reply(reply_to, Reply::Installed(Box::new(installed))));
            }
            // Answered when it ends.
            Answer::Process { .. } | Answer::Nothing => {}
        }
    }

    /// Answers with an error, and journals the refusal unless it was one of a read.
    pub(super) fn refuse(
        &mut self,
        state: &mut State,
        incoming: Incoming,
        error: ErrorBody,
    ) -> Result<(), DriverError> {
        self.stats.note(incoming.verb, incoming.received, Some(error.code));
        tracing::debug!(
            user.id = %incoming.user,
            verb = incoming.verb.map_or("unknown", Verb::as_str),
            request.id = incoming.request_id.as_ref().map_or("", |id| id.as_str()),
            %error,
            "refused"
        );
        let is_read = incoming.verb.is_some_and(|verb| verb.kind() == VerbKind::Read);
        if !is_read {
            let rejected = Rejected {
                user: incoming.user,
                operator: incoming.operator,
                verb: incoming.verb,
                vm: incoming.vm,
                code: error.code,
                request_id: incoming.request_id,
                message: error.message.clone(),
                count: 1,
            };
            for entry in state.refusals.note(self.now_ms(), rejected) {
                self.evolve(state, entry)?;
            }
        }
        state.filling.effects.push(Outgoing::Reply(incoming.reply_to, Reply::Error(error)));
        Ok(())
    }

    fn set_quota(
        &mut self,
        state: &mut State,
        incoming: Incoming,
        user: UserId,
        quota_asked: &SetQuota,
    ) -> Result<(), DriverError> {
        let Some(operator) = incoming.operator.clone() else {
            let error =
                ErrorBody::new(Code::PermissionDenied, "only an operator sets quotas, through bioxen.v1.ops");
            return self.refuse(state, incoming, error);
        };
        let now = self.fleet.accounts.get(&user).map(|account| account.limits.clone()).unwrap_or_default();
        let limits = UserLimits {
            max_vms: quota_asked.max_vms.or(now.max_vms),
            max_queued: quota_asked.max_queued.or(now.max_queued),
            max_atp: quota_asked.max_atp_percentage.or(now.max_atp),
            max_ribosomes: quota_asked.max_ribosomes.or(now.max_ribosomes),
            max_commands_per_second: quota_asked.max_commands_per_second.or(now.max_commands_per_second),
        };
        self.evolve(state, Entry::LimitsSet { operator, user: user.clone(), limits })?;
        let reply = Reply::Quota(Box::new(quota(&self.fleet, &user)));
        state.filling.effects.push(Outgoing::Reply(incoming.reply_to, reply));
        Ok(())
    }
}

/// A decoded command that changes something.
struct Change {
    cause: Cause,
    vm: VmId,
    ask: Ask,
    wait: Duration,
    warnings: Vec<String>,
    /// Process code and its time.
    code: Option<(String, u64)>,
    /// Why a package could not be read.
    unread: Option<ErrorBody>,
}

impl Change {
    fn of(cause: Cause, vm: VmId, ask: Ask) -> Self {
        Self { cause, vm, ask, wait: Duration::ZERO, warnings: Vec::new(), code: None, unread: None }
    }
}
