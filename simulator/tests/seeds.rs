//! The invariants under faults: many seeds, none without what it is meant to meet.

use bioxen_simulator::{Figures, Plan, run};

/// Enough for every kind of fault to meet every kind of command; `make simulate` runs as many more as are asked for.
const SEEDS: u64 = 10_000;
const EVENTS: usize = 2_000;

#[test]
fn no_seed_breaks_an_invariant_and_every_fleet_settles() {
    let mut total = Figures::default();
    for seed in 1..=SEEDS {
        let plan = Plan::of_seed(seed, EVENTS);
        match run(&plan) {
            Ok(figures) => total = total.plus(figures),
            Err(why) => panic!("{plan}: {why}; make it smaller with: make simulate FROM={seed} SEEDS=1"),
        }
    }
    println!("{SEEDS} seeds: {total}");
    assert!(total.moved > SEEDS && total.replaced > SEEDS / 2, "{total}");
    assert!(total.healed > SEEDS / 10 && total.largest > 1_000, "{total}");
    assert!(total.commits > SEEDS && total.accepted > SEEDS && total.faults > SEEDS, "{total}");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in [3, 20, 183] {
        let plan = Plan::of_seed(seed, EVENTS);
        assert_eq!(run(&plan), run(&plan));
    }
}
