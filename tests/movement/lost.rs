//! Workers that are killed: others take over what they had, and it ends as if nothing had been.

use bioxen_tests::fold::assert_both_content;
use bioxen_tests::vms::{completes, digest, done, events_with, is_at, names, reach, rows, status_until};
use bioxen_tests::{code, metric, metrics};
use serde_json::{Value, json};

use crate::support::{fleet, operate, start_worker};

fn body(more: Value) -> Value {
    let mut body = json!({ "biological_type": "syn3a", "seed": 5, "auto_start": true, "pace": 600,
        "horizon_minutes": 120,
        "schedule": [{ "at_minute": 30, "allocation": { "ribosomes": 6 } },
                     { "at_minute": 60, "call": "add_drug('chloramphenicol', 3)" }] });
    if let (Value::Object(fields), Value::Object(more)) = (&mut body, more) {
        fields.extend(more);
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vms_of_a_killed_worker_go_on_elsewhere_by_themselves() {
    // The other one is there already, and takes nobody in yet: the VMs end soon, and a process is slow to start.
    let mut fleet = fleet(&["w1", "w2"]);
    let client = fleet.connect().await;
    let cordoned = operate(&client, "cordon.w2", Value::Null).await;
    assert_eq!(code(&cordoned), "", "{cordoned}");
    let records = json!({ "record": { "variables": ["atp", "protein_total"], "every_minutes": 1 } });
    let mut straight = records.clone();
    straight["pace"] = json!("max");
    done(&client, "create", "straight", body(straight)).await;
    completes(&client, "straight").await;
    done(&client, "create", "runs", body(json!({}))).await;
    done(&client, "create", "records", body(records)).await;
    done(&client, "create", "paused", body(json!({}))).await;
    status_until(&client, "paused", |status| status["simulated_minutes"].as_f64() > Some(11.0)).await;
    reach(&client, "pause", "paused", "paused").await;
    done(
        &client,
        "create",
        "stands",
        json!({ "biological_type": "syn3a", "auto_start": true, "pace": 0.001 }),
    )
    .await;
    is_at(&client, "stands", "w1").await;
    let uncordoned = operate(&client, "uncordon.w2", Value::Null).await;
    assert_eq!(code(&uncordoned), "", "{uncordoned}");
    let killed = std::time::Instant::now();
    fleet.kill_worker("w1");
    for vm in ["runs", "records", "paused", "stands"] {
        is_at(&client, vm, "w2").await;
    }
    let page = metrics(&fleet.coordinator_http());
    assert_eq!(metric(&page, "bioxen_replacements_total"), 4.0, "{page}");
    println!("all of them were elsewhere {:.2} s after the kill", killed.elapsed().as_secs_f64());
    reach(&client, "resume", "paused", "running").await;
    for vm in ["runs", "records", "paused"] {
        completes(&client, vm).await;
        assert_eq!(digest(&client, vm).await, digest(&client, "straight").await, "{vm}");
    }
    assert_eq!(rows(&client, "records").await, rows(&client, "straight").await);
    let events = events_with(&client, "stands", "moved").await;
    let told = names(&events);
    let at = told.iter().position(|name| *name == "unknown").expect("unknown");
    assert_eq!(told[at..], ["unknown", "moved", "running"], "{told:?}");
    let reason = events[at + 1]["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("from worker w1, which is lost, to worker w2: "), "{reason}");
    assert!(reason.contains("computed again"), "{reason}");
    assert_both_content(&fleet, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_starts_again_under_its_name_takes_its_vms_up() {
    let mut fleet = fleet(&["w1"]);
    let client = fleet.connect().await;
    done(&client, "create", "c1", body(json!({}))).await;
    is_at(&client, "c1", "w1").await;
    fleet.kill_worker("w1");
    start_worker(&mut fleet, "w1");
    completes(&client, "c1").await;
    done(&client, "create", "straight", body(json!({ "pace": "max" }))).await;
    completes(&client, "straight").await;
    assert_eq!(digest(&client, "c1").await, digest(&client, "straight").await);
    assert_both_content(&fleet, &client).await;
}
