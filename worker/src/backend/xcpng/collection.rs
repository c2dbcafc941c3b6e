//! What is left on the pools, has this fleet's marks and belongs to no VM: found here, judged by the leader, destroyed here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bioxen_protocol::id::{Generation, VmKey};

use super::host::Host;
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
pub(super) async fn collect(hosts: Vec<Arc<Host>>, collection: Arc<Collection>) {
    let mut collectors: Vec<_> = hosts
        .iter()
        .map(|host| (host, Collector::new(host.guests().pool().settings().orphan_grace)))
        .collect();
    let every = collectors.iter().map(|(host, _)| host.guests().pool().settings().orphan_grace).min();
    let every = every.map_or(EVERY, |grace| grace.min(EVERY));
    loop {
        let mut found = BTreeSet::new();
        for (host, collector) in &mut collectors {
            match collection.look(host, collector).await {
                Ok(more) => found.extend(more),
                Err(error) => tracing::warn!(pool = host.name(), %error, "the pool was not looked over"),
            }
        }
        collection.seen(found);
        tokio::time::sleep(every).await;
    }
}
