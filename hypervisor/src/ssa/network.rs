//! A model as the engines read it: flat arrays, one row a reaction, and who is affected by whom.
//!
//! ```text
//!   slots   x_A  x_B  ..  1  (x_A - 1)         one a species, the constant 1, and what same molecules need
//!   law     rate * slot * slot * slot          the same formula for every order: absent reactants read the 1
//! ```
//!
//! Slots are whole numbers held as doubles, so that a propensity needs no conversion.
//!
//! It knows neither time nor random numbers.

use super::model::MAX_ORDER;

/// The formula of a propensity: `rate` times the slots named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Law {
    pub(super) rate: f64,
    pub(super) slots: [u32; MAX_ORDER],
    pub(super) reaction: u32,
}

/// What an event adds to a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    pub(super) by: f64,
    pub(super) slot: u32,
}

/// What a slot beyond the species' own holds: `less` than their count.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Derived {
    species: u32,
    less: u32,
}

/// Rows of different lengths, one behind the other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows<T> {
    ends: Vec<u32>,
    items: Vec<T>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Network {
    species: u32,
    derived: Vec<Derived>,
    laws: Vec<Law>,
    changes: Rows<Change>,
    /// The reactions whose propensity an event changes.
    affected: Rows<u32>,
}

impl Law {
    #[inline(always)]
    pub(super) fn propensity(&self, slots: &[f64]) -> f64 {
        let [a, b, c] = self.slots;
        self.rate * slots[a as usize] * (slots[b as usize] * slots[c as usize])
    }
}

impl<T> Rows<T> {
    fn new() -> Self {
        Self { ends: vec![0], items: Vec::new() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the model has bounded rows and links")]
    fn push(&mut self, row: impl IntoIterator<Item = T>) {
        self.items.extend(row);
        self.ends.push(self.items.len() as u32);
    }

    #[inline(always)]
    pub(super) fn row(&self, at: usize) -> &[T] {
        &self.items[self.ends[at] as usize..self.ends[at + 1] as usize]
    }
}

impl Network {
    /// Reactions of species 0 to `species`, none yet.
    pub(super) fn empty(species: u32) -> Self {
        Self { species, derived: Vec::new(), laws: Vec::new(), changes: Rows::new(), affected: Rows::new() }
    }

    /// A further reaction, species by their indexes.
    #[expect(clippy::cast_possible_truncation, reason = "the model has bounded both")]
    pub(super) fn push(&mut self, rate: f64, reactants: &[u32], products: &[u32]) {
        let mut slots = [self.one(); MAX_ORDER];
        let mut ways = 1.0;
        for (slot, (at, species)) in slots.iter_mut().zip(reactants.iter().enumerate()) {
            let less = reactants[..at].iter().filter(|one| *one == species).count() as u32;
            *slot = self.slot(*species, less);
            ways *= f64::from(less + 1);
        }
        self.laws.push(Law { rate: rate / ways, slots, reaction: self.laws.len() as u32 });
        let mut touched: Vec<u32> = reactants.iter().chain(products).copied().collect();
        touched.sort_unstable();
        touched.dedup();
        let count = |names: &[u32], species| names.iter().filter(|one| **one == species).count() as f64;
        let changes = touched.into_iter().map(|species| Change {
            slot: species,
            by: count(products, species) - count(reactants, species),
        });
        self.changes.push(changes.filter(|change| change.by != 0.0));
    }

    /// Finds who is affected by whom, once all reactions are in. `None` where that is more than `links_most`.
    pub(super) fn link(mut self, links_most: usize) -> Option<Self> {
        let mut copies = vec![Vec::new(); self.species as usize];
        for (slot, derived) in (self.one() + 1..).zip(&self.derived) {
            copies[derived.species as usize].push(slot);
        }
        let mut readers = vec![Vec::new(); self.slots()];
        for law in &self.laws {
            for slot in law.slots {
                readers[slot as usize].push(law.reaction);
            }
        }
        let changes = std::mem::replace(&mut self.changes, Rows::new());
        for reaction in 0..self.laws.len() {
            let own = changes.row(reaction);
            let copied = own.iter().flat_map(|change| {
                copies[change.slot as usize].iter().map(|slot| Change { slot: *slot, by: change.by })
            });
            self.changes.push(own.iter().copied().chain(copied));
            let mut affected: Vec<u32> = self
                .changes
                .row(reaction)
                .iter()
                .flat_map(|change| readers[change.slot as usize].iter().copied())
                .collect();
            affected.sort_unstable();
            affected.dedup();
            if self.affected.items.len() + affected.len() > links_most {
                return None;
            }
            self.affected.push(affected);
        }
        Some(self)
    }

    /// Every slot at these counts.
    pub(super) fn slots_at(&self, counts: impl Iterator<Item = u64>) -> Vec<f64> {
        let mut slots: Vec<f64> = counts.map(|count| count as f64).collect();
        slots.push(1.0);
        let derived = self.derived.iter().map(|one| slots[one.species as usize] - f64::from(one.less));
        let derived: Vec<f64> = derived.collect();
        slots.extend(derived);
        slots
    }

    pub(super) fn slots(&self) -> usize {
        self.species as usize + 1 + self.derived.len()
    }

    pub(super) fn laws(&self) -> &[Law] {
        &self.laws
    }

    #[inline]
    pub(super) fn changes(&self, reaction: usize) -> &[Change] {
        self.changes.row(reaction)
    }

    #[inline]
    pub(super) fn affected(&self, reaction: usize) -> &[u32] {
        self.affected.row(reaction)
    }

    /// The slot that is always 1.
    fn one(&self) -> u32 {
        self.species
    }

    /// The slot of a species' count, `less` so many.
    #[expect(clippy::cast_possible_truncation, reason = "the model has bounded the species")]
    fn slot(&mut self, species: u32, less: u32) -> u32 {
        if less == 0 {
            return species;
        }
        let wanted = Derived { species, less };
        let known = self.derived.iter().position(|one| *one == wanted);
        let at = known.unwrap_or_else(|| {
            self.derived.push(wanted);
            self.derived.len() - 1
        });
        self.one() + 1 + at as u32
    }
}
