//! What the commands say on the bus, print, and exit with, against a service that the test plays.

use std::sync::{Arc, Mutex};

use async_nats::HeaderMap;
use bioxen_protocol::audit::{AuditRecord, NO_HASH, Outcome};
use bioxen_protocol::subject::{ALL_AUDIT, ALL_COMMANDS, ALL_OPERATORS, Subject};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::support::{Nats, Process, bioxen, text};

/// What a coordinator would answer, by verb; and what it was asked.
struct FakeFleet {
    nats: Nats,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    runtime: tokio::runtime::Runtime,
}

impl FakeFleet {
    fn start() -> Self {
        let nats = Nats::start();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let client = async_nats::connect(&nats.url).await.unwrap();
            for subject in [ALL_COMMANDS, ALL_OPERATORS] {
                let mut requests = client.subscribe(subject).await.unwrap();
                let (client, asked) = (client.clone(), Arc::clone(&asked));
                tokio::spawn(async move {
                    while let Some(request) = requests.next().await {
                        let body: Value = serde_json::from_slice(&request.payload).unwrap();
                        let reply = answer(&request.subject);
                        asked.lock().unwrap().push((request.subject.to_string(), body));
                        let mut headers = HeaderMap::new();
                        headers.insert("Content-Type", "application/json");
                        let inbox = request.reply.unwrap();
                        client.publish_with_headers(inbox, headers, reply.to_string().into()).await.unwrap();
                    }
                });
            }
            client.flush().await.unwrap();
        });
        Self { nats, asked, runtime }
    }

    fn last(&self) -> (String, Value) {
        self.asked.lock().unwrap().last().cloned().unwrap()
    }
}

fn answer(subject: &str) -> Value {
    let refusal = |code: &str, message: &str, details: Value| json!({ "error": { "code": code, "name": "", "message": message, "details": details } });
    let verb = subject.split('.').nth(4).unwrap();
    let vm = subject.split('.').next_back().unwrap();
    match (verb, vm) {
        ("create", "full") => refusal("BX011", "10 of 10 VMs are in use", json!({ "limit": 10, "used": 10 })),
        ("create", _) => json!({
            "vm_id": "c1", "status": "created", "state": "created", "biological_type": "syn3a",
            "vm_type": "basic", "seed": 7, "queue_position": null, "predicted": null,
        }),
        (_, "missing") => refusal("BX010", "no such VM", json!({})),
        ("start", "nowhere") => refusal(
            "BX013",
            "none fits",
            json!({
                "workers": [{ "worker": "w1", "reason": "4 of 4 VMs" }],
            }),
        ),
        ("pause", _) => json!({ "vm_id": vm, "state": "paused" }),
        ("checkpoint", _) => json!({
            "vm_id": vm, "checkpoint_id": "c57", "simulated_minutes": 12.3, "bytes": 447, "digest": "9f",
        }),
        ("restore", _) => json!({
            "vm_id": vm, "state": "stopped", "checkpoint_id": "c57", "simulated_minutes": 12.3,
            "allocation": { "atp_percentage": 60.0, "ribosomes": 10, "memory_kb": 1 },
        }),
        ("list", _) => json!({
            "vms": [{ "vm_id": "c1", "state": "running", "biological_type": "syn3a", "worker": "w1",
                      "priority": 3, "queue_position": null }],
            "cursor": null,
        }),
        ("metrics", _) => json!({ "vm_id": vm, "growth_rate_per_min": 0.0066 }),
        ("quota", _) => json!({
            "user": "bob", "max_vms": 20, "max_queued": 10000, "max_atp_percentage": null, "max_ribosomes": null,
            "max_commands_per_second": null, "queued": 0,
            "used": { "slots": 1, "atp_percentage": 60.0, "ribosomes": 10, "memory_kb": 1 },
        }),
        ("verify", _) => json!({
            "clean": false, "entries": 9, "rows": 8, "audit_records": 7,
            "differences": [{ "place": "ledger", "account": "alice", "index": 4, "found": "2", "expected": "1" }],
        }),
        other => panic!("the test has no answer for {other:?}"),
    }
}

#[test]
fn a_command_is_a_request_on_its_subject_and_prints_the_answer() {
    let fleet = FakeFleet::start();
    let output = bioxen(&fleet.nats.url, &["create", "c1", "--type", "syn3a", "--ribosomes", "10"]);
    assert_eq!(text(&output.stdout), "c1 created: syn3a, seed 7\n", "{}", text(&output.stderr));
    let (subject, body) = fleet.last();
    assert_eq!(subject, "bioxen.v1.cmd.alice.create.c1");
    assert_eq!(body["allocation"], json!({ "ribosomes": 10 }));
    assert!(body["request_id"].is_string(), "a change must be safe to repeat: {body}");

    let output = bioxen(&fleet.nats.url, &["list"]);
    let table =
        "VM  STATE    CHASSIS  WORKER  PRIORITY  QUEUED AT\nc1  running  syn3a    w1      3         -\n";
    assert_eq!(text(&output.stdout), table);

    let output = bioxen(&fleet.nats.url, &["pause", "c1", "--wait-ms", "50", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document, json!({ "vm_id": "c1", "state": "paused" }));
    assert_eq!(fleet.last().1["wait_ms"], 50);

    let output = bioxen(&fleet.nats.url, &["metrics", "c1"]);
    assert_eq!(text(&output.stdout), "growth_rate_per_min  0.0066\nvm_id                c1\n");
    assert_eq!(fleet.last(), ("bioxen.v1.cmd.alice.metrics.c1".to_owned(), json!({})));
}

#[test]
fn a_checkpoint_is_taken_and_restored_by_its_name() {
    let fleet = FakeFleet::start();
    let output = bioxen(&fleet.nats.url, &["checkpoint", "c1"]);
    assert!(text(&output.stdout).contains("checkpoint_id      c57"), "{}", text(&output.stderr));
    let output = bioxen(&fleet.nats.url, &["restore", "c1", "c57"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (subject, body) = fleet.last();
    assert_eq!((subject.as_str(), &body["checkpoint_id"]), ("bioxen.v1.cmd.alice.restore.c1", &json!("c57")));
    assert_eq!(bioxen(&fleet.nats.url, &["restore", "c1", "first"]).status.code(), Some(2));
}

#[test]
fn operators_speak_on_their_own_subjects() {
    let fleet = FakeFleet::start();
    let output = bioxen(&fleet.nats.url, &["quota", "set", "bob", "--max-vms", "20", "--operator", "root"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (subject, body) = fleet.last();
    assert_eq!((subject.as_str(), &body["max_vms"]), ("bioxen.v1.ops.root.quota.bob", &json!(20)));

    let output = bioxen(&fleet.nats.url, &["ledger", "verify"]);
    assert_eq!(output.status.code(), Some(1), "differences are a failure");
    assert!(text(&output.stdout).contains("ledger  alice    4      2      1"), "{}", text(&output.stdout));
}

#[test]
fn whoever_asks_about_the_fleet_alone_need_not_name_a_user() {
    let fleet = FakeFleet::start();
    let nameless = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bioxen"));
        command.args(arguments).env("BIOXEN_URL", &fleet.nats.url);
        command.env_remove("BIOXEN_USER").env_remove("USER").env_remove("LOGNAME");
        Process::start(&mut command).end()
    };
    assert_eq!(nameless(&["quota", "show", "bob"]).0, Some(0));
    let (code, said) = nameless(&["list"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("set BIOXEN_USER"), "{said}");
}

#[test]
fn a_stopped_ledger_is_verified_without_a_fleet() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let verify =
        || bioxen("nats://127.0.0.1:1", &["ledger", "verify", "--offline", path.to_str().unwrap(), "--json"]);
    assert_eq!(verify().status.code(), Some(1), "there is no ledger yet, and none is made");
    let ledger = bioxen_coordinator::ledger::Ledger::open(&path).unwrap();
    assert_eq!(verify().status.code(), Some(1), "another process has it open");
    drop(ledger);
    let output = verify();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &document["clean"]),
        (Some(0), &json!(true)),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_script_can_tell_refusals_apart_by_exit_code() {
    let fleet = FakeFleet::start();
    let refused = bioxen(&fleet.nats.url, &["create", "full", "--type", "syn3a"]);
    assert_eq!(refused.status.code(), Some(3));
    assert_eq!(text(&refused.stderr), "[BX011] 10 of 10 VMs are in use\n  limit: 10\n  used: 10\n");
    assert_eq!(text(&refused.stdout), "");

    let missing = bioxen(&fleet.nats.url, &["status", "missing", "--json"]);
    assert_eq!(missing.status.code(), Some(4));
    let document: Value = serde_json::from_slice(&missing.stderr).unwrap();
    assert_eq!(document["error"]["code"], "BX010");

    let nowhere = bioxen(&fleet.nats.url, &["start", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(5));
    assert!(text(&nowhere.stderr).contains("worker w1: 4 of 4 VMs"), "{}", text(&nowhere.stderr));

    assert_eq!(bioxen(&fleet.nats.url, &["start", "a.b"]).status.code(), Some(2));
    assert_eq!(bioxen(&fleet.nats.url, &["allocate", "c1"]).status.code(), Some(2));
}

#[test]
fn a_fleet_that_is_not_there_is_told_apart_from_one_that_refuses() {
    let nats = Nats::start();
    let output = bioxen(&nats.url, &["list"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("no coordinator answers"), "{}", text(&output.stderr));

    // Nobody is given this port by chance, and nobody listens on it.
    let output = bioxen("nats://127.0.0.1:1", &["list"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).contains("cannot connect to NATS"), "{}", text(&output.stderr));
}

fn record(number: u64, previous_hash: &str) -> AuditRecord {
    let record = AuditRecord {
        number,
        index: number,
        incarnation: 1,
        time_ms: 0,
        time: "1970-01-01T00:00:00.000Z".into(),
        user: if number.is_multiple_of(2) { "bob" } else { "alice" }.parse().unwrap(),
        operator: None,
        action: "create".into(),
        vm_id: Some("c1".parse().unwrap()),
        outcome: Outcome::Accepted,
        code: None,
        request_id: None,
        count: 1,
        note: String::new(),
        previous_hash: String::new(),
        hash: String::new(),
    };
    record.sealed(previous_hash).unwrap()
}

async fn append(stream: &async_nats::jetstream::Context, record: &AuditRecord) {
    let subject = Subject::Audit { user: record.user.clone(), action: record.action.clone() };
    let bytes = serde_json::to_vec(record).unwrap();
    stream.publish(subject.to_string(), bytes.into()).await.unwrap().await.unwrap();
}

#[test]
fn the_audit_trail_is_read_and_its_chain_computed_again() {
    let fleet = FakeFleet::start();
    let url = &fleet.nats.url;
    assert_eq!(bioxen(url, &["audit", "verify"]).status.code(), Some(1), "there is no stream yet");
    let (stream, last) = fleet.runtime.block_on(async {
        let stream = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
        let config = async_nats::jetstream::stream::Config {
            name: "BIOXEN_AUDIT".into(),
            subjects: vec![ALL_AUDIT.into()],
            ..Default::default()
        };
        stream.create_stream(config).await.unwrap();
        let mut last = record(1, NO_HASH);
        append(&stream, &last).await;
        for number in 2..=5 {
            last = record(number, &last.hash);
            append(&stream, &last).await;
        }
        (stream, last)
    });
    let verified = bioxen(url, &["audit", "verify", "--json"]);
    let document: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&document["records"], &document["head_hash"]), (&json!(5), &json!(last.hash)));

    let own = text(&bioxen(url, &["audit", "tail", "--lines", "2", "--json"]).stdout);
    let numbers: Vec<u64> =
        own.lines().map(|line| serde_json::from_str::<AuditRecord>(line).unwrap().number).collect();
    assert_eq!(numbers, [3, 5], "alice's last two");

    let mut forged = record(6, &last.hash);
    forged.user = "mallory".parse().unwrap();
    fleet.runtime.block_on(append(&stream, &forged));
    let broken = bioxen(url, &["audit", "verify"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("sequence 6 breaks the chain"), "{}", text(&broken.stderr));
}

#[test]
fn watch_tells_events_as_they_happen() {
    let nats = Nats::start();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bioxen"));
    command.args(["watch", "--count", "1", "--json", "--url", &nats.url, "--user", "alice"]);
    let watch = Process::start(&mut command);
    let event = json!({
        "event": "running", "user": "alice", "vm_id": "c1", "verb": null, "request_id": null, "index": 4,
        "time_ms": 0, "time": "1970-01-01T00:00:00.000Z", "state": "running", "reason": null, "generation": null,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async {
        let client = async_nats::connect(&nats.url).await.unwrap();
        let subject = "bioxen.v1.evt.alice.c1.running".parse::<Subject>().unwrap();
        // Published until it was seen: there is no sign from outside that the subscription stands.
        let mut every = tokio::time::interval(std::time::Duration::from_millis(20));
        let seen = tokio::task::spawn_blocking(move || watch.line_after("{"));
        tokio::pin!(seen);
        loop {
            tokio::select! {
                told = &mut seen => return told.unwrap(),
                _ = every.tick() => client.publish(subject.to_string(), event.to_string().into()).await.unwrap(),
            }
        }
    });
    assert!(told.contains(r#""vm_id":"c1""#), "{told}");
}
