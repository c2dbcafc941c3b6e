//! Self-checks on a copy of the cell: both closures, and one simulated minute. The cell itself stays as it is.

use serde::Serialize;

use super::readout::Readout;
use super::replication::{self, Replication};
use super::{Function, ProcessError};
use crate::grid::TICKS_PER_MINUTE;
use crate::{Cell, ChassisName};

/// Protein mass over M is 1 at all times, whatever happens to the cell.
const MASS_TOLERANCE: f64 = 1e-6;
/// The supply of energy against its uses, the change of the store taken by differences over 0.2 min.
const ENERGY_TOLERANCE: f64 = 1e-2;
/// Of such a difference.
const DIFFERENCE_MIN: f64 = 0.2;

/// What was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SelfCheck {
    /// Whether all checks passed.
    pub passed: bool,
    /// Each of them.
    pub checks: Vec<Check>,
    /// Growth rate before and after the minute, 1/min.
    pub growth_rate_per_min: [f64; 2],
    /// For `test_ecoli_process()`: replication at the present growth rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication: Option<Replication>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// As found.
    pub value: f64,
    /// As it should be.
    pub expected: f64,
    /// How far it may be off.
    pub tolerance: f64,
    /// Whether it is within that.
    pub passed: bool,
}

/// The checks that every chassis has.
///
/// # Errors
/// A cell that cannot go on for a minute.
pub fn any(cell: &Cell) -> Result<SelfCheck, ProcessError> {
    let mut copy = cell.clone();
    let mut energy = [0.0; 3];
    let before = cell.tick();
    // The closure is taken at the middle of the last three ticks of the minute.
    let mut middle = Readout::of(&copy);
    for (at, ticks) in [TICKS_PER_MINUTE - 2, TICKS_PER_MINUTE - 1, TICKS_PER_MINUTE].into_iter().enumerate()
    {
        copy.advance_to(before.saturating_add(ticks))?;
        let readout = Readout::of(&copy);
        energy[at] = readout.energy;
        if at == 1 {
            middle = readout;
        }
    }
    let stored = (energy[2] - energy[0]) / DIFFERENCE_MIN;
    let used = middle.growth_rate_per_min * (middle.mass_aa + middle.energy) + stored;
    let supply = middle.energy_supply_per_min;
    let restored =
        Cell::restore(&copy.checkpoint()).is_ok_and(|other| other.checkpoint() == copy.checkpoint());
    let checks = vec![
        Check::new("mass_closure", copy.metrics().mass_closure, 1.0, MASS_TOLERANCE),
        // Where nothing is made and nothing used the ratio says nothing, and there is nothing to close.
        Check::new("energy_closure", if supply == used { 1.0 } else { used / supply }, 1.0, ENERGY_TOLERANCE),
        Check::new("simulated_minutes", crate::minutes_of(copy.tick() - before), 1.0, 0.0),
        Check::new("checkpoint_restores", f64::from(u8::from(restored)), 1.0, 0.0),
    ];
    let passed = checks.iter().all(|check| check.passed);
    let growth_rate_per_min = [cell.metrics().growth_rate_per_min, copy.metrics().growth_rate_per_min];
    Ok(SelfCheck { passed, checks, growth_rate_per_min, replication: None })
}

/// The same and replication, for E. coli only.
///
/// # Errors
/// Another chassis; a cell that cannot go on for a minute.
pub fn ecoli(cell: &Cell) -> Result<SelfCheck, ProcessError> {
    let chassis = Readout::of(cell).chassis;
    if chassis != ChassisName::Ecoli {
        let reason = "it checks E. coli; use test_process()";
        return Err(ProcessError::Unsupported {
            function: Function::TestEcoliProcess.name(),
            chassis,
            reason,
        });
    }
    Ok(SelfCheck { replication: Some(replication::of(cell)?), ..any(cell)? })
}

impl Check {
    fn new(name: &'static str, value: f64, expected: f64, tolerance: f64) -> Self {
        Self { name, value, expected, tolerance, passed: (value - expected).abs() <= tolerance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CellSpec, Change};

    #[test]
    fn a_cell_passes_at_rest_and_during_a_shift_and_stays_as_it_is() {
        for chassis in ChassisName::ALL {
            let mut cell = Cell::new(&CellSpec::unlimited(chassis)).unwrap();
            for change in [
                Change::default(),
                Change {
                    tick: 0,
                    parameters: [("s0".to_owned(), 1e3), ("cl".to_owned(), 4.0)].into(),
                    ..Change::default()
                },
                Change { tick: 7, atp_milli_percent: Some(40_000), ..Change::default() },
            ] {
                cell.advance_to(change.tick).unwrap();
                cell.apply(&change).unwrap();
                let before = cell.checkpoint();
                let check = any(&cell).unwrap();
                assert!(check.passed, "{chassis} after {change:?}: {check:?}");
                assert_eq!(cell.checkpoint(), before);
            }
        }
    }

    #[test]
    fn the_ecoli_check_is_for_ecoli() {
        let check = |chassis| ecoli(&Cell::new(&CellSpec::unlimited(chassis)).unwrap());
        assert!(check(ChassisName::Ecoli).unwrap().replication.is_some());
        assert!(matches!(check(ChassisName::Syn3a), Err(ProcessError::Unsupported { .. })));
    }
}
