//! `bioxen-worker`: reads its arguments, starts logging, runs a worker until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use bioxen_telemetry::{LogFormat, init_logs};
use bioxen_worker::WorkerError;
use bioxen_worker::settings::{Given, Settings};
use clap::Parser;

/// Runs biological VMs for a BioXen coordinator.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address of the nats-server [default: nats://127.0.0.1:4222]
    #[arg(long, env = "BIOXEN_URL")]
    url: Option<String>,
    /// Name of this worker, kept across restarts [default: worker-<host name>]
    #[arg(long)]
    name: Option<String>,
    /// TOML file; its [worker] section is read
    #[arg(long)]
    config: Option<PathBuf>,
    /// One setting, such as worker.max_vms=16; may be repeated
    #[arg(long = "set", value_name = "SETTING")]
    set: Vec<String>,
    /// Port of metrics and health on loopback, 0 takes a free one [default: 8081]
    #[arg(long)]
    http_port: Option<u16>,
    /// A folder of chassis packs beside the program's own
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// Log lines as text or json
    #[arg(long, default_value = "text")]
    log_format: LogFormat,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bioxen-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> Result<(), WorkerError> {
    init_logs(arguments.log_format)?;
    let settings = Settings::read(Given {
        url: arguments.url,
        name: arguments.name,
        http_port: arguments.http_port,
        packs: arguments.packs,
        file: arguments.config,
        set: arguments.set,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(WorkerError::Runtime)?;
    runtime.block_on(bioxen_worker::run(settings))
}
