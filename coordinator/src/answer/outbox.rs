//! The outbox: publishes what acknowledged batches released, in their order; what has to ask first does so beside it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use bioxen_protocol::command::Records;
use bioxen_protocol::id::{BootId, UserId, VmId, WorkerId};
use bioxen_protocol::reply::Created;
use bioxen_protocol::state::VmState;
use bioxen_protocol::subject::Subject;
use bioxen_protocol::worker::WorkerCommand;
use tokio::sync::mpsc;

use super::live::{self, Predictions};
use super::{Reply, ReplyTo};
use crate::fleet::vm::Vm;
use crate::projector::records;

/// Something to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Reply(ReplyTo, Reply),
    /// `create`'s answer, which waits a little for the prediction.
    Created { reply_to: ReplyTo, vm: Box<Vm>, answer: CreatedAnswer },
    Status { reply_to: ReplyTo, vm: Box<Vm>, queue_position: Option<u64>, wait: Duration },
    Metrics(ReplyTo, Box<Vm>),
    Resources(ReplyTo, Box<Vm>),
    Events(ReplyTo, UserId, Records),
    Audit(ReplyTo, UserId, Records),
    Worker { worker: WorkerId, boot: BootId, command: WorkerCommand },
}

/// What a `create` was answered, apart from the prediction.
#[derive(Debug)]
pub(crate) struct CreatedAnswer {
    pub(crate) vm: VmId,
    pub(crate) state: VmState,
    pub(crate) queue_position: Option<u64>,
    pub(crate) warnings: Vec<String>,
    pub(crate) wait: Duration,
}

/// Sends until the driver is gone.
pub(crate) async fn run(client: Client, mut outgoing: mpsc::UnboundedReceiver<Vec<Outgoing>>) {
    let predictions = Arc::new(Predictions::default());
    while let Some(batch) = outgoing.recv().await {
        for one in batch {
            send(&client, &predictions, one).await;
        }
    }
}

async fn send(client: &Client, predictions: &Arc<Predictions>, one: Outgoing) {
    let client = client.clone();
    match one {
        Outgoing::Reply(to, reply) => to.send(&client, &reply).await,
        Outgoing::Worker { worker, boot, command } => tell(&client, worker, boot, &command).await,
        Outgoing::Created { reply_to, vm, answer } => {
            if reply_to.subject.is_none() {
                return;
            }
            if let Some(predicted) = predictions.known(&vm.order, vm.order.allocation) {
                reply_to.send(&client, &created(&vm, answer, predicted)).await;
                return;
            }
            let predictions = Arc::clone(predictions);
            tokio::spawn(async move {
                let predicted = predictions.get(&vm.order, vm.order.allocation, answer.wait).await;
                reply_to.send(&client, &created(&vm, answer, predicted)).await;
            });
        }
        Outgoing::Status { reply_to, vm, queue_position, wait } => {
            let predictions = Arc::clone(predictions);
            tokio::spawn(async move {
                let reply = live::status(&client, &predictions, *vm, queue_position, wait).await;
                reply_to.send(&client, &reply).await;
            });
        }
        Outgoing::Metrics(reply_to, vm) => {
            tokio::spawn(async move { reply_to.send(&client, &live::metrics(&client, *vm).await).await });
        }
        Outgoing::Resources(reply_to, vm) => {
            tokio::spawn(async move { reply_to.send(&client, &live::resources(&client, *vm).await).await });
        }
        Outgoing::Events(reply_to, user, ask) => {
            tokio::spawn(async move {
                let js = jetstream::new(client.clone());
                reply_to.send(&client, &records::events(&js, &user, &ask).await).await;
            });
        }
        Outgoing::Audit(reply_to, user, ask) => {
            tokio::spawn(async move {
                let js = jetstream::new(client.clone());
                reply_to.send(&client, &records::audit(&js, &user, &ask).await).await;
            });
        }
    }
}

fn created(vm: &Vm, answer: CreatedAnswer, predicted: Option<bioxen_protocol::reply::Predicted>) -> Reply {
    Reply::Created(Box::new(Created {
        vm_id: answer.vm,
        status: "created".to_owned(),
        state: answer.state,
        biological_type: vm.order.biological_type.clone(),
        vm_type: vm.order.vm_type,
        seed: vm.order.seed,
        queue_position: answer.queue_position,
        predicted,
        warnings: answer.warnings,
    }))
}

async fn tell(client: &Client, worker: WorkerId, boot: BootId, command: &WorkerCommand) {
    let subject = Subject::WorkerCommand { worker, boot };
    match rmp_serde::to_vec_named(command) {
        Ok(payload) => {
            if let Err(error) = client.publish(subject.to_string(), payload.into()).await {
                tracing::warn!(%error, %subject, "a worker was not told; it will be told again");
            }
        }
        Err(error) => tracing::error!(%error, %subject, "a worker's command cannot be encoded"),
    }
}
