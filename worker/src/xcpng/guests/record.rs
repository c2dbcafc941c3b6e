//! A guest as its record on the pool has it.

use std::collections::BTreeMap;
use std::fmt;

use bioxen_protocol::id::{Generation, VmKey};
use serde_json::Value;

use super::super::fault::XcpngError;
use super::super::owner::{self, Claim, Owner};
use super::super::record::{Fields, Ref};

/// `VM.power_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerState {
    Halted,
    Paused,
    Running,
    Suspended,
}

impl PowerState {
    const ALL: [Self; 4] = [Self::Halted, Self::Paused, Self::Running, Self::Suspended];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Halted => "Halted",
            Self::Paused => "Paused",
            Self::Running => "Running",
            Self::Suspended => "Suspended",
        }
    }

    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for PowerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A guest, or a snapshot of one, when it was read.
#[derive(Debug, Clone)]
pub struct Guest {
    pub reference: Ref,
    pub uuid: String,
    pub name: String,
    /// None where its name is not one of ours (a snapshot's).
    pub owner: Option<Owner>,
    pub power: PowerState,
    /// It was fitted with everything and may be started.
    pub complete: bool,
    /// The highest generation that claimed it.
    pub claim: Option<Claim>,
    /// Its public host key.
    pub host_key: Option<String>,
    pub(crate) is_template: bool,
    pub(crate) snapshot_of: Option<Ref>,
    pub(crate) is_snapshot: bool,
    /// Tasks that something is being done with it in.
    pub(crate) operations: Vec<Ref>,
    pub(crate) other_config: BTreeMap<String, String>,
    pub(crate) xenstore: BTreeMap<String, String>,
    pub(crate) memory_bytes: [i64; 4],
    pub(crate) vcpus_most: i64,
    pub(crate) vcpus_at_startup: i64,
    pub(crate) vifs: Vec<Ref>,
    pub(crate) vbds: Vec<Ref>,
    pub(crate) snapshots: Vec<Ref>,
    pub(crate) suspend_vdi: Option<Ref>,
    pub(crate) guest_metrics: Option<Ref>,
}

impl Guest {
    pub(crate) fn of(reference: Ref, record: &Value) -> Result<Self, XcpngError> {
        let fields = Fields::new(record, "VM.get_record");
        let name = fields.text("name_label")?;
        let other_config = fields.map("other_config")?;
        let power = fields.text("power_state")?;
        let power = PowerState::of(power).ok_or_else(|| XcpngError::State {
            guest: name.to_owned(),
            found: power.to_owned(),
            expected: "Halted, Paused, Running or Suspended",
        })?;
        let memory = ["memory_static_min", "memory_static_max", "memory_dynamic_min", "memory_dynamic_max"];
        let mut memory_bytes = [0; 4];
        for (bytes, field) in memory_bytes.iter_mut().zip(memory) {
            *bytes = fields.integer(field)?;
        }
        let operations = fields.map("current_operations")?;
        Ok(Self {
            reference,
            uuid: fields.text("uuid")?.to_owned(),
            owner: Owner::of(name),
            name: name.to_owned(),
            power,
            complete: other_config.contains_key(owner::VM),
            claim: Claim::highest(&other_config),
            host_key: other_config.get(owner::HOST_KEY).cloned(),
            is_template: fields.truth("is_a_template")?,
            is_snapshot: fields.truth("is_a_snapshot")?,
            snapshot_of: fields.reference("snapshot_of")?,
            operations: operations.into_keys().map(Ref::new).collect(),
            xenstore: fields.map("xenstore_data")?,
            other_config,
            memory_bytes,
            vcpus_most: fields.integer("VCPUs_max")?,
            vcpus_at_startup: fields.integer("VCPUs_at_startup")?,
            vifs: fields.references("VIFs")?,
            vbds: fields.references("VBDs")?,
            snapshots: fields.references("snapshots")?,
            suspend_vdi: fields.reference("suspend_VDI")?,
            guest_metrics: fields.reference("guest_metrics")?,
        })
    }

    /// Which placement of which VM has it; none of a snapshot, or where its name is not one of ours.
    #[must_use]
    pub fn served(&self) -> Option<(VmKey, Generation)> {
        let owner = self.owner.as_ref()?;
        let generation = self.claim.as_ref().map_or(owner.made_in, |claim| claim.generation);
        Some((owner.key.clone(), generation))
    }

    /// What people look for on the pool.
    pub(crate) fn shown(&self) -> String {
        format!("{} ({})", self.name, self.uuid)
    }
}
