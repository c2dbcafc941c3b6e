//! What the engine computes in closed form, against the core model's own equations, and its checkpoints' refusals.

use super::environment::Environment;
use super::gene_layer::GeneLayer;
use super::genes::{Genes, Reference};
use super::*;
use crate::chassis::ChassisName;
use crate::chassis::pack::genes::GeneTable;
use crate::model::core::{A, C, CLASSES, R, S, translating};
use crate::spec::Allocation;

fn reference(chassis: ChassisName) -> Reference {
    Reference::of(chassis, &Settings::default()).unwrap()
}

fn shipped(chassis: ChassisName) -> GeneTable {
    chassis.pack().gene_table.clone().unwrap()
}

#[test]
fn the_environment_stands_still_at_the_core_s_steady_state() {
    for chassis in ChassisName::ALL {
        let reference = reference(chassis);
        let (k, y) = (&reference.constants, &reference.state);
        let mut environment = Environment::of(&reference);
        environment.advance(k, TICK_MIN, y, translating(y));
        for (value, expected) in
            [(environment.energy, y[A]), (environment.nutrient, y[S]), (environment.growth, reference.growth)]
        {
            assert!((value / expected - 1.0).abs() < 1e-7, "{chassis}: {value} against {expected}");
        }
        let active = y[R] + translating(y);
        let shared = environment.share(k, active, &reference.transcription);
        assert!((shared.free / y[R] - 1.0).abs() < 1e-7, "{chassis}: {} against {}", shared.free, y[R]);
        for class in 0..CLASSES {
            let complexes = shared.complexes_per_demand[class] * reference.transcription[class];
            assert!((complexes - y[C + class]).abs() < 1e-6 * active, "{chassis} class {class}: {complexes}");
        }
    }
}

#[test]
fn genes_balance_to_the_core_s_classes_in_mass_and_in_demand() {
    for chassis in [ChassisName::Syn3a, ChassisName::MinimalCell] {
        let reference = reference(chassis);
        let genes = Genes::new(&shipped(chassis), reference).unwrap();
        let (mut mass, mut demand) = ([0.0; CLASSES], [0.0; CLASSES]);
        for (gene, class) in genes.class.iter().enumerate() {
            mass[*class] += genes.mean_proteins[gene] * genes.mass[gene];
            demand[*class] += genes.mean_mrna[gene] * genes.demand[gene];
        }
        let whole: f64 = mass.iter().sum();
        assert!((whole / reference.constants.mass - 1.0).abs() < 1e-9, "{chassis}: {mass:?}");
        for class in 0..CLASSES - 1 {
            let expected = reference.transcription[class];
            assert!((demand[class] / expected - 1.0).abs() < 1e-9, "{chassis} class {class}: {demand:?}");
        }
        let layer = GeneLayer::at_reference(Arc::new(genes), 1.0);
        let rates = layer.reference_rates(1.0);
        for gene in 0..layer.genes.count() {
            let readout = layer.readout(gene, &rates);
            let (mrna, proteins) = (layer.genes.mean_mrna[gene], layer.genes.mean_proteins[gene]);
            let made = mrna * (readout.decay_per_min + reference.growth);
            assert!((readout.transcription_per_min - made).abs() <= 1e-9 * made, "{}", readout.locus);
            let completed = mrna * readout.translation_per_min;
            let diluted = proteins * reference.growth;
            assert!((completed - diluted).abs() <= 1e-7 * (diluted + 1e-9), "{}", readout.locus);
        }
    }
}

#[test]
fn a_tick_that_fails_leaves_the_cell_as_it_was() {
    for chassis in [ChassisName::Syn3a, ChassisName::Weisse2015] {
        let genes = chassis.pack().gene_table.clone().unwrap_or_default();
        let mut cell = StochasticCell::new(&CellSpec::unlimited(chassis), &genes, 1, 0).unwrap();
        let far_too_much = Change { parameters: [("wq".to_owned(), 1e13)].into(), ..Change::default() };
        cell.apply(&far_too_much).unwrap();
        let before = cell.checkpoint();
        let error = cell.advance_to(1).unwrap_err();
        assert!(matches!(error, SimulationError::TooManyEvents { .. }), "{error}");
        assert_eq!(cell.checkpoint(), before);
    }
}

#[test]
fn settings_at_their_limits_are_simulated_or_refused_but_never_break_the_cell() {
    let symbols = ["s0", "ns", "vt", "Kt", "vm", "Km", "wr", "wp", "thr", "Kq", "gmax", "nr", "nx", "M"];
    let symbols = symbols.into_iter().chain(["kb", "ku", "dm", "cl", "ks", "nq"]);
    for symbol in symbols {
        for value in [0.0, 1e-9, 100.0, 1e15] {
            for chassis in [ChassisName::Syn3a, ChassisName::Weisse2015] {
                let genes = chassis.pack().gene_table.clone().unwrap_or_default();
                let allocation = Allocation { atp_milli_percent: 0, ..Allocation::UNLIMITED };
                let parameters = [(symbol.to_owned(), value)].into();
                let spec = CellSpec { parameters, allocation, ..CellSpec::unlimited(chassis) };
                let Ok(mut cell) = StochasticCell::new(&spec, &genes, 1, 0) else { continue };
                if cell.advance_to(5).is_ok() {
                    assert!(cell.variables().all(|(_, value)| !value.is_nan()), "{chassis} {symbol} {value}");
                    StochasticCell::restore(&cell.checkpoint(), &genes).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_checkpoint_of_other_genes_or_with_other_bytes_is_refused() {
    let genes = shipped(ChassisName::Syn3a);
    let spec = CellSpec::unlimited(ChassisName::Syn3a);
    let bytes = StochasticCell::new(&spec, &genes, 1, 0).unwrap().checkpoint();
    let mut others = genes.clone();
    others.genes.truncate(20);
    for wrong in [others, GeneTable::default()] {
        let error = StochasticCell::restore(&bytes, &wrong).unwrap_err();
        assert!(matches!(error, crate::CheckpointError::OtherGenes { .. }), "{error}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert!(StochasticCell::restore(&damaged, &genes).is_err(), "byte {at}");
        assert!(StochasticCell::restore(&bytes[..at], &genes).is_err(), "{at} bytes");
    }
}
