//! When each grid point of a VM is due, in whole nanoseconds counted from one anchor, so that nothing drifts.
//!
//! ```text
//!   due(tick) = anchor + (tick - anchor tick) * 6 s / pace          a tick is 6 simulated seconds
//! ```
//!
//! Time in which a VM was paused or the worker had no lease moves the anchor and so does not count. A late VM
//! catches up at most at twice the pace: each tick costs half its time of a credit that holds one quantum. Pure.

use bioxen_protocol::quantity::Pace;

/// Nanoseconds of a tick at pace 1, in millionths: paces are counted to six decimals.
const TICK_NS_MILLIONTHS: u128 = 6_000_000_000 * 1_000_000;
const CATCH_UP: u128 = 2;

/// One VM's time table.
#[derive(Debug, Clone)]
pub(super) struct Pacing {
    /// Simulated seconds per second, in millionths; none is as fast as it can.
    pace_millionths: Option<u128>,
    quantum_ns: u64,
    anchor_ns: u64,
    anchor_tick: u64,
    /// Credit for catching up runs from here.
    credit_ns: u64,
    /// The time table has run without a break since.
    since_ns: u64,
}

impl Pacing {
    /// A table by which `tick` is due at `now_ns`.
    pub(super) fn new(pace: Pace, quantum_ns: u64, now_ns: u64, tick: u64) -> Self {
        Self {
            pace_millionths: millionths(pace),
            quantum_ns,
            anchor_ns: now_ns,
            anchor_tick: tick,
            credit_ns: now_ns,
            since_ns: now_ns,
        }
    }

    pub(super) fn has_pace(&self, pace: Pace) -> bool {
        self.pace_millionths == millionths(pace)
    }

    /// Starts anew at `tick`, in the same pace.
    pub(super) fn restart(&mut self, now_ns: u64, tick: u64) {
        (self.anchor_ns, self.anchor_tick) = (now_ns, tick);
        (self.credit_ns, self.since_ns) = (now_ns, now_ns);
    }

    /// The time from `from_ns` to `to_ns` does not count; what of it lies before the last break was taken off then.
    pub(super) fn skip(&mut self, from_ns: u64, to_ns: u64) {
        let gap_ns = to_ns.saturating_sub(from_ns.max(self.since_ns));
        if gap_ns > 0 {
            self.anchor_ns += gap_ns;
            self.credit_ns += gap_ns;
            self.since_ns = to_ns;
        }
    }

    /// How far a VM at `tick` may go now.
    pub(super) fn target(&self, now_ns: u64, tick: u64) -> u64 {
        let Some(pace) = self.pace_millionths else { return u64::MAX };
        let credit_ns = u128::from(now_ns.saturating_sub(self.credit_from(now_ns, pace)));
        let allowed = narrow(credit_ns * CATCH_UP * pace / TICK_NS_MILLIONTHS);
        self.due_by(now_ns, pace).min(tick.saturating_add(allowed)).max(tick)
    }

    /// `ticks` were computed from the credit that stood at `now_ns`.
    pub(super) fn advanced(&mut self, now_ns: u64, ticks: u64) {
        if let Some(pace) = self.pace_millionths {
            let cost_ns = narrow((u128::from(ticks) * TICK_NS_MILLIONTHS).div_ceil(CATCH_UP * pace));
            self.credit_ns = self.credit_from(now_ns, pace).saturating_add(cost_ns);
        }
    }

    /// When a VM at `tick` has something to do next: its next grid point, gathered into whole quanta where several
    /// fall into one.
    pub(super) fn next_due_ns(&self, now_ns: u64, tick: u64) -> u64 {
        let Some(pace) = self.pace_millionths else { return now_ns };
        let ticks = u128::from(tick.saturating_add(1).saturating_sub(self.anchor_tick));
        let mut after_ns = narrow((ticks * TICK_NS_MILLIONTHS).div_ceil(pace));
        if tick_ns(pace) < self.quantum_ns {
            after_ns = after_ns.div_ceil(self.quantum_ns).saturating_mul(self.quantum_ns);
        }
        let due_ns = self.anchor_ns.saturating_add(after_ns);
        if self.due_by(now_ns, pace) > tick {
            return due_ns.max(self.credit_ns.saturating_add(self.credit_most_ns(pace)));
        }
        due_ns
    }

    /// Ticks that should stand and do not.
    pub(super) fn lag_ticks(&self, now_ns: u64, tick: u64) -> u64 {
        self.pace_millionths.map_or(0, |pace| self.due_by(now_ns, pace).saturating_sub(tick))
    }

    fn due_by(&self, now_ns: u64, pace: u128) -> u64 {
        let elapsed_ns = u128::from(now_ns.saturating_sub(self.anchor_ns));
        self.anchor_tick.saturating_add(narrow(elapsed_ns * pace / TICK_NS_MILLIONTHS))
    }

    fn credit_from(&self, now_ns: u64, pace: u128) -> u64 {
        self.credit_ns.max(now_ns.saturating_sub(self.credit_most_ns(pace)))
    }

    /// One quantum, or what one tick costs where that is more.
    fn credit_most_ns(&self, pace: u128) -> u64 {
        self.quantum_ns.max(narrow(TICK_NS_MILLIONTHS.div_ceil(CATCH_UP * pace)))
    }
}

fn tick_ns(pace: u128) -> u64 {
    narrow(TICK_NS_MILLIONTHS.div_ceil(pace))
}

fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn millionths(pace: Pace) -> Option<u128> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float-to-integer cast saturates, and paces lie from 0.001 to 1e6"
    )]
    match pace {
        Pace::Max => None,
        Pace::Ratio(ratio) => Some(u128::from(((ratio * 1e6).round() as u64).max(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const S: u64 = 1000 * MS;
    const QUANTUM_NS: u64 = 100 * MS;

    /// A worker that serves the VM whenever it is due: (tick, quanta) at `end_ns`.
    fn served(pacing: &mut Pacing, mut now_ns: u64, mut tick: u64, end_ns: u64) -> (u64, u64) {
        let mut quanta = 0;
        loop {
            let due_ns = pacing.next_due_ns(now_ns, tick).max(now_ns);
            if due_ns > end_ns {
                return (tick, quanta);
            }
            now_ns = due_ns;
            let target = pacing.target(now_ns, tick);
            assert!(target > tick, "a VM was due at {now_ns} ns with nothing to do");
            pacing.advanced(now_ns, target - tick);
            tick = target;
            quanta += 1;
        }
    }

    #[test]
    fn pace_60_is_a_tick_each_tenth_of_a_second() {
        let mut pacing = Pacing::new(Pace::Ratio(60.0), QUANTUM_NS, 5 * S, 0);
        assert_eq!(served(&mut pacing, 5 * S, 0, 65 * S), (600, 600));
    }

    #[test]
    fn an_odd_pace_does_not_drift_in_a_year() {
        let mut pacing = Pacing::new(Pace::Ratio(7.3), QUANTUM_NS, 0, 0);
        let year_ns = 365 * 86_400 * S;
        let exact = 365 * 86_400 * 73 / 60;
        assert_eq!(pacing.due_by(year_ns, 7_300_000), exact);
        assert_eq!(served(&mut pacing, 0, 0, 600 * S).0, 600 * 73 / 60);
    }

    #[test]
    fn fast_paces_are_gathered_into_quanta() {
        let mut pacing = Pacing::new(Pace::Ratio(1e6), QUANTUM_NS, 0, 0);
        let (tick, quanta) = served(&mut pacing, 0, 0, S);
        assert_eq!((tick, quanta), (166_666, 10));
    }

    #[test]
    fn slow_paces_wake_once_a_tick() {
        let mut pacing = Pacing::new(Pace::Ratio(0.001), QUANTUM_NS, 0, 0);
        assert_eq!(served(&mut pacing, 0, 0, 60_000 * S), (10, 10));
    }

    #[test]
    fn a_late_vm_catches_up_at_most_at_twice_the_pace() {
        for pace in [60.0, 50.0, 1e4, 1.0] {
            let mut pacing = Pacing::new(Pace::Ratio(pace), QUANTUM_NS, 0, 0);
            let per_second = pace / 6.0;
            let late_by_s = 120;
            let now_ns = late_by_s * S;
            for after_s in [30u64, 60, 90] {
                let (tick, _) = served(&mut pacing.clone(), now_ns, 0, now_ns + after_s * S);
                let twice = 2.0 * per_second * after_s as f64;
                let quantum = 2.0 * per_second * 0.1 + 1.0;
                assert!(tick as f64 <= twice + quantum, "pace {pace}: {tick} ticks in {after_s} s");
                assert!(tick as f64 >= twice * 0.95 - 2.0, "pace {pace}: only {tick} ticks in {after_s} s");
            }
            let caught_up_ns = now_ns + 130 * S;
            let (tick, _) = served(&mut pacing, now_ns, 0, caught_up_ns);
            assert!(pacing.lag_ticks(caught_up_ns, tick) as f64 <= per_second * 0.1 + 1.0);
        }
    }

    #[test]
    fn paused_and_frozen_time_does_not_count_and_is_taken_off_once() {
        let mut pacing = Pacing::new(Pace::Ratio(60.0), QUANTUM_NS, 0, 0);
        assert_eq!(pacing.lag_ticks(10 * S, 100), 0);
        pacing.skip(10 * S, 40 * S);
        assert_eq!((pacing.lag_ticks(40 * S, 100), pacing.lag_ticks(41 * S, 100)), (0, 10));
        // Frozen since before the pause ended: only what follows the pause is new.
        pacing.skip(30 * S, 50 * S);
        assert_eq!((pacing.lag_ticks(50 * S, 100), pacing.lag_ticks(51 * S, 100)), (0, 10));
    }

    #[test]
    fn max_is_always_due_and_never_late() {
        let pacing = Pacing::new(Pace::Max, QUANTUM_NS, 0, 0);
        assert_eq!(pacing.next_due_ns(7, 3), 7);
        assert_eq!((pacing.target(7, 3), pacing.lag_ticks(7, 3)), (u64::MAX, 0));
    }
}
