//! Operons, genes and plasmids of a cell: what an action changes, what it answers, and that no bit depends on how the
//! cell was driven.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rows;

use bioxen_hypervisor::{
    Allocation, Cell, CellSpec, Change, ChassisName, GeneReadout, OperonAction, OperonReadout, Organism,
    OrganismAction, OrganismError, PlasmidReadout, Regulation, RibosomeCap, SpecError,
};
use proptest::prelude::*;
use rows::show;

const END: u64 = 600;

fn cell(chassis: ChassisName) -> Cell {
    Cell::new(&CellSpec::unlimited(chassis)).unwrap()
}

fn regulate(names: &[&str], action: OperonAction) -> OrganismAction {
    OrganismAction::Operons { operons: names.iter().map(|name| (*name).to_owned()).collect(), action }
}

fn transcribe(names: &[&str]) -> OrganismAction {
    OrganismAction::Transcription { genes: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn insert(plasmid: &str) -> OrganismAction {
    OrganismAction::InsertPlasmid { plasmid: plasmid.to_owned() }
}

fn remove(plasmid: &str) -> OrganismAction {
    OrganismAction::RemovePlasmid { plasmid: plasmid.to_owned() }
}

fn act(cell: &mut Cell, action: OrganismAction) -> Result<(), SpecError> {
    cell.apply(&Change { tick: cell.tick(), organism: vec![action], ..Change::default() })
}

fn operon(cell: &Cell, name: &str) -> OperonReadout {
    cell.operons(&[name.to_owned()]).unwrap().remove(0)
}

fn gene(cell: &Cell, name: &str) -> GeneReadout {
    cell.genes(&[name.to_owned()]).unwrap().remove(0)
}

fn plasmid(cell: &Cell, name: &str) -> PlasmidReadout {
    cell.plasmids().unwrap().into_iter().find(|plasmid| plasmid.plasmid == name).unwrap()
}

fn bits(cell: &Cell) -> Vec<u64> {
    cell.variables().map(|(_, value)| value.to_bits()).collect()
}

fn assert_near(value: f64, expected: f64, relative: f64) {
    assert!((value - expected).abs() <= relative * expected.abs(), "{value} against {expected}");
}

#[test]
fn row_24_each_plasmid_settles_within_its_published_copy_number() {
    for name in ["pUC", "pBR322", "p15A", "pSC101", "F"] {
        let mut cell = cell(ChassisName::Ecoli);
        act(&mut cell, insert(name)).unwrap();
        cell.advance_to(12_000).unwrap();
        let plasmid = plasmid(&cell, name);
        let range = plasmid.copies_low..=plasmid.copies_high;
        let reference = format!("{} to {}", plasmid.copies_low, plasmid.copies_high);
        let holds = Some(range.contains(&plasmid.copies));
        show("24", &format!("ecoli, copies of {name}"), plasmid.copies, reference, "within", holds);
        assert_near(plasmid.copies, plasmid.balanced_copies, 1e-3);
        let unburdened = plasmid_at(&plasmid, 30.0);
        assert!(unburdened >= plasmid.copies_low && unburdened <= plasmid.copies_high, "{unburdened}");
    }
}

/// Copies at a doubling time, by K (k0/lambda - 1), from the pack.
fn plasmid_at(plasmid: &PlasmidReadout, doubling_time_min: f64) -> f64 {
    let table = &ChassisName::Ecoli.pack().plasmid_table;
    let known = table.iter().find(|known| known.name == plasmid.plasmid).unwrap();
    known.half_copies * (known.k0_per_min * doubling_time_min / std::f64::consts::LN_2 - 1.0)
}

#[test]
fn plasmids_slow_the_cell_by_their_load_and_removing_them_lifts_it() {
    let mut cell = cell(ChassisName::Ecoli);
    let unburdened = cell.metrics().growth_rate_per_min;
    act(&mut cell, insert("pUC")).unwrap();
    cell.advance_to(12_000).unwrap();
    let carrying = cell.organism();
    let expected = plasmid(&cell, "pUC").copies * plasmid(&cell, "pUC").wp_per_copy;
    assert_near(carrying.plasmid_load_wp, expected, 0.011);
    let burdened = cell.metrics().growth_rate_per_min;
    assert!(burdened < 0.97 * unburdened, "{}", burdened / unburdened);
    let wp = [("wp".to_owned(), carrying.plasmid_load_wp)].into();
    let by_hand = CellSpec { parameters: wp, ..CellSpec::unlimited(ChassisName::Ecoli) };
    let by_hand = bioxen_hypervisor::steady_state(&by_hand).unwrap().growth_rate_per_min;
    assert_near(burdened, by_hand, 1e-3);
    let Organism::Ecoli(status) = cell.metrics().organism else { panic!("an ecoli") };
    assert_near(status.plasmid_count, plasmid(&cell, "pUC").copies, 1e-12);
    act(&mut cell, remove("pUC")).unwrap();
    assert_eq!(cell.organism().plasmid_load_wp, 0.0);
    cell.advance_to(24_000).unwrap();
    assert_near(cell.metrics().growth_rate_per_min, unburdened, 1e-6);
    let Organism::Ecoli(status) = cell.metrics().organism else { panic!("an ecoli") };
    assert_eq!(status.plasmid_count, 0.0);
}

#[test]
fn an_operon_goes_to_its_measured_fold_change_and_back() {
    let mut cell = cell(ChassisName::Ecoli);
    let before = operon(&cell, "trpLEDCBA");
    act(&mut cell, regulate(&["trpLEDCBA"], OperonAction::Repress)).unwrap();
    let at_once = operon(&cell, "trpLEDCBA");
    assert_eq!(at_once.regulation, Regulation::Repressed);
    assert_eq!(at_once.log2_fold_change, Some(-2.02));
    assert_near(at_once.transcription_per_min, 0.24655817 * before.transcription_per_min, 1e-6);
    assert_near(at_once.mrna, before.mrna, 1e-9);
    cell.advance_to(6_000).unwrap();
    let later = operon(&cell, "trpLEDCBA");
    for (gene, unregulated) in later.genes.iter().zip(&before.genes) {
        assert_near(gene.proteins, 0.24655817 * unregulated.proteins, 1e-4);
    }
    let Organism::Ecoli(status) = cell.metrics().organism else { panic!("an ecoli") };
    assert_eq!(status.operon_status["trpLEDCBA"], Regulation::Repressed);
    assert_eq!(status.operon_status["lacZYA"], Regulation::Basal);
    assert_eq!(status.operon_status.len(), 18);
    act(&mut cell, regulate(&["trpLEDCBA"], OperonAction::Derepress)).unwrap();
    cell.advance_to(12_000).unwrap();
    assert_near(operon(&cell, "trpLEDCBA").mrna, before.mrna, 1e-6);
}

#[test]
fn an_action_of_which_nothing_was_measured_changes_no_rate_and_says_so() {
    let mut cell = cell(ChassisName::Ecoli);
    let before = operon(&cell, "dnaKJ").transcription_per_min;
    act(&mut cell, regulate(&["dnaKJ"], OperonAction::Activate)).unwrap();
    let after = operon(&cell, "dnaKJ");
    assert_eq!((after.regulation, after.log2_fold_change), (Regulation::Activated, None));
    assert_eq!(after.transcription_per_min, before);
}

#[test]
fn an_unregulated_operon_has_the_share_of_protein_that_it_has_of_the_genome() {
    let cell = cell(ChassisName::Ecoli);
    let lac = operon(&cell, "lacZYA");
    // Three genes share 2.15e9 aa * (3075 + 1254 + 612) / 4641652 alike.
    let mass_aa = 2.15e9 * 4941.0 / 4_641_652.0 / 3.0;
    for (gene, length_aa) in lac.genes.iter().zip([1024.0, 417.0, 203.0]) {
        assert_near(gene.proteins, mass_aa / length_aa, 1e-6);
    }
}

#[test]
fn a_cell_without_energy_makes_less_of_every_operon() {
    let allocation = Allocation { atp_milli_percent: 25_000, ..Allocation::UNLIMITED };
    let mut starved = Cell::new(&CellSpec { allocation, ..CellSpec::unlimited(ChassisName::Ecoli) }).unwrap();
    act(&mut starved, regulate(&["atpIBEFHAGDC"], OperonAction::Derepress)).unwrap();
    starved.advance_to(600).unwrap();
    let (limited, unlimited) =
        (operon(&starved, "atpIBEFHAGDC"), operon(&cell(ChassisName::Ecoli), "atpIBEFHAGDC"));
    assert!(limited.transcription_per_min < unlimited.transcription_per_min);
}

#[test]
fn a_gene_stands_at_its_measured_copies_and_a_started_transcription_adds_to_them() {
    let mut cell = cell(ChassisName::Syn3a);
    let before = gene(&cell, "dnaA");
    assert_eq!(before.locus, "JCVISYN3A_0001");
    assert_near(before.mrna.unwrap(), 0.2605, 1e-9);
    assert_near(before.proteins.unwrap(), 148.0, 1e-9);
    // Decay 0.2006 and growth ln 2 / 105 keep 0.2605 copies.
    assert_near(
        before.transcription_per_min.unwrap(),
        0.2605 * (0.2006 + std::f64::consts::LN_2 / 105.0),
        1e-8,
    );
    act(&mut cell, transcribe(&["dnaA", "dnaN"])).unwrap();
    assert_near(gene(&cell, "dnaA").mrna.unwrap(), 1.2605, 1e-9);
    cell.advance_to(100).unwrap();
    let during = gene(&cell, "dnaA");
    assert!(during.mrna.unwrap() > 0.27 && during.mrna.unwrap() < 1.2605, "{during:?}");
    assert!(during.proteins.unwrap() > 148.5, "{during:?}");
    assert_eq!(cell.organism().genes.len(), 2);
    cell.advance_to(30_000).unwrap();
    let after = gene(&cell, "dnaA");
    assert_near(after.mrna.unwrap(), 0.2605, 1e-6);
    assert_near(after.proteins.unwrap(), 148.0, 1e-6);
}

#[test]
fn a_name_that_no_pack_lists_is_refused_with_the_nearest_five() {
    let mut ecoli = cell(ChassisName::Ecoli);
    let mut syn3a = cell(ChassisName::Syn3a);
    let before = (bits(&ecoli), ecoli.checkpoint());
    let error = act(&mut ecoli, regulate(&["lacZYA", "trpLED"], OperonAction::Repress)).unwrap_err();
    let SpecError::Organism(OrganismError::Unknown { nearest, .. }) = &error else { panic!("{error}") };
    assert_eq!((nearest.len(), nearest[0].as_str()), (5, "trpLEDCBA"));
    assert_eq!((bits(&ecoli), ecoli.checkpoint()), before);
    let error = act(&mut syn3a, transcribe(&["dnaQ"])).unwrap_err().to_string();
    assert!(error.contains("dnaQ") && error.contains("dnaA") && error.contains("61 of 496 genes"), "{error}");
    let error = act(&mut ecoli, insert("pUC19")).unwrap_err().to_string();
    assert!(error.contains("nearest: pUC"), "{error}");
}

#[test]
fn a_chassis_without_genes_operons_or_plasmids_says_so() {
    for (chassis, action) in [
        (ChassisName::Syn3a, insert("pUC")),
        (ChassisName::Syn3a, regulate(&["lacZYA"], OperonAction::Activate)),
        (ChassisName::Weisse2015, transcribe(&["dnaA"])),
        (ChassisName::Ecoli, transcribe(&["dnaA"])),
    ] {
        let error = act(&mut cell(chassis), action).unwrap_err();
        assert!(matches!(error, SpecError::Organism(OrganismError::Unsupported { .. })), "{error}");
    }
    assert!(cell(ChassisName::Weisse2015).genes(&[]).is_err());
    assert!(ChassisName::Ecoli.essential_genes().is_err());
    assert_eq!(ChassisName::Syn3a.essential_genes().unwrap().essential, 270);
    assert_eq!(ChassisName::MinimalCell.essential_genes().unwrap().non_essential, 0);
    // ftsZ is not essential in syn3A, so the smaller cell is modelled without it.
    assert!(act(&mut cell(ChassisName::MinimalCell), transcribe(&["ftsZ"])).is_err());
}

#[test]
fn following_genes_and_operons_changes_no_bit_of_the_core() {
    for (chassis, action) in [
        (ChassisName::Syn3a, transcribe(&["dnaA", "ftsZ"])),
        (ChassisName::Ecoli, regulate(&["lacZYA", "cydAB"], OperonAction::Activate)),
    ] {
        let (mut plain, mut touched) = (cell(chassis), cell(chassis));
        plain.advance_to(END).unwrap();
        act(&mut touched, action).unwrap();
        touched.advance_to(END).unwrap();
        assert_eq!(bits(&plain), bits(&touched));
    }
}

/// A change for the chassis, with something done to what it carries.
fn change(ecoli: bool) -> impl Strategy<Value = Change> {
    let action = if ecoli {
        prop_oneof![
            (
                prop::sample::subsequence(vec!["lacZYA", "cydAB", "purHD", "dnaKJ"], 1..3),
                prop::sample::select(vec![
                    OperonAction::Activate,
                    OperonAction::Repress,
                    OperonAction::Derepress
                ])
            )
                .prop_map(|(names, action)| regulate(&names, action)),
            prop::sample::select(vec!["pUC", "F", "p15A"]).prop_map(insert),
            prop::sample::select(vec!["pUC", "F", "p15A"]).prop_map(remove),
        ]
        .boxed()
    } else {
        prop::sample::subsequence(vec!["dnaA", "dnaN", "eno", "JCVISYN3A_0001"], 1..4)
            .prop_map(|names| transcribe(&names))
            .boxed()
    };
    let cap = prop_oneof![Just(RibosomeCap::Unlimited), (3_u32..=12).prop_map(RibosomeCap::Units)];
    (
        0..END,
        prop::collection::vec(action, 0..3),
        prop::option::of(10_000_u32..120_000),
        prop::option::of(cap),
    )
        .prop_map(|(tick, organism, atp_milli_percent, ribosomes)| Change {
            tick,
            organism,
            atp_milli_percent,
            ribosomes,
            ..Change::default()
        })
}

fn a_spec() -> impl Strategy<Value = CellSpec> {
    any::<bool>().prop_flat_map(|ecoli| {
        prop::collection::vec(change(ecoli), 1..5).prop_map(move |mut schedule| {
            schedule.sort_by_key(|change| change.tick);
            let chassis = if ecoli { ChassisName::Ecoli } else { ChassisName::Syn3a };
            CellSpec { schedule, ..CellSpec::unlimited(chassis) }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pauses_checkpoints_and_live_changes_leave_every_bit(
        spec in a_spec(), stops in prop::collection::vec((1_u64..90, 0_u32..3), 0..20),
    ) {
        let mut straight = Cell::new(&spec).unwrap();
        straight.advance_to(END).unwrap();
        let mut driven = Cell::new(&spec).unwrap();
        for (ticks, steps) in &stops {
            let to = (driven.tick() + ticks).min(END);
            driven.advance_for(to, *steps).unwrap();
            driven = Cell::restore(&driven.checkpoint()).unwrap();
        }
        driven.advance_to(END).unwrap();
        prop_assert_eq!(driven.checkpoint(), straight.checkpoint());
        prop_assert_eq!(driven.organism(), straight.organism());
        let mut live = Cell::new(&CellSpec { schedule: Vec::new(), ..spec.clone() }).unwrap();
        for change in &spec.schedule {
            live.advance_to(change.tick).unwrap();
            live.apply(change).unwrap();
        }
        live.advance_to(END).unwrap();
        prop_assert_eq!(bits(&live), bits(&straight));
        prop_assert_eq!(live.organism(), straight.organism());
    }

    #[test]
    fn a_forged_checkpoint_is_refused_or_runs_but_never_panics(
        spec in a_spec(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut cell = Cell::new(&spec).unwrap();
        cell.advance_to(300).unwrap();
        let mut bytes = cell.checkpoint();
        let body = bytes.len() - 8;
        for (place, value) in edits {
            bytes[5..body][place.index(body - 5)] = value;
        }
        let checksum = bytes[..body].iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        bytes[body..].copy_from_slice(&checksum.to_le_bytes());
        if let Ok(mut cell) = Cell::restore(&bytes) {
            let _ = (cell.metrics(), cell.organism());
            let _ = cell.advance_for(cell.tick().saturating_add(50), 2_000);
        }
    }
}

/// As one number: if this fails, see the test of the core's digest.
#[test]
fn operons_genes_and_plasmids_have_the_same_bits_on_every_machine() {
    let mut ecoli = cell(ChassisName::Ecoli);
    act(&mut ecoli, insert("pBR322")).unwrap();
    act(&mut ecoli, regulate(&["cydAB"], OperonAction::Activate)).unwrap();
    ecoli.advance_to(END).unwrap();
    let mut syn3a = cell(ChassisName::Syn3a);
    act(&mut syn3a, transcribe(&["ftsZ"])).unwrap();
    syn3a.advance_to(END).unwrap();
    let cydab = operon(&ecoli, "cydAB");
    let ftsz = gene(&syn3a, "ftsZ");
    let figures = [
        plasmid(&ecoli, "pBR322").copies,
        cydab.mrna,
        cydab.genes[0].proteins,
        ftsz.mrna.unwrap(),
        ftsz.proteins.unwrap(),
    ];
    let digest = figures
        .iter()
        .chain(ecoli.variables().map(|(_, value)| value).collect::<Vec<_>>().iter())
        .fold(0xcbf2_9ce4_8422_2325_u64, |digest, value| {
            (digest ^ value.to_bits()).wrapping_mul(0x0000_0100_0000_01b3)
        });
    assert_eq!(format!("{digest:016x}"), "b8b14554101cb89f");
}

/// A change as JSON, as scripts and schedules carry it.
#[test]
fn an_action_reads_back_as_it_was_written() {
    let change = Change {
        tick: 3,
        organism: vec![
            regulate(&["lacZYA"], OperonAction::Repress),
            transcribe(&["dnaA"]),
            insert("F"),
            remove("F"),
        ],
        ..Change::default()
    };
    let text = serde_json::to_string(&change).unwrap();
    assert!(text.contains(r#"{"operons":{"operons":["lacZYA"],"action":"repress"}}"#), "{text}");
    assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change);
    assert_eq!(
        serde_json::from_str::<Change>(r#"{"tick":3}"#).unwrap(),
        Change { tick: 3, ..Change::default() }
    );
}
