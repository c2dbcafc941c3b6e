//! Ensembles: many VMs from one entry, made one by one as room appears.
//!
//! ```text
//!   Ensemble entry --> waits in the user's backlog as one row with a cursor
//!        |  room: Created + Placed of the next member (or MemberRefused), by number
//!        v
//!   members as ordinary VMs --completed, failed, stopped, destroyed--> an end each: state, minute, final figures
//! ```
//!
//! An ensemble holds nothing; its members do. What a member is made of is asked of the edge when it is made and then
//! stands in its `Created` entry, so that a fold needs neither the body nor how it was read. Pure; whole numbers only.

use std::collections::BTreeSet;
use std::sync::Arc;

use bioxen_protocol::id::{Generation, OperatorId, VmId, VmKey};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::DesiredState;
use serde::{Deserialize, Serialize};

use super::Fleet;
use super::command::{NewEnsemble, NewVm};
use super::entry::{Cause, Ensembled};
use super::vm::Vm;

/// What the edge makes of a body and a member's number, or why it cannot be made.
pub type MakeMember<'a> = &'a dyn Fn(&Ensemble, u64) -> Result<NewVm, String>;

/// An ensemble as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    pub key: VmKey,
    /// As JSON, its seed filled in.
    pub body: Arc<str>,
    pub seed: u64,
    pub members: u64,
    pub priority: u8,
    /// Running until it was stopped or destroyed by name.
    pub desired: DesiredState,
    /// The operator who stopped or destroyed it.
    pub ended_by: Option<OperatorId>,
    /// The index of its entry: its age in the queue.
    pub asked_at: u64,
    pub created_ms: u64,
    /// The index of the last entry that changed what stands here.
    pub index: u64,
    /// The members made so far, by number from 1; derived from their own rows.
    #[serde(skip)]
    pub made: Vec<Member>,
    /// Members that are there as VMs; derived.
    #[serde(skip)]
    pub present: u64,
}

/// A member that was made, or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub number: u64,
    /// None while it may run.
    pub end: Option<Arc<End>>,
    /// The index of the last entry about it.
    pub index: u64,
}

/// How a member ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub outcome: Ended,
    pub reason: Option<String>,
    /// The grid point at which it stood.
    pub tick: u64,
    /// Where it completed: its final metrics, as a JSON object.
    pub summary: Option<Arc<str>>,
    /// Where its worker stored what it recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded: Vec<Generation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    Completed,
    Failed,
    Stopped,
    Destroyed,
}

/// How many members stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub queued: u64,
    pub running: u64,
    pub completed: u64,
    pub failed: u64,
    pub stopped: u64,
}

impl Ensemble {
    /// Members that still wait to be made.
    pub fn waiting(&self) -> u64 {
        if self.desired == DesiredState::Running { self.members - self.made.len() as u64 } else { 0 }
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts { queued: self.waiting(), ..Counts::default() };
        for member in &self.made {
            let count = match member.end.as_ref().map(|end| end.outcome) {
                None => &mut counts.running,
                Some(Ended::Completed) => &mut counts.completed,
                Some(Ended::Failed) => &mut counts.failed,
                Some(Ended::Stopped | Ended::Destroyed) => &mut counts.stopped,
            };
            *count += 1;
        }
        counts
    }

    pub fn state(&self) -> VmState {
        let runs = || self.made.iter().any(|member| member.end.is_none());
        match self.desired {
            DesiredState::Absent => VmState::Destroying,
            DesiredState::Stopped if runs() => VmState::Stopping,
            _ if self.waiting() > 0 && self.made.is_empty() => VmState::Queued,
            _ if self.waiting() > 0 || runs() => VmState::Running,
            _ => VmState::Stopped,
        }
    }

    /// Whether every member was made and has ended by itself.
    pub fn is_completed(&self) -> bool {
        self.desired == DesiredState::Running && self.state() == VmState::Stopped
    }

    /// The key of a member's VM.
    pub fn member_key(&self, number: u64) -> Option<VmKey> {
        let vm = format!("{}-{number:05}", self.key.vm).parse().ok()?;
        Some(VmKey { user: self.key.user.clone(), vm })
    }

    /// The first and last name that a member may have.
    pub(super) fn names(&self) -> Option<(VmId, VmId)> {
        Some((self.member_key(1)?.vm, self.member_key(self.members)?.vm))
    }
}

/// The ensemble's name in a member's.
pub fn name_in(member: &VmId) -> Option<VmId> {
    member.as_str().rsplit_once('-')?.0.parse().ok()
}

impl Fleet {
    pub fn ensemble(&self, key: &VmKey) -> Option<&Ensemble> {
        self.accounts.get(&key.user)?.ensembles.get(&key.vm)
    }

    pub fn ensembles(&self) -> impl Iterator<Item = &Ensemble> {
        self.accounts.values().flat_map(|account| account.ensembles.values())
    }

    /// How the member of this name ended, where it is one; also when the VM itself is forgotten.
    pub fn end_of_member(&self, vm: &VmKey) -> Option<&Arc<End>> {
        let (_, number) = vm.vm.as_str().rsplit_once('-')?;
        let at = number.parse::<usize>().ok()?.checked_sub(1)?;
        let key = VmKey { user: vm.user.clone(), vm: name_in(&vm.vm)? };
        let ensemble = self.ensemble(&key)?;
        ensemble
            .made
            .get(at)
            .filter(|member| ensemble.member_key(member.number).as_ref() == Some(vm))?
            .end
            .as_ref()
    }

    /// The state of the VM or the ensemble of this name.
    pub fn state_of(&self, key: &VmKey) -> Option<VmState> {
        self.ensemble(key).map(Ensemble::state).or_else(|| Some(self.vm(key)?.state))
    }

    pub(super) fn new_ensemble(&self, key: &VmKey, new: &NewEnsemble) -> Ensemble {
        Ensemble {
            key: key.clone(),
            body: new.body.clone(),
            seed: new.seed,
            members: new.members,
            priority: new.priority,
            desired: DesiredState::Running,
            ended_by: None,
            asked_at: self.next_index,
            created_ms: self.time_ms,
            index: self.next_index,
            made: Vec::new(),
            present: 0,
        }
    }

    /// The members that are there as VMs.
    pub(super) fn members_of<'a>(&'a self, ensemble: &'a Ensemble) -> impl Iterator<Item = &'a Vm> {
        let account = self.accounts.get(&ensemble.key.user);
        let vms =
            account.zip(ensemble.names()).map(|(account, (first, last))| account.vms.range(first..=last));
        let members = vms.into_iter().flatten().map(|(_, vm)| vm);
        members.filter(|vm| vm.member.is_some() && vm.state != VmState::Destroyed)
    }
}

impl Fleet {
    pub(super) fn ensembled(&mut self, index: u64, asked: &Ensembled) {
        let new = NewEnsemble {
            body: asked.body.clone(),
            seed: asked.seed,
            members: asked.members,
            priority: asked.priority,
        };
        let mut ensemble = self.new_ensemble(&asked.key, &new);
        (ensemble.index, ensemble.asked_at) = (index, index);
        self.enlist(ensemble);
        self.room_may_have_appeared = true;
        self.touch_ensemble(&asked.key);
    }

    /// Puts an ensemble where it belongs: in the account, and in the queue while members wait.
    pub(super) fn enlist(&mut self, ensemble: Ensemble) {
        let key = ensemble.key.clone();
        self.enqueue(&key, (ensemble.priority, ensemble.asked_at), ensemble.waiting());
        let account = self.accounts.entry(key.user.clone()).or_default();
        account.waiting_members += ensemble.waiting();
        account.ensembles.insert(key.vm, ensemble);
    }

    pub(super) fn ensemble_desired(&mut self, index: u64, cause: &Cause, key: &VmKey, desired: DesiredState) {
        self.change_ensemble(key, |ensemble| {
            ensemble.desired = desired;
            ensemble.ended_by.clone_from(&cause.operator);
            ensemble.index = index;
        });
        self.touch_ensemble(key);
        if self.ensemble(key).is_some() {
            self.ensembles_ending.insert(key.clone());
        }
        self.settle_ensemble(key);
    }

    pub(super) fn member_refused(&mut self, index: u64, ensemble: &VmKey, number: u64, reason: &str) {
        let (reason, recorded) = (Some(reason.to_owned()), Vec::new());
        let end = End { outcome: Ended::Failed, reason, tick: 0, summary: None, recorded };
        self.member_made(index, ensemble, number, Some(end));
    }

    /// The next member was made as a VM, or refused with an end.
    pub(super) fn member_made(&mut self, index: u64, ensemble: &VmKey, number: u64, end: Option<End>) {
        self.change_ensemble(ensemble, |ensemble| {
            if ensemble.made.len() as u64 + 1 != number {
                return;
            }
            ensemble.present += u64::from(end.is_none());
            ensemble.made.push(Member { number, end: end.map(Arc::new), index });
        });
        self.touch_member(ensemble, number);
    }

    /// A VM has changed: where it is a member, whether it has ended, and how.
    pub(super) fn member_changed(
        &mut self,
        index: u64,
        vm: &VmKey,
        was: VmState,
        summary: Option<&Arc<str>>,
        failed: bool,
    ) {
        let Some(now) = self.vm(vm) else { return };
        let Some((number, name)) = now.member.zip(name_in(&vm.vm)) else { return };
        let (state, completed) = (now.state, now.reason.as_deref() == Some(super::vm::COMPLETED));
        let outcome = match state {
            _ if state == was => return,
            VmState::Destroyed | VmState::Stopped if completed => Some(Ended::Completed),
            VmState::Failed => Some(Ended::Failed),
            VmState::Destroyed if failed => Some(Ended::Failed),
            VmState::Destroyed => Some(Ended::Destroyed),
            VmState::Stopped => Some(Ended::Stopped),
            _ => None,
        };
        let (reason, tick, recorded) = (now.reason.clone(), now.tick, now.recorded.clone());
        let summary = summary.cloned();
        let end = outcome.map(|outcome| End { outcome, reason, tick, summary, recorded });
        let key = VmKey { user: vm.user.clone(), vm: name };
        let Some(account) = self.accounts.get_mut(&key.user) else { return };
        let Some(ensemble) = account.ensembles.get_mut(&key.vm) else { return };
        if state == VmState::Destroyed {
            ensemble.present = ensemble.present.saturating_sub(1);
        }
        let at = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
        if let Some(member) = ensemble.made.get_mut(at) {
            // What it came to stays, also where it is cleared away afterwards.
            let is_kept = outcome == Some(Ended::Destroyed) && member.end.is_some();
            if !is_kept {
                member.end = end.map(Arc::new);
                member.index = index;
            }
        }
        self.touch_member(&key, number);
        self.settle_ensemble(&key);
    }

    /// Forgets an ensemble that is to be gone, once its last member is; stops looking after one that has stopped.
    fn settle_ensemble(&mut self, key: &VmKey) {
        let Some(ensemble) = self.ensemble(key) else { return };
        match ensemble.desired {
            DesiredState::Absent if ensemble.present == 0 => {
                let numbers = ensemble.made.iter().map(|member| member.number);
                let gone: Vec<_> = numbers.map(|number| (key.clone(), number)).collect();
                self.touched.members.extend(gone);
                if let Some(account) = self.accounts.get_mut(&key.user) {
                    account.ensembles.remove(&key.vm);
                }
                self.ensembles_ending.remove(key);
                self.touch_ensemble(key);
            }
            DesiredState::Stopped if ensemble.state() == VmState::Stopped => {
                self.ensembles_ending.remove(key);
            }
            _ => {}
        }
    }

    /// The one way in which an ensemble changes: its place in the queue is taken back before, and given after.
    fn change_ensemble(&mut self, key: &VmKey, change: impl FnOnce(&mut Ensemble)) {
        let Some(account) = self.accounts.get_mut(&key.user) else { return };
        let Some(mut ensemble) = account.ensembles.remove(&key.vm) else { return };
        account.waiting_members -= ensemble.waiting();
        self.dequeue(key, (ensemble.priority, ensemble.asked_at), ensemble.waiting());
        change(&mut ensemble);
        self.enlist(ensemble);
    }

    fn touch_ensemble(&mut self, key: &VmKey) {
        self.touched.ensembles.insert(key.clone());
        self.touched.accounts.insert(key.user.clone());
    }

    fn touch_member(&mut self, ensemble: &VmKey, number: u64) {
        self.touched.members.insert((ensemble.clone(), number));
        self.touched.accounts.insert(ensemble.user.clone());
    }

    /// Ensembles and members that rows tell of, put together again. VMs come before.
    pub(super) fn restore_ensembles(&mut self, ensembles: Vec<Ensemble>, members: Vec<(VmKey, Member)>) {
        let mut made = std::collections::BTreeMap::<VmKey, Vec<Member>>::new();
        for (key, member) in members {
            made.entry(key).or_default().push(member);
        }
        let mut ending = BTreeSet::new();
        for mut ensemble in ensembles {
            ensemble.made = made.remove(&ensemble.key).unwrap_or_default();
            ensemble.made.sort_by_key(|member| member.number);
            ensemble.present = self.members_of(&ensemble).count() as u64;
            if ensemble.desired != DesiredState::Running && ensemble.state() != VmState::Stopped {
                ending.insert(ensemble.key.clone());
            }
            self.enlist(ensemble);
        }
        self.ensembles_ending = ending;
    }
}
