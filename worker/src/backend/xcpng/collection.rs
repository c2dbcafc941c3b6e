//! What is left on the pools, has this fleet's marks and belongs to no VM: found here, judged by the leader, destroyed here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bioxen_protocol::id::{Generation, VmKey};
use tokio::sync::watch;

use super::host::Host;
use super::hosts::Hosts;
use crate::xcpng::guests::{Collected, Collector};
use crate::xcpng::{Deadline, XcpngError};

/// Between two looks at the pools, or less where what nobody has goes sooner.
const EVERY: Duration = Duration::from_secs(30);
/// A look, and what it destroys.
const LOOK: Duration = Duration::from_secs(300);

/// What was found, and what the leader said of it.
#[derive(Debug, Default)]
pub(super) struct Collection {
    state: Mutex<State>,
    ending: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// On any pool, as seen last.
    found: BTreeSet<(VmKey, Generation)>,
    /// That no VM has. Forgotten when it is no longer found.
    unowned: BTreeSet<(VmKey, Generation)>,
}

impl Collection {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Guests that are to be judged: those of VMs that are not held here.
    pub(super) fn found(&self, is_held: impl Fn(&VmKey) -> bool) -> Vec<(VmKey, Generation)> {
        self.lock().found.iter().filter(|(key, _)| !is_held(key)).cloned().collect()
    }

    pub(super) fn unowned(&self, vms: &[(VmKey, Generation)]) {
        let mut state = self.lock();
        let known: Vec<_> = vms.iter().filter(|vm| state.found.contains(vm)).cloned().collect();
        state.unowned.extend(known);
    }

    /// What the leader said of others is forgotten.
    fn seen(&self, found: BTreeSet<(VmKey, Generation)>) {
        let mut state = self.lock();
        state.unowned.retain(|vm| found.contains(vm));
        state.found = found;
    }

    /// Has [`collect`] end with the look that it is at: one that breaks off leaves its task on the pool.
    pub(super) fn end(&self) {
        self.ending.send_replace(true);
    }

    async fn look(
        &self,
        host: &Host,
        collector: &mut Collector,
    ) -> Result<BTreeSet<(VmKey, Generation)>, XcpngError> {
        let deadline = Deadline::within(LOOK);
        let unowned = self.lock().unowned.clone();
        let is_owned = |key: &VmKey, generation| !unowned.contains(&(key.clone(), generation));
        let collected = collector.collect(host.guests(), is_owned, deadline).await?;
        if collected.guests + collected.disks > 0 {
            let (pool, Collected { guests, disks, waiting, .. }) = (host.name(), &collected);
            tracing::info!(pool, guests, disks, waiting, "what nobody had on the pool was destroyed");
        }
        Ok(collected.left.into_iter().collect())
    }
}

/// Looks over the pools until it is ended.
pub(super) async fn collect(hosts: Arc<Hosts>, collection: Arc<Collection>) {
    let mut collectors: Vec<(Weak<Host>, Collector)> = Vec::new();
    let mut ending = collection.ending.subscribe();
    loop {
        let mut found = BTreeSet::new();
        let mut clean = Vec::new();
        let mut every = EVERY;
        collectors.retain(|(host, _)| host.strong_count() > 0);
        for host in hosts.all() {
            if *ending.borrow() {
                return;
            }
            let grace = host.guests().pool().settings().orphan_grace;
            every = every.min(grace);
            let here = Arc::downgrade(&host);
            let known = collectors.iter().position(|(known, _)| known.ptr_eq(&here)).unwrap_or_else(|| {
                collectors.push((here.clone(), Collector::new(grace)));
                collectors.len() - 1
            });
            let Some((_, collector)) = collectors.get_mut(known) else { continue };
            match collection.look(&host, collector).await {
                Ok(more) if more.is_empty() => clean.push(here),
                Ok(more) => found.extend(more),
                Err(error) => tracing::warn!(pool = host.name(), %error, "the pool was not looked over"),
            }
        }
        collection.seen(found);
        let is_clean = |host: &Arc<Host>| clean.iter().any(|clean| clean.ptr_eq(&Arc::downgrade(host)));
        hosts.close_idle(Instant::now(), is_clean).await;
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}
