//! `bioxen`: reads the command line and hands over. It holds no logic of its own.

mod args;
mod children;
mod commands;
mod demo;
mod dev;
mod exit;
mod files;
mod plot;
mod render;
mod simulate;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::exit::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.connection.json;
    let done = match cli.command {
        Command::Simulate(args) => return simulate::run(args),
        Command::Chassis(args) => commands::chassis::run(args, json),
        Command::Xcpng(args) => on_one_thread(commands::xcpng::run(args, json)),
        Command::Dev(args) => on_one_thread(dev::run(args)),
        Command::Demo(args) => on_one_thread(demo::run(args)),
        command => on_one_thread(commands::run(cli.connection, command)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// One thread serves a command line, and `dev` needs it: its children live as long as the thread that started them.
fn on_one_thread(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::other(format!("cannot start: {error}")))?.block_on(work)
}
