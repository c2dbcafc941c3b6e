//! `bioxen simulate`: one cell of the library followed from the command line. It prints what the library gives.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use bioxen_hypervisor::simulate::{self, Options};
use bioxen_hypervisor::{ChassisName, Engine, SpecError};
use clap::{Args, ValueEnum};

/// A cell that has not divided as often as asked by then will hardly do so.
const LONGEST_MIN: f64 = 100_000.0;

/// Simulates one cell and prints figures (JSON) or a trajectory (CSV).
///
/// Minute 0 is the chassis' unlimited steady state; the settings hold from then on. All figures are predictions
/// of the model, not measurements.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// syn3a, ecoli, minimal_cell, weisse2015, or the name of a pack of --packs
    chassis: String,
    /// A folder of chassis packs beside the program's own
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// Sets a parameter by its symbol, as in `--set s0=1000`; td, R, act and phiE recalibrate, minute 0 included
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Energy supply in percent, taken to the nearest thousandth (default: all of it)
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    atp: Option<f64>,
    /// Ribosome units; the chassis' most means no cap (default: no cap)
    #[arg(long, value_name = "UNITS", conflicts_with = "ribosome_cap")]
    ribosomes: Option<u32>,
    /// Cap on active ribosomes in molecules
    #[arg(long, value_name = "MOLECULES", allow_negative_numbers = true)]
    ribosome_cap: Option<f64>,
    /// How long to simulate, on a grid of 0.1 min (default: 60, with --generations at most 100,000)
    #[arg(long, allow_negative_numbers = true)]
    minutes: Option<f64>,
    /// ode: the mean cell, integrated; stochastic: a single cell, reaction by reaction, that grows and divides
    #[arg(long, value_enum, default_value_t = EngineArg::Ode)]
    engine: EngineArg,
    /// Key of the random numbers of a stochastic cell
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The other part of that key: cells of one seed differ in it
    #[arg(long, default_value_t = 0)]
    replicate: u32,
    /// Stop when a stochastic cell has divided so often
    #[arg(long)]
    generations: Option<u64>,
    /// The steady state under the settings instead of a moment
    #[arg(long, conflicts_with_all = ["minutes", "at", "every", "generations"])]
    steady: bool,
    /// A change at a minute, as in `--at 30:cl=4`; NAME also atp, ribosomes or ribosome_cap
    #[arg(long, value_name = "MINUTE:NAME=VALUE")]
    at: Vec<String>,
    /// Minutes between the rows of a trajectory
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    every: f64,
    /// json: figures and state at the end; csv: the trajectory
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineArg {
    Ode,
    Stochastic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Csv,
}

/// Runs the command.
pub(crate) fn run(args: SimulateArgs) -> ExitCode {
    match output(args).map(|text| std::io::stdout().write_all(text.as_bytes())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        // The reader went away, as `head` does: nothing is wrong.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(Err(error)) => failed(&error.to_string()),
        Err(message) => failed(&message),
    }
}

fn output(args: SimulateArgs) -> Result<String, String> {
    if args.steady && args.format == Format::Csv {
        return Err("a steady state has no trajectory; leave out --steady or --format csv".to_owned());
    }
    if let Some(packs) = &args.packs {
        bioxen_packs::load(packs).map_err(|error| error.to_string())?;
    }
    let chassis: ChassisName = args.chassis.parse().map_err(|error: SpecError| error.to_string())?;
    let options = Options {
        set: args.set,
        atp_percent: args.atp,
        ribosomes: args.ribosomes,
        ribosome_cap: args.ribosome_cap,
        at: args.at,
        minutes: args.minutes.unwrap_or(if args.generations.is_some() { LONGEST_MIN } else { 60.0 }),
        engine: match args.engine {
            EngineArg::Ode => Engine::Ode,
            EngineArg::Stochastic => Engine::Stochastic,
        },
        seed: args.seed,
        replicate: args.replicate,
        generations: args.generations,
        every_minutes: args.every,
        ..Options::new(chassis)
    };
    let outcome = match (args.format, args.steady) {
        (Format::Csv, _) => return simulate::trajectory_csv(&options).map_err(|error| error.to_string()),
        (Format::Json, true) => simulate::steady(&options),
        (Format::Json, false) => simulate::run(&options),
    };
    let outcome = outcome.map_err(|error| error.to_string())?;
    let mut text = serde_json::to_string_pretty(&outcome).map_err(|error| error.to_string())?;
    text.push('\n');
    Ok(text)
}

fn failed(message: &str) -> ExitCode {
    // Nothing can be done if stderr is gone as well.
    let _ = writeln!(std::io::stderr(), "bioxen simulate: {message}");
    ExitCode::FAILURE
}
