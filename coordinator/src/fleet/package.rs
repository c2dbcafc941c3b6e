//! Packages in VMs: what is offered, what a VM has, what is answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use bioxen_protocol::package::{PackageId, VmPackage};
use bioxen_protocol::worker::NumberedChange;
use serde::{Deserialize, Serialize};

use super::Fleet;
use super::vm::Vm;

/// A package that the edge has read and found sound.
#[derive(Debug, Clone, PartialEq)]
pub struct PackageOffer {
    pub digest: String,
    /// By the chassis that it fits.
    pub by_chassis: BTreeMap<String, Arc<VmPackage>>,
}

/// A package that a VM has, and from which change on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstalledPackage {
    /// 0 where it is there from minute 0.
    pub ordinal: u64,
    pub package: Arc<VmPackage>,
}

/// What is answered of an installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageSummary {
    pub package: PackageId,
    pub digest: String,
    pub load_micro_per_min: u64,
}

impl From<&VmPackage> for PackageSummary {
    fn from(of: &VmPackage) -> Self {
        let VmPackage { package, digest, load_micro_per_min, .. } = of;
        Self { package: package.clone(), digest: digest.clone(), load_micro_per_min: *load_micro_per_min }
    }
}

impl Vm {
    /// What follows from the entry. It changes nothing that the VM holds.
    pub(super) fn install(&mut self, ordinal: u64, package: &Arc<VmPackage>) {
        self.packages.push(InstalledPackage { ordinal, package: Arc::clone(package) });
        if ordinal == 0 {
            return Arc::make_mut(&mut self.order).packages.push(Arc::clone(package));
        }
        self.last_ordinal = ordinal;
        let (allocation, package) = (self.allocation, Some(Arc::clone(package)));
        self.changes.push(NumberedChange { ordinal, allocation, tick: None, package });
    }

    /// The installed package of that name, whatever its version.
    pub fn package(&self, name: &str) -> Option<&VmPackage> {
        self.packages.iter().map(|installed| &*installed.package).find(|known| known.package.name() == name)
    }

    /// What its packages cost together, in balance.
    pub fn packages_load_micro_per_min(&self) -> u64 {
        self.packages
            .iter()
            .fold(0, |sum, installed| sum.saturating_add(installed.package.load_micro_per_min))
    }
}

impl Fleet {
    /// The digest under which a VM of the fleet has the package: its bytes must stay these.
    pub(super) fn pinned_digest(&self, package: &PackageId) -> Option<&str> {
        let mut having = self.vms().flat_map(|vm| &vm.packages);
        having.find(|installed| installed.package.package == *package).map(|it| it.package.digest.as_str())
    }
}
