//! Workers that are killed or stopped: their VMs go on from what was packed, and end as if nothing had been.

use bioxen_tests::fold::assert_both_content;
use bioxen_tests::vms::{completes, digest, done, packing_worker, reach, status_until};
use serde_json::{Value, json};

use crate::support::{fleet, last_event, packed, packed_beyond};

/// At pace 600 longer than it takes to see what was packed, on a busy machine too.
const HORIZON: u64 = 180;

fn body(more: Value) -> Value {
    let mut body = json!({ "biological_type": "syn3a", "seed": 5, "auto_start": true, "pace": 600,
        "horizon_minutes": HORIZON });
    if let (Value::Object(fields), Value::Object(more)) = (&mut body, more) {
        fields.extend(more);
    }
    body
}

/// The minute at which the event `starting` says that the VM goes on.
async fn goes_on_from(client: &async_nats::Client, vm: &str) -> f64 {
    let begun = std::time::Instant::now();
    let mut event = last_event(client, vm, "starting").await;
    // Events come a moment after the answer.
    while event["reason"].is_null() {
        assert!(begun.elapsed() < bioxen_tests::START_PATIENCE, "no reason: {event}");
        event = last_event(client, vm, "starting").await;
    }
    let reason = event["reason"].as_str().expect("a reason").to_owned();
    let minute = reason.split_once("from minute ").and_then(|(_, rest)| rest.split_once(','));
    minute.and_then(|(minute, _)| minute.parse().ok()).unwrap_or_else(|| panic!("no minute: {event}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn vms_of_a_worker_that_was_killed_go_on_from_what_it_had_packed() {
    let mut fleet = fleet(vec![packing_worker("w1", 2)]);
    let client = fleet.connect().await;
    done(&client, "create", "straight", body(json!({ "pace": "max" }))).await;
    completes(&client, "straight").await;
    for vm in ["stopped", "destroyed", "untouched"] {
        done(&client, "create", vm, body(json!({}))).await;
    }
    packed_beyond(&client, &["stopped", "destroyed", "untouched"], 5.0).await;
    fleet.kill_worker("w1");
    // Another coordinator looks for it as well.
    fleet.kill_coordinator();
    fleet.start_coordinator();
    for vm in ["stopped", "destroyed", "untouched"] {
        status_until(&client, vm, |status| status["state"] == "unknown").await;
    }
    reach(&client, "stop", "stopped", "stopped").await;
    reach(&client, "destroy", "destroyed", "destroyed").await;
    let (name, table) = packing_worker("w2", 1);
    fleet.start_worker(&name, &table);
    reach(&client, "start", "stopped", "running").await;
    let minute = goes_on_from(&client, "stopped").await;
    assert!(minute > 5.0, "it went on from minute {minute}");
    // The one that nobody touched goes on by itself as soon as there is room.
    for vm in ["stopped", "untouched"] {
        completes(&client, vm).await;
        assert_eq!(digest(&client, vm).await, digest(&client, "straight").await, "{vm}");
    }
    assert_both_content(&fleet, &client).await;
    is_cleared(&client, "destroyed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_packs_what_its_cells_have_come_to() {
    let mut fleet = fleet(Vec::new());
    let client = fleet.connect().await;
    // Only the end packs.
    let table = "checkpoint_interval_seconds = 3600\n";
    fleet.start_worker("w1", table);
    done(&client, "create", "c1", body(json!({}))).await;
    status_until(&client, "c1", |status| status["simulated_minutes"].as_f64() > Some(7.0)).await;
    reach(&client, "pause", "c1", "paused").await;
    let paused = done(&client, "checkpoint", "c1", Value::Null).await;
    fleet.stop_worker("w1");
    status_until(&client, "c1", |status| status["state"] == "unknown").await;
    reach(&client, "stop", "c1", "stopped").await;
    let stopped = done(&client, "checkpoint", "c1", Value::Null).await;
    assert_eq!(stopped["digest"], paused["digest"], "nothing was lost");
    fleet.start_worker("w1", table);
    reach(&client, "start", "c1", "running").await;
    let minute = goes_on_from(&client, "c1").await;
    assert_eq!(json!(minute), paused["simulated_minutes"]);
    assert_both_content(&fleet, &client).await;
}

/// Once no VM needs it, what a lost worker packed is cleared away.
async fn is_cleared(client: &async_nats::Client, vm: &str) {
    let started = std::time::Instant::now();
    while packed(client).await.iter().any(|(of, _)| of == vm) {
        assert!(started.elapsed() < bioxen_tests::START_PATIENCE, "{vm} is still packed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
