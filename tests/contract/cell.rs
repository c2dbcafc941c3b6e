//! The cell in a VM: the same bits wherever it is computed.

use bioxen_tests::ask_until;
use bioxen_tests::cells::subject;
use bioxen_tests::cells::{CHASSIS, Draw, Spec, Vm};
use bioxen_tests::vms::{completes, digest, done, reach, rows, status_until};
use serde_json::{Value, json};

use crate::place::Place;

pub(crate) async fn a_cell_is_simulate_s_to_the_bit_with_parameters_schedule_and_changes(place: &Place) {
    let draw = Draw::new("contract");
    for chassis in CHASSIS {
        let spec = Spec::drawn(&draw, chassis).with_parameters(&draw).with_changes(&draw);
        let more = place.body(json!({ "auto_start": true, "pace": "max", "horizon_minutes": 60 }));
        let vm = Vm::create(&place.client, format!("cell-{}", chassis.name), spec, more).await;
        vm.completes().await;
        assert_eq!(vm.agrees().await, 60.0);
    }
}

/// What a cell without a fleet comes to is held in `hypervisor`; here, that two VMs of one seed are the same.
pub(crate) async fn a_single_cell_divides_as_its_seed_says(place: &Place) {
    let body = json!({ "biological_type": "syn3a", "engine": "stochastic", "seed": 11, "auto_start": true,
                       "pace": "max", "horizon_minutes": 150 });
    place.create("single", body.clone()).await;
    // In two pieces, with an end in between.
    let mut pieces = body;
    pieces["pace"] = json!(6_000);
    place.create("pieces", pieces).await;
    status_until(&place.client, "pieces", |status| status["simulated_minutes"].as_f64() > Some(20.0)).await;
    reach(&place.client, "stop", "pieces", "stopped").await;
    done(&place.client, "start", "pieces", json!({ "wait_ms": 30_000 })).await;
    completes(&place.client, "single").await;
    completes(&place.client, "pieces").await;
    let digests = [digest(&place.client, "single").await, digest(&place.client, "pieces").await];
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], SINGLE, "the cell of seed 11 at minute 150");
}

/// The same on both backends; a change of the models changes it.
const SINGLE: &str = "85d77dcff947ce9a86b54e546ec4db7999ffd5d8dc75b5448977970c2a817c2c";

pub(crate) async fn a_recording_has_every_row(place: &Place) {
    let record = json!({ "variables": ["atp", "protein_total"], "every_minutes": 1 });
    let body = json!({ "biological_type": "syn3a", "auto_start": true, "pace": "max", "horizon_minutes": 90,
                       "record": record });
    place.create("recorded", body).await;
    completes(&place.client, "recorded").await;
    let rows = rows(&place.client, "recorded").await;
    let minutes: Vec<f64> =
        rows.lines().skip(1).filter_map(|line| line.split(',').next()?.parse().ok()).collect();
    let expected: Vec<f64> = (0..=90).map(f64::from).collect();
    assert_eq!(minutes, expected, "{rows}");
}

pub(crate) async fn an_allocation_takes_effect_in_a_cell_that_runs_and_in_one_that_is_paused(place: &Place) {
    let allocation = json!({ "atp_percentage": 30, "ribosomes": 8, "memory_kb": 64 });
    let body = json!({ "biological_type": "syn3a", "auto_start": true, "allocation": allocation });
    place.create("given", body).await;
    let has = |ribosomes: u64| move |status: &Value| status["effective"]["ribosomes"] == ribosomes;
    status_until(&place.client, "given", |status| status["health_status"] == "healthy").await;
    place.done("allocate", "given", json!({ "ribosomes": 6 })).await;
    status_until(&place.client, "given", has(6)).await;
    reach(&place.client, "pause", "given", "paused").await;
    place.done("allocate", "given", json!({ "ribosomes": 4 })).await;
    status_until(&place.client, "given", has(4)).await;
    let status = status_until(&place.client, "given", |_| true).await;
    assert_eq!(status["state"], "paused", "{status}");
}

pub(crate) async fn a_checkpoint_is_kept_and_gone_back_to(place: &Place) {
    let client = &place.client;
    place.create("kept", json!({ "biological_type": "syn3a", "auto_start": true, "pace": 600 })).await;
    status_until(client, "kept", |status| status["simulated_minutes"].as_f64() > Some(1.0)).await;
    let taken = place.done("checkpoint", "kept", Value::Null).await;
    let minute = taken["simulated_minutes"].as_f64();
    status_until(client, "kept", |status| status["simulated_minutes"].as_f64() > minute).await;
    reach(client, "stop", "kept", "stopped").await;
    place.done("restore", "kept", json!({ "checkpoint_id": taken["checkpoint_id"] })).await;
    let again = digest(client, "kept").await;
    assert_eq!(taken["digest"], again);
}

pub(crate) async fn a_monitored_vm_has_a_history(place: &Place) {
    place.create("watched", json!({ "biological_type": "syn3a", "auto_start": true })).await;
    place.done("monitor", "watched", json!({ "interval_seconds": 1 })).await;
    let has_samples = |answer: &Value| answer["samples"].as_array().is_some_and(|samples| samples.len() > 1);
    ask_until(&place.client, &subject("history", "watched"), &Value::Null, has_samples).await;
}
