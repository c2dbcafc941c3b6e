//! `bioxen xcpng`: tries a pool of the worker's file and tells of each step; makes keys for pools that VMs bring along. What
//! the steps are, the worker says.

use std::path::{Path, PathBuf};

use bioxen_protocol::id::{Generation, VmKey, random_token};
use bioxen_worker::guest;
use bioxen_worker::settings::Settings;
use bioxen_worker::xcpng::channel::Program;
use bioxen_worker::xcpng::guests::Guests;
use bioxen_worker::xcpng::{Pool, Scratch, Step, check};
use clap::{Args, Subcommand};
use serde_json::json;

use super::sealing::{self, SealArgs};
use crate::exit::Failure;
use crate::render;

/// Of no fleet, so that no fleet takes a scratch guest for its own.
const FLEET: &str = "check";
/// In the guest's name, which the pool shows.
const NAME: &str = "bioxen-check";

#[derive(Debug, Args)]
pub(crate) struct XcpngArgs {
    #[command(subcommand)]
    command: XcpngCommand,
}

#[derive(Debug, Subcommand)]
enum XcpngCommand {
    /// Log in, follow events, and look for template, network and storage repository
    Check {
        /// The pool's name, as in [xcpng.pools.NAME]
        pool: String,
        /// The worker's TOML file
        #[arg(long, value_name = "FILE", default_value = "/etc/bioxen/bioxen.toml")]
        config: PathBuf,
        /// Also make a guest, start it, have bioxen-guest answer there over SSH, and destroy it
        #[arg(long)]
        clone: bool,
    },
    /// Make a key for pools that VMs bring along, unless FILE is there, and print the coordinators' half
    Key {
        /// The workers' half: [xcpng.own_pools] key_file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Seal the password on standard input, for sealed_password in xcpng_config
    Seal(SealArgs),
}

pub(crate) async fn run(args: XcpngArgs, json: bool) -> Result<(), Failure> {
    match args.command {
        XcpngCommand::Check { pool, config, clone } => try_pool(pool, &config, clone, json).await,
        XcpngCommand::Key { file } => sealing::key(&file),
        XcpngCommand::Seal(args) => sealing::seal(&args),
    }
}

async fn try_pool(name: String, config: &Path, clone: bool, json: bool) -> Result<(), Failure> {
    let mut pools = Settings::read_pools(config).map_err(|error| Failure::usage(error.to_string()))?;
    let known = pools.keys().cloned().collect::<Vec<_>>().join(", ");
    let settings = pools.remove(&name).ok_or_else(|| {
        Failure::usage(format!(
            "{} has no [xcpng.pools.{name}]; it has: {}",
            config.display(),
            if known.is_empty() { "none" } else { &known }
        ))
    })?;
    let pool = Pool::open(&name, settings).map_err(|error| Failure::other(error.to_string()))?;
    let worker = NAME.parse().map_err(|error| Failure::other(format!("{error}")))?;
    let guests = Guests::new(pool.clone(), FLEET, &worker);
    let scratch = clone.then(|| scratch(&guests)).transpose()?;
    let mut shown = Ok(());
    let works = check(&guests, scratch.as_ref(), |step| shown = show(&step, &name, json)).await;
    pool.close().await;
    shown.map_err(|error| Failure::other(error.to_string()))?;
    if works { Ok(()) } else { Err(Failure::other(format!("pool {name} cannot be used as it is"))) }
}

/// A guest of its own for each time that somebody checks. What it needs of this machine is read before anything is made.
fn scratch(guests: &Guests) -> Result<Scratch, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::other(error.to_string());
    let vm = random_token(4).map_err(|error| wrong(&error))?;
    let key = VmKey {
        user: NAME.parse().map_err(|error| wrong(&error))?,
        vm: vm.parse().map_err(|error| wrong(&error))?,
    };
    let generation = Generation { incarnation: 0, index: 1 };
    let order = guests.order(&key, generation).map_err(|error| wrong(&error))?;
    let program = guest::program().map_err(|error| wrong(&error))?;
    let program = Program::read(&program, None).map_err(|error| wrong(&error))?;
    Ok(Scratch { order, program })
}

fn show(step: &Step, pool: &str, json: bool) -> std::io::Result<()> {
    let line = match (&step.outcome, json) {
        (Ok(found), false) => format!("ok      {}: {found}", step.name),
        (Err(error), false) => format!("failed  {}: {error}", step.name),
        (Ok(found), true) => json!({ "step": step.name, "ok": true, "found": found }).to_string(),
        (Err(error), true) => {
            json!({ "step": step.name, "ok": false, "error": error.body(pool) }).to_string()
        }
    };
    render::line(&line)
}
