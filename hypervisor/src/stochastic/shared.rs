//! The genes of a pack and their rates, shared by all cells of the same chassis and calibration: they do not change, and
//! are some hundred kilobytes. What is shared follows from its key, so that no bit depends on who made it first.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::genes::{Genes, Reference};
use crate::chassis::ChassisName;
use crate::parameters::{Settings, Symbol};

/// A chassis, and what is set of that which calibrates it.
type Key = (ChassisName, Vec<(Symbol, u64)>);

/// Genes that some cell still has.
static SHARED: Mutex<Vec<(Key, Weak<Genes>)>> = Mutex::new(Vec::new());

/// The genes of the chassis' pack, calibrated as `settings` say; none where it lists none.
pub(super) fn genes(chassis: ChassisName, settings: &Settings, reference: Reference) -> Option<Arc<Genes>> {
    let table = chassis.pack().gene_table.as_ref()?;
    let calibration = settings.iter().filter(|(symbol, _)| symbol.calibrates());
    let key: Key = (chassis, calibration.map(|(symbol, value)| (symbol, value.to_bits())).collect());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(genes) = shared.iter().find(|(known, _)| *known == key).and_then(|(_, genes)| genes.upgrade())
    {
        return Some(genes);
    }
    shared.retain(|(_, genes)| genes.strong_count() > 0);
    let genes = Arc::new(Genes::new(table, reference)?);
    shared.push((key, Arc::downgrade(&genes)));
    Some(genes)
}
