//! The operons, genes and plasmids of a cell that were touched: how they stand and how they go on, a tick at a time.
//! They are carried by the core's energy, ribosomes and growth and do not act back on it, but for plasmids, whose
//! load enters as heterologous transcription.

use std::collections::BTreeMap;

use super::action::{Names, OperonAction, OrganismAction, OrganismError};
use super::environment::{self, Environment, Tick};
use super::expression::Expression;
use super::package::{Carried, install};
use crate::model::core::Vector;
use crate::spec::Regime;

/// Relative drift of the load that is carried over into the core's equations. Below it the steps go on: else each
/// tick would restart them.
const LOAD_DRIFT: f64 = 0.01;

/// What regulates an operon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Regulation {
    /// Nothing.
    #[default]
    Basal,
    /// Its activators.
    Activated,
    /// Its repressors.
    Repressed,
}

impl Regulation {
    /// All of them, by their code in a checkpoint.
    pub(crate) const ALL: [Self; 3] = [Self::Basal, Self::Activated, Self::Repressed];

    pub(crate) fn after(self, action: OperonAction) -> Self {
        match (action, self) {
            (OperonAction::Activate, _) => Self::Activated,
            (OperonAction::Repress, _) => Self::Repressed,
            (OperonAction::Derepress, Self::Repressed) => Self::Basal,
            (OperonAction::Derepress, other) => other,
        }
    }
}

/// The copies of something transcribed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Followed {
    pub(crate) regulation: Regulation,
    pub(crate) mrna: f64,
    /// Of each of its genes.
    pub(crate) proteins: Vec<f64>,
}

/// What was touched, each by its place in the pack.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OrganismState {
    pub(crate) operons: BTreeMap<usize, Followed>,
    pub(crate) genes: BTreeMap<usize, Followed>,
    /// Copies.
    pub(crate) plasmids: BTreeMap<usize, f64>,
    /// What was installed, by name.
    pub(crate) packages: BTreeMap<String, Carried>,
}

impl OrganismState {
    pub(crate) fn is_empty(&self) -> bool {
        self.operons.is_empty()
            && self.genes.is_empty()
            && self.plasmids.is_empty()
            && self.packages.is_empty()
    }

    /// Carries `actions` out on a cell that stands at `y`.
    pub(crate) fn act(
        &mut self,
        actions: &[OrganismAction],
        regime: &Regime,
        y: &Vector,
    ) -> Result<(), OrganismError> {
        let names = Names::of(regime.chassis);
        let environment = Environment::of(&regime.constants, y);
        for action in actions {
            match action {
                OrganismAction::Operons { operons, action } => {
                    for name in operons {
                        let at = names.operon(name)?;
                        let followed = self.operons.entry(at).or_insert_with(|| {
                            Expression::of_operon(regime, at).balanced(&environment, Regulation::Basal)
                        });
                        followed.regulation = followed.regulation.after(*action);
                    }
                }
                OrganismAction::Transcription { genes } => {
                    for name in genes {
                        let at = names.measured_gene(name)?;
                        let followed = self.genes.entry(at).or_insert_with(|| {
                            Expression::of_gene(regime, at).balanced(&environment, Regulation::Basal)
                        });
                        followed.mrna = environment::bounded(followed.mrna + 1.0);
                    }
                }
                OrganismAction::InsertPlasmid { plasmid } => {
                    self.plasmids.entry(names.plasmid(plasmid)?).or_insert(1.0);
                }
                OrganismAction::RemovePlasmid { plasmid } => {
                    self.plasmids.remove(&names.plasmid(plasmid)?);
                }
                OrganismAction::InstallPackage { package } => {
                    install(&mut self.packages, package)?;
                }
            }
        }
        Ok(())
    }

    /// Goes one tick on, under the rates of a cell that stands at `y` when it starts.
    pub(crate) fn advance(&mut self, regime: &Regime, y: &Vector) {
        let environment = Environment::of(&regime.constants, y);
        if !(self.operons.is_empty() && self.genes.is_empty()) {
            let tick = Tick::of(&environment);
            for (at, followed) in &mut self.operons {
                Expression::of_operon(regime, *at).advance(&environment, &tick, followed);
            }
            for (at, followed) in &mut self.genes {
                Expression::of_gene(regime, *at).advance(&environment, &tick, followed);
            }
        }
        for (at, copies) in &mut self.plasmids {
            if let Some(plasmid) = regime.chassis.pack().plasmid_table.get(*at) {
                let (k0, half) = (plasmid.k0_per_min, plasmid.half_copies);
                *copies = environment::plasmids(*copies, k0, half, environment.growth);
            }
        }
        self.packages.values_mut().for_each(|package| package.advance(&environment));
    }

    /// Copies of plasmids, all together.
    pub(crate) fn plasmid_count(&self) -> f64 {
        self.plasmids.values().sum::<f64>() + self.packages.values().map(Carried::copies).sum::<f64>()
    }

    /// The heterologous transcription that plasmids and packages cost, 1/min.
    pub(crate) fn load(&self, regime: &Regime) -> f64 {
        let pack = regime.chassis.pack();
        let genes = |(at, copies): (&usize, &f64)| {
            pack.plasmid_table.get(*at).map_or(0.0, |plasmid| plasmid.genes_expressed * copies)
        };
        let plasmids = self.plasmids.iter().map(genes).sum::<f64>() * gene_load(regime);
        // Added to nothing, a constant load stays the number that it was stated as.
        self.packages.values().fold(plasmids, |load, package| load + package.load(1.0))
    }

    /// The load where it left what the core's equations carry; none while it stays near.
    pub(crate) fn drifted_load(&self, regime: &Regime) -> Option<f64> {
        if self.plasmids.is_empty() && self.packages.values().all(|package| package.plasmids.is_empty()) {
            return None;
        }
        let load = self.load(regime);
        ((load - regime.load).abs() > LOAD_DRIFT * load.max(regime.load)).then_some(load)
    }
}

/// What one gene costs that is expressed as much as the genome does a gene of mean length: its share, by length, of
/// all transcription in the unlimited steady state, as a highest rate of the heterologous class, 1/min.
pub(crate) fn gene_load(regime: &Regime) -> f64 {
    let sheet = &regime.chassis.pack().sheet;
    let (Some(genome), Some(calibration)) = (&sheet.genome, &sheet.calibration) else { return 0.0 };
    let gene_nt = 3.0 * (calibration.protein_length_aa.value + 1.0);
    let reference = &regime.reference;
    let highest = reference.transcription_per_min / reference.environment.transcription_other;
    highest * gene_nt / genome.size_bp.value as f64
}
