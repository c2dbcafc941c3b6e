//! Why a client has no answer to show, each saying what to do next.

use std::error::Error as StdError;
use std::time::Duration;

use async_nats::client::{RequestError, RequestErrorKind};

use crate::error::ErrorBody;
use crate::id::shorten;

type Source = Box<dyn StdError + Send + Sync>;

/// What kept a request from its answer, or refused it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The fleet said no, and why.
    #[error("{0}")]
    Refused(ErrorBody),
    #[error("cannot connect to NATS at {url}: {source}; start a fleet with `bioxen dev`, or set BIOXEN_URL")]
    Connect { url: String, source: Source },
    #[error(
        "no coordinator answers on this NATS server: start bioxen-coordinator (or `bioxen dev`), or set BIOXEN_URL to the server that it uses"
    )]
    NoCoordinator,
    #[error("no answer within {} s: {}", .after.as_secs_f64(), outcome(.request_id.as_deref()))]
    Timeout { after: Duration, request_id: Option<String> },
    #[error("the body has more bytes than this NATS server takes in one message: send less at once")]
    TooLarge,
    #[error("NATS: {0}")]
    Nats(Source),
    #[error("the body cannot be written as JSON: {0}; check its numbers and map keys")]
    Body(serde_json::Error),
    #[error("the body is {0}: expected an object")]
    NotAnObject(String),
    #[error("the body cannot be encoded: {0}")]
    Encode(Source),
    #[error("the system gave no random bytes for a request id: {0}")]
    Random(String),
    #[error(
        "the answer on {subject} cannot be read: {source}; it starts {start:?}. Are client and coordinator of one version?"
    )]
    Unreadable { subject: String, start: String, source: Source },
    #[error("stream {stream} cannot be read: {source}; has a coordinator ever run on this NATS server?")]
    Stream { stream: &'static str, source: Source },
    /// A chain that was meant to hold, and does not.
    #[error("{0}")]
    Audit(#[from] super::BrokenChain),
}

fn outcome(request_id: Option<&str>) -> String {
    match request_id {
        Some(id) => format!(
            "the outcome is unknown. Ask again with the same request_id {id}: it takes effect at most once"
        ),
        None => "ask again, or look at the coordinator's log".to_owned(),
    }
}

impl ClientError {
    pub(super) fn of_request(error: RequestError, after: Duration, request_id: Option<String>) -> Self {
        match error.kind() {
            RequestErrorKind::NoResponders => Self::NoCoordinator,
            RequestErrorKind::TimedOut => Self::Timeout { after, request_id },
            RequestErrorKind::MaxPayloadExceeded => Self::TooLarge,
            RequestErrorKind::InvalidSubject | RequestErrorKind::Other => Self::Nats(Box::new(error)),
        }
    }

    pub(super) fn unreadable(message: &async_nats::Message, source: impl Into<Source>) -> Self {
        Self::Unreadable {
            subject: message.subject.to_string(),
            start: shorten(&String::from_utf8_lossy(&message.payload)),
            source: source.into(),
        }
    }

    pub(super) fn stream(stream: &'static str, source: impl Into<Source>) -> Self {
        Self::Stream { stream, source: source.into() }
    }
}
