//! Packages and crashes: what was answered stays, at the minute at which it took effect.

use bioxen_tests::cells::{Vm, is_clean, subject};
use bioxen_tests::{Options, TestFleet, ask, ask_until, roomy_worker};
use serde_json::{Value, json};

use super::{burden, install, publish, took_effect, unlimited};

const MINUTES: f64 = 400.0;

/// Two VMs with a package each; every process is killed; one goes on from its checkpoint, the other from minute 0.
#[tokio::test(flavor = "multi_thread")]
async fn kills_of_every_process_leave_no_trace_in_the_trajectory_of_a_cell_with_packages() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    publish(&client, &burden("first", 40.0)).await;
    publish(&client, &burden("second", 60.0)).await;
    let mut vms = Vec::new();
    for name in ["saved", "replayed"] {
        let more = json!({ "auto_start": true, "pace": 600, "horizon_minutes": MINUTES });
        vms.push(Vm::create(&client, name.to_owned(), unlimited(), more).await);
        let installed = install(&client, name, "first@1.0.0").await;
        assert_eq!(installed["load"], 40.0, "{installed}");
    }
    fleet.kill_coordinator();
    fleet.start_coordinator();
    let mut loads = Vec::new();
    for vm in &vms {
        let first = took_effect(&client, &vm.name, "first@1.0.0").await;
        let installed = install(&client, &vm.name, "second@1.0.0").await;
        assert_eq!(installed["load"], 60.0, "{installed}");
        loads.push((first, took_effect(&client, &vm.name, "second@1.0.0").await));
    }
    for (vm, (first, second)) in vms.iter_mut().zip(loads) {
        vm.spec.changes = vec![(first, "wp", 40.0), (second, "wp", 100.0)];
    }
    let wait = json!({ "wait_ms": 30_000 });
    let stopped = ask(&client, &subject("stop", "saved"), &wait).await;
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    fleet.kill_worker("w1");
    let stopped = ask(&client, &subject("stop", "replayed"), &wait).await;
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    let (name, table) = roomy_worker("w2");
    fleet.start_worker(&name, &table);
    for vm in &vms {
        let started = ask(&client, &subject("start", &vm.name), &wait).await;
        assert_eq!(started["state"], "running", "{started}");
    }
    fleet.kill_coordinator();
    fleet.start_coordinator();
    for vm in &vms {
        vm.completes().await;
        assert_eq!(vm.agrees().await, MINUTES, "{}", vm.name);
        let two = |status: &Value| status["packages"].as_array().is_some_and(|packages| packages.len() == 2);
        ask_until(&client, &subject("status", &vm.name), &Value::Null, two).await;
    }
    is_clean(&fleet).await;
}
