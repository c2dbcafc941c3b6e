//! The client: what a program of a user says to the fleet, typed.
//!
//! ```text
//!  Client --bioxen.v1.cmd.<user>.<verb>[.<vm>]--> coordinator     one method a verb, or `request`
//!         --Operator--bioxen.v1.ops.<operator>.<verb>..-->        operators
//!         <--EventStream--bioxen.v1.evt.<user>..                  as they happen
//! ```
//!
//! Every command that changes something carries a request id, so that a repeat after an unknown outcome takes
//! effect once. The client never repeats by itself, and it must not judge what the fleet may do: it sends, and
//! tells what came back.

mod audit;
mod error;
mod operator;
mod packages;
mod servers;

use std::time::Duration;

use async_nats::header::HeaderMap;
use futures::{Stream, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use audit::{AuditVerified, BrokenChain, read_audit, verify_audit};
pub use error::ClientError;
pub use operator::{OperatorClient, WorkerList};
pub use packages::{Listed as ListedPackage, PackageStore, PackageStoreError};
pub use servers::servers;

use crate::codec::{Encoding, encode};
use crate::command::{Allocate, Create, List, Plain, Records, Start, Verb, VerbKind, Waiting};
use crate::error::ErrorReply;
use crate::event::Event;
use crate::id::{OperatorId, UserId, VmId, random_token};
use crate::reply::{
    Allocated, Created, FleetTotals, Performance, Quota, Resources, StateReached, Status, VmList,
};
use crate::subject::{Subject, events_of};

/// How long an answer may take beyond a command's own `wait_ms`: a fleet without a leader holds commands for 5 s.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One user's connection. Cloning it is cheap; clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    nats: async_nats::Client,
    user: UserId,
    encoding: Encoding,
    timeout: Duration,
}

impl Client {
    /// Connects as `user`; `url` may carry NATS credentials (`nats://name:password@host:4222`), and name several servers
    /// of one cluster, with commas.
    ///
    /// # Errors
    /// [`ClientError::Connect`] where no NATS server answers or it refuses.
    pub async fn connect(url: &str, user: UserId) -> Result<Self, ClientError> {
        let nats = async_nats::ConnectOptions::new()
            .name(format!("bioxen client of {user}"))
            .custom_inbox_prefix(format!("_INBOX_{user}"))
            .connection_timeout(CONNECT_TIMEOUT)
            .connect(servers(url))
            .await
            .map_err(|source| ClientError::Connect { url: url.to_owned(), source: Box::new(source) })?;
        Ok(Self { nats, user, encoding: Encoding::Json, timeout: TIMEOUT_DEFAULT })
    }

    /// Speaks `encoding` from here on; answers come in the same.
    pub fn with_encoding(self, encoding: Encoding) -> Self {
        Self { encoding, ..self }
    }

    /// Waits at most `timeout` for an answer, beyond a command's own `wait_ms`.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The connection below, for what this client has no method for.
    pub fn nats(&self) -> &async_nats::Client {
        &self.nats
    }

    /// The same connection for an operator's verbs.
    pub fn operator(&self, operator: OperatorId) -> OperatorClient {
        OperatorClient::new(self.clone(), operator)
    }

    pub async fn create(&self, vm: Option<&VmId>, create: &Create) -> Result<Created, ClientError> {
        self.request(Verb::Create, vm, create).await
    }

    pub async fn start(&self, vm: &VmId, start: &Start) -> Result<StateReached, ClientError> {
        self.request(Verb::Start, Some(vm), start).await
    }

    pub async fn stop(&self, vm: &VmId, waiting: &Waiting) -> Result<StateReached, ClientError> {
        self.request(Verb::Stop, Some(vm), waiting).await
    }

    pub async fn pause(&self, vm: &VmId, waiting: &Waiting) -> Result<StateReached, ClientError> {
        self.request(Verb::Pause, Some(vm), waiting).await
    }

    pub async fn resume(&self, vm: &VmId, waiting: &Waiting) -> Result<StateReached, ClientError> {
        self.request(Verb::Resume, Some(vm), waiting).await
    }

    pub async fn destroy(&self, vm: &VmId, waiting: &Waiting) -> Result<StateReached, ClientError> {
        self.request(Verb::Destroy, Some(vm), waiting).await
    }

    pub async fn allocate(&self, vm: &VmId, allocate: &Allocate) -> Result<Allocated, ClientError> {
        self.request(Verb::Allocate, Some(vm), allocate).await
    }

    pub async fn status(&self, vm: &VmId) -> Result<Status, ClientError> {
        self.request(Verb::Status, Some(vm), &Plain::default()).await
    }

    pub async fn list(&self, list: &List) -> Result<VmList, ClientError> {
        self.request(Verb::List, None, list).await
    }

    pub async fn resources(&self, vm: &VmId) -> Result<Resources, ClientError> {
        self.request(Verb::Resources, Some(vm), &Plain::default()).await
    }

    /// What the cell shows; the keys differ by chassis.
    pub async fn metrics(&self, vm: &VmId) -> Result<Map<String, Value>, ClientError> {
        self.request(Verb::Metrics, Some(vm), &Plain::default()).await
    }

    pub async fn quota(&self) -> Result<Quota, ClientError> {
        self.request(Verb::Quota, None, &Plain::default()).await
    }

    pub async fn fleet(&self) -> Result<FleetTotals, ClientError> {
        self.request(Verb::Fleet, None, &Plain::default()).await
    }

    pub async fn performance(&self) -> Result<Performance, ClientError> {
        self.request(Verb::Performance, None, &Plain::default()).await
    }

    /// Past events of one's own.
    pub async fn events(&self, records: &Records) -> Result<Map<String, Value>, ClientError> {
        self.request(Verb::Events, None, records).await
    }

    /// Audit records of one's own account.
    pub async fn audit(&self, records: &Records) -> Result<Map<String, Value>, ClientError> {
        self.request(Verb::Audit, None, records).await
    }

    /// Any verb with any body that is an object; the typed methods go through here.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the fleet's reason; the others where no answer was had.
    pub async fn request<B, R>(&self, verb: Verb, vm: Option<&VmId>, body: &B) -> Result<R, ClientError>
    where
        B: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let subject = Subject::Command { user: self.user.clone(), verb, vm: vm.cloned() };
        let changes = matches!(verb.kind(), VerbKind::Change | VerbKind::Waiting);
        self.ask(&subject, body, changes).await
    }

    /// Events of one's own VMs, or of one VM, from now on.
    ///
    /// # Errors
    /// [`ClientError::Nats`] where the subscription is refused.
    pub async fn event_stream(
        &self,
        vm: Option<&VmId>,
    ) -> Result<impl Stream<Item = Result<Event, ClientError>> + Unpin + use<>, ClientError> {
        let subject = events_of(&self.user, vm);
        let subscription =
            self.nats.subscribe(subject).await.map_err(|error| ClientError::Nats(Box::new(error)))?;
        // The server must know of the interest before the caller does what the events will tell.
        self.nats.flush().await.map_err(|error| ClientError::Nats(Box::new(error)))?;
        Ok(subscription.map(|message| {
            serde_json::from_slice(&message.payload)
                .map_err(|source| ClientError::unreadable(&message, source))
        }))
    }

    /// Sends `body` to `subject` and reads the answer; a change gets a request id where it has none.
    pub(crate) async fn ask<B, R>(&self, subject: &Subject, body: &B, changes: bool) -> Result<R, ClientError>
    where
        B: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let mut fields = match serde_json::to_value(body).map_err(ClientError::Body)? {
            Value::Object(fields) => fields,
            other => return Err(ClientError::NotAnObject(other.to_string())),
        };
        if changes && !fields.contains_key("request_id") {
            let token = random_token(16).map_err(|error| ClientError::Random(error.to_string()))?;
            fields.insert("request_id".to_owned(), token.into());
        }
        let request_id = fields.get("request_id").and_then(Value::as_str).map(str::to_owned);
        let wait_ms = ["wait_ms", "timeout_ms"].iter().filter_map(|name| fields.get(*name)?.as_u64()).max();
        let wait = wait_ms.map_or(Duration::ZERO, Duration::from_millis);
        let payload = encode(self.encoding, &fields).map_err(|error| ClientError::Encode(Box::new(error)))?;
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", self.encoding.content_type());
        let timeout = self.timeout.saturating_add(wait);
        let request =
            async_nats::Request::new().headers(headers).payload(payload.into()).timeout(Some(timeout));
        let answer = self
            .nats
            .send_request(subject.to_string(), request)
            .await
            .map_err(|error| ClientError::of_request(error, timeout, request_id))?;
        read_answer(&answer)
    }
}

/// Reads an answer in whichever encoding it says that it has; a refusal becomes an error.
fn read_answer<R: DeserializeOwned>(message: &async_nats::Message) -> Result<R, ClientError> {
    let content_type =
        message.headers.as_ref().and_then(|headers| headers.get("Content-Type")).map(|value| value.as_str());
    let encoding = Encoding::detect(content_type, &message.payload)
        .map_err(|source| ClientError::unreadable(message, source))?;
    let value: Value = match encoding {
        Encoding::Json => serde_json::from_slice(&message.payload)
            .map_err(|source| ClientError::unreadable(message, source))?,
        Encoding::MessagePack => rmp_serde::from_slice(&message.payload)
            .map_err(|source| ClientError::unreadable(message, source))?,
    };
    let shown = |source| ClientError::unreadable(message, source);
    if value.get("error").is_some_and(Value::is_object) {
        let refusal: ErrorReply = serde_json::from_value(value).map_err(shown)?;
        return Err(ClientError::Refused(refusal.error));
    }
    serde_json::from_value(value).map_err(shown)
}

#[cfg(test)]
mod tests;
