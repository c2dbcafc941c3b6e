//! The end of a guest, with its disks and snapshots: nothing of it stays on the pool.
//!
//! XAPI's `VM.destroy` leaves disks behind, so they are looked up, and marked for ours, before it.

use std::collections::BTreeSet;
use std::time::Duration;

use bioxen_protocol::id::{Generation, VmKey};

use super::super::deadline::Deadline;
use super::super::fault::{XcpngError, code};
use super::super::record::{Fields, Ref};
use super::fitting::gone_is_fine;
use super::{Guest, Guests, PowerState, again};

const DESTROY: Duration = Duration::from_secs(120);
/// A disk is let go of a while after the guest's power is off.
const IN_USE_DELAY: Duration = Duration::from_secs(5);
const IN_USE_TIMES: u32 = 10;

impl Guests {
    /// Destroys all guests of a VM, and how many there were.
    ///
    /// # Errors
    /// A later generation has one of them; the pool refuses, or it is not done within two minutes.
    pub async fn destroy(&self, key: &VmKey, generation: Generation) -> Result<usize, XcpngError> {
        let deadline = Deadline::within(DESTROY);
        let found = self.find(key, generation, deadline).await?;
        found.iter().try_for_each(|guest| refuse_later(guest, Some(generation)))?;
        for guest in &found {
            self.destroy_guest(&guest.reference, Some(generation), deadline).await?;
        }
        Ok(found.len())
    }

    /// Destroys one guest or snapshot with its disks, a guest unless a generation later than `latest` claimed it; one that
    /// is gone already is no error.
    pub(super) async fn destroy_guest(
        &self,
        guest: &Ref,
        latest: Option<Generation>,
        deadline: Deadline,
    ) -> Result<(), XcpngError> {
        // Kept over all attempts: once the guest is gone nothing says any more which disks it had.
        let mut disks = BTreeSet::new();
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.destroy_vm(guest, latest, &mut disks, deadline).await {
                Err(error) if again(&error, attempt, deadline).await => {}
                done => break done?,
            }
        }
        for disk in &disks {
            self.destroy_disk(disk, deadline).await?;
        }
        Ok(())
    }

    /// Ends a guest and its snapshots, and notes the disks that they leave. Whose it is is read before it loses its power,
    /// and again before it is destroyed, for all in between takes a while.
    async fn destroy_vm(
        &self,
        guest: &Ref,
        latest: Option<Generation>,
        disks: &mut BTreeSet<Ref>,
        deadline: Deadline,
    ) -> Result<(), XcpngError> {
        let Some(guest) = self.unclaimed(guest, latest, deadline).await? else { return Ok(()) };
        if !guest.is_snapshot && !guest.is_template && guest.power != PowerState::Halted {
            self.power(&guest, PowerState::Halted, deadline).await?;
        }
        let mut gone = self.snapshots_of(&guest, deadline).await?;
        gone.push(guest.clone());
        for one in &gone {
            disks.extend(self.disks(one, deadline).await?);
            disks.extend(one.suspend_vdi.clone());
        }
        for disk in disks.iter() {
            match self.mark_disk(disk, deadline).await {
                Err(error) if !error.is(code::HANDLE_INVALID) => return Err(error),
                _ => {}
            }
        }
        self.unclaimed(&guest.reference, latest, deadline).await?;
        // Snapshots come first: once the guest is gone nothing leads to them.
        for one in &gone {
            gone_is_fine(self.pool.run("VM.destroy", &[(&one.reference).into()], deadline).await)?;
        }
        Ok(())
    }

    /// A guest as it is now; none where it is gone.
    async fn unclaimed(
        &self,
        guest: &Ref,
        latest: Option<Generation>,
        deadline: Deadline,
    ) -> Result<Option<Guest>, XcpngError> {
        let guest = match self.guest(guest, deadline).await {
            Err(error) if error.is(code::HANDLE_INVALID) => return Ok(None),
            guest => guest?,
        };
        refuse_later(&guest, latest)?;
        Ok(Some(guest))
    }

    async fn snapshots_of(&self, guest: &Guest, deadline: Deadline) -> Result<Vec<Guest>, XcpngError> {
        let mut snapshots = Vec::new();
        for reference in &guest.snapshots {
            match self.guest(reference, deadline).await {
                Ok(snapshot) => snapshots.push(snapshot),
                Err(error) if error.is(code::HANDLE_INVALID) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(snapshots)
    }

    /// Destroys a disk that no VM has any more.
    pub(super) async fn destroy_disk(&self, disk: &Ref, deadline: Deadline) -> Result<(), XcpngError> {
        let mut attempt = 0;
        for _ in 0..IN_USE_TIMES {
            attempt += 1;
            let record = match self.pool.get("VDI.get_record", disk, deadline).await {
                Err(error) if error.is(code::HANDLE_INVALID) => return Ok(()),
                record => record?,
            };
            if !Fields::new(&record, "VDI.get_record").references("VBDs")?.is_empty() {
                // Somebody attached it to another VM: it is theirs now.
                tracing::info!(disk.reference = %disk, "a disk is left, another VM has it");
                return Ok(());
            }
            match self.pool.run("VDI.destroy", &[disk.into()], deadline).await {
                Err(error) if error.is(code::VDI_IN_USE) && !deadline.passed() => {
                    deadline.pause(IN_USE_DELAY).await;
                }
                Err(error) if again(&error, attempt, deadline).await => {}
                done => return gone_is_fine(done),
            }
        }
        Err(deadline.missed(format!("letting go of the disk {disk}")))
    }
}

/// A guest that a later generation claimed is not ours to end.
fn refuse_later(guest: &Guest, latest: Option<Generation>) -> Result<(), XcpngError> {
    match (guest.served(), latest) {
        (Some((vm, theirs)), Some(ours)) if theirs > ours => Err(XcpngError::Superseded { vm, ours, theirs }),
        _ => Ok(()),
    }
}
