//! What watches and schedules, on a real fleet: alerts, scheduled calls, recordings through process code, and the others'
//! progress beside hostile code.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

mod alerts;
mod calls;
mod hostile;
mod recording;

use async_nats::Client;
use bioxen_tests::{ask, ask_until};
use serde_json::{Value, json};

fn subject(user: &str, verb: &str, name: &str) -> String {
    format!("bioxen.v1.cmd.{user}.{verb}.{name}")
}

async fn completes(client: &Client, user: &str, vm: &str) -> Value {
    let ended = |now: &Value| matches!(now["state"].as_str(), Some("stopped" | "failed"));
    let status = ask_until(client, &subject(user, "status", vm), &Value::Null, ended).await;
    assert_eq!((&status["state"], &status["reason"]), (&json!("stopped"), &json!("completed")), "{status}");
    status
}

/// The user's events of one kind, once there are at least `count`.
async fn events(client: &Client, user: &str, kind: &str, count: usize) -> Vec<Value> {
    let of_kind = |answer: &Value| -> Vec<Value> {
        let all = answer["events"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|event| event["event"] == kind).collect()
    };
    let enough = |answer: &Value| of_kind(answer).len() >= count;
    let subject = format!("bioxen.v1.cmd.{user}.events");
    of_kind(&ask_until(client, &subject, &json!({ "limit": 1000 }), enough).await)
}

async fn create(client: &Client, user: &str, vm: &str, body: &Value) {
    let created = ask(client, &subject(user, "create", vm), body).await;
    assert_eq!(created["status"], "created", "{vm}: {created}");
}
