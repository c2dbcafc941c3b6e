//! `decide`: whether a command is accepted, and which entries say so. A file a verb. Reads only.
//!
//! Checks come in the order that clients are told of; the first that applies wins: idempotency, found, state, the VM's
//! most, fleet slots, user, fleet ATP and ribosomes, worker. (Decoding and identity come before, at the edge.)

mod allocate;
mod checkpoint;
mod create;
mod ensemble;
mod install;
mod lifecycle;
mod process;
mod start;

use bioxen_protocol::command::{CheckpointId, Verb};
use bioxen_protocol::id::{VmId, VmKey};

use super::Fleet;
use super::command::{Answer, Ask, Command, Goal};
use super::entry::{Cause, Entry};
use super::rejection::Rejection;
use super::vm::Vm;

/// An accepted command: the facts, and what is answered when they are acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    pub entries: Vec<Entry>,
    pub answer: Answer,
}

impl Fleet {
    /// Decides on `command` at `now_ms`. Nothing changes before its entries are evolved.
    pub fn decide(&self, now_ms: u64, command: &Command) -> Result<Decided, Rejection> {
        let entries = match command {
            Command::User { cause, vm, ask } => return self.decide_ask(now_ms, cause, vm, ask),
            Command::Register { worker, boot, capacity } => {
                let known = self.workers.get(worker);
                let same = known.filter(|known| known.boot == *boot && known.live);
                if same.is_some_and(|known| known.capacity == *capacity) {
                    Vec::new()
                } else {
                    let mut entries = match known {
                        Some(known) if known.boot != *boot => self.decide_expiry(worker, &known.boot),
                        _ => Vec::new(),
                    };
                    let (worker, boot, capacity) = (worker.clone(), boot.clone(), capacity.clone());
                    entries.push(Entry::Registered { worker, boot, capacity });
                    entries
                }
            }
            Command::Expire { worker, boot } => self.decide_expiry(worker, boot),
            Command::Observe { worker, boot, observation } => {
                self.decide_observation(worker, boot, observation)
            }
            Command::Leave { worker, boot } => self.decide_leaving(worker, boot),
            Command::Move { operator, key, to } => self.decide_move(operator, key, to.as_ref())?,
            Command::Cordon { operator, worker, cordon } => self.decide_cordon(operator, worker, *cordon)?,
            Command::SetLimits { operator, user, limits } => {
                let (operator, user, limits) = (operator.clone(), user.clone(), limits.clone());
                vec![Entry::LimitsSet { operator, user, limits }]
            }
        };
        Ok(Decided { entries, answer: Answer::Nothing })
    }

    fn decide_ask(&self, now_ms: u64, cause: &Cause, vm: &VmId, ask: &Ask) -> Result<Decided, Rejection> {
        if let Some(answer) = self.first_answer(now_ms, cause)? {
            return Ok(Decided { entries: Vec::new(), answer });
        }
        let key = VmKey { user: cause.user.clone(), vm: vm.clone() };
        if let Ask::Create(new) = ask {
            return self.decide_create(cause, key, new);
        }
        if let Ask::Ensemble(new) = ask {
            return self.decide_ensemble(cause, key, new);
        }
        if let Some(ensemble) = self.ensemble(&key) {
            return self.decide_ensemble_end(cause, ensemble, cause.verb);
        }
        let Some(vm) = self.vm(&key) else {
            return Err(Rejection::NotFound { vm: key.vm });
        };
        match ask {
            Ask::Create(new) => self.decide_create(cause, key, new),
            Ask::Ensemble(new) => self.decide_ensemble(cause, key, new),
            Ask::Start { on_full, horizon_tick } => self.decide_start(cause, vm, *on_full, *horizon_tick),
            Ask::Pause => decide_pause(cause, vm),
            Ask::Resume => decide_resume(cause, vm),
            Ask::Stop => self.decide_stop(cause, vm),
            Ask::Destroy => self.decide_destroy(cause, vm),
            Ask::Allocate(request) => self.decide_allocate(cause, vm, *request),
            Ask::Execute { digest, timeout_ms } => decide_execute(cause, vm, digest, *timeout_ms),
            Ask::Monitor { interval_seconds } => decide_monitor(cause, vm, *interval_seconds),
            Ask::Checkpoint { live } => self.decide_checkpoint(cause, vm, live.as_deref()),
            Ask::Restore { checkpoint, home } => self.decide_restore(cause, vm, *checkpoint, home.as_ref()),
            Ask::Install { package, offer } => self.decide_install(cause, vm, package, offer.as_ref()),
        }
    }

    /// Whether the request took effect before: then it is answered again, whatever limits have been reached since.
    pub fn is_repeat(&self, now_ms: u64, cause: &Cause) -> bool {
        self.first_answer(now_ms, cause).is_ok_and(|answer| answer.is_some())
    }

    /// The first answer again, where the request took effect before.
    fn first_answer(&self, now_ms: u64, cause: &Cause) -> Result<Option<Answer>, Rejection> {
        let Some(request) = &cause.request else { return Ok(None) };
        let account = self.accounts.get(&cause.user);
        let Some(known) = account.and_then(|account| account.requests.get(&request.id, now_ms)) else {
            return Ok(None);
        };
        let vm = known.vm.clone().filter(|_| known.digest == request.digest);
        let Some(vm) = vm else {
            return Err(Rejection::RequestConflict { request: request.id.clone() });
        };
        if let Some(installed) = known.installed.clone() {
            return Ok(Some(Answer::Installed { vm, installed }));
        }
        Ok(Some(match (known.verb, known.allocation) {
            (Verb::Create, _) => {
                Answer::Created { vm, state: known.state, queue_position: known.queue_position }
            }
            (Verb::Ensemble, _) => Answer::Ensemble { name: vm, members: known.members.unwrap_or(0) },
            (Verb::Allocate, Some(allocation)) => Answer::Allocated { vm, state: known.state, allocation },
            (Verb::Execute | Verb::Transcription | Verb::Operons, _) => {
                Answer::Process { vm, number: known.number }
            }
            (Verb::Monitor, _) => {
                Answer::Monitored { vm, state: known.state, interval_seconds: known.number }
            }
            (Verb::Checkpoint, _) => Answer::Checkpointed {
                vm,
                checkpoint: CheckpointId(known.index),
                taken: known.taken.clone().unwrap_or_default(),
            },
            (Verb::Restore, Some(allocation)) => Answer::Restored {
                vm,
                state: known.state,
                checkpoint: CheckpointId(known.number),
                tick: known.taken.as_ref().map_or(0, |taken| taken.tick),
                allocation,
            },
            (verb, _) => Answer::Reach { vm, goal: goal_of(verb) },
        }))
    }
}

fn goal_of(verb: Verb) -> Goal {
    match verb {
        Verb::Pause => Goal::Paused,
        Verb::Stop => Goal::Stopped,
        Verb::Destroy => Goal::Destroyed,
        _ => Goal::Running,
    }
}

fn wrong_state(vm: &Vm, verb: Verb) -> Rejection {
    Rejection::State { vm: vm.key.vm.clone(), state: vm.state, verb }
}

pub(crate) use create::within_most;
use lifecycle::{decide_pause, decide_resume};
use process::{decide_execute, decide_monitor};
