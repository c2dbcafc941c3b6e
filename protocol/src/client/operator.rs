//! What operators ask: their own verbs, and any user's verb on that user's VM.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Client, ClientError};
use crate::command::{Move, Plain, SetQuota, Verb, VerbKind};
use crate::id::{OperatorId, UserId, VmId, WorkerId};
use crate::reply::{Moving, Quota, Verified, WorkerInfo};
use crate::subject::Subject;

/// The answer of `workers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerList {
    pub workers: Vec<WorkerInfo>,
}

/// A connection that speaks for an operator.
#[derive(Debug, Clone)]
pub struct OperatorClient {
    client: Client,
    operator: OperatorId,
}

impl OperatorClient {
    pub(super) fn new(client: Client, operator: OperatorId) -> Self {
        Self { client, operator }
    }

    pub async fn workers(&self) -> Result<WorkerList, ClientError> {
        self.request("workers", None, &Plain::default()).await
    }

    pub async fn users(&self) -> Result<Map<String, Value>, ClientError> {
        self.request("users", None, &Plain::default()).await
    }

    /// A user's limits and what is used of them.
    pub async fn quota(&self, user: &UserId) -> Result<Quota, ClientError> {
        self.request("quota", Some(user.as_str()), &Plain::default()).await
    }

    /// Sets the limits that are present; the others stay.
    pub async fn set_quota(&self, user: &UserId, limits: &SetQuota) -> Result<Quota, ClientError> {
        self.ask("quota", Some(user.as_str()), None, limits, true).await
    }

    /// `cordon`, `uncordon` or `drain` of a worker; the answer is how the workers then stand.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn cordon(&self, verb: &str, worker: &WorkerId) -> Result<WorkerList, ClientError> {
        self.request(verb, Some(worker.as_str()), &Plain::default()).await
    }

    /// Has a VM go to another worker; answered when that is accepted.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn move_vm(
        &self,
        user: &UserId,
        vm: &VmId,
        to: Option<WorkerId>,
    ) -> Result<Moving, ClientError> {
        let body = Move { request_id: None, to };
        self.ask("move", Some(user.as_str()), Some(vm), &body, true).await
    }

    /// Compares ledger, journal and audit.
    pub async fn verify(&self) -> Result<Verified, ClientError> {
        self.request("verify", None, &Plain::default()).await
    }

    /// An operator's own verb, by name.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn request<B, R>(&self, verb: &str, target: Option<&str>, body: &B) -> Result<R, ClientError>
    where
        B: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.ask(verb, target, None, body, false).await
    }

    /// A user's verb on that user's VM; audited under both names.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn on_vm<B, R>(&self, verb: Verb, user: &UserId, vm: &VmId, body: &B) -> Result<R, ClientError>
    where
        B: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let changes = matches!(verb.kind(), VerbKind::Change | VerbKind::Waiting);
        self.ask(verb.as_str(), Some(user.as_str()), Some(vm), body, changes).await
    }

    async fn ask<B, R>(
        &self,
        verb: &str,
        target: Option<&str>,
        vm: Option<&VmId>,
        body: &B,
        changes: bool,
    ) -> Result<R, ClientError>
    where
        B: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let subject = Subject::Operator {
            operator: self.operator.clone(),
            verb: verb.to_owned(),
            target: target.map(str::to_owned),
            vm: vm.cloned(),
        };
        self.client.ask(&subject, body, changes).await
    }
}
