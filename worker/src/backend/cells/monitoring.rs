//! Samples of one monitored VM: when the next is due, and the newest ones. It computes no metrics.

use std::collections::VecDeque;

use bioxen_protocol::limits::HISTORY_SAMPLES;
use bioxen_protocol::reply::Sample;

const NS_PER_SECOND: u64 = 1_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Monitoring {
    /// 0 where nobody monitors it.
    interval_seconds: u64,
    due_ns: u64,
    samples: VecDeque<Sample>,
}

impl Monitoring {
    /// The first sample is due at once.
    pub(super) fn every(interval_seconds: u64) -> Self {
        Self { interval_seconds, due_ns: 0, samples: VecDeque::new() }
    }

    /// Samples that were taken stay.
    pub(super) fn set_interval(&mut self, interval_seconds: u64) {
        if self.interval_seconds != interval_seconds {
            self.interval_seconds = interval_seconds;
            self.due_ns = 0;
        }
    }

    /// Whether a sample is due; then the next is an interval later.
    pub(super) fn take_due(&mut self, now_ns: u64) -> bool {
        if self.interval_seconds == 0 || now_ns < self.due_ns {
            return false;
        }
        self.due_ns = now_ns.saturating_add(self.interval_seconds.saturating_mul(NS_PER_SECOND));
        true
    }

    pub(super) fn keep(&mut self, sample: Sample) {
        if self.samples.len() >= HISTORY_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The newest `limit`, oldest first.
    pub(super) fn newest(&self, limit: u64) -> Vec<Sample> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.samples.iter().skip(self.samples.len().saturating_sub(limit)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(time_ms: u64) -> Sample {
        Sample { time_ms, metrics: serde_json::Map::new() }
    }

    #[test]
    fn samples_come_at_once_then_every_interval_and_not_when_ended() {
        let mut monitoring = Monitoring::every(2);
        assert!(monitoring.take_due(5));
        assert!(!monitoring.take_due(2 * NS_PER_SECOND));
        assert!(monitoring.take_due(5 + 2 * NS_PER_SECOND));
        monitoring.set_interval(0);
        assert!(!monitoring.take_due(u64::MAX));
    }

    #[test]
    fn the_newest_samples_are_kept_and_told_oldest_first() {
        let mut monitoring = Monitoring::every(1);
        for time_ms in 0..HISTORY_SAMPLES as u64 + 7 {
            monitoring.keep(sample(time_ms));
        }
        let newest: Vec<u64> = monitoring.newest(2).iter().map(|sample| sample.time_ms).collect();
        assert_eq!(newest, [HISTORY_SAMPLES as u64 + 5, HISTORY_SAMPLES as u64 + 6]);
        assert_eq!(monitoring.newest(u64::MAX).len(), HISTORY_SAMPLES);
    }
}
