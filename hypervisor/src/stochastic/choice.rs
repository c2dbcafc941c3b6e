//! Choosing one of many weighted things by composition and rejection: weights lie in bins by powers of two; a bin
//! is chosen by its sum, a member of it by trying. About the same time for ten things as for ten thousand.
//! It knows nothing of genes or reactions.

use crate::rng::Rng;

/// One bin a power of two: weights from 2^-64 to 2^63.
const BINS: usize = 128;
/// The bin of weights from 1 to 2.
const BIN_OF_ONE: i32 = 64;
/// Where the exponent of 1 stands in an `f64`.
const EXPONENT_OF_ONE: i32 = 1023;

/// Weighted things, by index.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    weights: Vec<f64>,
    /// Where each stands in its bin.
    places: Vec<u32>,
    bins: Vec<Bin>,
    /// The bins with members, bit by bit.
    occupied: u128,
    total: f64,
}

#[derive(Clone, Debug, Default)]
struct Bin {
    members: Vec<u32>,
    sum: f64,
}

impl Choice {
    /// So many things, each of weight 0.
    pub(super) fn new(count: usize) -> Self {
        Self {
            weights: vec![0.0; count],
            places: vec![0; count],
            bins: vec![Bin::default(); BINS],
            occupied: 0,
            total: 0.0,
        }
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// The weight of one thing.
    pub(super) fn weight(&self, index: usize) -> f64 {
        self.weights[index]
    }

    /// Sets every weight to 0.
    pub(super) fn clear(&mut self) {
        while self.occupied != 0 {
            let bin = self.occupied.trailing_zeros() as usize;
            for member in &self.bins[bin].members {
                self.weights[*member as usize] = 0.0;
            }
            self.bins[bin].members.clear();
            self.bins[bin].sum = 0.0;
            self.occupied &= self.occupied - 1;
        }
        self.total = 0.0;
    }

    /// Gives one thing another weight: 0, or a number from 2^-64 to 2^63 (outside it is taken as the nearest).
    pub(super) fn set(&mut self, index: usize, weight: f64) {
        let before = self.weights[index];
        let weight = if weight > 0.0 { weight.clamp(least(), most()) } else { 0.0 };
        if before > 0.0 {
            self.take_out(index, before);
        }
        if weight > 0.0 {
            self.put_in(index, weight);
        }
        self.weights[index] = weight;
        self.total = self.sum();
    }

    /// Chooses by weight. `point` is uniform between 0 and `total`, which is above 0.
    pub(super) fn pick(&self, mut point: f64, rng: &mut Rng) -> usize {
        let mut left = self.occupied;
        let mut chosen = 0;
        // The largest weights first: most often it is one of them.
        while left != 0 {
            chosen = highest(left);
            point -= self.bins[chosen].sum;
            if point < 0.0 {
                break;
            }
            left &= !(1 << chosen);
        }
        self.bins[chosen].pick(&self.weights, upper_bound(chosen), rng)
    }

    fn sum(&self) -> f64 {
        let (mut left, mut sum) = (self.occupied, 0.0);
        while left != 0 {
            sum += self.bins[left.trailing_zeros() as usize].sum;
            left &= left - 1;
        }
        sum
    }

    fn put_in(&mut self, index: usize, weight: f64) {
        let bin = bin_of(weight);
        let members = &mut self.bins[bin].members;
        self.places[index] = number(members.len());
        members.push(number(index));
        self.bins[bin].sum += weight;
        self.occupied |= 1 << bin;
    }

    fn take_out(&mut self, index: usize, weight: f64) {
        let bin = bin_of(weight);
        let place = self.places[index] as usize;
        let Bin { members, sum } = &mut self.bins[bin];
        members.swap_remove(place);
        if let Some(moved) = members.get(place) {
            self.places[*moved as usize] = number(place);
        }
        *sum -= weight;
        if members.is_empty() {
            // No rounding is left over.
            *sum = 0.0;
            self.occupied &= !(1 << bin);
        }
    }
}

impl Bin {
    /// Tries members until one stands: each at least every second time.
    fn pick(&self, weights: &[f64], upper_bound: f64, rng: &mut Rng) -> usize {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        loop {
            // One word gives the member and, by what is left of it, the height.
            let product = u128::from(rng.next_u64()) * self.members.len() as u128;
            let member = self.members[place(product)] as usize;
            let height = (low_word(product) >> 11) as f64 * STEP * upper_bound;
            if height < weights[member] {
                return member;
            }
        }
    }
}

fn highest(bits: u128) -> usize {
    BINS - 1 - bits.leading_zeros() as usize
}

/// The bin of a weight in range: its exponent.
#[expect(clippy::cast_sign_loss, reason = "a weight in range lies in a bin")]
fn bin_of(weight: f64) -> usize {
    let exponent = ((weight.to_bits() >> 52) & 0x7ff) as i32 - EXPONENT_OF_ONE;
    (exponent + BIN_OF_ONE) as usize
}

/// What no weight of the bin reaches.
fn upper_bound(bin: usize) -> f64 {
    f64::from_bits((bin as u64 + (EXPONENT_OF_ONE - BIN_OF_ONE) as u64 + 1) << 52)
}

fn least() -> f64 {
    upper_bound(0) / 2.0
}

fn most() -> f64 {
    upper_bound(BINS - 1) / 2.0
}

/// The high word: below the number of members.
#[expect(clippy::cast_possible_truncation, reason = "a place in a vector")]
fn place(product: u128) -> usize {
    (product >> 64) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "the low word is what is meant")]
fn low_word(value: u128) -> u64 {
    value as u64
}

#[expect(clippy::cast_possible_truncation, reason = "a gene table is far shorter")]
fn number(index: usize) -> u32 {
    index as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_chosen_as_often_as_its_weight_says() {
        let weights = [0.001, 3.0, 0.0, 1.0, 1.9, 100.0, 0.25, 0.25];
        let mut choice = Choice::new(weights.len());
        choice.set(2, 7.0);
        for (index, weight) in weights.iter().enumerate() {
            choice.set(index, *weight);
        }
        let total: f64 = weights.iter().sum();
        assert!((choice.total() - total).abs() < 1e-12 * total);
        let (mut rng, draws) = (Rng::new(1, 0, 0), 1_000_000);
        let mut counts = [0_u32; 8];
        for _ in 0..draws {
            let point = rng.uniform_open() * choice.total();
            counts[choice.pick(point, &mut rng)] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let expected = f64::from(draws) * weight / total;
            assert!((f64::from(*count) - expected).abs() <= 4.0 * expected.sqrt(), "{counts:?}");
        }
        choice.clear();
        assert_eq!(choice.total(), 0.0);
        choice.set(3, 1.5);
        assert_eq!(choice.pick(0.7, &mut rng), 3);
    }

    #[test]
    fn a_weight_lies_below_its_bin_s_bound_and_above_half_of_it() {
        for weight in [least(), 1e-9, 0.999, 1.0, 1.0001, 2.0, 1e9, most()] {
            let bound = upper_bound(bin_of(weight));
            assert!(weight < bound && weight >= bound / 2.0, "{weight} {bound}");
        }
    }
}
