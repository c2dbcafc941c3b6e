//! The stochastic engine: against published figures and the equations (`means`), against simulators of others
//! (`gene_noise`), and here against itself. Rows 17, 18, 26, 28 and 29 of the acceptance table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "simulators apart and statistics take std's functions")]

mod rows;
mod stochastic {
    mod gene_noise;
    mod means;
    mod oracle;
    mod peer;
    mod statistics;
    pub(crate) mod support;
}

use ChassisName::{Ecoli, MinimalCell, Syn3a, Weisse2015};
use bioxen_hypervisor::{
    Cell, CellSpec, Change, ChassisName, OperonAction, OrganismAction, RibosomeCap, StochasticCell,
};
use proptest::prelude::*;
use rows::show;
use stochastic::support::{shipped, whole_table};

#[test]
fn a_cell_stops_at_the_tick_at_which_a_generation_is_complete() {
    let mut cell = Cell::new(&shipped(Weisse2015, 1, 0)).unwrap();
    let progress = cell.advance_within(10_000, Some(2), u32::MAX).unwrap();
    let lineage = cell.lineage().unwrap();
    assert!(progress.reached && progress.tick == cell.tick() && cell.tick() < 10_000);
    assert_eq!((lineage.generation, lineage.birth_tick), (2, cell.tick()));
    assert!(cell.advance_within(10_000, Some(2), u32::MAX).unwrap().tick == cell.tick());
    // In short stretches it stops at the same one.
    let mut sliced = Cell::new(&shipped(Weisse2015, 1, 0)).unwrap();
    while !sliced.advance_within(10_000, Some(2), 50).unwrap().reached {}
    assert_eq!(sliced.checkpoint(), cell.checkpoint());
}

#[test]
fn other_seeds_and_replicates_give_other_cells_and_the_same_ones_the_same() {
    let run = |seed, replicate| {
        let mut cell = Cell::new(&shipped(Syn3a, seed, replicate)).unwrap();
        cell.advance_to(50).unwrap();
        cell.checkpoint()
    };
    assert_eq!(run(1, 0), run(1, 0));
    assert_ne!(run(1, 0), run(1, 1));
    assert_ne!(run(1, 0), run(2, 0));
}

#[test]
fn a_checkpoint_of_all_genes_is_small() {
    let Some(table) = whole_table(&[]) else { return };
    let mut cell = StochasticCell::new(&CellSpec::unlimited(Syn3a), &table, 1, 0).unwrap();
    cell.advance_to(1_000).unwrap();
    let bytes = cell.checkpoint();
    let holds = Some(bytes.len() < 16_384);
    show("-", "syn3a, checkpoint of 455 genes, bytes", bytes.len(), "below 16384", "", holds);
    assert_eq!(StochasticCell::restore(&bytes, &table).unwrap().checkpoint(), bytes);
}

/// What a chassis lets be done to it.
fn organism(chassis: ChassisName, action: OperonAction) -> Vec<OrganismAction> {
    match chassis {
        Syn3a | MinimalCell => vec![OrganismAction::Transcription { genes: vec!["dnaA".to_owned()] }],
        Ecoli => vec![
            OrganismAction::Operons { operons: vec!["trpLEDCBA".to_owned()], action },
            OrganismAction::InsertPlasmid { plasmid: "pUC".to_owned() },
        ],
        Weisse2015 | ChassisName::Imported(_) => Vec::new(),
    }
}

fn change() -> impl Strategy<Value = Change> {
    let parameters = prop::collection::btree_map(
        prop::sample::select(vec!["s0", "cl", "wp", "ns"]).prop_map(str::to_owned),
        0.01..20.0,
        0..3,
    );
    let cap = prop::option::of((50.0..3000.0).prop_map(RibosomeCap::Molecules));
    (1_u64..150, parameters, prop::option::of(5_000_u32..120_000), cap).prop_map(
        |(tick, parameters, atp_milli_percent, ribosomes)| Change {
            tick,
            parameters,
            atp_milli_percent,
            ribosomes,
            ..Change::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn row_28_single_cells_have_the_same_bits_however_they_were_driven(
        chassis in prop::sample::select(vec![Syn3a, MinimalCell, Weisse2015, Ecoli]),
        seed in any::<u64>(),
        mut schedule in prop::collection::vec(change(), 0..3),
        acts in prop::collection::vec((0_u8..4, 1_u64..40, 0_u32..200), 1..8),
        done in prop::sample::select(vec![OperonAction::Activate, OperonAction::Repress]),
    ) {
        for change in &mut schedule {
            change.organism = organism(chassis, done);
        }
        schedule.sort_by_key(|change| change.tick);
        let end = if chassis == Ecoli { 5 } else { 150 };
        schedule.retain(|change| change.tick <= end);
        let spec = CellSpec { schedule: schedule.clone(), ..shipped(chassis, seed, 2) };
        let mut straight = Cell::new(&spec).unwrap();
        straight.advance_to(end).unwrap();
        // Driven: in pieces, cloned, saved and restored, its changes applied live.
        let mut driven = Cell::new(&CellSpec { schedule: Vec::new(), ..spec }).unwrap();
        let mut changes = schedule.into_iter().peekable();
        let mut acts = acts.into_iter().cycle();
        loop {
            while let Some(change) = changes.next_if(|change| change.tick == driven.tick()) {
                driven.apply(&change).unwrap();
            }
            if driven.tick() == end {
                break;
            }
            let limit = changes.peek().map_or(end, |change| change.tick);
            match acts.next().unwrap() {
                (0, ticks, _) => driven.advance_to((driven.tick() + ticks).min(limit)).unwrap(),
                (1, ticks, steps) => {
                    driven.advance_for((driven.tick() + ticks).min(limit), steps).unwrap();
                    driven.advance_to((driven.tick() + 1).min(limit)).unwrap();
                }
                (2, ..) => {
                    driven = Cell::restore(&driven.checkpoint()).unwrap();
                    driven.advance_to((driven.tick() + 1).min(limit)).unwrap();
                }
                _ => {
                    let mut clone = driven.clone();
                    driven.advance_to(limit).unwrap();
                    clone.advance_to((clone.tick() + 1).min(limit)).unwrap();
                    driven = clone;
                }
            }
        }
        prop_assert_eq!(driven.checkpoint(), straight.checkpoint());
    }
}
