//! The guests of a pool that are VMs of this fleet: found, brought up, taken over, ended.
//!
//! ```text
//!   nothing --clone--> named --claim--> claimed --fit--> complete --start--> running <--> paused, suspended, halted
//!                        \_________________\_______________\____ destroy: power off, VM, disks ____> nothing
//! ```
//!
//! Each step reads what is there before it acts, so that all of it may be done again from any state that a crash or a
//! lost answer left. It knows nothing of cells, and decides neither which generation is right nor who may act.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bioxen_protocol::id::{Generation, VmKey, WorkerId};

pub use self::collecting::{Collected, Collector};
use self::figures::Hosts;
pub use self::record::{Guest, PowerState};
pub use self::snapshots::Snapshot;
use super::deadline::Deadline;
use super::fault::{XcpngError, code};
use super::owner::{Claim, Owner};
use super::pool::Pool;
use super::record::{Ref, references};

mod address;
mod collecting;
mod ending;
mod figures;
mod fitting;
mod making;
mod power;
mod reaching;
mod record;
mod snapshots;

/// How often a step whose outcome is unknown, or that something else is in the way of, is looked at again.
const ATTEMPTS_MOST: u32 = 8;
/// Times the square of the attempt's number: 14 s in all.
const ATTEMPT_DELAY: Duration = Duration::from_millis(100);

/// Our guests on one pool.
#[derive(Debug, Clone)]
pub struct Guests {
    pool: Pool,
    fleet: String,
    worker: WorkerId,
    hosts: Arc<Hosts>,
}

/// A guest that is to be there.
#[derive(Debug, Clone)]
pub struct Order {
    pub key: VmKey,
    pub generation: Generation,
    /// What the guest finds in its xenstore below `vm-data/bioxen/`: its private host key, our public key.
    pub seed: BTreeMap<String, String>,
    /// The guest's public host key, kept on the pool for those who adopt it.
    pub host_key: String,
}

/// A guest that runs, and where it is reached.
#[derive(Debug, Clone)]
pub struct Up {
    pub guest: Guest,
    pub address: std::net::IpAddr,
    /// It was there before, made for an earlier generation.
    pub adopted: bool,
    /// What is left of the time in which it has to answer over SSH.
    pub deadline: Deadline,
}

impl Guests {
    /// Of `fleet`, for this worker.
    #[must_use]
    pub fn new(pool: Pool, fleet: &str, worker: &WorkerId) -> Self {
        Self { pool, fleet: fleet.to_owned(), worker: worker.clone(), hosts: Arc::default() }
    }

    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Brings a VM's guest up: takes over the one that is there, or makes one; starts it and waits for its address.
    /// Waits its turn first, which does not count. What was begun when it fails stays, for the next attempt or the end.
    ///
    /// # Errors
    /// BX018 in its kinds; a later generation has the guest; nothing in time.
    pub async fn bring_up(&self, order: &Order) -> Result<Up, XcpngError> {
        let turn = self.pool.heavy().await?;
        let deadline = Deadline::within(self.pool.settings().vm_creation_timeout);
        let made = self.ensure(order, deadline).await?;
        let adopted = made.owner.as_ref().is_none_or(|owner| owner.made_in != order.generation);
        self.power(&made, PowerState::Running, deadline).await?;
        drop(turn);
        let address = self.address(&made, deadline).await?;
        let guest = self.guest(&made.reference, deadline).await?;
        Ok(Up { guest, address, adopted, deadline })
    }

    /// All guests of a VM, of whatever generation, the one that serves it first. None is no error.
    ///
    /// # Errors
    /// The pool does not answer.
    pub async fn find(
        &self,
        key: &VmKey,
        generation: Generation,
        deadline: Deadline,
    ) -> Result<Vec<Guest>, XcpngError> {
        let name = Owner { fleet: self.fleet.clone(), key: key.clone(), made_in: generation }.name();
        let exact = self.pool.read("VM.get_by_name_label", &[name.as_str().into()], deadline).await?;
        let mut candidates = references(&exact, "VM.get_by_name_label")?;
        candidates.extend(self.told_of(key, deadline).await?);
        candidates.sort();
        candidates.dedup();
        let mut guests = Vec::new();
        for candidate in candidates {
            match self.guest(&candidate, deadline).await {
                Ok(guest) => guests.push(guest),
                Err(error) if error.is(code::HANDLE_INVALID) => {}
                Err(error) => return Err(error),
            }
        }
        guests.retain(|guest| {
            guest.owner.as_ref().is_some_and(|owner| owner.fleet == self.fleet && owner.key == *key)
        });
        // One order for everybody who looks: complete ones first, then by claim; references decide between equals.
        guests.sort_by(|a, b| {
            (b.complete, &b.claim).cmp(&(a.complete, &a.claim)).then_with(|| a.reference.cmp(&b.reference))
        });
        Ok(guests)
    }

    /// Guests of the VM that events told of. A loop that has not begun yet is made up for by reading everything.
    async fn told_of(&self, key: &VmKey, deadline: Deadline) -> Result<Vec<Ref>, XcpngError> {
        let prefix = Owner::prefix(&self.fleet, key);
        if self.pool.seen().knows_all() {
            let told = self.pool.seen().guests();
            return Ok(told
                .into_iter()
                .filter(|(_, guest)| guest.name.starts_with(&prefix))
                .map(|(at, _)| at)
                .collect());
        }
        let all = self.list(deadline).await?;
        Ok(all
            .into_iter()
            .filter(|guest| guest.name.starts_with(&prefix))
            .map(|guest| guest.reference)
            .collect())
    }

    /// All guests of this fleet, snapshots among them, read from the pool.
    ///
    /// # Errors
    /// The pool does not answer.
    pub async fn list(&self, deadline: Deadline) -> Result<Vec<Guest>, XcpngError> {
        let records = self.pool.read("VM.get_all_records", &[], deadline).await?;
        let records = records.as_object().map(|records| records.iter()).into_iter().flatten();
        let prefix = format!("{}{}/", super::owner::NAME_PREFIX, self.fleet);
        let ours = records.filter(|(_, record)| {
            let name = record.get("name_label").and_then(serde_json::Value::as_str);
            name.is_some_and(|name| name.starts_with(&prefix))
        });
        ours.map(|(reference, record)| Guest::of(Ref::new(reference), record)).collect()
    }

    /// One guest as it is now.
    ///
    /// # Errors
    /// HANDLE_INVALID where it is gone; the pool does not answer.
    pub async fn guest(&self, reference: &Ref, deadline: Deadline) -> Result<Guest, XcpngError> {
        let record = self.pool.get("VM.get_record", reference, deadline).await?;
        Guest::of(reference.clone(), &record)
    }

    fn claim(&self, generation: Generation) -> Claim {
        Claim { generation, worker: self.worker.clone() }
    }
}

/// Whether something is worth looking at again, and a pause before that.
async fn again(error: &XcpngError, attempt: u32, deadline: Deadline) -> bool {
    let passing = error.outcome_unknown() || error.passes() || error.is(code::VM_BAD_POWER_STATE);
    if !passing || attempt >= ATTEMPTS_MOST || deadline.passed() {
        return false;
    }
    tracing::debug!("looking again: {error}");
    deadline.pause(ATTEMPT_DELAY * attempt * attempt).await;
    true
}
