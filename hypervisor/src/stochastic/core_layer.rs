//! The discrete part of a cell without a table of genes: the core model's own reactions by the direct method.
//!
//! ```text
//!     -> m_x     m_x ->     m_x + r <-> c_x     c_x -> m_x + r + protein     c_x -> zb     r <-> zi
//! ```
//!
//! Every propensity comes from whole numbers at each reaction, so nothing accumulates. Elongation, transcription
//! and volume stand still within one substep. It draws nothing but reactions, and the halves of a division.

use super::draw::{self, Point, kind_at};
use super::environment::Environment;
use super::{Fault, MAX_EVENTS_PER_TICK};
use crate::grid::TICKS_PER_MINUTE;
use crate::model::core::{BOUND, C, CLASS_R, CLASSES, Constants, E, IDLE, M, R, Vector};
use crate::rng::Rng;

/// Substeps of a tick: energy follows the ribosomes within seconds.
const SUBSTEPS: u32 = 10;
const SUBSTEP_MIN: f64 = 1.0 / (SUBSTEPS as f64 * TICKS_PER_MINUTE as f64);
const MAX_EVENTS_PER_SUBSTEP: f64 = MAX_EVENTS_PER_TICK / SUBSTEPS as f64;

/// Kinds of reaction, by how often they fire.
const KINDS: usize = 7;
const BINDING: usize = 0;
const COMPLEX: usize = 1;
const RIBOSOMAL_COMPLEX: usize = 2;
const TRANSCRIPTION: usize = 3;
const DECAY: usize = 4;
const IDLING: usize = 5;
const RETURN: usize = 6;

/// Molecules in the cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CoreLayer {
    pub(super) mrna: [u64; CLASSES],
    pub(super) complexes: [u64; CLASSES],
    /// Of the classes t, m, q, p.
    pub(super) proteins: [u64; CLASSES - 1],
    pub(super) free: u64,
    pub(super) bound: u64,
    pub(super) idle: u64,
}

/// Rates that hold for one substep.
struct Rates {
    transcription: [f64; CLASSES],
    transcription_total: f64,
    /// Completions per complex, 1/min.
    completion: [f64; CLASSES],
    /// Fates of a complex in all: unbinding, completion, inhibition.
    ribosomal_fate: f64,
    other_fate: f64,
    volume: f64,
}

/// Of the counts: kept along, being whole numbers.
struct Sums {
    mrna: u64,
    /// Complexes that are not of class r.
    others: u64,
}

impl CoreLayer {
    /// A state of the core at `volume`, to the nearest whole molecules.
    pub(super) fn at(state: &Vector, volume: f64) -> Self {
        let count = |at: usize| draw::whole((state[at] * volume).round());
        Self {
            mrna: std::array::from_fn(|class| count(M + class)),
            complexes: std::array::from_fn(|class| count(C + class)),
            proteins: std::array::from_fn(|class| count(E + class)),
            free: count(R),
            bound: count(BOUND),
            idle: count(IDLE),
        }
    }

    /// Every count, in the order of a checkpoint.
    pub(super) fn counts_mut(&mut self) -> impl Iterator<Item = &mut u64> {
        let ribosomes = [&mut self.free, &mut self.bound, &mut self.idle];
        self.mrna.iter_mut().chain(&mut self.complexes).chain(&mut self.proteins).chain(ribosomes)
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        let ribosomes = [self.free, self.bound, self.idle];
        let pools = self.mrna.iter().chain(&self.complexes).chain(&self.proteins);
        pools.copied().chain(ribosomes)
    }

    fn translating(&self) -> u64 {
        self.complexes.iter().sum()
    }

    /// Mass of all protein, aa.
    pub(super) fn mass(&self, k: &Constants) -> f64 {
        let ribosomes = self.free + self.translating() + self.bound + self.idle;
        let proteins: u64 = self.proteins.iter().sum();
        ribosomes as f64 / k.per_ribosome + proteins as f64 / k.per_protein
    }

    /// The counts per volume in the core's terms, and that volume.
    pub(super) fn state(&self, k: &Constants, environment: &Environment) -> (Vector, f64) {
        let volume = (self.mass(k) / k.mass).max(f64::MIN_POSITIVE);
        let mut y = [0.0; crate::model::core::N];
        let places = (M..M + CLASSES).chain(C..C + CLASSES).chain(E..E + CLASSES - 1).chain([R, BOUND, IDLE]);
        for (place, count) in places.zip(self.counts()) {
            y[place] = count as f64 / volume;
        }
        environment.write(&mut y);
        (y, volume)
    }

    /// Simulates one tick; returns how many reactions fired.
    pub(super) fn run_tick(
        &mut self,
        k: &Constants,
        environment: &mut Environment,
        rng: &mut Rng,
    ) -> Result<u64, Fault> {
        if k.cap == f64::INFINITY {
            self.free += self.idle;
            self.idle = 0;
        }
        let mut events = 0;
        for _ in 0..SUBSTEPS {
            let (mut y, volume) = self.state(k, environment);
            environment.advance(k, SUBSTEP_MIN, &y, crate::model::core::translating(&y));
            environment.write(&mut y);
            let rates = k.rates(&y);
            let completion = k.completion(rates.elongation);
            let transcription = k.transcription(&rates).map(|rate| rate * volume);
            let rates = Rates {
                transcription,
                transcription_total: transcription.iter().sum(),
                completion,
                ribosomal_fate: k.unbinding + completion[CLASS_R] + k.inhibition,
                other_fate: k.unbinding + completion[CLASS_R + 1] + k.inhibition,
                volume,
            };
            events += self.run(k, &rates, rng)?;
        }
        Ok(events)
    }

    fn run(&mut self, k: &Constants, rates: &Rates, rng: &mut Rng) -> Result<u64, Fault> {
        let (mut now_min, mut events) = (0.0, 0);
        let mut sums = Sums { mrna: self.mrna.iter().sum(), others: self.complexes[1..].iter().sum() };
        loop {
            let propensities = self.propensities(k, rates, &sums);
            let total: f64 = propensities.iter().sum();
            if total.is_nan() || total * (SUBSTEP_MIN - now_min) > MAX_EVENTS_PER_SUBSTEP {
                return Err(Fault::TooManyEvents);
            }
            // Where nothing can happen the wait is infinite.
            now_min += rng.exponential() / total;
            if now_min >= SUBSTEP_MIN || now_min.is_nan() {
                return Ok(events);
            }
            events += 1;
            let (kind, point) = kind_at(&propensities, rng.uniform_open() * total);
            self.fire(k, rates, kind, point, &mut sums, rng);
        }
    }

    /// One reaction of a kind; `point` is uniform between 0 and the kind's propensity.
    #[inline]
    fn fire(
        &mut self,
        k: &Constants,
        rates: &Rates,
        kind: usize,
        point: Point,
        sums: &mut Sums,
        rng: &mut Rng,
    ) {
        match kind {
            BINDING => {
                let class = chosen(&self.mrna, point.fraction());
                self.free -= 1;
                self.mrna[class] -= 1;
                self.complexes[class] += 1;
                sums.mrna -= 1;
                sums.others += u64::from(class != CLASS_R);
            }
            COMPLEX | RIBOSOMAL_COMPLEX => {
                let class = match kind {
                    COMPLEX => 1 + chosen(&self.complexes[1..], point.fraction()),
                    _ => CLASS_R,
                };
                sums.mrna += u64::from(self.end_complex(k, rates, class, rng));
                sums.others -= u64::from(class != CLASS_R);
            }
            TRANSCRIPTION => {
                self.mrna[transcribed(&rates.transcription, point.rest)] += 1;
                sums.mrna += 1;
            }
            DECAY => {
                self.mrna[chosen(&self.mrna, point.fraction())] -= 1;
                sums.mrna -= 1;
            }
            IDLING => {
                self.free -= 1;
                self.idle += 1;
            }
            _ => {
                self.idle -= 1;
                self.free += 1;
            }
        }
    }

    #[inline]
    fn propensities(&self, k: &Constants, rates: &Rates, sums: &Sums) -> [f64; KINDS] {
        let free = self.free as f64;
        let mut propensities = [0.0; KINDS];
        propensities[BINDING] = k.binding * free * sums.mrna as f64 / rates.volume;
        propensities[COMPLEX] = rates.other_fate * sums.others as f64;
        propensities[RIBOSOMAL_COMPLEX] = rates.ribosomal_fate * self.complexes[CLASS_R] as f64;
        propensities[TRANSCRIPTION] = rates.transcription_total;
        propensities[DECAY] = k.decay * sums.mrna as f64;
        if k.cap < f64::INFINITY {
            let active = self.free + sums.others + self.complexes[CLASS_R];
            let over = active as f64 - k.cap * rates.volume;
            // The core's flux: saturating in the molecules that move.
            let saturated = |count: u64| count as f64 / (rates.volume + count as f64);
            propensities[IDLING] = k.sequestration * over.max(0.0) * saturated(self.free);
            propensities[RETURN] = k.sequestration * (-over).max(0.0) * saturated(self.idle);
        }
        propensities
    }

    /// A complex ends; whether it leaves its mRNA and its ribosome free.
    fn end_complex(&mut self, k: &Constants, rates: &Rates, class: usize, rng: &mut Rng) -> bool {
        self.complexes[class] -= 1;
        let completion = rates.completion[class];
        let fate = rng.uniform_open() * (k.unbinding + completion + k.inhibition);
        if fate >= k.unbinding + completion {
            self.bound += 1;
            return false;
        }
        self.mrna[class] += 1;
        self.free += 1;
        if fate < completion {
            if class == CLASS_R {
                self.free += 1;
            } else {
                self.proteins[class - 1] += 1;
            }
        }
        true
    }

    /// Leaves each molecule to the followed daughter or to the other, by a coin each.
    pub(super) fn divide(&mut self, rng: &mut Rng) {
        for count in self.counts_mut() {
            *count = rng.binomial(*count, 0.5);
        }
    }
}

/// One of `counts` by their sizes; `point` is uniform between 0 and 1, and they are not all 0.
fn chosen(counts: &[u64], point: f64) -> usize {
    let sum: u64 = counts.iter().sum();
    let mut left = point * sum as f64;
    let mut last = 0;
    for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        last = at;
        left -= *count as f64;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// The class transcribed; `point` is uniform between 0 and the sum.
fn transcribed(rates: &[f64; CLASSES], point: f64) -> usize {
    let mut left = point;
    let mut last = CLASS_R;
    for (class, rate) in rates.iter().enumerate().filter(|(_, rate)| **rate > 0.0) {
        last = class;
        left -= rate;
        if left < 0.0 {
            break;
        }
    }
    last
}
