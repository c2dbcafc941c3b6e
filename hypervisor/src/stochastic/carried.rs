//! What a single cell carries beside its core and its genes: operons whose genes no table of genes holds, and plasmids.
//! Every count comes from reactions, at rates that stand still within a tick:
//!
//! ```text
//!     -> mRNA     mRNA ->     mRNA -> mRNA + protein          of each operon
//!     plasmid -> 2 plasmids   k0 n / (1 + n/(K v))            in a cell of volume v; those of packages alike
//! ```
//!
//! Given those rates each operon and each plasmid goes its own way, so one is simulated after the other. An operon
//! whose genes are simulated by themselves has its regulation here, and no counts. It draws from a stream of its own.

use std::collections::BTreeMap;

use super::draw::{self, kind_at};
use super::{Fault, MAX_EVENTS_PER_TICK, TICK_MIN};
use crate::organism::environment::Environment;
use crate::organism::expression::Expression;
use crate::organism::package;
use crate::organism::state::{Followed, OrganismState, Regulation};
use crate::rng::Rng;
use crate::spec::Regime;

/// The stream of its random numbers.
pub(super) const STREAM: u64 = 2;

/// Kinds of an operon's reactions.
const TRANSLATION: usize = 0;
const TRANSCRIPTION: usize = 1;

/// The copies of one operon in the cell; none where its genes are simulated by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OperonCounts {
    pub(super) regulation: Regulation,
    pub(super) mrna: u64,
    /// Of each of its genes.
    pub(super) proteins: Vec<u64>,
}

/// Each by its place in the pack.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    /// All that the pack lists.
    pub(super) operons: BTreeMap<usize, OperonCounts>,
    /// Copies in the cell, none of them 0.
    pub(super) plasmids: BTreeMap<usize, u64>,
    /// What was installed, by name; plasmids of it stay listed when the last copy is lost.
    pub(super) packages: BTreeMap<String, package::Carried>,
    pub(super) rng: Rng,
}

/// What the cell offers in a tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) environment: Environment,
    /// Mass of the cell over that of the mean cell.
    pub(super) volume: f64,
}

impl Carried {
    /// The operons of the pack, all unregulated, as the unlimited steady state has them at `volume`, to the nearest
    /// whole molecules; `by_gene` says which have their genes simulated by themselves.
    pub(super) fn at_reference(
        regime: &Regime,
        volume: f64,
        by_gene: impl Fn(usize) -> bool,
        rng: Rng,
    ) -> Self {
        let whole = |amount: f64| draw::whole((amount * volume).round());
        let operons = 0..regime.chassis.pack().operon_table.len();
        let counts = |at: usize| {
            if by_gene(at) {
                return OperonCounts::default();
            }
            let balanced =
                Expression::of_operon(regime, at).balanced(&regime.reference.environment, Regulation::Basal);
            OperonCounts {
                regulation: Regulation::Basal,
                mrna: whole(balanced.mrna),
                proteins: balanced.proteins.into_iter().map(whole).collect(),
            }
        };
        let operons = operons.map(|at| (at, counts(at))).collect();
        Self { operons, plasmids: BTreeMap::new(), packages: BTreeMap::new(), rng }
    }

    /// Simulates one tick; returns how many reactions fired.
    pub(super) fn run_tick(&mut self, regime: &Regime, offer: &Offer) -> Result<u64, Fault> {
        let mut events = 0;
        for (at, counts) in self.operons.iter_mut().filter(|(_, counts)| !counts.proteins.is_empty()) {
            let expression = Expression::of_operon(regime, *at);
            let transcription =
                expression.transcription(&offer.environment, counts.regulation) * offer.volume;
            let translation = expression.translation(&offer.environment);
            events += counts.run(transcription, offer.environment.decay, &translation, &mut self.rng)?;
        }
        for (at, copies) in &mut self.plasmids {
            let Some(plasmid) = regime.chassis.pack().plasmid_table.get(*at) else { continue };
            let half_copies = plasmid.half_copies * offer.volume;
            events += replicate(copies, plasmid.k0_per_min, half_copies, &mut self.rng)?;
        }
        for (plasmid, copies) in self.packages.values_mut().flat_map(|package| &mut package.plasmids) {
            let (half_copies, mut number) = (plasmid.half_copies * offer.volume, draw::whole(*copies));
            events += replicate(&mut number, plasmid.k0_per_min, half_copies, &mut self.rng)?;
            *copies = number as f64;
        }
        Ok(events)
    }

    /// Leaves each molecule to the followed daughter or to the other, by a coin each.
    pub(super) fn divide(&mut self) {
        for counts in self.operons.values_mut() {
            for count in counts.proteins.iter_mut().chain([&mut counts.mrna]) {
                *count = self.rng.binomial(*count, 0.5);
            }
        }
        for copies in self.plasmids.values_mut() {
            *copies = self.rng.binomial(*copies, 0.5);
        }
        self.plasmids.retain(|_, copies| *copies > 0);
        for (_, copies) in self.packages.values_mut().flat_map(|package| &mut package.plasmids) {
            *copies = self.rng.binomial(draw::whole(*copies), 0.5) as f64;
        }
    }

    /// What plasmids and packages cost a cell of this volume, in the mean cell's terms, 1/min.
    pub(super) fn load(&self, regime: &Regime, volume: f64) -> f64 {
        let plasmids = OrganismState { plasmids: self.copies(), ..OrganismState::default() };
        let plasmids = plasmids.load(regime) / volume;
        self.packages.values().fold(plasmids, |load, package| load + package.load(volume))
    }

    fn copies(&self) -> BTreeMap<usize, f64> {
        self.plasmids.iter().map(|(at, copies)| (*at, *copies as f64)).collect()
    }

    /// The same in the terms of the mean cell, amounts being those in this one.
    pub(super) fn organism(&self) -> OrganismState {
        let followed = |counts: &OperonCounts| Followed {
            regulation: counts.regulation,
            mrna: counts.mrna as f64,
            proteins: counts.proteins.iter().map(|count| *count as f64).collect(),
        };
        OrganismState {
            operons: self.operons.iter().map(|(at, counts)| (*at, followed(counts))).collect(),
            genes: BTreeMap::new(),
            plasmids: self.copies(),
            packages: self.packages.clone(),
        }
    }
}

impl OperonCounts {
    /// One tick at these rates, 1/min: transcription in all, decay a message, proteins of each gene a message.
    fn run(
        &mut self,
        transcription: f64,
        decay: f64,
        translation: &[f64],
        rng: &mut Rng,
    ) -> Result<u64, Fault> {
        let of_a_message: f64 = translation.iter().sum();
        let (mut now_min, mut events) = (0.0, 0);
        loop {
            let messages = self.mrna as f64;
            let propensities = [of_a_message * messages, transcription, decay * messages];
            let total: f64 = propensities.iter().sum();
            if !waits(total, &mut now_min, rng)? {
                return Ok(events);
            }
            events += 1;
            let (kind, point) = kind_at(&propensities, rng.uniform_open() * total);
            match kind {
                TRANSLATION => self.proteins[gene_at(translation, point.rest / messages)] += 1,
                TRANSCRIPTION => self.mrna += 1,
                _ => self.mrna -= 1,
            }
        }
    }
}

/// One tick of a plasmid's replication.
fn replicate(copies: &mut u64, k0_per_min: f64, half_copies: f64, rng: &mut Rng) -> Result<u64, Fault> {
    let (mut now_min, mut events) = (0.0, 0);
    loop {
        let number = *copies as f64;
        if !waits(k0_per_min * number / (1.0 + number / half_copies), &mut now_min, rng)? {
            return Ok(events);
        }
        *copies += 1;
        events += 1;
    }
}

/// Waits for the next of reactions with this sum of propensities; whether it comes within the tick.
fn waits(total: f64, now_min: &mut f64, rng: &mut Rng) -> Result<bool, Fault> {
    if total.is_nan() || total * (TICK_MIN - *now_min) > MAX_EVENTS_PER_TICK {
        return Err(Fault::TooManyEvents);
    }
    // Where nothing can happen the wait is infinite.
    *now_min += rng.exponential() / total;
    Ok(*now_min < TICK_MIN)
}

/// The gene whose protein is made; `point` is uniform between 0 and the sum.
fn gene_at(translation: &[f64], mut point: f64) -> usize {
    for (at, rate) in translation.iter().enumerate() {
        point -= rate;
        if point < 0.0 {
            return at;
        }
    }
    translation.len() - 1
}
