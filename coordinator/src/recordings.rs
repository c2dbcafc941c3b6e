//! What VMs recorded, from where it lies: stretches in the object store, the last one at the worker while it runs.

use async_nats::jetstream::object_store::ObjectStore;
use async_nats::{Client, jetstream};
use bioxen_hypervisor::trace::{Recording, Trace};
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::worker::{RESULTS_BUCKET, RecordOrder, VmQueryReply, WorkerCommand, results_object};
use tokio::io::AsyncReadExt as _;

use crate::answer::live::query_worker;
use crate::fleet::vm::Placement;

/// Where a VM's recording lies.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) key: VmKey,
    pub(crate) order: Option<RecordOrder>,
    /// Each, and up to which tick it counts.
    pub(crate) stored: Vec<(Generation, Option<u64>)>,
    pub(crate) placement: Option<Placement>,
}

/// The whole recording as far as there is one; without rows where nothing was recorded yet.
pub(crate) async fn read(client: &Client, recorded: &Recorded) -> Result<Trace, ErrorBody> {
    let mut whole: Option<Trace> = None;
    if !recorded.stored.is_empty() {
        let bucket = jetstream::new(client.clone()).get_object_store(RESULTS_BUCKET).await;
        let bucket = bucket.map_err(|error| unread(&recorded.key, &error.to_string()))?;
        for (generation, to_tick) in &recorded.stored {
            let stretch = stretch(&bucket, &recorded.key, *generation).await?;
            let stretch = stretch.map(|stretch| cut(stretch, *to_tick)).filter(|stretch| stretch.rows() > 0);
            if let Some(stretch) = stretch {
                join(&recorded.key, &mut whole, stretch)?;
            }
        }
    }
    if let Some(at) = &recorded.placement {
        let mut row = 0;
        while let Some((rows, stretch)) = ask_worker(client, &recorded.key, at, row).await? {
            row += stretch.rows() as u64;
            let is_last = row >= rows || stretch.rows() == 0;
            join(&recorded.key, &mut whole, stretch)?;
            if is_last {
                break;
            }
        }
    }
    let empty =
        recorded.order.as_ref().and_then(|order| Recording::new(&order.variables, order.every_ticks).ok());
    let empty = || empty.map(|recording| recording.trace(0));
    whole.or_else(empty).ok_or_else(|| unread(&recorded.key, "nothing is stored of it"))
}

/// The rows up to a tick; what follows never happened.
fn cut(stretch: Trace, to_tick: Option<u64>) -> Trace {
    let Some(to_tick) = to_tick else { return stretch };
    let rows = match to_tick.checked_sub(stretch.first_tick) {
        Some(ticks) => ticks / stretch.every_ticks.max(1) + 1,
        None => 0,
    };
    stretch.window(0, usize::try_from(rows).unwrap_or(usize::MAX))
}

fn join(key: &VmKey, whole: &mut Option<Trace>, stretch: Trace) -> Result<(), ErrorBody> {
    match whole {
        None => *whole = Some(stretch),
        Some(whole) => whole.continue_with(&stretch).map_err(|error| unread(key, &error.to_string()))?,
    }
    Ok(())
}

/// None where the object is not there: its VM failed before it had anything to store.
async fn stretch(
    bucket: &ObjectStore,
    key: &VmKey,
    generation: Generation,
) -> Result<Option<Trace>, ErrorBody> {
    use async_nats::jetstream::object_store::GetErrorKind;
    let name = results_object(key, generation);
    let mut object = match bucket.get(&name).await {
        Ok(object) => object,
        Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unread(key, &error.to_string())),
    };
    let mut bytes = Vec::new();
    object.read_to_end(&mut bytes).await.map_err(|error| unread(key, &error.to_string()))?;
    Trace::decode(&bytes).map(Some).map_err(|error| unread(key, &error.to_string()))
}

/// Rows from `row` on at the VM's worker, and how many it has; None where it has recorded none.
async fn ask_worker(
    client: &Client,
    key: &VmKey,
    at: &Placement,
    row: u64,
) -> Result<Option<(u64, Trace)>, ErrorBody> {
    let query = WorkerCommand::QueryTrace { key: key.clone(), generation: at.generation, row };
    match query_worker(client, at, &query).await {
        Ok(VmQueryReply::Trace { rows, bytes }) => {
            let trace = Trace::decode(&bytes).map_err(|error| unread(key, &error.to_string()))?;
            Ok(Some((rows, trace)))
        }
        Ok(VmQueryReply::Absent | VmQueryReply::Vm(_)) => Ok(None),
        Err(reason) => Err(unread(key, &reason)),
    }
}

fn unread(key: &VmKey, reason: &str) -> ErrorBody {
    let message = format!("what VM {} recorded cannot be read: {reason}; ask again", key.vm);
    ErrorBody::new(Code::Timeout, message).with(|details| details.retry_after_ms = Some(1000))
}
