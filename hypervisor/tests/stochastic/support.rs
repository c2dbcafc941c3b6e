//! What tests of the stochastic engine start from: a table, a specification, many replicates at once.

use std::fs;

use bioxen_hypervisor::{CellSpec, ChassisName, Engine, GeneTable};

use crate::rows::show;

/// The gene table of syn3a with all its genes, which does not come with the project; a line for each row otherwise.
pub(crate) fn whole_table(rows: &[&str]) -> Option<GeneTable> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/facts/syn3a_genes.tsv");
    if let Ok(text) = fs::read_to_string(path) {
        return Some(GeneTable::parse_tsv(&text).unwrap());
    }
    for row in rows {
        show(row, "needs the full gene table", "skipped", "shared/facts/syn3a_genes.tsv", "", None);
    }
    None
}

pub(crate) fn shipped(chassis: ChassisName, seed: u64, replicate: u32) -> CellSpec {
    CellSpec { engine: Engine::Stochastic, seed, replicate, ..CellSpec::unlimited(chassis) }
}

/// `each` for so many replicates, on two threads; in the order of the replicates.
pub(crate) fn for_replicates<T: Send>(count: u32, each: impl Fn(u32) -> T + Sync) -> Vec<T> {
    let half = |from: u32| (from..count).step_by(2).map(&each).collect::<Vec<T>>();
    let (even, odd) = std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        (half(0), odd.join().unwrap())
    });
    let mut odd = odd.into_iter();
    even.into_iter().flat_map(|one| [Some(one), odd.next()]).flatten().collect()
}
