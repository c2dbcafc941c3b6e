//! The pools that a worker serves: those of its file, and those that VMs brought along, each for as long as it is needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bioxen_protocol::id::{UserId, VmKey};
use bioxen_protocol::pool::{OwnPool, XcpngPool};

use super::host::{Common, Host};
use crate::xcpng::config::{OwnPools, PoolSettings};
use crate::xcpng::{Pool, XcpngError};

/// A pool that a VM brought along and that cannot be looked over any more is given up after so long.
const GIVEN_UP: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Hosts {
    common: Common,
    pools: BTreeMap<String, Pool>,
    /// The pools of the file, once the leader has said which fleet this is.
    named: OnceLock<(String, BTreeMap<String, Arc<Host>>)>,
    own_pools: Option<OwnPools>,
    own: Mutex<Vec<Own>>,
}

/// A pool that VMs of one user brought along, all with the same words.
#[derive(Debug)]
struct Own {
    user: UserId,
    settings: PoolSettings,
    host: Arc<Host>,
    /// Since when no VM here is on it.
    idle: Option<Instant>,
}

impl Hosts {
    pub(super) fn new(pools: BTreeMap<String, Pool>, own_pools: Option<OwnPools>, common: Common) -> Self {
        Self { common, pools, named: OnceLock::new(), own_pools, own: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns which fleet this is; true the first time.
    pub(super) fn learn(&self, fleet: &str) -> bool {
        let mut is_new = false;
        self.named.get_or_init(|| {
            is_new = true;
            let host = |pool: &Pool| Arc::new(Host::new(pool, fleet, &self.common));
            (fleet.to_owned(), self.pools.iter().map(|(name, pool)| (name.clone(), host(pool))).collect())
        });
        is_new
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.pools.keys().cloned().collect()
    }

    /// The id of the key that opens the passwords of pools that VMs bring along.
    pub(super) fn opens(&self) -> Option<String> {
        self.own_pools.as_ref().map(OwnPools::key)
    }

    /// The pool of a VM, or why there is none. Call in a runtime of tokio.
    pub(super) fn of(&self, key: &VmKey, pool: Option<&XcpngPool>) -> Result<Arc<Host>, String> {
        let Some((fleet, named)) = self.named.get() else {
            return Err("the leader has not said which fleet this is; upgrade the coordinator".to_owned());
        };
        match pool {
            None => Err("the VM has no pool; restore it onto one".to_owned()),
            Some(XcpngPool::Named(name)) => named.get(name).cloned().ok_or_else(|| {
                let known: Vec<&str> = named.keys().map(String::as_str).collect();
                format!("this worker's file has no pool {name:?}; it has: {}", known.join(", "))
            }),
            Some(XcpngPool::Own(own)) => self.own(fleet, &key.user, own).map_err(|error| error.to_string()),
        }
    }

    /// Whoever has the same words has the same password, and shares the sessions of it.
    fn own(&self, fleet: &str, user: &UserId, own: &OwnPool) -> Result<Arc<Host>, XcpngError> {
        let own_pools = self.own_pools.as_ref().ok_or_else(|| {
            XcpngError::Refused(
                "this worker's file has no [xcpng.own_pools], so it opens no password".to_owned(),
            )
        })?;
        let settings = own_pools.settings(user, own)?;
        let mut all = self.lock();
        if let Some(known) = all.iter_mut().find(|known| known.user == *user && known.settings == settings) {
            known.idle = None;
            return Ok(Arc::clone(&known.host));
        }
        let name = format!("{} of {user}", own.xapi_url);
        let pool =
            Pool::open(&name, settings.clone()).map_err(|error| XcpngError::Refused(error.to_string()))?;
        let host = Arc::new(Host::new(&pool, fleet, &self.common));
        all.push(Own { user: user.clone(), settings, host: Arc::clone(&host), idle: None });
        Ok(host)
    }

    /// All that are served now.
    pub(super) fn all(&self) -> Vec<Arc<Host>> {
        let named = self.named.get().into_iter().flat_map(|(_, named)| named.values().cloned());
        named.chain(self.lock().iter().map(|own| Arc::clone(&own.host))).collect()
    }

    /// Logs out of pools that VMs brought along, once none has been on them for the grace of what is left over, and
    /// `is_clean` says that nothing of this fleet is there. Hand back what [`Hosts::all`] gave before: who holds a host, uses it.
    pub(super) async fn close_idle(&self, now: Instant, is_clean: impl Fn(&Arc<Host>) -> bool) {
        let done = |own: &mut Own| {
            if Arc::strong_count(&own.host) > 1 {
                own.idle = None;
                return false;
            }
            let idle = now.saturating_duration_since(*own.idle.get_or_insert(now));
            idle >= GIVEN_UP || (idle >= own.settings.orphan_grace && is_clean(&own.host))
        };
        let closed: Vec<Own> = self.lock().extract_if(.., done).collect();
        futures::future::join_all(closed.iter().map(|own| own.host.guests().pool().close())).await;
    }

    pub(super) async fn close(&self) {
        let own: Vec<Own> = self.lock().drain(..).collect();
        let own = own.iter().map(|own| own.host.guests().pool());
        futures::future::join_all(self.pools.values().chain(own).map(Pool::close)).await;
    }
}
