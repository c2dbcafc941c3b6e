//! The grid of simulated time on which commands take effect: ticks of a tenth of a simulated minute.
//! It converts between ticks and minutes, and does nothing else.

/// Grid points in a simulated minute.
pub const TICKS_PER_MINUTE: u64 = 10;

/// The last tick that a cell may reach: about 190,000 simulated years, well inside what an `f64` counts exactly.
pub const MAX_TICK: u64 = 1_000_000_000_000;

/// Simulated minutes from tick `from` to tick `to`.
#[must_use]
pub(crate) fn minutes_between(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / TICKS_PER_MINUTE as f64
}

/// Simulated minutes at `tick`.
#[must_use]
pub fn minutes_of(tick: u64) -> f64 {
    minutes_between(0, tick)
}

/// The tick that stands for `minutes`; `None` unless `minutes` is a whole number of tenths between 0 and the
/// last tick. 0.3 counts as three tenths although no `f64` is exactly that.
#[must_use]
pub fn tick_at(minutes: f64) -> Option<u64> {
    let ticks = minutes * TICKS_PER_MINUTE as f64;
    let nearest = ticks.round();
    let on_grid = (ticks - nearest).abs() <= 1e-9 * ticks.abs().max(1.0);
    if !on_grid || !(0.0..=MAX_TICK as f64).contains(&nearest) {
        return None;
    }
    Some(whole(nearest))
}

/// The last tick at or before `minutes` after tick `from`.
pub(crate) fn last_tick_within(from: u64, minutes: f64) -> u64 {
    let ticks = (minutes * TICKS_PER_MINUTE as f64).floor().clamp(0.0, MAX_TICK as f64);
    let mut tick = from.saturating_add(whole(ticks));
    // The product may round across a grid point; the division in `minutes_between` is what decides.
    if minutes_between(from, tick) > minutes {
        tick = tick.saturating_sub(1);
    } else if minutes_between(from, tick.saturating_add(1)) <= minutes {
        tick = tick.saturating_add(1);
    }
    tick
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number between 0 and MAX_TICK"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tenths_of_a_minute_are_on_the_grid() {
        assert_eq!(tick_at(0.3), Some(3));
        assert_eq!(tick_at(60.0), Some(600));
        assert_eq!(tick_at(0.25), None);
        assert_eq!(tick_at(-0.1), None);
        assert_eq!(tick_at(f64::NAN), None);
        assert_eq!(tick_at(f64::INFINITY), None);
    }

    #[test]
    fn the_last_tick_within_a_span_agrees_with_the_grid() {
        for tick in 0..2_000_u64 {
            let minutes = minutes_of(tick);
            assert_eq!(last_tick_within(0, minutes), tick);
            assert_eq!(last_tick_within(5, minutes + 0.05), tick + 5);
        }
    }
}
