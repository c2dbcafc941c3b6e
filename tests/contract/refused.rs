//! What goes wrong on a pool is told in words, with the code of a pool's errors, and hurts nobody else.

use std::time::{Duration, Instant};

use bioxen_tests::vms::{reach, status_until};
use bioxen_tests::{ask, cells::subject};
use bioxen_xapi_pool::Fault;
use serde_json::{Value, json};

use crate::guests::nothing_is_left;
use crate::place::Place;

type Case = (&'static str, fn() -> Fault, &'static str);

/// A VM, what goes wrong with it, and a part of how that is told.
const CASES: [Case; 5] = [
    ("host-key", || Fault::WrongHostKey, "host key"),
    (
        "full",
        || Fault::Fail {
            method: "VM.clone".to_owned(),
            code: "SR_FULL".to_owned(),
            params: vec!["1".to_owned(), "0".to_owned()],
        },
        "SR_FULL",
    ),
    (
        "memory",
        || Fault::Fail {
            method: "VM.start".to_owned(),
            code: "HOST_NOT_ENOUGH_FREE_MEMORY".to_owned(),
            params: vec!["2".to_owned(), "1".to_owned()],
        },
        "HOST_NOT_ENOUGH_FREE_MEMORY",
    ),
    (
        "long",
        || Fault::Fail {
            method: "VM.start".to_owned(),
            code: "SR_BACKEND_FAILURE_47".to_owned(),
            params: vec!["all of a driver's last words\n".repeat(3_000); 3],
        },
        "SR_BACKEND_FAILURE_47",
    ),
    ("no-address", || Fault::NoAddress, "showed no address"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_on_a_pool_is_told_and_leaves_nothing_and_others_go_on() {
    let Some(place) = Place::xcpng_with("vm_creation_timeout = 20\n").await else { return };
    let client = &place.client;
    place.create("other", json!({ "biological_type": "syn3a", "auto_start": true })).await;
    status_until(client, "other", |status| status["health_status"] == "healthy").await;
    for (vm, fault, words) in CASES {
        let pool = place.pool.as_ref().expect("a pool");
        pool.inject(fault(), 1);
        let begun = Instant::now();
        place.create(vm, json!({ "biological_type": "syn3a", "auto_start": true })).await;
        let failed = status_until(client, vm, |status| status["state"] == "failed").await;
        assert!(begun.elapsed() < Duration::from_secs(50), "{vm} took {:?}", begun.elapsed());
        let told = failed["reason"].as_str().unwrap_or_default();
        assert!(told.starts_with("BX018: pool lab: ") && told.contains(words), "{vm}: {failed}");
        let before = ask(client, &subject("status", "other"), &Value::Null).await;
        let beyond = |now: &Value| now["simulated_minutes"].as_f64() > before["simulated_minutes"].as_f64();
        status_until(client, "other", beyond).await;
        pool.clear_faults();
        reach(client, "destroy", vm, "destroyed").await;
    }
    reach(client, "destroy", "other", "destroyed").await;
    nothing_is_left(&place).await;
    place.ends().await;
}
