//! A journal that lost its end is healed by the coordinator that knows most of it, and coordinators that run notice.

use std::time::Duration;

use bioxen_tests::{FIRST, START_PATIENCE, ask_until, leader};
use serde_json::json;

use crate::journal::{batches, delete_from_journal};
use crate::{SECOND, assert_clean, other, two_coordinators};

/// Waits until a coordinator has written this behind the first `bytes` of what it wrote.
async fn said(fleet: &bioxen_tests::TestFleet, name: &str, bytes: usize, what: &str) {
    let waiting = async {
        while !fleet.log_of_coordinator(name).get(bytes..).is_some_and(|said| said.contains(what)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(START_PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{name} never said {what:?}: {}", fleet.log_of_coordinator(name));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_ledger_heals_a_journal_and_the_shorter_one_waits_for_it() {
    let mut fleet = two_coordinators();
    let client = fleet.connect().await;
    let create = async |vm: &str| {
        // Whoever steps down says that the outcome is unknown.
        let body = json!({ "biological_type": "syn3a", "request_id": vm });
        let subject = format!("bioxen.v1.cmd.alice.create.{vm}");
        ask_until(&client, &subject, &body, |answer| answer["status"] == "created").await;
    };
    create("early").await;
    // The second knows less, the first knows all.
    fleet.stop_coordinator_as(SECOND);
    for number in 0..20 {
        create(&format!("late{number}")).await;
    }
    fleet.stop_coordinator_as(FIRST);
    let whole = batches(&client).await;
    for batch in whole.iter().rev().take(12) {
        delete_from_journal(&client, batch.sequence).await;
    }
    // The first to start heals at once, for nobody knows more.
    fleet.start_coordinator_as(FIRST);
    fleet.start_coordinator_as(SECOND);
    let healed = batches(&client).await;
    for (was, is) in whole.iter().zip(&healed) {
        assert_eq!(was.payload, is.payload, "the batch of index {}", was.batch.first_index);
    }
    create("between").await;
    assert_clean(&client).await;

    // Both run, and what was acknowledged last vanishes: whoever leads finds out, and the rest is put back.
    let whole = batches(&client).await;
    let (led, last) = (leader(&client).await, whole.last().unwrap().sequence);
    let before = fleet.log_of_coordinator(other(&led)).len();
    fleet.pause_coordinator(&led);
    let now = batches(&client).await;
    for batch in now.iter().rev().take(3) {
        delete_from_journal(&client, batch.sequence).await;
    }
    said(&fleet, other(&led), before, "the journal is healed").await;
    fleet.wake_coordinator(&led);
    create("after").await;
    let healed = batches(&client).await;
    for (was, is) in now.iter().zip(&healed) {
        assert_eq!(was.payload, is.payload, "the batch of index {}", was.batch.first_index);
    }
    assert!(healed.last().unwrap().sequence > last);
    assert_clean(&client).await;
}
