//! BioXen's solvers against other simulators on the same work, on one core, in one run: exact stochastic simulation
//! against rebop and libRoadRunner, a shift of the reference cell against libRoadRunner and COPASI. `make bench-peers`.
//!
//! Each round measures everybody in turn, so that a ratio compares neighbours in time; a figure is the median of the
//! rounds with the lowest and the highest. Time is the processor's for this thread, or that process, not the wall's.

#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends there and then")]
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measures")]

mod python;
mod report;
mod vilar;

use bioxen_hypervisor::simulate::{Options, spec};
use bioxen_hypervisor::{Cell, CellSpec, ChassisName, GeneTable, StochasticCell, Tolerance};
use python::Python;
use report::{Peer, Unit};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: u32 = 9;
/// Stochastic runs in a round, so that their lengths even out.
const RUNS: u32 = 5;
/// Shifts in a round: one takes less than a millisecond.
const SHIFTS: u32 = 20;
const SHIFT_TICKS: u64 = 6_000;
/// How far apart two solvers at these tolerances may end.
const SAME: f64 = 1e-3;

fn main() {
    let shifted = shifted();
    let mut python = Python::start(&state(&shifted));
    oscillator(&mut python);
    shift(&shifted, &mut python);
    cycle();
}

/// A whole cell cycle of syn3a, gene by gene: no peer at hand runs it.
fn cycle() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/facts/syn3a_genes.tsv");
    let genes = std::fs::read_to_string(path).ok().and_then(|text| GeneTable::parse_tsv(&text).ok());
    let Some(genes) = genes else {
        println!("\nskipped: a whole syn3a cell cycle, for the table of its 455 genes is not here");
        return;
    };
    let mut ours = Peer::new("BioXen, composition-rejection", None);
    let mut events = 0;
    for round in 0..ROUNDS {
        let spec = CellSpec::unlimited(ChassisName::Syn3a);
        let mut cell = StochasticCell::new(&spec, &genes, 1, round).expect("a cell");
        let before = cell.events();
        ours.push(seconds(|| {
            cell.advance_to_generation(1, 1_000_000).expect("it goes on");
        }));
        events += cell.events() - before;
    }
    println!("\nA whole syn3a cell cycle, 455 genes, {} events", events / u64::from(ROUNDS));
    report::print(&Unit::Runs(1.0), &ours, &[]);
}

/// Seconds of this thread that `work` takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    };
    let begin = now();
    work();
    now() - begin
}

fn oscillator(python: &mut Option<Python>) {
    let model = vilar::model();
    let mut events = 0;
    let mut direct = Peer::new("BioXen, direct method, defined at run time", None);
    let mut rejection = Peer::new("BioXen, rejection method, defined at run time", None);
    let mut compiled = Peer::new("rebop 0.10, compile-time model", Some(0.7));
    let mut interpreted = Peer::new("rebop 0.10, run-time model", None);
    let mut roadrunner = Peer::new("libRoadRunner, gillespie", Some(4.0));
    for round in 0..ROUNDS {
        let replicates = || round * RUNS..(round + 1) * RUNS;
        direct.push(seconds(|| events += replicates().map(|one| vilar::direct(&model, one)).sum::<u64>()));
        rejection.push(seconds(|| replicates().for_each(|one| vilar::rejection(&model, one))));
        compiled.push(seconds(|| replicates().for_each(vilar::rebop_compiled)));
        interpreted.push(seconds(|| replicates().for_each(vilar::rebop_interpreted)));
        if let Some(python) = python {
            roadrunner.push((0..RUNS).map(|_| python.run("vilar roadrunner").seconds).sum());
        }
    }
    let a_run = events as f64 / f64::from(ROUNDS * RUNS);
    println!(
        "\nExact stochastic simulation: Vilar oscillator, t = 0..200, 201 points, {a_run:.0} events a run"
    );
    let unit = Unit::Events(a_run * f64::from(RUNS));
    report::print(&unit, &direct, &[rejection, compiled, interpreted, roadrunner]);
}

fn shift(shifted: &Cell, python: &mut Option<Python>) {
    let mut ours = Peer::new("BioXen, Rodas5P", None);
    let mut roadrunner = Peer::new("libRoadRunner, CVODE", Some(2.0));
    let mut copasi = Peer::new("COPASI, LSODA", None);
    let mut energy = 0.0;
    for _ in 0..ROUNDS {
        let mut cells = vec![shifted.clone(); SHIFTS as usize];
        ours.push(seconds(|| {
            for cell in &mut cells {
                cell.advance_to(SHIFT_TICKS).expect("it goes on");
            }
        }));
        energy = variable(&cells[0], "a");
        let Some(python) = python else { continue };
        for (peer, name) in [(&mut roadrunner, "weisse2015 roadrunner"), (&mut copasi, "weisse2015 copasi")] {
            peer.push((0..SHIFTS).map(|_| same_end(python, name, energy)).sum());
        }
    }
    println!(
        "\nDeterministic: weisse2015, 600 min after s0 fell from 1e4 to 1e3, rtol 1e-6, atol 1e-9; ends at a = {energy:.4}"
    );
    report::print(&Unit::Runs(f64::from(SHIFTS)), &ours, &[roadrunner, copasi]);
}

/// Seconds of a peer's run, which must have solved the same problem.
fn same_end(python: &mut Python, name: &str, energy: f64) -> f64 {
    let run = python.run(name);
    let off = (run.result / energy - 1.0).abs();
    assert!(off < SAME, "{name} ends at a = {}, BioXen at {energy}", run.result);
    run.seconds
}

/// The reference cell at its steady state, when its nutrient falls.
fn shifted() -> Cell {
    let tolerance = Tolerance { relative: 1e-6, absolute: 1e-9 };
    let set = vec!["s0=1000".to_owned()];
    let options = Options { set, tolerance, ..Options::new(ChassisName::Weisse2015) };
    Cell::new(&spec(&options).expect("a sound specification")).expect("a cell")
}

fn state(cell: &Cell) -> serde_json::Value {
    cell.variables()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn variable(cell: &Cell, wanted: &str) -> f64 {
    cell.variables().find(|(name, _)| *name == wanted).expect("a variable of the model").1
}
