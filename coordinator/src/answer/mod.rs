//! Answers: built from the state that a command was decided on, sent once that state is acknowledged.
//!
//! ```text
//!   driver --(after the ack)--> Outgoing --> outbox: encode, publish
//!                                              \--> live: ask a worker or the cell library first
//! ```

pub(crate) mod advice;
pub(crate) mod errors;
pub(crate) mod live;
pub(crate) mod outbox;
mod package;
mod parquet;
pub(crate) mod reads;
pub(crate) mod results;
mod storage;
mod table;

use async_nats::{Client, HeaderMap, Subject};
use bioxen_protocol::codec::{self, Encoding};
use bioxen_protocol::error::{Code, ErrorBody, ErrorReply};
use bioxen_protocol::reply;
use serde::Serialize;

/// Where an answer goes, and how it is written.
#[derive(Debug, Clone)]
pub(crate) struct ReplyTo {
    /// None where nobody waits: the command is answered by events alone.
    pub(crate) subject: Option<Subject>,
    pub(crate) encoding: Encoding,
}

/// Everything that a command may be answered with.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Reply {
    Error(#[serde(serialize_with = "as_error")] ErrorBody),
    Created(Box<reply::Created>),
    State(reply::StateReached),
    Allocated(reply::Allocated),
    Executed(Box<reply::Executed>),
    Monitored(reply::Monitored),
    Checkpointed(reply::Checkpointed),
    Restored(reply::Restored),
    Installed(Box<reply::Installed>),
    History(reply::History),
    /// What only some chassis have: genes, plasmids.
    Organism(serde_json::Map<String, serde_json::Value>),
    Optimized(Box<reply::Optimized>),
    Recommendations(Box<reply::Recommendations>),
    Status(Box<reply::Status>),
    Resources(Box<reply::Resources>),
    Metrics(serde_json::Map<String, serde_json::Value>),
    Ensemble(reply::EnsembleAccepted),
    EnsembleStatus(Box<reply::EnsembleStatus>),
    Results(Box<reply::ResultsChunk>),
    Member(Box<reply::MemberBody>),
    List(reply::VmList),
    Quota(Box<reply::Quota>),
    Fleet(Box<reply::FleetTotals>),
    Performance(Box<reply::Performance>),
    Workers {
        workers: Vec<reply::WorkerInfo>,
    },
    Moving(reply::Moving),
    Users {
        users: Vec<reply::Quota>,
    },
    Config(bioxen_protocol::config::ResourceConfig),
    Events {
        events: Vec<bioxen_protocol::event::Event>,
    },
    Audit {
        audit: Vec<bioxen_protocol::audit::AuditRecord>,
    },
    Verified(Box<reply::Verified>),
    Snapshot(reply::SnapshotTaken),
    Backup(Box<reply::BackupSurvey>),
}

fn as_error<S: serde::Serializer>(error: &ErrorBody, serializer: S) -> Result<S::Ok, S::Error> {
    ErrorReply { error: error.clone() }.serialize(serializer)
}

impl ReplyTo {
    /// Whoever sent this message, in the encoding that it has.
    pub(crate) fn to(message: &async_nats::Message) -> Self {
        let content_type = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Content-Type"))
            .map(|kind| kind.as_str());
        let encoding = Encoding::detect(content_type, &message.payload).unwrap_or(crate::intake::FALLBACK);
        Self { subject: message.reply.clone(), encoding }
    }

    /// Publishes the answer, where somebody waits for one.
    pub(crate) async fn send(&self, client: &Client, reply: &Reply) {
        let Some(subject) = &self.subject else { return };
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", self.encoding.content_type());
        if let Reply::Error(error) = reply {
            headers.insert("Nats-Service-Error", error.message.replace(['\r', '\n'], " ").as_str());
            headers.insert("Nats-Service-Error-Code", error.code.status().to_string().as_str());
        }
        let payload = codec::encode(self.encoding, reply).or_else(|error| {
            tracing::error!(%error, "an answer cannot be encoded");
            let internal = ErrorBody::new(Code::Timeout, "the answer cannot be encoded; report this");
            codec::encode(Encoding::Json, &Reply::Error(internal))
        });
        let Ok(payload) = payload else { return };
        if let Err(error) = client.publish_with_headers(subject.clone(), headers, payload.into()).await {
            tracing::warn!(%error, reply = %subject, "an answer could not be sent");
        }
    }
}
