//! A guest for a VM: the one that is there, or a new clone of the template; never two, whatever answer is lost.

use super::super::config::is_uuid;
use super::super::deadline::Deadline;
use super::super::fault::{XcpngError, code};
use super::super::owner::{self, Owner};
use super::super::record::{Fields, Ref, reference, references};
use super::{Guest, Guests, Order, again};

impl Guests {
    /// The VM's guest, claimed for the order's generation and complete.
    pub(super) async fn ensure(&self, order: &Order, deadline: Deadline) -> Result<Guest, XcpngError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.ensure_once(order, deadline).await {
                Err(error) if again(&error, attempt, deadline).await => {}
                guest => return guest,
            }
        }
    }

    async fn ensure_once(&self, order: &Order, deadline: Deadline) -> Result<Guest, XcpngError> {
        let found = self.find(&order.key, order.generation, deadline).await?;
        refuse_superseded(&found, order)?;
        let ours = |guest: &&Guest| {
            guest.complete || guest.owner.as_ref().is_some_and(|owner| owner.made_in == order.generation)
        };
        let guest = match found.iter().find(ours) {
            Some(guest) => guest.reference.clone(),
            None => self.clone_template(order, deadline).await?,
        };
        self.claim_guest(&guest, order, deadline).await?;
        self.fit(&guest, order, deadline).await
    }

    /// Adds our claim and reads what stands then: whoever claimed with a higher generation has the guest.
    async fn claim_guest(&self, guest: &Ref, order: &Order, deadline: Deadline) -> Result<(), XcpngError> {
        let claim = self.claim(order.generation);
        let before = self.guest(guest, deadline).await?;
        if before.claim.as_ref() != Some(&claim) {
            let (key, value) = claim.entry();
            self.put_other_config(&before, &key, &value, deadline).await?;
        }
        let after = self.guest(guest, deadline).await?;
        refuse_superseded(std::slice::from_ref(&after), order)?;
        Ok(())
    }

    /// Clones the template under the name that says whose the clone is. Where the answer is lost, what the template was
    /// busy with then is waited for before anybody looks whether the clone is there.
    async fn clone_template(&self, order: &Order, deadline: Deadline) -> Result<Ref, XcpngError> {
        let template = self.template(deadline).await?;
        let owner = Owner { fleet: self.fleet.clone(), key: order.key.clone(), made_in: order.generation };
        let copied_to = self.other_repository(&template, deadline).await?;
        let mut params = vec![(&template.reference).into(), owner.name().into()];
        let method = match &copied_to {
            Some(repository) => {
                params.push(repository.into());
                "VM.copy"
            }
            None => "VM.clone",
        };
        match self.pool.run(method, &params, deadline).await {
            Ok(clone) => reference(&clone, method),
            Err(error) if error.outcome_unknown() => {
                let busy = self.guest(&template.reference, deadline).await?.operations;
                for task in busy {
                    // It may be somebody else's; waiting for it costs a moment.
                    self.pool.task_end(&task, method, deadline).await?;
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The template of the settings, by name or UUID.
    ///
    /// # Errors
    /// None, or more than one.
    pub(crate) async fn template(&self, deadline: Deadline) -> Result<Guest, XcpngError> {
        const FIELD: &str = "template_name";
        let name = &self.pool.settings().template_name;
        let found = self.named("VM", "template", FIELD, name, deadline).await?;
        let mut templates = Vec::new();
        for reference in found {
            let guest = self.guest(&reference, deadline).await?;
            if guest.is_template && !guest.is_snapshot {
                templates.push(guest);
            }
        }
        match templates.len() {
            1 if owner::ours(&templates[0].other_config).next().is_some() => Err(XcpngError::State {
                guest: name.clone(),
                found: "marked as a guest of a fleet, so that its clones would pass for finished ones"
                    .to_owned(),
                expected: "a template without keys bioxen: in other_config",
            }),
            1 => Ok(templates.remove(0)),
            0 => Err(XcpngError::Missing { kind: "the template", name: name.clone(), field: FIELD }),
            count => Err(XcpngError::Ambiguous { kind: "template", name: name.clone(), field: FIELD, count }),
        }
    }

    /// The repository that disks are to be copied to; none where the template's are there already, or none is set.
    async fn other_repository(
        &self,
        template: &Guest,
        deadline: Deadline,
    ) -> Result<Option<Ref>, XcpngError> {
        let Some(repository) = self.repository(deadline).await? else { return Ok(None) };
        for disk in self.disks(template, deadline).await? {
            let record = self.pool.get("VDI.get_record", &disk, deadline).await?;
            if Fields::new(&record, "VDI.get_record").reference("SR")?.as_ref() != Some(&repository) {
                return Ok(Some(repository));
            }
        }
        Ok(None)
    }

    /// The storage repository of the settings, where one is set.
    ///
    /// # Errors
    /// None, or more than one.
    pub(crate) async fn repository(&self, deadline: Deadline) -> Result<Option<Ref>, XcpngError> {
        const FIELD: &str = "storage_repository";
        let Some(name) = &self.pool.settings().storage_repository else { return Ok(None) };
        let mut found = self.named("SR", "storage repository", FIELD, name, deadline).await?;
        match found.len() {
            1 => Ok(found.pop()),
            0 => {
                Err(XcpngError::Missing { kind: "the storage repository", name: name.clone(), field: FIELD })
            }
            count => Err(XcpngError::Ambiguous {
                kind: "storage repository",
                name: name.clone(),
                field: FIELD,
                count,
            }),
        }
    }

    /// The network of the settings, where they have one.
    ///
    /// # Errors
    /// The pool does not have it.
    pub(crate) async fn network(&self, deadline: Deadline) -> Result<Option<Ref>, XcpngError> {
        const FIELD: &str = "network_uuid";
        let Some(uuid) = &self.pool.settings().network_uuid else { return Ok(None) };
        let mut found = self.named("network", "the network", FIELD, uuid, deadline).await?;
        found.pop().map(Some).ok_or_else(|| XcpngError::Missing {
            kind: "the network",
            name: uuid.clone(),
            field: FIELD,
        })
    }

    /// By UUID where it is one, else by name.
    async fn named(
        &self,
        class: &str,
        kind: &'static str,
        field: &'static str,
        name: &str,
        deadline: Deadline,
    ) -> Result<Vec<Ref>, XcpngError> {
        if !is_uuid(name) {
            let method = format!("{class}.get_by_name_label");
            return references(&self.pool.read(&method, &[name.into()], deadline).await?, &method);
        }
        let method = format!("{class}.get_by_uuid");
        match self.pool.read(&method, &[name.into()], deadline).await {
            Ok(found) => Ok(vec![reference(&found, &method)?]),
            Err(error) if error.is(code::UUID_INVALID) || error.is(code::HANDLE_INVALID) => {
                Err(XcpngError::Missing { kind, name: name.to_owned(), field })
            }
            Err(error) => Err(error),
        }
    }
}

fn refuse_superseded(guests: &[Guest], order: &Order) -> Result<(), XcpngError> {
    let highest = guests.iter().filter_map(|guest| guest.claim.as_ref()).map(|claim| claim.generation).max();
    match highest {
        Some(theirs) if theirs > order.generation => {
            Err(XcpngError::Superseded { vm: order.key.clone(), ours: order.generation, theirs })
        }
        _ => Ok(()),
    }
}
