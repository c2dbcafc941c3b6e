//! `bioxen-simulator`: runs seeds, says what they came to, and makes a failure small.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::process::ExitCode;

use bioxen_simulator::{Figures, Plan, run, run_traced, shrink};
use clap::Parser;

/// Checks the fleet's invariants under faults that a seed decides, in one process.
#[derive(Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Events of a run before its faults end.
    #[arg(long, default_value_t = 2_000)]
    events: usize,
    /// Do not make a failure smaller.
    #[arg(long)]
    quick: bool,
    /// Print every event of the smallest plan that fails.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut total = Figures::default();
    for seed in args.from..args.from.saturating_add(args.seeds) {
        let plan = Plan::of_seed(seed, args.events);
        match run(&plan) {
            Ok(figures) => total = total.plus(figures),
            Err(why) => {
                println!("failed: {plan}\n  {why}");
                if args.quick {
                    return ExitCode::FAILURE;
                }
                let least = shrink(&plan);
                let again = run_traced(&least, args.trace).err().unwrap_or_default();
                println!("smallest: {least}\n  {again}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{} seeds from {}: no violation; {total}", args.seeds, args.from);
    ExitCode::SUCCESS
}
