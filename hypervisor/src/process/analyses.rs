//! The named analyses: each a computation on the state, and on nothing else. Formulas and sources are described in
//! docs/process-code.md.

use serde::Serialize;

use super::readout::Readout;
use super::replication::{self, Replication};
use super::self_check::{self, SelfCheck};
use super::{Function, ProcessError};
use crate::{Cell, ChassisName, Metrics, OperonReadout, Regulation, RibosomeCap};

/// What an analysis found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Analysis {
    /// `get_biological_status()`.
    Status(Box<Status>),
    /// `minimal_metabolism_analysis()`.
    Metabolism(Metabolism),
    /// `dna_replication()`.
    Replication(Replication),
    /// `operon_expression_analysis()`.
    Operons(OperonExpression),
    /// `test_process()` and `test_ecoli_process()`.
    SelfCheck(SelfCheck),
}

/// The state's figures, and what the cell is given.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The cell's chassis.
    pub biological_type: ChassisName,
    /// Energy supply, percent.
    pub atp_percentage: f64,
    /// Ribosome units; null where a cap in molecules holds.
    pub ribosomes: Option<u32>,
    /// Drug present, uM.
    pub chloramphenicol_um: f64,
    /// All figures of the state.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// Fluxes, saturations, yields and the energy budget of the present state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metabolism {
    /// Of the present state, 1/min.
    pub growth_rate_per_min: f64,
    /// Fluxes, 1/min.
    pub fluxes: Fluxes,
    /// The same over those of the chassis' unlimited steady state.
    pub relative_fluxes: Fluxes,
    /// s_i / (Km + s_i): how busy metabolic enzymes are.
    pub metabolism_saturation: f64,
    /// a / (Kg + a): elongation over its highest rate.
    pub elongation_saturation: f64,
    /// Energy made per nutrient used: ns and the ATP allocation.
    pub energy_per_nutrient: Option<f64>,
    /// Amino acids polymerised per nutrient imported.
    pub aa_per_nutrient: Option<f64>,
    /// Where the energy goes.
    pub energy: EnergyBudget,
    /// Import less use and dilution of nutrient, 1/min: what the internal store gains.
    pub nutrient_change_per_min: f64,
    /// Mass of all protein over M: 1 at all times.
    pub mass_closure: f64,
    /// Supply over growth rate * (M + a): 1 in balanced growth.
    pub energy_closure: Option<f64>,
}

/// Transcription of the operons that the pack lists, at the present state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperonExpression {
    /// Of the present state, 1/min.
    pub growth_rate_per_min: f64,
    /// Of all of them, 1/min.
    pub transcription_per_min: f64,
    /// Messages of all of them.
    pub mrna: f64,
    /// Copies of all of their proteins.
    pub proteins: f64,
    /// How many are activated or repressed.
    pub regulated: usize,
    /// Each of them.
    pub operons: Vec<OperonReadout>,
}

/// The fluxes of the core.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fluxes {
    /// Nutrient import.
    pub nutrient_import: f64,
    /// Nutrient turned into energy.
    pub metabolism: f64,
    /// mRNA made.
    pub transcription: f64,
    /// Amino acids polymerised.
    pub translation_aa: f64,
}

/// Energy molecules a minute: supply = translation + dilution + storage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EnergyBudget {
    /// Made.
    pub supply_per_min: f64,
    /// Spent on translation, one an amino acid.
    pub translation_per_min: f64,
    /// Diluted by growth.
    pub dilution_per_min: f64,
    /// Stored, or taken from the store where negative.
    pub storage_per_min: f64,
    /// Time in which the supply would fill the present store, min.
    pub turnover_time_min: Option<f64>,
}

impl Analysis {
    /// Runs the analysis `function`; `None` where that is no analysis.
    ///
    /// # Errors
    /// What the chassis does not have; a cell that cannot go on.
    pub fn of(function: Function, cell: &Cell) -> Result<Option<Self>, ProcessError> {
        Ok(Some(match function {
            Function::Status => Self::Status(Box::new(status(cell))),
            Function::Metabolism => Self::Metabolism(metabolism(cell)),
            Function::Replication => Self::Replication(replication::of(cell)?),
            Function::TestProcess => Self::SelfCheck(self_check::any(cell)?),
            Function::TestEcoliProcess => Self::SelfCheck(self_check::ecoli(cell)?),
            Function::OperonExpression => Self::Operons(operon_expression(cell)?),
            Function::StartTranscription
            | Function::ManageOperons
            | Function::InsertPlasmid
            | Function::RemovePlasmid
            | Function::SetNutrient
            | Function::AddDrug
            | Function::Advance => return Ok(None),
        }))
    }
}

fn operon_expression(cell: &Cell) -> Result<OperonExpression, ProcessError> {
    let operons = cell.operons(&[])?;
    let proteins = |operon: &OperonReadout| operon.genes.iter().map(|gene| gene.proteins).sum::<f64>();
    Ok(OperonExpression {
        growth_rate_per_min: Readout::of(cell).growth_rate_per_min,
        transcription_per_min: operons.iter().map(|operon| operon.transcription_per_min).sum(),
        mrna: operons.iter().map(|operon| operon.mrna).sum(),
        proteins: operons.iter().map(proteins).sum(),
        regulated: operons.iter().filter(|operon| operon.regulation != Regulation::Basal).count(),
        operons,
    })
}

fn status(cell: &Cell) -> Status {
    let readout = Readout::of(cell);
    Status {
        biological_type: readout.chassis,
        atp_percentage: f64::from(readout.allocation.atp_milli_percent) / 1000.0,
        ribosomes: match readout.allocation.ribosomes {
            RibosomeCap::Units(units) => Some(units),
            RibosomeCap::Unlimited => Some(readout.chassis.most_ribosome_units()),
            RibosomeCap::Molecules(_) => None,
        },
        chloramphenicol_um: readout.chloramphenicol_um,
        metrics: cell.metrics(),
    }
}

fn metabolism(cell: &Cell) -> Metabolism {
    let r = Readout::of(cell);
    let ratio = |over: f64, under: f64| Some(over / under).filter(|value| value.is_finite());
    let mass_closure = cell.metrics().mass_closure;
    Metabolism {
        growth_rate_per_min: r.growth_rate_per_min,
        fluxes: Fluxes {
            nutrient_import: r.import_per_min,
            metabolism: r.metabolism_per_min,
            transcription: r.transcription_per_min,
            translation_aa: r.translation_aa_per_min,
        },
        relative_fluxes: Fluxes {
            nutrient_import: r.import_per_min / r.reference.import_per_min,
            metabolism: r.metabolism_per_min / r.reference.metabolism_per_min,
            transcription: r.transcription_per_min / r.reference.transcription_per_min,
            translation_aa: r.translation_aa_per_min / r.reference.translation_aa_per_min,
        },
        metabolism_saturation: r.metabolism_saturation,
        elongation_saturation: r.elongation_saturation,
        energy_per_nutrient: ratio(r.energy_supply_per_min, r.metabolism_per_min),
        aa_per_nutrient: ratio(r.translation_aa_per_min, r.import_per_min),
        energy: EnergyBudget {
            supply_per_min: r.energy_supply_per_min,
            translation_per_min: r.translation_aa_per_min,
            dilution_per_min: r.growth_rate_per_min * r.energy,
            storage_per_min: r.energy_change_per_min,
            turnover_time_min: ratio(r.energy, r.energy_supply_per_min),
        },
        nutrient_change_per_min: r.nutrient_change_per_min,
        mass_closure,
        energy_closure: ratio(r.energy_supply_per_min, r.growth_rate_per_min * (r.mass_aa + r.energy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CellSpec, Change};

    #[test]
    fn the_energy_budget_adds_up_and_follows_the_state() {
        for chassis in ChassisName::ALL {
            let mut cell = Cell::new(&CellSpec::unlimited(chassis)).unwrap();
            let balanced = metabolism(&cell);
            assert!((balanced.energy_closure.unwrap() - 1.0).abs() < 1e-6, "{chassis}: {balanced:?}");
            assert!((balanced.relative_fluxes.translation_aa - 1.0).abs() < 1e-9);
            cell.apply(&Change { atp_milli_percent: Some(50_000), ..Change::default() }).unwrap();
            cell.advance_to(50).unwrap();
            let after = metabolism(&cell);
            let energy = after.energy;
            let spent = energy.translation_per_min + energy.dilution_per_min + energy.storage_per_min;
            assert!(
                (spent - energy.supply_per_min).abs() < 1e-9 * energy.supply_per_min,
                "{chassis}: {energy:?}"
            );
            assert!(after.relative_fluxes.translation_aa < 0.99, "{chassis}: {after:?}");
            assert_ne!(balanced.aa_per_nutrient, after.aa_per_nutrient);
        }
    }

    #[test]
    fn each_analysis_differs_between_states_that_differ() {
        let cell = Cell::new(&CellSpec::unlimited(ChassisName::Ecoli)).unwrap();
        let mut other = cell.clone();
        other.apply(&Change { parameters: [("s0".to_owned(), 300.0)].into(), ..Change::default() }).unwrap();
        other.advance_to(300).unwrap();
        for function in Function::ALL.iter().copied() {
            let Ok(Some(before)) = Analysis::of(function, &cell) else { continue };
            assert_ne!(Some(before), Analysis::of(function, &other).unwrap(), "{}", function.name());
        }
    }
}
