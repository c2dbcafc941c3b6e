//! By when something has to be done, carried through all the calls that it takes.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::fault::XcpngError;

/// A moment, and how long it was off when it was set, for words.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    until: Instant,
    within: Duration,
}

impl Deadline {
    #[must_use]
    pub fn within(within: Duration) -> Self {
        Self { until: Instant::now() + within, within }
    }

    /// This one, or an earlier one.
    #[must_use]
    pub fn but_within(self, within: Duration) -> Self {
        let other = Self::within(within);
        if other.until < self.until { other } else { self }
    }

    #[must_use]
    pub fn left(self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    #[must_use]
    pub fn passed(self) -> bool {
        self.left().is_zero()
    }

    /// How long it was off when it was set.
    pub(crate) fn seconds(self) -> u64 {
        self.within.as_secs()
    }

    /// That `what` was not done by then.
    pub(crate) fn missed(self, what: impl Into<String>) -> XcpngError {
        XcpngError::deadline(what, self.within)
    }

    pub(crate) async fn bound<T>(self, what: &str, work: impl Future<Output = T>) -> Result<T, XcpngError> {
        timeout_at(self.until, work).await.map_err(|_| self.missed(what))
    }

    /// Waits so long, but not beyond the deadline.
    pub(crate) async fn pause(self, delay: Duration) {
        tokio::time::sleep(delay.min(self.left())).await;
    }
}
