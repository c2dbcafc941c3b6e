//! Several coordinators: whoever leads may be killed, stopped, paused or told to end, and another goes on.
//!
//! Clients are believed for what they were answered; what the fleet came to is read from its answers and verified.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "what was measured is shown by --nocapture")]

mod formats;
mod healing;
#[path = "../store/journal.rs"]
mod journal;
mod lanes;

use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_coordinator::fleet::entry::Entry;
use bioxen_tests::{
    FIRST, Options, START_PATIENCE, TestFleet, ask, ask_until, assert_clean, code, first_accepted, leader,
    metric, metrics, peers, roomy_worker,
};
use journal::batches;
use lanes::{check_kept, lanes, patient_lanes};
use serde_json::{Value, json};

const SECOND: &str = "coordinator-2";
/// Kills of the leader; more of them by BIOXEN_FAILOVER_ROUNDS.
const ROUNDS: usize = 3;
/// A busy machine is slow to end a process; who is not answered by then is not answered.
const PATIENCE: Duration = Duration::from_secs(30);

fn two_coordinators() -> TestFleet {
    let resources = "global_atp_limit = 10000000.0\nglobal_ribosome_limit = 5000000\nmax_concurrent_vms = 100000\nmax_vms_per_user = 10000\n";
    let workers = vec![roomy_worker("w1")];
    let mut fleet = TestFleet::start(&Options { resources: resources.to_owned(), workers });
    fleet.start_coordinator_as(SECOND);
    fleet
}

fn other(name: &str) -> &'static str {
    if name == FIRST { SECOND } else { FIRST }
}

/// The coordinators that the journal says to have led, in order.
async fn leaders(client: &Client) -> Vec<String> {
    let batches = batches(client).await;
    let entries = batches.into_iter().flat_map(|batch| batch.batch.entries);
    entries
        .filter_map(|entry| match entry {
            Entry::Leader { coordinator, .. } => Some(coordinator),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_passes_commands_on_and_answers_nothing_itself() {
    let fleet = two_coordinators();
    let client = fleet.connect().await;
    let create = json!({ "biological_type": "syn3a", "auto_start": true });
    // Half of them are taken by the follower.
    for number in 0..40 {
        let created = ask(&client, &format!("bioxen.v1.cmd.alice.create.c{number}"), &create).await;
        assert_eq!(created["status"], "created", "{created}");
        let again = ask(&client, &format!("bioxen.v1.cmd.alice.create.c{number}"), &create).await;
        assert_eq!(code(&again), "BX015", "{again}");
        let workers = ask(&client, "bioxen.v1.ops.root.workers", &Value::Null).await;
        assert_eq!(workers["workers"].as_array().unwrap().len(), 1, "{workers}");
    }
    let unknown = ask(&client, "bioxen.v1.cmd.alice.creat", &Value::Null).await;
    assert_eq!(code(&unknown), "BX008", "{unknown}");
    let large = "x".repeat(900 * 1024);
    for _ in 0..8 {
        let refused =
            ask(&client, "bioxen.v1.cmd.alice.create.large", &json!({ "labels": { "x": large } })).await;
        assert_eq!(code(&refused), "BX008", "{refused}");
    }
    // The leader's ticks go on: the follower is as far as it at some moment, not at each.
    let begun = Instant::now();
    loop {
        let said = peers(&client).await;
        if let [leads, follows] = &said[..]
            && leads["index"] == follows["index"]
        {
            assert_eq!((&leads["leads"], &follows["leads"]), (&json!(true), &json!(false)), "{said:?}");
            break;
        }
        assert!(begun.elapsed() < START_PATIENCE, "the follower is behind: {said:?}");
    }
    assert_clean(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_forwards_are_dropped_or_as_good_as_the_command_itself() {
    let fleet = two_coordinators();
    let client = fleet.connect().await;
    let forge = async |subject: &str, reply: Option<&str>| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Bioxen-Subject", subject);
        reply.inspect(|reply| headers.insert("Bioxen-Reply", *reply));
        let epoch = batches(&client).await.last().unwrap().batch.epoch;
        let sent = client
            .publish_with_reply_and_headers(
                format!("bioxen.v1.coordinator.{epoch}.forward"),
                client.new_inbox(),
                headers,
                r#"{"biological_type":"syn3a"}"#.into(),
            )
            .await;
        sent.unwrap();
    };
    forge("bioxen.v1.worker.w1.b1.report", None).await;
    forge("bioxen.v1.cmd.alice.create.evil", Some("bioxen.v1.journal")).await;
    forge("bioxen.v1.cmd.alice.create.evil", Some("$JS.API.STREAM.PURGE.BIOXEN_JOURNAL")).await;
    forge("bioxen.v1.cmd.alice.create.known", None).await;
    let status = "bioxen.v1.cmd.alice.status.known";
    ask_until(&client, status, &Value::Null, |answer| answer["state"] == "created").await;
    let evil = ask(&client, "bioxen.v1.cmd.alice.status.evil", &Value::Null).await;
    assert_eq!(code(&evil), "BX010", "{evil}");
    assert_clean(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_the_coordinators_under_load_refuses_and_loses_no_command() {
    let mut fleet = two_coordinators();
    let client = fleet.connect().await;
    let load = patient_lanes(&fleet, 8, PATIENCE).await;
    let mut epochs = 0;
    for name in [FIRST, SECOND, FIRST, SECOND] {
        load.until_more(50).await;
        fleet.stop_coordinator_as(name);
        let led_by = leader(&client).await;
        assert_eq!(led_by, other(name));
        load.until_more(50).await;
        fleet.start_coordinator_as(name);
        epochs += 1;
    }
    let (answers, _) = load.end().await;
    println!("{epochs} restarts: {answers}");
    answers.assert_all_accepted();
    assert_clean(&client).await;
    let log = fleet.log_of_coordinator(FIRST) + &fleet.log_of_coordinator(SECOND);
    assert!(log.contains("the lead is given up"), "no lead was given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_followed_by_the_other_and_nothing_accepted_is_lost() {
    let rounds = std::env::var("BIOXEN_FAILOVER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds: usize = rounds.unwrap_or(ROUNDS);
    let mut fleet = two_coordinators();
    let client = fleet.connect().await;
    let load = lanes(&fleet, 8).await;
    let mut silences = Vec::new();
    let mut frozen = Vec::new();
    for _ in 0..rounds {
        load.until_more(30).await;
        let name = leader(&client).await;
        let discarded = quanta_discarded(&mut fleet);
        fleet.kill_coordinator_as(&name);
        let killed = Instant::now();
        silences.push(first_accepted(&client).await.duration_since(killed));
        assert_eq!(leader(&client).await, other(&name));
        frozen.push(quanta_discarded(&mut fleet) - discarded);
        fleet.start_coordinator_as(&name);
    }
    let (answers, made) = load.end().await;
    silences.sort();
    println!(
        "{rounds} kills: next accepted command after {:.2} s in the median, {:.2} s at worst; quanta discarded {frozen:?}\n{answers}",
        silences[rounds / 2].as_secs_f64(),
        silences[rounds - 1].as_secs_f64()
    );
    assert!(answers.refused.is_empty(), "{answers}\n{:#?}", answers.samples);
    check_kept(&client, &made).await;
    assert_clean(&client).await;
}

/// Quanta that the worker has discarded.
fn quanta_discarded(fleet: &mut TestFleet) -> f64 {
    let address = fleet.worker_http("w1");
    metric(&metrics(&address), "bioxen_worker_quanta_discarded_total")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_leader_that_wakes_changes_nothing_and_follows() {
    let fleet = two_coordinators();
    let client = fleet.connect().await;
    let load = lanes(&fleet, 8).await;
    for _ in 0..2 {
        load.until_more(30).await;
        let name = leader(&client).await;
        fleet.pause_coordinator(&name);
        // It holds commands in its buffers; whoever sent them asks again.
        first_accepted(&client).await;
        assert_eq!(leader(&client).await, other(&name));
        let epochs = leaders(&client).await.len();
        fleet.wake_coordinator(&name);
        let stepped_down = async {
            while !fleet.log_of_coordinator(&name).contains("stepping down") {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(START_PATIENCE, stepped_down).await.unwrap();
        load.until_more(30).await;
        assert_eq!(leader(&client).await, other(&name), "it took the lead back");
        assert_eq!(leaders(&client).await.len(), epochs, "somebody else led meanwhile");
    }
    let (answers, made) = load.end().await;
    println!("{answers}");
    assert!(answers.refused.is_empty(), "{answers}\n{:#?}", answers.samples);
    check_kept(&client, &made).await;
    assert_clean(&client).await;
}
