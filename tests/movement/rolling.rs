//! A rolling restart of every worker under load: no command is refused, none is lost, and no VM is seen to be away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_nats::Client;
use bioxen_tests::code;
use serde_json::{Value, json};

use crate::support::{done, events_with, fleet, is_at, is_clean, names, start_worker, status_until, tell};

const WORKERS: [&str; 3] = ["w1", "w2", "w3"];
const VMS: usize = 9;

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_restarted_one_by_one_under_load_and_nothing_is_refused() {
    let mut fleet = fleet(&WORKERS);
    let client = fleet.connect().await;
    let vms: Vec<String> = (0..VMS).map(|number| format!("c{number}")).collect();
    for vm in &vms {
        done(&client, "create", vm, json!({ "biological_type": "syn3a", "auto_start": true, "pace": 600 }))
            .await;
        status_until(&client, vm, |status| status["health_status"] == "healthy").await;
    }
    let (ends, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = vms
        .iter()
        .map(|vm| tokio::spawn(load(client.clone(), vm.clone(), Arc::clone(&ends), Arc::clone(&served))))
        .collect();
    for name in WORKERS {
        let before = served.load(Ordering::Relaxed);
        fleet.stop_worker(name);
        start_worker(&mut fleet, name);
        // Some of the load falls between two restarts.
        while served.load(Ordering::Relaxed) < before + 3 * VMS {
            tokio::task::yield_now().await;
        }
    }
    ends.store(true, Ordering::Relaxed);
    for one in load {
        one.await.expect("no command was refused");
    }
    for vm in &vms {
        let status = status_until(&client, vm, |status| status["health_status"] == "healthy").await;
        assert_eq!(status["state"], "running", "{status}");
        let told = events_with(&client, vm, "moved").await;
        let told = names(&told);
        assert!(
            !told.iter().any(|name| matches!(*name, "unknown" | "rejected" | "failed")),
            "{vm}: {told:?}"
        );
    }
    is_clean(&fleet, &client).await;
}

/// Commands of one VM, one after the other, each of which must be accepted and take effect.
async fn load(client: Client, vm: String, ends: Arc<AtomicBool>, served: Arc<AtomicUsize>) {
    let mut number = 0_u64;
    let wait = json!({ "wait_ms": 30_000 });
    while !ends.load(Ordering::Relaxed) {
        number += 1;
        for (verb, body) in [
            ("allocate", json!({ "ribosomes": 3 + number % 8 })),
            ("pause", wait.clone()),
            ("execute", json!({ "process_code": "return cell.time()" })),
            ("resume", wait.clone()),
            ("checkpoint", Value::Null),
        ] {
            let answer = tell(&client, verb, &vm, body).await;
            assert_eq!(code(&answer), "", "{verb} of {vm}: {answer}");
            let reached = match verb {
                "pause" => "paused",
                "resume" => "running",
                _ => continue,
            };
            assert_eq!(answer["state"], reached, "{verb} of {vm}: {answer}");
        }
        served.fetch_add(1, Ordering::Relaxed);
    }
    let mut churn = format!("{vm}-more");
    churn.truncate(60);
    done(&client, "create", &churn, json!({ "biological_type": "syn3a", "auto_start": true })).await;
    let status = status_until(&client, &churn, |status| status["health_status"] == "healthy").await;
    is_at(&client, &churn, status["worker"].as_str().expect("a worker")).await;
}
