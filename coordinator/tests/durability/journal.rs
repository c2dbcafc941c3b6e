//! The journal against a real nats-server: fencing, lost answers, proof of the chain.

use crate::support::{NatsServer, Proxy, append, batch_after, connect, patience};
use bioxen_coordinator::journal::server::{self, ServerError, SyncAlways};
use bioxen_coordinator::journal::streams::{self, Ensured, StreamError, StreamSettings};
use bioxen_coordinator::journal::{
    AppendError, Journal, Patience, Position, ReadError, append::Found, batch::Hash,
};
use serde_json::json;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(20);

async fn journal_on(server: &NatsServer) -> (Journal, async_nats::Client) {
    let client = server.connect().await;
    streams::ensure(&client, &StreamSettings::default(), WAIT).await.unwrap();
    (Journal::new(client.clone(), patience()), client)
}

async fn delete(client: &async_nats::Client, sequence: u64) {
    let subject = format!("$JS.API.STREAM.MSG.DELETE.{}", streams::JOURNAL);
    let body = json!({ "seq": sequence }).to_string();
    let answer = client.request(subject, body.into()).await.unwrap();
    assert!(String::from_utf8_lossy(&answer.payload).contains("\"success\":true"));
}

#[tokio::test]
async fn streams_are_created_once_and_found_again() {
    let server = NatsServer::start();
    let client = server.connect().await;
    let settings = StreamSettings::default();
    let first = streams::ensure(&client, &settings, WAIT).await.unwrap();
    assert_eq!(first.len(), 4);
    assert!(first.iter().all(|(_, ensured)| *ensured == Ensured::Created));
    let second = streams::ensure(&client, &settings, WAIT).await.unwrap();
    assert!(second.iter().all(|(_, ensured)| *ensured == Ensured::Existed));
}

#[tokio::test]
async fn a_stream_with_other_settings_is_refused_and_each_setting_named() {
    let server = NatsServer::start();
    let client = server.connect().await;
    let body = json!({
        "name": streams::AUDIT, "subjects": [streams::AUDIT_SUBJECTS], "storage": "file",
        "retention": "limits", "num_replicas": 1, "max_age": 1_000_000_000_000_u64,
    });
    client
        .request(format!("$JS.API.STREAM.CREATE.{}", streams::AUDIT), body.to_string().into())
        .await
        .unwrap();
    let error = streams::ensure(&client, &StreamSettings::default(), WAIT).await.unwrap_err();
    let StreamError::Different { stream, mismatches } = &error else { panic!("{error}") };
    assert_eq!(*stream, streams::AUDIT);
    let settings: Vec<_> = mismatches.iter().map(|mismatch| mismatch.setting.as_str()).collect();
    for setting in ["deny_delete", "deny_purge", "discard", "max_age", "allow_atomic", "max_bytes"] {
        assert!(settings.contains(&setting), "{setting} in {settings:?}");
    }
    assert!(error.to_string().contains("max_age: expected 0, found 1000000000000"), "{error}");
}

#[tokio::test]
async fn a_server_is_checked_before_it_is_used() {
    let server = NatsServer::start();
    server::check(&server.connect().await, WAIT).await.unwrap();
    let without = NatsServer::start_with("");
    let error = server::check(&without.connect().await, WAIT).await.unwrap_err();
    assert!(matches!(error, ServerError::NoJetStream { .. }), "{error}");
    let small = NatsServer::start_with(
        "max_payload: 65536\njetstream { store_dir: \"STORE\", sync_interval: always }",
    );
    let error = server::check(&small.connect().await, WAIT).await.unwrap_err();
    assert!(matches!(error, ServerError::PayloadTooSmall { found_bytes: 65536, .. }), "{error}");
}

#[tokio::test]
async fn an_old_server_is_refused_with_where_to_get_a_newer_one() {
    let port = crate::support::server_that_claims_version("2.9.10").await;
    let error = server::check(&connect(port).await, WAIT).await.unwrap_err();
    assert!(matches!(&error, ServerError::TooOld { found } if found == "2.9.10"), "{error}");
    assert!(error.to_string().contains("needs 2.12 or newer: get one from"), "{error}");
}

#[tokio::test]
async fn the_monitoring_page_tells_whether_every_write_is_synced() {
    let always = NatsServer::start();
    assert_eq!(server::sync_always(Some(&always.monitoring_url), WAIT).await, SyncAlways::Yes);
    let seldom = NatsServer::start_with("jetstream { store_dir: \"STORE\" }");
    let found = server::sync_always(Some(&seldom.monitoring_url), WAIT).await;
    assert_eq!(found, SyncAlways::No { interval_s: 120 });
    assert!(matches!(server::sync_always(None, WAIT).await, SyncAlways::CannotTell { .. }));
}

#[tokio::test]
async fn batches_come_back_in_order_with_their_chain_proved() {
    let server = NatsServer::start();
    let (journal, _) = journal_on(&server).await;
    let mut position = Position::START;
    for _ in 0..1200 {
        position = append(&journal, &position, &["a", "b"]).await.position();
    }
    let (batches, end) = journal.read_from(Position::START).await.unwrap();
    assert_eq!(batches.len(), 1200);
    assert_eq!(end.position, position);
    assert_eq!(end.position.index, 2400);
    assert_eq!((end.missing_at_end(), end.fence()), (0, 1200));
    let (tail, _) = journal.read_from(batches[1190].position()).await.unwrap();
    assert_eq!(tail, batches[1191..]);
}

#[tokio::test]
async fn the_largest_batch_is_appended_and_read() {
    let server = NatsServer::start();
    let (journal, _) = journal_on(&server).await;
    let large = "x".repeat(70 * 1024);
    let mut position = Position::START;
    for _ in 0..20 {
        position = append(&journal, &position, &[large.as_str(); 7]).await.position();
    }
    let end = journal.read_after(Position::START, |_| ()).await.unwrap();
    assert_eq!((end.position, end.batches), (position, 20));
}

#[tokio::test]
async fn a_second_writer_is_fenced_and_learns_who_came_first() {
    let server = NatsServer::start();
    let (journal, _) = journal_on(&server).await;
    append(&journal, &Position::START, &["first"]).await;
    let (payload, hash) = batch_after(&Position::START, &["second"]).encode().unwrap();
    let error = journal.append(payload, &hash, 0).await.unwrap_err();
    let AppendError::Superseded { sequence: 1, found: Found::Batch { fleet, first_index: 1, .. } } = error
    else {
        panic!("{error}")
    };
    assert_eq!(fleet, "lab");
    assert_eq!(journal.state().await.unwrap().messages, 1);
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_found_and_stands_once() {
    let server = NatsServer::start();
    let (direct, _) = journal_on(&server).await;
    let proxy = Proxy::start(server.port).await;
    let journal = Journal::new(connect(proxy.port).await, patience());
    let first = append(&journal, &Position::START, &["first"]).await;
    proxy.lose_next_answer();
    let second = append(&journal, &first.position(), &["second"]).await;
    assert!(proxy.has_lost_it());
    assert_eq!(second.sequence, 2);
    let third = append(&journal, &second.position(), &["third"]).await;
    let (batches, end) = direct.read_from(Position::START).await.unwrap();
    assert_eq!(batches.len(), 3);
    assert_eq!(end.position, third.position());
}

#[tokio::test]
async fn the_same_bytes_appended_twice_stand_once() {
    let server = NatsServer::start();
    let (journal, _) = journal_on(&server).await;
    let first = append(&journal, &Position::START, &["first"]).await;
    let again = journal.append(first.payload.clone(), &first.hash, 0).await.unwrap();
    assert_eq!(again, 1);
    assert_eq!(journal.state().await.unwrap().messages, 1);
}

#[tokio::test]
async fn an_append_waits_for_a_server_that_restarts() {
    let mut server = NatsServer::start();
    let (journal, _) = journal_on(&server).await;
    let first = append(&journal, &Position::START, &["first"]).await;
    server.kill();
    let journal_there = journal.clone();
    let position = first.position();
    let waiting = tokio::spawn(async move { append(&journal_there, &position, &["second"]).await });
    server.start_again();
    assert_eq!(waiting.await.unwrap().sequence, 2);
}

#[tokio::test]
async fn an_append_that_no_server_answers_is_unknown() {
    let mut server = NatsServer::start();
    let client = server.connect().await;
    streams::ensure(&client, &StreamSettings::default(), WAIT).await.unwrap();
    let short = Patience { answer: Duration::from_millis(50), total: Duration::from_millis(200) };
    let journal = Journal::new(client, short);
    server.kill();
    let (payload, hash) = batch_after(&Position::START, &["first"]).encode().unwrap();
    let error = journal.append(payload, &hash, 0).await.unwrap_err();
    assert!(matches!(error, AppendError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn a_full_journal_says_so_and_keeps_what_it_has() {
    let server = NatsServer::start();
    let client = server.connect().await;
    let settings = StreamSettings { journal_max_bytes: 200_000, ..StreamSettings::default() };
    streams::ensure(&client, &settings, WAIT).await.unwrap();
    let journal = Journal::new(client, patience());
    let large = "x".repeat(70 * 1024);
    let mut position = append(&journal, &Position::START, &[&large]).await.position();
    position = append(&journal, &position, &[&large]).await.position();
    let (payload, hash) = batch_after(&position, &[&large]).encode().unwrap();
    let error = journal.append(payload, &hash, position.sequence).await.unwrap_err();
    assert!(matches!(error, AppendError::Full { .. }), "{error}");
    assert_eq!(append(&journal, &position, &["small"]).await.sequence, 3);
}

#[tokio::test]
async fn a_tail_lost_under_a_leader_stops_it() {
    let server = NatsServer::start();
    let (journal, client) = journal_on(&server).await;
    let first = append(&journal, &Position::START, &["first"]).await;
    let second = append(&journal, &first.position(), &["second"]).await;
    delete(&client, 2).await;
    let (payload, hash) = batch_after(&first.position(), &["other"]).encode().unwrap();
    let error = journal.append(payload, &hash, 1).await.unwrap_err();
    assert!(matches!(error, AppendError::Lost { expected_sequence: 1, last_sequence: 2 }), "{error}");
    let end = journal.read_after(Position::START, |_| ()).await.unwrap();
    assert_eq!((end.position, end.missing_at_end(), end.fence()), (first.position(), 1, second.sequence));
}

#[tokio::test]
async fn a_leader_looks_over_a_new_connection_and_finds_the_tail_lost() {
    let server = NatsServer::start();
    let (journal, client) = journal_on(&server).await;
    let first = append(&journal, &Position::START, &["first"]).await;
    let second = append(&journal, &first.position(), &["second"]).await;
    let (payload, hash) = batch_after(&second.position(), &["third"]).encode().unwrap();
    delete(&client, 2).await;
    let error = journal.append_until_decided(payload, &hash, 2, true).await.unwrap_err();
    assert!(matches!(error, AppendError::Lost { expected_sequence: 2, last_sequence: 2 }), "{error}");
    assert_eq!(journal.state().await.unwrap().messages, 1);
    let (other, hash) = batch_after(&first.position(), &["other"]).encode().unwrap();
    assert_eq!(journal.append_until_decided(other, &hash, 2, true).await.unwrap(), 3);
}

#[tokio::test]
async fn a_batch_missing_in_the_middle_is_named() {
    let server = NatsServer::start();
    let (journal, client) = journal_on(&server).await;
    let mut position = Position::START;
    for _ in 0..5 {
        position = append(&journal, &position, &["a", "b"]).await.position();
    }
    delete(&client, 3).await;
    let mut read = 0;
    let error = journal.read_after(Position::START, |_| read += 1).await.unwrap_err();
    assert!(matches!(error, ReadError::Gap { sequence: 4, expected_index: 5, found_index: 7 }), "{error}");
    assert_eq!(read, 2);
}

#[tokio::test]
async fn a_foreign_message_in_the_journal_is_named() {
    let server = NatsServer::start();
    let (journal, client) = journal_on(&server).await;
    let first = append(&journal, &Position::START, &["first"]).await;
    let mut foreign = batch_after(&first.position(), &["foreign"]);
    foreign.previous_hash = Hash::of(b"elsewhere");
    let (payload, _) = foreign.encode().unwrap();
    client.request(streams::JOURNAL_SUBJECT, payload).await.unwrap();
    let error = journal.read_after(Position::START, |_| ()).await.unwrap_err();
    assert!(matches!(error, ReadError::ChainBroken { sequence: 2, index: 2, .. }), "{error}");

    client.request(streams::JOURNAL_SUBJECT, "hello".into()).await.unwrap();
    delete(&client, 2).await;
    let error = journal.read_after(Position::START, |_| ()).await.unwrap_err();
    assert!(matches!(error, ReadError::Undecodable { sequence: 3, expected_index: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_follower_reads_what_another_appends() {
    let server = NatsServer::start();
    let (journal, _) = journal_on(&server).await;
    let mut follower = journal.follow(Position::START);
    let (nothing, _) = follower.next(Duration::ZERO).await.unwrap();
    assert!(nothing.is_empty());
    let first = append(&journal, &Position::START, &["first"]).await;
    let (batches, end) = follower.next(WAIT).await.unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!(end.position, first.position());
    assert_eq!(follower.position(), first.position());
}
