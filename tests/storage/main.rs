//! What is stored of a fleet: snapshots, a journal that is compacted behind them, and backups that are restored elsewhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "what was measured is shown by --nocapture")]

#[path = "../healing/answers.rs"]
mod answers;
mod backups;
mod load;
mod snapshots;
#[path = "../store/mod.rs"]
mod store;

use async_nats::Client;
use bioxen_tests::{ask, assert_clean};
use serde_json::{Value, json};

/// First and last sequence of a stream, and how many messages it holds.
pub(crate) async fn stream(client: &Client, name: &str) -> (u64, u64, u64) {
    let info = ask(client, &format!("$JS.API.STREAM.INFO.{name}"), &Value::Null).await;
    let state = |field: &str| info["state"][field].as_u64().unwrap_or(0);
    (state("first_seq"), state("last_seq"), state("messages"))
}

/// The fleet takes commands: a VM is made, runs and is destroyed.
pub(crate) async fn assert_works(client: &Client, vm: &str) {
    let create = json!({ "biological_type": "syn3a", "auto_start": true, "wait_ms": 30_000 });
    let created = ask(client, &format!("bioxen.v1.cmd.dave.create.{vm}"), &create).await;
    assert_eq!(created["status"], "created", "{created}");
    let destroy = json!({ "wait_ms": 30_000 });
    let gone = ask(client, &format!("bioxen.v1.cmd.dave.destroy.{vm}"), &destroy).await;
    assert_eq!(gone["state"], "destroyed", "{gone}");
}
