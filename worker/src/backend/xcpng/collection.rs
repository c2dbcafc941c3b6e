//! What is left on a pool, has this fleet's marks and belongs to no VM: found here, judged by the leader, destroyed here.
//!
//! Each pool is looked over by a task of its own, and has what was said of it for itself: neither a pool that hangs nor
//! one whose host tells lies is anything to the others.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bioxen_protocol::id::{Generation, VmKey};
use tokio::sync::watch;

use super::host::Host;
use super::hosts::Hosts;
use crate::xcpng::guests::{Collected, Collector};
use crate::xcpng::{Deadline, XcpngError};

/// Between two looks at a pool, or less where what nobody has goes sooner.
const EVERY: Duration = Duration::from_secs(30);
/// A look, and what it destroys.
const LOOK: Duration = Duration::from_secs(300);
/// The same on a pool that VMs brought along: few are there.
const LOOK_OWN: Duration = Duration::from_secs(60);

/// What was found on one pool, and what the leader said of it.
#[derive(Debug, Default)]
pub(super) struct Looked(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// As the last look saw it.
    found: BTreeSet<(VmKey, Generation)>,
    /// That no VM has. Forgotten when it is no longer found, and when its VM comes here again: it was said of the past.
    unowned: BTreeSet<(VmKey, Generation)>,
}

impl Looked {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Guests that are to be judged: those that nothing here has on this pool.
    pub(super) fn found(&self, is_held: impl Fn(&VmKey, Generation) -> bool) -> Vec<(VmKey, Generation)> {
        self.lock().found.iter().filter(|(key, claimed)| !is_held(key, *claimed)).cloned().collect()
    }

    /// Takes what the leader said of guests, as far as it is still about such.
    pub(super) fn judged(
        &self,
        unowned: &[(VmKey, Generation)],
        is_held: impl Fn(&VmKey, Generation) -> bool,
    ) {
        let mut state = self.lock();
        let known = unowned.iter().filter(|vm| state.found.contains(vm) && !is_held(&vm.0, vm.1));
        let known: Vec<_> = known.cloned().collect();
        state.unowned.extend(known);
    }

    pub(super) fn forget(&self, key: &VmKey) {
        self.lock().unowned.retain(|(unowned, _)| unowned != key);
    }

    fn is_owned(&self, key: &VmKey, generation: Generation) -> bool {
        !self.lock().unowned.contains(&(key.clone(), generation))
    }

    fn seen(&self, found: BTreeSet<(VmKey, Generation)>) {
        let mut state = self.lock();
        state.unowned.retain(|vm| found.contains(vm));
        state.found = found;
    }
}

/// What looks at a pool have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    /// None has ever succeeded.
    Failed,
    /// Nothing of this fleet was there.
    Clean,
    /// Something was there, or may still be.
    Left,
}

/// Looks over one pool until it is closed, or all looks are to end. A look that is under way is not broken off, for that
/// would leave its task on the pool.
pub(super) async fn look_over(host: Weak<Host>, hosts: Weak<Hosts>, mut ending: watch::Receiver<bool>) {
    let Some((mut collector, every)) = host.upgrade().map(|here| {
        let grace = here.guests().pool().settings().orphan_grace;
        (Collector::new(grace).only(here.user().cloned()), EVERY.min(grace))
    }) else {
        return;
    };
    let mut looks = Looks::Failed;
    while !*ending.borrow() {
        let Some(here) = host.upgrade() else { return };
        looks = match look(&here, &mut collector).await {
            Ok(true) => Looks::Clean,
            Ok(false) => Looks::Left,
            Err(error) => {
                tracing::warn!(pool = here.name(), %error, "the pool was not looked over");
                if looks == Looks::Failed { looks } else { Looks::Left }
            }
        };
        // Who holds a host, uses it.
        drop(here);
        let Some(all) = hosts.upgrade() else { return };
        if all.close_idle(&host, Instant::now(), looks).await {
            return;
        }
        drop(all);
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// Looks once; whether nothing of this fleet is there.
async fn look(host: &Host, collector: &mut Collector) -> Result<bool, XcpngError> {
    let within = if host.user().is_some() { LOOK_OWN } else { LOOK };
    let is_owned = |key: &VmKey, generation| host.looked().is_owned(key, generation);
    let collected = collector.collect(host.guests(), is_owned, Deadline::within(within)).await?;
    let Collected { guests, disks, waiting, left } = collected;
    if guests + disks > 0 {
        tracing::info!(
            pool = host.name(),
            guests,
            disks,
            waiting,
            "what nobody had on the pool was destroyed"
        );
    }
    let is_clean = left.is_empty() && waiting == 0;
    host.looked().seen(left.into_iter().collect());
    Ok(is_clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(vm: &str, index: u64) -> (VmKey, Generation) {
        let key = VmKey { user: "alice".parse().unwrap(), vm: vm.parse().unwrap() };
        (key, Generation { incarnation: 1, index })
    }

    fn seen(guests: &[(VmKey, Generation)]) -> Looked {
        let looked = Looked::default();
        looked.seen(guests.iter().cloned().collect());
        looked
    }

    fn nobody(_: &VmKey, _: Generation) -> bool {
        false
    }

    fn owns(looked: &Looked, (key, generation): &(VmKey, Generation)) -> bool {
        looked.is_owned(key, *generation)
    }

    #[test]
    fn what_is_said_of_one_pool_holds_on_no_other() {
        let future = guest("c1", 9);
        let (liar, lab) = (seen(std::slice::from_ref(&future)), seen(&[]));
        for looked in [&liar, &lab] {
            looked.judged(std::slice::from_ref(&future), nobody);
        }
        lab.seen([future.clone()].into());
        assert!(!owns(&liar, &future) && owns(&lab, &future));
    }

    #[test]
    fn what_is_held_is_neither_told_nor_judged() {
        let (old, other) = (guest("c1", 1), guest("c2", 1));
        let looked = seen(&[old.clone(), other.clone()]);
        let is_held = |key: &VmKey, _: Generation| *key == old.0;
        assert_eq!(looked.found(is_held), std::slice::from_ref(&other));
        looked.judged(&[old.clone(), other.clone()], is_held);
        assert!(owns(&looked, &old) && !owns(&looked, &other));
    }

    #[test]
    fn what_was_said_is_forgotten_once_its_vm_comes_again_and_once_it_is_gone() {
        let (first, second) = (guest("c1", 1), guest("c2", 1));
        let looked = seen(&[first.clone(), second.clone()]);
        looked.judged(&[first.clone(), second.clone()], nobody);
        looked.forget(&first.0);
        assert!(owns(&looked, &first) && !owns(&looked, &second));
        looked.seen(BTreeSet::new());
        looked.seen([second.clone()].into());
        assert!(owns(&looked, &second));
    }
}
