//! The disk under nats-server is full: whoever waits is told, nothing is lost or done twice, and with room it goes on.

use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_tests::{
    ANSWER_PATIENCE, Options, START_PATIENCE, TestFleet, ask, ask_until, assert_clean, code, first_accepted,
    http_get, roomy_worker,
};
use serde_json::{Value, json};

use crate::child::RESOURCES;
use crate::coordinators::{check, lanes};
use crate::lane::{Counts, resolve, run_lanes};

const MEBIBYTES: u32 = 8;
/// Beyond the 5 s after which nobody is kept waiting.
const SILENT_SECONDS: f64 = 8.0;

/// What a gauge of the coordinator shows.
fn gauge(address: &str, name: &str) -> f64 {
    let page = http_get(address, "/metrics");
    let shown = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    shown.unwrap_or_default()
}

/// Fills the disk, and waits until the journal has been silent for so long that everybody has been told.
fn fill(fleet: &TestFleet, address: &str) {
    fleet.disk().fill();
    let started = Instant::now();
    while gauge(address, "bioxen_journal_silent_seconds") < SILENT_SECONDS {
        assert!(started.elapsed() < START_PATIENCE, "the journal goes on although the disk is full");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn long_runner(client: &Client) -> Value {
    let body = json!({ "biological_type": "syn3a", "auto_start": true, "pace": 1 });
    ask(client, "bioxen.v1.cmd.alice.create.runs", &body).await;
    let running = |vm: &Value| vm["state"] == "running";
    ask_until(client, "bioxen.v1.cmd.alice.status.runs", &Value::Null, running).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_nats_server_is_said_and_the_fleet_goes_on_with_room() {
    let options = Options { resources: RESOURCES.to_owned(), workers: vec![roomy_worker("w1")] };
    let Some(mut fleet) = TestFleet::on_small_disk(&options, MEBIBYTES) else { return };
    let address = fleet.coordinator_http();
    let client = fleet.connect().await;
    let before = long_runner(&client).await;
    let (mut lanes, mut counts) = (lanes(), Counts::default());
    let pid = fleet.coordinator_pid();
    let (load, end) = (Duration::from_millis(500), || fill(&fleet, &address));
    lanes = run_lanes(&client, lanes, load, ANSWER_PATIENCE, &mut counts, end).await;
    assert_eq!((counts.unanswered, counts.not_taken), (0, 0), "{counts:#?}");
    assert!(counts.said_unknown > 0 && counts.accepted > 0, "{counts:#?}");

    for (subject, body) in [
        ("bioxen.v1.cmd.bob.create.late", json!({ "biological_type": "syn3a", "request_id": "late" })),
        ("bioxen.v1.cmd.bob.list", Value::Null),
    ] {
        let refused = ask(&client, subject, &body).await;
        let message = refused["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(code(&refused), "BX014", "{refused}");
        assert!(message.contains("nothing was done") && message.contains("disk"), "{refused}");
    }
    let said = fleet.log("coordinator");
    assert!(said.contains("has not stored bioxen.v1.journal") && said.contains("make room"), "{said}");
    for name in ["coordinator", "w1", "nats-server"] {
        let lines = fleet.log(name).lines().filter(|line| !line.contains(" INFO ")).count();
        println!("{name} wrote {lines} lines of warnings and errors");
        assert!(lines < 100, "{name} fills its log:\n{}", fleet.log(name));
    }

    // Before there is room that helps nobody, and harms nobody.
    fleet.kill_nats();
    fleet.start_nats();
    fleet.disk().resize(16 * MEBIBYTES);
    let began = Instant::now();
    fleet.kill_nats();
    fleet.start_nats();
    let accepted = first_accepted(&client).await;
    println!("taken again {:.1} s after the disk had room", (accepted - began).as_secs_f64());
    assert_eq!(fleet.coordinator_pid(), pid);
    assert!(!fleet.log("coordinator").contains("stepping down"));
    resolve(&client, &mut lanes, &mut counts).await;
    let running = |vm: &Value| vm["state"] == "running";
    let after = ask_until(&client, "bioxen.v1.cmd.alice.status.runs", &Value::Null, running).await;
    assert_eq!(after["generation"], before["generation"], "a verdict fell on its worker: {after}");
    let created = ask(&client, "bioxen.v1.cmd.bob.status.late", &Value::Null).await;
    assert_eq!(code(&created), "BX010", "what was said not to be done was done: {created}");
    ask(&client, "bioxen.v1.cmd.alice.destroy.runs", &Value::Null).await;
    let destroyed = |vm: &Value| vm["state"] == "destroyed";
    ask_until(&client, "bioxen.v1.cmd.alice.status.runs", &Value::Null, destroyed).await;
    assert_clean(&client).await;
    check(&client, &lanes).await;
    println!("{counts:#?}");
}
