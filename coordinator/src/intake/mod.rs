//! Intake: from the bus to bounded queues. It decodes and sorts, never decides, and never waits.
//!
//! ```text
//!  bioxen.v1.cmd.>  bioxen.v1.ops.>  --door, decode--> FairQueues --\
//!  BIOXEN_SUBMIT (in order)          --decode--> one lane   ---> driver
//!  worker reports                    --decode--> one lane   --/
//! ```

mod calls;
pub(crate) mod chassis;
pub(crate) mod decode;
pub(crate) mod door;
pub(crate) mod ensemble;
mod fields;
mod forward;
mod operator;
mod order;
mod packages;
pub(crate) mod queues;
mod recording;
mod report;
pub(crate) mod services;
pub(crate) mod submit;
mod xcpng;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subject as NatsSubject, Subscriber};
use bioxen_protocol::codec::Encoding;
use bioxen_protocol::command::{SetQuota, Verb};
use bioxen_protocol::config::ChassisLimits;
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{BootId, OperatorId, RequestId, UserId, VmId, VmKey, WorkerId};
use bioxen_protocol::limits::RETRY_AFTER_MS;
use bioxen_protocol::package::PackageId;
use bioxen_protocol::subject;
use bioxen_protocol::worker::WorkerReport;
use bioxen_sealing::SealingKey;
use futures::StreamExt;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::answer::{Reply, ReplyTo};
use crate::fleet::command::Ask;
use crate::fleet::entry::Cause;
use crate::fleet::movement::Cordon;
use crate::fleet::package::PackageOffer;
use door::Door;
use queues::FairQueues;

/// Reports that may wait; what finds it full is dropped, for reports tell levels and come again.
const WAITING_REPORTS: usize = 16_384;
/// Durable commands read ahead of the driver.
const WAITING_SUBMITS: usize = 256;

/// One message for the driver.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) user: UserId,
    pub(crate) operator: Option<OperatorId>,
    pub(crate) verb: Option<Verb>,
    pub(crate) vm: Option<VmId>,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) asked: Asked,
    pub(crate) reply_to: ReplyTo,
    pub(crate) received: Instant,
    /// Its sequence, where it came through the submit stream.
    pub(crate) submit_sequence: Option<u64>,
}

/// What was asked, decoded.
#[derive(Debug)]
pub(crate) enum Asked {
    Change {
        cause: Cause,
        vm: VmId,
        ask: Ask,
        wait: Duration,
        warnings: Vec<String>,
    },
    /// As a change, with the code that the core knows by its digest.
    Execute {
        cause: Cause,
        vm: VmId,
        digest: String,
        code: String,
        timeout_ms: u64,
    },
    /// As a change, once the package is read: what it is, or why it cannot be installed.
    Install {
        cause: Cause,
        vm: VmId,
        package: PackageId,
        found: Option<Result<PackageOffer, ErrorBody>>,
    },
    Read(Read),
    SetQuota {
        user: UserId,
        quota: SetQuota,
    },
    /// An operator's word on a worker, or on where a VM shall be.
    Cordon {
        worker: WorkerId,
        cordon: Cordon,
    },
    Move {
        vm: VmKey,
        to: Option<WorkerId>,
    },
    /// It did not get past decoding.
    Refused(ErrorBody),
}

/// A question that changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Read {
    Status { vm: VmId, wait: Duration },
    Resources(VmId),
    Metrics(VmId),
    History { vm: VmId, limit: u64 },
    EssentialGenes(VmId),
    Plasmids(VmId),
    Optimize { vm: VmId, apply: bool },
    Recommendations(VmId),
    Results(VmId, bioxen_protocol::command::Results),
    List(bioxen_protocol::command::List),
    Events(bioxen_protocol::command::Records),
    Audit(bioxen_protocol::command::Records),
    Quota(UserId),
    Fleet,
    Performance,
    Workers,
    Users,
    Verify,
    Snapshot,
    Backup,
    Config,
}

/// What a worker told.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) worker: WorkerId,
    pub(crate) boot: BootId,
    pub(crate) report: WorkerReport,
}

/// The lanes between the bus and the driver of a leader.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(crate) commands: Arc<Commands>,
    pub(crate) reports: mpsc::Receiver<Report>,
    pub(crate) submits: mpsc::Receiver<Incoming>,
    pub(crate) door: Door,
    /// What fills them; it ends with them.
    _filling: JoinSet<()>,
}

/// What bodies are judged by, as operators have set it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) limits: ChassisLimits,
    /// For the passwords of pools that VMs bring along; without one such VMs are refused.
    pub(crate) sealing_key: Option<SealingKey>,
}

/// The users' queues, and the bell that says that one is not empty.
#[derive(Debug)]
pub(crate) struct Commands {
    queues: Mutex<FairQueues<Incoming>>,
    pub(crate) bell: Notify,
    rules: Rules,
}

impl Commands {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, FairQueues<Incoming>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has everything that a leader hears come in: commands through the door and from others, workers' reports.
pub(crate) async fn start(
    client: &Client,
    rules: Rules,
    door: &Door,
    forwarded: Subscriber,
) -> Result<(Lanes, mpsc::Sender<Incoming>), async_nats::SubscribeError> {
    let commands = Arc::new(Commands { queues: Mutex::new(FairQueues::new()), bell: Notify::new(), rules });
    let (report_sender, reports) = mpsc::channel(WAITING_REPORTS);
    let mut messages = client.subscribe(subject::ALL_REPORTS).await?;
    let mut filling = JoinSet::new();
    filling.spawn(async move {
        while let Some(message) = messages.next().await {
            match report::decode(&message) {
                Ok(report) => {
                    if report_sender.try_send(report).is_err() {
                        tracing::warn!(
                            "a worker's report was dropped: the driver is behind; it will be told again"
                        );
                    }
                }
                Err(reason) => {
                    tracing::warn!(subject = %message.subject, %reason, "a worker's report was not understood");
                }
            }
        }
    });
    client.flush().await.ok();
    door.take(Arc::clone(&commands), forwarded).await;
    let (submit_sender, submits) = mpsc::channel(WAITING_SUBMITS);
    Ok((Lanes { commands, reports, submits, door: door.clone(), _filling: filling }, submit_sender))
}

/// Sorts one message into its user's queue; answers at once what cannot wait there.
async fn take(commands: &Arc<Commands>, client: &Client, reading: &mut JoinSet<()>, message: Message) {
    let reply_to = match reply_of(&message) {
        Ok(reply) => reply,
        Err(ReservedReply) => return,
    };
    let mut incoming = decode::command(&message, reply_to, &commands.rules);
    if packages::is_wanted(&incoming) {
        if reading.len() < packages::READ_AT_ONCE {
            let (commands, client) = (Arc::clone(commands), client.clone());
            reading.spawn(async move {
                let incoming = packages::resolved(&client, incoming).await;
                queue(&commands, &client, incoming).await;
            });
            return;
        }
        incoming.asked = Asked::Refused(packages::crowded());
    }
    queue(commands, client, incoming).await;
}

async fn queue(commands: &Commands, client: &Client, incoming: Incoming) {
    let user = incoming.user.clone();
    let pushed = commands.lock().push(&user, incoming);
    match pushed {
        Ok(()) => commands.bell.notify_one(),
        Err(refused) => {
            let error = ErrorBody::new(
                Code::QuotaExceeded,
                format!(
                    "{user} has {} commands waiting, as many as may: wait for their answers",
                    bioxen_protocol::limits::INTAKE_PER_USER
                ),
            )
            .with(|details| {
                details.resource = Some("waiting_commands".to_owned());
                details.retry_after_ms = Some(RETRY_AFTER_MS);
            });
            refused.reply_to.send(client, &Reply::Error(error)).await;
        }
    }
}

/// A message that must not be answered, and therefore not carried out.
struct ReservedReply;

/// The reply subject, unless it is one of ours or the server's: whoever could name those would make us write them.
fn reply_of(message: &Message) -> Result<Option<NatsSubject>, ReservedReply> {
    match &message.reply {
        Some(reply) if is_reserved(reply) => {
            metrics::counter!(crate::metrics::RESERVED_REPLIES).increment(1);
            tracing::warn!(subject = %message.subject, %reply, "a message was dropped: its reply subject is reserved");
            Err(ReservedReply)
        }
        reply => Ok(reply.clone()),
    }
}

pub(crate) fn is_reserved(reply: &str) -> bool {
    subject::RESERVED_REPLY_PREFIXES.iter().any(|prefix| reply.starts_with(prefix))
}

/// The encoding of an answer to a question that could not be decoded.
pub(crate) const FALLBACK: Encoding = Encoding::Json;
