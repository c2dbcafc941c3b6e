//! Requests to JetStream's own API, as JSON over plain NATS: what the journal asks of a stream.
//!
//! Asked in this form because the journal needs exact error codes and batched direct gets.
//! This file must not decide what an answer means for the fleet.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::{Client, Message, Request};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::streams;

/// JetStream's error codes that we tell apart.
pub(crate) mod code {
    /// No message stands at that sequence.
    pub(crate) const NO_MESSAGE_FOUND: u64 = 10037;
    /// There is no such stream.
    pub(crate) const STREAM_NOT_FOUND: u64 = 10059;
    /// The disk, memory or account has no room for the bytes.
    pub(crate) const STORAGE_EXCEEDED: [u64; 4] = [10023, 10028, 10047, 10002];
    /// The stream itself is full.
    pub(crate) const STREAM_FULL: u64 = 10077;
    /// The message is larger than the stream takes.
    pub(crate) const MESSAGE_TOO_LARGE: u64 = 10054;
    /// JetStream is off, for the server or for the account.
    pub(crate) const NOT_ENABLED: [u64; 2] = [10076, 10039];
}

/// Why JetStream gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    #[error("not connected to nats-server: waiting for it to come back")]
    Disconnected,
    #[error(
        "nats-server did not answer {subject} within {waited_ms} ms: is JetStream up and has it a leader?"
    )]
    TimedOut { subject: String, waited_ms: u128 },
    #[error(
        "nats-server answers, and has not stored {subject} within {waited_ms} ms: see its log; where its disk is full \
         or has failed, make room and start nats-server again"
    )]
    NotStored { subject: String, waited_ms: u128 },
    #[error(
        "nothing answers {subject}: JetStream is off or has no leader; start nats-server with `jetstream {{ }}`"
    )]
    NoResponders { subject: String },
    #[error("the request to {subject} failed: {reason}")]
    Failed { subject: String, reason: String },
    #[error("JetStream refused {subject}: {description} (error {code})")]
    Refused { subject: String, code: u64, description: String },
    #[error("nats-server's answer to {subject} is not understood: {reason}")]
    Unreadable { subject: String, reason: String },
}

impl ApiError {
    /// JetStream's own error code, where it refused.
    pub fn code(&self) -> Option<u64> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether asking again may help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Disconnected
            | Self::TimedOut { .. }
            | Self::NotStored { .. }
            | Self::NoResponders { .. }
            | Self::Failed { .. } => true,
            // "JetStream system temporarily unavailable" and its like.
            Self::Refused { code, .. } => *code == 10008,
            Self::Unreadable { .. } => false,
        }
    }
}

/// What the stream's leader says stands in it.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
pub struct StreamState {
    #[serde(rename = "first_seq")]
    pub first_sequence: u64,
    /// The last sequence given out; the message that had it may be gone.
    #[serde(rename = "last_seq")]
    pub last_sequence: u64,
    pub messages: u64,
    pub bytes: u64,
}

/// A message that stands in a stream.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) payload: Bytes,
}

#[derive(Deserialize)]
pub(crate) struct Refusal {
    #[serde(default, rename = "err_code")]
    pub(crate) code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

/// Sends a request and returns the raw answer.
pub(crate) async fn ask(
    client: &Client,
    subject: &str,
    request: Request,
    wait: Duration,
) -> Result<Message, ApiError> {
    // A request made while disconnected would lie in the client's buffer and leave much later.
    if client.connection_state() != State::Connected {
        return Err(ApiError::Disconnected);
    }
    let request = request.timeout(Some(wait));
    client.send_request(subject.to_owned(), request).await.map_err(|error| {
        let subject = subject.to_owned();
        match error.kind() {
            RequestErrorKind::TimedOut => ApiError::TimedOut { subject, waited_ms: wait.as_millis() },
            RequestErrorKind::NoResponders => ApiError::NoResponders { subject },
            _ => ApiError::Failed { subject, reason: error.to_string() },
        }
    })
}

/// Reads an answer of JetStream's: its error where it holds one.
pub(crate) fn read<T: DeserializeOwned>(subject: &str, payload: &[u8]) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<Refusal>,
    }
    let unreadable = |error: serde_json::Error| ApiError::Unreadable {
        subject: subject.to_owned(),
        reason: error.to_string(),
    };
    let answer: Answer = serde_json::from_slice(payload).map_err(unreadable)?;
    if let Some(Refusal { code, description }) = answer.error {
        return Err(ApiError::Refused { subject: subject.to_owned(), code, description });
    }
    serde_json::from_slice(payload).map_err(unreadable)
}

/// Asks JetStream's API and reads the answer.
pub(crate) async fn call<T: DeserializeOwned>(
    client: &Client,
    subject: &str,
    body: &Value,
    wait: Duration,
) -> Result<T, ApiError> {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let message = ask(client, subject, Request::new().payload(body), wait).await?;
    read(subject, &message.payload)
}

pub(crate) async fn stream_state(
    client: &Client,
    stream: &str,
    wait: Duration,
) -> Result<StreamState, ApiError> {
    #[derive(Deserialize)]
    struct Info {
        state: StreamState,
    }
    let info: Info = call(client, &streams::api_info(stream), &Value::Null, wait).await?;
    Ok(info.state)
}

/// The message at a sequence, `None` where none stands there; asked of the stream's leader where a
/// replica does not have it.
pub(crate) async fn message_at(
    client: &Client,
    stream: &str,
    sequence: u64,
    wait: Duration,
) -> Result<Option<Stored>, ApiError> {
    let subject = streams::api_direct_get(stream);
    let body = Bytes::from(json!({ "seq": sequence }).to_string());
    let message = ask(client, &subject, Request::new().payload(body), wait).await?;
    match message.status {
        None => stored(&subject, message).map(Some),
        Some(status) if status.as_u16() == 404 => {
            if leader_has(client, stream, &json!({ "seq": sequence }), wait).await? {
                return Err(ApiError::Failed { subject, reason: "a replica lags behind".to_owned() });
            }
            Ok(None)
        }
        Some(status) => Err(ApiError::Failed { subject, reason: format!("status {status}") }),
    }
}

/// Whether the stream's leader holds a message that fits.
pub(crate) async fn leader_has(
    client: &Client,
    stream: &str,
    which: &Value,
    wait: Duration,
) -> Result<bool, ApiError> {
    match call::<Value>(client, &streams::api_message_get(stream), which, wait).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(code::NO_MESSAGE_FOUND) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a stream's leader said of it is not so any more, or not yet: asking again may help.
pub(crate) fn leader_is_behind(stream: &str, last_sequence: u64) -> ApiError {
    let reason = format!("the stream's leader is behind a replica, at sequence {last_sequence}");
    ApiError::Failed { subject: streams::api_info(stream), reason }
}

/// The sequence of a subject's last message, asked of the stream's leader; `None` where there is none.
pub(crate) async fn last_of_subject(
    client: &Client,
    stream: &str,
    subject: &str,
    wait: Duration,
) -> Result<Option<u64>, ApiError> {
    #[derive(Deserialize)]
    struct Got {
        message: Last,
    }
    #[derive(Deserialize)]
    struct Last {
        seq: u64,
    }
    let which = json!({ "last_by_subj": subject });
    match call::<Got>(client, &streams::api_message_get(stream), &which, wait).await {
        Ok(got) => Ok(Some(got.message.seq)),
        Err(error) if error.code() == Some(code::NO_MESSAGE_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a direct get's message: its sequence is in a header.
pub(crate) fn stored(subject: &str, message: Message) -> Result<Stored, ApiError> {
    let sequence = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get(streams::HEADER_SEQUENCE))
        .and_then(|value| value.as_str().parse().ok())
        .ok_or_else(|| ApiError::Unreadable {
            subject: subject.to_owned(),
            reason: "it has no sequence".to_owned(),
        })?;
    Ok(Stored { sequence, payload: message.payload })
}
