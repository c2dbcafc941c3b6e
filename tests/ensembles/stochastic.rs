//! An ensemble of single cells: generations, noise, a pulse of a drug, the same again.

use std::collections::BTreeMap;

use bioxen_tests::{Options, TestFleet, ask, ask_until};
use serde_json::{Value, json};

use super::{USER, fold, is_over, rows, run_again_alone, subject};

/// `make ensemble` runs the thousand.
const MEMBERS: u64 = 40;
const MANY: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn single_cells_divide_as_often_as_asked_and_any_one_is_the_same_again() {
    pulsed(MEMBERS, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute; make ensemble"]
async fn a_thousand_single_cells_of_three_generations_finish_under_a_quota_of_ten() {
    pulsed(MANY, 3).await;
}

async fn pulsed(members: u64, generations: u64) {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let body = json!({
        "name": "pulse", "biological_type": "syn3a", "engine": "stochastic", "seed": 7,
        "horizon_generations": generations, "replicates": members,
        "schedule": [
            { "at_minute": 60, "parameters": { "cl": 4 } },
            { "at_minute": 90, "parameters": { "cl": 0 } },
        ],
    });
    let sent = ask(&client, &format!("bioxen.v1.cmd.{USER}.ensemble"), &body).await;
    assert_eq!(sent["members"], members, "{sent}");
    let over = ask_until(&client, &subject("status", "pulse"), &Value::Null, is_over).await;
    assert_eq!((&over["completed"], &over["failed"]), (&json!(members), &json!(0)), "{over}");
    let rows = rows(&client, "pulse").await;
    let minutes: Vec<f64> = rows.iter().filter_map(|row| row["simulated_minutes"].as_f64()).collect();
    assert_eq!(minutes.len() as u64, members);
    let mean = minutes.iter().sum::<f64>() / minutes.len() as f64;
    let squares: f64 = minutes.iter().map(|minute| (minute - mean).powi(2)).sum();
    let cv = (squares / minutes.len() as f64).sqrt() / mean;
    assert!(cv > 0.0 && cv < 0.2, "cells differ, and not wildly: CV {cv}");
    run_again_alone(&client, "pulse", &rows[rows.len() / 2]).await;
    let folded = fold::assert_all_agree("an ensemble of single cells", &fleet, &client).await;
    let peak = &folded["peak"]["slots"];
    let proteins = figure(&rows, "protein_total");
    println!(
        "{members} single cells: {generations} generations in {mean:.1} min, CV {cv:.4}; proteins {:.0}, CV {:.4}; \
         at most {peak} VMs at once",
        proteins.0, proteins.1
    );
}

/// Mean and coefficient of variation.
fn figure(rows: &[BTreeMap<String, Value>], name: &str) -> (f64, f64) {
    let values: Vec<f64> = rows.iter().filter_map(|row| row[name].as_f64()).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / values.len() as f64).sqrt() / mean)
}
