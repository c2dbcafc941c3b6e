//! Recordings: the rows of `bioxen simulate`, to the bit, while a VM runs, after it has ended, and without its worker.

use async_nats::Client;
use bioxen_tests::{Options, TestFleet, ask, ask_until, code, program, roomy_worker};
use serde_json::{Value, json};

use crate::subject;

const MINUTES: f64 = 120.0;
const EVERY: f64 = 1.5;

/// The CSV that `bioxen simulate` gives, cut to these columns.
fn simulated(arguments: &[&str], columns: &[&str]) -> String {
    let (minutes, every) = (MINUTES.to_string(), EVERY.to_string());
    let mut command = program("bioxen");
    command
        .args(["simulate", "syn3a", "--minutes", &minutes, "--every", &every, "--format", "csv"])
        .args(arguments);
    let done = command.output().expect("bioxen runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).expect("text");
    let names: Vec<&str> = text.lines().next().expect("a first line").split(',').collect();
    let places: Vec<usize> = columns
        .iter()
        .map(|column| names.iter().position(|name| name == column).expect("a column"))
        .collect();
    let cut = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        places.iter().map(|place| fields[*place]).collect::<Vec<_>>().join(",") + "\n"
    };
    text.lines().map(cut).collect()
}

/// The whole CSV, put together from chunks of `limit` rows.
async fn csv(client: &Client, vm: &str, limit: u64) -> String {
    let (mut text, mut offset) = (String::new(), json!(0));
    while !offset.is_null() {
        let body = json!({ "format": "csv", "offset": offset, "limit": limit });
        let chunk = ask(client, &subject("results", vm), &body).await;
        assert_eq!(chunk["kind"], "recording", "{chunk}");
        text.push_str(chunk["data"].as_str().expect("text"));
        offset = chunk["next"].clone();
    }
    text
}

fn body(more: &Value) -> Value {
    let mut body = json!({
        "biological_type": "syn3a", "auto_start": true, "parameters": { "s0": 3000 },
        "allocation": { "atp_percentage": 60, "ribosomes": 10 },
        "record": { "variables": ["growth_rate_per_min", "ribosomes_total"], "every_minutes": EVERY },
    });
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    body
}

const ARGUMENTS: [&str; 6] = ["--set", "s0=3000", "--atp", "60", "--ribosomes", "10"];
const COLUMNS: [&str; 3] = ["minute", "growth_rate_per_min", "ribosomes_total"];

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_simulate_s_trajectory_also_after_stops_and_starts_and_without_its_worker() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let expected = simulated(&ARGUMENTS, &COLUMNS);
    ask(&client, &subject("create", "whole"), &body(&json!({ "horizon_minutes": MINUTES }))).await;
    let moved = body(&json!({ "horizon_minutes": MINUTES, "pace": 1000 }));
    ask(&client, &subject("create", "moved"), &moved).await;
    let past = |minute: f64| move |now: &Value| now["simulated_minutes"].as_f64() > Some(minute);
    ask_until(&client, &subject("status", "moved"), &Value::Null, past(20.0)).await;
    let early = csv(&client, "moved", 7).await;
    assert!(expected.starts_with(&early) && early.lines().count() > 10, "{early}");
    let stopped = ask(&client, &subject("stop", "moved"), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    ask_until(&client, &subject("status", "whole"), &Value::Null, |now| now["reason"] == "completed").await;
    fleet.kill_worker("w1");
    let kept = csv(&client, "moved", 1000).await;
    assert!(expected.starts_with(&kept) && kept.len() >= early.len(), "{kept}");
    let (name, table) = roomy_worker("w2");
    fleet.start_worker(&name, &table);
    let expired = |workers: &Value| workers["workers"][0]["state"] == "expired";
    ask_until(&client, "bioxen.v1.ops.tester.workers", &Value::Null, expired).await;
    let started = ask(&client, &subject("start", "moved"), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(started["state"], "running", "{started}");
    for vm in ["whole", "moved"] {
        ask_until(&client, &subject("status", vm), &Value::Null, |now| now["reason"] == "completed").await;
    }
    fleet.kill_worker("w2");
    for vm in ["whole", "moved"] {
        assert_eq!(csv(&client, vm, 13).await, expected, "{vm}");
    }
    parquet_is_a_file(&client).await;
}

async fn parquet_is_a_file(client: &Client) {
    let chunk = ask(client, &subject("results", "whole"), &json!({ "format": "parquet" })).await;
    let bytes =
        bioxen_protocol::codec::base64::decode(chunk["data"].as_str().expect("text")).expect("base64");
    assert_eq!(chunk["total"], bytes.len());
    assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (b"PAR1".as_slice(), b"PAR1".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_stays_within_the_vms_memory() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let refusals = [
        (json!({ "record": { "variables": ["growth"], "every_minutes": 1 } }), "growth_rate_per_min"),
        (json!({ "record": { "variables": ["atp"], "every_minutes": 0 } }), "every 0 minutes"),
        (json!({ "record": { "variables": [], "every_minutes": 1 } }), "0 variables"),
        (json!({ "horizon_minutes": 100_000, "allocation": { "memory_kb": 10 } }), "memory_kb is 10"),
    ];
    for (more, said) in refusals {
        let refused = ask(&client, &subject("create", "refused"), &body(&more)).await;
        assert_eq!(code(&refused), "BX005", "{refused}");
        assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains(said)), "{refused}");
    }
    let full = body(&json!({ "pace": 100_000, "allocation": { "memory_kb": 10 } }));
    ask(&client, &subject("create", "full"), &full).await;
    let failed =
        ask_until(&client, &subject("status", "full"), &Value::Null, |now| now["state"] == "failed").await;
    assert!(failed["reason"].as_str().is_some_and(|text| text.contains("memory_kb of 10")), "{failed}");
    let rows = csv(&client, "full", 10_000).await.lines().count() - 1;
    assert_eq!(rows, 10 * 1024 / 16, "all rows that fit are kept");
}
