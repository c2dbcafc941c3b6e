//! What the lanes know, held against what the fleet answers, and against what its journal and events say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::Client;
use bioxen_coordinator::journal::{Journal, JournalBatch, Patience, Position};
use bioxen_tests::{ask, ask_until};
use serde_json::{Value, json};

use crate::lane::{Goal, Lane, settle};

/// Each VM is where its accepted commands lead, and there is no other.
pub(crate) async fn check_vms(client: &Client, lanes: &[Lane]) {
    futures::future::join_all(lanes.iter().map(|lane| settle(client, lane))).await;
    for (user, lanes) in by_user(lanes) {
        let list = ask(client, &format!("bioxen.v1.cmd.{user}.list"), &json!({ "limit": 1000 })).await;
        let found: BTreeMap<String, String> = list["vms"]
            .as_array()
            .unwrap()
            .iter()
            .map(|vm| (text(&vm["vm_id"]), text(&vm["state"])))
            .collect();
        let expected: BTreeMap<String, String> = lanes
            .iter()
            .filter(|lane| lane.known.goal != Goal::Absent)
            .map(|lane| (lane.vm.clone(), lane.known.goal.state().to_owned()))
            .collect();
        assert_eq!(found, expected, "the VMs of {user}");
    }
}

/// The quotas used are the sums of what the lanes were given, per user and in all.
pub(crate) async fn check_quotas(client: &Client, lanes: &[Lane]) {
    let mut all = [0; 3];
    for (user, lanes) in by_user(lanes) {
        let mut used = [0; 4];
        for lane in lanes {
            let given = lane.known.allocation;
            let amounts = match lane.known.goal {
                Goal::Absent => [0; 4],
                Goal::Stopped => [1, 0, 0, 0],
                _ => [1, given.atp_percentage, given.ribosomes, given.memory_kb],
            };
            used = std::array::from_fn(|at| used[at] + amounts[at]);
        }
        all = std::array::from_fn(|at| all[at] + used[at]);
        // A decrease is given back when the worker confirms it.
        let quota = |answer: &Value| {
            let used = &answer["used"];
            let percent = used["atp_percentage"].as_f64().unwrap_or(-1.0);
            [number(&used["slots"]), whole(percent), number(&used["ribosomes"]), number(&used["memory_kb"])]
        };
        let subject = format!("bioxen.v1.cmd.{user}.quota");
        ask_until(client, &subject, &Value::Null, |answer| quota(answer) == used).await;
    }
    let fleet = ask(client, "bioxen.v1.cmd.user0.fleet", &Value::Null).await;
    let percent = whole(fleet["global_atp_used"].as_f64().unwrap());
    let found = [number(&fleet["active_vms"]), percent, number(&fleet["global_ribosomes_used"])];
    assert_eq!(found, all, "what the whole fleet holds: {fleet}");
}

/// One event as far as it is counted: its entry, its name, its request.
#[derive(Debug)]
pub(crate) struct Told {
    index: u64,
    event: String,
    key: (String, String),
}

/// Every event of the stream that a request caused, once all that was journaled is told.
pub(crate) async fn events_told(client: &Client) -> Vec<Told> {
    let fleet = ask(client, "bioxen.v1.cmd.user0.fleet", &Value::Null).await;
    let journaled = number(&fleet["index"]);
    let jetstream = async_nats::jetstream::new(client.clone());
    let mut stream = jetstream.get_stream("BIOXEN_EVENTS").await.unwrap();
    // One refusal more, whose event comes after all the others.
    let refused = ask(client, "bioxen.v1.cmd.user0.start.none", &json!({ "request_id": "last" })).await;
    assert_eq!(refused["error"]["code"], "BX010");
    loop {
        let last = stream.info().await.unwrap().state.last_sequence;
        let events: Vec<Value> = read_events(&stream, last).await;
        if events.iter().any(|event| event["request_id"] == "last") {
            assert!(events.iter().any(|event| number(&event["index"]) > journaled));
            return events.iter().filter(|event| event["request_id"].is_string()).map(told).collect();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn read_events(stream: &async_nats::jetstream::stream::Stream, last: u64) -> Vec<Value> {
    let mut events = Vec::new();
    let sequences: Vec<u64> = (1..=last).collect();
    for some in sequences.chunks(256) {
        let read = some.iter().map(|sequence| stream.direct_get(*sequence));
        for message in futures::future::join_all(read).await {
            events.push(serde_json::from_slice(&message.unwrap().payload).unwrap());
        }
    }
    events
}

fn told(event: &Value) -> Told {
    let key = (text(&event["user"]), text(&event["request_id"]));
    Told { index: number(&event["index"]), event: text(&event["event"]), key }
}

/// Every accepted request is the cause of one entry, told once; nothing else is.
pub(crate) async fn check_once_each(client: &Client, lanes: &[Lane], events: &[Told]) {
    let mut caused: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    let mut caused_without_id: BTreeMap<(String, String), u64> = BTreeMap::new();
    let visit = |batch: JournalBatch| {
        for (index, entry) in (batch.batch.first_index..).zip(&batch.batch.entries) {
            let (Some(cause), Some(key)) = (entry.cause(), entry.key()) else { continue };
            let user = cause.user.to_string();
            match &cause.request {
                Some(request) => caused.entry((user, request.id.to_string())).or_default().push(index),
                None => *caused_without_id.entry((user, key.vm.to_string())).or_default() += 1,
            }
        }
    };
    Journal::new(client.clone(), Patience::default()).read_after(Position::START, visit).await.unwrap();
    let mut told: BTreeMap<&(String, String), BTreeSet<u64>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for Told { index, event, key } in events.iter().filter(|told| told.event != "rejected") {
        assert!(seen.insert((index, event)), "event {event} of entry {index} was told twice");
        told.entry(key).or_default().insert(*index);
    }
    let mut accepted = 0;
    for lane in lanes {
        for id in &lane.accepted_ids {
            let key = (lane.user.clone(), id.clone());
            let entries = caused.remove(&key).unwrap_or_default();
            assert_eq!(entries.len(), 1, "entries caused by {key:?}: {entries:?}");
            assert_eq!(told.remove(&key), Some(BTreeSet::from([entries[0]])), "events of {key:?}");
            accepted += 1;
        }
        let entries = caused_without_id.remove(&(lane.user.clone(), lane.vm.clone())).unwrap_or_default();
        assert_eq!(
            entries, lane.accepted_without_id,
            "commands without an id of {}'s {}",
            lane.user, lane.vm
        );
        accepted += lane.accepted_without_id;
    }
    assert_eq!(caused, BTreeMap::new(), "effects of requests that nobody was told of");
    assert_eq!(told, BTreeMap::new(), "events of requests that nobody was told of");
    println!(
        "{accepted} accepted commands are the cause of one entry each; {} events were told once",
        seen.len()
    );
}

fn by_user(lanes: &[Lane]) -> BTreeMap<&str, Vec<&Lane>> {
    let mut users: BTreeMap<&str, Vec<&Lane>> = BTreeMap::new();
    for lane in lanes {
        users.entry(&lane.user).or_default().push(lane);
    }
    users
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// The lanes ask for whole percents only.
#[expect(clippy::cast_possible_truncation, reason = "whole and far below the bounds")]
pub(crate) fn whole(percent: f64) -> u64 {
    percent as u64
}
