//! What tests say of VMs of one user, [`USER`], on a fleet whose limits are wide.

use std::time::Instant;

use async_nats::Client;
use serde_json::{Value, json};

pub use crate::cells::{USER, subject};
use crate::{START_PATIENCE, ask, ask_until, code};

/// Limits that a test of something else never meets.
pub const WIDE: &str = "global_atp_limit = 100000\nglobal_ribosome_limit = 50000\nmax_concurrent_vms = 1000\n\
                        max_vms_per_user = 500\n";

/// A worker that packs each second.
pub fn packing_worker(name: &str, threads: usize) -> (String, String) {
    let table = format!(
        "max_vms = 1000\ntotal_ribosomes = 20000\nthreads = {threads}\ncheckpoint_interval_seconds = 1\n"
    );
    (name.to_owned(), table)
}

pub async fn tell(client: &Client, verb: &str, vm: &str, body: Value) -> Value {
    ask(client, &subject(verb, vm), &body).await
}

/// The same, and it must be accepted.
pub async fn done(client: &Client, verb: &str, vm: &str, body: Value) -> Value {
    let answer = tell(client, verb, vm, body).await;
    assert_eq!(code(&answer), "", "{verb} of {vm}: {answer}");
    answer
}

/// Asks for a state and waits until it is reached.
pub async fn reach(client: &Client, verb: &str, vm: &str, state: &str) {
    let answer = tell(client, verb, vm, json!({ "wait_ms": 30_000 })).await;
    assert_eq!(answer["state"], state, "{verb} of {vm}: {answer}");
}

pub async fn status_until(client: &Client, vm: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    ask_until(client, &subject("status", vm), &Value::Null, wanted).await
}

/// Waits until its worker says that it has the VM.
pub async fn is_at(client: &Client, vm: &str, worker: &str) {
    let is_there = |status: &Value| status["worker"] == worker && status["health_status"] == "healthy";
    status_until(client, vm, is_there).await;
}

pub async fn completes(client: &Client, vm: &str) {
    let ended = |status: &Value| matches!(status["state"].as_str(), Some("stopped" | "failed"));
    let status = status_until(client, vm, ended).await;
    assert_eq!(status["reason"], "completed", "{status}");
}

/// The digest of the cell as it stands, at rest.
pub async fn digest(client: &Client, vm: &str) -> String {
    let taken = done(client, "checkpoint", vm, Value::Null).await;
    taken["digest"].as_str().expect("a digest").to_owned()
}

/// Everything that it recorded, as CSV.
pub async fn rows(client: &Client, vm: &str) -> String {
    let answer = done(client, "results", vm, json!({ "format": "csv", "limit": 10_000 })).await;
    assert_eq!(answer["next"], Value::Null, "{answer}");
    answer["data"].as_str().expect("text").to_owned()
}

/// The user's events of one VM, once one of that name is among them.
pub async fn events_with(client: &Client, vm: &str, name: &str) -> Vec<Value> {
    let subject = format!("bioxen.v1.cmd.{USER}.events");
    let started = Instant::now();
    let (mut found, mut since) = (Vec::new(), 0);
    while !names(&found).contains(&name) || since > 0 {
        let answer = ask(client, &subject, &json!({ "limit": 1000, "since": since })).await;
        let page = answer["events"].as_array().cloned().unwrap_or_default();
        let last = page.last().and_then(|event| event["index"].as_u64());
        found.extend(page.into_iter().filter(|event| event["vm_id"] == vm));
        match last {
            Some(index) => since = index,
            None if names(&found).contains(&name) => break,
            None => assert!(started.elapsed() < START_PATIENCE, "no event {name} of {vm}: {found:?}"),
        }
    }
    found
}

pub fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event"].as_str()).collect()
}
