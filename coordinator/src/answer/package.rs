//! Why a package is not put into a VM, as clients see it.

use bioxen_protocol::error::{Code, ErrorBody};

use crate::fleet::rejection::PackageRefusal;

/// What happened, what was expected, what to do.
pub(super) fn error(why: &PackageRefusal) -> ErrorBody {
    match why {
        PackageRefusal::There { vm, asked, known } if asked == known => {
            let message = format!(
                "VM {vm} has {known} with other bytes than those that are published now: somebody has overwritten it; publish the change as a new version, for a new VM"
            );
            ErrorBody::new(Code::Conflict, message)
        }
        PackageRefusal::There { vm, asked, known } => {
            let message = format!(
                "VM {vm} has {known} already, and what a cell has taken up is not exchanged: install {asked} in a new VM"
            );
            ErrorBody::new(Code::Conflict, message)
        }
        PackageRefusal::Changed { package, pinned, found } => {
            let message = format!(
                "{package} has changed: VMs have it with digest {pinned}, what is published now has {found}; a version never changes, so publish the bytes as before, or under a new version"
            );
            ErrorBody::new(Code::Package, message)
        }
        PackageRefusal::Chassis { package, chassis, fits } => {
            let message = format!("{package} does not fit {chassis}; it is for {}", fits.join(", "));
            ErrorBody::new(Code::UnsupportedForChassis, message)
                .with(|details| details.expected = Some(fits.join(", ")))
        }
        PackageRefusal::Unread { package } => {
            ErrorBody::new(Code::Package, format!("{package} could not be read: ask again"))
        }
    }
}
