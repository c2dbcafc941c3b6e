//! The door by which commands come in, open for the whole life of the process. What becomes of them depends on the role.
//!
//! ```text
//!   nobody leads    held, at most 5 s
//!   another leads   forwarded, raw, to its own subject
//!   this one leads  decoded into its users' queues; what others forward as well
//!   it ends         no more come; what was handed over goes its way first
//! ```
//!
//! One task goes over all of it, so that the order in which one user's commands came is kept. It answers only what it
//! cannot pass on.

mod closing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subscriber};
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::limits::{COMMAND_BYTES, RETRY_AFTER_MS};
use bioxen_protocol::subject::{self, Subject};
use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::forward::{Confirmed, Forwards, unwrap};
use super::{Commands, decode, reply_of, take};
use crate::answer::{Reply, ReplyTo};
use crate::metrics as name;

/// Between two looks at what is overdue, and between two tries to reach a leader that is not there.
const LOOK: Duration = Duration::from_millis(100);

/// A handle on the door.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    turns: mpsc::Sender<Turn>,
}

/// What the door is told.
#[derive(Debug)]
enum Turn {
    Hold(oneshot::Sender<()>),
    Forward(u64),
    Take(Arc<Commands>, Subscriber),
    Close(oneshot::Sender<()>),
}

impl Door {
    /// Opens the door: commands are held until it is told what becomes of them.
    ///
    /// # Errors
    /// When nothing can be subscribed to.
    pub(crate) async fn open(client: &Client) -> Result<Self, async_nats::SubscribeError> {
        let queue = || subject::COORDINATOR_QUEUE.to_owned();
        let commands = client.queue_subscribe(subject::ALL_COMMANDS, queue()).await?;
        let operators = client.queue_subscribe(subject::ALL_OPERATORS, queue()).await?;
        let inbox = client.new_inbox();
        let confirmations = client.subscribe(format!("{inbox}.*")).await?;
        client.flush().await.ok();
        let (turns, told) = mpsc::channel(4);
        let porter = Porter {
            client: client.clone(),
            open: true,
            commands,
            operators,
            confirmations,
            forwards: Forwards::new(client.clone(), inbox),
            mode: Mode::Holding,
            leading: None,
            reading: JoinSet::new(),
        };
        tokio::spawn(porter.run(told));
        Ok(Self { turns })
    }

    /// Nobody leads: commands are held. Returns when none is on its way into the queues any more.
    pub(crate) async fn hold(&self) {
        self.turn(Turn::Hold).await;
    }

    /// Another leads, in this epoch.
    pub(crate) async fn forward(&self, epoch: u64) {
        self.turns.send(Turn::Forward(epoch)).await.ok();
    }

    /// This one leads: what comes goes into the queues, and so does what is forwarded.
    pub(crate) async fn take(&self, commands: Arc<Commands>, forwarded: Subscriber) {
        self.turns.send(Turn::Take(commands, forwarded)).await.ok();
    }

    /// Lets no further command in, and returns when all that nats-server had handed over has gone its way.
    pub(crate) async fn close(&self) {
        self.turn(Turn::Close).await;
    }

    async fn turn(&self, turn: impl FnOnce(oneshot::Sender<()>) -> Turn) {
        let (done, is_done) = oneshot::channel();
        if self.turns.send(turn(done)).await.is_ok() {
            is_done.await.ok();
        }
    }
}

/// Where others send commands for the leader of an epoch; subscribed to before it leads.
///
/// # Errors
/// When nothing can be subscribed to.
pub(crate) async fn forwarded_to(
    client: &Client,
    epoch: u64,
) -> Result<Subscriber, async_nats::SubscribeError> {
    let forwarded = client.subscribe(Subject::Forward { epoch }.to_string()).await?;
    client.flush().await.ok();
    Ok(forwarded)
}

#[derive(Debug)]
enum Mode {
    Holding,
    Forwarding {
        epoch: u64,
    },
    /// The leader of this epoch is not there: the first that is held is sent again and again.
    Missing {
        epoch: u64,
    },
    Taking {
        commands: Arc<Commands>,
        forwarded: Subscriber,
    },
}

/// The task behind the door.
struct Porter {
    client: Client,
    open: bool,
    commands: Subscriber,
    operators: Subscriber,
    confirmations: Subscriber,
    forwards: Forwards,
    mode: Mode,
    /// The last epoch that was told, and when.
    leading: Option<(u64, Instant)>,
    reading: JoinSet<()>,
}

/// What comes next.
enum Next {
    Turn(Option<Turn>),
    Command(Message),
    Forwarded(Message),
    Confirmation(Message),
    Look,
}

impl Porter {
    async fn run(mut self, mut told: mpsc::Receiver<Turn>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while self.reading.try_join_next().is_some() {}
            match self.next(&mut told, &mut looks).await {
                Next::Turn(None) => return,
                Next::Turn(Some(turn)) => self.turn(turn).await,
                Next::Command(message) => self.command(message).await,
                Next::Forwarded(message) => self.forwarded(message).await,
                Next::Confirmation(message) => self.confirmed(&message).await,
                Next::Look => self.look().await,
            }
        }
    }

    async fn next(&mut self, told: &mut mpsc::Receiver<Turn>, looks: &mut tokio::time::Interval) -> Next {
        let Self { open, commands, operators, confirmations, mode, .. } = self;
        let forwarded = async {
            match mode {
                Mode::Taking { forwarded, .. } => forwarded.next().await,
                _ => None,
            }
        };
        tokio::select! {
            turn = told.recv() => Next::Turn(turn),
            Some(message) = commands.next(), if *open => Next::Command(message),
            Some(message) = operators.next(), if *open => Next::Command(message),
            Some(message) = forwarded => Next::Forwarded(message),
            Some(message) = confirmations.next() => Next::Confirmation(message),
            _ = looks.tick() => Next::Look,
        }
    }

    async fn turn(&mut self, turn: Turn) {
        // Confirmations that are here came before what the journal showed.
        while let Some(Some(message)) = self.confirmations.next().now_or_never() {
            self.forwards.confirmed(&message);
        }
        match turn {
            Turn::Hold(done) => {
                self.mode = Mode::Holding;
                while self.reading.join_next().await.is_some() {}
                done.send(()).ok();
            }
            Turn::Forward(epoch) => {
                self.leading = Some((epoch, Instant::now()));
                self.mode = Mode::Forwarding { epoch };
                self.pass_on().await;
            }
            Turn::Take(commands, forwarded) => {
                self.leading = Some((u64::MAX, Instant::now()));
                self.mode = Mode::Taking { commands, forwarded };
                self.pass_on().await;
            }
            Turn::Close(done) => {
                if std::mem::take(&mut self.open) {
                    self.close().await;
                }
                done.send(()).ok();
            }
        }
    }

    /// One command from the bus.
    async fn command(&mut self, message: Message) {
        if let Mode::Taking { commands, .. } = &self.mode {
            return take(commands, &self.client, &mut self.reading, message).await;
        }
        if reply_of(&message).is_err() {
            return;
        }
        // It would be refused anyhow, and may be too large to be forwarded.
        if message.payload.len() > COMMAND_BYTES {
            let reply = message.reply.clone();
            let refused = decode::command(&message, reply, &super::Rules::default());
            if let super::Asked::Refused(error) = refused.asked {
                refused.reply_to.send(&self.client, &Reply::Error(error)).await;
            }
            return;
        }
        if let Some(message) = self.forwards.hold(message) {
            let crowded = ErrorBody::new(
                Code::Timeout,
                "no coordinator leads at the moment, and too many commands wait for one: nothing was done; ask again",
            );
            let crowded = crowded.with(|details| details.retry_after_ms = Some(RETRY_AFTER_MS));
            return self.answer(message, crowded).await;
        }
        if let Mode::Forwarding { .. } = self.mode {
            self.pass_on().await;
        }
    }

    /// One command that another coordinator took.
    async fn forwarded(&mut self, message: Message) {
        let Mode::Taking { commands, .. } = &self.mode else { return };
        let Ok(Some(confirm)) = reply_of(&message) else { return };
        let Some(message) = unwrap(message) else {
            return tracing::warn!("a forwarded message was dropped: it is no command");
        };
        metrics::counter!(name::FORWARDED, "direction" => "received").increment(1);
        // Before it is decided on, and on the connection of the append: see `forward.rs`.
        if let Err(error) = self.client.publish(confirm, "".into()).await {
            return tracing::warn!(%error, "a forwarded command was dropped: it could not be confirmed");
        }
        take(commands, &self.client, &mut self.reading, message).await;
    }

    async fn confirmed(&mut self, message: &Message) {
        match (self.forwards.confirmed(message), &self.mode) {
            (Confirmed::Received { epoch }, Mode::Missing { epoch: missing }) if epoch == *missing => {
                self.mode = Mode::Forwarding { epoch };
                self.pass_on().await;
            }
            (Confirmed::NobodyThere { epoch }, Mode::Forwarding { epoch: leading }) if epoch == *leading => {
                self.mode = Mode::Missing { epoch };
            }
            // Another leads by now.
            (Confirmed::NobodyThere { .. }, Mode::Forwarding { .. } | Mode::Taking { .. }) => {
                self.pass_on().await;
            }
            _ => {}
        }
    }

    /// Passes on what is held, where there is somebody to take it.
    async fn pass_on(&mut self) {
        match &self.mode {
            Mode::Holding => {}
            Mode::Taking { commands, .. } => {
                while let Some(message) = self.forwards.pop() {
                    take(commands, &self.client, &mut self.reading, message).await;
                }
            }
            Mode::Forwarding { epoch } => self.send(*epoch, usize::MAX).await,
            Mode::Missing { epoch } => self.send(*epoch, 1).await,
        }
    }

    async fn send(&mut self, epoch: u64, at_most: usize) {
        let before = self.forwards.held();
        while let Some((message, error)) = self.forwards.forward(epoch, at_most).await {
            tracing::warn!(%error, "a command could not be forwarded");
            self.answer(message, unknown()).await;
        }
        let sent = before.saturating_sub(self.forwards.held());
        metrics::counter!(name::FORWARDED, "direction" => "sent").increment(sent as u64);
    }

    async fn look(&mut self) {
        let now = Instant::now();
        for message in self.forwards.overdue(now) {
            let nobody = "no coordinator leads: nothing was done; ask again, and look whether a coordinator reaches its journal";
            self.answer(message, ErrorBody::new(Code::Timeout, nobody)).await;
        }
        for message in self.forwards.lost(now, self.leading) {
            self.answer(message, unknown()).await;
        }
        if let Mode::Missing { .. } = self.mode
            && self.forwards.unconfirmed() == 0
        {
            self.pass_on().await;
        }
        metrics::gauge!(name::HELD_COMMANDS).set(self.forwards.held() as f64);
    }

    async fn answer(&self, message: Message, error: ErrorBody) {
        metrics::counter!(name::COMMANDS, "verb" => verb_in(&message), "outcome" => error.code.as_str())
            .increment(1);
        ReplyTo::to(&message).send(&self.client, &Reply::Error(error)).await;
    }
}

fn unknown() -> ErrorBody {
    let message = "outcome unknown: the coordinator that led is gone; retry with the same request_id";
    ErrorBody::new(Code::Timeout, message)
}

fn verb_in(message: &Message) -> &'static str {
    match message.subject.parse() {
        Ok(Subject::Command { verb, .. }) => verb.as_str(),
        _ => "unknown",
    }
}
