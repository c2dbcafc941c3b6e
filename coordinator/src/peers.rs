//! Coordinators ask one another how far they are: before one heals a journal or takes the lead, and at a start.
//!
//! What is said here is a hint: the journal's fence decides. This file must not decide what follows from an answer.

use std::time::Duration;

use async_nats::Client;
use bioxen_protocol::subject::Subject;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::feed::Standing;
use crate::fleet::format::Format;

/// How long answers are gathered: a round trip on a busy network, short beside the silence that makes a candidate.
const GATHER: Duration = Duration::from_millis(150);
/// The same where nobody waits for it: a machine may be busy, too.
const GATHER_PATIENTLY: Duration = Duration::from_millis(600);
/// Answers taken at most.
const MOST_ANSWERS: usize = 64;

/// What a coordinator says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// Of this run of the process.
    pub(crate) boot: String,
    pub(crate) version: String,
    /// The last entry that it knows to be journaled.
    pub(crate) index: u64,
    pub(crate) leads: bool,
    /// The newest that it knows.
    pub(crate) format: Format,
}

/// This coordinator among the others.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    client: Client,
    name: String,
    boot: String,
}

impl Peers {
    pub(crate) fn new(client: Client, name: String, boot: String) -> Self {
        Self { client, name, boot }
    }

    /// Answers others until the connection is gone for good.
    ///
    /// # Errors
    /// When nothing can be subscribed to.
    pub(crate) async fn answer(
        &self,
        standing: watch::Receiver<Standing>,
    ) -> Result<(), async_nats::SubscribeError> {
        let mut questions = self.client.subscribe(Subject::Peers.to_string()).await?;
        let this = self.clone();
        tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                let (Some(reply), Standing { index, leads }) = (&question.reply, *standing.borrow()) else {
                    continue;
                };
                if crate::intake::is_reserved(reply) {
                    continue;
                }
                let (name, boot) = (this.name.clone(), this.boot.clone());
                let version = env!("CARGO_PKG_VERSION").to_owned();
                let peer = Peer { name, boot, version, index, leads, format: Format::NEWEST };
                match serde_json::to_vec(&peer) {
                    Ok(answer) => {
                        if let Err(error) = this.client.publish(reply.clone(), answer.into()).await {
                            tracing::debug!(%error, "another coordinator was not answered");
                        }
                    }
                    Err(error) => tracing::error!(%error, "this coordinator cannot say how far it is"),
                }
            }
        });
        Ok(())
    }

    /// The other coordinators that answer. At once where nobody listens.
    pub(crate) async fn gather(&self) -> Vec<Peer> {
        self.gather_within(GATHER).await
    }

    /// The same, where one that is overlooked would be the worse for it and nobody waits.
    pub(crate) async fn gather_patiently(&self) -> Vec<Peer> {
        self.gather_within(GATHER_PATIENTLY).await
    }

    async fn gather_within(&self, patience: Duration) -> Vec<Peer> {
        let mut peers = Vec::new();
        let inbox = self.client.new_inbox();
        let gathering = async {
            let mut answers = self.client.subscribe(inbox.clone()).await.ok()?;
            let subject = Subject::Peers.to_string();
            self.client.publish_with_reply(subject, inbox.clone(), "".into()).await.ok()?;
            while peers.len() < MOST_ANSWERS {
                let answer = answers.next().await?;
                // Nobody listens.
                if answer.status.is_some() {
                    break;
                }
                let peer: Result<Peer, _> = serde_json::from_slice(&answer.payload);
                peers.extend(peer.ok().filter(|peer| peer.boot != self.boot));
            }
            Some(())
        };
        // Whoever does not answer by then is taken for away.
        let _ = tokio::time::timeout(patience, gathering).await;
        peers
    }

    /// The other coordinator that knows most of the journal, where that is more than up to `index`.
    pub(crate) async fn ahead_of(&self, index: u64) -> Option<Peer> {
        self.gather().await.into_iter().filter(|peer| peer.index > index).max_by_key(|peer| peer.index)
    }

    /// Another process under this one's name.
    pub(crate) async fn namesake(&self) -> Option<Peer> {
        self.gather().await.into_iter().find(|peer| peer.name == self.name)
    }
}
