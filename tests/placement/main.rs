//! Where VMs go: how far workers are filled, why there is no room, who is started first, and what the loss of a worker
//! or of the coordinator means for those that run.

#![expect(clippy::expect_used, reason = "a test that is not answered as expected fails there and then")]

mod boots;
mod filling;
mod pools;

use async_nats::Client;
use bioxen_tests::{ask, ask_until};
use serde_json::{Value, json};

pub(crate) const USABLE: u64 = 68;

/// A worker of the default size but for its number of VMs.
pub(crate) fn small_worker(name: &str) -> (String, String) {
    (name.to_owned(), "max_vms = 16\ntotal_ribosomes = 80\n".to_owned())
}

pub(crate) fn command(user: &str, verb: &str, vm: &str) -> String {
    format!("bioxen.v1.cmd.{user}.{verb}.{vm}")
}

pub(crate) async fn workers(client: &Client) -> Vec<Value> {
    let told = ask(client, "bioxen.v1.ops.tester.workers", &Value::Null).await;
    told["workers"].as_array().expect("a list of workers").clone()
}

/// (units used, VMs) of each worker, by name; fails where one holds more than it may.
pub(crate) async fn filled(client: &Client) -> Vec<(u64, u64)> {
    let all = workers(client).await;
    let filled = all.iter().map(|worker| {
        let figure = |name: &str| worker[name].as_u64().expect("a whole number");
        let (used, usable) = (figure("ribosomes_used"), figure("ribosomes_usable"));
        assert!(used <= usable && figure("vms") <= figure("max_vms"), "{worker}");
        (used, figure("vms"))
    });
    filled.collect()
}

pub(crate) async fn status(client: &Client, user: &str, vm: &str) -> Value {
    ask(client, &command(user, "status", vm), &Value::Null).await
}

pub(crate) async fn reaches(client: &Client, user: &str, vm: &str, state: &str) -> Value {
    ask_until(client, &command(user, "status", vm), &Value::Null, |now| now["state"] == state).await
}

pub(crate) async fn destroy(client: &Client, user: &str, vm: &str) {
    let gone = ask(client, &command(user, "destroy", vm), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(gone["state"], "destroyed", "{gone}");
}

pub(crate) async fn assert_nothing_held(client: &Client) {
    let totals = ask(client, "bioxen.v1.cmd.tester.fleet", &Value::Null).await;
    let used = ["active_vms", "global_atp_used", "global_ribosomes_used", "queued"].map(|name| &totals[name]);
    assert!(used.iter().all(|amount| amount.as_f64() == Some(0.0)), "{totals}");
    for worker in workers(client).await {
        assert_eq!((&worker["vms"], &worker["ribosomes_used"]), (&json!(0), &json!(0)), "{worker}");
    }
}
