//! Workers' reports: read within bounds. Whoever may publish may lie, so nothing is believed here but the shape.

use async_nats::Message;
use bioxen_protocol::limits::{
    CHECKPOINT_BYTES, GUESTS, HORIZON_MINUTES, ID_CHARS, OBSERVATIONS, TICKS_PER_MINUTE,
};
use bioxen_protocol::subject::Subject;
use bioxen_protocol::worker::WorkerReport;
use serde::Deserialize;

use super::Report;

/// A worker's report: an inventory part of full observations with checkpoints stays below it.
const REPORT_BYTES: usize = 8 * 1024 * 1024;
/// What a capacity or an observation of a real worker stays below.
const VM_TYPES: usize = 8;
const PACKS: usize = 64;
const POOLS: usize = 64;
const CAPACITY: u64 = 1_000_000_000;
const REASON_BYTES: usize = 4 * 1024;
const APPLIED_AT: usize = 4_096;
/// Deeper than any report.
const REPORT_DEPTH: usize = 24;

/// Decodes a worker's report.
pub(super) fn decode(message: &Message) -> Result<Report, String> {
    let subject = message.subject.parse::<Subject>().map_err(|error| error.to_string())?;
    let Subject::WorkerReport { worker, boot } = subject else {
        return Err("not a report subject".to_owned());
    };
    if message.payload.len() > REPORT_BYTES {
        return Err(format!("{} bytes, at most {REPORT_BYTES} are accepted", message.payload.len()));
    }
    let mut reader = rmp_serde::Deserializer::new(std::io::Cursor::new(&message.payload));
    reader.set_max_depth(REPORT_DEPTH);
    let mut report = WorkerReport::deserialize(&mut reader).map_err(|error| error.to_string())?;
    if usize::try_from(reader.position()) != Ok(message.payload.len()) {
        return Err("bytes follow the report".to_owned());
    }
    cut_reasons(&mut report);
    within_bounds(&report)?;
    Ok(Report { worker, boot, report })
}

/// A reason is for people, and may quote whom a worker spoke to: the rest of the report is true all the same.
fn cut_reasons(report: &mut WorkerReport) {
    let (WorkerReport::Observed { vms, .. } | WorkerReport::Inventory { vms, .. }) = report else { return };
    for reason in vms.iter_mut().filter_map(|vm| vm.reason.as_mut()) {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
    }
}

/// Whoever may publish may lie: nothing is taken in that could not be true, or would not fit the journal.
fn within_bounds(report: &WorkerReport) -> Result<(), String> {
    match report {
        WorkerReport::Register(register) => {
            let capacity = &register.capacity;
            let amounts = [capacity.max_vms, capacity.total_ribosomes, capacity.usable_ribosomes];
            let many = capacity.vm_types.len() > VM_TYPES
                || capacity.packs.len() > PACKS
                || capacity.pools.len() > POOLS
                || capacity.pools.iter().chain(&capacity.own_pools).any(|name| name.len() > ID_CHARS);
            let far = amounts.iter().any(|amount| *amount > CAPACITY) || capacity.warning_permille > 1_000;
            if many || far {
                return Err("a capacity that no worker has".to_owned());
            }
        }
        WorkerReport::Heartbeat(_) | WorkerReport::Leaving {} | WorkerReport::Goodbye {} => {}
        WorkerReport::Unconfirmed { vms } => {
            if vms.len() > OBSERVATIONS {
                return Err("more VMs that stand still than a worker tells at once".to_owned());
            }
        }
        WorkerReport::Guests { vms, .. } => {
            if vms.len() > GUESTS {
                return Err("more guests than a worker tells at once".to_owned());
            }
        }
        WorkerReport::Observed { vms, .. } | WorkerReport::Inventory { vms, .. } => {
            for vm in vms {
                let far = vm.tick > HORIZON_MINUTES * TICKS_PER_MINUTE || vm.atp.crossings > vm.tick;
                let large = vm.checkpoint.as_ref().is_some_and(|bytes| bytes.len() > CHECKPOINT_BYTES)
                    || vm.applied_at.len() > APPLIED_AT;
                if far || large {
                    return Err(format!("an observation of {} that no worker makes", vm.key));
                }
            }
        }
    }
    Ok(())
}
