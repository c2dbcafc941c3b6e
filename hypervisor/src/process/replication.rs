//! Replication of the chromosome, after Cooper and Helmstetter (J Mol Biol 1968;31:519), at the present growth rate.
//!
//! In balanced growth with doubling time `td`, a round of replication takes C minutes and a cell divides D minutes
//! after it ends. Means over a population: origins 2^((C+D)/td), termini 2^(D/td), forks 2*(origins - termini),
//! genome equivalents td/(C*ln 2) * (origins - termini), and origins over termini 2^(C/td), whatever D is.
//!
//! C and D are measured figures that do not follow from the model; where a figure is not known the result is null.

use std::f64::consts::LN_2;

use serde::Serialize;

use super::readout::{Readout, genome_size_bp};
use super::{Function, ProcessError};
use crate::chassis::ChassisName;
use crate::{Cell, maths};

/// C and D of E. coli B/r by doublings an hour: Bremer and Dennis 1996 (E. coli and Salmonella, 2nd ed., ch. 97).
const ECOLI_PERIODS_MIN: [(f64, f64, f64); 5] =
    [(0.6, 67.0, 30.0), (1.0, 50.0, 27.0), (1.5, 45.0, 25.0), (2.0, 43.0, 24.0), (2.5, 42.0, 23.0)];
/// The mean time of a round in a kinetic model of syn3A: Thornburg et al., Front Mol Biosci 2019;6:130.
const SYN3A_C_PERIOD_MIN: f64 = 50.0;
/// Base pairs of the genome that this was found for.
const SYN3A_GENOME_SIZE_BP: f64 = 543_379.0;
/// Growth below this share of the unlimited rate makes a population's means meaningless.
const STOPPED: f64 = 0.01;

/// Replication at the present growth rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replication {
    /// Genome, base pairs.
    pub genome_size_bp: u64,
    /// Of the present state, 1/min.
    pub growth_rate_per_min: f64,
    /// ln 2 / growth rate; null where the cell does not grow.
    pub doubling_time_min: Option<f64>,
    /// Time of a round of replication, min.
    pub c_period_min: f64,
    /// From the end of a round to division, min; null where it is not known.
    pub d_period_min: Option<f64>,
    /// Of one fork, base pairs a second: half a genome in C.
    pub fork_speed_bp_per_s: f64,
    /// Mean copies of the origin over those of the terminus.
    pub origins_per_terminus: Option<f64>,
    /// Mean origins of a cell.
    pub origins_per_cell: Option<f64>,
    /// Mean forks of a cell.
    pub forks_per_cell: Option<f64>,
    /// Mean DNA of a cell, in genomes.
    pub genome_equivalents_per_cell: Option<f64>,
    /// Mean synthesis of DNA in a cell, base pairs a minute: growth rate times DNA.
    pub synthesis_bp_per_min: Option<f64>,
    /// Whether a round starts before the one before has ended.
    pub rounds_overlap: Option<bool>,
    /// Whether the growth rate lies within what C and D were measured for.
    pub within_measured_range: bool,
    /// Where C and D come from.
    pub source: &'static str,
}

/// Replication of the cell's chromosome at its present growth rate.
///
/// # Errors
/// A chassis without a genome.
pub fn of(cell: &Cell) -> Result<Replication, ProcessError> {
    let readout = Readout::of(cell);
    let Some(genome_size_bp) = genome_size_bp(readout.chassis) else {
        return Err(ProcessError::Unsupported {
            function: Function::Replication.name(),
            chassis: readout.chassis,
            reason: "it has no genome; use ecoli, syn3a or minimal_cell",
        });
    };
    let growth = readout.growth_rate_per_min;
    let grows = growth >= STOPPED * readout.reference.growth_rate_per_min;
    let doubling_time_min = grows.then(|| LN_2 / growth);
    let periods = periods(readout.chassis, genome_size_bp, growth);
    let means = doubling_time_min.map(|td| Means::at(td, &periods));
    let in_cell = means.as_ref().and_then(|means| means.in_cell.as_ref());
    Ok(Replication {
        genome_size_bp,
        growth_rate_per_min: growth,
        doubling_time_min,
        c_period_min: periods.c_min,
        d_period_min: periods.d_min,
        fork_speed_bp_per_s: genome_size_bp as f64 / 2.0 / periods.c_min / 60.0,
        origins_per_terminus: means.as_ref().map(|means| means.origins_per_terminus),
        origins_per_cell: in_cell.map(|mean| mean.origins),
        forks_per_cell: in_cell.map(|mean| mean.forks),
        genome_equivalents_per_cell: in_cell.map(|mean| mean.genomes),
        synthesis_bp_per_min: in_cell.map(|mean| growth * mean.genomes * genome_size_bp as f64),
        rounds_overlap: doubling_time_min.map(|td| periods.c_min > td),
        within_measured_range: grows && periods.within_measured_range,
        source: periods.source,
    })
}

struct Periods {
    c_min: f64,
    d_min: Option<f64>,
    within_measured_range: bool,
    source: &'static str,
}

fn periods(chassis: ChassisName, genome_size_bp: u64, growth_rate_per_min: f64) -> Periods {
    if chassis == ChassisName::Ecoli {
        let doublings_per_hour = 60.0 * growth_rate_per_min / LN_2;
        let (c_min, d_min, within_measured_range) = ecoli_periods(doublings_per_hour);
        let source = "C and D: Bremer and Dennis 1996, linear between the measured growth rates";
        return Periods { c_min, d_min: Some(d_min), within_measured_range, source };
    }
    Periods {
        c_min: SYN3A_C_PERIOD_MIN * genome_size_bp as f64 / SYN3A_GENOME_SIZE_BP,
        d_min: None,
        within_measured_range: true,
        source: "C: mean of a kinetic model of syn3A, Thornburg et al. 2019, by length of the genome; D is not known",
    }
}

/// C and D, and whether they are within the table; outside, its ends.
fn ecoli_periods(doublings_per_hour: f64) -> (f64, f64, bool) {
    let table = &ECOLI_PERIODS_MIN;
    let (first, last) = (table[0], table[table.len() - 1]);
    if doublings_per_hour <= first.0 {
        return (first.1, first.2, doublings_per_hour == first.0);
    }
    for pair in table.windows(2) {
        let (slow, fast) = (pair[0], pair[1]);
        if doublings_per_hour <= fast.0 {
            let share = (doublings_per_hour - slow.0) / (fast.0 - slow.0);
            return (slow.1 + share * (fast.1 - slow.1), slow.2 + share * (fast.2 - slow.2), true);
        }
    }
    (last.1, last.2, false)
}

struct Means {
    origins_per_terminus: f64,
    /// What needs D.
    in_cell: Option<InCell>,
}

struct InCell {
    origins: f64,
    forks: f64,
    genomes: f64,
}

impl Means {
    fn at(td: f64, periods: &Periods) -> Self {
        let in_cell = periods.d_min.map(|d_min| {
            let origins = maths::pow(2.0, (periods.c_min + d_min) / td);
            let termini = maths::pow(2.0, d_min / td);
            let replicating = origins - termini;
            InCell { origins, forks: 2.0 * replicating, genomes: td / (periods.c_min * LN_2) * replicating }
        });
        Self { origins_per_terminus: maths::pow(2.0, periods.c_min / td), in_cell }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CellSpec;

    #[test]
    fn ecoli_at_thirty_minutes_has_what_cooper_and_helmstetter_say() {
        let replication = of(&Cell::new(&CellSpec::unlimited(ChassisName::Ecoli)).unwrap()).unwrap();
        // 2^((43+24)/30) origins, 2^(24/30) termini.
        let (origins, termini) = (4.7022, 1.7411);
        assert!((replication.origins_per_cell.unwrap() - origins).abs() < 1e-3, "{replication:?}");
        assert!((replication.forks_per_cell.unwrap() - 2.0 * (origins - termini)).abs() < 1e-3);
        assert_eq!(replication.rounds_overlap, Some(true));
        assert!((replication.c_period_min - 43.0).abs() < 1e-6 && replication.within_measured_range);
    }

    #[test]
    fn periods_are_interpolated_within_the_table_and_held_outside() {
        assert_eq!(ecoli_periods(0.8), (58.5, 28.5, true));
        assert_eq!(ecoli_periods(0.1), (67.0, 30.0, false));
        assert_eq!(ecoli_periods(3.0), (42.0, 23.0, false));
    }

    #[test]
    fn what_is_not_known_of_syn3a_is_null() {
        let replication = of(&Cell::new(&CellSpec::unlimited(ChassisName::Syn3a)).unwrap()).unwrap();
        assert_eq!((replication.d_period_min, replication.forks_per_cell), (None, None));
        assert!((replication.origins_per_terminus.unwrap() - 1.3911).abs() < 1e-3, "2^(50/105)");
    }
}
