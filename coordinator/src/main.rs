//! `bioxen-coordinator`: reads its settings, runs, and says why it ended.

use std::path::PathBuf;
use std::process::ExitCode;

use bioxen_coordinator::journal::streams::StreamSettings;
use bioxen_coordinator::snapshot::SnapshotSettings;
use bioxen_coordinator::{Config, run};
use bioxen_protocol::config::ResourceConfig;
use bioxen_telemetry::LogFormat;
use clap::Parser;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Admits, journals, places and answers for a fleet of biological VMs.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where nats-server listens.
    #[arg(long, env = "BIOXEN_URL", default_value = "nats://127.0.0.1:4222")]
    url: String,
    /// This coordinator's name, in the journal and on `$SRV`.
    #[arg(long, default_value = "coordinator-1")]
    name: String,
    /// The ledger's directory.
    #[arg(long, default_value = "bioxen-ledger")]
    data: PathBuf,
    /// A TOML file with `[resources]`, `[streams]`, `[snapshots]` and `[xcpng.own_pools]`.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A folder of chassis packs beside the program's own.
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// nats-server's monitoring, http://host:port, to see whether it syncs every write.
    #[arg(long)]
    monitoring_url: Option<String>,
    /// Metrics and health on loopback; 0 takes a free port.
    #[arg(long, default_value_t = 8080)]
    http_port: u16,
    /// Where ledger and journal tell different stories: set the ledger aside, believe the journal.
    #[arg(long)]
    accept_journal: bool,
    /// text or json.
    #[arg(long, default_value = "text")]
    log_format: LogFormat,
}

/// The file of `--config`. A worker's table may stand beside.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    resources: ResourceConfig,
    streams: StreamSettings,
    snapshots: SnapshotSettings,
    packs: Option<PathBuf>,
    xcpng: Xcpng,
}

/// What a coordinator has to know of XCP-ng; the rest of the section is the workers'.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Xcpng {
    own_pools: OwnPools,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OwnPools {
    sealing_key: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = bioxen_telemetry::init_logs(args.log_format) {
        eprintln!("bioxen-coordinator: {error}");
        return ExitCode::FAILURE;
    }
    match start(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn start(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let file = match &args.config {
        None => File::default(),
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
        }
    };
    let sealing_key = file
        .xcpng
        .own_pools
        .sealing_key
        .map(|key| key.parse().map_err(|error| format!("[xcpng.own_pools] sealing_key: {error}")));
    let config = Config {
        url: args.url,
        name: args.name,
        data: args.data,
        resources: file.resources,
        sealing_key: sealing_key.transpose()?,
        packs: args.packs.or(file.packs),
        streams: file.streams,
        snapshots: file.snapshots,
        monitoring_url: args.monitoring_url,
        http_port: args.http_port,
        accept_journal: args.accept_journal,
    };
    let (stop, stopped) = watch::channel(false);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        stop.send(true).ok();
    });
    Ok(run(config, stopped).await?)
}
