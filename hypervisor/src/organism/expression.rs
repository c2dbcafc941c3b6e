//! How often an operon or a gene is transcribed and translated, from the figures of its pack, scaled by what the cell
//! offers now over what it offers at its unlimited steady state.

use super::environment::{Environment, Tick, bounded};
use super::state::{Followed, Regulation};
use crate::chassis::pack::operons::{Operon, OperonClass};
use crate::maths;
use crate::spec::Regime;

/// The expression of one transcript.
pub(crate) struct Expression<'a> {
    reference: &'a Environment,
    class: OperonClass,
    /// Copies of the mRNA in the unlimited steady state.
    mrna: f64,
    /// Proteins made per message there, 1/min, of each gene.
    translation: Vec<f64>,
    operon: Option<&'static Operon>,
}

impl<'a> Expression<'a> {
    /// Nobody measured how much an operon is expressed: unregulated, it has the share of the cell's protein that its
    /// genes have of the genome, each of its messages read as the core's are.
    pub(crate) fn of_operon(regime: &'a Regime, at: usize) -> Self {
        let reference = &regime.reference.environment;
        let pack = regime.chassis.pack();
        let operon = pack.operon_table.get(at);
        let (Some(operon), Some(genome), Some(calibration)) =
            (operon, &pack.sheet.genome, &pack.sheet.calibration)
        else {
            return Self { reference, class: OperonClass::Other, mrna: 0.0, translation: Vec::new(), operon };
        };
        let share = operon.length_nt() as f64 / genome.size_bp.value as f64;
        let mass_aa = calibration.mass_aa.value * share / operon.genes.len() as f64;
        Self {
            reference,
            class: operon.class,
            mrna: reference.growth * mass_aa / reference.translation,
            translation: operon
                .genes
                .iter()
                .map(|gene| reference.translation / gene.length_aa() as f64)
                .collect(),
            operon: Some(operon),
        }
    }

    /// A gene has the mRNA and the proteins that its table states.
    pub(crate) fn of_gene(regime: &'a Regime, at: usize) -> Self {
        let reference = &regime.reference.environment;
        let gene = regime.chassis.pack().gene_table.as_ref().and_then(|table| table.genes.get(at));
        let mrna = gene.and_then(|gene| gene.mean_mrna).unwrap_or(0.0);
        let proteins = gene.and_then(|gene| gene.proteins_per_cell);
        let translation = proteins.filter(|_| mrna > 0.0).map(|proteins| reference.growth * proteins / mrna);
        let class = OperonClass::Other;
        Self { reference, class, mrna, translation: translation.into_iter().collect(), operon: None }
    }

    /// log2 of how much `regulation` changes transcription; none where nothing was measured of it.
    pub(crate) fn log2_fold_change(&self, regulation: Regulation) -> Option<f64> {
        let sum = |wanted: fn(f64) -> bool| {
            let changes = self.operon.iter().flat_map(|operon| &operon.fold_changes);
            let measured: Vec<f64> = changes.map(|change| change.log2).filter(|log2| wanted(*log2)).collect();
            (!measured.is_empty()).then(|| measured.iter().sum())
        };
        match regulation {
            Regulation::Basal => Some(0.0),
            Regulation::Activated => sum(|log2| log2 > 0.0),
            Regulation::Repressed => sum(|log2| log2 < 0.0),
        }
    }

    /// What `regulation` multiplies transcription by: 1 where nothing was measured of it.
    pub(crate) fn fold_change(&self, regulation: Regulation) -> f64 {
        match self.log2_fold_change(regulation) {
            Some(log2) if log2 != 0.0 => maths::pow(2.0, log2),
            _ => 1.0,
        }
    }

    /// Proteins of each gene made per message, 1/min.
    pub(crate) fn translation(&self, now: &Environment) -> Vec<f64> {
        let scale = now.translation / self.reference.translation;
        self.translation.iter().map(|translation| translation * scale).collect()
    }

    /// Transcriptions, 1/min.
    pub(crate) fn transcription(&self, now: &Environment, regulation: Regulation) -> f64 {
        let (energy, unlimited) = match self.class {
            OperonClass::Ribosomal => (now.transcription_ribosomal, self.reference.transcription_ribosomal),
            OperonClass::Other => (now.transcription_other, self.reference.transcription_other),
        };
        self.fold_change(regulation) * self.mrna * (self.reference.decay + self.reference.growth) * energy
            / unlimited
    }

    /// The copies that would stay as they are under the present rates.
    pub(crate) fn balanced(&self, now: &Environment, regulation: Regulation) -> Followed {
        let mrna = self.transcription(now, regulation) / (now.decay + now.growth);
        // A cell at rest has no balance: it keeps what it had.
        let mrna = if mrna.is_finite() { bounded(mrna) } else { self.mrna };
        let scale = now.translation / self.reference.translation / now.growth;
        let scale = if scale.is_finite() { scale } else { 1.0 / self.reference.growth };
        let proteins = self.translation.iter().map(|translation| bounded(translation * scale * mrna));
        Followed { regulation, mrna, proteins: proteins.collect() }
    }

    /// One tick on.
    pub(crate) fn advance(&self, now: &Environment, tick: &Tick, followed: &mut Followed) {
        let transcription = self.transcription(now, followed.regulation);
        for (protein, translation) in followed.proteins.iter_mut().zip(self.translation(now)) {
            *protein = tick.protein(*protein, followed.mrna, transcription, translation);
        }
        followed.mrna = tick.mrna(followed.mrna, transcription);
    }

    /// How many proteins it makes; none where nobody measured.
    pub(crate) fn proteins(&self) -> usize {
        self.translation.len()
    }
}
