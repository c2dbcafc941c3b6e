//! How far the journal may be purged. Pure: numbers in, a decision out.
//!
//! ```text
//!   snapshots   s1        s2              s3 (newest)
//!   journal  ....|.........|...............|.......... end
//!                          ^ the floor: older than the newest, and what is folded from the journal has passed it
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A verified snapshot, and where its batch stands in the stream now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) index: u64,
    pub(super) sequence: u64,
}

/// The snapshot below which nothing is needed: the newest one but one, or older, that everybody has passed.
pub(super) fn floor(kept: &[Kept], settled_index: u64) -> Option<Kept> {
    let (_, older) = kept.split_last()?;
    older.iter().rev().find(|one| one.index <= settled_index).copied()
}

/// How far all that is folded from the journal was a while ago: by now that is on the disk.
#[derive(Debug)]
pub(super) struct Settled {
    after: Duration,
    seen: VecDeque<(Instant, u64)>,
    index: u64,
}

impl Settled {
    pub(super) fn new(after: Duration) -> Self {
        Self { after, seen: VecDeque::new(), index: 0 }
    }

    /// Notes how far they are now, and tells how far they surely are.
    pub(super) fn note(&mut self, now: Instant, index: u64) -> u64 {
        if self.seen.back().is_some_and(|(_, newest)| index < *newest) || index < self.index {
            // Whoever folds began again further back.
            self.seen.clear();
            self.index = self.index.min(index);
        }
        let sparse = self.after / 16;
        if self.seen.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= sparse) {
            self.seen.push_back((now, index));
        }
        while let Some((at, index)) = self.seen.front()
            && now.saturating_duration_since(*at) >= self.after
        {
            self.index = self.index.max(*index);
            self.seen.pop_front();
        }
        self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(indexes: &[u64]) -> Vec<Kept> {
        indexes.iter().map(|index| Kept { index: *index, sequence: index + 100 }).collect()
    }

    #[test]
    fn the_newest_snapshot_is_never_the_floor() {
        assert_eq!(floor(&[], 1_000), None);
        assert_eq!(floor(&kept(&[10]), 1_000), None);
        assert_eq!(floor(&kept(&[10, 20]), 1_000), Some(Kept { index: 10, sequence: 110 }));
        assert_eq!(floor(&kept(&[10, 20, 30]), 1_000), Some(Kept { index: 20, sequence: 120 }));
    }

    #[test]
    fn nothing_goes_that_somebody_has_not_passed() {
        assert_eq!(floor(&kept(&[10, 20, 30]), 19), Some(Kept { index: 10, sequence: 110 }));
        assert_eq!(floor(&kept(&[10, 20, 30]), 9), None);
    }

    #[test]
    fn a_fold_that_begins_again_holds_the_journal() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut settled = Settled::new(10 * second);
        settled.note(start, 50);
        assert_eq!(settled.note(start + 10 * second, 60), 50);
        assert_eq!(settled.note(start + 11 * second, 20), 20);
        assert_eq!(settled.note(start + 12 * second, 70), 20);
        assert_eq!(settled.note(start + 22 * second, 80), 70);
    }

    #[test]
    fn an_index_counts_only_after_a_while() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut settled = Settled::new(10 * second);
        assert_eq!(settled.note(start, 7), 0);
        assert_eq!(settled.note(start + 5 * second, 9), 0);
        assert_eq!(settled.note(start + 10 * second, 12), 7);
        assert_eq!(settled.note(start + 15 * second, 12), 9);
        assert_eq!(Settled::new(Duration::ZERO).note(start, 5), 5);
    }
}
