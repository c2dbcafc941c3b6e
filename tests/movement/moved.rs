//! Live moves: nothing is computed again, nothing comes out different, and what is asked meanwhile takes effect in order.

use async_nats::Client;
use bioxen_tests::cells::minutes_of;
use bioxen_tests::fold::assert_both_content;
use bioxen_tests::vms::{completes, digest, done, events_with, is_at, names, reach, rows, status_until};
use bioxen_tests::{code, metric, metrics};
use serde_json::{Value, json};

use crate::support::{fleet, operate};

const MOVES: usize = 20;

async fn move_to(client: &Client, vm: &str, to: &str) {
    let answer = operate(client, &format!("move.alice.{vm}"), json!({ "to": to })).await;
    assert_eq!(code(&answer), "", "{answer}");
}

fn target(number: usize) -> &'static str {
    if number.is_multiple_of(2) { "w2" } else { "w1" }
}

/// Where each VM is placed first is the fleet's choice.
async fn begins_at(client: &Client, vm: &str, worker: &str) {
    let status = status_until(client, vm, |status| status["health_status"] == "healthy").await;
    if status["worker"] != worker {
        move_to(client, vm, worker).await;
    }
    is_at(client, vm, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_moves_twenty_times_while_it_runs_ends_as_one_that_never_moved() {
    let mut fleet = fleet(&["w1", "w2"]);
    let client = fleet.connect().await;
    let body = |horizon_minutes: Value, pace: Value| {
        json!({ "biological_type": "syn3a", "seed": 7, "auto_start": true, "horizon_minutes": horizon_minutes, "pace": pace,
            "record": { "variables": ["atp", "protein_total"], "every_minutes": 2 },
            "schedule": [{ "at_minute": 50, "allocation": { "ribosomes": 6 } },
                         { "at_minute": 90, "call": "cell.advance(3) cell.set_nutrient(5000) return 1" },
                         { "at_minute": 150, "allocation": { "ribosomes": 9 } }] })
    };
    done(&client, "create", "moves", body(Value::Null, json!(4000))).await;
    begins_at(&client, "moves", "w1").await;
    for number in 0..MOVES {
        if number.is_multiple_of(5) {
            reach(&client, "pause", "moves", "paused").await;
        }
        move_to(&client, "moves", target(number)).await;
        if number.is_multiple_of(5) {
            reach(&client, "resume", "moves", "running").await;
        }
        is_at(&client, "moves", target(number)).await;
    }
    let events = events_with(&client, "moves", "moved").await;
    let told = names(&events);
    assert!(
        !told.iter().any(|name| matches!(*name, "unknown" | "failed" | "stopped" | "stopping")),
        "{told:?}"
    );
    // However long the moves took: a horizon beyond them.
    reach(&client, "stop", "moves", "stopped").await;
    let status = status_until(&client, "moves", |_| true).await;
    let horizon_minutes = json!((minutes_of(&status) + 200.0).ceil());
    done(&client, "start", "moves", json!({ "horizon_minutes": horizon_minutes })).await;
    done(&client, "create", "straight", body(horizon_minutes, json!("max"))).await;
    completes(&client, "moves").await;
    completes(&client, "straight").await;
    assert_eq!(digest(&client, "moves").await, digest(&client, "straight").await);
    assert_eq!(rows(&client, "moves").await, rows(&client, "straight").await);
    let events = events_with(&client, "moves", "completed").await;
    let told = names(&events);
    assert!(told.iter().filter(|name| **name == "moved").count() >= MOVES, "{told:?}");
    let page = metrics(&fleet.coordinator_http());
    let counted = metric(&page, "bioxen_moves_total{reason=\"operator\"}");
    assert_eq!(counted, told.iter().filter(|name| **name == "moved").count() as f64, "{page}");
    let moved = events.iter().find(|event| event["event"] == "moved").expect("it moved");
    let reason = moved["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("as operator root asked") && reason.ends_with("nothing is computed again"),
        "{reason}"
    );
    assert_both_content(&fleet, &client).await;
}

/// Time stands but for what process code lets pass, so both take every command at the same minute.
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_come_while_a_vm_moves_take_effect_as_in_one_that_does_not() {
    let fleet = fleet(&["w1", "w2"]);
    let client = fleet.connect().await;
    let body = json!({ "biological_type": "ecoli", "seed": 3, "auto_start": true, "pace": 0.001 });
    for vm in ["moves", "stays"] {
        done(&client, "create", vm, body.clone()).await;
    }
    begins_at(&client, "moves", "w1").await;
    for number in 0..MOVES {
        move_to(&client, "moves", target(number)).await;
        for vm in ["moves", "stays"] {
            let ribosomes = 5 + (number * 7) % 20;
            done(&client, "allocate", vm, json!({ "ribosomes": ribosomes })).await;
            if number.is_multiple_of(4) {
                reach(&client, "pause", vm, "paused").await;
            }
            let code = json!({ "process_code": "cell.advance(2.5) return cell.time()" });
            let ended = done(&client, "execute", vm, code).await;
            assert_eq!(ended["status"], "completed", "{ended}");
            if number.is_multiple_of(4) {
                reach(&client, "resume", vm, "running").await;
            }
        }
        is_at(&client, "moves", target(number)).await;
    }
    for vm in ["moves", "stays"] {
        reach(&client, "stop", vm, "stopped").await;
    }
    assert_eq!(digest(&client, "moves").await, digest(&client, "stays").await);
    assert_both_content(&fleet, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moves_that_cannot_be_are_refused_in_words() {
    let fleet = fleet(&["w1"]);
    let client = fleet.connect().await;
    done(&client, "create", "c1", json!({ "biological_type": "syn3a", "auto_start": true })).await;
    is_at(&client, "c1", "w1").await;
    for (verb, body, code_expected, words) in [
        ("move.alice.c1", json!({}), "BX013", "w1 is where the VM is"),
        ("move.alice.c1", json!({ "to": "w9" }), "BX008", "no worker w9 has ever registered; known are w1"),
        ("move.alice.c2", json!({}), "BX010", "no VM c2"),
        ("move.alice", json!({}), "BX008", "move needs a user and a VM"),
        ("cordon", json!({}), "BX008", "cordon needs a worker"),
        ("drain.w7", json!({}), "BX008", "no worker w7"),
    ] {
        let answer = operate(&client, verb, body).await;
        assert_eq!(code(&answer), code_expected, "{verb}: {answer}");
        assert!(
            answer["error"]["message"].as_str().is_some_and(|said| said.contains(words)),
            "{verb}: {answer}"
        );
    }
    assert_both_content(&fleet, &client).await;
}
