//! The one place that takes transcendental functions, from `libm`: pure Rust, so that every machine gets the
//! same bits. Nothing else in this crate may call std's.

/// `base` to the power `exponent`.
pub(crate) fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}

/// e to the power `exponent`.
pub(crate) fn exp(exponent: f64) -> f64 {
    libm::exp(exponent)
}

/// e to the power `exponent`, minus 1.
pub(crate) fn exp_m1(exponent: f64) -> f64 {
    libm::expm1(exponent)
}

/// The natural logarithm of `value`.
pub(crate) fn ln(value: f64) -> f64 {
    libm::log(value)
}
