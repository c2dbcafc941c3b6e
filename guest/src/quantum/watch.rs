//! Watching a cell's energy. Levels are looked at on a grid of simulated time, so that an alert depends on the trajectory
//! alone and not on quanta; where a quantum stops for it changes no bit of that. It tells nobody.

use bioxen_hypervisor::Cell;
use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::limits::TICKS_PER_MINUTE;

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
