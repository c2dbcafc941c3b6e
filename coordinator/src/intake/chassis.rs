//! The chassis as admission knows them: default allocation and most, in whole numbers.
//!
//! Defaults and mosts are BioXen's own figures (docs/models.md); what they do to a cell is the hypervisor's business.

use bioxen_hypervisor::ChassisName;
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

/// One of the program's, or of an imported pack: that has the whole of what its pack's most units mean, as the
/// reference chassis.
pub(crate) fn find(name: &str) -> Option<Chassis> {
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
