//! The chassis as admission knows them: default allocation and most, in whole numbers.
//!
//! Defaults and mosts are BioXen's own figures (docs/models.md); what they do to a cell is the hypervisor's business.

use bioxen_hypervisor::ChassisName;
use bioxen_protocol::config::ChassisLimits;
use bioxen_protocol::quantity::AtpPercent;
use bioxen_protocol::worker::CellAllocation;

/// Default and most of one chassis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chassis {
    pub(crate) name: &'static str,
    pub(crate) default: CellAllocation,
    pub(crate) most: CellAllocation,
}

const MB: u64 = 1024;

const fn amounts(atp_percent: u64, ribosomes: u64, memory_mb: u64) -> CellAllocation {
    CellAllocation { atp_millipercent: atp_percent * 1000, ribosomes, memory_kb: memory_mb * MB }
}

pub(crate) const ALL: [Chassis; 4] = [
    Chassis { name: "syn3a", default: amounts(60, 10, 512), most: amounts(70, 15, 512) },
    Chassis { name: "ecoli", default: amounts(80, 25, 1024), most: amounts(90, 30, 1024) },
    Chassis { name: "minimal_cell", default: amounts(50, 8, 256), most: amounts(60, 12, 256) },
    Chassis { name: "weisse2015", default: amounts(100, 15, 256), most: amounts(100, 15, 256) },
];

/// The chassis on a fleet with these limits.
pub(crate) fn find(name: &str, limits: &ChassisLimits) -> Option<Chassis> {
    let mut chassis = known(name)?;
    if let Some(max_atp) = limits.get(name).and_then(|limit| limit.max_atp) {
        chassis.most.atp_millipercent = max_atp.0;
    }
    Some(chassis)
}

/// One of the program's, or of an imported pack: that has the whole of what its pack's most units mean, as the
/// reference chassis.
fn known(name: &str) -> Option<Chassis> {
    if let Some(shipped) = ALL.iter().find(|chassis| chassis.name == name) {
        return Some(*shipped);
    }
    let chassis: ChassisName = name.parse().ok()?;
    let whole = amounts(100, u64::from(chassis.most_ribosome_units()), 256);
    Some(Chassis { name: chassis.as_str(), default: whole, most: whole })
}

/// The digest of the pack where the chassis is imported.
pub(crate) fn digest(name: &str) -> Option<String> {
    let chassis: ChassisName = name.parse().ok()?;
    chassis.digest().map(str::to_owned)
}

/// Why limits of chassis cannot hold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidChassisLimits {
    #[error("resources.chassis.{name}: there is no such chassis; expected one of {known}")]
    Unknown { name: String, known: String },
    #[error(
        "resources.chassis.{name}.max_atp is {percent}: expected a percentage above 0 and at most 100, the whole energy supply"
    )]
    MaxAtp { name: String, percent: f64 },
}

/// Whether every limit is of a chassis that there is, and within the energy supply.
pub(crate) fn check(limits: &ChassisLimits) -> Result<(), InvalidChassisLimits> {
    for (name, limit) in limits {
        if known(name).is_none() {
            let known = ALL.map(|chassis| chassis.name).join(", ");
            return Err(InvalidChassisLimits::Unknown { name: name.clone(), known });
        }
        let out_of_range = |max_atp: &AtpPercent| !(1..=AtpPercent::FULL.0).contains(&max_atp.0);
        if let Some(max_atp) = limit.max_atp.filter(out_of_range) {
            return Err(InvalidChassisLimits::MaxAtp { name: name.clone(), percent: max_atp.percent() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bioxen_protocol::config::ChassisLimit;

    use super::*;

    fn limits(name: &str, percent: u64) -> ChassisLimits {
        ChassisLimits::from([(name.to_owned(), ChassisLimit { max_atp: Some(AtpPercent(percent * 1000)) })])
    }

    #[test]
    fn an_operator_raises_one_chassis_and_leaves_the_others() {
        let raised = limits("syn3a", 100);
        let most = |name| find(name, &raised).map(|chassis| chassis.most.atp_millipercent);
        assert_eq!((most("syn3a"), most("ecoli"), most("other")), (Some(100_000), Some(90_000), None));
    }

    #[test]
    fn what_no_chassis_can_have_is_refused() {
        assert!(check(&limits("syn3a", 100)).is_ok());
        for wrong in [limits("syn3a", 0), limits("syn3a", 101), limits("yeast", 50)] {
            assert!(check(&wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
