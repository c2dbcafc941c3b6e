//! One cell on one core: a shift of the reference model over 600 minutes, an hour of each chassis, and what a VM needs
//! besides.

#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends there and then")]

use bioxen_hypervisor::simulate::{Options, spec};
use bioxen_hypervisor::{Cell, CellSpec, ChassisName, GeneTable, StochasticCell, Tolerance};
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
    cycles(criterion);
    criterion.bench_function("syn3a, metrics", |bencher| bencher.iter(|| syn3a.metrics()));
    criterion.bench_function("syn3a, checkpoint and restore", |bencher| {
        bencher.iter(|| Cell::restore(&syn3a.checkpoint()).expect("a checkpoint"));
    });
}

/// One generation of single cells: all genes of syn3a where their table is beside the repository, and weisse2015.
fn cycles(criterion: &mut Criterion) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/facts/syn3a_genes.tsv");
    let listed = ChassisName::Syn3a.pack().gene_table.clone().unwrap_or_default();
    let whole = std::fs::read_to_string(path).ok().and_then(|text| GeneTable::parse_tsv(&text).ok());
    for (chassis, genes, name) in [
        (ChassisName::Syn3a, whole, "syn3a, a cell cycle, 455 genes"),
        (ChassisName::Syn3a, Some(listed), "syn3a, a cell cycle, the genes of its pack"),
        (ChassisName::Weisse2015, Some(GeneTable::default()), "weisse2015, a cell cycle, stochastic"),
    ] {
        let Some(genes) = genes else { continue };
        let spec = CellSpec::unlimited(chassis);
        let cell = StochasticCell::new(&spec, &genes, 1, 0).expect("a cell");
        criterion.bench_function(name, |bencher| {
            let live = |mut cell: StochasticCell| {
                cell.advance_to_generation(1, 1_000_000).expect("it goes on");
                cell
            };
            bencher.iter_batched(|| cell.clone(), live, BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, cells);
criterion_main!(benches);
