//! Closing the door: no more commands come, and those that nats-server had handed over go their way first.

use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subscriber};
use futures::{FutureExt, StreamExt};

use super::{LOOK, Mode, Porter, unknown};

/// How long the last messages may take from nats-server, and the last confirmations from the leader.
const LONGEST_CLOSE: Duration = Duration::from_secs(2);

impl Porter {
    /// The last messages go their way.
    pub(super) async fn close(&mut self) {
        if let Err(error) = no_more([&mut self.commands, &mut self.operators], &self.client).await {
            tracing::warn!(%error, "nats-server does not answer: commands that it holds for this coordinator stay unanswered");
        }
        while let Some(Some(message)) = self.commands.next().now_or_never() {
            self.command(message).await;
        }
        while let Some(Some(message)) = self.operators.next().now_or_never() {
            self.command(message).await;
        }
        if let Mode::Taking { .. } = self.mode {
            self.close_to_others().await;
        } else {
            let all = async {
                while self.forwards.unconfirmed() + self.forwards.held() > 0 {
                    tokio::select! {
                        Some(message) = self.confirmations.next() => self.confirmed(&message).await,
                        () = tokio::time::sleep(LOOK) => self.look().await,
                    }
                }
            };
            if tokio::time::timeout(LONGEST_CLOSE, all).await.is_err() {
                tracing::warn!("some commands could not be passed on to a leader");
            }
            let rest: Vec<Message> = std::iter::from_fn(|| self.forwards.pop()).collect();
            for message in
                rest.into_iter().chain(self.forwards.lost(Instant::now() + LONGEST_CLOSE * 4, None))
            {
                self.answer(message, unknown()).await;
            }
        }
        while self.reading.join_next().await.is_some() {}
    }

    /// What others have forwarded is taken, and from then on finds nobody.
    async fn close_to_others(&mut self) {
        let Mode::Taking { commands, mut forwarded } = std::mem::replace(&mut self.mode, Mode::Holding)
        else {
            return;
        };
        let closed = no_more([&mut forwarded], &self.client).await;
        self.mode = Mode::Taking { commands, forwarded };
        if let Err(error) = closed {
            tracing::warn!(%error, "nats-server does not answer: forwarded commands stay unconfirmed");
        }
        loop {
            let Mode::Taking { forwarded, .. } = &mut self.mode else { return };
            let Some(Some(message)) = forwarded.next().now_or_never() else { return };
            self.forwarded(message).await;
        }
    }
}

/// Has nats-server hand over nothing more, and returns when what it handed over before has arrived.
///
/// The client's own `drain` forgets the subscription before it has read the last messages. An end after more messages
/// than nats-server can count is one at once for the server, and none for the client.
async fn no_more<const N: usize>(
    messages: [&mut Subscriber; N],
    client: &Client,
) -> Result<(), async_nats::Error> {
    for messages in messages {
        messages.unsubscribe_after(u64::MAX).await?;
    }
    let inbox = client.new_inbox();
    let mut round = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, Vec::new().into()).await?;
    tokio::time::timeout(LONGEST_CLOSE, round.next()).await?;
    Ok(())
}
