//! Moments and tests of samples. It knows nothing of cells.

/// Arithmetic mean.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean squared deviation from the mean.
pub(crate) fn variance(values: &[f64]) -> f64 {
    let middle = mean(values);
    values.iter().map(|value| (value - middle) * (value - middle)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// Mean, variance and fourth central moment of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
    fourth: f64,
}

impl Moments {
    pub(crate) fn of(values: &[f64]) -> Self {
        let middle = mean(values);
        let fourth = values.iter().map(|value| (value - middle).powi(4)).sum::<f64>() / values.len() as f64;
        Self { count: values.len() as f64, mean: middle, variance: variance(values), fourth }
    }

    /// Variance over the mean to a power, with its standard error by that of the variance.
    pub(crate) fn variance_over_mean(self, power: i32) -> (f64, f64) {
        let scale = self.mean.max(f64::MIN_POSITIVE).powi(power);
        let of_variance = ((self.fourth - self.variance * self.variance).max(0.0) / self.count).sqrt();
        (self.variance / scale, of_variance / scale)
    }
}

/// Pearson's r.
pub(crate) fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (middle_a, middle_b) = (mean(a), mean(b));
    let shared: f64 = a.iter().zip(b).map(|(x, y)| (x - middle_a) * (y - middle_b)).sum();
    shared / (a.len() as f64 - 1.0) / (variance(a) * variance(b)).sqrt()
}

/// Pearson's r and its standard error by the jackknife: counts are no normal distribution.
pub(crate) fn correlation_with_error(a: &[f64], b: &[f64]) -> (f64, f64) {
    let all = a.iter().zip(b).fold([0.0; 6], |sums, (x, y)| added(sums, *x, *y, 1.0));
    let without: Vec<f64> = a.iter().zip(b).map(|(x, y)| r_of(added(all, *x, *y, -1.0))).collect();
    let count = a.len() as f64;
    (r_of(all), ((count - 1.0).powi(2) / count * variance(&without)).sqrt())
}

/// Count, sums, squares, product.
fn added(sums: [f64; 6], x: f64, y: f64, sign: f64) -> [f64; 6] {
    let terms = [1.0, x, y, x * x, y * y, x * y];
    std::array::from_fn(|at| sums[at] + sign * terms[at])
}

fn r_of([n, x, y, xx, yy, xy]: [f64; 6]) -> f64 {
    (n * xy - x * y) / ((n * xx - x * x) * (n * yy - y * y)).sqrt()
}

/// p of the two-sample Kolmogorov-Smirnov test; with ties, as counts have, it is on the safe side.
pub(crate) fn ks_p_value(a: &[f64], b: &[f64]) -> f64 {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j, mut distance) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let at = a[i].min(b[j]);
        while i < a.len() && a[i] <= at {
            i += 1;
        }
        while j < b.len() && b[j] <= at {
            j += 1;
        }
        distance = distance.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    let n = (a.len() * b.len()) as f64 / (a.len() + b.len()) as f64;
    let x = (n.sqrt() + 0.12 + 0.11 / n.sqrt()) * distance;
    if x < 0.2 {
        return 1.0;
    }
    let term = |k: i32| 2.0 * f64::from(1 - 2 * ((k + 1) % 2)) * (-2.0 * f64::from(k * k) * x * x).exp();
    (1..100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// p that these (whole, half) pairs come from fair coins: the sum of squared standard scores is chi-square, here by
/// its normal limit, two-sided. And how many pairs.
pub(crate) fn binomial_is_plausible(halves: &[(u64, u64)]) -> (f64, usize) {
    let score = |(whole, half): &(u64, u64)| {
        let expected = *whole as f64 / 2.0;
        let deviation = *half as f64 - expected;
        deviation * deviation / (*whole as f64 / 4.0)
    };
    let count = halves.len() as f64;
    let z = (halves.iter().map(score).sum::<f64>() - count) / (2.0 * count).sqrt();
    ((-0.5 * z * z).exp().min(1.0), halves.len())
}
