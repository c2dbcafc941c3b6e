//! Alerts: one for each crossing, through the coordinator's restart too.

use bioxen_tests::{Options, TestFleet, ask, assert_clean, fold, metric, metrics};
use serde_json::{Value, json};

use crate::{completes, create, events, subject};

/// Starved from minute 60 on, fed from 200 to 400, starved again.
fn starving() -> Value {
    json!({
        "biological_type": "weisse2015", "auto_start": true, "horizon_minutes": 600,
        "schedule": [
            { "at_minute": 60, "parameters": { "s0": 1 } },
            { "at_minute": 200, "parameters": { "s0": 10_000 } },
            { "at_minute": 400, "parameters": { "s0": 1 } },
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn low_energy_is_told_once_for_each_time_and_not_again_by_the_next_leader() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    create(&client, "alice", "starved", &starving()).await;
    completes(&client, "alice", "starved").await;
    // Both times in one event or in two.
    let times =
        |told: &[Value]| -> u64 { told.iter().filter_map(|event| event["alert"]["times"].as_u64()).sum() };
    let mut told = events(&client, "alice", "alert", 1).await;
    if times(&told) < 2 {
        told = events(&client, "alice", "alert", 2).await;
    }
    assert_eq!(times(&told), 2, "{told:?}");
    let last = &told.last().expect("an alert")["alert"];
    assert_eq!((&last["kind"], &last["threshold"]), (&json!("atp_level"), &json!(0.2)), "{told:?}");
    assert_eq!(last["minute"], 401.0, "the first look after minute 400: {told:?}");
    assert!(last["value"].as_f64().is_some_and(|value| value < 0.2), "{told:?}");
    assert!(told[0]["reason"].as_str().is_some_and(|text| text.contains("allocate more ATP")), "{told:?}");

    let short = json!({
        "biological_type": "weisse2015", "auto_start": true, "pace": 600,
        "allocation": { "atp_percentage": 10 },
    });
    create(&client, "bob", "short", &short).await;
    let told = events(&client, "bob", "alert", 1).await;
    assert_eq!((&told[0]["vm_id"], &told[0]["alert"]["minute"]), (&json!("short"), &json!(1.0)), "{told:?}");
    fleet.kill_coordinator();
    fleet.start_coordinator();
    let stopped = ask(&client, &subject("bob", "stop", "short"), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    let started = ask(&client, &subject("bob", "start", "short"), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(started["state"], "running", "{started}");
    let stopped = ask(&client, &subject("bob", "stop", "short"), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    events(&client, "bob", "stopped", 2).await;
    assert_eq!(events(&client, "bob", "alert", 1).await.len(), 1, "it has not recovered meanwhile");
    fold::assert_all_agree("alerts", &fleet, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_near_a_limit_are_told_to_whom_the_limit_concerns() {
    let worker =
        ("w1".to_owned(), "max_vms = 10\ntotal_ribosomes = 40\nemergency_ribosome_reserve = 5\n".to_owned());
    let resources = "global_ribosome_limit = 33\n".to_owned();
    let mut fleet = TestFleet::start(&Options { resources, workers: vec![worker] });
    let client = fleet.connect().await;
    let quota = json!({ "max_ribosomes": 16 });
    ask(&client, "bioxen.v1.ops.tester.quota.alice", &quota).await;
    let cell = json!({ "biological_type": "weisse2015", "auto_start": true });
    create(&client, "alice", "one", &cell).await;
    let told = events(&client, "alice", "alert", 1).await;
    assert_eq!(told[0]["vm_id"], Value::Null, "{told:?}");
    let alert = &told[0]["alert"];
    assert_eq!(
        (&alert["kind"], &alert["used"], &alert["limit"]),
        (&json!("user_ribosomes"), &json!(15.0), &json!(16.0))
    );
    assert!(told[0]["reason"].as_str().is_some_and(|text| text.contains("higher quota")), "{told:?}");
    // 15 + 15 of 34 that the worker may hold is above 85 percent, and of 33 in the fleet above 90.
    create(&client, "bob", "two", &cell).await;
    let told = events(&client, "bioxen-fleet", "alert", 0).await;
    assert_eq!(told, Vec::<Value>::new(), "nobody reads as the fleet");
    let page = loop {
        let page = metrics(&fleet.coordinator_http());
        if metric(&page, "bioxen_alerts_total{kind=\"worker_ribosomes\"}") > 0.0
            && metric(&page, "bioxen_alerts_total{kind=\"fleet_ribosomes\"}") > 0.0
        {
            break page;
        }
        tokio::task::yield_now().await;
    };
    for kind in ["user_ribosomes", "worker_ribosomes", "fleet_ribosomes"] {
        assert_eq!(metric(&page, &format!("bioxen_alerts_total{{kind=\"{kind}\"}}")), 1.0, "{kind}");
    }
    assert_clean(&client).await;
}
