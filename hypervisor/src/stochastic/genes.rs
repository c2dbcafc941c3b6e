//! What a gene does, from a table of genes and the chassis' reference steady state, in closed form.
//!
//! ```text
//!   gene i of class x:   -> mRNA        share_i * w_x * volume        per min
//!                   mRNA ->             decay_i * dm                  per mRNA and min
//!                   mRNA -> mRNA + protein   completions_i * F_x      per mRNA and min
//! ```
//!
//! w_x (transcription of the class) and F_x (amino acids that a transcript's ribosomes polymerise) belong to the
//! environment. It holds no counts and draws nothing.

use std::sync::Arc;

use super::choice::Choice;
use crate::chassis::pack::genes::{Gene, GeneTable};
use crate::chassis::{self, ChassisName};
use crate::model::core::{CLASS_Q, CLASS_R, CLASSES, Constants, E, Vector};
use crate::parameters::Settings;
use crate::spec::SpecError;

/// mRNA is reported to four digits behind the point: what is translated and reported as 0 has at least so much.
const LEAST_MEAN_MRNA: f64 = 1e-4;
/// A class whose listed genes make less than this of its mass gets the rest of it as one lump of genes.
const LISTED_ENOUGH: f64 = 0.9;
/// Factors of translation by symbol, besides the ribosomal proteins (rps*, rpl*, rpm*).
const TRANSLATION_FACTORS: [&str; 11] =
    ["infA", "infB", "infC", "fusA", "tufA", "tuf", "tsf", "efp", "frr", "prfA", "lepA"];
/// The class of heterologous protein.
const CLASS_P: usize = CLASSES - 1;

/// The genes of a chassis and their rates. Vectors go by gene: those listed, then lumps, then the burden.
#[derive(Clone, Debug)]
pub(super) struct Genes {
    /// Locus and symbol.
    pub(super) names: Vec<(String, String)>,
    pub(super) class: Vec<usize>,
    /// Transcription over that of the class in the core model.
    pub(super) share: Vec<f64>,
    /// Decay over that of the core model.
    pub(super) decay: Vec<f64>,
    /// What one transcript contributes to its class' demand for ribosomes, in units of w_x.
    pub(super) demand: Vec<f64>,
    /// Mass of a protein, aa, at the reference lengths; sums over a class to the class' mass.
    pub(super) mass: Vec<f64>,
    /// demand / mass: what a transcript's share of its class' polymerisation gives in proteins.
    pub(super) completions: Vec<f64>,
    /// Mean copies of mRNA and protein at the reference steady state, volume 1.
    pub(super) mean_mrna: Vec<f64>,
    pub(super) mean_proteins: Vec<f64>,
    /// Transcription of each class, unregulated.
    pub(super) transcription: Arc<[Choice; CLASSES]>,
    /// The chassis at that state.
    pub(super) reference: Reference,
}

/// A chassis' unlimited steady state, and what holds there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) constants: Constants,
    pub(super) state: Vector,
    pub(super) growth: f64,
    pub(super) elongation: f64,
    pub(super) transcription: [f64; CLASSES],
    /// Mass of each class, aa; none of class p.
    mass: [f64; CLASSES],
}

impl Reference {
    /// The one of `chassis`, calibrated as `settings` say; whatever else they set does not enter.
    pub(super) fn of(chassis: ChassisName, settings: &Settings) -> Result<Self, SpecError> {
        let mut calibration = Settings::default();
        for (symbol, value) in settings.iter().filter(|(symbol, _)| symbol.calibrates()) {
            calibration.set(symbol, value)?;
        }
        let baseline = chassis::baseline(chassis, &calibration)?;
        let constants = baseline.constants(1.0, f64::INFINITY);
        let (state, rates) = (baseline.state, constants.rates(&baseline.state));
        let ribosomes = baseline.reference.ribosomes_total;
        let mut mass = [ribosomes / constants.per_ribosome, 0.0, 0.0, 0.0, 0.0];
        for (class, mass) in mass.iter_mut().enumerate().skip(1) {
            *mass = state[E + class - 1] / constants.per_protein;
        }
        Ok(Self {
            constants,
            state,
            growth: rates.growth,
            elongation: rates.elongation,
            transcription: constants.transcription(&rates),
            mass,
        })
    }
}

/// A gene before it is related to its class.
struct Draft {
    name: (String, String),
    class: usize,
    length_aa: f64,
    proteins: f64,
    mrna: f64,
    /// Length over the mean one.
    relative_length: f64,
}

impl Draft {
    fn mass(&self) -> f64 {
        self.proteins * self.length_aa
    }
}

impl Genes {
    /// The rates of `table`'s genes; `None` where no gene has a mean mRNA: then nothing is known of single genes.
    pub(super) fn new(table: &GeneTable, reference: Reference) -> Option<Self> {
        let mut drafts = listed(table);
        if drafts.is_empty() {
            return None;
        }
        classify(&mut drafts, &reference);
        add_lumps(&mut drafts, table, &reference);
        let class_mass = masses(&drafts);
        let mut genes = Self {
            names: Vec::new(),
            class: Vec::new(),
            share: Vec::new(),
            decay: Vec::new(),
            demand: Vec::new(),
            mass: Vec::new(),
            completions: Vec::new(),
            mean_mrna: Vec::new(),
            mean_proteins: Vec::new(),
            transcription: Arc::new(std::array::from_fn(|_| Choice::new(0))),
            reference,
        };
        for draft in drafts {
            let whole = class_mass[draft.class];
            genes.add(draft, whole);
        }
        genes.add_burden();
        genes.transcription = Arc::new(genes.unregulated());
        Some(genes)
    }

    fn unregulated(&self) -> [Choice; CLASSES] {
        std::array::from_fn(|class| {
            let mut choice = Choice::new(self.count());
            for gene in (0..self.count()).filter(|gene| self.class[*gene] == class) {
                choice.set(gene, self.share[gene]);
            }
            choice
        })
    }

    pub(super) fn count(&self) -> usize {
        self.class.len()
    }

    /// Closed form at the reference: mRNA = share * w / (decay + growth) and protein = completions / growth.
    fn add(&mut self, draft: Draft, class_mass: f64) {
        let reference = &self.reference;
        let transcription = reference.transcription[draft.class];
        let decay = 1.0 / draft.relative_length;
        let loss = decay * reference.constants.decay + reference.growth;
        let (mut demand, mut mass, mut completions) = (0.0, 0.0, 0.0);
        if draft.mass() > 0.0 && draft.mrna > 0.0 {
            demand = transcription * draft.mass() / class_mass / draft.mrna;
            mass = draft.length_aa * reference.mass[draft.class] / class_mass;
            completions = demand / mass;
        }
        self.push(draft.name, draft.class, draft.mrna * loss / transcription, decay);
        self.demand.push(demand);
        self.mass.push(mass);
        self.completions.push(completions);
        self.mean_mrna.push(draft.mrna);
        self.mean_proteins.push(draft.proteins);
    }

    /// The heterologous class as one gene, its transcripts like the mean one of class q. Silent while wp is 0.
    fn add_burden(&mut self) {
        let of_q = |i: &usize| self.class[*i] == CLASS_Q;
        let transcripts: f64 = (0..self.count()).filter(of_q).map(|i| self.mean_mrna[i]).sum();
        let demand = self.reference.transcription[CLASS_Q] / transcripts;
        let loss = self.reference.constants.decay + self.reference.growth;
        let mass = 1.0 / self.reference.constants.per_protein;
        self.push(("burden".to_owned(), String::new()), CLASS_P, loss / demand, 1.0);
        self.demand.push(demand);
        self.mass.push(mass);
        self.completions.push(demand / mass);
        self.mean_mrna.push(0.0);
        self.mean_proteins.push(0.0);
    }

    fn push(&mut self, name: (String, String), class: usize, share: f64, decay: f64) {
        self.names.push(name);
        self.class.push(class);
        self.share.push(share);
        self.decay.push(decay);
    }
}

/// The genes of proteins whose mRNA is reported. One without a measured protein has transcripts only.
fn listed(table: &GeneTable) -> Vec<Draft> {
    let known = |gene: &&Gene| gene.is_simulated();
    let count = table.genes.iter().filter(known).count() as f64;
    let lengths: f64 = table.genes.iter().filter(known).map(|gene| gene.length_nt as f64).sum();
    let mut drafts = Vec::new();
    for gene in table.genes.iter().filter(known) {
        let proteins = gene.proteins_per_cell.unwrap_or(0.0);
        let least = if proteins > 0.0 { LEAST_MEAN_MRNA } else { 0.0 };
        let first = gene.names().next().unwrap_or_default();
        let ribosomal = ["rps", "rpl", "rpm"].iter().any(|stem| first.starts_with(stem));
        drafts.push(Draft {
            name: (gene.locus.clone(), gene.symbol.clone()),
            class: if ribosomal || TRANSLATION_FACTORS.contains(&first) { CLASS_R } else { CLASS_P },
            length_aa: gene.length_aa() as f64,
            proteins,
            mrna: gene.mean_mrna.unwrap_or(0.0).max(least),
            relative_length: gene.length_nt as f64 * count / lengths,
        });
    }
    drafts
}

/// Puts the genes that are not of class r where most of a class' mass is still missing, the heaviest first: a
/// balance of mass, not a statement on what a gene does.
fn classify(drafts: &mut [Draft], reference: &Reference) {
    let mut order: Vec<usize> = (0..drafts.len()).filter(|i| drafts[*i].class == CLASS_P).collect();
    order.sort_by(|a, b| drafts[*b].mass().total_cmp(&drafts[*a].mass()).then(a.cmp(b)));
    let mut missing = reference.mass;
    for i in order {
        let mut most = CLASS_R + 1;
        for class in CLASS_R + 2..CLASS_P {
            if missing[class] > missing[most] {
                most = class;
            }
        }
        drafts[i].class = most;
        missing[most] -= drafts[i].mass();
    }
}

/// One lump for each class that the listed genes do not fill: proteins of the mean length, the mRNA of the table's
/// remainder by mass, or in proportion to the listed genes where it has none.
fn add_lumps(drafts: &mut Vec<Draft>, table: &GeneTable, reference: &Reference) {
    let class_mass = masses(drafts);
    let missing = |class: usize| reference.mass[class] - class_mass[class];
    let wanted: Vec<usize> =
        (0..CLASS_P).filter(|class| class_mass[*class] < LISTED_ENOUGH * reference.mass[*class]).collect();
    let missing_in_all: f64 = wanted.iter().map(|class| missing(*class)).sum();
    let listed_mass: f64 = class_mass.iter().sum();
    let listed_mrna: f64 = drafts.iter().map(|draft| draft.mrna).sum();
    let mrna_per_mass = match &table.remainder {
        Some(remainder) if remainder.mean_mrna > 0.0 => remainder.mean_mrna / missing_in_all,
        _ => listed_mrna / listed_mass,
    };
    let length_aa = 1.0 / reference.constants.per_protein;
    for class in wanted {
        drafts.push(Draft {
            name: (format!("rest_{}", ["r", "t", "m", "q"][class]), String::new()),
            class,
            length_aa,
            proteins: missing(class) / length_aa,
            mrna: missing(class) * mrna_per_mass,
            relative_length: 1.0,
        });
    }
}

fn masses(drafts: &[Draft]) -> [f64; CLASSES] {
    let mut masses = [0.0; CLASSES];
    for draft in drafts {
        masses[draft.class] += draft.mass();
    }
    masses
}
