//! Answers that need more than the fleet: a worker's word on a running cell, or the cell library's on one at rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use async_nats::Client;
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::limits::CHECKPOINT_BYTES;
use bioxen_protocol::reply::{History, Predicted, Resources, Status, Usage};
use bioxen_protocol::state::VmState;
use bioxen_protocol::subject::Subject;
use bioxen_protocol::worker::{CellAllocation, CellOrder, LiveVm, QueryExtra, VmQueryReply, WorkerCommand};

use super::Reply;
use super::reads::{allocation, checkpoint_info, package, reservation};
use crate::cell;
use crate::fleet::checkpoint::{Live, Recovery, Taken};
use crate::fleet::vm::{Placement, Vm};

/// A worker answers from memory; later than this it is out of reach.
const WORKER_ANSWER: Duration = Duration::from_millis(1500);
/// Whoever waits longer for its turn asks again.
const LONGEST_TURN: Duration = Duration::from_secs(5);
/// Predictions kept; when there are more, all are dropped and made again.
const PREDICTIONS: usize = 10_000;

/// Predictions that were made before: they depend on chassis, parameters and allocation alone.
#[derive(Debug)]
pub(crate) struct Predictions {
    known: Mutex<BTreeMap<String, Option<Predicted>>>,
    /// The cell library takes one core at most from the driver.
    turn: Arc<Semaphore>,
}

impl Default for Predictions {
    fn default() -> Self {
        Self { known: Mutex::default(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Predictions {
    pub(crate) fn known(&self, order: &CellOrder, now: CellAllocation) -> Option<Option<Predicted>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key(order, now)).copied()
    }

    /// The one turn at a core that whoever asks the cell library for much takes.
    pub(crate) async fn turn(&self) -> Result<tokio::sync::OwnedSemaphorePermit, ErrorBody> {
        let turn = tokio::time::timeout(LONGEST_TURN, Arc::clone(&self.turn).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            ErrorBody::new(Code::Timeout, "too much is asked of the models at once: ask again later")
                .with(|details| details.retry_after_ms = Some(1000))
        })
    }

    /// The prediction, or None where it is not ready within `wait`; it is kept for the next who asks.
    pub(crate) async fn get(
        self: &Arc<Self>,
        order: &Arc<CellOrder>,
        now: CellAllocation,
        wait: Duration,
    ) -> Option<Predicted> {
        if let Some(known) = self.known(order, now) {
            return known;
        }
        let (all, order) = (Arc::clone(self), Arc::clone(order));
        let waited = tokio::time::timeout(wait, Arc::clone(&self.turn).acquire_owned()).await;
        let turn = waited.ok()?.ok()?;
        // Whoever had the turn before may have asked the same.
        if let Some(known) = self.known(&order, now) {
            return known;
        }
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let predicted = cell::predict(&order, now);
            let mut known = all.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= PREDICTIONS {
                known.clear();
            }
            known.insert(key(&order, now), predicted);
            predicted
        });
        tokio::time::timeout(wait, made).await.ok()?.ok()?
    }
}

fn key(order: &CellOrder, now: CellAllocation) -> String {
    let parameters: Vec<String> =
        order.parameters.iter().map(|(name, value)| format!("{name}={:x}", value.to_bits())).collect();
    format!("{} {} {} {}", order.biological_type, now.atp_millipercent, now.ribosomes, parameters.join(","))
}

/// Asks the VM's worker how it stands now; None where it has no worker or none answers.
pub(crate) async fn ask_worker(client: &Client, vm: &Vm) -> Option<LiveVm> {
    ask_worker_with(client, vm, QueryExtra::Nothing).await
}

/// The cell as its worker has it now, at its last committed grid point.
pub(crate) async fn take_cell(client: &Client, vm: &Vm) -> Option<Live> {
    let generation = vm.placement.as_ref()?.generation;
    let live = ask_worker_with(client, vm, QueryExtra::Checkpoint).await?;
    let bytes = live.checkpoint.filter(|bytes| bytes.len() <= CHECKPOINT_BYTES)?;
    Some(Live { generation, taken: Taken::new(bytes.into(), live.tick, live.applied) })
}

async fn ask_worker_with(client: &Client, vm: &Vm, with: QueryExtra) -> Option<LiveVm> {
    let at = vm.placement.as_ref()?;
    let query = WorkerCommand::Query { key: vm.key.clone(), generation: at.generation, with };
    match query_worker(client, at, &query).await.ok()? {
        VmQueryReply::Vm(live) => Some(*live),
        VmQueryReply::Absent | VmQueryReply::Trace { .. } => None,
    }
}

/// One question to the worker of a placement; otherwise why there is no answer, in words.
pub(crate) async fn query_worker(
    client: &Client,
    at: &Placement,
    query: &WorkerCommand,
) -> Result<VmQueryReply, String> {
    let silent = || "its worker does not answer".to_owned();
    let subject = Subject::WorkerCommand { worker: at.worker.clone(), boot: at.boot.clone() };
    let payload = rmp_serde::to_vec_named(query).map_err(|error| error.to_string())?;
    let answer = client.request(subject.to_string(), payload.into());
    let answered = tokio::time::timeout(WORKER_ANSWER, answer).await;
    let message = answered.map_err(|_| silent())?.map_err(|_| silent())?;
    rmp_serde::from_slice(&message.payload).map_err(|error| error.to_string())
}

/// Where a cell is that no worker has to be asked about.
fn is_at_rest(state: VmState) -> bool {
    matches!(
        state,
        VmState::Created | VmState::Queued | VmState::Stopped | VmState::Destroyed | VmState::Failed
    )
}

pub(crate) async fn metrics(client: &Client, vm: Vm) -> Reply {
    match figures(client, &vm).await {
        Ok(mut map) => {
            map.insert("vm_id".to_owned(), vm.key.vm.to_string().into());
            map.insert("biological_type".to_owned(), vm.order.biological_type.clone().into());
            Reply::Metrics(map)
        }
        Err(error) => Reply::Error(error),
    }
}

pub(super) async fn figures(
    client: &Client,
    vm: &Vm,
) -> Result<serde_json::Map<String, serde_json::Value>, ErrorBody> {
    if let Some(live) = ask_worker(client, vm).await {
        return Ok(live.metrics);
    }
    let never_ran = vm.state == VmState::Starting && vm.checkpoint.is_none() && vm.tick == 0;
    // Between two workers it stands where the one before left it.
    let left = vm.checkpoint.is_some() && vm.is_on_its_way() && !vm.is_leaving();
    if !is_at_rest(vm.state) && !never_ran && !left {
        return Err(unanswered(vm));
    }
    let (order, checkpoint) = (Arc::clone(&vm.order), vm.checkpoint.clone());
    let computed = tokio::task::spawn_blocking(move || {
        let metrics = cell::at_rest(&order, checkpoint.as_deref())?;
        cell::to_map(&metrics).map_err(|error| ErrorBody::new(Code::Timeout, error.to_string()))
    });
    computed
        .await
        .map_err(|error| ErrorBody::new(Code::Timeout, format!("the metrics were not computed: {error}")))?
}

pub(crate) async fn status(
    client: &Client,
    predictions: &Arc<Predictions>,
    vm: Vm,
    queue_position: Option<u64>,
    wait: Duration,
) -> Reply {
    let live = ask_worker(client, &vm).await;
    let health = match (vm.state, &live) {
        (VmState::Failed, _) => "failed",
        (_, Some(_)) => "healthy",
        (state, None) if is_at_rest(state) => "idle",
        (_, None) => "unreachable",
    };
    let tick = live.as_ref().map_or(vm.tick, |live| live.tick);
    let predicted = predictions.get(&cell::burdened(&vm), vm.allocation, wait).await;
    let shown = allocation(vm.allocation);
    let effective = live.as_ref().and_then(|live| live.effective);
    Reply::Status(Box::new(Status {
        vm_id: vm.key.vm.clone(),
        state: vm.state,
        reason: vm.reason.clone().or_else(|| vm.recovery.map(Recovery::in_words)),
        biological_type: vm.order.biological_type.clone(),
        vm_type: vm.order.vm_type,
        uptime_seconds: live.as_ref().map_or(0.0, |live| live.uptime_seconds),
        cpu_time_used: live.as_ref().map_or(0.0, |live| live.cpu_seconds),
        ribosome_allocation: shown.ribosomes,
        atp_percentage: shown.atp_percentage,
        memory_kb: shown.memory_kb,
        priority: vm.order.priority,
        health_status: health.to_owned(),
        worker: vm.placement.as_ref().map(|at| at.worker.clone()),
        generation: vm.placement.as_ref().map(|at| at.generation),
        simulated_minutes: bioxen_protocol::quantity::SimulatedTime { ticks: tick }.minutes(),
        lag_minutes: live.as_ref().map_or(0.0, |live| live.lag_minutes),
        queue_position,
        seed: vm.order.seed,
        predicted,
        checkpoints: vm.checkpoints.iter().map(checkpoint_info).collect(),
        packages: vm.packages.iter().map(|installed| package(&(&*installed.package).into())).collect(),
        effective,
        guest: live.and_then(|live| live.guest),
        labels: vm.labels,
    }))
}

pub(crate) async fn resources(client: &Client, vm: Vm) -> Reply {
    let (memory_kb, effective, guest, figures) = match ask_worker(client, &vm).await {
        Some(live) => (live.memory_kb, live.effective, live.guest, Some(live.metrics)),
        None => (0, None, None, figures(client, &vm).await.ok()),
    };
    let figure =
        |name: &str| figures.as_ref().and_then(|map| map.get(name)).and_then(serde_json::Value::as_f64);
    Reply::Resources(Box::new(Resources {
        vm_id: vm.key.vm.clone(),
        allocation: allocation(vm.allocation),
        most: allocation(vm.most),
        effective,
        usage: Usage {
            ribosomes_active: figure("ribosomes_active"),
            ribosomes_total: figure("ribosomes_total"),
            atp_level: figure("atp_level"),
            memory_kb,
        },
        reservation: reservation(vm.held),
        guest,
    }))
}

/// What monitoring has seen since the VM came to its worker.
pub(crate) async fn history(client: &Client, vm: Vm, limit: u64) -> Reply {
    let live = ask_worker_with(client, &vm, QueryExtra::History(limit)).await;
    if live.is_none() && !is_at_rest(vm.state) {
        return Reply::Error(unanswered(&vm));
    }
    Reply::History(History {
        vm_id: vm.key.vm.clone(),
        interval_seconds: vm.monitor_seconds,
        samples: live.map(|live| live.history).unwrap_or_default(),
    })
}

/// The cell as it stands: at its worker, or as it was left; none where it never ran or nobody answers.
pub(super) async fn checkpoint(client: &Client, vm: &Vm) -> Option<Vec<u8>> {
    let live = ask_worker_with(client, vm, QueryExtra::Checkpoint).await;
    live.and_then(|live| live.checkpoint).or_else(|| vm.checkpoint.as_deref().map(<[u8]>::to_vec))
}

/// The plasmids that the cell may carry, and how many copies it does.
pub(crate) async fn plasmids(client: &Client, vm: Vm) -> Reply {
    let live = ask_worker_with(client, &vm, QueryExtra::Checkpoint).await;
    if live.is_none() && !is_at_rest(vm.state) {
        return Reply::Error(unanswered(&vm));
    }
    let checkpoint = live.and_then(|live| live.checkpoint).or(vm.checkpoint.as_deref().map(<[u8]>::to_vec));
    let key = vm.key.clone();
    let read = tokio::task::spawn_blocking(move || cell::plasmids(&key, &vm.order, checkpoint.as_deref()));
    match read.await {
        Ok(Ok(found)) => Reply::Organism(found),
        Ok(Err(error)) => Reply::Error(error),
        Err(error) => Reply::Error(ErrorBody::new(Code::Timeout, format!("the cell was not read: {error}"))),
    }
}

fn unanswered(vm: &Vm) -> ErrorBody {
    let message =
        format!("VM {} is {}, and its worker gave no figures of it: ask again", vm.key.vm, vm.state);
    ErrorBody::new(Code::Timeout, message).with(|details| details.retry_after_ms = Some(1000))
}
