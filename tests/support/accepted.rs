//! Asking a fleet that may be without a leader: until it answers, and how soon it takes commands again.

use std::time::{Duration, Instant};

use async_nats::{Client, Request};
use serde_json::{Value, json};

use crate::{START_PATIENCE, code, payload};

/// A fleet without a leader holds commands for 5 s; who hears nothing by then asks again.
const PATIENCE: Duration = Duration::from_secs(8);

/// When the first command is accepted of those that are sent from now on, one every 20 ms.
pub async fn first_accepted(client: &Client) -> Instant {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let mut probes = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let client = client.clone();
                probes.spawn(async move {
                    let body = json!({ "max_vms": 10 }).to_string();
                    let request = Request::new().payload(body.into()).timeout(Some(PATIENCE));
                    let answer = client.send_request("bioxen.v1.ops.prober.quota.prober", request).await.ok()?;
                    let answer: Value = serde_json::from_slice(&answer.payload).ok()?;
                    code(&answer).is_empty().then(Instant::now)
                });
            }
            Some(probed) = probes.join_next() => {
                if let Some(at) = probed.expect("a probe does not panic") {
                    return at;
                }
            }
        }
    }
}

/// Asks once; None where no answer comes in time.
pub async fn try_to_ask(client: &Client, subject: &str, body: &Value) -> Option<Value> {
    let request = Request::new().payload(payload(body).into()).timeout(Some(PATIENCE));
    let message = client.send_request(subject.to_owned(), request).await.ok()?;
    serde_json::from_slice(&message.payload).ok()
}

/// Asks until there is an answer that is none that says to ask again, and that is as expected.
pub async fn ask_again(
    client: &Client,
    subject: &str,
    body: &Value,
    expected: impl Fn(&Value) -> bool,
) -> Value {
    let started = Instant::now();
    loop {
        match try_to_ask(client, subject, body).await {
            Some(answer) if code(&answer) != "BX014" && expected(&answer) => return answer,
            other => assert!(started.elapsed() < START_PATIENCE, "{subject}: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
