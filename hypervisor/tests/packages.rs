//! What packages do to cells: their load is the parameter wp, their plasmids settle, and checkpoints carry them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]

use bioxen_hypervisor::{
    Cell, CellSpec, Change, ChassisName, Engine, OrganismAction, OrganismError, PackageParts, PackagePlasmid,
    SpecError,
};

fn package(name: &str, load_wp: f64, plasmids: Vec<PackagePlasmid>) -> PackageParts {
    PackageParts { name: name.to_owned(), load_wp, plasmids }
}

fn plasmid(half_copies: f64, wp_per_copy: f64) -> PackagePlasmid {
    PackagePlasmid { name: "p".to_owned(), k0_per_min: 0.1386294, half_copies, wp_per_copy }
}

fn install(tick: u64, package: PackageParts) -> Change {
    Change { tick, organism: vec![OrganismAction::InstallPackage { package }], ..Change::default() }
}

fn cell(chassis: ChassisName) -> Cell {
    Cell::new(&CellSpec::unlimited(chassis)).unwrap()
}

#[test]
fn constructs_are_the_parameter_wp_to_the_bit_and_add_up() {
    let (mut installed, mut set) = (cell(ChassisName::Weisse2015), cell(ChassisName::Weisse2015));
    for (tick, name, load, wp) in [(37, "a", 60.0, 60.0), (101, "b", 40.0, 100.0)] {
        installed.advance_to(tick).unwrap();
        installed.apply(&install(tick, package(name, load, Vec::new()))).unwrap();
        set.advance_to(tick).unwrap();
        set.apply(&Change { tick, parameters: [("wp".to_owned(), wp)].into(), ..Change::default() }).unwrap();
    }
    let unlimited = cell(ChassisName::Weisse2015).metrics().growth_rate_per_min;
    for cell in [&mut installed, &mut set] {
        cell.advance_to(40_000).unwrap();
    }
    assert_eq!(installed.metrics(), set.metrics());
    let ratio = installed.metrics().growth_rate_per_min / unlimited;
    assert!((ratio / 0.4626 - 1.0).abs() < 0.005, "row 12 of the figures says .4626 for wp = 100: {ratio}");
}

#[test]
fn a_plasmid_settles_costs_growth_and_goes_on_from_a_checkpoint_with_the_same_bits() {
    let mut cell = cell(ChassisName::Ecoli);
    let before = cell.metrics();
    cell.apply(&install(0, package("reporter", 1.5, vec![plasmid(2.2, 4.0)]))).unwrap();
    cell.advance_to(1_234).unwrap();
    let bytes = cell.checkpoint();
    let mut restored = Cell::restore(&bytes).unwrap();
    assert_eq!(restored.checkpoint(), bytes);
    for cell in [&mut cell, &mut restored] {
        cell.advance_to(20_000).unwrap();
    }
    assert_eq!(cell.checkpoint(), restored.checkpoint());
    let readout = &cell.packages()[0];
    let (copies, balanced) = (readout.plasmids[0].copies, readout.plasmids[0].balanced_copies);
    assert!((copies / balanced - 1.0).abs() < 1e-3, "{readout:?}");
    assert!((readout.load_wp - (1.5 + 4.0 * copies)).abs() < 1e-9, "{readout:?}");
    assert!(cell.metrics().growth_rate_per_min < 0.99 * before.growth_rate_per_min);
    for damage in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[damage] ^= 1;
        assert!(Cell::restore(&damaged).is_err(), "byte {damage}");
    }
}

#[test]
fn a_package_is_put_in_once_also_by_a_schedule_that_a_checkpoint_holds() {
    let mut spec = CellSpec::unlimited(ChassisName::Syn3a);
    spec.schedule = vec![
        install(5, package("a", 3.0, vec![plasmid(1.0, 0.1)])),
        install(9, package("a", 9.0, Vec::new())),
    ];
    let mut cell = Cell::restore(&Cell::new(&spec).unwrap().checkpoint()).unwrap();
    cell.advance_to(10).unwrap();
    assert_eq!(cell.packages().len(), 1);
    assert!((3.0..3.2).contains(&cell.packages()[0].load_wp), "{:?}", cell.packages());
    let again = cell.checkpoint();
    cell.apply(&install(10, package("a", 9.0, Vec::new()))).unwrap();
    assert_eq!(cell.checkpoint(), again, "one that is there already changes nothing");
}

#[test]
fn a_package_that_no_cell_can_carry_is_refused_and_changes_nothing() {
    let mut cell = cell(ChassisName::Syn3a);
    let before = cell.checkpoint();
    let twice = vec![plasmid(1.0, 1.0), plasmid(1.0, 1.0)];
    for bad in [
        package("", 1.0, Vec::new()),
        package(&"n".repeat(101), 1.0, Vec::new()),
        package("a", -1.0, Vec::new()),
        package("a", f64::NAN, Vec::new()),
        package("a", 1e6, Vec::new()),
        package("a", 1.0, vec![plasmid(0.0, 1.0)]),
        package("a", 1.0, vec![plasmid(1.0, f64::INFINITY)]),
        package("a", 1.0, twice),
    ] {
        let refused = cell.apply(&install(0, bad)).unwrap_err();
        assert!(matches!(refused, SpecError::Organism(OrganismError::Package { .. })), "{refused}");
    }
    for number in 0..16 {
        cell.apply(&install(0, package(&number.to_string(), 0.0, Vec::new()))).unwrap();
    }
    let refused = cell.apply(&install(0, package("more", 0.0, Vec::new()))).unwrap_err();
    assert!(matches!(refused, SpecError::Organism(OrganismError::TooMany { most: 16, .. })), "{refused}");
    assert_eq!(cell.packages().len(), 16);
    assert_ne!(cell.checkpoint(), before);
}

#[test]
fn a_single_cell_says_that_it_takes_none() {
    let spec = CellSpec { engine: Engine::Stochastic, ..CellSpec::unlimited(ChassisName::Weisse2015) };
    let refused = Cell::new(&spec).unwrap().apply(&install(0, package("a", 1.0, Vec::new()))).unwrap_err();
    assert!(matches!(refused, SpecError::Organism(OrganismError::Engine { .. })), "{refused}");
}
