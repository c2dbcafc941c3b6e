//! Boots of workers and of coordinators: who may hold a name, and what a death takes with it.

use std::fs::File;
use std::process::{Child, Stdio};

use async_nats::Client;
use bioxen_tests::fold::assert_all_agree;
use bioxen_tests::{Options, START_PATIENCE, TestFleet, ask, ask_until, program};
use serde_json::{Value, json};

use crate::{assert_nothing_held, command, destroy, reaches, status, workers};

/// A worker that is not expected to be registered at once; it ends with the value.
struct Extra {
    child: Child,
    log: std::path::PathBuf,
}

impl Extra {
    fn start(fleet: &TestFleet, name: &str) -> Self {
        let log = fleet.folder().join(format!("{name}-second.log"));
        let mut worker = program("bioxen-worker");
        worker.args(["--url", &fleet.url(), "--name", name, "--http-port", "0"]);
        worker.args(["--set", "worker.max_vms=1000", "--set", "worker.total_ribosomes=20000"]);
        worker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).expect("a log file"));
        Self { child: worker.spawn().expect("the worker starts"), log }
    }

    /// How often it was refused so far.
    fn refusals(&self) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches("another boot of this name").count()
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn run(client: &Client, user: &str, vm: &str) -> Value {
    let body = json!({ "biological_type": "syn3a", "auto_start": true });
    let created = ask(client, &command(user, "create", vm), &body).await;
    assert_eq!(created["status"], "created", "{created}");
    reaches(client, user, vm, "running").await
}

fn minutes(status: &Value) -> f64 {
    status["simulated_minutes"].as_f64().expect("simulated minutes")
}

async fn goes_on(client: &Client, user: &str, vm: &str, before: &Value) {
    let now = ask_until(client, &command(user, "status", vm), &Value::Null, |now| {
        now["state"] == "running" && minutes(now) > minutes(before)
    })
    .await;
    assert_eq!((&now["generation"], &now["worker"]), (&before["generation"], &before["worker"]), "{now}");
}

#[test]
fn a_worker_whose_reserve_is_above_what_is_held_back_says_so_and_does_not_start() {
    let mut worker = program("bioxen-worker");
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("worker.toml");
    let table = "[worker]\nmax_vms = 16\ntotal_ribosomes = 80\nemergency_ribosome_reserve = 13\n";
    std::fs::write(&config, table).expect("the configuration is written");
    let told = worker.args(["--name", "w1", "--config"]).arg(&config).output().expect("it runs and ends");
    let text = String::from_utf8_lossy(&told.stderr);
    println!("{}", text.trim());
    assert!(!told.status.success());
    for said in ["emergency_ribosome_reserve 13", "12 units", "80", "lower the reserve or raise the overhead"]
    {
        assert!(text.contains(said), "it does not say {said:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_boot_of_a_name_is_refused_until_the_first_ones_lease_and_grace_are_over() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let before = run(&client, "alice", "c1").await;
    let first = workers(&client).await[0]["boot"].clone();
    let second = Extra::start(&fleet, "w1");
    let begun = std::time::Instant::now();
    // Twice, for a first refusal could be of a lease that was about to end.
    while second.refusals() < 2 {
        assert!(begun.elapsed() < START_PATIENCE, "the second boot was never refused");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(workers(&client).await[0]["boot"], first);
    goes_on(&client, "alice", "c1", &before).await;
    fleet.kill_worker("w1");
    let registered =
        |now: &Value| now["workers"][0]["boot"] != first && now["workers"][0]["state"] == "registered";
    ask_until(&client, "bioxen.v1.ops.tester.workers", &Value::Null, registered).await;
    // The new boot is a worker like any other: it takes the VM up, in a new generation.
    let taken_up = |now: &Value| now["generation"] != before["generation"] && now["state"] == "running";
    ask_until(&client, &command("alice", "status", "c1"), &Value::Null, taken_up).await;
    println!("the second boot was refused {} times, then admitted", second.refusals());
    destroy(&client, "alice", "c1").await;
    assert_nothing_held(&client).await;
    assert_all_agree("two boots of one name", &fleet, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_vms_keep_everything_while_no_other_worker_has_room_and_go_on_when_one_has() {
    let full = |name: &str| (name.to_owned(), "max_vms = 4\ntotal_ribosomes = 20000\n".to_owned());
    let workers = vec![full("w1"), full("w2")];
    let resources = "rebalance = false\n".to_owned();
    let mut fleet = TestFleet::start(&Options { workers, resources });
    let client = fleet.connect().await;
    let mut of_worker = std::collections::BTreeMap::<String, Vec<(String, Value)>>::new();
    for number in 0..8 {
        let vm = format!("c{number}");
        let now = run(&client, "alice", &vm).await;
        of_worker.entry(now["worker"].as_str().expect("a worker").to_owned()).or_default().push((vm, now));
    }
    assert_eq!((of_worker["w1"].len(), of_worker["w2"].len()), (4, 4));
    let quota = async || ask(&client, "bioxen.v1.cmd.alice.quota", &Value::Null).await["used"].clone();
    let before = quota().await;
    fleet.kill_worker("w1");
    for (vm, running) in &of_worker["w1"] {
        let now = reaches(&client, "alice", vm, "unknown").await;
        assert_eq!(
            (&now["health_status"], &now["generation"]),
            (&json!("unreachable"), &running["generation"])
        );
        assert!(now["reason"].as_str().is_some_and(|reason| reason.contains("lease")), "{now}");
    }
    assert_eq!(quota().await, before);
    for (vm, running) in &of_worker["w2"] {
        goes_on(&client, "alice", vm, running).await;
    }
    let (stopped, kept) = of_worker["w1"].split_at(2);
    for (vm, _) in stopped {
        let now = ask(&client, &command("alice", "stop", vm), &json!({ "wait_ms": 30_000 })).await;
        assert_eq!(now["state"], "stopped", "{now}");
    }
    let expected =
        json!({ "slots": 8, "atp_percentage": 360.0, "ribosomes": 60, "memory_kb": 6 * 512 * 1024 });
    assert_eq!(quota().await, expected);
    assert_all_agree("a killed worker", &fleet, &client).await;
    for (vm, _) in kept {
        assert_eq!(status(&client, "alice", vm).await["state"], "unknown");
    }
    // With room they go on in a new generation, those that were stopped when their user says so.
    let (name, table) = full("w1");
    fleet.start_worker(&name, &table);
    for (vm, running) in &of_worker["w1"] {
        if stopped.iter().any(|(of, _)| of == vm) {
            ask(&client, &command("alice", "start", vm), &json!({ "wait_ms": 30_000 })).await;
        }
        let now = reaches(&client, "alice", vm, "running").await;
        assert_eq!(now["worker"], "w1", "{now}");
        assert!(now["generation"]["index"].as_u64() > running["generation"]["index"].as_u64(), "{now}");
    }
    for number in 0..8 {
        destroy(&client, "alice", &format!("c{number}")).await;
    }
    assert_nothing_held(&client).await;
    assert_all_agree("a killed worker, given back", &fleet, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_coordinator_leaves_running_vms_running_and_its_successor_finds_them_so() {
    let mut fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let mut running = Vec::new();
    for number in 0..5 {
        running.push((format!("c{number}"), run(&client, "alice", &format!("c{number}")).await));
    }
    ask(&client, &command("alice", "pause", "c4"), &json!({ "wait_ms": 30_000 })).await;
    let (_, paused) = running.pop().expect("five VMs");
    let pid = fleet.coordinator_pid();
    for round in 0..3 {
        for (_, before) in &mut running {
            let vm = before["vm_id"].as_str().expect("its name").to_owned();
            *before = status(&client, "alice", &vm).await;
        }
        fleet.kill_coordinator();
        fleet.start_coordinator();
        for (vm, before) in &running {
            goes_on(&client, "alice", vm, before).await;
        }
        let still = reaches(&client, "alice", "c4", "paused").await;
        assert_eq!(still["generation"], paused["generation"], "{still}");
        let totals = ask(&client, "bioxen.v1.cmd.tester.fleet", &Value::Null).await;
        assert_eq!((&totals["active_vms"], &totals["epoch"]), (&json!(5), &json!(round + 2)), "{totals}");
    }
    assert_ne!(fleet.coordinator_pid(), pid);
    let folded = assert_all_agree("a killed coordinator", &fleet, &client).await;
    let placed = (&folded["kinds"]["Placed"], &folded["kinds"]["Expired"], &folded["kinds"]["Registered"]);
    assert_eq!(placed, (&json!(5), &Value::Null, &json!(1)), "something was placed anew");
    for number in 0..5 {
        destroy(&client, "alice", &format!("c{number}")).await;
    }
    assert_nothing_held(&client).await;
}
