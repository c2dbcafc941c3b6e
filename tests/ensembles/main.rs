//! Ensembles on a real fleet: one command, every member within the user's quota, each equal to `bioxen simulate` to the
//! bit, whatever happens to the coordinator on the way.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "the figures measured are shown where asked for")]

mod recording;
mod reference;
mod stochastic;
mod whole_cell;

use std::collections::BTreeMap;

use async_nats::Client;
use bioxen_tests::{Options, TestFleet, ask, ask_until, code, fold, program};
use serde_json::{Value, json};

const USER: &str = "alice";

fn subject(verb: &str, name: &str) -> String {
    format!("bioxen.v1.cmd.{USER}.{verb}.{name}")
}

fn is_over(status: &Value) -> bool {
    status["state"] == "stopped"
}

/// The whole table by column names, put together from small chunks.
async fn rows(client: &Client, name: &str) -> Vec<BTreeMap<String, Value>> {
    let (mut rows, mut offset) = (Vec::new(), json!(0));
    while !offset.is_null() {
        let body = json!({ "format": "json", "offset": offset, "limit": 60 });
        let chunk = ask(client, &subject("results", name), &body).await;
        let columns: Vec<String> = serde_json::from_value(chunk["columns"].clone()).expect("columns");
        for row in chunk["data"].as_array().expect("rows") {
            rows.push(columns.iter().cloned().zip(row.as_array().expect("a row").iter().cloned()).collect());
        }
        offset = chunk["next"].clone();
    }
    rows
}

/// What `bioxen simulate` says of the same cell.
fn simulated(body: &Value) -> Value {
    let mut command = program("bioxen");
    command.arg("simulate").arg(body["biological_type"].as_str().expect("a chassis"));
    command.args(["--minutes", &body["horizon_minutes"].to_string()]);
    for (name, value) in body["parameters"].as_object().into_iter().flatten() {
        command.args(["--set", &format!("{name}={value}")]);
    }
    command.args(["--atp", &body["allocation"]["atp_percentage"].to_string()]);
    command.args(["--ribosomes", &format!("{}", body["allocation"]["ribosomes"].as_f64().expect("units"))]);
    let done = command.output().expect("bioxen runs");
    let said = String::from_utf8_lossy(&done.stdout);
    serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&done.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_members_finish_under_a_quota_of_ten_and_a_killed_coordinator_and_equal_simulate() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let body = json!({
        "name": "sweep", "request_id": "r-1", "biological_type": "weisse2015", "horizon_minutes": 30, "seed": 7,
        "allocation": { "atp_percentage": 80 },
        "axes": {
            "parameters.s0": { "sample": [2000, 12000], "n": 40 },
            "allocation.ribosomes": [3, 6, 9, 12, 15],
        },
    });
    let sent = ask(&client, &format!("bioxen.v1.cmd.{USER}.ensemble"), &body).await;
    assert_eq!(sent, json!({ "name": "sweep", "members": 200, "queued": 200 }));
    ask_until(&client, &subject("status", "sweep"), &Value::Null, |now| now["completed"].as_u64() > Some(40))
        .await;
    fleet.kill_coordinator();
    fleet.start_coordinator();
    let again = ask(&client, &format!("bioxen.v1.cmd.{USER}.ensemble"), &body).await;
    assert_eq!(again, sent, "a repeat is answered as the first");
    let over = ask_until(&client, &subject("status", "sweep"), &Value::Null, is_over).await;
    assert_eq!((&over["completed"], &over["reason"]), (&json!(200), &json!("completed")), "{over}");

    let rows = rows(&client, "sweep").await;
    assert_eq!(rows.len(), 200);
    let mut compared = 0;
    for row in &rows {
        let number = row["member"].as_u64().expect("a number");
        assert_eq!(row["state"], "completed", "{row:?}");
        // One in ten: each is a process of its own.
        if number % 10 == 1 {
            let member = ask(&client, &subject("results", "sweep"), &json!({ "member": number })).await;
            let create = &member["create"];
            assert_eq!((&create["seed"], &create["parameters"]["s0"]), (&row["seed"], &row["parameters.s0"]));
            let simulated = simulated(create);
            for metric in
                ["growth_rate_per_min", "atp", "ribosomes_total", "protein_total", "simulated_minutes"]
            {
                assert_eq!(row[metric], simulated[metric], "{metric} of member {number}");
                compared += 1;
            }
        }
    }
    let growth: std::collections::BTreeSet<String> =
        rows.iter().map(|row| row["growth_rate_per_min"].to_string()).collect();
    assert_eq!(growth.len(), 200, "every member has values of its own");
    let folded = fold::assert_all_agree("an ensemble of 200", &fleet, &client).await;
    let peak = &folded["peak"]["slots"];
    assert!(peak.as_u64() <= Some(10), "{peak} VMs at once under a quota of 10");
    println!("200 members, {compared} figures equal to simulate's to the bit, at most {peak} VMs at once");
    run_again_alone(&client, "sweep", &rows[16]).await;
}

/// A member's body sent as a plain `create` under another name gives the member's figures.
async fn run_again_alone(client: &Client, name: &str, row: &BTreeMap<String, Value>) {
    let member = ask(client, &subject("results", name), &json!({ "member": row["member"] })).await;
    let created = ask(client, &subject("create", "alone"), &member["create"]).await;
    assert_eq!(created["seed"], row["seed"], "{created}");
    ask_until(client, &subject("status", "alone"), &Value::Null, |now| now["reason"] == "completed").await;
    let metrics = ask(client, &subject("metrics", "alone"), &Value::Null).await;
    for (name, value) in metrics.as_object().expect("metrics").iter().filter(|(_, value)| value.is_number()) {
        assert_eq!(row[name].as_f64(), value.as_f64(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_member_is_told_apart_and_a_stopped_ensemble_makes_no_more() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let body = json!({
        "name": "mixed", "biological_type": "syn3a", "horizon_minutes": 20,
        "axes": { "allocation.ribosomes": [5, 10, 15, 9999], "parameters.s0": [1000, 2000] },
    });
    let refused = ask(&client, &format!("bioxen.v1.cmd.{USER}.ensemble"), &body).await;
    assert_eq!(code(&refused), "BX002", "what cannot be is refused at once: {refused}");

    let body = json!({
        "name": "mixed", "biological_type": "syn3a", "horizon_minutes": 20, "replicates": 60,
        "axes": { "allocation.ribosomes": [5, 10] },
    });
    ask(&client, &format!("bioxen.v1.cmd.{USER}.ensemble"), &body).await;
    let over = ask_until(&client, &subject("status", "mixed"), &Value::Null, is_over).await;
    assert_eq!((&over["completed"], &over["failed"]), (&json!(120), &json!(0)), "{over}");

    let mut units = vec![10; 100];
    units[1] = 9999;
    let body = json!({ "name": "faulty", "biological_type": "syn3a", "horizon_minutes": 1,
        "axes": { "allocation.ribosomes": units } });
    ask(&client, &format!("bioxen.v1.cmd.{USER}.ensemble"), &body).await;
    let over = ask_until(&client, &subject("status", "faulty"), &Value::Null, is_over).await;
    assert_eq!((&over["completed"], &over["failed"]), (&json!(99), &json!(1)), "{over}");
    let faulty = &rows(&client, "faulty").await[1];
    assert_eq!(faulty["state"], "failed", "{faulty:?}");
    assert!(faulty["reason"].as_str().is_some_and(|reason| reason.contains("9999")), "{faulty:?}");

    let endless = json!({ "name": "endless", "biological_type": "syn3a", "replicates": 25 });
    ask(&client, &format!("bioxen.v1.cmd.{USER}.ensemble"), &endless).await;
    ask_until(&client, &subject("status", "endless"), &Value::Null, |now| now["running"] == 10).await;
    let listed = ask(&client, &format!("bioxen.v1.cmd.{USER}.list"), &Value::Null).await;
    assert_eq!(listed["vms"].as_array().map(Vec::len), Some(10), "{listed}");
    assert_eq!(listed["ensembles"].as_array().map(Vec::len), Some(3), "{listed}");
    let destroyed = ask(&client, &subject("destroy", "endless"), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(destroyed["state"], "destroyed", "{destroyed}");
    let gone = ask(&client, &subject("status", "endless"), &Value::Null).await;
    assert_eq!(code(&gone), "BX010", "{gone}");
    fold::assert_all_agree("ensembles stopped and destroyed", &fleet, &client).await;
}
