//! A VM that records goes on recording while process code lets time pass, without a hole, also where its worker is lost.

use async_nats::Client;
use bioxen_tests::{Options, TestFleet, ask, ask_until, metric, roomy_worker};
use serde_json::{Value, json};

use crate::{completes, create, events, subject};

fn body(more: &Value) -> Value {
    let mut body = json!({
        "biological_type": "syn3a", "auto_start": true, "parameters": { "s0": 3000 }, "horizon_minutes": 200,
        "record": { "variables": ["growth_rate_per_min", "atp", "atp_level"], "every_minutes": 1.5 },
    });
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body
}

async fn csv(client: &Client, vm: &str) -> String {
    let chunk =
        ask(client, &subject("alice", "results", vm), &json!({ "format": "csv", "limit": 10_000 })).await;
    chunk["data"].as_str().unwrap_or_else(|| panic!("{chunk}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_goes_on_through_process_code_and_the_loss_of_its_worker() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let known = json!({ "schedule": [{ "at_minute": 30, "parameters": { "cl": 3 } }] });
    create(&client, "alice", "known", &body(&known)).await;
    let call = "cell.add_drug('chloramphenicol', 3) cell.advance(100) return cell.time()";
    completes(&client, "alice", "known").await;
    let expected = csv(&client, "known").await;
    let rows = expected.lines().count();
    assert_eq!(rows, 1 + 134, "{expected}");
    // From the call's end to the horizon it has seconds, in which its worker is lost.
    let called = json!({ "schedule": [{ "at_minute": 30, "call": call }], "pace": 600 });
    create(&client, "alice", "called", &body(&called)).await;
    let told = events(&client, "alice", "result", 1).await;
    assert!(told[0]["reason"].as_str().is_some_and(|text| text.ends_with("130")), "{told:?}");
    let meanwhile = csv(&client, "called").await;
    assert!(expected.starts_with(&meanwhile) && meanwhile.lines().count() > 85, "{meanwhile}");

    fleet.kill_worker("w1");
    let unknown = |now: &Value| now["state"] == "unknown";
    ask_until(&client, &subject("alice", "status", "called"), &Value::Null, unknown).await;
    let stopped = ask(&client, &subject("alice", "stop", "called"), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    let kept = csv(&client, "called").await;
    assert!(
        expected.starts_with(&kept) && kept.lines().count() > 85,
        "what the call let pass stands: {kept}"
    );
    let (name, table) = roomy_worker("w2");
    fleet.start_worker(&name, &table);
    let started = ask(&client, &subject("alice", "start", "called"), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(started["state"], "running", "{started}");
    completes(&client, "alice", "called").await;
    assert_eq!(csv(&client, "called").await, expected);
    assert_eq!(events(&client, "alice", "result", 1).await.len(), 1, "the call ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn execute_serves_vms_that_record_and_shows_what_a_script_allocated() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    create(&client, "alice", "c1", &body(&json!({ "pace": 60 }))).await;
    let ran =
        json!({ "process_code": "cell.set_allocation({ atp_percentage = 40 }) cell.advance(60) return 1" });
    let done = ask(&client, &subject("alice", "execute", "c1"), &ran).await;
    assert_eq!(done["status"], "completed", "{done}");
    let seen =
        ask(&client, &subject("alice", "execute", "c1"), &json!({ "process_code": "test_process()" })).await;
    assert_eq!(seen["status"], "completed", "{seen}");
    for verb in ["status", "resources"] {
        let answer = ask(&client, &subject("alice", verb, "c1"), &Value::Null).await;
        assert_eq!(answer["effective"]["atp_percentage"], 40.0, "{answer}");
    }
    assert!(csv(&client, "c1").await.lines().count() >= 41);
    assert_eq!(metric("x 1\nxy 2", "xy"), 2.0);
}
