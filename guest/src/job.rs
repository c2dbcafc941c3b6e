//! A job and its outcome, as they travel.

use std::collections::BTreeMap;

use bioxen_hypervisor::Change;
use bioxen_hypervisor::process::effects::Reservation;
use serde::{Deserialize, Serialize};

use crate::{Failure, Value};

/// Code to run on a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The asker's; the outcome repeats it.
    pub id: u64,
    /// The cell, as [`bioxen_hypervisor::Cell::checkpoint`] gave it.
    #[serde(with = "bytes")]
    pub checkpoint: Vec<u8>,
    /// A plain call or a Luau script.
    pub code: String,
    /// What it may use.
    pub limits: Limits,
    /// What the VM holds, which a script may use less of.
    pub reservation: Reservation,
    /// The packages that a script finds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<JobPackage>,
    /// What the VM records, where it records anything: rows of the time that the job lets pass come with the outcome.
    #[serde(default)]
    pub recording: Option<RecordingOrder>,
}

/// A package's modules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPackage {
    /// By which a script asks for it.
    pub name: String,
    /// Luau sources, by name.
    pub modules: BTreeMap<String, String>,
}

/// What a VM records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingOrder {
    /// Variables, in order.
    pub variables: Vec<String>,
    /// Ticks between rows.
    pub every_ticks: u64,
    /// Beyond it rows no longer fit the VM's memory.
    pub last_tick: u64,
}

/// What a job may use. Each limit ends it, whatever the script catches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Units of work, counted and not timed, so that the same job always ends at the same place: one for each loop
    /// iteration and call of the script, more for what the cell does (see docs/process-code.md).
    pub fuel: u64,
    /// Heap of the script, KiB.
    pub memory_kb: u64,
    /// Real time, ms. The only limit that depends on the machine; meant as the last one.
    pub wall_ms: u64,
    /// Simulated time that it may let pass, ticks.
    pub advance_ticks: u64,
    /// Encoded size of the result.
    pub result_bytes: u64,
}

impl Limits {
    /// Enough for about a second of a script's own work and ten simulated days.
    pub const DEFAULT: Self = Self {
        fuel: 20_000_000,
        memory_kb: 64 * 1024,
        wall_ms: 10_000,
        advance_ticks: 10 * 24 * 60 * 10,
        result_bytes: 48 * 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The job's.
    pub id: u64,
    /// What was used, also by a job that failed.
    pub spent: Spent,
    /// What it did, or why it did not.
    pub result: Result<Done, Failure>,
}

/// What a job did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// The call's or script's result.
    pub value: Value,
    /// The cell afterwards; `None` where it is as it was.
    pub checkpoint: Option<Checkpoint>,
    /// Changes applied, each at its tick, in order.
    pub changes: Vec<Change>,
    /// What the script recorded, in order.
    pub records: Vec<Record>,
    /// Rows of the VM's recording, in the cell library's bytes.
    pub rows: Option<Rows>,
}

/// Rows of a recording, as [`bioxen_hypervisor::trace::Trace::encode`] gives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows(#[serde(with = "bytes")] pub Vec<u8>);

/// A cell's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint(#[serde(with = "bytes")] pub Vec<u8>);

/// One recorded value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When, as the cell counts.
    pub tick: u64,
    /// The script's name for it.
    pub name: String,
    /// A finite number.
    pub value: f64,
}

/// What a job has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Units of work.
    pub fuel: u64,
    /// Simulated time.
    pub ticks: u64,
}

/// What a guest says first: that it is ready, and how it is confined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its version; a worker takes its own only.
    pub version: String,
    /// What holds.
    pub confinement: Confinement,
}

/// How a guest is shut off from its host. Limits on resources hold in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// A network namespace of its own, with nothing in it.
    pub network_namespace: bool,
    /// System calls are limited to those that computing takes: no sockets, files, processes.
    pub system_calls: bool,
}

/// Bytes as MessagePack's own kind, not as a list of numbers.
mod bytes {
    use std::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl<'de> Visitor<'de> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = list.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}
