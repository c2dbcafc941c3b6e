//! States and what leads from one to another.

use std::net::IpAddr;

use bioxen_tests::cells::{USER, subject};
use bioxen_tests::vms::{reach, status_until, tell};
use bioxen_tests::{ask, code};
use serde_json::{Value, json};

use crate::guests::are;
use crate::place::Place;

pub(crate) async fn a_vm_lives_from_create_to_destroy_and_gives_everything_back(place: &Place) {
    let client = &place.client;
    let allocation = json!({ "atp_percentage": 20, "ribosomes": 5, "memory_kb": 64 });
    place.create("c1", json!({ "biological_type": "syn3a", "allocation": allocation })).await;
    are(place, &[]);
    reach(client, "start", "c1", "running").await;
    are(place, &["Running"]);
    status_until(client, "c1", |status| status["simulated_minutes"].as_f64() > Some(0.0)).await;
    reach(client, "pause", "c1", "paused").await;
    are(place, &["Paused"]);
    let at = status_until(client, "c1", |_| true).await;
    reach(client, "resume", "c1", "running").await;
    are(place, &["Running"]);
    let beyond = |status: &Value| status["simulated_minutes"].as_f64() > at["simulated_minutes"].as_f64();
    status_until(client, "c1", beyond).await;
    reach(client, "stop", "c1", "stopped").await;
    are(place, &["Halted"]);
    reach(client, "start", "c1", "running").await;
    are(place, &["Running"]);
    reach(client, "destroy", "c1", "destroyed").await;
    let quota = ask(client, &format!("bioxen.v1.cmd.{USER}.quota"), &Value::Null).await;
    assert_eq!(quota["used"], json!({ "atp_percentage": 0.0, "memory_kb": 0, "ribosomes": 0, "slots": 0 }));
}

pub(crate) async fn a_name_is_free_again_once_its_vm_is_destroyed(place: &Place) {
    for seed in 0..3 {
        place.create("again", json!({ "biological_type": "syn3a", "seed": seed, "auto_start": true })).await;
        status_until(&place.client, "again", |status| status["health_status"] == "healthy").await;
        reach(&place.client, "destroy", "again", "destroyed").await;
    }
}

pub(crate) async fn a_vm_that_was_stopped_goes_on_where_it_stood(place: &Place) {
    let client = &place.client;
    let body = json!({ "biological_type": "ecoli", "auto_start": true, "pace": 600 });
    place.create("goes-on", body).await;
    status_until(client, "goes-on", |status| status["simulated_minutes"].as_f64() > Some(2.0)).await;
    reach(client, "stop", "goes-on", "stopped").await;
    let stood = status_until(client, "goes-on", |_| true).await["simulated_minutes"].as_f64();
    let answer = tell(client, "start", "goes-on", json!({ "wait_ms": 30_000 })).await;
    assert_eq!(answer["state"], "running", "{answer}");
    let now = status_until(client, "goes-on", |status| status["simulated_minutes"].as_f64() > stood).await;
    assert_eq!(now["state"], "running", "{now}");
}

pub(crate) async fn a_vm_in_a_guest_shows_what_the_guest_s_host_measures(place: &Place) {
    let client = &place.client;
    place.create("measured", json!({ "biological_type": "syn3a", "auto_start": true })).await;
    let status = status_until(client, "measured", |status| status["health_status"] == "healthy").await;
    if place.pool.is_none() {
        assert_eq!(status.get("guest"), None, "{status}");
        return;
    }
    let status = status_until(client, "measured", |status| status["guest"]["cpu_percent"].is_f64()).await;
    let guest = &status["guest"];
    assert!(guest["name"].as_str().is_some_and(|name| name.contains("/measured/")), "{guest}");
    assert!(guest["address"].as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok()), "{guest}");
    assert_eq!((&guest["cpu_percent"], &guest["memory_bytes"]), (&json!(25.0), &json!(1 << 30)));
    assert!(guest["measured_at_ms"].is_u64(), "{guest}");
    let resources = ask(client, &subject("resources", "measured"), &Value::Null).await;
    assert_eq!(resources["guest"]["name"], guest["name"], "{resources}");
    reach(client, "stop", "measured", "stopped").await;
    let status = status_until(client, "measured", |_| true).await;
    assert_eq!(status.get("guest"), None, "{status}");
    reach(client, "start", "measured", "running").await;
}

pub(crate) async fn what_cannot_be_done_in_a_state_is_refused_with_the_state(place: &Place) {
    place.create("idle", json!({ "biological_type": "syn3a" })).await;
    for verb in ["pause", "resume"] {
        let answer = ask(&place.client, &subject(verb, "idle"), &Value::Null).await;
        assert_eq!(code(&answer), "BX006", "{verb}: {answer}");
    }
}
