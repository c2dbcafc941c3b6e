//! What a checkpoint holds of the time to come: the step under way and the schedule.

use std::collections::VecDeque;

use super::{CheckpointError, Reader, content};
use crate::grid::MAX_TICK;
use crate::ode::Track;
use crate::solver::rosenbrock::{Step, Tolerance};
use crate::spec::{Change, MAX_SCHEDULED_CHANGES, Regime, in_order};

impl Reader<'_> {
    pub(crate) fn track(&mut self, regime: &Regime, tolerance: &Tolerance) -> Result<Track, CheckpointError> {
        let origin_tick = self.integer()?;
        let start_min = self.number("the step")?;
        let start = self.vector("the step")?;
        let length_min = self.number("the step")?;
        let next_length_min = self.number("the step")?;
        let steps_since_tick = self.small("the step")?;
        if origin_tick > MAX_TICK || start_min < 0.0 || length_min < 0.0 || next_length_min <= 0.0 {
            return Err(content("the step"));
        }
        let mut step = None;
        if length_min > 0.0 {
            let taken = Step::attempt(&regime.constants, &start, length_min, tolerance);
            if !taken.is_accepted() {
                return Err(content("the step"));
            }
            step = Some(Box::new(taken));
        }
        Ok(Track { origin_tick, start_min, start, step, next_length_min, steps_since_tick })
    }

    pub(crate) fn schedule(
        &mut self,
        regime: &Regime,
        tick: u64,
    ) -> Result<VecDeque<Change>, CheckpointError> {
        let count = self.small("the schedule")?;
        if count as usize > MAX_SCHEDULED_CHANGES {
            return Err(content("the schedule"));
        }
        let changes = (0..count).map(|_| self.change()).collect::<Result<Vec<_>, _>>()?;
        let mut regime = regime.clone();
        let mut last = tick.saturating_add(1);
        for change in in_order(&changes)? {
            regime = regime.after(change)?;
        }
        for change in &changes {
            if change.tick < last {
                return Err(content("the schedule"));
            }
            last = change.tick;
        }
        Ok(changes.into())
    }
}
