//! A cell that changes what it runs on is the same cell.

use bioxen_tests::vms::{completes, digest, done, reach, status_until};
use bioxen_tests::{ask, cells::subject};
use serde_json::{Value, json};

use crate::place::Place;

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_went_into_a_guest_and_back_ends_as_one_that_stayed() {
    let Some(mut place) = Place::xcpng().await else { return };
    place.fleet.start_worker("w1", "max_vms = 100\ntotal_ribosomes = 20000\n");
    let client = place.client.clone();
    let body = json!({ "biological_type": "syn3a", "engine": "stochastic", "seed": 5, "auto_start": true,
                       "pace": 6_000, "horizon_minutes": 120 });
    for vm in ["stays", "moves"] {
        done(&client, "create", vm, body.clone()).await;
    }
    let guest = json!({ "vm_type": "xcpng", "xcpng_config": { "pool": "lab" } });
    for (beyond, to) in [(10.0, guest), (40.0, json!({ "vm_type": "basic" }))] {
        status_until(&client, "moves", |status| status["simulated_minutes"].as_f64() > Some(beyond)).await;
        reach(&client, "stop", "moves", "stopped").await;
        let kept = done(&client, "checkpoint", "moves", Value::Null).await;
        let mut restore = to.clone();
        restore["checkpoint_id"] = kept["checkpoint_id"].clone();
        done(&client, "restore", "moves", restore).await;
        done(&client, "start", "moves", json!({ "wait_ms": 30_000 })).await;
        let status = ask(&client, &subject("status", "moves"), &Value::Null).await;
        let worker = if to["vm_type"] == "basic" { "w1" } else { "x1" };
        assert_eq!(status["worker"], worker, "{status}");
    }
    completes(&client, "stays").await;
    completes(&client, "moves").await;
    assert_eq!(digest(&client, "moves").await, digest(&client, "stays").await);
    place.ends().await;
}
