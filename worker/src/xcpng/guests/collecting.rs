//! What is left over on a pool and has our marks: guests and snapshots of VMs that nobody has, disks without a guest.
//!
//! Nothing is collected the first time that it is seen: what is being made looks just like what was left. Whether a
//! guest is somebody's is the caller's to say; who claimed it after the caller was asked keeps it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bioxen_protocol::id::{Generation, UserId, VmKey};
use tokio::time::Instant;

use super::super::deadline::Deadline;
use super::super::fault::XcpngError;
use super::super::owner;
use super::super::record::Ref;
use super::{Guest, Guests};

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    pub guests: usize,
    pub disks: usize,
    /// Seen without an owner, and left because it has not been for long.
    pub waiting: usize,
    /// What guests serve that were seen and left; of one that was claimed meanwhile the next look says it.
    pub left: Vec<(VmKey, Generation)>,
}

/// Remembers since when something has been without an owner.
#[derive(Debug)]
pub struct Collector {
    grace: Duration,
    only: Option<UserId>,
    since: BTreeMap<Ref, Instant>,
}

impl Collector {
    /// Takes what has been without an owner for `grace`, which must be longer than making a guest takes.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self { grace, only: None, since: BTreeMap::new() }
    }

    /// Regards guests of this user's VMs alone; disks without a guest say nothing of whose they were.
    #[must_use]
    pub fn only(self, user: Option<UserId>) -> Self {
        Self { only: user, ..self }
    }

    fn regards(&self, fleet: &str, guest: &str) -> bool {
        self.only.as_ref().is_none_or(|user| owner::is_of(fleet, user, guest))
    }

    /// Looks over the pool once. `is_owned` is asked with the VM of each guest of this fleet and the generation that it
    /// serves, or that it was made for where it is not finished.
    ///
    /// # Errors
    /// The pool does not answer, or refuses; what was not reached is for the next time.
    pub async fn collect(
        &mut self,
        guests: &Guests,
        is_owned: impl Fn(&VmKey, Generation) -> bool,
        deadline: Deadline,
    ) -> Result<Collected, XcpngError> {
        let mut collected = Collected::default();
        let mut all = guests.list(deadline).await?;
        all.retain(|guest| self.regards(&guests.fleet, &guest.name));
        let (owned, nobodys): (Vec<&Guest>, Vec<&Guest>) =
            all.iter().partition(|guest| has_owner(guest, &all, &is_owned));
        collected.left.extend(owned.into_iter().filter_map(Guest::served));
        let disks = guests.loose_disks(deadline).await?;
        let now: BTreeSet<&Ref> = nobodys.iter().map(|guest| &guest.reference).chain(&disks).collect();
        self.since.retain(|reference, _| now.contains(reference));
        for guest in nobodys {
            // The end of those before it took a while.
            if has_owner(guest, &all, &is_owned) {
                collected.left.extend(guest.served());
                continue;
            }
            if !self.is_due(&guest.reference) {
                collected.waiting += 1;
                collected.left.extend(guest.served());
                continue;
            }
            let served = guest.served().map(|(_, generation)| generation);
            match guests.destroy_guest(&guest.reference, served, deadline).await {
                Err(error @ XcpngError::Superseded { .. }) => {
                    tracing::info!(guest.name = guest.name, "{error}");
                }
                done => {
                    done?;
                    tracing::info!(guest.name = guest.name, "a guest that nobody has was destroyed");
                    collected.guests += 1;
                }
            }
        }
        for disk in &disks {
            if !self.is_due(disk) {
                collected.waiting += 1;
                continue;
            }
            guests.destroy_disk(disk, deadline).await?;
            collected.disks += 1;
        }
        Ok(collected)
    }

    fn is_due(&mut self, reference: &Ref) -> bool {
        let now = Instant::now();
        let since = *self.since.entry(reference.clone()).or_insert(now);
        now.duration_since(since) >= self.grace
    }
}

/// A snapshot is its guest's. Of several guests of a VM only the one that serves it has an owner.
fn has_owner(guest: &Guest, all: &[Guest], is_owned: &impl Fn(&VmKey, Generation) -> bool) -> bool {
    if guest.is_snapshot {
        return guest.snapshot_of.as_ref().is_some_and(|of| all.iter().any(|other| other.reference == *of));
    }
    // A name of ours that says nothing more is somebody's own doing.
    let Some(own) = &guest.owner else { return true };
    let generation = guest.claim.as_ref().map_or(own.made_in, |claim| claim.generation);
    let rival = |other: &&Guest| {
        !other.is_snapshot
            && other.owner.as_ref().is_some_and(|owner| owner.key == own.key)
            && (other.complete, &other.claim, std::cmp::Reverse(&other.reference))
                > (guest.complete, &guest.claim, std::cmp::Reverse(&guest.reference))
    };
    is_owned(&own.key, generation) && !all.iter().any(|other| rival(&other))
}

impl Guests {
    /// Disks with this fleet's mark that no VM has.
    async fn loose_disks(&self, deadline: Deadline) -> Result<Vec<Ref>, XcpngError> {
        let all = self.pool.read("VDI.get_all_records", &[], deadline).await?;
        let all = all.as_object().map(|all| all.iter()).into_iter().flatten();
        let loose = all.filter(|(_, record)| {
            let mark = record.get("other_config").and_then(|marks| marks.get(owner::FLEET));
            let vbds = record.get("VBDs").and_then(serde_json::Value::as_array);
            mark.and_then(serde_json::Value::as_str) == Some(self.fleet.as_str())
                && vbds.is_some_and(Vec::is_empty)
        });
        Ok(loose.map(|(reference, _)| Ref::new(reference)).collect())
    }
}
