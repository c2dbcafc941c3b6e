//! A trajectory has the same bits however its cell was driven: sliced, cloned, saved, restored, its changes
//! scheduled or applied live. And nothing that is not a checkpoint is taken for one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use bioxen_hypervisor::{
    Allocation, Cell, CellSpec, Change, ChassisName, CheckpointError, OrganismAction, RibosomeCap,
    SimulationError, SpecError, Tolerance,
};
use proptest::prelude::*;

const END: u64 = 600;

fn bits(cell: &Cell) -> Vec<u64> {
    cell.variables().map(|(_, value)| value.to_bits()).collect()
}

fn chassis() -> impl Strategy<Value = ChassisName> {
    prop::sample::select(ChassisName::ALL.to_vec())
}

fn cap() -> impl Strategy<Value = RibosomeCap> {
    prop_oneof![
        Just(RibosomeCap::Unlimited),
        (1_u32..=12).prop_map(RibosomeCap::Units),
        (20.0..5000.0).prop_map(RibosomeCap::Molecules),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let parameters = prop::collection::btree_map(
        prop::sample::select(vec!["s0", "cl", "wp", "ns"]).prop_map(str::to_owned),
        0.01..20.0,
        0..3,
    );
    let (atp, load) = (prop::option::of(5_000_u32..120_000), prop::option::of(0.0..50.0));
    (1..END, parameters, atp, prop::option::of(cap()), load).prop_map(
        |(tick, parameters, atp_milli_percent, ribosomes, installed_load_wp)| Change {
            tick,
            parameters,
            atp_milli_percent,
            ribosomes,
            installed_load_wp,
            organism: Vec::new(),
        },
    )
}

prop_compose! {
    fn a_spec()(
        chassis in chassis(),
        s0 in 10.0..1e5,
        atp_milli_percent in 5_000_u32..=100_000,
        ribosomes in cap(),
        mut schedule in prop::collection::vec(change(), 0..4),
    ) -> CellSpec {
        schedule.sort_by_key(|change| change.tick);
        CellSpec {
            parameters: BTreeMap::from([("s0".to_owned(), s0)]),
            allocation: Allocation { atp_milli_percent, ribosomes },
            schedule,
            ..CellSpec::unlimited(chassis)
        }
    }
}

/// What a driver does to a cell between two advances.
#[derive(Clone, Debug)]
enum Act {
    Advance(u64),
    AdvanceSteps(u64, u32),
    Restore,
    Clone,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (1_u64..90).prop_map(Act::Advance),
        ((1_u64..300), (0_u32..4)).prop_map(|(ticks, steps)| Act::AdvanceSteps(ticks, steps)),
        Just(Act::Restore),
        Just(Act::Clone),
    ];
    prop::collection::vec(act, 0..40)
}

fn drive(cell: &mut Cell, acts: &[Act]) {
    for act in acts {
        match *act {
            Act::Advance(ticks) => cell.advance_to((cell.tick() + ticks).min(END)).unwrap(),
            Act::AdvanceSteps(ticks, steps) => {
                cell.advance_for((cell.tick() + ticks).min(END), steps).unwrap();
            }
            Act::Restore => *cell = Cell::restore(&cell.checkpoint()).unwrap(),
            Act::Clone => {
                let mut other = cell.clone();
                other.advance_to(END).unwrap();
                *cell = cell.clone();
            }
        }
    }
    cell.advance_to(END).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn row_28_slices_clones_and_checkpoints_leave_every_bit(spec in a_spec(), acts in acts()) {
        let mut straight = Cell::new(&spec).unwrap();
        straight.advance_to(END).unwrap();
        let mut driven = Cell::new(&spec).unwrap();
        drive(&mut driven, &acts);
        prop_assert_eq!(bits(&driven), bits(&straight));
        prop_assert_eq!(driven.checkpoint(), straight.checkpoint());
    }

    #[test]
    fn row_28_a_change_applied_live_is_the_scheduled_one_to_the_bit(spec in a_spec(), acts in acts()) {
        let mut scheduled = Cell::new(&spec).unwrap();
        scheduled.advance_to(END).unwrap();
        let mut live = Cell::new(&CellSpec { schedule: Vec::new(), ..spec.clone() }).unwrap();
        for change in &spec.schedule {
            live.advance_to(change.tick).unwrap();
            live.apply(change).unwrap();
        }
        drive(&mut live, &acts);
        prop_assert_eq!(bits(&live), bits(&scheduled));
    }

    #[test]
    fn no_bytes_make_restore_panic(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        prop_assert!(Cell::restore(&bytes).is_err());
    }

    #[test]
    fn a_damaged_checkpoint_is_refused(spec in a_spec(), place in any::<prop::sample::Index>(), flip in 1_u8..=255) {
        let mut cell = Cell::new(&spec).unwrap();
        cell.advance_to(17).unwrap();
        let mut bytes = cell.checkpoint();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        prop_assert!(Cell::restore(&bytes).is_err());
        prop_assert!(Cell::restore(&bytes[..place]).is_err());
    }

    #[test]
    fn a_forged_checkpoint_is_refused_or_runs_but_never_panics(
        spec in a_spec(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut cell = Cell::new(&spec).unwrap();
        cell.advance_to(17).unwrap();
        let mut bytes = cell.checkpoint();
        let body = bytes.len() - 8;
        for (place, value) in edits {
            bytes[place.index(body)] = value;
        }
        let checksum = bytes[..body].iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        bytes[body..].copy_from_slice(&checksum.to_le_bytes());
        if let Ok(mut cell) = Cell::restore(&bytes) {
            let _ = cell.metrics();
            let _ = cell.advance_for(cell.tick().saturating_add(50), 2_000);
        }
    }
}

#[test]
fn a_checkpoint_is_small() {
    for chassis in ChassisName::ALL {
        let mut spec = CellSpec::unlimited(chassis);
        for symbol in ["s0", "cl", "ns", "vt", "vm", "wr", "wt", "wm", "wq", "wp", "kb", "ku", "dm", "k_cm"] {
            spec.parameters.insert(symbol.to_owned(), 1.0);
        }
        spec.schedule = vec![Change { tick: 99, atp_milli_percent: Some(5_000), ..Change::default() }; 20];
        let mut cell = Cell::new(&spec).unwrap();
        cell.advance_to(50).unwrap();
        assert!(cell.checkpoint().len() < 2048, "{}", cell.checkpoint().len());
    }
    assert!(size_of::<Cell>() < 1024, "{}", size_of::<Cell>());
}

#[test]
fn a_change_that_changes_nothing_leaves_every_bit() {
    let spec =
        CellSpec { parameters: [("s0".to_owned(), 500.0)].into(), ..CellSpec::unlimited(ChassisName::Syn3a) };
    let mut plain = Cell::new(&spec).unwrap();
    let mut repeated = plain.clone();
    for tick in [3, 70, 71, 200] {
        repeated.advance_to(tick).unwrap();
        let parameters = spec.parameters.clone();
        let change = Change { tick, parameters, atp_milli_percent: Some(100_000), ..Change::default() };
        repeated.apply(&change).unwrap();
    }
    plain.advance_to(END).unwrap();
    repeated.advance_to(END).unwrap();
    assert_eq!(bits(&repeated), bits(&plain));
}

#[test]
fn lifting_a_cap_gives_the_idle_ribosomes_back_at_once() {
    let allocation = Allocation { ribosomes: RibosomeCap::Units(5), ..Allocation::UNLIMITED };
    let mut cell = Cell::new(&CellSpec { allocation, ..CellSpec::unlimited(ChassisName::Syn3a) }).unwrap();
    cell.advance_to(END).unwrap();
    let before = cell.metrics();
    cell.apply(&Change { tick: END, ribosomes: Some(RibosomeCap::Units(15)), ..Change::default() }).unwrap();
    let after = cell.metrics();
    assert!(before.ribosomes_total > 2.0 * before.ribosomes_active);
    assert_eq!(after.ribosomes_active, after.ribosomes_total);
    assert!((after.ribosomes_total / before.ribosomes_total - 1.0).abs() < 1e-12);
    cell.advance_to(END + 100).unwrap();
    assert!(cell.variables().any(|(name, value)| name == "z_idle" && value == 0.0));
}

#[test]
fn absurd_inputs_are_refused_with_symbol_value_and_range() {
    let with = |chassis, name: &str, value| CellSpec {
        parameters: [(name.to_owned(), value)].into(),
        ..CellSpec::unlimited(chassis)
    };
    for chassis in ChassisName::ALL {
        for (name, value) in [
            ("M", 0.0),
            ("nr", -1.0),
            ("s0", f64::NAN),
            ("Km", f64::INFINITY),
            ("act", 1.0),
            ("R", 1e9),
            ("td", 1.0),
            ("phiE", 0.0),
            ("nq", 1e3),
            ("cl", -0.5),
            ("km", 1.0),
            ("", 1.0),
            ("ks", 1e300),
        ] {
            let error = with(chassis, name, value).validate().unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(Cell::new(&with(chassis, name, value)).is_err());
        }
        let most = chassis.most_ribosome_units();
        let allocation = Allocation { ribosomes: RibosomeCap::Units(most + 1), ..Allocation::UNLIMITED };
        let error = CellSpec { allocation, ..CellSpec::unlimited(chassis) }.validate().unwrap_err();
        assert_eq!(error, SpecError::TooManyUnits { units: most + 1, most, chassis });
        let tolerance = Tolerance { relative: 0.0, absolute: 1e-8 };
        assert!(CellSpec { tolerance, ..CellSpec::unlimited(chassis) }.validate().is_err());
        let schedule = vec![Change { tick: u64::MAX, ..Change::default() }];
        assert!(CellSpec { schedule, ..CellSpec::unlimited(chassis) }.validate().is_err());
    }
}

#[test]
fn extreme_but_valid_inputs_end_in_a_state_or_a_typed_error() {
    let symbols = bioxen_hypervisor::known_symbols();
    for chassis in ChassisName::ALL {
        for symbol in symbols.split(", ") {
            for value in [0.0, 1e-300, 1e-9, 1e-3, 0.5, 99.0, 1e6, 1e15] {
                let parameters = BTreeMap::from([(symbol.to_owned(), value)]);
                let Ok(mut cell) = Cell::new(&CellSpec { parameters, ..CellSpec::unlimited(chassis) }) else {
                    continue;
                };
                let progress = cell.advance_for(100, 5_000);
                let _ = (progress, cell.metrics(), Cell::restore(&cell.checkpoint()).unwrap());
            }
        }
        for (atp, cap) in
            [(0, RibosomeCap::Unlimited), (0, RibosomeCap::Units(0)), (100_000, RibosomeCap::Units(0))]
        {
            let allocation = Allocation { atp_milli_percent: atp, ribosomes: cap };
            let mut cell = Cell::new(&CellSpec { allocation, ..CellSpec::unlimited(chassis) }).unwrap();
            cell.advance_to(6_000).unwrap();
            let unlimited = Cell::new(&CellSpec::unlimited(chassis)).unwrap().metrics();
            let share = cell.metrics().growth_rate_per_min / unlimited.growth_rate_per_min;
            assert!(share < 0.1, "{chassis} still grows at {share} of its rate");
        }
    }
}

#[test]
fn a_cell_runs_forward_only_and_takes_changes_at_its_own_tick_only() {
    let mut cell = Cell::new(&CellSpec::unlimited(ChassisName::Ecoli)).unwrap();
    cell.advance_to(10).unwrap();
    assert_eq!(cell.advance_to(9), Err(SimulationError::Backwards { tick: 9, now: 10 }));
    assert_eq!(
        cell.apply(&Change { tick: 11, ..Change::default() }),
        Err(SpecError::WrongTick { tick: 11, now: 10 })
    );
    assert!(matches!(cell.advance_to(u64::MAX), Err(SimulationError::BeyondGrid { .. })));
    assert_eq!(cell.tick(), 10);
}

#[test]
fn a_checkpoint_of_another_format_is_named_as_such() {
    let mut bytes = Cell::new(&CellSpec::unlimited(ChassisName::Ecoli)).unwrap().checkpoint();
    bytes[4] = 9;
    assert_eq!(
        Cell::restore(&bytes).err(),
        Some(CheckpointError::Version { found: 9, oldest: 1, newest: 4 })
    );
    assert_eq!(Cell::restore(b"").err(), Some(CheckpointError::NotACheckpoint));
}

/// The second had no load of what is installed.
#[test]
fn a_checkpoint_of_the_second_format_goes_on_with_the_same_bits() {
    let mut cell = Cell::new(&CellSpec::unlimited(ChassisName::Ecoli)).unwrap();
    let plasmid = OrganismAction::InsertPlasmid { plasmid: "pUC".to_owned() };
    cell.apply(&Change { tick: 0, organism: vec![plasmid], ..Change::default() }).unwrap();
    cell.advance_to(77).unwrap();
    let mut second = cell.checkpoint();
    second.truncate(second.len() - 8);
    // Behind magic, version, chassis, no settings, energy, no cap and the plasmids' load.
    second.drain(31..39);
    second[4] = 2;
    let checksum = second.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    second.extend(checksum.to_le_bytes());
    assert_eq!(Cell::restore(&second).unwrap().checkpoint(), cell.checkpoint());
}

/// The first format had no load, no genes, no operons and no plasmids.
#[test]
fn a_checkpoint_of_the_first_format_goes_on_with_the_same_bits() {
    let mut cell = Cell::new(&CellSpec::unlimited(ChassisName::Ecoli)).unwrap();
    cell.apply(&Change { tick: 0, ribosomes: Some(RibosomeCap::Units(30)), ..Change::default() }).unwrap();
    cell.advance_to(77).unwrap();
    let mut first = cell.checkpoint();
    first.truncate(first.len() - 8 - 3 * 8);
    // Behind magic, version, chassis, no settings, energy and a cap in units.
    first.drain(31..47);
    first[4] = 1;
    let checksum = first.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    first.extend(checksum.to_le_bytes());
    let mut restored = Cell::restore(&first).unwrap();
    assert_eq!(restored.checkpoint(), cell.checkpoint());
    restored.advance_to(END).unwrap();
    cell.advance_to(END).unwrap();
    assert_eq!(bits(&restored), bits(&cell));
}

/// One trajectory a chassis, with a change of everything on the way, as one number.
fn digest(chassis: ChassisName) -> u64 {
    let spec = CellSpec {
        parameters: [("s0".to_owned(), 700.0), ("nq".to_owned(), 3.3)].into(),
        allocation: Allocation { atp_milli_percent: 61_234, ribosomes: RibosomeCap::Units(7) },
        schedule: vec![
            Change { tick: 123, parameters: [("cl".to_owned(), 3.0)].into(), ..Change::default() },
            Change { tick: 345, ribosomes: Some(RibosomeCap::Unlimited), ..Change::default() },
        ],
        ..CellSpec::unlimited(chassis)
    };
    let mut cell = Cell::new(&spec).unwrap();
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for tick in [1, 122, 200, 345, END] {
        cell.advance_to(tick).unwrap();
        for bits in bits(&cell) {
            digest = (digest ^ bits).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    digest
}

/// If this fails on a new machine or build, that machine does not keep the promise of equal bits. If it fails after a
/// change of equations, figures or method, raise the checkpoint's version and put the new numbers here.
#[test]
fn row_28_a_trajectory_has_the_same_bits_on_every_machine_and_in_every_build() {
    let digests = ChassisName::ALL.map(digest);
    assert_eq!(
        digests.map(|digest| format!("{digest:016x}")),
        ["11fbb6b2e0437eed", "c587115e99dff5bd", "e47bfe12b983e363", "fcf945a453702d47"]
    );
}

#[test]
fn row_28_a_cell_may_move_between_threads() {
    fn moves<T: Send + Sync + Clone + 'static>(_: &T) {}
    moves(&Cell::new(&CellSpec::unlimited(ChassisName::Syn3a)).unwrap());
}
