//! Modules of packages in scripts: found by name, unchangeable, the same answer every time.

use async_nats::Client;
use bioxen_tests::cells::{is_clean, subject};
use bioxen_tests::{Options, TestFleet, ask, ask_until, code, roomy_worker};
use serde_json::{Value, json};

use super::{install, publish_example};

const SCRIPT: &str = "local growth = package('growth-analysis').growth\n\
                      return growth.measured(20, 5)";

async fn run(client: &Client, vm: &str, script: &str) -> Value {
    ask(client, &subject("execute", vm), &json!({ "process_code": script, "timeout_ms": 20_000 })).await
}

/// Stands at minute 0 for as long as a test lasts.
async fn create(client: &Client, vm: &str) {
    let body = json!({ "biological_type": "syn3a", "auto_start": true, "pace": 0.001 });
    ask(client, &subject("create", vm), &body).await;
    ask_until(client, &subject("status", vm), &Value::Null, |now| now["state"] == "running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_uses_a_module_and_answers_the_same_on_another_worker() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    publish_example(&fleet, "growth-analysis");
    create(&client, "first").await;
    let missing = run(&client, "first", SCRIPT).await;
    assert_eq!(code(&missing), "BX016", "{missing}");
    assert!(missing["error"]["message"].as_str().unwrap().contains("there is no package"), "{missing}");
    let installed = install(&client, "first", "growth-analysis@1.0.0").await;
    assert_eq!(installed["load"], 0.0, "{installed}");
    let first = run(&client, "first", SCRIPT).await;
    let growth = first["biological_output"]["growth_rate_per_min"].as_f64().unwrap();
    let metrics = ask(&client, &subject("metrics", "first"), &Value::Null).await;
    assert!(
        (growth / metrics["growth_rate_per_min"].as_f64().unwrap() - 1.0).abs() < 0.05,
        "{first} {metrics}"
    );
    for (script, said) in [
        ("package('growth-analysis').growth.measured = 1", "readonly"),
        ("package('growth-analysis').more = 1", "readonly"),
        ("return package('growth-analyses')", "growth-analysis"),
        ("return package('growth-analysis/grow')", "growth"),
        ("return package('../growth-analysis/fit')", "there is no package"),
        ("return require('growth-analysis')", "nil"),
    ] {
        let refused = run(&client, "first", script).await;
        assert_eq!(code(&refused), "BX016", "{script}: {refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(said), "{script}: {refused}");
    }
    let plain = run(&client, "first", "get_biological_status()").await;
    assert_eq!(plain["execution_type"], "call", "{plain}");
    fleet.kill_worker("w1");
    let (name, table) = roomy_worker("w2");
    fleet.start_worker(&name, &table);
    create(&client, "second").await;
    install(&client, "second", "growth-analysis@1.0.0").await;
    let second = run(&client, "second", SCRIPT).await;
    assert_eq!(second["biological_output"], first["biological_output"]);
    is_clean(&fleet).await;
}
