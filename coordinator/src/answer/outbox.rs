//! The outbox: publishes what acknowledged batches released, in their order; what has to ask first does so beside it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bioxen_protocol::command::{Records, Results};
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{BootId, UserId, VmId, VmKey, WorkerId};
use bioxen_protocol::limits::{LIST_VMS_DEFAULT, RECORDS};
use bioxen_protocol::reply::Created;
use bioxen_protocol::state::VmState;
use bioxen_protocol::subject::Subject;
use bioxen_protocol::worker::WorkerCommand;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::advice::{self, Advised};
use super::live::{self, Predictions};
use super::{Reply, ReplyTo, results, storage};
use crate::fleet::ensemble::{End, Ensemble};
use crate::fleet::vm::Vm;
use crate::projector::records::{read_audit, read_events};
use crate::snapshot::keeper::Keeper;
use crate::verify::Verifier;

/// Something to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Reply(ReplyTo, Reply),
    /// `create`'s answer, which waits a little for the prediction.
    Created {
        reply_to: ReplyTo,
        vm: Box<Vm>,
        answer: CreatedAnswer,
    },
    Status {
        reply_to: ReplyTo,
        vm: Box<Vm>,
        queue_position: Option<u64>,
        wait: Duration,
    },
    /// A VM's recording.
    Results(ReplyTo, Box<Vm>, Results),
    /// What became of a member whose VM is forgotten.
    Ended(ReplyTo, VmKey, Arc<End>, Results),
    /// An ensemble's table.
    Gathered(ReplyTo, Box<Ensemble>, Results),
    Metrics(ReplyTo, Box<Vm>),
    Resources(ReplyTo, Box<Vm>),
    History(ReplyTo, Box<Vm>, u64),
    Plasmids(ReplyTo, Box<Vm>),
    Optimize {
        reply_to: ReplyTo,
        asked: Advised,
        apply: bool,
    },
    Recommendations(ReplyTo, Advised),
    Events(ReplyTo, UserId, Records),
    Audit(ReplyTo, UserId, Records),
    Verify(ReplyTo),
    /// Takes a snapshot now.
    Snapshot(ReplyTo),
    /// What a backup would hold.
    Backup(ReplyTo),
    Worker {
        worker: WorkerId,
        boot: BootId,
        command: WorkerCommand,
    },
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

impl Outgoing {
    /// Who waits for it, where somebody does.
    pub(crate) fn into_reply_to(self) -> Option<ReplyTo> {
        match self {
            Self::Reply(to, _)
            | Self::Created { reply_to: to, .. }
            | Self::Status { reply_to: to, .. }
            | Self::Results(to, ..)
            | Self::Ended(to, ..)
            | Self::Gathered(to, ..)
            | Self::Metrics(to, _)
            | Self::Resources(to, _)
            | Self::History(to, ..)
            | Self::Plasmids(to, _)
            | Self::Optimize { reply_to: to, .. }
            | Self::Recommendations(to, _)
            | Self::Events(to, ..)
            | Self::Audit(to, ..)
            | Self::Verify(to)
            | Self::Snapshot(to)
            | Self::Backup(to) => Some(to),
            Self::Worker { .. } => None,
        }
    }
}

/// How long answers that have to ask first may take when the driver is gone: as long as a worker's word.
const LONGEST_END: Duration = Duration::from_secs(2);

/// Sends until the driver is gone, and what it released.
pub(crate) async fn run(
    client: Client,
    verifier: Verifier,
    keeper: Keeper,
    mut outgoing: mpsc::UnboundedReceiver<Vec<Outgoing>>,
) {
    let predictions = Arc::new(Predictions::default());
    let mut asking = JoinSet::new();
    while let Some(batch) = outgoing.recv().await {
        for one in batch {
            send(&client, &predictions, (&verifier, &keeper), &mut asking, one).await;
        }
        while asking.try_join_next().is_some() {}
    }
    let asked = async { while asking.join_next().await.is_some() {} };
    if tokio::time::timeout(LONGEST_END, asked).await.is_err() {
        tracing::warn!("some questions stay unanswered: what they ask does not answer in time");
    }
}

async fn send(
    client: &Client,
    predictions: &Arc<Predictions>,
    (verifier, keeper): (&Verifier, &Keeper),
    asking: &mut JoinSet<()>,
    one: Outgoing,
) {
    let client = client.clone();
    match one {
        Outgoing::Reply(to, reply) => to.send(&client, &reply).await,
        Outgoing::Worker { worker, boot, command } => tell(&client, worker, boot, &command).await,
        Outgoing::Created { reply_to, vm, answer } => {
            answer_created(client, predictions, asking, reply_to, vm, answer).await;
        }
        Outgoing::Status { reply_to, vm, queue_position, wait } => {
            let predictions = Arc::clone(predictions);
            asking.spawn(async move {
                let reply = live::status(&client, &predictions, *vm, queue_position, wait).await;
                reply_to.send(&client, &reply).await;
            });
        }
        Outgoing::Results(reply_to, vm, ask) => {
            asking
                .spawn(async move { reply_to.send(&client, &results::of_vm(&client, *vm, ask).await).await });
        }
        Outgoing::Ended(reply_to, key, end, ask) => {
            asking.spawn(async move {
                reply_to.send(&client, &results::of_member(&client, key, end, ask).await).await
            });
        }
        Outgoing::Gathered(reply_to, ensemble, ask) => {
            asking
                .spawn(async move { reply_to.send(&client, &results::gathered(*ensemble, ask).await).await });
        }
        Outgoing::Metrics(reply_to, vm) => {
            asking.spawn(async move { reply_to.send(&client, &live::metrics(&client, *vm).await).await });
        }
        Outgoing::Resources(reply_to, vm) => {
            asking.spawn(async move { reply_to.send(&client, &live::resources(&client, *vm).await).await });
        }
        Outgoing::History(to, vm, limit) => {
            asking.spawn(async move { to.send(&client, &live::history(&client, *vm, limit).await).await });
        }
        Outgoing::Plasmids(to, vm) => {
            asking.spawn(async move { to.send(&client, &live::plasmids(&client, *vm).await).await });
        }
        Outgoing::Optimize { reply_to, asked, apply } => {
            let predictions = Arc::clone(predictions);
            asking.spawn(async move {
                let reply = advice::optimize(&client, &predictions, asked, apply).await;
                reply_to.send(&client, &reply).await;
            });
        }
        Outgoing::Recommendations(reply_to, asked) => {
            let predictions = Arc::clone(predictions);
            asking.spawn(async move {
                reply_to.send(&client, &advice::recommendations(&client, &predictions, asked).await).await;
            });
        }
        Outgoing::Verify(reply_to) => {
            let verifier = verifier.clone();
            asking.spawn(async move { reply_to.send(&client, &verifier.reply().await).await });
        }
        Outgoing::Snapshot(to) => drop(asking.spawn(storage::snapshot(client, keeper.clone(), to))),
        Outgoing::Backup(to) => drop(asking.spawn(storage::backup(client, to))),
        Outgoing::Events(to, user, ask) => {
            asking.spawn(async move { to.send(&client, &events(&client, &user, &ask).await).await });
        }
        Outgoing::Audit(to, user, ask) => {
            asking.spawn(async move { to.send(&client, &audit(&client, &user, &ask).await).await });
        }
    }
}

/// At once where the prediction is known; else it is waited for a little, beside.
async fn answer_created(
    client: Client,
    predictions: &Arc<Predictions>,
    asking: &mut JoinSet<()>,
    reply_to: ReplyTo,
    vm: Box<Vm>,
    answer: CreatedAnswer,
) {
    if reply_to.subject.is_none() {
        return;
    }
    if let Some(predicted) = predictions.known(&vm.order, vm.order.allocation) {
        return reply_to.send(&client, &created(&vm, answer, predicted)).await;
    }
    let predictions = Arc::clone(predictions);
    asking.spawn(async move {
        let predicted = predictions.get(&vm.order, vm.order.allocation, answer.wait).await;
        reply_to.send(&client, &created(&vm, answer, predicted)).await;
    });
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

/// How long one request to a stream may take.
const STREAM_ANSWER: Duration = Duration::from_secs(2);

async fn events(client: &Client, user: &UserId, ask: &Records) -> Reply {
    match limit(ask) {
        Ok(limit) => match read_events(client, user, ask.since, limit, STREAM_ANSWER).await {
            Ok(events) => Reply::Events { events },
            Err(error) => unread(&error.to_string()),
        },
        Err(error) => Reply::Error(error),
    }
}

async fn audit(client: &Client, user: &UserId, ask: &Records) -> Reply {
    match limit(ask) {
        Ok(limit) => match read_audit(client, user, ask.since, limit, STREAM_ANSWER).await {
            Ok(audit) => Reply::Audit { audit },
            Err(error) => unread(&error.to_string()),
        },
        Err(error) => Reply::Error(error),
    }
}

fn limit(ask: &Records) -> Result<usize, ErrorBody> {
    let asked = ask.limit.map_or(Some(LIST_VMS_DEFAULT), |limit| usize::try_from(limit).ok());
    asked.filter(|limit| (1..=RECORDS).contains(limit)).ok_or_else(|| {
        ErrorBody::new(
            Code::ApiValidation,
            format!("limit is {}: expected 1 to {RECORDS}", ask.limit.unwrap_or(0)),
        )
        .with(|details| details.field = Some("limit".to_owned()))
    })
}

fn unread(reason: &str) -> Reply {
    Reply::Error(ErrorBody::new(Code::Timeout, format!("the stream was not read: {reason}; ask again")))
}
