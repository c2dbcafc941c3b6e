//! Tests of the generator: its bits, its positions, and the distributions that it draws from.

use super::*;
use crate::maths::{exp, pow};

const DRAWS: u32 = 400_000;

/// Mean and variance.
fn moments(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        sum += value;
        squares += value * value;
    }
    let mean = sum / count;
    (mean, squares / count - mean * mean)
}

/// Four standard errors: a test with fixed seeds either holds or does not.
fn assert_near(what: &str, found: f64, expected: f64, deviation: f64) {
    let error = 4.0 * deviation / f64::from(DRAWS).sqrt();
    assert!((found - expected).abs() < error, "{what}: {found}, expected {expected} +- {error}");
}

#[test]
fn a_key_gives_the_same_words_on_every_machine() {
    let mut rng = Rng::new(1, 2, 3);
    let words = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
    // As an implementation of ChaCha with 8 rounds written apart gives them for this key.
    assert_eq!(words, [10136769396207230303, 14971527156164477865, 260001893262624221]);
    let mut rng = Rng::new(1, 2, 3);
    let digest = (0..10_000).fold(0_u64, |digest, _| digest.rotate_left(5) ^ rng.exponential().to_bits());
    assert_eq!(digest, 7872535061045895026);
}

#[test]
fn each_part_of_the_key_gives_another_stream() {
    let first = |seed, replicate, stream| Rng::new(seed, replicate, stream).next_u64();
    let words = [first(0, 0, 0), first(1, 0, 0), first(0, 1, 0), first(0, 0, 1), first(1 << 32, 0, 0)];
    for (at, word) in words.iter().enumerate() {
        assert!(!words[..at].contains(word), "two keys begin with the same word");
    }
}

#[test]
fn a_generator_goes_on_from_any_position() {
    let mut straight = Rng::new(7, 1, 9);
    for position in 0..200 {
        assert_eq!(straight.position(), position);
        let mut restored = Rng::at_position(7, 1, 9, position);
        assert_eq!(restored.position(), position);
        let mut cloned = straight.clone();
        let word = straight.next_u64();
        assert_eq!(restored.next_u64(), word);
        assert_eq!(cloned.next_u64(), word);
        for _ in 0..70 {
            assert_eq!(restored.next_u64(), cloned.next_u64());
        }
        assert_eq!(restored.position(), cloned.position());
    }
}

#[test]
fn uniform_numbers_are_inside_and_even() {
    let mut rng = Rng::new(11, 0, 0);
    let (mean, variance) = moments((0..DRAWS).map(|_| {
        let value = rng.uniform_open();
        assert!(value > 0.0 && value < 1.0);
        value
    }));
    assert_near("mean", mean, 0.5, (1.0_f64 / 12.0).sqrt());
    assert_near("variance", variance, 1.0 / 12.0, (1.0_f64 / 180.0).sqrt());
}

#[test]
fn exponential_numbers_have_the_shape_of_the_curve() {
    let mut rng = Rng::new(12, 0, 0);
    let values: Vec<f64> = (0..DRAWS).map(|_| rng.exponential()).collect();
    let (mean, variance) = moments(values.iter().copied());
    assert_near("mean", mean, 1.0, 1.0);
    assert_near("variance", variance, 1.0, 8.0_f64.sqrt());
    // Of each part of the curve its share: the top layers, the middle, both sides of the tail's begin.
    for (from, to) in
        [(0.0, 1e-3), (0.0, 0.1), (0.5, 1.0), (2.0, 3.0), (7.0, 7.697), (7.697, 9.0), (9.0, 40.0)]
    {
        let share = exp(-from) - exp(-to);
        let (found, _) = moments(values.iter().map(|x| f64::from(u8::from(*x >= from && *x < to))));
        assert_near(&format!("share in {from}..{to}"), found, share, (share * (1.0 - share)).sqrt());
    }
}

#[test]
fn binomial_numbers_have_the_moments_and_the_first_probabilities() {
    let mut rng = Rng::new(13, 0, 0);
    for (trials, probability) in [(2_u32, 0.5), (3, 0.2), (63, 0.5), (64, 1e-3), (65, 0.999), (1_000, 0.3)] {
        let n = f64::from(trials);
        let expected = n * probability;
        let spread = expected * (1.0 - probability);
        let none = pow(1.0 - probability, n);
        let drawn: Vec<f64> =
            (0..DRAWS / 4).map(|_| rng.binomial(trials.into(), probability) as f64).collect();
        let (mean, variance) = moments(drawn.iter().copied());
        let (empty, _) = moments(drawn.iter().map(|k| f64::from(u8::from(*k == 0.0))));
        let fourth = spread * (1.0 + 3.0 * spread * (1.0 - 2.0 / n)) - spread * spread;
        // Half as sharp as the others: a quarter of the draws.
        assert_near("mean", mean, expected, 2.0 * spread.sqrt());
        assert_near("variance", variance, spread, 2.0 * fourth.abs().sqrt() + 1e-9);
        assert_near("none", empty, none, 2.0 * (none * (1.0 - none)).sqrt() + 1e-3);
    }
}

#[test]
fn binomial_numbers_are_exact_at_the_ends() {
    let mut rng = Rng::new(14, 0, 0);
    for trials in [0, 1, 64, 1_000_000] {
        assert_eq!(rng.binomial(trials, 0.0), 0);
        assert_eq!(rng.binomial(trials, -1.0), 0);
        assert_eq!(rng.binomial(trials, f64::NAN), 0);
        assert_eq!(rng.binomial(trials, 1.0), trials);
        assert_eq!(rng.binomial(trials, 2.0), trials);
    }
    assert_eq!(rng.position(), 0, "what is certain costs no random bits");
}

#[test]
fn a_half_costs_a_bit_a_trial() {
    let mut rng = Rng::new(15, 0, 0);
    rng.binomial(64_000, 0.5);
    assert_eq!(rng.position(), 1_000);
}
