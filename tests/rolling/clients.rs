//! What clients do while everything is restarted. Each asks for the next thing only once the one before was answered.

use std::collections::BTreeMap;

use bioxen_tests::cells::minutes_of;
use bioxen_tests::load::Caller;
use serde_json::{Value, json};

/// VMs that go through all that a VM can; how many were made.
pub(crate) async fn by_request(mut caller: Caller) -> (Caller, u64) {
    let mut number = 0;
    while caller.goes_on() {
        let vm = format!("v{number}");
        let starts = number % 2 == 0;
        let create = json!({ "biological_type": "syn3a", "auto_start": starts, "pace": 600,
            "allocation": { "ribosomes": 5 } });
        caller.send("create", &vm, create).await;
        if !starts {
            caller.reach("start", &vm, "running").await;
        }
        caller.send("allocate", &vm, json!({ "ribosomes": 3 + number % 8 })).await;
        caller.reach("pause", &vm, "paused").await;
        let status = caller.ask("status", &vm, &json!({})).await;
        assert_eq!(status.map(|status| status["state"].clone()), Some("paused".into()));
        let code = json!({ "process_code": "return cell.time()" });
        let ended = caller.send("execute", &vm, code).await;
        assert_eq!(ended.map(|ended| ended["status"].clone()), Some("completed".into()));
        caller.reach("resume", &vm, "running").await;
        caller.send("checkpoint", &vm, json!({})).await;
        if number % 3 == 0 {
            caller.reach("stop", &vm, "stopped").await;
            caller.reach("start", &vm, "running").await;
        }
        caller.reach("destroy", &vm, "destroyed").await;
        number += 1;
    }
    (caller, number)
}

/// The same by the durable door, as far as a next step does not need a state; how many were made.
pub(crate) async fn by_submit(mut caller: Caller) -> (Caller, u64) {
    let mut events = caller.events().await;
    let mut number = 0;
    while caller.goes_on() {
        let vm = format!("v{number}");
        for (verb, body) in [
            ("create", json!({ "biological_type": "ecoli", "auto_start": true })),
            ("allocate", json!({ "ribosomes": 5 + number % 9 })),
            ("pause", json!({})),
            ("destroy", json!({})),
        ] {
            caller.submit(&mut events, verb, &vm, body).await;
        }
        number += 1;
    }
    (caller, number)
}

/// Looks at VMs that run: all the while they do, and their time never goes back. How often it looked.
pub(crate) async fn watch(mut caller: Caller, vms: Vec<String>) -> (Caller, u64) {
    let mut seen: BTreeMap<&String, (f64, Value)> = BTreeMap::new();
    let mut looks = 0;
    while caller.goes_on() {
        for vm in &vms {
            let status = caller.ask("status", vm, &json!({})).await.expect("a status");
            assert_eq!(status["state"], "running", "{status}");
            let minutes = minutes_of(&status);
            if let Some((before, told)) = seen.insert(vm, (minutes, status.clone())) {
                assert!(minutes >= before, "time went back, from {told} to {status}");
            }
            looks += 1;
        }
    }
    (caller, looks)
}
