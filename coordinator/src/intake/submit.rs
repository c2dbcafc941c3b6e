//! The durable door: BIOXEN_SUBMIT read in order, from behind the last message that the journal says was decided on.

use std::time::Duration;

use async_nats::jetstream::{self, consumer, stream};
use futures::StreamExt;
use tokio::sync::{mpsc, watch};

use super::{Incoming, decode};
use crate::journal::streams::SUBMIT;

/// Between two attempts to reach the stream.
const PAUSE: Duration = Duration::from_secs(1);
/// How often what was decided on is purged.
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// Reads until the driver is gone. After a break it continues behind what it handed over last.
pub(crate) async fn run(js: jetstream::Context, after: u64, sender: mpsc::Sender<Incoming>) {
    let mut last = after;
    while !sender.is_closed() {
        if let Err(error) = read(&js, &mut last, &sender).await {
            tracing::warn!(%error, "the submit stream cannot be read; trying again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(
    js: &jetstream::Context,
    last: &mut u64,
    sender: &mpsc::Sender<Incoming>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = js.get_stream(SUBMIT).await?;
    let end = stream.cached_info().state.last_sequence;
    if end < *last {
        tracing::error!(
            end,
            decided = *last,
            "the submit stream ends before what was decided on: it was made anew or restored; commands below that sequence \
             are taken for repeats. Send them through bioxen.v1.cmd, or restore the stream"
        );
    }
    let config = consumer::pull::OrderedConfig {
        deliver_policy: consumer::DeliverPolicy::ByStartSequence { start_sequence: *last + 1 },
        ..Default::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let sequence = message.info()?.stream_sequence;
        let incoming =
            decode::submitted(&message.subject, message.headers.as_ref(), &message.payload, sequence);
        if sender.send(incoming).await.is_err() {
            return Ok(());
        }
        *last = sequence;
    }
    Ok(())
}

/// Purges what was decided on, now and then.
pub(crate) async fn purge(js: jetstream::Context, mut decided: watch::Receiver<u64>) {
    let mut purged = 0;
    loop {
        tokio::time::sleep(PURGE_EVERY).await;
        if decided.has_changed().is_err() {
            return;
        }
        let upto = *decided.borrow_and_update();
        if upto <= purged {
            continue;
        }
        let stream: Result<stream::Stream, _> = js.get_stream(SUBMIT).await;
        let Ok(stream) = stream else { continue };
        match stream.purge().sequence(upto + 1).await {
            Ok(_) => purged = upto,
            Err(error) => tracing::warn!(%error, "the submit stream cannot be purged; trying again"),
        }
    }
}
