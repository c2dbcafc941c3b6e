//! Planted corruptions of ledger, journal and audit trail: each is reported by account and index, by
//! `ledger verify --offline`; and a coordinator that is started on it refuses, or its own verification reports it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]

mod cases;
#[path = "../store/mod.rs"]
mod store;
mod tamper;

use std::path::{Path, PathBuf};

use async_nats::Client;
use bioxen_tests::{Options, TestFleet, ask, ask_until, program, verify};
use cases::{Case, Planted, Start};
use serde_json::Value;
use store::{copy_folder, populate, put_back};

/// A stopped fleet, and a whole copy of its stores.
pub(crate) struct Stopped {
    fleet: TestFleet,
    ledger: PathBuf,
    store: PathBuf,
}

impl Stopped {
    async fn new() -> Self {
        let mut fleet = TestFleet::start(&Options::default());
        let client = fleet.connect().await;
        populate(&client).await;
        let verified = verify(&client).await;
        assert_eq!(verified["clean"], true, "{verified:#}");
        // Ticks alone follow: what is at stake is older than what a crash may take from the ledger.
        let fleet_verb = "bioxen.v1.cmd.alice.fleet";
        let index = ask(&client, fleet_verb, &Value::Null).await["index"].as_u64().unwrap();
        ask_until(&client, fleet_verb, &Value::Null, |now| now["index"].as_u64() >= Some(index + 6)).await;
        fleet.stop_coordinator();
        fleet.kill_worker("w1");
        fleet.kill_nats();
        let (ledger, store) = (fleet.folder().join("whole-ledger"), fleet.folder().join("whole-store"));
        copy_folder(&fleet.ledger(), &ledger);
        copy_folder(&fleet.store(), &store);
        Self { fleet, ledger, store }
    }

    /// Everything as it was, with nats-server running.
    async fn whole_again(&mut self) -> Client {
        self.fleet.kill_coordinator();
        self.fleet.kill_nats();
        put_back(&self.ledger, &self.fleet.ledger());
        put_back(&self.store, &self.fleet.store());
        self.fleet.start_nats();
        let client = self.fleet.connect().await;
        while client.request("$JS.API.STREAM.INFO.BIOXEN_JOURNAL", "".into()).await.is_err() {
            tokio::task::yield_now().await;
        }
        client
    }
}

/// Runs `bioxen ledger verify --offline`: exit code, its document, what it wrote on standard error.
fn verify_offline(ledger: &Path, url: &str) -> (Option<i32>, Value, String) {
    let mut command = program("bioxen");
    command.args(["--url", url, "--json", "ledger", "verify", "--offline"]).arg(ledger);
    let output = command.output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), document, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The differences that name this account and index.
fn named<'a>(verified: &'a Value, planted: &Planted) -> Vec<&'a Value> {
    let all = verified["differences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let fits = |one: &&Value| {
        one["place"] == planted.place && one["account"] == planted.account && one["index"] == planted.index
    };
    all.iter().filter(fits).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_planted_corruption_is_reported_by_account_and_index() {
    let mut stopped = Stopped::new().await;
    let client = stopped.whole_again().await;
    let whole = verify_offline(&stopped.fleet.ledger(), &stopped.fleet.url());
    assert_eq!((whole.0, &whole.1["clean"]), (Some(0), &Value::Bool(true)), "{whole:?}");
    assert!(whole.1["audit_records"].as_u64() > Some(0), "{whole:?}");
    drop(client);
    let cases = cases::all();
    for Case { name, plant, start } in &cases {
        let client = stopped.whole_again().await;
        let planted = plant(&client, &stopped.fleet.ledger()).await;
        let (url, ledger) = (stopped.fleet.url(), stopped.fleet.ledger());
        let (exit_code, verified, said) = verify_offline(&ledger, &url);
        let found = named(&verified, &planted);
        assert!(!found.is_empty(), "{name}: nothing names {planted:?}\n{verified:#}\n{said}");
        assert_eq!(exit_code, Some(1), "{name}");
        if planted.place == "ledger" {
            let (_, alone, _) = verify_offline(&ledger, "nats://127.0.0.1:1");
            assert!(!named(&alone, &planted).is_empty(), "{name}: the ledger alone\n{alone:#}");
        }
        let found = found[0].clone();
        let outcome = started(&mut stopped, &client, name, &planted, start).await;
        let shown = |what: &Value| what.as_str().unwrap().chars().take(60).collect::<String>();
        println!(
            "{name}: {} {} at index {}: {}.. instead of {}..; {outcome}",
            planted.place,
            planted.account,
            planted.index,
            shown(&found["found"]),
            shown(&found["expected"])
        );
    }
    println!("{} planted corruptions, each reported by account and index", cases.len());
    assert!(cases.len() >= 12);
}

/// What a coordinator does that is started on it.
async fn started(
    stopped: &mut Stopped,
    client: &Client,
    name: &str,
    planted: &Planted,
    start: &Start,
) -> String {
    match start {
        Start::Refuses(says) => {
            let before = stopped.fleet.log("coordinator").len();
            let (exit_code, said) = stopped.fleet.coordinator_that_ends(&[]);
            let said = &said[before..];
            assert_eq!(exit_code, Some(1), "{name}: {said}");
            assert!(says.iter().all(|text| said.contains(text)), "{name}: not all of {says:?} in {said}");
            assert!(said.contains("index"), "{name}: no index is named in {said}");
            "a coordinator refuses to start".to_owned()
        }
        Start::Leads => {
            stopped.fleet.start_coordinator();
            let verified = ask(client, "bioxen.v1.ops.tester.verify", &Value::Null).await;
            assert!(!named(&verified, planted).is_empty(), "{name}: while running\n{verified:#}");
            "a coordinator starts, and its verification reports it".to_owned()
        }
        Start::Heals => {
            stopped.fleet.start_coordinator();
            let verified = verify(client).await;
            assert_eq!(verified["clean"], true, "{name}: {verified:#}");
            "a coordinator heals it".to_owned()
        }
    }
}

/// Bytes flipped in sled's own file, one at a time. Behind one that does not fit its checksum sled forgets all, as if
/// it had not been written yet: the ledger went back.
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_in_the_ledgers_file_is_reported_and_brought_right_from_the_journal() {
    const FLIPS: usize = 40;
    const STARTED_EACH: usize = 10;
    let mut stopped = Stopped::new().await;
    let bytes = std::fs::read(stopped.ledger.join("db")).unwrap();
    let used: Vec<u64> = (0..).zip(&bytes).filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
    let (mut refused, mut reported, mut agreed) = (0, 0, 0);
    for flip in 0..FLIPS {
        let client = stopped.whole_again().await;
        let ledger = stopped.fleet.ledger();
        let at = used[used.len() * flip / FLIPS];
        tamper::flip_byte(&ledger.join("db"), at);
        let (exit_code, verified, said) = verify_offline(&ledger, &stopped.fleet.url());
        match exit_code {
            // Everything that is left agrees with the journal: space that sled had freed, or the last 2 s, which a
            // crash may take too.
            Some(0) => agreed += 1,
            Some(1) if verified.is_null() => {
                assert!(said.contains("ledger") && said.contains("damaged"), "byte {at}: {said}");
                refused += 1;
            }
            Some(1) => {
                let all = verified["differences"].as_array().unwrap();
                let named = |one: &Value| one["account"].is_string() && one["index"].is_u64();
                assert!(!all.is_empty() && all.iter().all(named), "byte {at}: {verified:#}");
                reported += 1;
            }
            other => panic!("byte {at}: exit code {other:?}: {said}"),
        }
        if flip % STARTED_EACH == 0 && !verified.is_null() {
            stopped.fleet.start_coordinator();
            let verified = verify(&client).await;
            assert_eq!(verified["clean"], true, "byte {at}: {verified:#}");
        }
    }
    println!(
        "{FLIPS} bytes flipped: {refused} ledgers refused, {reported} reported by account and index, {agreed} agree \
         with the journal"
    );
    assert!(refused + reported > FLIPS / 2, "most of the file is older than 2 s");
}

/// As a disk that forgot, or a folder put back, would leave it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_ledger_that_went_back_is_reported_and_brought_up_to_date() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    populate(&client).await;
    fleet.stop_coordinator();
    let early = fleet.folder().join("early-ledger");
    copy_folder(&fleet.ledger(), &early);
    let ended_at = tamper::ledger_index(&early);
    fleet.start_coordinator();
    let fleet_verb = "bioxen.v1.cmd.alice.fleet";
    ask_until(&client, fleet_verb, &Value::Null, |now| now["index"].as_u64() >= Some(ended_at + 25)).await;
    fleet.stop_coordinator();
    let (exit_code, verified, said) = verify_offline(&fleet.ledger(), &fleet.url());
    assert_eq!(exit_code, Some(0), "{verified:#}{said}");
    put_back(&early, &fleet.ledger());
    let (exit_code, verified, said) = verify_offline(&fleet.ledger(), &fleet.url());
    assert_eq!(exit_code, Some(1), "{verified:#}{said}");
    let all = verified["differences"].as_array().unwrap();
    let went_back =
        all.iter().find(|one| one["index"] == ended_at + 1).expect("the first missing index is named");
    assert!(went_back["found"].as_str().unwrap().contains("it went back"), "{went_back}");
    fleet.start_coordinator();
    let verified = verify(&client).await;
    assert_eq!(verified["clean"], true, "{verified:#}");
}
