//! Answers that are lost and workers that are killed, at any step: one guest for each VM, and none for nobody.
//!
//! BIOXEN_XCPNG_ROUNDS says how many rounds; the long run is `make xcpng`.

use std::time::Duration;

use bioxen_tests::Random;
use bioxen_tests::vms::{reach, status_until, tell};
use bioxen_xapi_pool::Fault;
use serde_json::{Value, json};

use crate::guests::{nothing_is_left, one_is_left, powers};
use crate::place::Place;

const ROUNDS: u64 = 4;
/// Beyond what creating or destroying a guest takes here.
const WITHIN_MS: u64 = 900;

fn rounds() -> u64 {
    std::env::var("BIOXEN_XCPNG_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_after_clone_or_start_makes_no_second_guest() {
    let Some(mut place) = Place::xcpng().await else { return };
    place.was_disturbed = true;
    for round in 0..rounds() {
        let method = if round.is_multiple_of(2) { "VM.clone" } else { "VM.start" };
        let pool = place.pool.as_ref().expect("a pool");
        pool.inject(Fault::LoseAnswer { method: method.to_owned() }, 1);
        let vm = format!("lost{round}");
        place.create(&vm, json!({ "biological_type": "syn3a", "auto_start": true })).await;
        status_until(&place.client, &vm, |status| status["health_status"] == "healthy").await;
        assert_eq!(powers(&place).expect("a pool"), ["Running"], "round {round}, {method}");
        assert_eq!(pool.faults_left(), 0, "{method} was answered");
        reach(&place.client, "destroy", &vm, "destroyed").await;
    }
    nothing_is_left(&place).await;
    place.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_while_it_creates_or_destroys_leaves_one_guest_or_none() {
    let Some(mut place) = Place::xcpng().await else { return };
    let mut random = Random::from_environment();
    for round in 0..rounds() {
        let vm = format!("killed{round}");
        place.create(&vm, json!({ "biological_type": "syn3a", "auto_start": true })).await;
        restart_after(&mut place, random.below(WITHIN_MS)).await;
        let decided = |status: &Value| matches!(status["state"].as_str(), Some("running" | "failed"));
        let now = status_until(&place.client, &vm, decided).await;
        assert_eq!(now["state"], "running", "round {round}: {now}");
        // What the killed worker had begun and not finished is for the collection.
        one_is_left(&place).await;
        let asked = tell(&place.client, "destroy", &vm, json!({ "wait_ms": 0 })).await;
        assert!(asked["error"].is_null(), "{asked}");
        restart_after(&mut place, random.below(WITHIN_MS)).await;
        let gone = |status: &Value| matches!(status["state"].as_str(), Some("destroyed") | None);
        status_until(&place.client, &vm, gone).await;
        nothing_is_left(&place).await;
    }
    place.ends().await;
}

/// Kills the worker at some moment, which is what the test is about, and starts it again.
async fn restart_after(place: &mut Place, wait_ms: u64) {
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    let table = std::fs::read_to_string(place.fleet.folder().join("x1.toml")).expect("the worker's file");
    let table = table.strip_prefix("[worker]\n").expect("a worker's section").to_owned();
    place.was_disturbed = true;
    place.fleet.kill_worker("x1");
    place.fleet.start_worker("x1", &table);
}
