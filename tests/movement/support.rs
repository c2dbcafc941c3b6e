//! What these tests ask of a fleet whose VMs change their worker.

use async_nats::Client;
use bioxen_tests::vms::{WIDE, packing_worker};
use bioxen_tests::{Options, TestFleet, ask};
use serde_json::Value;

pub(crate) fn start_worker(fleet: &mut TestFleet, name: &str) {
    let (name, table) = packing_worker(name, 1);
    fleet.start_worker(&name, &table);
}

/// No VM moves by itself.
pub(crate) fn fleet(workers: &[&str]) -> TestFleet {
    let workers = workers.iter().map(|name| packing_worker(name, 1)).collect();
    TestFleet::start(&Options { resources: format!("{WIDE}rebalance = false\n"), workers })
}

pub(crate) async fn operate(client: &Client, verb_and_target: &str, body: Value) -> Value {
    ask(client, &format!("bioxen.v1.ops.root.{verb_and_target}"), &body).await
}
