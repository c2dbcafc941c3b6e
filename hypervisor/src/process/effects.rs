//! What process code may change of a cell, each as a [`Change`] for its committed tick. The caller applies it.

use serde::{Deserialize, Serialize};

use super::readout::Readout;
use super::{Function, ProcessError};
use crate::{Cell, Change, OperonAction, OrganismAction, RibosomeCap};

/// The drug that the core model knows.
pub const CHLORAMPHENICOL: &str = "chloramphenicol";
/// What a script calls to change the allocation.
const SET_ALLOCATION: &str = "set_allocation";
const SET_ALLOCATION_USAGE: &str = "set_allocation{atp_percentage = PERCENT, ribosomes = UNITS}, one or both";

/// What the VM holds: a script may use less of it, never more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// Energy, thousandths of a percent.
    pub atp_milli_percent: u32,
    /// Ribosome units; the chassis' most mean no cap.
    pub ribosome_units: u32,
}

/// External nutrient s0 from now on, molecules.
///
/// # Errors
/// None of its own; applying the change says what a cell cannot take.
#[must_use]
pub fn set_nutrient(cell: &Cell, molecules: f64) -> Change {
    parameter(cell, "s0", molecules)
}

/// `micromolar` more of a drug from now on.
///
/// # Errors
/// Any drug but chloramphenicol.
pub fn add_drug(cell: &Cell, drug: &str, micromolar: f64) -> Result<Change, ProcessError> {
    if drug != CHLORAMPHENICOL {
        let drug: String = drug.chars().take(64).collect();
        return Err(Function::AddDrug.misused(format!("the model has no drug {drug:?}")));
    }
    if micromolar.is_nan() || micromolar < 0.0 {
        return Err(Function::AddDrug.misused(format!("{micromolar} uM cannot be added")));
    }
    Ok(parameter(cell, "cl", Readout::of(cell).chloramphenicol_um + micromolar))
}

/// Another allocation from now on, within the reservation; what is `None` stays.
///
/// # Errors
/// More than is reserved; fractions finer than a thousandth of a percent or a unit; neither given.
pub fn set_allocation(
    cell: &Cell,
    reservation: &Reservation,
    atp_percentage: Option<f64>,
    ribosomes: Option<f64>,
) -> Result<Change, ProcessError> {
    let misused = |problem: String| ProcessError::Argument {
        function: SET_ALLOCATION,
        problem,
        usage: SET_ALLOCATION_USAGE,
    };
    if atp_percentage.is_none() && ribosomes.is_none() {
        return Err(misused("nothing is given to set".to_owned()));
    }
    let mut change = Change { tick: cell.tick(), ..Change::default() };
    if let Some(percent) = atp_percentage {
        let reserved = f64::from(reservation.atp_milli_percent) / 1000.0;
        within("percent of ATP", percent, reserved)?;
        let milli = whole(percent * 1000.0)
            .ok_or_else(|| misused(format!("{percent} percent of ATP is no multiple of 0.001 from 0")))?;
        change.atp_milli_percent = Some(milli);
    }
    if let Some(units) = ribosomes {
        within("ribosome units", units, f64::from(reservation.ribosome_units))?;
        let units =
            whole(units).ok_or_else(|| misused(format!("{units} ribosomes are no whole number from 0")))?;
        change.ribosomes = Some(RibosomeCap::Units(units));
    }
    Ok(change)
}

/// One more transcription of each of the named genes.
///
/// # Errors
/// An empty list; applying the change says what the chassis does not have.
pub fn start_transcription(cell: &Cell, genes: Vec<String>) -> Result<Change, ProcessError> {
    if genes.is_empty() {
        return Err(Function::StartTranscription.misused("the list is empty"));
    }
    Ok(organism(cell, OrganismAction::Transcription { genes }))
}

/// Regulation of the named operons from now on.
///
/// # Errors
/// An empty list, an action that is none; applying the change says what the chassis does not have.
pub fn manage_operons(cell: &Cell, operons: Vec<String>, action: &str) -> Result<Change, ProcessError> {
    if operons.is_empty() {
        return Err(Function::ManageOperons.misused("the list is empty"));
    }
    let action = match action {
        "activate" => OperonAction::Activate,
        "repress" => OperonAction::Repress,
        "derepress" => OperonAction::Derepress,
        other => {
            let other: String = other.chars().take(64).collect();
            return Err(Function::ManageOperons.misused(format!("there is no action {other:?}")));
        }
    };
    Ok(organism(cell, OrganismAction::Operons { operons, action }))
}

/// One copy of a plasmid in, or all copies of it out.
///
/// # Errors
/// None of its own; applying the change says what the chassis does not have.
#[must_use]
pub fn plasmid(cell: &Cell, plasmid: String, insert: bool) -> Change {
    let action = if insert {
        OrganismAction::InsertPlasmid { plasmid }
    } else {
        OrganismAction::RemovePlasmid { plasmid }
    };
    organism(cell, action)
}

fn organism(cell: &Cell, action: OrganismAction) -> Change {
    Change { tick: cell.tick(), organism: vec![action], ..Change::default() }
}

fn parameter(cell: &Cell, symbol: &str, value: f64) -> Change {
    Change { tick: cell.tick(), parameters: [(symbol.to_owned(), value)].into(), ..Change::default() }
}

fn within(what: &'static str, asked: f64, reserved: f64) -> Result<(), ProcessError> {
    if asked > reserved {
        return Err(ProcessError::AboveReservation { function: SET_ALLOCATION, what, asked, reserved });
    }
    Ok(())
}

/// The whole number that `value` is, but for the rounding of one product.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number that fits")]
fn whole(value: f64) -> Option<u32> {
    let nearest = value.round();
    let is_whole = (value - nearest).abs() <= 1e-9 * nearest.max(1.0);
    (is_whole && (0.0..=f64::from(u32::MAX)).contains(&nearest)).then_some(nearest as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CellSpec, ChassisName};

    const RESERVATION: Reservation = Reservation { atp_milli_percent: 60_000, ribosome_units: 10 };

    fn cell() -> Cell {
        Cell::new(&CellSpec::unlimited(ChassisName::Syn3a)).unwrap()
    }

    #[test]
    fn drugs_add_up_and_unknown_ones_are_refused() {
        let mut cell = cell();
        for expected in [3.0, 5.5] {
            let change =
                add_drug(&cell, CHLORAMPHENICOL, expected - Readout::of(&cell).chloramphenicol_um).unwrap();
            cell.apply(&change).unwrap();
            assert_eq!(Readout::of(&cell).chloramphenicol_um, expected);
        }
        assert!(add_drug(&cell, "aspirin", 1.0).is_err());
        assert!(add_drug(&cell, CHLORAMPHENICOL, -1.0).is_err());
        assert!(add_drug(&cell, CHLORAMPHENICOL, f64::NAN).is_err());
    }

    #[test]
    fn an_allocation_stays_within_the_reservation() {
        let cell = cell();
        let set = |atp, ribosomes| set_allocation(&cell, &RESERVATION, atp, ribosomes);
        let change = set(Some(59.999), Some(10.0)).unwrap();
        assert_eq!(
            (change.atp_milli_percent, change.ribosomes),
            (Some(59_999), Some(RibosomeCap::Units(10)))
        );
        for (atp, ribosomes) in [(Some(60.001), None), (None, Some(11.0)), (Some(f64::INFINITY), None)] {
            assert!(matches!(set(atp, ribosomes), Err(ProcessError::AboveReservation { .. })));
        }
        for (atp, ribosomes) in [
            (Some(-1.0), None),
            (Some(1.000_5), None),
            (None, Some(2.5)),
            (None, None),
            (Some(f64::NAN), None),
        ] {
            assert!(
                matches!(set(atp, ribosomes), Err(ProcessError::Argument { .. })),
                "{atp:?} {ribosomes:?}"
            );
        }
    }
}
