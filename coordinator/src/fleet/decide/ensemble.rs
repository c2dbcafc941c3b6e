//! `ensemble`, and `stop` and `destroy` of one by its name; the next member, and the ends of members that follow.

use bioxen_protocol::command::Verb;
use bioxen_protocol::id::VmKey;
use bioxen_protocol::limits::ENSEMBLES_PER_USER;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::DesiredState;

use super::Decided;
use crate::fleet::Fleet;
use crate::fleet::amounts::Amounts;
use crate::fleet::command::{Answer, Goal, NewEnsemble};
use crate::fleet::ensemble::{Ensemble, MakeMember, name_in};
use crate::fleet::entry::{Cause, Created, Ensembled, Entry};
use crate::fleet::rejection::{Rejection, Resource};

impl Fleet {
    pub(super) fn decide_ensemble(
        &self,
        cause: &Cause,
        key: VmKey,
        new: &NewEnsemble,
    ) -> Result<Decided, Rejection> {
        self.check_name(&key)?;
        let asked = self.new_ensemble(&key, new);
        if let Some((first, last)) = asked.names()
            && let Some(account) = self.accounts.get(&key.user)
            && let Some(vm) =
                account.vms.range(first..=last).map(|(_, vm)| vm).find(|vm| vm.state != VmState::Destroyed)
        {
            return Err(Rejection::VmExists { vm: vm.key.vm.clone(), state: vm.state });
        }
        let kept = self.accounts.get(&key.user).map_or(0, |account| account.ensembles.len());
        if kept >= ENSEMBLES_PER_USER {
            let (limit, used) = (ENSEMBLES_PER_USER as u64, kept as u64);
            return Err(Rejection::User { resource: Resource::Ensembles, limit, used, requested: 1 });
        }
        self.check_backlog(&key.user, new.members)?;
        let answer = Answer::Ensemble { name: key.vm.clone(), members: new.members };
        let entry = Entry::Ensemble(Box::new(Ensembled {
            cause: cause.clone(),
            key,
            body: new.body.clone(),
            seed: new.seed,
            members: new.members,
            priority: new.priority,
        }));
        Ok(Decided { entries: vec![entry], answer })
    }

    /// Whether a VM or an ensemble may be given this name: VMs, ensembles and their members share one room of names.
    pub(super) fn check_name(&self, key: &VmKey) -> Result<(), Rejection> {
        if let Some(ensemble) = self.ensemble(key) {
            return Err(Rejection::VmExists { vm: key.vm.clone(), state: ensemble.state() });
        }
        if let Some(vm) = self.vm(key).filter(|vm| vm.state != VmState::Destroyed) {
            return Err(Rejection::VmExists { vm: key.vm.clone(), state: vm.state });
        }
        let whose = name_in(&key.vm).map(|vm| VmKey { user: key.user.clone(), vm });
        if let Some(ensemble) = whose.and_then(|key| self.ensemble(&key))
            && ensemble.names().is_some_and(|(first, last)| (first..=last).contains(&key.vm))
        {
            return Err(Rejection::MemberName { vm: key.vm.clone(), ensemble: ensemble.key.vm.clone() });
        }
        Ok(())
    }

    /// `stop` and `destroy` of an ensemble by its name; the other verbs are its members'.
    pub(super) fn decide_ensemble_end(
        &self,
        cause: &Cause,
        ensemble: &Ensemble,
        verb: Verb,
    ) -> Result<Decided, Rejection> {
        let (desired, goal) = match verb {
            Verb::Stop => (DesiredState::Stopped, Goal::Stopped),
            Verb::Destroy => (DesiredState::Absent, Goal::Destroyed),
            verb => return Err(Rejection::IsEnsemble { name: ensemble.key.vm.clone(), verb }),
        };
        let state = ensemble.state();
        let stands = verb == Verb::Destroy || matches!(state, VmState::Queued | VmState::Running);
        if !stands {
            return Err(Rejection::State { vm: ensemble.key.vm.clone(), state, verb });
        }
        let key = ensemble.key.clone();
        let answer = Answer::Reach { vm: key.vm.clone(), goal };
        Ok(Decided { entries: vec![Entry::EnsembleDesired { cause: cause.clone(), key, desired }], answer })
    }

    /// The entries that make the next member, where there is room for it.
    pub(in crate::fleet) fn next_member(
        &self,
        ensemble: &Ensemble,
        make: MakeMember<'_>,
    ) -> Result<Vec<Entry>, Rejection> {
        let number = ensemble.made.len() as u64 + 1;
        let refused =
            |reason: String| Ok(vec![Entry::MemberRefused { key: ensemble.key.clone(), number, reason }]);
        let Some(key) = ensemble.member_key(number) else {
            return refused("its name is too long".to_owned());
        };
        let new = match make(ensemble, number) {
            Ok(new) => new,
            Err(reason) => return refused(reason),
        };
        if self.vm(&key).is_some_and(|vm| vm.state != VmState::Destroyed) {
            return refused(format!("VM {} exists already", key.vm));
        }
        let held = Amounts::of(new.order.allocation);
        self.check_limits(&key.user, held)?;
        let (worker, boot) = self.place(&new.order, held.ribosomes)?;
        let user = key.user.clone();
        let created = Entry::Created(Box::new(Created {
            cause: Cause { user, operator: None, verb: Verb::Ensemble, request: None },
            key: key.clone(),
            order: new.order,
            most: new.most,
            on_complete: new.on_complete,
            labels: new.labels,
            queued: false,
            held,
            answered_state: VmState::Starting,
            queue_position: None,
            member: Some(number),
        }));
        Ok(vec![created, Entry::Placed { key, worker, boot, held }])
    }

    /// Stops or destroys members of ensembles that were stopped or destroyed by name: at most `most`, the rest when
    /// asked again.
    pub fn ends_of_ensembles(&self, most: usize) -> Vec<Entry> {
        let ending = self.ensembles_ending.iter().filter_map(|key| self.ensemble(key));
        let ends = ending.flat_map(|ensemble| self.members_to_end(ensemble));
        ends.take(most).collect()
    }

    fn members_to_end<'a>(&'a self, ensemble: &'a Ensemble) -> impl Iterator<Item = Entry> + 'a {
        let verb = if ensemble.desired == DesiredState::Absent { Verb::Destroy } else { Verb::Stop };
        let cause = Cause {
            user: ensemble.key.user.clone(),
            operator: ensemble.ended_by.clone(),
            verb,
            request: None,
        };
        self.members_of(ensemble).filter_map(move |vm| {
            let decided = match ensemble.desired {
                DesiredState::Absent if vm.desired != DesiredState::Absent => self.decide_destroy(&cause, vm),
                DesiredState::Stopped if vm.desired != DesiredState::Stopped => self.decide_stop(&cause, vm),
                _ => return None,
            };
            // Refused where it has ended already.
            decided.ok()?.entries.pop()
        })
    }
}
