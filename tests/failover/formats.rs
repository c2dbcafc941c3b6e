//! Formats of the journal: what is new is written once every live coordinator knows it, and what a coordinator cannot
//! read stops it, with words.

use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::fleet::format::Format;
use bioxen_coordinator::journal::{Batch, Hash};
use bioxen_tests::{FIRST, Options, TestFleet, ask, ask_until};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::journal::batches;
use crate::{SECOND, assert_clean, two_coordinators};

async fn activated(client: &async_nats::Client) -> Vec<Format> {
    let entries = batches(client).await.into_iter().flat_map(|batch| batch.batch.entries);
    entries
        .filter_map(|entry| if let Entry::Activate { format } = entry { Some(format) } else { None })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_is_activated_once_every_live_coordinator_knows_it() {
    let mut fleet = TestFleet::without_workers(&Options::default());
    let client = fleet.connect().await;
    while activated(&client).await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(activated(&client).await, [Format::NEWEST]);
    fleet.stop_coordinator_as(FIRST);

    // An empty journal again, and beside it a coordinator of a version before.
    let purged = ask(&client, "$JS.API.STREAM.PURGE.BIOXEN_JOURNAL", &Value::Null).await;
    assert_eq!(purged["success"], true, "{purged}");
    std::fs::remove_dir_all(fleet.ledger()).unwrap();
    let mut questions = client.subscribe("bioxen.v1.coordinator.peers").await.unwrap();
    let answering = client.clone();
    let older = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let format = json!({ "major": 1, "minor": 0 });
            let peer = json!({ "name": "older", "boot": "b", "version": "0.0.9", "index": 0, "leads": false, "format": format });
            answering.publish(question.reply.unwrap(), peer.to_string().into()).await.unwrap();
        }
    });
    delete_audit(&client).await;
    fleet.start_coordinator_as(FIRST);
    let create = json!({ "biological_type": "syn3a" });
    assert_eq!(ask(&client, "bioxen.v1.cmd.alice.create.c1", &create).await["status"], "created");
    fleet.stop_coordinator_as(FIRST);
    assert_eq!(activated(&client).await, []);
    let resigned = batches(&client).await.into_iter().flat_map(|batch| batch.batch.entries);
    assert!(
        !resigned.into_iter().any(|entry| matches!(entry, Entry::Resign { .. })),
        "written before it was activated"
    );

    older.abort();
    fleet.start_coordinator_as(FIRST);
    while activated(&client).await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_clean(&client).await;
}

/// Events and audit of the fleet before.
async fn delete_audit(client: &async_nats::Client) {
    for stream in ["BIOXEN_AUDIT", "BIOXEN_EVENTS"] {
        ask_until(client, &format!("$JS.API.STREAM.DELETE.{stream}"), &Value::Null, |answer| {
            answer["success"] == true
        })
        .await;
    }
}

/// Puts bytes behind a message of the journal, as a coordinator of a later version would; false where another stands there.
async fn append(client: &async_nats::Client, behind: u64, payload: Vec<u8>) -> bool {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Expected-Last-Sequence", behind.to_string());
    let answer = client.request_with_headers("bioxen.v1.journal", headers, payload.into()).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
    answer["stream"] == "BIOXEN_JOURNAL" && answer["error"].is_null()
}

/// The next batch, with the major number of a format, and the sequence behind which it belongs.
async fn next_batch(client: &async_nats::Client, format: u16, entries: Vec<Entry>) -> (Batch, u64) {
    let last = batches(client).await.pop().unwrap();
    let next = Batch {
        format,
        first_index: last.batch.last_index() + 1,
        previous_hash: Hash::of(&last.payload),
        entries,
        ..last.batch
    };
    (next, last.sequence)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_major_format_is_refused_with_words_and_nothing_is_skipped() {
    let mut fleet = two_coordinators();
    let client = fleet.connect().await;
    // Nobody writes while the later version does.
    fleet.stop_coordinator_as(SECOND);
    fleet.stop_coordinator_as(FIRST);
    let (later, behind) = next_batch(&client, 2, vec![Entry::Tick]).await;
    assert!(append(&client, behind, rmp_serde::to_vec_named(&later).unwrap()).await);
    let said_before = fleet.log_of_coordinator(FIRST).len();
    let (exit_code, said) = fleet.coordinator_that_ends(&[]);
    assert_eq!(exit_code, Some(1));
    let said = &said[said_before..];
    assert!(
        said.contains("has format 2") && said.contains(&format!("knows format {}", Format::NEWEST)),
        "{said}"
    );
    assert!(said.contains("start a version that knows format 2") && said.contains("never skipped"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_of_entry_that_is_not_known_stops_a_follower_and_a_leader() {
    #[derive(serde::Serialize)]
    enum Later {
        Painted { colour: &'static str },
    }
    #[derive(serde::Serialize)]
    struct LaterBatch {
        format: u16,
        fleet: String,
        incarnation: u64,
        epoch: u64,
        first_index: u64,
        time_ms: u64,
        previous_hash: Hash,
        submit_sequence: u64,
        entries: Vec<Later>,
    }
    let mut fleet = two_coordinators();
    let client = fleet.connect().await;
    fleet.pause_coordinator(FIRST);
    loop {
        let (next, behind) = next_batch(&client, 1, Vec::new()).await;
        let later = LaterBatch {
            format: next.format,
            fleet: next.fleet,
            incarnation: next.incarnation,
            epoch: next.epoch,
            first_index: next.first_index,
            time_ms: next.time_ms,
            previous_hash: next.previous_hash,
            submit_sequence: next.submit_sequence,
            entries: vec![Later::Painted { colour: "blue" }],
        };
        // What the leader sent last may have been on its way.
        if append(&client, behind, rmp_serde::to_vec_named(&later).unwrap()).await {
            break;
        }
    }
    fleet.wake_coordinator(FIRST);
    for name in [FIRST, SECOND] {
        let (exit_code, said) = fleet.end_of_coordinator_as(name);
        assert_eq!(exit_code, Some(1), "{name}: {said}");
        assert!(said.contains("Painted") && said.contains("never skipped"), "{name}: {said}");
    }
}
