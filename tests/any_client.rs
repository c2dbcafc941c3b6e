//! BioXen as any client meets it: scripts that use PyPI's nats-py and msgpack alone drive a real fleet.
//!
//! This file only starts fleets and scripts; what is expected stands in `tests/python/any_client.py` and
//! `tests/python/any_client_rules.py`.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "the figures measured are shown where asked for")]

use bioxen_tests::{Options, TestFleet, python, verify};
use serde_json::json;

/// Runs a script to its end and shows what it measured. It fails with the script, or where the fleet's own
/// verification finds a difference afterwards.
async fn run(fleet: &TestFleet, script: &str, arguments: &[&str]) {
    let url = fleet.url();
    let path = format!("{}/tests/python/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = python();
    command.arg("-B").arg(path).arg(&url).args(arguments);
    let ended = tokio::task::spawn_blocking(move || command.output()).await;
    let ended = ended.expect("the script was not cancelled").expect("Python starts");
    let (told, wrong) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    print!("{told}");
    assert!(
        ended.status.success(),
        "{script} {arguments:?}: {wrong}\ncoordinator: {}",
        fleet.log("coordinator")
    );
    let verified = verify(&fleet.connect().await).await;
    assert_eq!(verified["clean"], json!(true), "{verified}");
}

async fn run_on_a_new_fleet(script: &str, scenario: &str) {
    let fleet = TestFleet::start(&Options::default());
    run(&fleet, script, &[scenario]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seven_commands_of_a_vms_life_work_in_both_encodings() {
    run_on_a_new_fleet("any_client.py", "life").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_a_reply_are_answered_by_events_alone() {
    run_on_a_new_fleet("any_client.py", "doors").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_found_and_described_as_nats_services_are() {
    run_on_a_new_fleet("any_client.py", "services").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_reply_subject_is_dropped_and_counted() {
    let mut fleet = TestFleet::start(&Options::default());
    let metrics = fleet.coordinator_http();
    run(&fleet, "any_client.py", &["replies", &metrics]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_takes_effect_once() {
    run_on_a_new_fleet("any_client_rules.py", "idempotency").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_acts_under_both_names_and_its_limits_take_effect() {
    run_on_a_new_fleet("any_client_rules.py", "operators").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_events_and_audit_are_read_by_page_and_filter() {
    run_on_a_new_fleet("any_client_rules.py", "lists").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vms_wait_for_room_and_start_by_priority_and_then_age() {
    run_on_a_new_fleet("any_client_rules.py", "waiting").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_of_older_users_work_call_by_call() {
    run_on_a_new_fleet("older_programs.py", "programs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_vms_at_once_and_a_hundred_allocations_by_five_clients_all_succeed() {
    run_on_a_new_fleet("older_programs.py", "crowds").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn process_code_runs_once_ends_within_its_limits_and_is_told() {
    run_on_a_new_fleet("older_programs.py", "processes").await;
}
