//! What a package costs a cell of a chassis, in the one currency that the model has: transcription of the heterologous
//! class p, 1/min.
//!
//! ```text
//! per copy of a carrier   wp = sum over its constructs of w_i * L_i / n_x
//! in balance              wp = wp(chromosome) + sum over plasmids of n* wp(plasmid),   n* = K (k0/lambda - 1)
//! ```
//!
//! w_i is a construct's transcription, L_i its protein's length, n_x the length of the class's proteins. Of equal length,
//! constructs add up exactly: the class's equations are linear in its own states (Weiße et al., PNAS 2015;112:E1038). A
//! longer protein counts by the amino acids that it takes, which is an approximation: what a ribosome does while it
//! translates a longer message is not followed.

use bioxen_hypervisor::{CellSpec, ChassisName, OrganismAction, PackageParts, PackagePlasmid, steady_state};
use bioxen_protocol::package::{VmPackage, VmPlasmid};

use crate::Package;

const MICRO: f64 = 1e6;
/// Loads are counted in whole millionths; above it they are refused by any limit anyway.
const MOST_MICRO: f64 = 1e15;

impl Package {
    /// Whether it may be put into a cell of `chassis`.
    #[must_use]
    pub fn fits(&self, chassis: ChassisName) -> bool {
        self.manifest.chassis.is_empty() || self.manifest.chassis.contains(&chassis)
    }

    /// What VMs of `chassis` are told of it; `digest` is of its archive. None where it does not fit.
    #[must_use]
    pub fn for_chassis(&self, chassis: ChassisName, digest: &str) -> Option<VmPackage> {
        if !self.fits(chassis) {
            return None;
        }
        let plasmids: Vec<VmPlasmid> = self
            .manifest
            .plasmids
            .iter()
            .map(|plasmid| VmPlasmid {
                name: plasmid.name.clone(),
                k0_per_min: plasmid.k0_per_min,
                half_copies: plasmid.half_copies,
                wp_per_copy: self.wp_per_copy(chassis, Some(&plasmid.name)),
            })
            .collect();
        let constant = self.wp_per_copy(chassis, None);
        let unlimited = steady_state(&CellSpec::unlimited(chassis));
        let growth = unlimited.map_or(0.0, |metrics| metrics.growth_rate_per_min);
        let carried = plasmids
            .iter()
            .map(|plasmid| plasmid.wp_per_copy * part(plasmid).balanced_copies(growth).max(1.0));
        Some(VmPackage {
            package: self.id().clone(),
            digest: digest.to_owned(),
            load_micro_per_min: micro(constant + carried.sum::<f64>()),
            constant_micro_per_min: micro(constant),
            plasmids,
            has_modules: !self.modules.is_empty(),
        })
    }

    /// Of the constructs on one plasmid, or in the chromosome.
    fn wp_per_copy(&self, chassis: ChassisName, plasmid: Option<&str>) -> f64 {
        let on_it =
            self.manifest.constructs.iter().filter(|construct| construct.plasmid.as_deref() == plasmid);
        let class_aa = chassis.heterologous_length_aa();
        on_it.map(|construct| construct.transcription_per_min * construct.length_aa / class_aa).sum()
    }
}

/// What the cell library does to install it.
#[must_use]
pub fn install_action(package: &VmPackage) -> OrganismAction {
    OrganismAction::InstallPackage {
        package: PackageParts {
            name: package.package.name().to_owned(),
            load_wp: per_min(package.constant_micro_per_min),
            plasmids: package.plasmids.iter().map(part).collect(),
        },
    }
}

/// From millionths.
#[must_use]
pub fn per_min(micro: u64) -> f64 {
    micro as f64 / MICRO
}

fn part(plasmid: &VmPlasmid) -> PackagePlasmid {
    let VmPlasmid { name, k0_per_min, half_copies, wp_per_copy } = plasmid.clone();
    PackagePlasmid { name, k0_per_min, half_copies, wp_per_copy }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0 to 1e15, where every whole number is exact"
)]
fn micro(per_min: f64) -> u64 {
    (per_min * MICRO).round().clamp(0.0, MOST_MICRO) as u64
}
