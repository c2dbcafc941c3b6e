//! The projector on a real nats-server: each event and record once and in order, whatever is killed, lost or full.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails a test")]

mod support;

use std::sync::Arc;

use async_nats::jetstream;
use bioxen_coordinator::fleet::Fleet;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::journal::streams::{self, StreamSettings};
use bioxen_coordinator::projector::records::{read_audit, read_events};
use bioxen_coordinator::projector::verify::verify_audit;
use bioxen_coordinator::projector::{ProjectorError, Start};
use bioxen_coordinator::snapshot::SnapshotError;
use bioxen_protocol::event::EventName;
use serde_json::{Value, json};
use support::{ENTRIES, EVENTS, Lab, NatsServer, RECORDS, WAIT};

async fn open() -> (NatsServer, Lab) {
    let server = NatsServer::start();
    let lab = Lab::open(&server, StreamSettings::default()).await;
    (server, lab)
}

fn folded(lab: &Lab) -> Start {
    let mut fleet = Fleet::new(1);
    for batch in &lab.batches {
        for entry in &batch.batch.entries {
            fleet.evolve(batch.batch.time_ms, entry);
        }
    }
    Start::Fleet { fleet: Box::new(fleet), position: lab.position }
}

#[tokio::test]
async fn a_projector_that_is_killed_and_started_again_tells_everything_once() {
    let (_server, mut lab) = open().await;
    let mut projector = lab.project(Start::FromJournal);
    lab.many_lives(20).await;
    for batch in &lab.batches[..12] {
        projector.sender.send(batch.clone()).await.unwrap();
    }
    projector.until(|progress| progress.audit_index > 0).await;
    projector.kill().await;
    lab.many_lives(20).await;
    lab.project(Start::FromJournal).finish().await;
    lab.assert_all_once(40).await;
    // And again: nothing is left to tell.
    lab.project(Start::FromJournal).finish().await;
    lab.assert_all_once(40).await;
}

#[tokio::test]
async fn batches_that_the_channel_did_not_take_are_read_from_the_journal() {
    let (_server, mut lab) = open().await;
    lab.many_lives(1).await;
    let mut projector = lab.project(Start::FromJournal);
    projector.until(|progress| progress.audit_index == ENTRIES).await;
    lab.many_lives(9).await;
    projector.sender.send(lab.batches[9].clone()).await.unwrap();
    let index = lab.position.index;
    projector.until(|progress| progress.audit_index == index && progress.events_index == index).await;
    lab.assert_all_once(10).await;
    projector.finish().await;
}

#[tokio::test]
async fn a_fleet_is_folded_on_from_where_the_streams_are_complete_and_else_from_the_beginning() {
    let (_server, mut lab) = open().await;
    lab.many_lives(3).await;
    // Nothing is told yet: the fleet given cannot say what happened before it.
    lab.project(folded(&lab)).finish().await;
    lab.assert_all_once(3).await;
    lab.append(vec![Entry::Tick; 3]).await;
    let start = folded(&lab);
    lab.many_lives(3).await;
    // Without its beginning the journal can only be folded on from the fleet given.
    let context = jetstream::new(lab.client.clone());
    context.get_stream(streams::JOURNAL).await.unwrap().purge().sequence(4).await.unwrap();
    lab.project(start).finish().await;
    let places = lab.places(streams::AUDIT).await;
    assert_eq!(places.len() as u64, 6 * RECORDS);
    let error = lab.project(Start::FromJournal).task.await.unwrap().unwrap_err();
    assert!(matches!(error, ProjectorError::Snapshot(SnapshotError::NoBeginning { .. })), "{error}");
}

#[tokio::test]
async fn two_projectors_at_once_tell_everything_once() {
    let (server, mut lab) = open().await;
    lab.many_lives(60).await;
    let other = Lab { client: server.connect().await, ..Lab::open(&server, StreamSettings::default()).await };
    let (one, two) = (lab.project(Start::FromJournal), other.project(Start::FromJournal));
    tokio::join!(one.finish(), two.finish());
    lab.assert_all_once(60).await;
}

#[tokio::test]
async fn a_crash_of_the_server_loses_and_repeats_nothing() {
    let (mut server, mut lab) = open().await;
    lab.many_lives(400).await;
    let mut projector = lab.project(Start::FromJournal);
    projector.until(|progress| progress.audit_index > 0).await;
    server.kill();
    server.start_again();
    lab.many_lives(5).await;
    projector.sender.send(lab.batches[404].clone()).await.unwrap();
    let index = lab.position.index;
    projector.until(|progress| progress.audit_index == index && progress.events_index == index).await;
    lab.assert_all_once(405).await;
    projector.finish().await;
}

#[tokio::test]
async fn events_that_the_server_lost_are_published_again() {
    let (_server, mut lab) = open().await;
    lab.many_lives(2).await;
    let mut projector = lab.project(Start::FromJournal);
    projector.until(|progress| progress.events_index == 2 * ENTRIES).await;
    let context = jetstream::new(lab.client.clone());
    let config = context.get_stream(streams::EVENTS).await.unwrap().get_info().await.unwrap().config;
    context.delete_stream(streams::EVENTS).await.unwrap();
    context.create_stream(config).await.unwrap();
    lab.many_lives(1).await;
    projector.sender.send(lab.batches[2].clone()).await.unwrap();
    projector.finish().await;
    lab.assert_all_once(3).await;
}

#[tokio::test]
async fn a_full_audit_stream_is_reported_and_filled_up_once_it_has_room() {
    let server = NatsServer::start();
    let settings = StreamSettings { audit_max_bytes: 40_000, ..StreamSettings::default() };
    let mut lab = Lab::open(&server, settings).await;
    lab.many_lives(40).await;
    let mut projector = lab.project(Start::FromJournal);
    projector.until(|progress| progress.audit_full).await;
    let index = lab.position.index;
    projector.until(|progress| progress.events_index == index).await;
    let context = jetstream::new(lab.client.clone());
    let mut stream = context.get_stream(streams::AUDIT).await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.max_bytes = 1_000_000;
    context.update_stream(config).await.unwrap();
    projector.until(|progress| !progress.audit_full && progress.audit_index == index).await;
    lab.assert_all_once(40).await;
    projector.finish().await;
}

#[tokio::test]
async fn the_audit_stream_refuses_to_forget() {
    let (_server, mut lab) = open().await;
    lab.many_lives(1).await;
    lab.project(Start::FromJournal).finish().await;
    for (subject, body) in [
        ("$JS.API.STREAM.PURGE.BIOXEN_AUDIT", json!({})),
        ("$JS.API.STREAM.MSG.DELETE.BIOXEN_AUDIT", json!({ "seq": 1 })),
    ] {
        let answer = lab.client.request(subject, body.to_string().into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer["error"]["description"].as_str().unwrap().ends_with("not permitted"), "{answer}");
    }
    lab.assert_all_once(1).await;
}

#[tokio::test]
async fn users_read_their_own_records_page_by_page() {
    let (_server, mut lab) = open().await;
    lab.many_lives(20).await;
    lab.project(Start::FromJournal).finish().await;
    let (client, alice) = (&lab.client, "alice".parse().unwrap());
    let (mut since, mut events) = (0, Vec::new());
    loop {
        let page = read_events(client, &alice, since, 7, WAIT).await.unwrap();
        let Some(last) = page.last() else { break };
        since = last.index;
        events.extend(page);
    }
    assert_eq!(events.len() as u64, 10 * EVENTS);
    assert!(events.iter().all(|event| event.user == alice));
    assert!(events.is_sorted_by(|a, b| a.index <= b.index));
    let created = events.iter().filter(|event| event.event == EventName::Created);
    assert_eq!(created.count(), 10);
    let records = read_audit(client, &alice, 0, 1_000, WAIT).await.unwrap();
    assert_eq!(records.len() as u64, 10 * RECORDS);
    let later = read_audit(client, &alice, 18 * ENTRIES, 1_000, WAIT).await.unwrap();
    assert_eq!(later, records[records.len() - 5..]);
    assert_eq!(read_audit(client, &"carol".parse().unwrap(), 0, 10, WAIT).await.unwrap(), []);
}

#[tokio::test]
async fn somebody_elses_messages_stop_nothing_and_are_found() {
    let (_server, mut lab) = open().await;
    lab.many_lives(1).await;
    lab.project(Start::FromJournal).finish().await;
    let context = jetstream::new(lab.client.clone());
    for subject in ["bioxen.v1.evt.alice.c0.created", "bioxen.v1.audit.alice.create"] {
        context.publish(subject, "{}".into()).await.unwrap().await.unwrap();
    }
    lab.many_lives(1).await;
    lab.project(Start::FromJournal).finish().await;
    let events = read_events(&lab.client, &"alice".parse().unwrap(), 0, 100, WAIT).await.unwrap();
    assert_eq!(events.len() as u64, 2 * EVENTS);
    let verified = verify_audit(&lab.client, lab.position.index, WAIT).await.unwrap();
    assert_eq!(verified.records, 2 * RECORDS + 1);
    assert_eq!(verified.differences.len(), 1, "{:?}", verified.differences);
}

#[tokio::test]
async fn streams_that_tell_more_than_the_journal_are_not_continued() {
    let (server, mut lab) = open().await;
    lab.many_lives(2).await;
    lab.project(Start::FromJournal).finish().await;
    let context = jetstream::new(lab.client.clone());
    context.delete_stream(streams::JOURNAL).await.unwrap();
    let mut lab = Lab::open(&server, StreamSettings::default()).await;
    lab.many_lives(1).await;
    let error = lab.project(Start::FromJournal).task.await.unwrap().unwrap_err();
    let ProjectorError::Ahead { found_index, journal_index, .. } = error else { panic!("{error}") };
    assert_eq!((found_index, journal_index), (2 * ENTRIES, ENTRIES));
}

#[tokio::test]
async fn a_thousand_entries_in_one_batch_are_told() {
    let (_server, mut lab) = open().await;
    lab.many_lives(1).await;
    let entries: Vec<Entry> =
        (0..1_500u64).map(|epoch| Entry::Leader { epoch, coordinator: "c1".to_owned() }).collect();
    lab.append(entries).await;
    let batch = Arc::clone(&lab.batches[1]);
    let mut projector = lab.project(Start::FromJournal);
    projector.sender.send(batch).await.unwrap();
    projector.until(|progress| progress.audit_number == RECORDS + 1_500).await;
    projector.finish().await;
    let verified = verify_audit(&lab.client, lab.position.index, WAIT).await.unwrap();
    assert_eq!((verified.records, verified.differences), (RECORDS + 1_500, Vec::new()));
}

#[tokio::test]
async fn events_that_grew_too_old_are_not_told_again() {
    let (_server, mut lab) = open().await;
    lab.many_lives(2).await;
    lab.project(Start::FromJournal).finish().await;
    let context = jetstream::new(lab.client.clone());
    context.get_stream(streams::EVENTS).await.unwrap().purge().await.unwrap();
    lab.many_lives(1).await;
    lab.project(Start::FromJournal).finish().await;
    assert_eq!(lab.places(streams::EVENTS).await, []);
    assert_eq!(lab.places(streams::AUDIT).await.len() as u64, 3 * RECORDS);
}
