//! When a VM's energy is told of. What it is, the quanta look at; this tells nobody itself.

<<<<<<<< HEAD:guest/src/quantum/watch.rs
/// Ticks between two looks: a simulated minute, short beside how fast a cell runs out of energy.
const EVERY_TICKS: u64 = TICKS_PER_MINUTE;

/// The next tick after `tick` at which it is looked.
#[must_use]
pub fn next_tick(tick: u64) -> u64 {
    (tick / EVERY_TICKS + 1).saturating_mul(EVERY_TICKS)
}

/// Takes the level of a cell in, where it stands at a tick of the grid.
pub fn look(watch: &mut AtpWatch, cell: &Cell) {
    if cell.tick().is_multiple_of(EVERY_TICKS) {
        watch.see(cell.tick(), permille(cell.atp_level()));
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as saturates, and NaN is nothing"
)]
fn permille(level: f64) -> u64 {
    (level * 1000.0).round() as u64
}
========
use super::vm::Vm;

/// An alert is told at once, a further one of the same VM no sooner than this after it.
const QUIET_NS: u64 = 10_000_000_000;

impl Vm {
    /// Whether its energy is to be told of: at once, and then not again for a while.
    pub(super) fn is_energy_news(&mut self, now_ns: u64) -> bool {
        let is_quiet = self.atp_told_ns.is_some_and(|told_ns| now_ns < told_ns.saturating_add(QUIET_NS));
        if self.atp == self.atp_told || is_quiet {
            return false;
        }
        (self.atp_told, self.atp_told_ns) = (self.atp, Some(now_ns));
        true
    }
}
>>>>>>>> guest:worker/src/backend/basic/watch.rs
