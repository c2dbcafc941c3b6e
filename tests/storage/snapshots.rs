//! Snapshots and compaction: the journal loses its beginning, and nothing else is lost.

use async_nats::Client;
use bioxen_tests::{Options, TestFleet, ask, ask_until};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::answers::{answers, assert_same, said_since};
use crate::store::{batches, copy_folder, delete_from_journal, populate, put_back};
use crate::{assert_clean, assert_works, stream};

const JOURNAL: &str = "BIOXEN_JOURNAL";
/// A snapshot every few entries, and nothing waits for disks.
const OFTEN: &str = "[snapshots]\nevery_entries = 40\npause_seconds = 0\nsettled_seconds = 0\n";

async fn start() -> (TestFleet, Client) {
    let fleet = TestFleet::start(&Options { resources: OFTEN.to_owned(), ..Options::default() });
    let client = fleet.connect().await;
    populate(&client).await;
    (fleet, client)
}

/// Works until the journal's first sequence is above one; the new first sequence.
async fn compacted_beyond(client: &Client, sequence: u64) -> u64 {
    for number in 0.. {
        let (first, ..) = stream(client, JOURNAL).await;
        if first > sequence {
            return first;
        }
        assert!(number < 400, "the journal is not compacted");
        assert_works(client, &format!("busy{number}")).await;
    }
    unreachable!("it ends inside")
}

/// The snapshots that stand, by index.
async fn snapshots(client: &Client) -> Vec<u64> {
    let survey = ask(client, "bioxen.v1.ops.tester.backup", &Value::Null).await;
    survey["snapshots"].as_array().unwrap().iter().map(|one| one["index"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_journal_verifies_and_a_new_ledger_begins_with_a_snapshot() {
    let (mut fleet, client) = start().await;
    let first = compacted_beyond(&client, 1).await;
    let first = compacted_beyond(&client, first).await;
    assert!(snapshots(&client).await.len() >= 2);
    let verified = assert_clean(&client).await;
    let index = ask(&client, "bioxen.v1.cmd.alice.fleet", &Value::Null).await["index"].as_u64().unwrap();
    assert!(verified["entries"].as_u64().unwrap() < index, "{verified} at index {index}");
    let before = answers(&client).await;

    fleet.stop_coordinator();
    std::fs::remove_dir_all(fleet.ledger()).unwrap();
    let said = fleet.log("coordinator").len();
    fleet.start_coordinator();
    let said = said_since(&fleet, "coordinator", said);
    assert!(said.contains("rebuilt from the journal") && !said.contains("snapshot_index=0"), "{said}");
    assert_same(&answers(&client).await, &before);
    assert_works(&client, "later").await;
    assert_clean(&client).await;
    let last = compacted_beyond(&client, first).await;
    assert_clean(&client).await;
    fleet.kill_coordinator();
    fleet.start_coordinator();
    assert_works(&client, "after").await;
    assert_clean(&client).await;
    println!("the journal began at sequence {first}, then {last}; all verified at every point");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_a_snapshot_and_a_damaged_one_is_passed_over() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    populate(&client).await;
    let taken = ask(&client, "bioxen.v1.ops.tester.snapshot", &Value::Null).await;
    let index = taken["index"].as_u64().unwrap();
    assert!(taken["bytes"].as_u64() > Some(100) && taken["rows"].as_u64() > Some(10), "{taken}");
    assert_works(&client, "later").await;
    let newer = ask(&client, "bioxen.v1.ops.tester.snapshot", &Value::Null).await["index"].as_u64().unwrap();
    assert!(newer > index);
    assert_eq!(snapshots(&client).await, [index, newer]);
    let whole = batches(&client).await;
    assert!(whole.iter().any(|batch| batch.batch.last_index() == newer), "no batch ends at index {newer}");
    assert_clean(&client).await;

    let bucket =
        async_nats::jetstream::new(client.clone()).get_object_store("BIOXEN_SNAPSHOTS").await.unwrap();
    let name = format!("{newer:020}");
    let mut bytes = Vec::new();
    bucket.get(&name).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bucket.put(name.as_str(), &mut bytes.as_slice()).await.unwrap();
    let verified = bioxen_tests::verify(&client).await;
    let named = verified["differences"].as_array().unwrap();
    assert!(named.iter().any(|one| one["place"] == "snapshot" && one["index"] == newer), "{verified:#}");

    let mut fleet = fleet;
    fleet.stop_coordinator();
    std::fs::remove_dir_all(fleet.ledger()).unwrap();
    let said = fleet.log("coordinator").len();
    fleet.start_coordinator();
    let said = said_since(&fleet, "coordinator", said);
    assert!(said.contains("passed over") && said.contains(&format!("snapshot_index={index}")), "{said}");
    assert_works(&client, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_journal_heals_and_an_old_ledger_is_set_aside() {
    let (mut fleet, client) = start().await;
    fleet.stop_coordinator();
    let old = fleet.folder().join("old-ledger");
    copy_folder(&fleet.ledger(), &old);
    fleet.start_coordinator();
    let first = compacted_beyond(&client, 1).await;
    compacted_beyond(&client, first).await;
    let before = answers(&client).await;

    fleet.stop_coordinator();
    let (_, last, _) = stream(&client, JOURNAL).await;
    for sequence in (last - 4..=last).rev() {
        delete_from_journal(&client, sequence).await;
    }
    let said = fleet.log("coordinator").len();
    fleet.start_coordinator();
    let said = said_since(&fleet, "coordinator", said);
    assert!(said.contains("the journal is healed"), "{said}");
    assert_same(&answers(&client).await, &before);
    assert_clean(&client).await;

    fleet.stop_coordinator();
    put_back(&old, &fleet.ledger());
    let said = fleet.log("coordinator").len();
    fleet.start_coordinator();
    let said = said_since(&fleet, "coordinator", said);
    assert!(said.contains("too old to join"), "{said}");
    assert_same(&answers(&client).await, &before);
    assert_works(&client, "later").await;
    assert_clean(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_audit_go_on_without_a_gap_over_a_compacted_journal() {
    let (mut fleet, client) = start().await;
    compacted_beyond(&client, 1).await;
    let audit = ask(&client, "bioxen.v1.cmd.dave.audit", &json!({ "limit": 1000 })).await;
    let seen = audit["audit"].as_array().unwrap().len();
    // Without a projector that could have told them meanwhile: it has to fold again to see what is missing.
    fleet.kill_coordinator();
    fleet.start_coordinator();
    assert_works(&client, "later").await;
    assert_clean(&client).await;
    let more = |answer: &Value| answer["audit"].as_array().is_some_and(|all| all.len() > seen);
    let ask_for = json!({ "limit": 1000 });
    let audit = ask_until(&client, "bioxen.v1.cmd.dave.audit", &ask_for, more).await;
    let numbers: Vec<u64> =
        audit["audit"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ledger_and_snapshots_a_compacted_journal_is_refused_in_words() {
    let (mut fleet, client) = start().await;
    compacted_beyond(&client, 1).await;
    fleet.stop_coordinator();
    std::fs::remove_dir_all(fleet.ledger()).unwrap();
    let emptied = ask(&client, "$JS.API.STREAM.PURGE.OBJ_BIOXEN_SNAPSHOTS", &Value::Null).await;
    assert_eq!(emptied["success"], true, "{emptied}");
    let (exit_code, said) = fleet.coordinator_that_ends(&[]);
    assert_eq!(exit_code, Some(1), "{said}");
    assert!(said.contains("no snapshot in BIOXEN_SNAPSHOTS joins it") && said.contains("backup"), "{said}");
}
