//! What these tests ask of a fleet, and how they look at what workers packed.

use std::time::{Duration, Instant};

use async_nats::{Client, jetstream};
use bioxen_protocol::packed::{CHECKPOINTS_BUCKET, Pieces};
use bioxen_tests::vms::{USER, WIDE};
use bioxen_tests::{Options, START_PATIENCE, TestFleet, ask_until};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

pub(crate) fn fleet(workers: Vec<(String, String)>) -> TestFleet {
    TestFleet::start(&Options { resources: WIDE.to_owned(), workers })
}

/// The reason of the last event of a name.
pub(crate) async fn last_event(client: &Client, vm: &str, event: &str) -> Value {
    let subject = format!("bioxen.v1.cmd.{USER}.events");
    let of = |answer: &Value| {
        let events = answer["events"].as_array().cloned().unwrap_or_default();
        events.into_iter().rfind(|one| one["vm_id"] == vm && one["event"] == event)
    };
    let answer = ask_until(client, &subject, &json!({ "limit": 1000 }), |answer| of(answer).is_some()).await;
    of(&answer).expect("it was there")
}

/// (VM, minute) of every piece that lies in the store.
pub(crate) async fn packed(client: &Client) -> Vec<(String, f64)> {
    let bucket = jetstream::new(client.clone()).get_object_store(CHECKPOINTS_BUCKET).await;
    let bucket = bucket.expect("the bucket");
    let mut names = Vec::new();
    let mut list = bucket.list().await.expect("a list");
    while let Some(object) = list.next().await {
        names.push(object.expect("an object").name);
    }
    let mut pieces = Vec::new();
    for name in names {
        // It may be replaced at any moment.
        let Ok(mut object) = bucket.get(&name).await else { continue };
        let mut bytes = Vec::new();
        if object.read_to_end(&mut bytes).await.is_err() {
            continue;
        }
        for piece in Pieces::read(&bytes).expect("packed checkpoints").flatten() {
            pieces.push((piece.key.vm.to_string(), piece.tick as f64 / 10.0));
        }
    }
    pieces
}

/// Waits until each VM is packed beyond a minute.
pub(crate) async fn packed_beyond(client: &Client, vms: &[&str], minute: f64) {
    let started = Instant::now();
    loop {
        let pieces = packed(client).await;
        if vms.iter().all(|vm| pieces.iter().any(|(of, at)| of == vm && *at > minute)) {
            return;
        }
        assert!(started.elapsed() < START_PATIENCE, "not packed beyond {minute}: {pieces:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
