//! What a fresh clone needs before it may be started: disks, memory, processors, one network, its keys, its marks.
//!
//! Everything is compared with what is there, so fitting a complete guest again changes nothing.

use serde_json::{Value, json};

use super::super::deadline::Deadline;
use super::super::fault::{XcpngError, code};
use super::super::owner;
use super::super::record::{Fields, Ref};
use super::{Guest, Guests, Order, PowerState};

/// XAPI takes only keys below `vm-data/` into a guest's xenstore.
const XENSTORE_FOLDER: &str = "vm-data/bioxen/";
/// The first network interface of a guest.
const DEVICE: &str = "0";

impl Guests {
    /// Brings a claimed guest to where it may be started, marks it complete, and reads it again. A guest that is
    /// complete is left as it is: its size may have been changed by hand, and what runs cannot be fitted.
    pub(super) async fn fit(
        &self,
        guest: &Ref,
        order: &Order,
        deadline: Deadline,
    ) -> Result<Guest, XcpngError> {
        let mut guest = self.guest(guest, deadline).await?;
        if guest.complete {
            return Ok(guest);
        }
        if guest.power != PowerState::Halted {
            let found = guest.power.to_string();
            return Err(XcpngError::State {
                guest: guest.shown(),
                found,
                expected: "Halted before it was started",
            });
        }
        if guest.is_template {
            self.pool.run("VM.provision", &[(&guest.reference).into()], deadline).await?;
            guest = self.guest(&guest.reference, deadline).await?;
        }
        self.fit_size(&guest, deadline).await?;
        self.fit_network(&guest, deadline).await?;
        for (name, value) in &order.seed {
            self.put_xenstore(&guest, &format!("{XENSTORE_FOLDER}{name}"), value, deadline).await?;
        }
        for disk in self.disks(&guest, deadline).await? {
            self.mark_disk(&disk, deadline).await?;
        }
        self.put_other_config(&guest, owner::FLEET, &self.fleet, deadline).await?;
        self.put_other_config(&guest, owner::HOST_KEY, &order.host_key, deadline).await?;
        self.put_other_config(&guest, owner::VM, &order.key.to_string(), deadline).await?;
        self.guest(&guest.reference, deadline).await
    }

    async fn fit_size(&self, guest: &Guest, deadline: Deadline) -> Result<(), XcpngError> {
        let settings = self.pool.settings();
        let at = Value::from(&guest.reference);
        let bytes = i64::try_from(settings.vm_memory_bytes).unwrap_or(i64::MAX);
        if guest.memory_bytes != [bytes; 4] {
            let params = [at.clone(), bytes.into(), bytes.into(), bytes.into(), bytes.into()];
            self.pool.call("VM.set_memory_limits", &params, deadline).await?;
        }
        let vcpus = i64::from(settings.vm_vcpus);
        let mut steps = Vec::new();
        if guest.vcpus_most != vcpus {
            steps.push("VM.set_VCPUs_max");
        }
        if guest.vcpus_at_startup != vcpus {
            steps.push("VM.set_VCPUs_at_startup");
        }
        // At no moment may more start than there are at most.
        if guest.vcpus_most > vcpus {
            steps.reverse();
        }
        for step in steps {
            self.pool.call(step, &[at.clone(), vcpus.into()], deadline).await?;
        }
        Ok(())
    }

    /// One interface, on the network of the settings, or else where the template's first one is; what the template brought
    /// beside it goes.
    async fn fit_network(&self, guest: &Guest, deadline: Deadline) -> Result<(), XcpngError> {
        let mut interfaces = Vec::new();
        for vif in &guest.vifs {
            let record = self.pool.get("VIF.get_record", vif, deadline).await?;
            let fields = Fields::new(&record, "VIF.get_record");
            let device = fields.text("device")?.to_owned();
            interfaces.push((device.parse().unwrap_or(u32::MAX), device, fields.reference("network")?, vif));
        }
        interfaces.sort_by_key(|(number, ..)| *number);
        let first = || interfaces.first().and_then(|(_, _, network, _)| network.clone());
        let network = self.network(deadline).await?.or_else(first).ok_or_else(|| XcpngError::Missing {
            kind: "an interface of the template",
            name: self.pool.settings().template_name.clone(),
            field: "network_uuid",
        })?;
        let mut has_ours = false;
        for (_, device, at, vif) in &interfaces {
            let fits = at.as_ref() == Some(&network) && device == DEVICE;
            if fits && !has_ours {
                has_ours = true;
            } else {
                gone_is_fine(self.pool.call("VIF.destroy", &[(*vif).into()], deadline).await)?;
            }
        }
        if !has_ours {
            // MAC "" lets the pool choose one; two clones of one template must not share theirs.
            let vif = json!({
                "device": DEVICE,
                "network": network.as_str(),
                "VM": guest.reference.as_str(),
                "MAC": "",
                "MTU": 1500,
                "other_config": {},
                "qos_algorithm_type": "",
                "qos_algorithm_params": {},
            });
            self.pool.call("VIF.create", &[vif], deadline).await?;
        }
        Ok(())
    }

    /// The disks that are the guest's own: no CDs, no empty drives.
    pub(super) async fn disks(&self, guest: &Guest, deadline: Deadline) -> Result<Vec<Ref>, XcpngError> {
        let mut disks = Vec::new();
        for vbd in &guest.vbds {
            let record = match self.pool.get("VBD.get_record", vbd, deadline).await {
                Err(error) if error.is(code::HANDLE_INVALID) => continue,
                record => record?,
            };
            let fields = Fields::new(&record, "VBD.get_record");
            if fields.text("type")? == "Disk" && !fields.truth("empty")? {
                disks.extend(fields.reference("VDI")?);
            }
        }
        Ok(disks)
    }

    /// So that a disk whose guest is gone is known for ours.
    pub(super) async fn mark_disk(&self, disk: &Ref, deadline: Deadline) -> Result<(), XcpngError> {
        let record = self.pool.get("VDI.get_record", disk, deadline).await?;
        let marks = Fields::new(&record, "VDI.get_record").map("other_config")?;
        self.put("VDI", "other_config", disk, marks.get(owner::FLEET), (owner::FLEET, &self.fleet), deadline)
            .await
    }

    pub(super) async fn put_other_config(
        &self,
        guest: &Guest,
        key: &str,
        value: &str,
        deadline: Deadline,
    ) -> Result<(), XcpngError> {
        let before = guest.other_config.get(key);
        self.put("VM", "other_config", &guest.reference, before, (key, value), deadline).await
    }

    async fn put_xenstore(
        &self,
        guest: &Guest,
        key: &str,
        value: &str,
        deadline: Deadline,
    ) -> Result<(), XcpngError> {
        let before = guest.xenstore.get(key);
        self.put("VM", "xenstore_data", &guest.reference, before, (key, value), deadline).await
    }

    /// One entry of a map. XAPI adds and removes but does not replace.
    async fn put(
        &self,
        class: &str,
        map: &str,
        at: &Ref,
        before: Option<&String>,
        (key, value): (&str, &str),
        deadline: Deadline,
    ) -> Result<(), XcpngError> {
        if before.is_some_and(|before| before == value) {
            return Ok(());
        }
        if before.is_some() {
            let remove = format!("{class}.remove_from_{map}");
            self.pool.call(&remove, &[at.into(), key.into()], deadline).await?;
        }
        let add = format!("{class}.add_to_{map}");
        self.pool.call(&add, &[at.into(), key.into(), value.into()], deadline).await?;
        Ok(())
    }
}

pub(super) fn gone_is_fine(answer: Result<Value, XcpngError>) -> Result<(), XcpngError> {
    match answer {
        Err(error) if !error.is(code::HANDLE_INVALID) => Err(error),
        _ => Ok(()),
    }
}
