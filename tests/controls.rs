//! Untreated controls: where the operator raised a chassis' most ATP to 100, a VM of it at the unlimited allocation
//! doubles in the chassis' reference time; elsewhere the chassis' own most stands.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "the figures measured are shown where asked for")]

use async_nats::Client;
use bioxen_tests::{Options, TestFleet, ask, ask_until, code};
use serde_json::{Value, json};

/// Chassis, its most units, and its reference doubling time in minutes.
const CONTROLS: [(&str, u64, f64); 4] =
    [("weisse2015", 15, 28.74), ("syn3a", 15, 105.0), ("minimal_cell", 12, 180.0), ("ecoli", 30, 30.0)];
const RAISED: &str = "
[resources.chassis]
syn3a = { max_atp = 100 }
minimal_cell = { max_atp = 100 }
ecoli = { max_atp = 100.0 }
";

fn subject(verb: &str, vm: &str) -> String {
    format!("bioxen.v1.cmd.alice.{verb}.{vm}")
}

fn unlimited(chassis: &str, units: u64) -> Value {
    json!({ "biological_type": chassis, "auto_start": true, "horizon_minutes": 600,
        "allocation": { "atp_percentage": 100, "ribosomes": units } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_at_the_unlimited_allocation_doubles_in_its_chassis_reference_time() {
    let fleet = TestFleet::start(&Options { resources: RAISED.to_owned(), ..Options::default() });
    let client = fleet.connect().await;
    for (chassis, units, minutes) in CONTROLS {
        let created =
            ask(&client, &subject("create", &format!("control-{chassis}")), &unlimited(chassis, units)).await;
        assert_eq!(created["status"], "created", "{created}");
        let vm = format!("control-{chassis}");
        ask_until(&client, &subject("status", &vm), &Value::Null, |now| now["reason"] == "completed").await;
        let metrics =
            ask_until(&client, &subject("metrics", &vm), &Value::Null, |now| code(now).is_empty()).await;
        let doubling = metrics["doubling_time_min"].as_f64().expect("a figure");
        println!("{chassis}: an untreated control doubles in {doubling:.3} min, reference {minutes}");
        assert!((doubling / minutes - 1.0).abs() < 0.01, "{chassis}: {metrics}");
        let resources = ask(&client, &subject("resources", &vm), &Value::Null).await;
        assert_eq!(resources["most"]["atp_percentage"], 100.0, "{resources}");
    }
    let config = ask(&client, "bioxen.v1.ops.tester.config", &Value::Null).await;
    assert_eq!(config["chassis"]["syn3a"], json!({ "max_atp": 100.0 }), "{config}");
    single_cells(&client).await;
}

/// A hundred single cells of syn3a over two generations at the same allocation.
async fn single_cells(client: &Client) {
    const GENERATIONS: f64 = 2.0;
    let mut body = json!({ "name": "single", "biological_type": "syn3a", "engine": "stochastic", "seed": 3,
        "replicates": 100, "horizon_generations": GENERATIONS });
    body["allocation"] = json!({ "atp_percentage": 100, "ribosomes": 15 });
    let sent = ask(client, "bioxen.v1.cmd.alice.ensemble", &body).await;
    assert_eq!(sent["members"], 100, "{sent}");
    let over = |now: &Value| now["state"] == "stopped";
    let over = ask_until(client, &subject("status", "single"), &Value::Null, over).await;
    assert_eq!(over["completed"], 100, "{over}");
    let table = ask(client, &subject("results", "single"), &json!({ "format": "json" })).await;
    let columns = table["columns"].as_array().expect("columns");
    let at = columns.iter().position(|name| name == "simulated_minutes").expect("a column");
    let minutes: Vec<f64> =
        table["data"].as_array().expect("rows").iter().filter_map(|row| row[at].as_f64()).collect();
    let mean = minutes.iter().sum::<f64>() / minutes.len() as f64 / GENERATIONS;
    println!("syn3a: {} untreated single cells divide every {mean:.2} min on average", minutes.len());
    assert!((mean / 105.0 - 1.0).abs() < 0.02, "{mean} min between divisions");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_operator_raised_it_the_chassis_own_most_stands() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    for (chassis, units, _) in &CONTROLS[1..] {
        let refused = ask(&client, &subject("create", "control"), &unlimited(chassis, *units)).await;
        assert_eq!(code(&refused), "BX002", "{refused}");
    }
}

#[test]
fn a_limit_that_no_chassis_can_have_keeps_a_coordinator_from_starting_and_says_what_is_expected() {
    for (wrong, said) in [
        ("[resources.chassis.syn3a]\nmax_atp = 101", "at most 100"),
        ("[resources.chassis.yeast]\nmax_atp = 90", "syn3a, ecoli, minimal_cell, weisse2015"),
    ] {
        let fleet = TestFleet::without_workers(&Options::default());
        std::fs::write(fleet.folder().join("coordinator.toml"), wrong).expect("the file is written");
        let (code, log) = fleet.coordinator_that_ends(&[]);
        assert!(code == Some(1) && log.contains(said), "{code:?}: {log}");
    }
}
