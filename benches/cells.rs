//! One cell on one core: a shift of the reference model over 600 minutes, an hour of each chassis, and what a VM needs
//! besides.

#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends there and then")]

use bioxen_hypervisor::simulate::{Options, spec};
use bioxen_hypervisor::{Cell, ChassisName, Tolerance};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

/// Ten grid points a minute.
const TICKS_PER_MINUTE: u64 = 10;

fn cell(options: &Options) -> Cell {
    Cell::new(&spec(options).expect("a sound specification")).expect("a cell")
}

/// At minute 0, held to so many units.
fn capped(chassis: ChassisName, units: u32) -> Cell {
    cell(&Options { ribosomes: Some(units), ..Options::new(chassis) })
}

fn follow(criterion: &mut Criterion, name: &str, cell: &Cell, minutes: u64) {
    criterion.bench_function(name, |bencher| {
        let advance = |mut cell: Cell| {
            cell.advance_to(minutes * TICKS_PER_MINUTE).expect("it goes on");
            cell
        };
        bencher.iter_batched(|| cell.clone(), advance, BatchSize::SmallInput);
    });
}

fn cells(criterion: &mut Criterion) {
    let shift = Options { set: vec!["s0=100".to_owned()], ..Options::new(ChassisName::Weisse2015) };
    // The second is the tolerance that published comparisons of solvers use.
    for tolerance in [Tolerance::default(), Tolerance { relative: 1e-6, absolute: 1e-9 }] {
        let Tolerance { relative, absolute } = tolerance;
        let name = format!("weisse2015, 600 min after s0 fell to 1 %, rtol {relative:e}, atol {absolute:e}");
        follow(criterion, &name, &cell(&Options { tolerance, ..shift.clone() }), 600);
    }
    for (chassis, units) in
        [(ChassisName::Syn3a, 10), (ChassisName::Ecoli, 25), (ChassisName::MinimalCell, 8)]
    {
        follow(criterion, &format!("{chassis}, an hour at {units} units"), &capped(chassis, units), 60);
    }
    let syn3a = capped(ChassisName::Syn3a, 10);
    criterion.bench_function("syn3a, metrics", |bencher| bencher.iter(|| syn3a.metrics()));
    criterion.bench_function("syn3a, checkpoint and restore", |bencher| {
        bencher.iter(|| Cell::restore(&syn3a.checkpoint()).expect("a checkpoint"));
    });
}

criterion_group!(benches, cells);
criterion_main!(benches);
