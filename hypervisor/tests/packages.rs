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

fn single_cell(chassis: ChassisName, seed: u64) -> Cell {
    Cell::new(&CellSpec { engine: Engine::Stochastic, seed, ..CellSpec::unlimited(chassis) }).unwrap()
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
    for mut cell in [cell(ChassisName::Syn3a), single_cell(ChassisName::Syn3a, 1)] {
        refuse_what_cannot_be_carried(&mut cell);
    }
}

fn refuse_what_cannot_be_carried(cell: &mut Cell) {
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
    let full = cell.checkpoint();
    assert_ne!(full, before);
    let more = Change { atp_milli_percent: Some(50_000), ..install(0, package("more", 0.0, Vec::new())) };
    let refused = cell.apply(&more).unwrap_err();
    assert!(matches!(refused, SpecError::Organism(OrganismError::TooMany { most: 16, .. })), "{refused}");
    assert_eq!(cell.packages().len(), 16);
    assert_eq!(cell.checkpoint(), full, "a refused change left a trace");
}

#[test]
fn constructs_in_a_single_cell_are_the_parameter_wp_to_the_bit() {
    for (chassis, end) in [(ChassisName::Weisse2015, 60), (ChassisName::Syn3a, 1_300)] {
        let (mut installed, mut set) = (single_cell(chassis, 5), single_cell(chassis, 5));
        installed.apply(&install(0, package("a", 7.0, Vec::new()))).unwrap();
        installed.apply(&install(0, package("b", 5.0, Vec::new()))).unwrap();
        set.apply(&Change { parameters: [("wp".to_owned(), 12.0)].into(), ..Change::default() }).unwrap();
        set.advance_to(end).unwrap();
        installed.advance_to(end / 2).unwrap();
        installed = Cell::restore(&installed.checkpoint()).unwrap();
        installed.advance_to(end).unwrap();
        let bits = |cell: &Cell| cell.variables().map(|(_, value)| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&installed), bits(&set), "{chassis}");
        assert!(installed.variables().any(|(name, value)| name == "p" && value > 0.0));
        assert_eq!(installed.packages().iter().map(|package| package.load_wp).sum::<f64>(), 12.0);
    }
}

#[test]
fn a_packages_plasmid_in_single_cells_is_whole_copies_that_settle_as_in_the_mean_cell() {
    let slow = PackagePlasmid { k0_per_min: 0.05, ..plasmid(5.0, 0.02) };
    let reporter = || install(0, package("reporter", 0.3, vec![slow.clone()]));
    let settled = |cell: &mut Cell| {
        cell.apply(&reporter()).unwrap();
        let (mut copies, mut load) = (0.0, 0.0);
        for sample in 0..40 {
            cell.advance_to(12_000 + 100 * sample).unwrap();
            let volume = if let Cell::Stochastic(cell) = &*cell { cell.volume() } else { 1.0 };
            let package = &cell.packages()[0];
            copies += package.plasmids[0].copies / volume / 40.0;
            load += package.load_wp / 40.0;
        }
        (copies, load)
    };
    let (expected, expected_load) = settled(&mut cell(ChassisName::Syn3a));
    let (mut mean, mut mean_load) = (0.0, 0.0);
    for seed in 0..12 {
        let mut cell = single_cell(ChassisName::Syn3a, seed);
        let (copies, load) = settled(&mut cell);
        (mean, mean_load) = (mean + copies / 12.0, mean_load + load / 12.0);
        let plasmids = &cell.packages()[0].plasmids;
        assert!(plasmids[0].copies > 0.0 && plasmids[0].copies.fract() == 0.0, "{plasmids:?}");
        let bytes = cell.checkpoint();
        let mut restored = Cell::restore(&bytes).unwrap();
        assert_eq!(restored.checkpoint(), bytes);
        for cell in [&mut cell, &mut restored] {
            cell.advance_to(16_500).unwrap();
        }
        assert_eq!(cell.checkpoint(), restored.checkpoint());
        assert!(cell.lineage().is_some_and(|lineage| lineage.generation > 4), "{:?}", cell.lineage());
    }
    println!("copies {mean:.2} against {expected:.2}, load {mean_load:.3} against {expected_load:.3}");
    assert!((mean / expected - 1.0).abs() < 0.08, "{mean} against {expected}");
    assert!((mean_load / expected_load - 1.0).abs() < 0.08, "{mean_load} against {expected_load}");
}
