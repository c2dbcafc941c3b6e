//! Snapshots of a guest: taken under a name of ours, gone back to, destroyed with their disks.

use super::super::deadline::Deadline;
use super::super::fault::XcpngError;
use super::super::owner::SNAPSHOT;
use super::super::record::{Ref, reference, references};
use super::{Guest, Guests, again};

/// A snapshot on the pool.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub reference: Ref,
    pub name: String,
}

impl Guests {
    /// Takes a snapshot of a guest under a label of the caller's, once: asked again with the same label, it is the same.
    ///
    /// # Errors
    /// The pool refuses, or it is not done by the deadline.
    pub async fn snapshot(
        &self,
        guest: &Guest,
        label: &str,
        deadline: Deadline,
    ) -> Result<Snapshot, XcpngError> {
        let name = format!("{}{SNAPSHOT}{label}", guest.name);
        let _turn = self.pool.heavy().await?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            if let Some(found) = self.snapshot_named(&name, deadline).await? {
                return Ok(found);
            }
            let params = [(&guest.reference).into(), name.as_str().into()];
            match self.pool.run("VM.snapshot", &params, deadline).await {
                Ok(taken) => return Ok(Snapshot { reference: reference(&taken, "VM.snapshot")?, name }),
                Err(error) if again(&error, attempt, deadline).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sets a guest back to a snapshot of it: disks, and memory where the snapshot has it. It is Halted or Suspended then.
    ///
    /// # Errors
    /// As [`Guests::snapshot`].
    pub async fn revert(&self, snapshot: &Snapshot, deadline: Deadline) -> Result<(), XcpngError> {
        let _turn = self.pool.heavy().await?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            // Going back twice ends where going back once does.
            match self.pool.run("VM.revert", &[(&snapshot.reference).into()], deadline).await {
                Ok(_) => return Ok(()),
                Err(error) if again(&error, attempt, deadline).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Destroys a snapshot and its disks.
    ///
    /// # Errors
    /// As [`Guests::snapshot`].
    pub async fn destroy_snapshot(&self, snapshot: &Snapshot, deadline: Deadline) -> Result<(), XcpngError> {
        self.destroy_guest(&snapshot.reference, None, deadline).await
    }

    async fn snapshot_named(&self, name: &str, deadline: Deadline) -> Result<Option<Snapshot>, XcpngError> {
        let found = self.pool.read("VM.get_by_name_label", &[name.into()], deadline).await?;
        let found = references(&found, "VM.get_by_name_label")?.into_iter().min();
        Ok(found.map(|reference| Snapshot { reference, name: name.to_owned() }))
    }
}
