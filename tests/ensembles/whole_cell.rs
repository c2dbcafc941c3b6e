//! A whole single cell of syn3a simulated apart: rebop fires every reaction, and what stands around the reactions
//! (energy, nutrient, shared ribosomes, the adder) is written here anew from the equations of docs/models.md.
//!
//! ```text
//!   W_x -> W_x + mRNA_i      mRNA_i ->      mRNA_i + F_x -> mRNA_i + F_x + protein_i      T -> T + bound
//! ```
//!
//! W, F and T are counts that stand for rates; they are set every 0.1 min. Of BioXen it takes the table of genes alone.

use bioxen_hypervisor::{ChassisName, Gene, Kind};
use rebop::gillespie::{Gillespie, Rate};

use crate::reference::{CLASSES, Reference, TICK_MIN};

/// A rate of 1 as a count of molecules.
const UNIT: f64 = (1_u64 << 30) as f64;
const TRANSLATION: [&str; 11] =
    ["infA", "infB", "infC", "fusA", "tufA", "tuf", "tsf", "efp", "frr", "prfA", "lepA"];
const LEAST_MRNA: f64 = 1e-4;

/// What the cell is given.
#[derive(Clone, Copy)]
pub(crate) struct Supply {
    pub(crate) atp: f64,
    /// Share of the ribosomes that may be active; none: no cap.
    pub(crate) cap: Option<f64>,
    /// Chloramphenicol in uM.
    pub(crate) cl: f64,
}

/// A cell at its last division.
pub(crate) struct Ended {
    pub(crate) minutes: f64,
    pub(crate) proteins: f64,
    pub(crate) mrna: f64,
    pub(crate) ribosomes: f64,
}

/// One gene, or the rest of a class: its class, mean copies, mass of a protein, and relative length.
#[derive(Clone)]
struct Product {
    class: usize,
    mrna: f64,
    proteins: f64,
    length_aa: f64,
    relative_length: f64,
}

impl Product {
    fn mass(&self) -> f64 {
        self.proteins * self.length_aa
    }
}

pub(crate) struct Model {
    reference: Reference,
    products: Vec<Product>,
    /// What scales each class to the core's mass.
    stretch: [f64; CLASSES],
}

impl Model {
    pub(crate) fn of_syn3a() -> Self {
        let reference = Reference::of_syn3a();
        let table = ChassisName::Syn3a.pack().gene_table.as_ref().expect("syn3a has genes");
        let known: Vec<&Gene> = table
            .genes
            .iter()
            .filter(|gene| gene.kind == Kind::Cds && !gene.pseudo && gene.mean_mrna.is_some())
            .collect();
        let mean_length = known.iter().map(|gene| gene.length_nt as f64).sum::<f64>() / known.len() as f64;
        let mut products: Vec<Product> = known.iter().map(|gene| product(gene, mean_length)).collect();
        classify(&mut products, &reference.mass);
        let listed: [f64; CLASSES] = std::array::from_fn(|class| mass_of(&products, class));
        let missing: [f64; CLASSES] = std::array::from_fn(|class| reference.mass[class] - listed[class]);
        // What is listed only in sum: a rest in every class that lacks a tenth of its mass or more.
        let lacking = |class: &usize| listed[*class] < 0.9 * reference.mass[*class];
        let in_all: f64 = (0..CLASSES).filter(lacking).map(|class| missing[class]).sum();
        let rest_mrna = table.remainder.as_ref().map_or(0.0, |rest| rest.mean_mrna);
        for class in (0..CLASSES).filter(lacking) {
            products.push(Product {
                class,
                mrna: missing[class] / in_all * rest_mrna,
                proteins: missing[class] / reference.nx,
                length_aa: reference.nx,
                relative_length: 1.0,
            });
        }
        let stretch = std::array::from_fn(|class| reference.mass[class] / mass_of(&products, class));
        Self { reference, products, stretch }
    }

    /// Follows one lineage from a birth over so many divisions.
    pub(crate) fn follow(&self, seed: u64, generations: u32, supply: impl Fn(f64) -> Supply) -> Ended {
        let mut cell = Cell::new(self, seed);
        let unlimited = Supply { atp: 1.0, cap: None, cl: 0.0 };
        // Its mother's life, from the unlimited mean cell.
        while !cell.run_tick(unlimited) {}
        let mut ticks: u32 = 0;
        let mut left = generations;
        while left > 0 {
            left -= u32::from(cell.run_tick(supply(f64::from(ticks) * TICK_MIN)));
            ticks += 1;
        }
        let mass = cell.masses();
        Ended {
            minutes: f64::from(ticks) * TICK_MIN,
            proteins: mass.iter().sum::<f64>() / self.reference.nx,
            mrna: (0..self.products.len()).map(|at| cell.counts[at] as f64).sum(),
            ribosomes: mass[0] / self.reference.nr,
        }
    }
}

fn product(gene: &Gene, mean_length: f64) -> Product {
    let symbol = gene.symbol.split(';').next().unwrap_or_default().trim();
    let ribosomal = ["rps", "rpl", "rpm"].iter().any(|stem| symbol.starts_with(stem));
    let proteins = gene.proteins_per_cell.unwrap_or(0.0);
    let least = if proteins > 0.0 { LEAST_MRNA } else { 0.0 };
    Product {
        // Behind the last until it has one.
        class: if ribosomal || TRANSLATION.contains(&symbol) { 0 } else { CLASSES },
        mrna: gene.mean_mrna.unwrap_or(0.0).max(least),
        proteins,
        length_aa: gene.length_aa() as f64,
        relative_length: gene.length_nt as f64 / mean_length,
    }
}

/// The heaviest first, each where most is missing.
fn classify(products: &mut [Product], mass: &[f64; CLASSES]) {
    let mut order: Vec<usize> = (0..products.len()).filter(|at| products[*at].class == CLASSES).collect();
    order.sort_by(|a, b| products[*b].mass().total_cmp(&products[*a].mass()).then(a.cmp(b)));
    let mut missing = *mass;
    for at in order {
        let class = (1..CLASSES).rev().max_by(|a, b| missing[*a].total_cmp(&missing[*b])).unwrap_or(1);
        products[at].class = class;
        missing[class] -= products[at].mass();
    }
}

fn mass_of(products: &[Product], class: usize) -> f64 {
    products.iter().filter(|product| product.class == class).map(Product::mass).sum()
}

/// mRNA, then proteins, then bound ribosomes, then what stands for rates: W_x, F_x, T.
struct Cell<'a> {
    model: &'a Model,
    simulation: Gillespie,
    counts: Vec<isize>,
    energy: f64,
    nutrient: f64,
    growth: f64,
    birth_mass: f64,
    now_min: f64,
    coins: u64,
}

impl<'a> Cell<'a> {
    fn new(model: &'a Model, seed: u64) -> Self {
        let genes = model.products.len();
        let mut counts = vec![0; 2 * genes + 1 + 2 * CLASSES + 1];
        for (at, product) in model.products.iter().enumerate() {
            counts[at] = whole(product.mrna * std::f64::consts::LN_2);
            counts[genes + at] = whole(product.proteins * std::f64::consts::LN_2);
        }
        let reference = &model.reference;
        let mut simulation = Gillespie::new_with_seed(counts.clone(), true, seed);
        for (at, product) in model.products.iter().enumerate() {
            let (made, used) = (w_at(genes, product.class), f_at(genes, product.class));
            let decay = reference.dm / product.relative_length;
            let share = product.mrna * (decay + reference.lambda) / reference.w[product.class];
            add(&mut simulation, &counts, share / UNIT, &[made], (at, 1));
            add(&mut simulation, &counts, decay, &[at], (at, -1));
            if product.proteins > 0.0 {
                let kappa = reference.lambda * product.proteins / product.mrna;
                add(&mut simulation, &counts, kappa / UNIT, &[at, used], (genes + at, 1));
            }
        }
        add(&mut simulation, &counts, 1.0 / UNIT, &[t_at(genes)], (2 * genes, 1));
        let mut cell = Self {
            model,
            simulation,
            counts,
            energy: reference.energy,
            nutrient: reference.nutrient,
            growth: reference.lambda,
            birth_mass: 0.0,
            now_min: 0.0,
            coins: seed ^ 0x5bd1_e995_9d1d_8e3b,
        };
        cell.birth_mass = cell.masses().iter().sum();
        cell
    }

    /// Protein mass of each class, aa.
    fn masses(&self) -> [f64; CLASSES] {
        let genes = self.model.products.len();
        let mut masses = [0.0; CLASSES];
        for (at, product) in self.model.products.iter().enumerate() {
            masses[product.class] +=
                self.counts[genes + at] as f64 * product.length_aa * self.model.stretch[product.class];
        }
        masses
    }

    /// One tick; whether the cell divided at its end.
    fn run_tick(&mut self, supply: Supply) -> bool {
        let (genes, reference) = (self.model.products.len(), &self.model.reference);
        let masses = self.masses();
        let volume = masses.iter().sum::<f64>() / reference.mass_aa;
        let per_volume = masses.map(|mass| mass / volume);
        let mut demand = [0.0; CLASSES];
        for (at, product) in self.model.products.iter().enumerate().filter(|(_, one)| one.proteins > 0.0) {
            // The transcription that one transcript stands for.
            let share = product.mass() * self.model.stretch[product.class] / reference.mass[product.class];
            demand[product.class] +=
                self.counts[at] as f64 / volume * reference.w[product.class] * share / product.mrna;
        }
        let unbound = per_volume[0] / reference.nr - self.counts[2 * genes] as f64 / volume;
        let active = supply.cap.map_or(unbound, |cap| unbound.min(cap * reference.ribosomes));
        let inhibition = supply.cl * reference.k_cm;
        let per_demand = reference.balance(active, &demand, inhibition, self.energy, self.growth);
        let translating: f64 = (0..CLASSES).map(|class| per_demand[class] * demand[class]).sum();
        let flow = [per_volume[1] / reference.nx, per_volume[2] / reference.nx, translating];
        (self.energy, self.nutrient) =
            reference.next(self.energy, self.nutrient, supply.atp, flow, self.growth);
        self.growth = reference.elongation(self.energy) * translating / reference.mass_aa;
        let transcription = reference.transcription(self.energy, per_volume[3] / reference.nx);
        for class in 0..CLASSES {
            self.counts[w_at(genes, class)] = whole(transcription[class] * volume * UNIT);
            let completion = reference.relative_completion(class, per_demand[class], self.energy);
            self.counts[f_at(genes, class)] = whole(completion * UNIT);
        }
        self.counts[t_at(genes)] = whole(inhibition * translating * volume * UNIT);
        self.simulation.set_species(&self.counts);
        self.now_min += TICK_MIN;
        self.simulation.advance_until(self.now_min);
        for at in 0..=2 * genes {
            self.counts[at] = self.simulation.get_species(at);
        }
        let divides =
            self.masses().iter().sum::<f64>() - self.birth_mass >= std::f64::consts::LN_2 * reference.mass_aa;
        if divides {
            self.divide();
        }
        divides
    }

    /// A coin for each molecule; a drug stays on its ribosome.
    fn divide(&mut self) {
        let genes = self.model.products.len();
        let mothers = self.masses()[0] / self.model.reference.nr;
        for at in 0..2 * genes {
            self.counts[at] = (0..self.counts[at]).map(|_| isize::from(self.uniform() < 0.5)).sum();
        }
        let held = self.counts[2 * genes] as f64 / mothers;
        let daughters = whole(self.masses()[0] / self.model.reference.nr);
        self.counts[2 * genes] = (0..daughters).map(|_| isize::from(self.uniform() < held)).sum();
        self.birth_mass = self.masses().iter().sum();
    }

    /// SplitMix64, below 1.
    fn uniform(&mut self) -> f64 {
        self.coins = self.coins.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.coins;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn w_at(genes: usize, class: usize) -> usize {
    2 * genes + 1 + class
}

fn f_at(genes: usize, class: usize) -> usize {
    2 * genes + 1 + CLASSES + class
}

fn t_at(genes: usize) -> usize {
    2 * genes + 1 + 2 * CLASSES
}

fn add(simulation: &mut Gillespie, counts: &[isize], rate: f64, reactants: &[usize], change: (usize, isize)) {
    let order: Vec<(u32, u32)> =
        reactants.iter().map(|at| (u32::try_from(*at).expect("few species"), 1)).collect();
    let mut jump = vec![0; counts.len()];
    jump[change.0] = change.1;
    simulation.add_reaction(Rate::lma_sparse(rate, order), jump);
}

#[expect(clippy::cast_possible_truncation, reason = "counts that fit by far")]
fn whole(amount: f64) -> isize {
    amount.round() as isize
}
