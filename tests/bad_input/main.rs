//! Bad input: each message is refused with its typed error, changes nothing and fells nothing.
//!
//! ```text
//!   encodings.rs  bodies that cannot be read          submits.rs  the durable door, answered by events
//!   creates.rs    `create` field by field             bus.rs      what nats-server itself refuses
//!   commands.rs   verbs, subjects, states, VMs        fleet.rs    the fleet that they are sent to, and its state
//! ```

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

mod bus;
mod case;
mod commands;
mod creates;
mod encodings;
mod fleet;
mod submits;

use std::collections::BTreeMap;

use bioxen_tests::{ask, assert_clean};
use fleet::{Fleet, Seen, audit_after, journaled_refusals};
use serde_json::json;

/// Fewer would mean that a table got lost.
const CASES_LEAST: usize = 200;

fn count<'a>(codes: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for code in codes {
        *counts.entry(code).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_message_gets_its_typed_error_and_changes_nothing() {
    let mut fleet = Fleet::start().await;
    let rows = fleet.rows_of_a_stopped_coordinator().await;
    let client = fleet.connect_to_a_settled_fleet().await;
    let before = Seen::now(&client).await;
    let from = before.index;

    let tables =
        [("encodings", encodings::cases()), ("create", creates::cases()), ("commands", commands::cases())];
    let (mut least, mut most) = (0, 0);
    for (table, cases) in &tables {
        for case in cases {
            case.check(&client).await;
            let after = Seen::now(&client).await;
            assert_eq!(after.state, before.state, "{case:?} changed something");
            least += u64::from(case.is_journaled() == Some(true));
            most += u64::from(case.is_journaled() != Some(false));
        }
        println!("{table}: {} cases, by code {:?}", cases.len(), count(cases.iter().map(|case| case.code)));
    }
    let all: Vec<_> = tables.iter().flat_map(|(_, cases)| cases).collect();
    println!("all: {} cases, by code {:?}", all.len(), count(all.iter().map(|case| case.code)));
    assert!(all.len() >= CASES_LEAST, "{} cases", all.len());

    // Only refusals were journaled, and none was lost.
    let refused = journaled_refusals(&client, from, least..=most).await;
    println!("{refused} refusals journaled, of {least} to {most} that are no reads'");
    let wrong: Vec<_> =
        audit_after(&client, from).await.into_iter().filter(|it| it["outcome"] != "rejected").collect();
    assert!(wrong.is_empty(), "{wrong:?}");

    // The next good command works.
    let made = ask(&client, "bioxen.v1.cmd.alice.create.new", &json!({ "biological_type": "syn3a" })).await;
    assert_eq!(made["status"], "created", "{made}");
    let twelve = ask(&client, "bioxen.v1.cmd.alice.allocate.new", &json!({ "ribosomes": 12.0 })).await;
    assert_eq!(twelve["allocation"]["ribosomes"], 12, "{twelve}");
    let gone = ask(&client, "bioxen.v1.cmd.alice.destroy.new", &json!({})).await;
    assert_eq!(gone["state"], "destroyed", "{gone}");
    assert_clean(&client).await;

    let mut rows_after = fleet.rows_of_a_stopped_coordinator().await;
    let new = rows_after.remove("alice: VM new").expect("the row of the good command");
    assert!(new.contains("\"destroyed\""), "{new}");
    assert_eq!(rows_after, rows, "the ledger's rows changed");
    println!("{} rows of the ledger are as before", rows.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_durable_command_is_told_as_an_event_and_changes_nothing() {
    let fleet = Fleet::start().await;
    let client = fleet.connect_to_a_settled_fleet().await;
    let before = Seen::now(&client).await;
    let codes = submits::check_all(&client).await;
    println!("submit: {} cases, by code {:?}", codes.len(), count(codes.iter().copied()));
    assert_eq!(Seen::now(&client).await.state, before.state);
    submits::check_that_a_good_one_works(&client).await;
    assert_clean(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bus_refuses_never_arrives() {
    let fleet = Fleet::start().await;
    let client = fleet.connect_to_a_settled_fleet().await;
    let before = Seen::now(&client).await;
    let refused = bus::check_all(fleet.port(), &client).await;
    for (what, answer) in &refused {
        println!("refused by the bus: {what}: {answer}");
    }
    assert_eq!(Seen::now(&client).await.state, before.state);
    let wrong = audit_after(&client, before.index).await;
    assert!(wrong.is_empty(), "{wrong:?}");
    let made = ask(&client, "bioxen.v1.cmd.alice.create.new", &json!({ "biological_type": "syn3a" })).await;
    assert_eq!(made["status"], "created", "{made}");
    assert_clean(&client).await;
}
