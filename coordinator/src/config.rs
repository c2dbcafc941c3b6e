//! What a coordinator is started with.

use std::path::PathBuf;

use bioxen_protocol::config::ResourceConfig;
use bioxen_sealing::SealingKey;

use crate::journal::streams::StreamSettings;
use crate::snapshot::SnapshotSettings;

/// Everything that one coordinator needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// nats://host:port
    pub url: String,
    /// Of this coordinator, in the journal and on `$SRV`.
    pub name: String,
    /// The ledger's directory.
    pub data: PathBuf,
    pub resources: ResourceConfig,
    /// Seals the passwords of pools that VMs bring along; without one such VMs are refused.
    pub sealing_key: Option<SealingKey>,
    /// A folder of chassis packs beside the program's own.
    pub packs: Option<PathBuf>,
    pub streams: StreamSettings,
    pub snapshots: SnapshotSettings,
    /// http://host:port of nats-server's monitoring, to see whether it syncs every write.
    pub monitoring_url: Option<String>,
    /// Metrics and health on loopback; 0 takes a free port.
    pub http_port: u16,
    /// Where ledger and journal diverge, set the ledger aside and believe the journal.
    pub accept_journal: bool,
}
