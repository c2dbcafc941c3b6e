//! What clients were answered, held against the audit trail.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use async_nats::{Client, jetstream};
use futures::StreamExt as _;
use serde_json::Value;

use crate::START_PATIENCE;

/// Commands by user and request id.
pub type Ids = BTreeSet<(String, String)>;

/// Everything that the audit trail says to have been accepted under a request id; fails where one was accepted twice.
pub async fn accepted_once(client: &Client) -> Ids {
    let context = jetstream::new(client.clone());
    let stream = context.get_stream("BIOXEN_AUDIT").await.expect("the stream");
    let last = stream.get_info().await.expect("its state").state.last_sequence;
    let config = jetstream::consumer::pull::OrderedConfig::default();
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let mut records = consumer.messages().await.expect("records");
    let mut accepted: BTreeMap<(String, String), u32> = BTreeMap::new();
    loop {
        let record = records.next().await.expect("a record").expect("the connection stands");
        let sequence = record.info().expect("JetStream's word on it").stream_sequence;
        let told: Value = serde_json::from_slice(&record.payload).expect("a record in JSON");
        if let (Some(user), Some(id), Some("accepted")) =
            (told["user"].as_str(), told["request_id"].as_str(), told["outcome"].as_str())
        {
            *accepted.entry((user.to_owned(), id.to_owned())).or_default() += 1;
        }
        if sequence == last {
            break;
        }
    }
    let twice: Vec<_> = accepted.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "took effect twice: {twice:?}");
    accepted.into_keys().collect()
}

/// Every command that was answered as accepted stands in the audit trail once, and none stands there twice.
pub async fn assert_once_each(client: &Client, answered: &[(String, String)]) {
    let begun = Instant::now();
    loop {
        let accepted = accepted_once(client).await;
        let lost: Vec<_> = answered.iter().filter(|id| !accepted.contains(id)).collect();
        if lost.is_empty() {
            return;
        }
        // In a cluster that was split, one of its servers may not have come so far as to say where the trail ends.
        assert!(begun.elapsed() < START_PATIENCE, "accepted and lost: {lost:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
