//! Packages in VMs: once each, pinned, bounded, in their turn among changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bioxen_protocol::command::{OnFull, Verb};
use bioxen_protocol::package::{PackageId, VmPackage};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::ObservedState;

use super::process::running;
use super::{Bench, key};
use crate::fleet::command::{Answer, Ask};
use crate::fleet::package::PackageOffer;
use crate::fleet::rejection::{PackageRefusal, Rejection, Resource};

fn id(package: &str) -> PackageId {
    package.parse().unwrap()
}

/// Offered for syn3a, whose VMs the bench makes.
fn offer(package: &str, digest: &str, load_micro_per_min: u64) -> PackageOffer {
    let told = VmPackage {
        package: id(package),
        digest: digest.to_owned(),
        load_micro_per_min,
        constant_micro_per_min: load_micro_per_min,
        plasmids: Vec::new(),
        has_modules: true,
    };
    PackageOffer {
        digest: digest.to_owned(),
        by_chassis: BTreeMap::from([("syn3a".to_owned(), Arc::new(told))]),
    }
}

fn install(package: &str, offer: Option<PackageOffer>) -> Ask {
    Ask::Install { package: id(package), offer }
}

pub(super) fn put(
    bench: &mut Bench,
    vm: &str,
    package: &str,
    digest: &str,
    load: u64,
) -> Result<Answer, Rejection> {
    bench.ask("alice", vm, Verb::Install, install(package, Some(offer(package, digest, load))))
}

#[test]
fn a_package_waits_its_turn_among_changes_and_holds_nothing() {
    let mut bench = running();
    let held = bench.held("alice", "c1");
    put(&mut bench, "c1", "a@1.0.0", "d", 5).unwrap();
    let vm = bench.fleet.vm(&key("alice", "c1")).unwrap();
    let change = vm.changes.last().unwrap();
    assert_eq!((change.ordinal, change.allocation, change.tick), (1, vm.allocation, None));
    assert!(change.package.as_ref().is_some_and(|package| package.package == id("a@1.0.0")));
    assert!(vm.order.packages.is_empty() && vm.packages.len() == 1 && !vm.is_settled());
    bench.observe("alice", "c1", ObservedState::Running);
    assert!(bench.fleet.vm(&key("alice", "c1")).unwrap().is_settled());
    assert_eq!(bench.held("alice", "c1"), held);
    bench.check();
}

#[test]
fn a_vm_that_has_not_started_has_it_from_minute_0() {
    let mut bench = Bench::new();
    bench.create("alice", "c1", OnFull::Reject).unwrap();
    put(&mut bench, "c1", "a@1.0.0", "d", 5).unwrap();
    let vm = bench.fleet.vm(&key("alice", "c1")).unwrap();
    assert_eq!((vm.order.packages.len(), vm.packages.len(), vm.changes.len()), (1, 1, 0));
}

#[test]
fn the_same_again_answers_the_same_also_where_it_can_no_longer_be_read() {
    let mut bench = running();
    let first = put(&mut bench, "c1", "a@1.0.0", "d", 5).unwrap();
    assert_eq!(put(&mut bench, "c1", "a@1.0.0", "d", 5).unwrap(), first);
    assert_eq!(bench.ask("alice", "c1", Verb::Install, install("a@1.0.0", None)).unwrap(), first);
    let request = Some(("r1", "b1"));
    let asked = install("b@1.0.0", Some(offer("b@1.0.0", "e", 7)));
    let second = bench.ask_as("alice", "c1", Verb::Install, asked, request).unwrap();
    let repeated = bench.ask_as("alice", "c1", Verb::Install, install("b@1.0.0", None), request).unwrap();
    assert_eq!(repeated, second);
    assert_eq!(bench.fleet.vm(&key("alice", "c1")).unwrap().packages.len(), 2);
}

#[test]
fn other_bytes_or_another_version_are_refused() {
    let mut bench = running();
    put(&mut bench, "c1", "a@1.0.0", "d", 5).unwrap();
    for (package, digest) in [("a@1.0.1", "e"), ("a@1.0.0", "e")] {
        let refused = put(&mut bench, "c1", package, digest, 5).unwrap_err();
        assert!(matches!(refused, Rejection::Package(PackageRefusal::There { .. })), "{refused:?}");
    }
    bench.create("alice", "c2", OnFull::Reject).unwrap();
    let refused = put(&mut bench, "c2", "a@1.0.0", "e", 5).unwrap_err();
    assert!(matches!(refused, Rejection::Package(PackageRefusal::Changed { .. })), "{refused:?}");
    put(&mut bench, "c2", "a@1.0.0", "d", 5).unwrap();
}

#[test]
fn number_and_load_of_packages_are_bounded() {
    let mut bench = running();
    put(&mut bench, "c1", "p0@1.0.0", "0", 9_999_999_999).unwrap();
    let above = put(&mut bench, "c1", "p1@1.0.0", "1", 2).unwrap_err();
    assert!(matches!(above, Rejection::AboveMost { resource: Resource::PackageLoad, .. }), "{above:?}");
    for number in 1..16 {
        put(&mut bench, "c1", &format!("p{number}@1.0.0"), &number.to_string(), 0).unwrap();
    }
    let above = put(&mut bench, "c1", "p16@1.0.0", "16", 0).unwrap_err();
    assert!(
        matches!(above, Rejection::AboveMost { resource: Resource::Packages, most: 16, .. }),
        "{above:?}"
    );
}

#[test]
fn chassis_and_state_decide_too() {
    let mut bench = running();
    let mut other = offer("a@1.0.0", "d", 5);
    let told = other.by_chassis.remove("syn3a").unwrap();
    other.by_chassis.insert("ecoli".to_owned(), told);
    let refused = bench.ask("alice", "c1", Verb::Install, install("a@1.0.0", Some(other))).unwrap_err();
    assert!(matches!(refused, Rejection::Package(PackageRefusal::Chassis { .. })), "{refused:?}");
    let unread = bench.ask("alice", "c1", Verb::Install, install("a@1.0.0", None)).unwrap_err();
    assert!(matches!(unread, Rejection::Package(PackageRefusal::Unread { .. })), "{unread:?}");
    bench.ask("alice", "c1", Verb::Stop, Ask::Stop).unwrap();
    let refused = put(&mut bench, "c1", "a@1.0.0", "d", 5).unwrap_err();
    assert!(matches!(refused, Rejection::State { state: VmState::Stopping, .. }), "{refused:?}");
    let unknown = put(&mut bench, "nobody", "a@1.0.0", "d", 5).unwrap_err();
    assert!(matches!(unknown, Rejection::NotFound { .. }), "{unknown:?}");
}
