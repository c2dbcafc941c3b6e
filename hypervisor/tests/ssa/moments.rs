//! Row 27 of the acceptance table: moments in closed form, by both methods, within three standard errors. And both
//! methods against each other where there is no closed form.

#![expect(clippy::disallowed_methods, reason = "what a trajectory is compared with is no trajectory")]

use super::*;

const REPLICATES: u32 = 4_000;

/// Mean, variance and fourth central moment of a distribution or a sample.
#[derive(Clone, Copy, Debug)]
struct Moments {
    mean: f64,
    variance: f64,
    fourth: f64,
}

impl Moments {
    /// Of values and their weights, which add up to anything.
    fn of(values: impl Iterator<Item = (f64, f64)> + Clone) -> Self {
        let weight: f64 = values.clone().map(|(_, weight)| weight).sum();
        let mean = values.clone().map(|(value, weight)| value * weight).sum::<f64>() / weight;
        let central = |power: i32| {
            values.clone().map(|(value, weight)| (value - mean).powi(power) * weight).sum::<f64>() / weight
        };
        Self { mean, variance: central(2), fourth: central(4) }
    }

    fn of_binomial(trials: f64, p: f64) -> Self {
        let variance = trials * p * (1.0 - p);
        let fourth = variance * (1.0 + 3.0 * (trials - 2.0) * p * (1.0 - p));
        Self { mean: trials * p, variance, fourth }
    }

    fn of_poisson(mean: f64) -> Self {
        Self { mean, variance: mean, fourth: mean + 3.0 * mean * mean }
    }

    /// Standard errors of mean and variance over the replicates.
    fn errors(self) -> (f64, f64) {
        let variance_of_variance = self.fourth - self.variance * self.variance;
        let replicates = f64::from(REPLICATES);
        ((self.variance / replicates).sqrt(), (variance_of_variance / replicates).sqrt())
    }
}

fn sample<M: Method>(model: &Arc<ReactionModel>, species: usize, time: f64) -> Moments {
    let counts: Vec<f64> = (0..REPLICATES)
        .map(|replicate| {
            let mut simulation = M::begin(model, Rng::new(27, replicate, 0));
            simulation.advance_to(time).unwrap();
            simulation.counts()[species] as f64
        })
        .collect();
    Moments::of(counts.iter().map(|count| (*count, 1.0)))
}

fn assert_moments<M: Method>(what: &str, found: Moments, expected: Moments) {
    let (mean_error, variance_error) = expected.errors();
    let figures = [
        ("mean", found.mean, expected.mean, mean_error),
        ("variance", found.variance, expected.variance, variance_error),
    ];
    for (name, value, reference, error) in figures {
        let what = format!("{what}, {name}, {}", M::NAME);
        let holds = Some((value - reference).abs() < 3.0 * error);
        show("27", &what, value, format!("{reference:.4}"), &format!("3 x {error:.4}"), holds);
    }
}

fn decay<M: Method>() {
    let model = model(&[("A", 100)], &[("A ->", 1.0)]);
    for time in [0.1_f64, 0.7, 3.0] {
        let expected = Moments::of_binomial(100.0, (-time).exp());
        assert_moments::<M>(&format!("decay at {time}"), sample::<M>(&model, 0, time), expected);
    }
}

fn birth_death<M: Method>() {
    let model = model(&[("A", 0)], &[("-> A", 20.0), ("A ->", 0.5)]);
    for time in [0.5_f64, 20.0] {
        let expected = Moments::of_poisson(40.0 * (1.0 - (-0.5 * time).exp()));
        assert_moments::<M>(&format!("birth and death at {time}"), sample::<M>(&model, 0, time), expected);
    }
}

/// At rest 2 A <-> B balances each step: P(b+1) / P(b) = bind a (a-1) / 2 / (free (b+1)), with a = 50 - 2 b.
fn dimerisation<M: Method>() {
    let (bind, free) = (0.02, 0.3);
    let model = model(&[("A", 50), ("B", 0)], &[("A + A -> B", bind), ("B -> A + A", free)]);
    let mut weights = vec![(0.0, 1.0)];
    for dimers in 0..25 {
        let dimers = f64::from(dimers);
        let monomers = 50.0 - 2.0 * dimers;
        let (_, weight) = weights[weights.len() - 1];
        weights.push((
            dimers + 1.0,
            weight * bind * monomers * (monomers - 1.0) / 2.0 / (free * (dimers + 1.0)),
        ));
    }
    let expected = Moments::of(weights.into_iter());
    assert_moments::<M>("dimerisation at rest", sample::<M>(&model, 1, 30.0), expected);
}

#[test]
fn row_27_one_state_decay_has_the_binomial_s_moments() {
    decay::<Direct>();
    decay::<Rejection>();
}

#[test]
fn row_27_birth_and_death_have_the_poisson_s_moments() {
    birth_death::<Direct>();
    birth_death::<Rejection>();
}

#[test]
fn row_27_dimerisation_has_the_moments_of_its_balance() {
    dimerisation::<Direct>();
    dimerisation::<Rejection>();
}

/// What happens changes no count, so that it goes on. A triple of five molecules meets in ten ways, a pair and another species in 3 * 4.
#[test]
fn waiting_times_count_distinct_sets_of_reactants() {
    fn mean_wait<M: Method>(model: &Arc<ReactionModel>) -> f64 {
        let waits = (0..REPLICATES).map(|replicate| {
            let mut simulation = M::begin(model, Rng::new(3, replicate, 0));
            simulation.advance_within(1e9, 1).unwrap();
            assert_eq!(simulation.events(), 1);
            let saved: serde_json::Value = serde_json::from_str(&simulation.save()).unwrap();
            saved["time"].as_f64().unwrap()
        });
        waits.sum::<f64>() / f64::from(REPLICATES)
    }
    let cases = [
        (model(&[("A", 5)], &[("A + A + A -> A + A + A", 2.0)]), 20.0),
        (model(&[("A", 3), ("B", 4)], &[("A + B + A -> A + A + B", 1.0)]), 12.0),
        (model(&[("A", 3), ("B", 4)], &[("A + B -> B + A", 0.5)]), 6.0),
        (model(&[("A", 3)], &[("A + A -> A + A", 4.0)]), 12.0),
    ];
    for (model, propensity) in cases {
        for wait in [mean_wait::<Direct>(&model), mean_wait::<Rejection>(&model)] {
            let off = (wait * propensity - 1.0) * f64::from(REPLICATES).sqrt();
            assert!(off.abs() < 4.0, "{:?}: {wait} against 1/{propensity}", model.reactions());
        }
    }
}

/// Genes that activate each other in a ring, with mRNA and proteins: propensities over four decades.
#[test]
fn both_methods_agree_on_a_network_without_a_closed_form() {
    let genes = 6;
    let mut counts = Vec::new();
    let mut reactions = Vec::new();
    for gene in 0..genes {
        let next = (gene + 1) % genes;
        counts.extend([(format!("G{gene}"), 1), (format!("M{gene}"), 2), (format!("P{gene}"), 30)]);
        reactions.extend([
            (format!("G{gene} + P{next} -> G{gene} + P{next} + M{gene}"), 0.01 * f64::from(gene + 1)),
            (format!("M{gene} -> M{gene} + P{gene}"), 5.0),
            (format!("M{gene} ->"), 0.5),
            (format!("P{gene} ->"), 0.2),
            (format!("P{gene} + P{next} ->"), 0.002),
        ]);
    }
    let counts: Vec<(&str, u64)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let reactions: Vec<(&str, f64)> = reactions.iter().map(|(text, rate)| (text.as_str(), *rate)).collect();
    let model = model(&counts, &reactions);
    for species in [1, 8, 17] {
        let (direct, rejection) =
            (sample::<Direct>(&model, species, 2.0), sample::<Rejection>(&model, species, 2.0));
        let (mean_error, variance_error) = direct.errors();
        let sigmas = [
            (direct.mean - rejection.mean) / mean_error / 2.0_f64.sqrt(),
            (direct.variance - rejection.variance) / variance_error / 2.0_f64.sqrt(),
        ];
        for off in sigmas {
            assert!(off.abs() < 3.0, "species {species}: {direct:?} against {rejection:?}");
        }
    }
}
