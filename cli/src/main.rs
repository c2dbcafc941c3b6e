//! `bioxen`: reads the command line and hands over. It holds no logic of its own.

mod simulate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "bioxen", version, about = "A fleet of biological VMs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Follow one cell here and now, without a fleet
    Simulate(simulate::SimulateArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Simulate(args) => simulate::run(args),
    }
}
