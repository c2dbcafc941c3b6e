//! The projector's fold without its streams: what a snapshot must know of them.

use crate::fleet::Fleet;
use crate::fleet::entry::Entry;

use super::audit_chain::{self, Chain};
use super::events;
use super::fold;
use super::join::may_give_events;

/// Folds one entry, moves the chain on behind its audit records, and tells whether it gives users an event.
///
/// # Errors
/// When a record cannot be written as JSON.
pub(crate) fn shadowed(
    fleet: &mut Fleet,
    time_ms: u64,
    entry: &Entry,
    chain: &mut Chain,
) -> Result<bool, serde_json::Error> {
    let step = fold::step(fleet, time_ms, entry);
    for record in audit_chain::records(&step) {
        chain.seal(record)?;
    }
    Ok(may_give_events(entry) && !events::events(&step).is_empty())
}
