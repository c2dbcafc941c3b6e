//! What a job has used: fuel, which is counted, and time. Once a limit is reached it stays reached, so that nothing a
//! script catches lets it go on.

use std::cell::Cell;
use std::time::{Duration, Instant};

use bioxen_guest::{Failure, Limits};

/// One for each loop iteration and call of a script; the costs below are in the same unit, some 30 ns.
pub(crate) const FUEL_PER_FUNCTION: u64 = 100;
/// A change restarts the solver.
pub(crate) const FUEL_PER_CHANGE: u64 = 1_000;
/// A solver step.
pub(crate) const FUEL_PER_STEP: u64 = 200;
/// A tick read off a step.
pub(crate) const FUEL_PER_TICK: u64 = 2;
/// The clock is read once in so many charges.
const CHARGES_PER_CLOCK: u32 = 256;

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("out of fuel")]
    Fuel,
    #[error("out of time")]
    Wall,
    #[error("out of simulated time")]
    Advance,
    #[error("too many records")]
    Records,
    #[error("too many changes")]
    Changes,
    #[error("no more room for what the VM records")]
    Rows,
}

#[derive(Debug)]
pub(crate) struct Meter {
    fuel: u64,
    used: Cell<u64>,
    charges: Cell<u32>,
    /// `None` where the wall limit is beyond what a clock counts.
    deadline: Option<Instant>,
    stop: Cell<Option<Stop>>,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            fuel: limits.fuel,
            used: Cell::new(0),
            charges: Cell::new(0),
            deadline: Instant::now().checked_add(Duration::from_millis(limits.wall_ms)),
            stop: Cell::new(None),
        }
    }

    /// Takes `fuel`, and looks at the clock now and then.
    pub(crate) fn charge(&self, fuel: u64) -> Result<(), Stop> {
        if let Some(stop) = self.stop.get() {
            return Err(stop);
        }
        let used = self.used.get().saturating_add(fuel);
        self.used.set(used.min(self.fuel));
        if used > self.fuel {
            return Err(self.stopped(Stop::Fuel));
        }
        let charges = self.charges.get().wrapping_add(1);
        self.charges.set(charges);
        if charges.is_multiple_of(CHARGES_PER_CLOCK) { self.look() } else { Ok(()) }
    }

    /// Looks at the clock.
    pub(crate) fn look(&self) -> Result<(), Stop> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(self.stopped(Stop::Wall));
        }
        Ok(())
    }

    /// Ends the job for good.
    pub(crate) fn stopped(&self, stop: Stop) -> Stop {
        let first = self.stop.get().unwrap_or(stop);
        self.stop.set(Some(first));
        first
    }

    /// The limit that was reached.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.stop.get()
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.get()
    }
}

impl Stop {
    pub(crate) fn failure(self, limits: &Limits) -> Failure {
        match self {
            Self::Fuel => Failure::Fuel { limit: limits.fuel },
            Self::Wall => Failure::Wall { limit_ms: limits.wall_ms },
            Self::Advance => Failure::Advance { limit_minutes: limits.advance_ticks as f64 / 10.0 },
            Self::Records => Failure::TooMany {
                message: "more than 10,000 values were recorded in one job; record less often".to_owned(),
            },
            Self::Changes => Failure::TooMany {
                message: "more than 256 changes were made in one job; change the cell less often".to_owned(),
            },
            Self::Rows => Failure::TooMany {
                message: "the VM records more in this time than its memory_kb or one job has room for; advance less in one call, or create it with rows further apart".to_owned(),
            },
        }
    }
}
