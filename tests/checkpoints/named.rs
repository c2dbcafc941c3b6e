//! The verbs `checkpoint` and `restore`.

use bioxen_tests::code;
use bioxen_tests::fold::assert_both_content;
use bioxen_tests::vms::{completes, digest, done, packing_worker, reach, rows, status_until, tell};
use serde_json::{Value, json};

use crate::support::fleet;

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_restored_to_a_checkpoint_goes_the_same_way_again() {
    let mut fleet = fleet(vec![packing_worker("w1", 2)]);
    let client = fleet.connect().await;
    let body = json!({ "biological_type": "syn3a", "auto_start": true, "pace": 600, "request_id": "make" });
    done(&client, "create", "c1", body).await;
    status_until(&client, "c1", |status| status["simulated_minutes"].as_f64() > Some(3.0)).await;
    let first = done(&client, "checkpoint", "c1", json!({ "request_id": "first" })).await;
    let minute = first["simulated_minutes"].as_f64().expect("a minute");
    assert!(minute > 3.0, "{first}");
    assert_eq!(done(&client, "checkpoint", "c1", json!({ "request_id": "first" })).await, first);
    done(&client, "allocate", "c1", json!({ "atp_percentage": 20, "ribosomes": 3 })).await;
    status_until(&client, "c1", |status| status["simulated_minutes"].as_f64() > Some(minute + 5.0)).await;
    let later = done(&client, "checkpoint", "c1", Value::Null).await;
    assert_ne!(later["digest"], first["digest"]);
    let refused = tell(&client, "restore", "c1", json!({ "checkpoint_id": first["checkpoint_id"] })).await;
    assert_eq!(code(&refused), "BX006", "{refused}");
    reach(&client, "stop", "c1", "stopped").await;
    fleet.kill_coordinator();
    fleet.start_coordinator();
    let restore = json!({ "checkpoint_id": first["checkpoint_id"], "request_id": "back" });
    let restored = done(&client, "restore", "c1", restore.clone()).await;
    assert_eq!(restored["simulated_minutes"], first["simulated_minutes"]);
    assert_eq!(restored["allocation"]["ribosomes"], 10, "the allocation that held then: {restored}");
    assert_eq!(done(&client, "restore", "c1", restore).await, restored);
    assert_eq!(digest(&client, "c1").await, first["digest"]);
    let status = status_until(&client, "c1", |status| status["state"] == "stopped").await;
    assert_eq!(status["simulated_minutes"], first["simulated_minutes"]);
    assert_eq!(status["checkpoints"].as_array().map(Vec::len), Some(3), "{status}");
    // Without the change that came after the checkpoint: as if it had never been.
    for (vm, more) in [
        ("c1", json!({})),
        ("straight", json!({ "biological_type": "syn3a", "horizon_minutes": 60, "auto_start": true })),
    ] {
        let verb = if vm == "c1" { "start" } else { "create" };
        let more = if vm == "c1" { json!({ "horizon_minutes": 60 }) } else { more };
        done(&client, verb, vm, more).await;
    }
    completes(&client, "c1").await;
    completes(&client, "straight").await;
    assert_eq!(digest(&client, "c1").await, digest(&client, "straight").await);
    assert_both_content(&fleet, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_after_a_checkpoint_is_gone_with_a_restore() {
    let fleet = fleet(vec![packing_worker("w1", 1)]);
    let client = fleet.connect().await;
    let record = json!({ "variables": ["atp", "growth_rate_per_min"], "every_minutes": 1 });
    let body =
        json!({ "biological_type": "ecoli", "auto_start": true, "horizon_minutes": 10, "record": record });
    done(&client, "create", "c1", body).await;
    completes(&client, "c1").await;
    let taken = done(&client, "checkpoint", "c1", Value::Null).await;
    done(&client, "start", "c1", json!({ "horizon_minutes": 25 })).await;
    completes(&client, "c1").await;
    let whole = rows(&client, "c1").await;
    assert_eq!(whole.lines().count(), 27, "{whole}");
    done(&client, "restore", "c1", json!({ "checkpoint_id": taken["checkpoint_id"] })).await;
    let cut = rows(&client, "c1").await;
    assert_eq!(cut.lines().count(), 12, "{cut}");
    assert!(whole.starts_with(&cut), "{cut}");
    done(&client, "start", "c1", json!({ "horizon_minutes": 25 })).await;
    completes(&client, "c1").await;
    assert_eq!(rows(&client, "c1").await, whole);
    assert_both_content(&fleet, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_keeps_its_newest_sixteen_and_says_what_it_cannot_do() {
    let fleet = fleet(vec![packing_worker("w1", 1)]);
    let client = fleet.connect().await;
    done(&client, "create", "c1", json!({ "biological_type": "minimal_cell" })).await;
    let refused = tell(&client, "checkpoint", "c1", Value::Null).await;
    assert_eq!((code(&refused), &refused["error"]["details"]["state"]), ("BX006", &json!("created")));
    done(&client, "start", "c1", json!({ "horizon_minutes": 5 })).await;
    completes(&client, "c1").await;
    let mut ids = Vec::new();
    for _ in 0..18 {
        let taken = done(&client, "checkpoint", "c1", Value::Null).await;
        ids.push(taken["checkpoint_id"].clone());
    }
    let status = status_until(&client, "c1", |_| true).await;
    let kept: Vec<Value> = status["checkpoints"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["checkpoint_id"].clone())
        .collect();
    assert_eq!(kept, ids[2..]);
    let gone = tell(&client, "restore", "c1", json!({ "checkpoint_id": ids[0] })).await;
    assert_eq!((code(&gone), &gone["error"]["details"]["field"]), ("BX008", &json!("checkpoint_id")));
    let none = tell(&client, "restore", "c1", json!({ "checkpoint_id": "first" })).await;
    assert_eq!(code(&none), "BX008", "{none}");
    reach(&client, "destroy", "c1", "destroyed").await;
    assert_both_content(&fleet, &client).await;
}
