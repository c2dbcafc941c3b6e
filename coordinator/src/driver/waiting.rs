//! Commands that wait for a state: answered when it is reached, or with the state then reached when their time is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Instant;

use bioxen_protocol::command::Verb;
use bioxen_protocol::id::VmKey;
use bioxen_protocol::reply::StateReached;
use bioxen_protocol::state::VmState;

use crate::answer::outbox::Outgoing;
use crate::answer::{Reply, ReplyTo};
use crate::fleet::command::Goal;

/// Commands that may wait at once.
const WAITERS: usize = 65_536;

/// One command that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) key: VmKey,
    pub(super) goal: Goal,
    pub(super) verb: Verb,
    pub(super) reply_to: ReplyTo,
    pub(super) deadline: Instant,
    pub(super) received: Instant,
    /// The last acknowledged state.
    pub(super) state: VmState,
}

#[derive(Debug, Default)]
pub(super) struct Waiting {
    waiters: BTreeMap<u64, Waiter>,
    by_vm: BTreeMap<VmKey, BTreeSet<u64>>,
    deadlines: BinaryHeap<Reverse<(Instant, u64)>>,
    next: u64,
}

impl Waiting {
    /// Takes waiters and states of an acknowledged batch; returns the answers that are due.
    pub(super) fn acknowledged(
        &mut self,
        waiters: Vec<Waiter>,
        states: &BTreeMap<VmKey, VmState>,
        done: &mut impl FnMut(&Waiter),
    ) -> Vec<Outgoing> {
        let mut answers = Vec::new();
        for (key, state) in states {
            for id in self.by_vm.get(key).cloned().unwrap_or_default() {
                let Some(waiter) = self.waiters.get_mut(&id) else { continue };
                waiter.state = *state;
                if waiter.goal.is_done(*state) {
                    answers.extend(self.finish(id, done));
                }
            }
        }
        for mut waiter in waiters {
            waiter.state = states.get(&waiter.key).copied().unwrap_or(waiter.state);
            let id = self.next;
            self.next += 1;
            // Who finds it crowded is answered with the state as it is.
            let is_done = waiter.goal.is_done(waiter.state) || self.waiters.len() >= WAITERS;
            self.by_vm.entry(waiter.key.clone()).or_default().insert(id);
            self.deadlines.push(Reverse((waiter.deadline, id)));
            self.waiters.insert(id, waiter);
            if is_done {
                answers.extend(self.finish(id, done));
            }
        }
        answers
    }

    /// When the next waiter's time is over.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        while let Some(Reverse((deadline, id))) = self.deadlines.peek() {
            if self.waiters.contains_key(id) {
                return Some(*deadline);
            }
            self.deadlines.pop();
        }
        None
    }

    /// The answers of those whose time is over.
    pub(super) fn overdue(&mut self, now: Instant, done: &mut impl FnMut(&Waiter)) -> Vec<Outgoing> {
        let mut answers = Vec::new();
        while let Some(deadline) = self.next_deadline()
            && deadline <= now
            && let Some(Reverse((_, id))) = self.deadlines.pop()
        {
            answers.extend(self.finish(id, done));
        }
        answers
    }

    pub(super) fn any(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// The answers of all, with the states as they are.
    pub(super) fn give_up(&mut self, done: &mut impl FnMut(&Waiter)) -> Vec<Outgoing> {
        let waiting: Vec<u64> = self.waiters.keys().copied().collect();
        waiting.into_iter().filter_map(|id| self.finish(id, done)).collect()
    }

    /// Everybody that still waits, when the leader steps down.
    pub(super) fn drain(&mut self) -> Vec<ReplyTo> {
        std::mem::take(&mut self.waiters).into_values().map(|waiter| waiter.reply_to).collect()
    }

    fn finish(&mut self, id: u64, done: &mut impl FnMut(&Waiter)) -> Option<Outgoing> {
        let waiter = self.waiters.remove(&id)?;
        if let Some(ids) = self.by_vm.get_mut(&waiter.key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_vm.remove(&waiter.key);
            }
        }
        done(&waiter);
        let reached = StateReached { vm_id: waiter.key.vm, state: waiter.state };
        Some(Outgoing::Reply(waiter.reply_to, Reply::State(reached)))
    }
}
