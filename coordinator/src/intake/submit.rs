//! The durable door: BIOXEN_SUBMIT read in order, from behind the last message that the journal says was decided on.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::{self, consumer, stream};
use futures::StreamExt;
use tokio::sync::{mpsc, watch};

use super::{Incoming, Rules, decode, packages};
use crate::journal::streams::SUBMIT;

/// Between two attempts to reach the stream.
const PAUSE: Duration = Duration::from_secs(1);
/// How often what was decided on is purged.
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// Behind which sequence to read on: what the journal says was decided on, or less where the stream went back behind
/// that, as when an older copy of nats-server's store was put back. What came in since the last entry was not decided on.
///
/// # Errors
/// When the stream cannot be read.
pub(crate) async fn cursor(
    js: &jetstream::Context,
    decided: u64,
    last_entry_ms: u64,
) -> Result<u64, async_nats::Error> {
    let mut stream = js.get_stream(SUBMIT).await?;
    let state = stream.info().await?.state.clone();
    if state.last_sequence >= decided {
        return Ok(decided);
    }
    let mut cursor = state.last_sequence;
    for sequence in (state.first_sequence.max(1)..=state.last_sequence).rev() {
        match stream.get_raw_message(sequence).await {
            Ok(message) if message.time.unix_timestamp_nanos() / 1_000_000 <= i128::from(last_entry_ms) => {
                break;
            }
            Ok(_) => cursor = sequence - 1,
            Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    tracing::warn!(
        decided,
        last = state.last_sequence,
        cursor,
        "the submit stream went back: its numbers begin again"
    );
    Ok(cursor)
}

/// Reads until the driver is gone. After a break it continues behind what it handed over last.
pub(crate) async fn run(
    client: Client,
    js: jetstream::Context,
    after: u64,
    sender: mpsc::Sender<Incoming>,
    rules: Rules,
) {
    let mut last = after;
    while !sender.is_closed() {
        if let Err(error) = read(&client, &js, &mut last, &sender, &rules).await {
            tracing::warn!(%error, "the submit stream cannot be read; trying again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(
    client: &Client,
    js: &jetstream::Context,
    last: &mut u64,
    sender: &mpsc::Sender<Incoming>,
    rules: &Rules,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = js.get_stream(SUBMIT).await?;
    let config = consumer::pull::OrderedConfig {
        deliver_policy: consumer::DeliverPolicy::ByStartSequence { start_sequence: *last + 1 },
        ..Default::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let sequence = message.info()?.stream_sequence;
        let (subject, headers) = (&message.subject, message.headers.as_ref());
        let incoming = decode::submitted(subject, headers, &message.payload, sequence, rules);
        let incoming = packages::resolved(client, incoming).await;
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
