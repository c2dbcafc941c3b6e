//! `vm_type: xcpng`: each cell is computed in a guest of its own on an XCP-ng pool, and committed here.
//!
//! ```text
//!   agent --place, adjust, end--> Xcpng --wanted--> keeper, one a VM --XAPI, SSH--> guest
//!     ^                            |                  ^       |
//!     |                          cells --dispatch-----'       |
//!     '----observe (withheld)------'<-------commit------------'
//! ```
//!
//! | file | job |
//! |---|---|
//! | `keeper` | one guest: brought up, asked, paused, ended |
//! | `handle` | what is wanted of a keeper, and how far it is |
//! | `dispatch` | work that is due, handed to keepers |
//! | `telling` | an observation waits until the guest is where its VM is |
//! | `collection` | what is left on the pools and nobody has |
//! | `shown` | who a guest is, and what its host measures of it |
//! | `host` | a pool, and what runs in its guests |
//! | `hosts` | all pools: those of the file, and those that VMs bring along |
//!
//! Cells, pacing and commits are those of `basic`; what a guest computes is the same code, on a cell that the worker sends
//! along. So a guest keeps no state that matters, and nothing advances unless a worker with a lease asks and commits.

mod collection;
mod dispatch;
mod handle;
mod host;
mod hosts;
mod keeper;
mod shown;
mod telling;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bioxen_hypervisor::trace::Trace;
use bioxen_protocol::command::VmType;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::pool::XcpngPool;
use bioxen_protocol::reply::Sample;
use bioxen_protocol::worker::{Desired, DesiredState, LiveVm, Observation, ProcessOrder, QueryExtra};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::dispatch::Dispatch;
use self::handle::{Handle, Wanted, Work};
pub use self::host::Common;
use self::host::Host;
use self::hosts::Hosts;
use self::keeper::Keeper;
use self::telling::Telling;
use super::cells::Cells;
use super::{Backend, Figures, Recording, Standing};
use crate::xcpng::Pool;
use crate::xcpng::config::OwnPools;

/// For how long an ending worker waits until its keepers have let go, and looks at its pools have ended.
const CLOSING: Duration = Duration::from_secs(10);

/// VMs in guests.
#[derive(Debug)]
pub struct Xcpng {
    cells: Cells,
    keepers: Arc<Guarded>,
    hosts: Arc<Hosts>,
    measuring: JoinHandle<()>,
    runtime: tokio::runtime::Handle,
    _dispatch: Dispatch,
}

/// All keepers, and what waits for them before it is told.
#[derive(Debug, Default)]
struct Guarded(Mutex<Keepers>);

#[derive(Debug, Default)]
struct Keepers {
    by_key: HashMap<VmKey, Handle>,
    telling: Telling,
}

impl Keepers {
    /// Whether a guest on that host, with the highest claim on it, is for one of these to keep or to end. That of a VM which
    /// is elsewhere by now is for the leader to judge.
    fn held_on(&self, host: &Arc<Host>) -> impl Fn(&VmKey, Generation) -> bool {
        |key, claimed| self.by_key.get(key).is_some_and(|keeper| keeper.has(host, claimed))
    }
}

impl Guarded {
    fn lock(&self) -> MutexGuard<'_, Keepers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands work to the keeper of a VM; where there is none, nobody holds the VM any more.
    fn give(&self, key: Option<&VmKey>, work: Work) {
        let keepers = self.lock();
        if let Some(keeper) = key.and_then(|key| keepers.by_key.get(key)) {
            keeper.give(work);
        }
    }
}

impl Xcpng {
    /// Begins to serve guests on `pools` and, with `own_pools`, on those that VMs bring along, with quanta of `quantum`. Call in
    /// the runtime that keepers are to run in.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn start(
        pools: BTreeMap<String, Pool>,
        own_pools: Option<OwnPools>,
        quantum: Duration,
        common: Common,
    ) -> std::io::Result<Self> {
        let cells = Cells::elsewhere(VmType::Xcpng, quantum);
        let keepers = Arc::new(Guarded::default());
        let dispatch = Dispatch::start(cells.shared(), &keepers)?;
        let measuring = tokio::spawn(shown::measure(Arc::downgrade(&keepers)));
        Ok(Self {
            cells,
            keepers,
            hosts: Hosts::new(pools, own_pools, common),
            measuring,
            runtime: tokio::runtime::Handle::current(),
            _dispatch: dispatch,
        })
    }

    /// Lets all guests be as they are, and logs out of the pools.
    pub async fn close(&self) {
        let handles: Vec<Handle> = self.keepers.lock().by_key.drain().map(|(_, handle)| handle).collect();
        handles.iter().for_each(|handle| handle.want(Wanted::LetGo));
        let ended = futures::future::join_all(handles.iter().map(Handle::ended));
        let _ = tokio::join!(tokio::time::timeout(CLOSING, ended), self.hosts.end_looks(CLOSING));
        self.hosts.close().await;
        // Not before: whoever is ended while it logs in leaves a session behind.
        self.measuring.abort();
    }
}

fn power_of(state: DesiredState) -> Option<Wanted> {
    match state {
        DesiredState::Running => Some(Wanted::Running),
        DesiredState::Paused => Some(Wanted::Paused),
        // Its cell's end comes first.
        DesiredState::Stopped | DesiredState::Absent => None,
    }
}

impl Backend for Xcpng {
    fn vm_type(&self) -> VmType {
        self.cells.vm_type()
    }

    fn fleet(&self, fleet: &str) {
        self.hosts.learn(fleet);
    }

    fn place(&self, desired: Desired) {
        let pool = desired.order.as_deref().and_then(|order| order.pool.as_ref());
        let resting = match pool {
            Some(XcpngPool::Own(_)) => Wanted::Gone,
            _ => Wanted::Halted,
        };
        let host = self.hosts.of(&desired.key, pool);
        let mut keepers = self.keepers.lock();
        let before = keepers.by_key.remove(&desired.key);
        if let Some(before) = &before {
            before.want(Wanted::LetGo);
        }
        keepers.telling.forget(&desired.key);
        let (key, generation, shared) = (desired.key.clone(), desired.generation, self.cells.shared());
        let handle = Keeper::start(key, generation, (host, resting), shared, before, &self.runtime);
        if let Some(wanted) = power_of(desired.state) {
            handle.want(wanted);
        }
        keepers.by_key.insert(desired.key.clone(), handle);
        self.hosts.each(|host| host.looked().forget(&desired.key));
        drop(keepers);
        self.cells.place(desired);
    }

    fn adjust(&self, desired: &Desired) {
        if let Some(wanted) = power_of(desired.state)
            && let Some(keeper) = self.keepers.lock().by_key.get(&desired.key)
        {
            keeper.want(wanted);
        }
        self.cells.adjust(desired);
    }

    fn freeze(&self) {
        self.cells.freeze();
    }

    /// Its guest stays as it is: another placement has it by now, or will.
    fn forget(&self, key: &VmKey) {
        let mut keepers = self.keepers.lock();
        keepers.telling.forget(key);
        if let Some(keeper) = keepers.by_key.remove(key) {
            keeper.want(Wanted::LetGo);
        }
        drop(keepers);
        self.cells.forget(key);
    }

    fn destroy(&self, key: &VmKey, generation: Generation) {
        let mut keepers = self.keepers.lock();
        let Keepers { by_key, telling } = &mut *keepers;
        if let Some(keeper) = by_key.get(key) {
            keeper.want(Wanted::Gone);
            telling.absent(key, generation);
        }
        drop(keepers);
        self.cells.forget(key);
    }

    fn is_ending(&self, key: &VmKey, generation: Generation) -> bool {
        self.keepers.lock().telling.is_ending(key, generation)
    }

    fn pools(&self) -> Vec<String> {
        self.hosts.names()
    }

    fn own_pools(&self) -> Option<String> {
        self.hosts.opens()
    }

    fn lease(&self, until: Duration) {
        self.cells.lease(until);
    }

    fn observe(&self) -> Vec<Observation> {
        let told = self.cells.observe();
        self.keepers.lock().tell(told)
    }

    fn changed(&self) -> &Notify {
        self.cells.changed()
    }

    fn query(&self, key: &VmKey, with: QueryExtra) -> Option<LiveVm> {
        let live = self.cells.query(key, with)?;
        let guest = self.keepers.lock().by_key.get(key).and_then(|keeper| keeper.shown.status());
        Some(LiveVm { guest, ..live })
    }

    fn execute(&self, key: &VmKey, generation: Generation, process: ProcessOrder) {
        self.cells.execute(key, generation, process);
    }

    fn take_samples(&self, time_ms: u64) -> Vec<(VmKey, Sample)> {
        self.cells.take_samples(time_ms)
    }

    fn ended(&self, last: &Observation) -> Option<LiveVm> {
        self.cells.ended(last)
    }

    fn recordings(&self) -> Vec<Recording> {
        self.cells.recordings()
    }

    fn stored(&self, key: &VmKey, generation: Generation) {
        self.cells.stored(key, generation);
    }

    fn rows(&self, key: &VmKey, row: usize) -> Option<(usize, Trace)> {
        self.cells.rows(key, row)
    }

    fn standing(&self) -> Vec<Standing> {
        self.cells.standing()
    }

    fn checkpoint(&self, key: &VmKey, generation: Generation) -> Option<(Standing, Vec<u8>)> {
        self.cells.checkpoint(key, generation)
    }

    fn guests(&self) -> Vec<(VmKey, Generation)> {
        let keepers = self.keepers.lock();
        let mut found = BTreeSet::new();
        self.hosts.each(|host| found.extend(host.looked().found(keepers.held_on(host))));
        found.into_iter().collect()
    }

    fn unowned(&self, vms: &[(VmKey, Generation)]) {
        let keepers = self.keepers.lock();
        self.hosts.each(|host| host.looked().judged(vms, keepers.held_on(host)));
    }

    fn figures(&self) -> Figures {
        self.cells.figures()
    }

    fn broken(&self) -> Option<String> {
        self.cells.broken()
    }
}
