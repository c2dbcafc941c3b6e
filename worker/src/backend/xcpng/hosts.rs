//! The pools that a worker serves: those of its file, and those that VMs brought along, each for as long as it is needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use bioxen_protocol::id::{UserId, VmKey};
use bioxen_protocol::pool::{OwnPool, XcpngPool};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::collection::{Looks, look_over};
use super::host::{Common, Host};
use crate::xcpng::config::{OwnPools, PoolSettings};
use crate::xcpng::{Pool, XcpngError};

/// A pool that a VM brought along and that cannot be looked over any more is given up after so long.
const GIVEN_UP: Duration = Duration::from_secs(600);
/// Pools that VMs brought along and that are open at once: each has sessions and a loop of its own.
const OWN_MOST: usize = 64;
const OWN_OF_USER_MOST: usize = 8;

#[derive(Debug)]
pub(super) struct Hosts {
    common: Common,
    pools: BTreeMap<String, Pool>,
    /// The pools of the file, once the leader has said which fleet this is.
    named: OnceLock<(String, BTreeMap<String, Arc<Host>>)>,
    own_pools: Option<OwnPools>,
    own: Mutex<Vec<Own>>,
    /// One task for each host.
    looks: Mutex<JoinSet<()>>,
    ending: watch::Sender<bool>,
    this: Weak<Self>,
}

/// A pool that VMs of one user brought along, all with the same words.
#[derive(Debug)]
struct Own {
    user: UserId,
    settings: PoolSettings,
    host: Arc<Host>,
    /// Since when no VM here is on it.
    idle: Option<Instant>,
    /// It is being logged out of, and serves no VM any more.
    is_closing: bool,
}

impl Hosts {
    pub(super) fn new(
        pools: BTreeMap<String, Pool>,
        own_pools: Option<OwnPools>,
        common: Common,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            common,
            pools,
            named: OnceLock::new(),
            own_pools,
            own: Mutex::default(),
            looks: Mutex::default(),
            ending: watch::Sender::default(),
            this: this.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns which fleet this is, once, and begins to look over the pools of the file. Call in a runtime of tokio.
    pub(super) fn learn(&self, fleet: &str) {
        self.named.get_or_init(|| {
            let host = |pool: &Pool| {
                let host = Arc::new(Host::new(pool, fleet, &self.common, None));
                self.look_over(&host);
                host
            };
            (fleet.to_owned(), self.pools.iter().map(|(name, pool)| (name.clone(), host(pool))).collect())
        });
    }

    fn look_over(&self, host: &Arc<Host>) {
        let mut looks = self.looks();
        // Those that have ended.
        while looks.try_join_next().is_some() {}
        looks.spawn(look_over(Arc::downgrade(host), self.this.clone(), self.ending.subscribe()));
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
        let is_it = |known: &&mut Own| known.user == *user && known.settings == settings && !known.is_closing;
        if let Some(known) = all.iter_mut().find(is_it) {
            known.idle = None;
            return Ok(Arc::clone(&known.host));
        }
        refuse_more(all.iter().filter(|own| !own.is_closing).map(|own| &own.user), user)?;
        let name = format!("{} of {user}", own.xapi_url);
        let pool =
            Pool::open(&name, settings.clone()).map_err(|error| XcpngError::Refused(error.to_string()))?;
        let host = Arc::new(Host::new(&pool, fleet, &self.common, Some(user)));
        all.push(Own {
            user: user.clone(),
            settings,
            host: Arc::clone(&host),
            idle: None,
            is_closing: false,
        });
        drop(all);
        self.look_over(&host);
        Ok(host)
    }

    /// Shows all that are served now. Who keeps one of them, uses it.
    pub(super) fn each(&self, mut show: impl FnMut(&Arc<Host>)) {
        self.named.get().into_iter().flat_map(|(_, named)| named.values()).for_each(&mut show);
        self.lock().iter().for_each(|own| show(&own.host));
    }

    /// Logs out of a pool that VMs brought along where that is due; true then.
    pub(super) async fn close_idle(&self, host: &Weak<Host>, now: Instant, looks: Looks) -> bool {
        let Some(pool) = self.over(host, now, looks) else { return false };
        pool.close().await;
        // Not before: who ends this worker meanwhile closes what is here.
        self.lock().retain(|own| !std::ptr::eq(Arc::as_ptr(&own.host), host.as_ptr()));
        true
    }

    /// Marks it as closing where nobody needs it any more.
    fn over(&self, host: &Weak<Host>, now: Instant, looks: Looks) -> Option<Pool> {
        let mut all = self.lock();
        let own = all.iter_mut().find(|own| std::ptr::eq(Arc::as_ptr(&own.host), host.as_ptr()))?;
        if Arc::strong_count(&own.host) > 1 {
            own.idle = None;
            return None;
        }
        let idle = now.saturating_duration_since(*own.idle.get_or_insert(now));
        own.is_closing = is_over(idle, own.settings.orphan_grace, looks);
        own.is_closing.then(|| own.host.guests().pool().clone())
    }

    /// Has all looks end, each with what it is at if that is done `within`.
    pub(super) async fn end_looks(&self, within: Duration) {
        self.ending.send_replace(true);
        let mut looks = std::mem::take(&mut *self.looks());
        let all = async { while looks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(within, all).await;
    }

    pub(super) async fn close(&self) {
        let own: Vec<Own> = self.lock().drain(..).collect();
        let own = own.iter().map(|own| own.host.guests().pool());
        futures::future::join_all(self.pools.values().chain(own).map(Pool::close)).await;
    }
}

/// Whether a pool that no VM has been on for `idle` is closed: once what was left over there is gone, at last given up.
fn is_over(idle: Duration, grace: Duration, looks: Looks) -> bool {
    match looks {
        Looks::Clean | Looks::Failed => idle >= grace,
        Looks::Left => idle >= GIVEN_UP.max(grace),
    }
}

/// `open` are the users of all pools that VMs brought along and that are open.
fn refuse_more<'a>(open: impl Iterator<Item = &'a UserId>, user: &UserId) -> Result<(), XcpngError> {
    let open: Vec<&UserId> = open.collect();
    let theirs = open.iter().filter(|of| **of == user).count();
    let (count, of) = if theirs >= OWN_OF_USER_MOST {
        (theirs, format!("VMs of {user}"))
    } else if open.len() >= OWN_MOST {
        (open.len(), "VMs".to_owned())
    } else {
        return Ok(());
    };
    Err(XcpngError::Refused(format!(
        "this worker has {count} pools open that {of} brought along, and opens no more; wait until those that are not used \
         any more are closed, some minutes, or use the same words in xcpng_config for all VMs of one pool"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_eight_pools_open_and_a_worker_sixty_four() {
        let user = |number: usize| -> UserId { format!("user{number}").parse().unwrap() };
        let told = |open: &[UserId]| refuse_more(open.iter(), &user(0)).map_err(|error| error.to_string());
        let of_one = |count: usize| vec![user(0); count];
        let of_all = |count: usize| (1..=count).map(user).collect::<Vec<_>>();
        assert_eq!(told(&of_one(7)), Ok(()));
        let refused = told(&of_one(8)).unwrap_err();
        assert!(
            refused.contains("8 pools") && refused.contains("user0") && refused.contains("wait"),
            "{refused}"
        );
        assert_eq!(told(&of_all(63)), Ok(()));
        let refused = told(&of_all(64)).unwrap_err();
        assert!(refused.contains("64 pools") && refused.contains("same words"), "{refused}");
    }

    #[test]
    fn an_idle_pool_is_closed_after_its_grace_unless_something_is_left_there() {
        let (grace, soon) = (Duration::from_secs(300), Duration::from_secs(299));
        for looks in [Looks::Clean, Looks::Failed] {
            assert!(is_over(grace, grace, looks) && !is_over(soon, grace, looks), "{looks:?}");
        }
        assert!(!is_over(grace, grace, Looks::Left) && is_over(GIVEN_UP, grace, Looks::Left));
    }
}
