//! What these tests ask of a fleet.

use std::process::Output;
use std::time::Instant;

use async_nats::Client;
use bioxen_tests::{Options, START_PATIENCE, TestFleet, ask, ask_until, code, python, verify};
use serde_json::{Value, json};

pub(crate) const USER: &str = "alice";

/// A worker that packs each second.
pub(crate) fn worker(name: &str) -> (String, String) {
    let table = "max_vms = 1000\ntotal_ribosomes = 20000\nthreads = 1\ncheckpoint_interval_seconds = 1\n";
    (name.to_owned(), table.to_owned())
}

pub(crate) fn start_worker(fleet: &mut TestFleet, name: &str) {
    let (name, table) = worker(name);
    fleet.start_worker(&name, &table);
}

pub(crate) fn fleet(workers: &[&str]) -> TestFleet {
    let resources = "global_atp_limit = 100000\nglobal_ribosome_limit = 50000\nmax_concurrent_vms = 1000\n\
                     max_vms_per_user = 500\nrebalance = false\n";
    let workers = workers.iter().map(|name| worker(name)).collect();
    TestFleet::start(&Options { resources: resources.to_owned(), workers })
}

pub(crate) fn subject(verb: &str, vm: &str) -> String {
    format!("bioxen.v1.cmd.{USER}.{verb}.{vm}")
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

pub(crate) async fn operate(client: &Client, verb_and_target: &str, body: Value) -> Value {
    ask(client, &format!("bioxen.v1.ops.root.{verb_and_target}"), &body).await
}

/// Asks for a state and waits until it is reached.
pub(crate) async fn reach(client: &Client, verb: &str, vm: &str, state: &str) {
    let answer = tell(client, verb, vm, json!({ "wait_ms": 30_000 })).await;
    assert_eq!(answer["state"], state, "{verb} of {vm}: {answer}");
}

pub(crate) async fn status_until(client: &Client, vm: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    ask_until(client, &subject("status", vm), &Value::Null, wanted).await
}

/// Waits until its worker says that it has the VM.
pub(crate) async fn is_at(client: &Client, vm: &str, worker: &str) {
    let is_there = |status: &Value| status["worker"] == worker && status["health_status"] == "healthy";
    status_until(client, vm, is_there).await;
}

pub(crate) async fn completes(client: &Client, vm: &str) {
    let ended = |status: &Value| matches!(status["state"].as_str(), Some("stopped" | "failed"));
    let status = status_until(client, vm, ended).await;
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

/// The user's events of one VM, once one of that name is among them.
pub(crate) async fn events_with(client: &Client, vm: &str, name: &str) -> Vec<Value> {
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

pub(crate) fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event"].as_str()).collect()
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
