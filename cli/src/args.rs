//! The command line: what stands on every command, and the list of them.

use bioxen_protocol::id::{InvalidId, OperatorId, UserId};
use clap::{Args, Parser, Subcommand};

use crate::commands::{
    advice, allocate, audit, chassis, checkpoint, create, lifecycle, list, movement, operator, package, plot,
    process, quota, read, results, storage, sweep, watch, xcpng,
};
use crate::demo::DemoArgs;
use crate::dev::DevArgs;
use crate::exit::{EXIT_CODES, Failure};
use crate::simulate::SimulateArgs;

/// Runs a fleet of biological VMs, or talks to one.
#[derive(Debug, Parser)]
#[command(name = "bioxen", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the fleet is and who asks.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// NATS server, or several of one cluster with commas; credentials included where it asks for any
    #[arg(
        long,
        global = true,
        env = "BIOXEN_URL",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true
    )]
    pub(crate) url: String,
    /// Whose VMs; without it the login name
    #[arg(long, global = true, env = "BIOXEN_USER")]
    user: Option<UserId>,
    /// Name for what operators alone may ask
    #[arg(long, global = true, env = "BIOXEN_OPERATOR", default_value = "operator")]
    pub(crate) operator: OperatorId,
    /// One JSON document instead of text; one a line for what goes on
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Connection {
    /// The user given, else the login name where it is a valid id.
    pub(crate) fn user(&self) -> Result<UserId, Failure> {
        let login = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()?.parse().ok());
        self.user.clone().or_else(login).ok_or_else(|| {
            Failure::usage(
                "no user is named and the login name is none either: give --user or set BIOXEN_USER",
            )
        })
    }

    /// For a connection that speaks for an operator alone.
    pub(crate) fn operator_as_user(&self) -> Result<UserId, Failure> {
        self.operator.as_str().parse().map_err(|error: InvalidId| Failure::usage(error.to_string()))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a VM
    Create(Box<create::CreateArgs>),
    /// List one's own VMs
    List(list::ListArgs),
    /// Start a VM
    Start(lifecycle::StartArgs),
    /// Stop a VM, keeping a checkpoint and its slot
    Stop(lifecycle::WaitingArgs),
    /// Pause a running VM
    Pause(lifecycle::WaitingArgs),
    /// Resume a paused VM
    Resume(lifecycle::WaitingArgs),
    /// Destroy a VM and give back all that it holds
    Destroy(lifecycle::WaitingArgs),
    /// How a VM stands
    Status(read::VmArgs),
    /// What a VM holds, may hold and uses
    Resources(read::VmArgs),
    /// Give a VM new amounts of ATP, ribosomes or memory
    Allocate(allocate::AllocateArgs),
    /// What a cell shows: growth, ATP, ribosomes, genes
    Metrics(read::VmArgs),
    /// Run process code in a VM: a call, or a Luau script
    Execute(process::ExecuteArgs),
    /// Start transcription of genes
    Transcription(process::TranscriptionArgs),
    /// Activate, repress or derepress operons
    Operons(process::OperonsArgs),
    /// Keep a cell as it stands, under a name of its own
    Checkpoint(checkpoint::CheckpointArgs),
    /// Put a stopped VM back to one of its checkpoints
    Restore(checkpoint::RestoreArgs),
    /// Put a published package into a VM
    Install(package::InstallArgs),
    /// Begin, publish, list and show packages: constructs, plasmids and modules for VMs
    Package(package::PackageArgs),
    /// Search the allocation with the best growth per ATP
    Optimize(advice::OptimizeArgs),
    /// Warnings, and the better allocation that the model finds
    Recommendations(read::VmArgs),
    /// Sample a VM from time to time, for telemetry and `history`
    Monitor(advice::MonitorArgs),
    /// The samples of a monitored VM
    History(advice::HistoryArgs),
    /// What a VM recorded, or an ensemble's table
    Results(results::ResultsArgs),
    /// Draw a recording, or an ensemble's as a band
    Plot(plot::PlotArgs),
    /// Send an ensemble from a file and follow it; the fleet goes on without us
    Sweep(sweep::SweepArgs),
    /// Follow events as they happen
    Watch(watch::WatchArgs),
    /// Read or verify the audit trail
    Audit(audit::AuditArgs),
    /// The fleet's workers (operators)
    Workers,
    /// List workers, take them out of service and back (operators)
    Worker(movement::WorkerArgs),
    /// Have a VM go to another worker while it runs (operators)
    Move(movement::MoveArgs),
    /// One's own limits and use; `show` and `set` for operators
    Quota(quota::QuotaArgs),
    /// What the whole fleet holds
    Fleet,
    /// Counts and times of the commands served
    Performance,
    /// Take a snapshot of the fleet now, beside those that are taken by themselves (operators)
    Snapshot,
    /// The whole fleet in one file: take, look at, restore (operators)
    Backup(storage::BackupArgs),
    /// Check the ledger (operators)
    Ledger(operator::LedgerArgs),
    /// Show, check and make chassis packs: what is known of an organism, each figure with its source
    Chassis(chassis::ChassisArgs),
    /// Try an XCP-ng pool of the worker's file, step by step
    Xcpng(xcpng::XcpngArgs),
    /// Run a whole fleet here until interrupted: NATS, a coordinator, workers
    Dev(DevArgs),
    /// Show two users, three cells, a refusal and the audit trail on a fleet of its own
    Demo(DemoArgs),
    /// Follow one cell here and now, without a fleet
    Simulate(SimulateArgs),
}
