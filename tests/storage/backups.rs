//! Backups: taken under load, restored on an empty bus, refused where anything is not as it was.

use std::path::{Path, PathBuf};

use async_nats::Client;
use bioxen_coordinator::journal::{Journal, Patience};
use bioxen_coordinator::rows;
use bioxen_coordinator::snapshot::{Shadow, Which, beginning};
use bioxen_protocol::client::PackageStore;
use bioxen_protocol::id::Generation;
use bioxen_protocol::worker::{Observation, ObservedState, WorkerReport};
use bioxen_tests::fold::assert_all_agree;
use bioxen_tests::{Options, TestFleet, ask, ask_until, program, roomy_worker};
use serde_json::{Value, json};

use crate::load;
use crate::store::populate;
use crate::{assert_clean, assert_works, stream};

const ROOMY: &str = "max_vms_per_user = 100000\nmax_concurrent_vms = 1000000\nglobal_atp_limit = 1000000000.0\nglobal_ribosome_limit = 100000000\n";
const SNAPSHOTS: &str = "[snapshots]\nevery_entries = 400\npause_seconds = 0\nsettled_seconds = 0\n";

/// Runs `bioxen backup ..`: exit code, its document, what it wrote on standard error.
fn backup(url: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let output = program("bioxen").args(["--url", url, "--json", "backup"]).args(arguments).output().unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), document, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn taken(url: &str, file: &Path) -> Value {
    let (exit_code, document, said) = backup(url, &["create", "--output", &file.display().to_string()]);
    assert_eq!(exit_code, Some(0), "{said}");
    document
}

/// Every row of the fleet at an index, folded from the bus's journal.
async fn rows_at(client: &Client, index: u64) -> Vec<rows::RowChange> {
    let journal = Journal::new(client.clone(), Patience::default());
    let begins = beginning(&journal, Which::Newest, |begins| begins.position.index <= index).await.unwrap();
    let Shadow { mut fleet, position, .. } = begins.unwrap();
    let visit = |batch: bioxen_coordinator::journal::JournalBatch| {
        if batch.batch.last_index() <= index {
            rows::fold(&mut fleet, &batch.batch);
        }
    };
    journal.read_after(position, visit).await.unwrap();
    assert_eq!(fleet.next_index, index + 1);
    rows::all(&fleet).unwrap()
}

async fn loaded() -> (TestFleet, Client, PathBuf, Value) {
    let (name, table) = roomy_worker("w1");
    let worker = (name, format!("{table}checkpoint_interval_seconds = 1\n"));
    let options = Options { resources: format!("{ROOMY}{SNAPSHOTS}"), workers: vec![worker] };
    let fleet = TestFleet::start(&options);
    let client = fleet.connect().await;
    with_objects(&client).await;
    let load = load::start(&fleet, 8).await;
    let first = async |than: u64| {
        while stream(&client, "BIOXEN_JOURNAL").await.0 <= than {
            tokio::task::yield_now().await;
        }
    };
    first(1).await;
    let (file, url) = (fleet.folder().join("fleet.backup"), fleet.url());
    let at = file.clone();
    let manifest = tokio::task::spawn_blocking(move || taken(&url, &at)).await.unwrap();
    let standing = load::end(load).await;
    println!("{standing} VMs stood when the load ended");
    (fleet, client, file, manifest)
}

/// A VM that runs and is packed, one that has recorded, and a package.
async fn with_objects(client: &Client) {
    let runs = json!({ "biological_type": "syn3a", "auto_start": true, "pace": 600 });
    ask(client, "bioxen.v1.cmd.alice.create.runs", &runs).await;
    let recorded = json!({
        "biological_type": "syn3a", "auto_start": true, "horizon_minutes": 60,
        "record": { "variables": ["growth_rate_per_min"], "every_minutes": 2 },
    });
    ask(client, "bioxen.v1.cmd.alice.create.recorded", &recorded).await;
    let store = PackageStore::open(client).await.unwrap();
    assert!(store.put(&"load@1.0.0".parse().unwrap(), b"some archive").await.unwrap());
    let completed = |vm: &Value| vm["reason"] == "completed";
    ask_until(client, "bioxen.v1.cmd.alice.status.recorded", &Value::Null, completed).await;
    let far = |vm: &Value| vm["state"] == "running" && vm["simulated_minutes"].as_f64() > Some(20.0);
    ask_until(client, "bioxen.v1.cmd.alice.status.runs", &Value::Null, far).await;
    let packed = |survey: &Value| survey["objects"]["BIOXEN_CHECKPOINTS"]["count"].as_u64() > Some(0);
    ask_until(client, "bioxen.v1.ops.tester.backup", &Value::Null, packed).await;
}

/// What the recorded VM's rows are.
async fn recording(client: &Client) -> Value {
    let chunk = ask(client, "bioxen.v1.cmd.alice.results.recorded", &json!({ "format": "csv" })).await;
    assert!(chunk["data"].as_str().is_some_and(|data| data.lines().count() > 30), "{chunk}");
    chunk["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_is_the_fleet_at_the_index_that_it_names() {
    let (fleet, client, file, manifest) = loaded().await;
    let index = manifest["index"].as_u64().unwrap();
    assert!(manifest["snapshot_index"].as_u64() > Some(0), "{manifest:#}");
    for objects in ["checkpoints", "packages", "results"] {
        assert!(manifest["counts"][objects].as_u64() > Some(0), "{objects}: {manifest:#}");
    }
    assert!(manifest["counts"]["batches"].as_u64() > Some(10), "{manifest:#}");
    let (exit_code, _, said) = backup(&fleet.url(), &["list", &file.display().to_string()]);
    assert_eq!(exit_code, Some(0), "{said}");
    let expected = rows_at(&client, index).await;
    let before = ask(&client, "bioxen.v1.cmd.alice.status.runs", &Value::Null).await;
    let workers = ask(&client, "bioxen.v1.ops.tester.workers", &Value::Null).await;
    let boot = workers["workers"][0]["boot"].as_str().unwrap().to_owned();

    let mut other = TestFleet::bus_only(&Options { resources: ROOMY.to_owned(), workers: Vec::new() });
    let (exit_code, restored, said) = backup(&other.url(), &["restore", &file.display().to_string()]);
    assert_eq!(exit_code, Some(0), "{said}");
    let incarnation = restored["incarnation"].as_u64().unwrap();
    assert!(incarnation > 1 && restored["index"] == index, "{restored}");
    let bus = other.connect().await;
    assert!(rows_at(&bus, index).await == expected, "the rows at index {index} differ");

    other.start_coordinator();
    let verified = assert_clean(&bus).await;
    assert!(verified["audit_records"].as_u64() >= manifest["counts"]["audit_records"].as_u64());
    let ahead = ask(&bus, "bioxen.v1.cmd.alice.status.runs", &Value::Null).await;
    assert_eq!((&ahead["state"], &ahead["seed"]), (&json!("unknown"), &before["seed"]), "{ahead}");
    assert_eq!(recording(&bus).await, recording(&client).await);
    let store = PackageStore::open(&bus).await.unwrap();
    assert_eq!(store.get(&"load@1.0.0".parse().unwrap()).await.unwrap(), b"some archive");
    let found = |answer: &Value| answer.to_string().contains("found of generation 1.");
    ask_until(&bus, "bioxen.v1.cmd.alice.audit", &json!({ "limit": 1000 }), found).await;
    an_old_report_is_refused(&bus, &boot, &before).await;

    other.start_worker("w1", &roomy_worker("w1").1);
    assert_works(&bus, "later").await;
    goes_on(&bus, incarnation).await;
    assert_clean(&bus).await;
    let (_, _, again) = backup(&other.url(), &["restore", &file.display().to_string()]);
    assert!(again.contains("not empty") && again.contains("BIOXEN_JOURNAL holds"), "{again}");
    println!("{} bytes, {}, restored as {restored}", manifest["bytes"], manifest["counts"]);
}

/// What the VM's former worker says under the generation of the incarnation before changes nothing.
async fn an_old_report_is_refused(bus: &Client, boot: &str, before: &Value) {
    let generation: Generation = serde_json::from_value(before["generation"].clone()).unwrap();
    assert_eq!(generation.incarnation, 1);
    let observation = Observation {
        key: bioxen_protocol::id::VmKey { user: "alice".parse().unwrap(), vm: "runs".parse().unwrap() },
        generation,
        state: ObservedState::Failed,
        tick: 5,
        applied: 0,
        applied_at: Vec::new(),
        checkpoint: None,
        reason: Some("from an earlier life".to_owned()),
        process: None,
        summary: None,
        atp: bioxen_protocol::alert::AtpWatch::default(),
        call_due: None,
    };
    let report = WorkerReport::Observed { incarnation: 1, vms: vec![observation] };
    let commands = format!("bioxen.v1.worker.w1.{boot}.cmd");
    let mut told = bus.subscribe(commands).await.unwrap();
    let subject = format!("bioxen.v1.worker.w1.{boot}.report");
    bus.publish(subject, rmp_serde::to_vec_named(&report).unwrap().into()).await.unwrap();
    // It is told to give the VM up.
    let answer = futures::StreamExt::next(&mut told).await.unwrap();
    assert!(!answer.payload.is_empty());
    let now = ask(bus, "bioxen.v1.cmd.alice.status.runs", &Value::Null).await;
    assert_eq!((&now["state"], &now["generation"]), (&json!("unknown"), &Value::Null), "{now}");
}

/// A VM that ran goes on by itself, in the new incarnation.
async fn goes_on(bus: &Client, incarnation: u64) {
    let running = |vm: &Value| vm["state"] == "running";
    let now = ask_until(bus, "bioxen.v1.cmd.alice.status.runs", &Value::Null, running).await;
    let generation: Generation = serde_json::from_value(now["generation"].clone()).unwrap();
    assert_eq!(generation.incarnation, incarnation);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_altered_is_refused_before_anything_is_written() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    populate(&client).await;
    let file = fleet.folder().join("whole.backup");
    let manifest = taken(&fleet.url(), &file);
    assert_eq!(manifest["snapshot_index"], 0, "{manifest:#}");
    let whole = std::fs::read(&file).unwrap();
    let mut other = TestFleet::bus_only(&Options::default());
    let bus = other.connect().await;
    let damaged = fleet.folder().join("damaged.backup");
    // What fills a member up to whole blocks belongs to nothing, and is zeros.
    let from = |at: usize| at + whole[at..].iter().position(|byte| *byte != 0).unwrap();
    let positions = (1..12).map(|twelfth| from(whole.len() * twelfth / 12));
    let mut refused = 0;
    for at in positions {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        std::fs::write(&damaged, &bytes).unwrap();
        let (exit_code, _, said) = backup(&other.url(), &["restore", &damaged.display().to_string()]);
        assert_eq!(exit_code, Some(1), "byte {at} was altered and nobody noticed: {said}");
        assert!(said.contains("damaged") || said.contains("no backup"), "{said}");
        refused += 1;
        std::fs::write(&damaged, &whole[..at]).unwrap();
        let (exit_code, _, said) = backup(&other.url(), &["restore", &damaged.display().to_string()]);
        assert_eq!(exit_code, Some(1), "cut at {at}: {said}");
        let streams = ask(&bus, "$JS.API.STREAM.NAMES", &Value::Null).await;
        assert_eq!(streams["total"], 0, "{streams}");
    }
    println!("{refused} altered and {refused} cut backups of {} bytes were refused", whole.len());
    let (exit_code, once, said) = backup(&other.url(), &["restore", &file.display().to_string()]);
    assert_eq!(exit_code, Some(0), "{said}");
    let third = TestFleet::bus_only(&Options::default());
    let (exit_code, again, said) = backup(&third.url(), &["restore", &file.display().to_string()]);
    assert_eq!(exit_code, Some(0), "{said}");
    assert_ne!(again["incarnation"], once["incarnation"], "each restore begins a life of its own");
    // The second fold, which needs the whole journal, finds nothing wrong in what was restored either.
    other.start_coordinator();
    other.start_worker("w1", &roomy_worker("w1").1);
    assert_works(&bus, "later").await;
    assert_all_agree("a restored fleet", &other, &bus).await;
    let (_, all, _) = backup(&other.url(), &["list", &fleet.folder().display().to_string()]);
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
}
