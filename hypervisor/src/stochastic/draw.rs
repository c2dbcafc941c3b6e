//! Which kind of reaction fires, from the propensities of the kinds; amounts as whole numbers.

/// What a reaction is chosen by, once its kind is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Uniform between 0 and the kind's propensity.
    pub(super) rest: f64,
    propensity: f64,
}

impl Point {
    /// Uniform between 0 and 1.
    pub(super) fn fraction(self) -> f64 {
        self.rest / self.propensity
    }
}

/// The kind of reaction that `point`, uniform between 0 and the sum of `propensities`, falls on; one that can happen
/// however the sum was rounded.
#[inline]
pub(super) fn kind_at<const KINDS: usize>(propensities: &[f64; KINDS], point: f64) -> (usize, Point) {
    let (mut kind, mut rest) = (0, point);
    let mut chosen = (0, Point { rest: 0.0, propensity: 0.0 });
    while kind < KINDS {
        let propensity = propensities[kind];
        if propensity > 0.0 {
            chosen = (kind, Point { rest: rest.min(propensity), propensity });
            if rest < propensity {
                break;
            }
            rest -= propensity;
        }
        kind += 1;
    }
    chosen
}

/// A whole number of molecules.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; amounts are not negative"
)]
pub(super) fn whole(amount: f64) -> u64 {
    amount as u64
}
