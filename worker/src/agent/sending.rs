//! What the agent sends: reports and answers. Each is sent once; while there is no connection it is dropped.

use std::time::Duration;

use async_nats::Message;
use bioxen_protocol::subject::RESERVED_REPLY_PREFIXES;
use bioxen_protocol::worker::{Observation, WorkerReport};
use serde::Serialize;

use super::parts::parts;
use super::{Agent, drop_message};
use crate::wire;

/// A publish waits only while the connection's queue is full: then it is dropped.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(500);

impl Agent {
    pub(super) async fn report_observed(&self, vms: Vec<Observation>) {
        for vms in parts(vms) {
            let incarnation = self.lease.incarnation();
            self.report(&WorkerReport::Observed { incarnation, vms }).await;
        }
    }

    pub(super) async fn send_inventory(&self) {
        let mut parts = parts(self.vms.inventory().cloned().collect());
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        for vms in parts {
            self.report(&WorkerReport::Inventory { vms }).await;
        }
    }

    pub(super) async fn report(&self, report: &WorkerReport) {
        match wire::encode(report) {
            Ok(bytes) => self.publish(&self.report_subject, bytes).await,
            Err(error) => tracing::error!(%error, "a report could not be written"),
        }
    }

    pub(super) async fn answer<T: Serialize>(&self, message: &Message, reply: &T) {
        let Some(subject) = &message.reply else { return };
        if RESERVED_REPLY_PREFIXES.iter().any(|reserved| subject.starts_with(reserved)) {
            return drop_message(&"its reply subject is one of the system's own");
        }
        match wire::encode(reply) {
            Ok(bytes) => self.publish(subject, bytes).await,
            Err(error) => tracing::error!(%error, "an answer could not be written"),
        }
    }

    pub(super) async fn publish(&self, subject: &str, bytes: Vec<u8>) {
        if !self.is_connected() {
            return;
        }
        let publish = self.client.publish(subject.to_owned(), bytes.into());
        match tokio::time::timeout(PUBLISH_TIMEOUT, publish).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, bus.subject = subject, "not published"),
            Err(_) => tracing::warn!(bus.subject = subject, "not published: the connection's queue is full"),
        }
    }
}
