//! What these tests ask of a fleet, and how they look at what workers packed.

use std::process::Output;
use std::time::{Duration, Instant};

use async_nats::{Client, jetstream};
use bioxen_protocol::packed::{CHECKPOINTS_BUCKET, Pieces};
use bioxen_tests::{Options, START_PATIENCE, TestFleet, ask, ask_until, code, python, verify};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

pub(crate) const USER: &str = "alice";

/// A worker that packs each second.
pub(crate) fn worker(name: &str, threads: usize) -> (String, String) {
    let table = format!(
        "max_vms = 1000\ntotal_ribosomes = 20000\nthreads = {threads}\ncheckpoint_interval_seconds = 1\n"
    );
    (name.to_owned(), table)
}

pub(crate) fn fleet(workers: Vec<(String, String)>) -> TestFleet {
    let resources = "global_atp_limit = 100000\nglobal_ribosome_limit = 50000\nmax_concurrent_vms = 1000\n\
                     max_vms_per_user = 500\n";
    TestFleet::start(&Options { resources: resources.to_owned(), workers })
}

pub(crate) async fn tell(client: &Client, verb: &str, vm: &str, body: Value) -> Value {
    ask(client, &subject(verb, vm), &body).await
}

/// The same, and it must be accepted.
pub(crate) async fn done(client: &Client, verb: &str, vm: &str, body: Value) -> Value {
    let answer = tell(client, verb, vm, body).await;
    assert_eq!(code(&answer), "", "{verb} of {vm}: {answer}");
    answer
}

pub(crate) async fn reach(client: &Client, verb: &str, vm: &str, state: &str) {
    let answer = tell(client, verb, vm, json!({ "wait_ms": 30_000 })).await;
    assert_eq!(answer["state"], state, "{verb} of {vm}: {answer}");
}

pub(crate) async fn status_until(client: &Client, vm: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    ask_until(client, &subject("status", vm), &Value::Null, wanted).await
}

pub(crate) async fn completes(client: &Client, vm: &str) {
    let status =
        status_until(client, vm, |status| matches!(status["state"].as_str(), Some("stopped" | "failed")))
            .await;
    assert_eq!(status["reason"], "completed", "{status}");
}

/// The digest of the cell as it stands, at rest.
pub(crate) async fn digest(client: &Client, vm: &str) -> String {
    let taken = done(client, "checkpoint", vm, Value::Null).await;
    taken["digest"].as_str().expect("a digest").to_owned()
}

pub(crate) async fn rows(client: &Client, vm: &str) -> String {
    let answer = done(client, "results", vm, json!({ "format": "csv", "limit": 10_000 })).await;
    assert_eq!(answer["next"], Value::Null, "{answer}");
    answer["data"].as_str().expect("text").to_owned()
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

fn subject(verb: &str, vm: &str) -> String {
    format!("bioxen.v1.cmd.{USER}.{verb}.{vm}")
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

pub(crate) async fn is_clean(fleet: &TestFleet, client: &Client) {
    let verified = verify(client).await;
    assert_eq!(verified["clean"], true, "{verified}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/second_fold.py");
    let Output { status, stdout, stderr } =
        python().args([script, &fleet.url()]).output().expect("python runs");
    let (said, wrote) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{said}\n{wrote}");
}
