//! Draws from one seed: everything that a run leaves to chance.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

#[derive(Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One of 0..`end`; 0 where that is empty.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let drawn = u128::from(self.0.next_u64()) * end as u128;
        usize::try_from(drawn >> 64).unwrap_or(0)
    }

    /// One of `first`..=`last`.
    pub(crate) fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// True `times` in a thousand.
    pub(crate) fn in_thousand(&mut self, times: usize) -> bool {
        self.below(1_000) < times
    }

    /// A span between the two, every order of magnitude as likely as the next.
    pub(crate) fn span(&mut self, least: Duration, most: Duration) -> Duration {
        let doublings = (most.as_micros() / least.as_micros().max(1)).max(1).ilog2();
        let scale = least * (1 << self.below(doublings as usize + 1));
        (scale + scale / 1_000 * u32::try_from(self.below(1_000)).unwrap_or(0)).min(most)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}
