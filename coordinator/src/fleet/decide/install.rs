//! `install`: a package once for each VM, pinned by its digest, within bounds of number and load.

use std::sync::Arc;

use bioxen_protocol::command::Verb;
use bioxen_protocol::limits::{PACKAGES_LOAD_MICRO_PER_MIN, PACKAGES_PER_VM};
use bioxen_protocol::package::PackageId;
use bioxen_protocol::state::VmState;

use super::{Decided, wrong_state};
use crate::fleet::Fleet;
use crate::fleet::command::Answer;
use crate::fleet::entry::{Cause, Entry};
use crate::fleet::package::PackageOffer;
use crate::fleet::rejection::{PackageRefusal, Rejection, Resource};
use crate::fleet::vm::Vm;

impl Fleet {
    pub(super) fn decide_install(
        &self,
        cause: &Cause,
        vm: &Vm,
        asked: &PackageId,
        offer: Option<&PackageOffer>,
    ) -> Result<Decided, Rejection> {
        let stands =
            matches!(vm.state, VmState::Created | VmState::Starting | VmState::Running | VmState::Paused);
        if !stands {
            return Err(wrong_state(vm, Verb::Install));
        }
        let key = vm.key.clone();
        if let Some(known) = vm.package(asked.name()) {
            let is_same = known.package == *asked && offer.is_none_or(|offer| offer.digest == known.digest);
            if !is_same {
                let (asked, known) = (asked.clone(), known.package.clone());
                return Err(refused(PackageRefusal::There { vm: key.vm, asked, known }));
            }
            let answer = Answer::Installed { vm: key.vm, installed: known.into() };
            return Ok(Decided { entries: Vec::new(), answer });
        }
        let Some(offer) = offer else {
            return Err(refused(PackageRefusal::Unread { package: asked.clone() }));
        };
        if let Some(pinned) = self.pinned_digest(asked)
            && pinned != offer.digest
        {
            let (pinned, found) = (pinned.to_owned(), offer.digest.clone());
            return Err(refused(PackageRefusal::Changed { package: asked.clone(), pinned, found }));
        }
        let Some(package) = offer.by_chassis.get(&vm.order.biological_type) else {
            return Err(refused(PackageRefusal::Chassis {
                package: asked.clone(),
                chassis: vm.order.biological_type.clone(),
                fits: offer.by_chassis.keys().cloned().collect(),
            }));
        };
        let (count, most) = (vm.packages.len() as u64 + 1, PACKAGES_PER_VM as u64);
        at_most(Resource::Packages, count, most)?;
        let load = vm.packages_load_micro_per_min().saturating_add(package.load_micro_per_min);
        at_most(Resource::PackageLoad, load, PACKAGES_LOAD_MICRO_PER_MIN)?;
        let ordinal = if vm.placement.is_none() { 0 } else { vm.last_ordinal + 1 };
        let answer = Answer::Installed { vm: key.vm.clone(), installed: (&**package).into() };
        let entry = Entry::Installed { cause: cause.clone(), key, ordinal, package: Arc::clone(package) };
        Ok(Decided { entries: vec![entry], answer })
    }
}

fn at_most(resource: Resource, requested: u64, most: u64) -> Result<(), Rejection> {
    if requested <= most { Ok(()) } else { Err(Rejection::AboveMost { resource, requested, most }) }
}

fn refused(why: PackageRefusal) -> Rejection {
    Rejection::Package(why)
}
