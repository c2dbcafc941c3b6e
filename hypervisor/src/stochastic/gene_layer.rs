//! The discrete part of a cell with a table of genes: copies of each gene's mRNA and protein, and ribosomes held by
//! a drug. Reactions are simulated one by one, exactly, at rates that stand still within a tick:
//!
//! ```text
//!    waiting time --> which kind --> which gene (composition-rejection) --> counts
//! ```
//!
//! What it chooses from is built anew at each tick, from the counts alone: where a caller stops leaves no trace.

use std::sync::Arc;

use super::choice::Choice;
use super::draw::{self, kind_at};
use super::environment::{Environment, Shared};
use super::genes::Genes;
use super::{Fault, GeneCounts, MAX_EVENTS_PER_TICK};
use crate::model::core::{BOUND, C, CLASS_Q, CLASS_R, CLASSES, Constants, E, IDLE, M, Vector};
use crate::rng::Rng;

/// Kinds of reaction: completion, decay, transcription of each class, a drug's binding.
const KINDS: usize = 3 + CLASSES;
const COMPLETION: usize = 0;
const DECAY: usize = 1;
const INHIBITION: usize = 2;
const TRANSCRIPTION: usize = 3;

#[derive(Clone, Debug)]
pub(super) struct GeneLayer {
    pub(super) genes: Arc<Genes>,
    /// Transcription by class: that of the genes, where no operon is regulated.
    transcription: Arc<[Choice; CLASSES]>,
    pub(super) counts: Counts,
    /// What reactions are chosen from; none between two advances.
    transcripts: Option<Box<Transcripts>>,
}

/// What happens to transcripts.
#[derive(Clone, Debug)]
struct Transcripts {
    completion: Choice,
    decay: Choice,
}

impl Transcripts {
    fn of(genes: usize) -> Self {
        Self { completion: Choice::new(genes), decay: Choice::new(genes) }
    }
}

/// Molecules in the cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counts {
    /// By gene.
    pub(super) mrna: Vec<u64>,
    pub(super) proteins: Vec<u64>,
    /// Ribosomes that chloramphenicol holds.
    pub(super) bound: u64,
}

/// What the counts come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    /// Mass over that of the mean cell.
    pub(super) volume: f64,
    /// The core's state, per volume.
    pub(super) state: Vector,
    pub(super) shared: Shared,
}

/// Rates that hold for one tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct TickRates {
    /// Transcription of each class, 1/min.
    pub(super) transcription: [f64; CLASSES],
    /// Amino acids polymerised per transcript's demand, F_x.
    pub(super) polymerisation: [f64; CLASSES],
    /// mRNA decay, 1/min, of the mean gene.
    pub(super) decay: f64,
    /// A drug's binding to translating ribosomes, 1/min.
    pub(super) inhibition: f64,
}

impl GeneLayer {
    pub(super) fn new(genes: Arc<Genes>, counts: Counts) -> Self {
        let transcription = Arc::clone(&genes.transcription);
        Self { genes, transcription, counts, transcripts: None }
    }

    /// Multiplies the transcription of these genes, and of no others. Made anew from the unregulated one, so that it
    /// does not matter in which order operons were regulated.
    pub(super) fn regulate(&mut self, folds: &[(usize, f64)]) {
        self.transcription = Arc::clone(&self.genes.transcription);
        if folds.is_empty() {
            return;
        }
        let choices = Arc::make_mut(&mut self.transcription);
        for (gene, fold) in folds {
            let choice = &mut choices[self.genes.class[*gene]];
            choice.set(*gene, choice.weight(*gene) * fold);
        }
    }

    /// Gives back the memory that is needed while reactions are simulated.
    pub(super) fn rest(&mut self) {
        self.transcripts = None;
    }

    /// Proteins made per transcript of class q over those in the reference state.
    pub(super) fn translation_share(&self, totals: &Totals, elongation: f64) -> f64 {
        let reference = &self.genes.reference;
        let unlimited =
            reference.elongation * reference.state[C + CLASS_Q] / reference.transcription[CLASS_Q];
        elongation * totals.shared.complexes_per_demand[CLASS_Q] / unlimited
    }

    /// The reference state at `volume`, to the nearest whole molecules.
    pub(super) fn at_reference(genes: Arc<Genes>, volume: f64) -> Self {
        let whole = |means: &[f64]| means.iter().map(|mean| draw::whole((mean * volume).round())).collect();
        let (mrna, proteins) = (whole(&genes.mean_mrna), whole(&genes.mean_proteins));
        Self::new(genes, Counts { mrna, proteins, bound: 0 })
    }

    /// Mass of all protein, aa.
    pub(super) fn mass(&self, k: &Constants) -> f64 {
        let stretch = self.stretch(k);
        let by_class = self.class_sums(&self.genes.mass, &self.counts.proteins);
        (0..CLASSES).map(|class| by_class[class] * stretch[class]).sum()
    }

    /// Lengths as set over those of the reference.
    fn stretch(&self, k: &Constants) -> [f64; CLASSES] {
        let reference = &self.genes.reference.constants;
        let mut stretch = [reference.per_protein / k.per_protein; CLASSES];
        stretch[CLASS_R] = reference.per_ribosome / k.per_ribosome;
        stretch
    }

    fn class_sums(&self, weights: &[f64], counts: &[u64]) -> [f64; CLASSES] {
        let mut sums = [0.0; CLASSES];
        for (gene, class) in self.genes.class.iter().enumerate() {
            sums[*class] += weights[gene] * counts[gene] as f64;
        }
        sums
    }

    /// The counts in the core's terms, per `volume` where one is given and per the cell's own otherwise.
    pub(super) fn totals(&self, k: &Constants, environment: &Environment, volume: Option<f64>) -> Totals {
        let stretch = self.stretch(k);
        let mut mass = self.class_sums(&self.genes.mass, &self.counts.proteins);
        for (mass, stretch) in mass.iter_mut().zip(stretch) {
            *mass *= stretch;
        }
        let volume = volume.unwrap_or(mass.iter().sum::<f64>() / k.mass).max(f64::MIN_POSITIVE);
        let demand = self.class_sums(&self.genes.demand, &self.counts.mrna).map(|sum| sum / volume);
        let mut state = [0.0; crate::model::core::N];
        for class in 1..CLASSES {
            state[E + class - 1] = mass[class] * k.per_protein / volume;
        }
        let ribosomes = mass[CLASS_R] * k.per_ribosome / volume;
        state[BOUND] = (self.counts.bound as f64 / volume).min(ribosomes);
        let available = ribosomes - state[BOUND];
        let active = available.min(k.cap);
        state[IDLE] = available - active;
        let shared = environment.share(k, active, &demand);
        shared.write(&mut state, &demand);
        for (gene, class) in self.genes.class.iter().enumerate() {
            state[M + class] += self.counts.mrna[gene] as f64 / volume;
        }
        environment.write(&mut state);
        Totals { volume, state, shared }
    }

    /// The rates of the next tick, to the end of which the environment goes on.
    pub(super) fn next_rates(&self, k: &Constants, environment: &mut Environment, minutes: f64) -> TickRates {
        let Totals { volume, mut state, shared, .. } = self.totals(k, environment, None);
        environment.advance(k, minutes, &state, shared.translating);
        environment.write(&mut state);
        let (elongation, stretch) = (environment.elongation(k), self.stretch(k));
        let transcription = k.transcription(&k.rates(&state)).map(|rate| rate * volume);
        let polymerisation =
            std::array::from_fn(|class| shared.complexes_per_demand[class] * elongation / stretch[class]);
        let inhibition = k.inhibition * shared.translating * volume;
        TickRates { transcription, polymerisation, decay: k.decay, inhibition }
    }

    /// The rates at the reference, in a cell of this volume.
    pub(super) fn reference_rates(&self, volume: f64) -> TickRates {
        let reference = &self.genes.reference;
        let polymerisation = std::array::from_fn(|class| match reference.transcription[class] {
            0.0 => 0.0,
            transcription => reference.elongation * reference.state[C + class] / transcription,
        });
        let transcription = reference.transcription.map(|rate| rate * volume);
        TickRates { transcription, polymerisation, decay: reference.constants.decay, inhibition: 0.0 }
    }

    /// One gene under these rates.
    pub(super) fn readout(&self, gene: usize, rates: &TickRates) -> GeneCounts<'_> {
        let genes = &self.genes;
        let (locus, symbol) = &genes.names[gene];
        let class = genes.class[gene];
        GeneCounts {
            locus,
            symbol,
            mrna: self.counts.mrna[gene],
            proteins: self.counts.proteins[gene],
            transcription_per_min: self.transcription[class].weight(gene) * rates.transcription[class],
            decay_per_min: genes.decay[gene] * rates.decay,
            translation_per_min: genes.completions[gene] * rates.polymerisation[class],
        }
    }

    /// Simulates `minutes` at these rates; returns how many reactions fired.
    pub(super) fn run(&mut self, rates: &TickRates, minutes: f64, rng: &mut Rng) -> Result<u64, Fault> {
        let count = self.genes.count();
        let mut transcripts = self.transcripts.take().unwrap_or_else(|| Box::new(Transcripts::of(count)));
        let done = self.run_with(&mut transcripts, rates, minutes, rng);
        self.transcripts = Some(transcripts);
        done
    }

    fn run_with(
        &mut self,
        transcripts: &mut Transcripts,
        rates: &TickRates,
        minutes: f64,
        rng: &mut Rng,
    ) -> Result<u64, Fault> {
        self.build(transcripts, rates);
        let mut propensities = self.propensities(transcripts, rates);
        let (mut now_min, mut events) = (0.0, 0);
        loop {
            let total: f64 = propensities.iter().sum();
            if total.is_nan() || total * (minutes - now_min) > MAX_EVENTS_PER_TICK {
                return Err(Fault::TooManyEvents);
            }
            // Where nothing can happen the wait is infinite.
            now_min += rng.exponential() / total;
            if now_min >= minutes || now_min.is_nan() {
                return Ok(events);
            }
            events += 1;
            let (kind, point) = kind_at(&propensities, rng.uniform_open() * total);
            if kind == COMPLETION {
                let gene = transcripts.completion.pick(point.rest, rng);
                self.counts.proteins[gene] += 1;
                continue;
            }
            self.fire(transcripts, kind, point.rest, rates, rng);
            propensities = self.propensities(transcripts, rates);
        }
    }

    /// A reaction that changes what can happen next.
    fn fire(
        &mut self,
        transcripts: &mut Transcripts,
        kind: usize,
        point: f64,
        rates: &TickRates,
        rng: &mut Rng,
    ) {
        let gene = match kind {
            DECAY => {
                let gene = transcripts.decay.pick(point / rates.decay, rng);
                self.counts.mrna[gene] = self.counts.mrna[gene].saturating_sub(1);
                gene
            }
            INHIBITION => {
                self.counts.bound += 1;
                return;
            }
            _ => {
                let class = kind - TRANSCRIPTION;
                let gene = self.transcription[class].pick(point / rates.transcription[class], rng);
                self.counts.mrna[gene] += 1;
                gene
            }
        };
        self.weigh(transcripts, gene, rates);
    }

    fn build(&self, transcripts: &mut Transcripts, rates: &TickRates) {
        transcripts.completion.clear();
        transcripts.decay.clear();
        for gene in 0..self.counts.mrna.len() {
            if self.counts.mrna[gene] > 0 {
                self.weigh(transcripts, gene, rates);
            }
        }
    }

    fn weigh(&self, transcripts: &mut Transcripts, gene: usize, rates: &TickRates) {
        let count = self.counts.mrna[gene] as f64;
        let completions = self.genes.completions[gene] * rates.polymerisation[self.genes.class[gene]];
        transcripts.completion.set(gene, count * completions);
        transcripts.decay.set(gene, count * self.genes.decay[gene]);
    }

    fn propensities(&self, transcripts: &Transcripts, rates: &TickRates) -> [f64; KINDS] {
        let mut propensities = [0.0; KINDS];
        propensities[COMPLETION] = transcripts.completion.total();
        propensities[DECAY] = rates.decay * transcripts.decay.total();
        propensities[INHIBITION] = rates.inhibition;
        for class in 0..CLASSES {
            propensities[TRANSCRIPTION + class] =
                rates.transcription[class] * self.transcription[class].total();
        }
        propensities
    }

    /// Leaves each molecule to the followed daughter or to the other, by a coin each. A drug stays on the ribosome
    /// that it holds: of those that the daughter gets, each is held with the chance of the mother's.
    pub(super) fn divide(&mut self, k: &Constants, rng: &mut Rng) {
        let mothers = self.ribosomes(k);
        for count in self.counts.mrna.iter_mut().chain(&mut self.counts.proteins) {
            *count = rng.binomial(*count, 0.5);
        }
        let held = self.counts.bound as f64 / mothers.max(1.0);
        self.counts.bound = rng.binomial(draw::whole(self.ribosomes(k)), held);
    }

    /// Ribosomes that the class' protein makes up.
    fn ribosomes(&self, k: &Constants) -> f64 {
        let mass = self.class_sums(&self.genes.mass, &self.counts.proteins)[CLASS_R];
        mass * self.stretch(k)[CLASS_R] * k.per_ribosome
    }
}
