//! Commands on their way from a coordinator that does not lead to the one that does, raw as they came.
//!
//! ```text
//!   cmd, ops --> waits here --bioxen.v1.coordinator.<epoch>.forward--> the leader of that epoch
//!                   ^   |          its subject and reply subject in headers
//!                   |   '<---------- received -------------------------- (then it is the leader's to answer)
//!                   '<---- no responders: nobody got it, so it is kept for the next leader
//! ```
//!
//! Only what is known to have reached nobody is sent a second time. The leader confirms a command before it decides on
//! it, on the connection by which it appends: one that is not confirmed is in no batch that can be read, or its outcome
//! is told to be unknown. This file must not decode commands.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_nats::{Client, HeaderMap, Message, PublishError, Subject as NatsSubject};
use bioxen_protocol::limits::{HELD_BYTES, HELD_COMMANDS, HOLD};
use bioxen_protocol::subject::{COMMAND_PREFIXES, Subject};

const HEADER_SUBJECT: &str = "Bioxen-Subject";
const HEADER_REPLY: &str = "Bioxen-Reply";
/// A leader's confirmation may come so much later than the journal shows that it leads no longer.
const CROSSING: Duration = Duration::from_secs(1);

/// A command that waits for a leader.
#[derive(Debug)]
struct Kept {
    message: Message,
    came: Instant,
}

/// A command that was forwarded and is not confirmed.
#[derive(Debug)]
struct Sent {
    kept: Kept,
    epoch: u64,
    at: Instant,
}

/// What became of a forwarded command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmed {
    /// The leader has it.
    Received { epoch: u64 },
    /// Nobody got it; it is held again.
    NobodyThere { epoch: u64 },
    /// It was told of before.
    Known,
}

/// The commands that wait here, by the order in which they came.
#[derive(Debug)]
pub(super) struct Forwards {
    client: Client,
    inbox: String,
    next: u64,
    held: BTreeMap<u64, Kept>,
    held_bytes: usize,
    sent: BTreeMap<u64, Sent>,
}

impl Forwards {
    /// Confirmations come under `<inbox>.<number>`.
    pub(super) fn new(client: Client, inbox: String) -> Self {
        Self { client, inbox, next: 0, held: BTreeMap::new(), held_bytes: 0, sent: BTreeMap::new() }
    }

    /// Keeps a command until there is a leader; gives it back where there is no room.
    pub(super) fn hold(&mut self, message: Message) -> Option<Message> {
        let bytes = message.payload.len();
        let full = self.held.len() + self.sent.len() >= HELD_COMMANDS || self.held_bytes + bytes > HELD_BYTES;
        if full {
            return Some(message);
        }
        self.held_bytes += bytes;
        self.held.insert(self.next, Kept { message, came: Instant::now() });
        self.next += 1;
        None
    }

    /// The first held, taken out.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let (_, kept) = self.held.pop_first()?;
        self.held_bytes -= kept.message.payload.len();
        Some(kept.message)
    }

    /// Sends held commands to the leader of an epoch, in order, as many as `at_most`. One that cannot be sent is given
    /// back, the rest is held on.
    pub(super) async fn forward(&mut self, epoch: u64, at_most: usize) -> Option<(Message, PublishError)> {
        for _ in 0..at_most {
            let (number, kept) = self.held.pop_first()?;
            self.held_bytes -= kept.message.payload.len();
            let reply = format!("{}.{number}", self.inbox);
            let subject = Subject::Forward { epoch }.to_string();
            let (headers, payload) = (wrap(&kept.message), kept.message.payload.clone());
            let sent = self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await;
            if let Err(error) = sent {
                return Some((kept.message, error));
            }
            self.sent.insert(number, Sent { kept, epoch, at: Instant::now() });
        }
        None
    }

    /// Takes what came to the inbox.
    pub(super) fn confirmed(&mut self, message: &Message) -> Confirmed {
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        let Some((number, sent)) = number.and_then(|number: u64| Some((number, self.sent.remove(&number)?)))
        else {
            return Confirmed::Known;
        };
        let epoch = sent.epoch;
        if message.status.is_none() {
            return Confirmed::Received { epoch };
        }
        self.held_bytes += sent.kept.message.payload.len();
        self.held.insert(number, sent.kept);
        Confirmed::NobodyThere { epoch }
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    pub(super) fn unconfirmed(&self) -> usize {
        self.sent.len()
    }

    /// Held commands whose time is over: nothing was done.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Message> {
        let mut overdue = Vec::new();
        // They came in this order.
        while self.held.first_key_value().is_some_and(|(_, kept)| now >= kept.came + HOLD) {
            overdue.extend(self.pop());
        }
        overdue
    }

    /// Commands that nobody will confirm any more: it is unknown what became of them. `leading` is the epoch of the
    /// present leader, and since when that is known.
    pub(super) fn lost(&mut self, now: Instant, leading: Option<(u64, Instant)>) -> Vec<Message> {
        let is_lost = |sent: &Sent| {
            let deposed = leading.is_some_and(|(epoch, since)| sent.epoch < epoch && now >= since + CROSSING);
            deposed || now >= sent.at + HOLD
        };
        self.sent.extract_if(.., |_, sent| is_lost(sent)).map(|(_, sent)| sent.kept.message).collect()
    }
}

/// The headers under which a command travels: its own, its subject and its reply subject.
fn wrap(message: &Message) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
        // Whoever sent it may not say where the answer goes.
        let text: &str = name.as_ref();
        if ![HEADER_SUBJECT, HEADER_REPLY].iter().any(|ours| ours.eq_ignore_ascii_case(text)) {
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    headers.insert(HEADER_SUBJECT, message.subject.as_str());
    if let Some(reply) = &message.reply {
        headers.insert(HEADER_REPLY, reply.as_str());
    }
    headers
}

/// The command as it came to the coordinator that forwarded it; none where that is no command.
pub(super) fn unwrap(mut message: Message) -> Option<Message> {
    let find =
        |name: &str| message.headers.as_ref()?.get(name).map(|value| NatsSubject::from(value.as_str()));
    let subject = find(HEADER_SUBJECT)?;
    if !COMMAND_PREFIXES.iter().any(|prefix| subject.starts_with(prefix)) {
        return None;
    }
    message.reply = find(HEADER_REPLY);
    message.subject = subject;
    Some(message)
}
