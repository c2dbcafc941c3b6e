//! A hundred cells on one worker at pace 60, re-allocated at the simulated hour: CPU, memory, and whether ten of them
//! equal `bioxen simulate` to the bit. Takes some 75 s.

#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends there and then")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

#[path = "../tests/density/measure.rs"]
mod measure;

use measure::{Course, measure};

/// What we aim at.
const GOAL_CORES: f64 = 0.25;
const GOAL_KIB_PER_VM: f64 = 64.0;

#[tokio::main]
async fn main() {
    let figures = measure(Course { pace: 60.0, allocate_minutes: 60.0, end_minutes: 70.0 }).await;
    println!("density, pace 60: {figures}");
    println!(
        "density, goals: CPU {} ({GOAL_CORES} of one core), memory {} ({GOAL_KIB_PER_VM} KiB a VM)",
        if figures.cores < GOAL_CORES { "met" } else { "missed" },
        if figures.kib_per_vm < GOAL_KIB_PER_VM { "met" } else { "missed" },
    );
}
