//! Cordon and drain: placement passes such workers over, and their VMs leave while users see them run.

use bioxen_tests::fold::assert_both_content;
use bioxen_tests::vms::{done, events_with, is_at, names, reach, tell};
use bioxen_tests::{ask_until, code};
use serde_json::{Value, json};

use crate::support::{fleet, operate, start_worker};

const VMS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_worker_is_emptied_and_stays_so_until_it_is_uncordoned() {
    let mut fleet = fleet(&["w1"]);
    let client = fleet.connect().await;
    let names_of: Vec<String> = (0..VMS).map(|number| format!("c{number}")).collect();
    for vm in &names_of {
        done(&client, "create", vm, json!({ "biological_type": "syn3a", "auto_start": true })).await;
    }
    reach(&client, "pause", "c3", "paused").await;
    start_worker(&mut fleet, "w2");
    let answer = operate(&client, "drain.w1", Value::Null).await;
    assert_eq!(code(&answer), "", "{answer}");
    let is_empty = |answer: &Value| {
        let w1 = &answer["workers"][0];
        w1["worker"] == "w1" && w1["draining"] == true && w1["vms"] == 0 && w1["leaving"] == 0
    };
    ask_until(&client, "bioxen.v1.ops.root.workers", &Value::Null, is_empty).await;
    for vm in &names_of {
        is_at(&client, vm, "w2").await;
        let status = tell(&client, "status", vm, Value::Null).await;
        assert_eq!(status["state"], if vm == "c3" { "paused" } else { "running" }, "{status}");
    }
    let events = events_with(&client, "c0", "moved").await;
    assert!(names(&events).ends_with(&["running", "moved"]), "{events:?}");
    // A new process of that name is cordoned still.
    fleet.stop_worker("w1");
    start_worker(&mut fleet, "w1");
    operate(&client, "cordon.w2", Value::Null).await;
    done(&client, "create", "new", json!({ "biological_type": "syn3a" })).await;
    let refused = tell(&client, "start", "new", Value::Null).await;
    assert_eq!(code(&refused), "BX013", "{refused}");
    assert!(
        refused["error"]["message"].as_str().is_some_and(|said| said.contains("w1 is cordoned")),
        "{refused}"
    );
    operate(&client, "uncordon.w1", Value::Null).await;
    reach(&client, "start", "new", "running").await;
    is_at(&client, "new", "w1").await;
    assert_both_content(&fleet, &client).await;
}
