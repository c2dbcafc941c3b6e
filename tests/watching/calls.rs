//! Scheduled calls: at their minute to the bit, once each, whatever happens to the coordinator.

use bioxen_tests::cells::{CHASSIS, Spec, USER, Vm};
use bioxen_tests::{Options, TestFleet, ask, ask_until, code, fold, metric, metrics};
use serde_json::{Value, json};

use crate::{completes, create, events, subject};

/// What three calls do to a cell, in the words of `bioxen simulate`.
fn spec() -> Spec {
    Spec {
        chassis: CHASSIS[3],
        atp: 100.0,
        ribosomes: 15,
        parameters: [("s0", 9_000.0)].into(),
        changes: vec![(30.0, "cl", 3.0), (45.0, "s0", 500.0)],
    }
}

fn scheduled(more: &Value) -> Value {
    let mut body = spec().body(json!({
        "auto_start": true, "horizon_minutes": 120,
        "schedule": [
            { "at_minute": 30, "call": "add_drug('chloramphenicol', 3)" },
            { "at_minute": 40, "call": "cell.advance(5) cell.set_nutrient(500) cell.advance(12) return cell.time()" },
            { "at_minute": 50, "call": "return nothing.at_all" },
        ],
    }));
    // Room for a script's heap.
    body["allocation"]["memory_kb"] = json!(4096);
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_calls_take_effect_at_their_minute_at_any_pace_and_through_a_restart_of_the_coordinator() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    for (name, more) in [("straight", json!({})), ("paced", json!({ "pace": 600 }))] {
        create(&client, USER, name, &scheduled(&more)).await;
    }
    let begun = |now: &Value| now["simulated_minutes"].as_f64() > Some(5.0);
    ask_until(&client, &subject(USER, "status", "paced"), &Value::Null, begun).await;
    fleet.kill_coordinator();
    fleet.start_coordinator();
    for verb in ["pause", "resume"] {
        let answer = ask(&client, &subject(USER, verb, "paced"), &json!({ "wait_ms": 30_000 })).await;
        assert_eq!(code(&answer), "", "{answer}");
    }
    for name in ["straight", "paced"] {
        completes(&client, USER, name).await;
        let vm = Vm { client: &client, name: name.to_owned(), spec: spec() };
        assert_eq!(vm.agrees().await, 120.0);
    }
    let results = events(&client, USER, "result", 6).await;
    assert_eq!(results.len(), 6, "each call once: {results:?}");
    let said = |vm: &str| -> Vec<String> {
        let of_vm = results.iter().filter(|event| event["vm_id"] == vm);
        of_vm.map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for vm in ["straight", "paced"] {
        let said = said(vm);
        assert!(
            said[0].contains("completed") && said[1].ends_with("57") && said[2].contains("failed"),
            "{said:?}"
        );
    }
    let started = |audit: &Value| {
        let records = audit["audit"].as_array().expect("records").iter();
        let notes = records.filter_map(|record| record["note"].as_str());
        notes.filter(|note| note.contains("scheduled call") && note.contains("sha256")).count()
    };
    let subject = format!("bioxen.v1.cmd.{USER}.audit");
    let audit = ask_until(&client, &subject, &json!({ "limit": 1000 }), |audit| started(audit) >= 6).await;
    assert_eq!(started(&audit), 6, "{audit}");
    fold::assert_all_agree("scheduled calls", &fleet, &client).await;
    let page = metrics(&fleet.coordinator_http());
    assert!(metric(&page, "bioxen_processes_started_total{kind=\"scheduled\"}") >= 3.0, "{page}");
    assert!(metric(&page, "bioxen_processes_ended_total{outcome=\"failed\"}") >= 1.0, "{page}");
    assert!(metric(&page, "bioxen_process_seconds_count") >= 3.0, "{page}");
    let page = metrics(&fleet.worker_http("w1"));
    assert_eq!(metric(&page, "bioxen_worker_guest_jobs_total{outcome=\"completed\"}"), 4.0, "{page}");
    assert_eq!(metric(&page, "bioxen_worker_guest_jobs_total{outcome=\"failed\"}"), 2.0, "{page}");
    assert!(metric(&page, "bioxen_worker_guests") >= 1.0, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_of_an_ensemble_runs_its_call_and_equals_the_same_change_known_beforehand() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let asked = json!({
        "name": "pulsed", "biological_type": "weisse2015", "horizon_minutes": 90, "seed": 3,
        "axes": { "parameters.s0": { "from": 1000, "to": 9000, "steps": 30 } }, "on_complete": "release",
        "schedule": [{ "at_minute": 30, "call": "add_drug('chloramphenicol', 3)" }],
    });
    let known = json!({
        "name": "known", "biological_type": "weisse2015", "horizon_minutes": 90, "seed": 3,
        "axes": { "parameters.s0": { "from": 1000, "to": 9000, "steps": 30 } }, "on_complete": "release",
        "schedule": [{ "at_minute": 30, "parameters": { "cl": 3 } }],
    });
    let mut tables = Vec::new();
    for body in [&asked, &known] {
        let accepted = ask(&client, "bioxen.v1.cmd.alice.ensemble", body).await;
        assert_eq!(accepted["members"], 30, "{accepted}");
        let name = body["name"].as_str().expect("a name");
        let over = |status: &Value| status["state"] == "stopped";
        ask_until(&client, &subject(USER, "status", name), &Value::Null, over).await;
        let chunk = ask(&client, &subject(USER, "results", name), &json!({ "format": "json" })).await;
        let columns = chunk["columns"].as_array().expect("columns").clone();
        let place = |name: &str| columns.iter().position(|column| column == name).expect("a column");
        let (growth, state) = (place("growth_rate_per_min"), place("state"));
        let rows = chunk["data"].as_array().expect("rows").clone();
        assert!(rows.iter().all(|row| row[state] == "completed"), "{chunk}");
        tables.push(rows.iter().map(|row| row[growth].as_f64().map(f64::to_bits)).collect::<Vec<_>>());
    }
    assert_eq!(tables[0], tables[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_cannot_run_is_refused_when_it_is_scheduled() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let body =
        |call: &str| json!({ "biological_type": "syn3a", "schedule": [{ "at_minute": 1, "call": call }] });
    let unknown = ask(&client, &subject(USER, "create", "c1"), &body("advanse(3)")).await;
    assert_eq!(code(&unknown), "BX016", "{unknown}");
    assert_eq!(unknown["error"]["details"]["nearest"][0], "advance", "{unknown}");
    let empty = ask(&client, &subject(USER, "create", "c1"), &body(" ")).await;
    assert_eq!(code(&empty), "BX008", "{empty}");
}
