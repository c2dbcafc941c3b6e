//! `create`: a new VM, with everything that decides its trajectory.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::xcpng::XcpngConfig;
use crate::id::{RequestId, VmId};
use crate::limits::PRIORITY_DEFAULT;
use crate::quantity::{AtpPercent, Pace, SimulatedTime};

/// The body of `create`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Create {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Generated where neither the subject nor the body names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_id: Option<VmId>,
    /// The chassis: syn3a, ecoli, minimal_cell or weisse2015.
    pub biological_type: String,
    #[serde(default)]
    pub vm_type: VmType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<VmConfig>,
    #[serde(default)]
    pub auto_start: bool,
    #[serde(default)]
    pub allocation: AllocationRequest,
    /// `queue` implies `auto_start`.
    #[serde(default)]
    pub on_full: OnFull,
    /// 1 (first) to 5 (last).
    #[serde(default = "priority_default")]
    pub priority: u8,
    /// Drawn by the coordinator where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    #[serde(default)]
    pub replicate: u32,
    /// Simulated minutes since creation at which the VM completes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_minutes: Option<SimulatedTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_generations: Option<u32>,
    #[serde(default)]
    pub engine: Engine,
    /// Simulated seconds per second: 60, or "max" where there is a horizon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// Symbols of the model and their values, from minute 0 on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<ScheduledChange>,
    #[serde(default)]
    pub on_complete: OnComplete,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How long the answer may wait for `predicted`, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

impl Create {
    /// Where the VM's guest comes from, as it was sent.
    pub fn xcpng_config_mut(&mut self) -> Option<&mut XcpngConfig> {
        self.config.as_mut()?.xcpng_config.as_mut()
    }
}

fn priority_default() -> u8 {
    PRIORITY_DEFAULT
}

/// What a VM asks for; what is absent is the chassis' default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllocationRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atp_percentage: Option<AtpPercent>,
    /// Allocation units; the chassis' most means no cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ribosomes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_kb: Option<u64>,
}

/// A change known beforehand, at a point of the grid of 0.1 simulated minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduledChange {
    pub at_minute: SimulatedTime,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<AllocationRequest>,
    /// Process code that runs when the VM stands at that minute, after the rest of the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
}

/// Which variables to keep, and how often: a row at each multiple of `every_minutes`, minute 0 included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub variables: Vec<String>,
    pub every_minutes: SimulatedTime,
}

#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum VmType {
    #[default]
    Basic,
    Xcpng,
}

impl VmType {
    /// As on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Xcpng => "xcpng",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    #[default]
    Reject,
    Queue,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnComplete {
    #[default]
    Stop,
    Release,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    #[default]
    Ode,
    Stochastic,
}

/// Settings that users have always sent; each either has the effect stated or is answered with a warning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VmConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<ResourceLimits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub biological_settings: Option<BiologicalSettings>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<PerformanceSettings>,
    /// For `vm_type: xcpng`: `{"pool": NAME}`, a pool of the workers' files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xcpng_config: Option<XcpngConfig>,
}

/// The most that this VM may ever be allocated; never above the chassis' own most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_atp: Option<AtpPercent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ribosomes: Option<u64>,
    /// KiB as a number, or text such as "512MB" or "1GB" (1 MB = 1024 KiB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<MemoryLimit>,
}

/// An amount of memory in KiB, written as a number of KiB or as text with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MemoryLimit(pub u64);

impl<'de> Deserialize<'de> for MemoryLimit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = MemoryLimit;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number of KiB, or text such as \"512MB\"")
            }
            fn visit_u64<E>(self, kib: u64) -> Result<MemoryLimit, E> {
                Ok(MemoryLimit(kib))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MemoryLimit, E> {
                let units = [("KB", 1), ("MB", 1024), ("GB", 1024 * 1024)];
                let kib = units.iter().find_map(|(unit, kib)| {
                    text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(*kib)
                });
                let invalid = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
                kib.map(MemoryLimit).ok_or_else(invalid)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for MemoryLimit {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MemoryLimit".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]+ *(KB|MB|GB)$" }]
        })
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BiologicalSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genome_optimization: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimal_mode: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub essential_genes_only: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operon_management: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plasmid_support: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_optimization: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_functions_only: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_validation: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_mode: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerformanceSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_monitoring: Option<bool>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimization_interval: Option<u64>,
}
