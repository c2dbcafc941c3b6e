//! From `record` of a `create` body to what the worker is ordered: known variables, and within the VM's memory.

use bioxen_hypervisor::trace::{Recording, TraceError, recordable};
use bioxen_protocol::command::Record;
use bioxen_protocol::error::{Amount, Code, ErrorBody, nearest};
use bioxen_protocol::worker::{CellAllocation, RecordOrder};

/// The recording, where it fits the memory up to the horizon; without one the worker holds it to that.
pub(super) fn recording(
    record: Record,
    allocation: CellAllocation,
    horizon_tick: Option<u64>,
) -> Result<RecordOrder, ErrorBody> {
    let every_ticks = record.every_minutes.ticks;
    let recording = Recording::new(&record.variables, every_ticks).map_err(refusal)?;
    let bytes = horizon_tick.map_or(0, |horizon| recording.bytes_up_to(horizon));
    let needed_kb = bytes.div_ceil(1024);
    if needed_kb > allocation.memory_kb {
        let message = format!(
            "up to its horizon the VM would record {needed_kb} KiB, its memory_kb is {}: record fewer variables or rows further apart, or ask for more memory",
            allocation.memory_kb
        );
        return Err(ErrorBody::new(Code::InvalidConfiguration, message).with(|details| {
            details.field = Some("record".to_owned());
            details.limit = Some(Amount::Count(allocation.memory_kb));
            details.requested = Some(Amount::Count(needed_kb));
        }));
    }
    Ok(RecordOrder { variables: record.variables, every_ticks })
}

fn refusal(error: TraceError) -> ErrorBody {
    let near = match &error {
        TraceError::Unknown { name } => nearest(name, recordable()),
        _ => None,
    };
    let field = if error == TraceError::Every { "record.every_minutes" } else { "record.variables" };
    let known: Vec<&str> = recordable().collect();
    let message = match &near {
        Some(near) => format!("{error}; the nearest is {near}"),
        None if matches!(error, TraceError::Unknown { .. }) => {
            format!("{error}; known are {}", known.join(", "))
        }
        None => error.to_string(),
    };
    ErrorBody::new(Code::InvalidConfiguration, message).with(|details| {
        details.field = Some(field.to_owned());
        details.nearest = near.into_iter().collect();
    })
}
