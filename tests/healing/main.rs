//! What was lost behind the coordinator's back comes back: the ledger from the journal, the journal from the ledger.
//! What does not join is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "what was measured is shown by --nocapture")]

mod answers;
#[path = "../store/mod.rs"]
mod store;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use answers::{answers, assert_same, said_since};
use async_nats::Client;
use bioxen_coordinator::ledger::{Ledger, RowKey};
use bioxen_tests::{Options, TestFleet, ask, ask_until, assert_clean, code, program};
use serde_json::{Value, json};
use store::{batches, copy_folder, delete_from_journal, populate, put_back};

async fn populated() -> (TestFleet, Client) {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    populate(&client).await;
    (fleet, client)
}

/// The fleet takes commands: by request, durably, and again under the same request id.
async fn assert_works(client: &Client, vm: &str) {
    let create =
        json!({ "biological_type": "syn3a", "auto_start": true, "request_id": format!("later-{vm}") });
    for _ in 0..2 {
        let created = ask(client, &format!("bioxen.v1.cmd.dave.create.{vm}"), &create).await;
        assert_eq!(created["status"], "created", "{created}");
    }
    let submitted = json!({ "verb": "allocate", "vm_id": vm, "ribosomes": 6 });
    let taken = ask(client, "bioxen.v1.submit.dave", &submitted).await;
    assert_eq!(taken["stream"], "BIOXEN_SUBMIT", "{taken}");
    let resources = format!("bioxen.v1.cmd.dave.resources.{vm}");
    ask_until(client, &resources, &Value::Null, |answer| answer["reservation"]["ribosomes"] == 6).await;
    let destroy = json!({ "wait_ms": 30_000 });
    let gone = ask(client, &format!("bioxen.v1.cmd.dave.destroy.{vm}"), &destroy).await;
    assert_eq!(gone["state"], "destroyed", "{gone}");
}

/// Every row but the head, whose epoch and time move on.
fn rows(fleet: &TestFleet) -> BTreeMap<RowKey, Vec<u8>> {
    let ledger = Ledger::open_existing(&fleet.ledger()).unwrap();
    let rows: Result<BTreeMap<_, _>, _> = ledger.rows().collect();
    rows.unwrap().into_iter().filter(|(key, _)| !matches!(key, RowKey::Meta(_))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_deleted_is_rebuilt_from_the_journal_as_it_was() {
    let (mut fleet, client) = populated().await;
    let before = answers(&client).await;
    fleet.stop_coordinator();
    let rows_before = rows(&fleet);
    std::fs::remove_dir_all(fleet.ledger()).unwrap();
    let said = fleet.log("coordinator").len();
    fleet.start_coordinator();
    assert_clean(&client).await;
    assert_same(&answers(&client).await, &before);
    let said = said_since(&fleet, "coordinator", said);
    assert!(said.contains("rebuilt from the journal"), "{said}");
    fleet.stop_coordinator();
    assert_eq!(rows(&fleet), rows_before);
    fleet.start_coordinator();
    assert_works(&client, "vm1").await;
    assert_clean(&client).await;
    println!("{} rows were rebuilt byte for byte", rows_before.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_deleted_from_the_journals_end_are_healed_from_the_ledger_verbatim() {
    let (mut fleet, client) = populated().await;
    let before = answers(&client).await;
    let mut healed = 0;
    for deleted in [1, 2, 3, 1, 5, 40] {
        fleet.stop_coordinator();
        let whole = batches(&client).await;
        // One by one, from the last.
        for batch in whole.iter().rev().take(deleted) {
            delete_from_journal(&client, batch.sequence).await;
        }
        assert_eq!(batches(&client).await.len(), whole.len() - deleted);
        let said = fleet.log("coordinator").len();
        fleet.start_coordinator();
        let said = said_since(&fleet, "coordinator", said);
        assert!(
            said.contains("the journal lost its end") && said.contains("the journal is healed"),
            "{said}"
        );
        assert_clean(&client).await;
        let now = batches(&client).await;
        for (was, is) in whole.iter().zip(&now) {
            assert_eq!(was.payload, is.payload, "the batch of index {}", was.batch.first_index);
        }
        assert!(now.len() > whole.len());
        assert_same(&answers(&client).await, &before);
        healed += deleted;
    }
    assert_works(&client, "vm1").await;
    assert_clean(&client).await;
    println!("{healed} deleted batches were appended again, verbatim");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_servers_store_is_brought_up_to_date_from_the_ledger() {
    let (mut fleet, client) = populated().await;
    assert_works(&client, "early").await;
    fleet.stop_coordinator();
    fleet.kill_nats();
    let copy = fleet.folder().join("older");
    copy_folder(&fleet.store(), &copy);
    fleet.start_nats();
    fleet.start_coordinator();
    for number in 0..5 {
        assert_works(&client, &format!("between{number}")).await;
    }
    let kept = json!({ "biological_type": "ecoli", "request_id": "kept" });
    assert_eq!(ask(&client, "bioxen.v1.cmd.dave.create.kept", &kept).await["status"], "created");
    let before = answers(&client).await;
    fleet.stop_coordinator();
    let last = batches(&client).await.last().unwrap().clone();
    fleet.kill_nats();
    put_back(&copy, &fleet.store());
    fleet.start_nats();
    ready(&client).await;
    let regressed = batches(&client).await.last().unwrap().clone();
    assert!(regressed.sequence < last.sequence, "the sequence did not regress");
    let submitted = json!({ "verb": "create", "vm_id": "submitted", "biological_type": "ecoli" });
    assert_eq!(ask(&client, "bioxen.v1.submit.erin", &submitted).await["stream"], "BIOXEN_SUBMIT");

    let said = fleet.log("coordinator").len();
    fleet.start_coordinator();
    let said = said_since(&fleet, "coordinator", said);
    assert!(
        said.contains("an older copy of it was put back") && said.contains("the journal is healed"),
        "{said}"
    );
    let submitted = "bioxen.v1.cmd.erin.destroy.submitted";
    ask_until(&client, submitted, &Value::Null, |answer| answer["state"] == "destroyed").await;
    let mut now = answers(&client).await;
    now["fleet"]["states"]["destroyed"] = before["fleet"]["states"]["destroyed"].clone();
    assert_same(&now, &before);
    let again = ask(&client, "bioxen.v1.cmd.dave.create.kept", &kept).await;
    assert_eq!((&again["status"], &again["state"]), (&json!("created"), &json!("created")), "{again}");
    // Durable commands too, though the numbers of their stream begin again where the copy ends.
    assert_works(&client, "after").await;
    assert_clean(&client).await;
    fleet.stop_coordinator();
    fleet.start_coordinator();
    assert_works(&client, "later").await;
    assert_clean(&client).await;
    println!(
        "the journal went back from sequence {} to {}, index {} to {}, and was healed",
        last.sequence,
        regressed.sequence,
        last.batch.last_index(),
        regressed.batch.last_index()
    );
}

/// Waits until nats-server answers again.
async fn ready(client: &Client) {
    while client.request("$JS.API.STREAM.INFO.BIOXEN_JOURNAL", "".into()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Creates and destroys until nats-server is gone; returns what was accepted and what was not answered.
async fn load(client: Client, user: String, round: u32) -> (Vec<String>, Option<String>) {
    let mut accepted = Vec::new();
    loop {
        let vm = format!("r{round}-{}", accepted.len());
        let body = json!({ "biological_type": "syn3a", "request_id": vm }).to_string();
        let request = async_nats::Request::new().payload(body.into()).timeout(Some(Duration::from_secs(2)));
        let answer = client.send_request(format!("bioxen.v1.cmd.{user}.create.{vm}"), request).await;
        let Ok(message) = answer else { return (accepted, Some(vm)) };
        let answer: Value = serde_json::from_slice(&message.payload).unwrap();
        match code(&answer) {
            "" => accepted.push(vm),
            "BX014" => return (accepted, Some(vm)),
            refused => panic!("{refused}: {answer}"),
        }
        if accepted.len() == 2_000 {
            return (accepted, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_when_the_server_is_killed_under_load() {
    const ROUNDS: u32 = 6;
    let resources = "max_vms_per_user = 100000\nmax_concurrent_vms = 1000000\nglobal_atp_limit = 1000000000.0\nglobal_ribosome_limit = 100000000\n";
    let mut fleet = TestFleet::start(&Options { resources: resources.to_owned(), ..Options::default() });
    let mut total = 0;
    let mut unanswered = 0;
    let mut restarts = 0;
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..ROUNDS {
        let client = fleet.connect().await;
        let users: Vec<String> = (0..16).map(|user| format!("user{user}")).collect();
        let loads: Vec<_> =
            users.iter().map(|user| tokio::spawn(load(client.clone(), user.clone(), round))).collect();
        tokio::time::sleep(Duration::from_millis(150 + 40 * u64::from(round))).await;
        fleet.kill_nats();
        fleet.start_nats();
        let client = fleet.connect().await;
        restarts += u32::from(!goes_on(&mut fleet, &client).await);
        for (user, load) in users.iter().zip(loads) {
            let (accepted, unknown) = load.await.unwrap();
            let all = accepted.iter().chain(&unknown);
            for vm in all.clone() {
                let body = json!({ "biological_type": "syn3a", "request_id": vm });
                let again = ask(&client, &format!("bioxen.v1.cmd.{user}.create.{vm}"), &body).await;
                assert_eq!(again["status"], "created", "{user}'s {vm} again: {again}");
            }
            total += all.count() as u64;
            unanswered += unknown.iter().count();
            let slots = expected.entry(user.clone()).or_default();
            *slots += (accepted.len() + unknown.iter().count()) as u64;
            let quota = ask(&client, &format!("bioxen.v1.cmd.{user}.quota"), &Value::Null).await;
            assert_eq!(quota["used"]["slots"], *slots, "{quota}");
        }
        assert_clean(&client).await;
    }
    println!(
        "{ROUNDS} kills of nats-server: {total} commands accepted, {unanswered} unanswered at a kill and repeated, {restarts} restarts of the coordinator needed"
    );
    assert!(unanswered > 0, "no kill met an unanswered command");
}

/// Whether the coordinator answers again by itself; it is started again where it ended.
async fn goes_on(fleet: &mut TestFleet, client: &Client) -> bool {
    let said = fleet.log("coordinator").len();
    let pid = fleet.coordinator_pid();
    loop {
        let request = async_nats::Request::new().timeout(Some(Duration::from_millis(500)));
        if client.send_request("bioxen.v1.cmd.user0.fleet", request).await.is_ok() {
            return true;
        }
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            println!("the coordinator ended: {}", said_since(fleet, "coordinator", said));
            fleet.start_coordinator();
            return false;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_of_another_fleet_is_refused_with_what_differs_and_set_aside_when_told() {
    let (mut fleet, client) = populated().await;
    let before = answers(&client).await;
    let (mut other, _) = populated().await;
    fleet.stop_coordinator();
    other.stop_coordinator();
    put_back(&other.ledger(), &fleet.ledger());
    let fleet_ids: Vec<String> = {
        let journaled = batches(&client).await[0].batch.fleet.clone();
        vec![journaled, Ledger::open_existing(&fleet.ledger()).unwrap().applied().unwrap().fleet.clone()]
    };
    let said = fleet.log("coordinator").len();
    let (exit_code, said_in_all) = fleet.coordinator_that_ends(&[]);
    let said = &said_in_all[said..];
    assert_eq!(exit_code, Some(1), "{said}");
    assert!(said.contains("tell different stories") && said.contains("--accept-journal"), "{said}");
    assert!(fleet_ids.iter().all(|id| said.contains(id)), "{fleet_ids:?} are not both named: {said}");
    assert!(said.contains("index"), "no index is named: {said}");
    println!("{said}");

    lead_once_with_accept_journal(&fleet);
    let aside = fleet.folder().join("ledger.aside-1");
    assert_eq!(Ledger::open_existing(&aside).unwrap().applied().unwrap().fleet, fleet_ids[1]);
    fleet.start_coordinator();
    assert_clean(&client).await;
    assert_same(&answers(&client).await, &before);
    assert_works(&client, "vm1").await;
    assert_clean(&client).await;
}

/// Starts a coordinator with `--accept-journal`, and ends it when it leads.
fn lead_once_with_accept_journal(fleet: &TestFleet) {
    let mut child = program("bioxen-coordinator")
        .args(["--url", &fleet.url(), "--http-port", "0", "--accept-journal", "--data"])
        .arg(fleet.ledger())
        .arg("--config")
        .arg(fleet.folder().join("coordinator.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let leads = lines.map_while(Result::ok).any(|line| line.starts_with("bioxen-coordinator leads"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(leads, "it did not start with --accept-journal");
}
