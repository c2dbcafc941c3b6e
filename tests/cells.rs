//! Cells: the models against an independent integrator, and VMs of a real fleet against `bioxen simulate`, to the bit,
//! whatever happened to them on the way.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "the figures measured are shown where asked for")]

use std::time::Duration;

use async_nats::Client;
use bioxen_tests::cells::{
    CHASSIS, Chassis, Draw, Spec, USER, Vm, crowd, is_clean, minute_in_effect, raise_quota,
};
use bioxen_tests::{Options, TestFleet, program, python};
use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

/// Room for everything that these tests hold.
const RESOURCES: &str =
    "max_concurrent_vms = 1000\nglobal_atp_limit = 100000\nglobal_ribosome_limit = 50000\n";
/// How long an event may take.
const EVENT_PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn random_transients_agree_with_an_independent_integrator() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/independent/cells.py");
    let bioxen = program("bioxen");
    let mut command = python();
    command.args([script, "--count", "50", "--bound", "1e-4", "--bioxen"]).arg(bioxen.get_program());
    if let Ok(seed) = std::env::var("BIOXEN_TEST_SEED") {
        command.args(["--seed", &seed]);
    }
    let done = command.output().expect("python runs");
    println!("{}", String::from_utf8_lossy(&done.stdout));
    let (said, wrote) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}\n{wrote}");
    assert!(said.contains("50 of 50 agree"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_among_a_hundred_on_one_simulation_thread_is_simulate_s_cell_to_the_bit() {
    among_a_hundred(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_among_a_hundred_on_four_simulation_threads_is_simulate_s_cell_to_the_bit() {
    among_a_hundred(4).await;
}

async fn among_a_hundred(threads: usize) {
    let draw = Draw::new(&format!("{threads} simulation threads"));
    let fleet = fleet(vec![worker("w1", threads, 1000)]);
    let client = fleet.connect().await;
    raise_quota(&client).await;
    crowd(&client, &draw).await;
    let scenarios = CHASSIS.iter().flat_map(|chassis| {
        [
            rests(&client, &draw, *chassis).boxed(),
            completes(&client, &draw, *chassis, json!({ "horizon_minutes": 300 }), "max").boxed(),
            completes(&client, &draw, *chassis, json!({ "horizon_minutes": 4.2, "pace": 60 }), "60").boxed(),
            completes(&client, &draw, *chassis, json!({ "horizon_minutes": 47.3, "pace": 600 }), "600")
                .boxed(),
            is_paused(&client, &draw, *chassis).boxed(),
            is_allocated(&client, &draw, *chassis).boxed(),
            has_parameters(&client, &draw, *chassis).boxed(),
            is_scheduled(&client, &draw, *chassis).boxed(),
        ]
    });
    let compared: usize = join_all(scenarios).await.into_iter().sum();
    println!("{threads} simulation threads: {compared} comparisons among 100 others, all equal to the bit");
    is_clean(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stops_and_starts_on_another_worker_leave_no_trace_in_a_trajectory() {
    let draw = Draw::new("stop and start");
    // Or the first worker would have room again as soon as the second joins.
    let resources = format!("{RESOURCES}rebalance = false\n");
    let mut fleet = TestFleet::start(&Options { resources, workers: vec![worker("single", 1, 4)] });
    let client = fleet.connect().await;
    let vms = join_all(CHASSIS.map(|chassis| {
        let spec = Spec::drawn(&draw, chassis).with_parameters(&draw).with_changes(&draw);
        let more = json!({ "auto_start": true, "pace": 600 });
        Vm::create(&client, format!("mover-{}", chassis.name), spec, more)
    }))
    .await;
    // All at once, for whoever waited for the others' turn would run on meanwhile.
    join_all(vms.iter().map(async |vm| {
        vm.passes(4.0).await;
        assert_eq!(vm.ask("status", Value::Null).await["worker"], "single");
        vm.reach("stop", "stopped").await;
    }))
    .await;
    for vm in &vms {
        vm.agrees().await;
    }
    // The first worker is full now, so that they have to go to the second.
    for number in 0..4 {
        let spec = Spec::drawn(&draw, CHASSIS[0]);
        Vm::create(&client, format!("filler-{number}"), spec, json!({ "auto_start": true })).await;
    }
    fleet.start_worker("four", "max_vms = 4\ntotal_ribosomes = 20000\nthreads = 4\n");
    for vm in &vms {
        let started = vm.ask("start", json!({ "horizon_minutes": 60, "wait_ms": 30_000 })).await;
        assert_eq!(started["state"], "running", "{started}");
        assert_eq!(vm.ask("status", Value::Null).await["worker"], "four");
        vm.agrees().await;
    }
    for vm in &vms {
        vm.completes().await;
        assert_eq!(vm.agrees().await, 60.0);
    }
    println!(
        "stop and start: {} VMs moved from one worker to another, equal to the bit at 60 min",
        vms.len()
    );
    is_clean(&fleet).await;
}

fn fleet(workers: Vec<(String, String)>) -> TestFleet {
    TestFleet::start(&Options { resources: RESOURCES.to_owned(), workers })
}

fn worker(name: &str, threads: usize, max_vms: u64) -> (String, String) {
    let table = format!("max_vms = {max_vms}\ntotal_ribosomes = 20000\nthreads = {threads}\n");
    (name.to_owned(), table)
}

/// Created and never started: minute 0.
async fn rests(client: &Client, draw: &Draw, chassis: Chassis) -> usize {
    let spec = Spec::drawn(draw, chassis);
    let vm = Vm::create(client, format!("rests-{}", chassis.name), spec, json!({})).await;
    assert_eq!(vm.agrees().await, 0.0);
    1
}

async fn completes(client: &Client, draw: &Draw, chassis: Chassis, mut more: Value, pace: &str) -> usize {
    more["auto_start"] = json!(true);
    let horizon = more["horizon_minutes"].as_f64().expect("a horizon");
    let spec = Spec::drawn(draw, chassis);
    let vm = Vm::create(client, format!("pace-{pace}-{}", chassis.name), spec, more).await;
    // Wherever it happens to be, before its horizon or at it.
    vm.agrees().await;
    vm.completes().await;
    assert_eq!(vm.agrees().await, horizon);
    2
}

async fn is_paused(client: &Client, draw: &Draw, chassis: Chassis) -> usize {
    let spec = Spec::drawn(draw, chassis);
    let more = json!({ "auto_start": true, "pace": 600 });
    let vm = Vm::create(client, format!("paused-{}", chassis.name), spec, more).await;
    let mut minutes = 0.0;
    for _ in 0..5 {
        vm.passes(minutes + 0.7).await;
        vm.reach("pause", "paused").await;
        minutes = vm.agrees().await;
        assert_eq!(vm.agrees().await, minutes, "a paused VM moved");
        vm.reach("resume", "running").await;
        vm.agrees().await;
    }
    ends(&vm, minutes).await;
    17
}

/// Two allocations on the way; the second lifts the cap.
async fn is_allocated(client: &Client, draw: &Draw, chassis: Chassis) -> usize {
    let spec = Spec::drawn(draw, chassis);
    let more = json!({ "auto_start": true, "pace": 600 });
    let mut vm = Vm::create(client, format!("allocated-{}", chassis.name), spec, more).await;
    let told = client.subscribe(format!("bioxen.v1.evt.{}.{}.allocated", USER, vm.name)).await;
    let mut told = told.expect("a subscription");
    client.flush().await.expect("subscribed");
    let lifted = (chassis.most_atp, chassis.most_ribosomes);
    let mut minutes = 0.0;
    for (atp, ribosomes) in [(draw.number(5.0, chassis.most_atp), draw.whole(1, 9)), lifted] {
        vm.passes(minutes + 1.0).await;
        let answer = vm.ask("allocate", json!({ "atp_percentage": atp, "ribosomes": ribosomes })).await;
        assert_eq!(answer["allocation"]["ribosomes"], ribosomes, "{answer}");
        let event = tokio::time::timeout(EVENT_PATIENCE, told.next()).await.expect("an event in time");
        let event: Value = serde_json::from_slice(&event.expect("an event").payload).expect("JSON");
        minutes = minute_in_effect(&event);
        vm.spec.changes.push((minutes, "atp", atp));
        vm.spec.changes.push((minutes, "ribosomes", ribosomes as f64));
        vm.agrees().await;
    }
    ends(&vm, minutes).await;
    4
}

async fn has_parameters(client: &Client, draw: &Draw, chassis: Chassis) -> usize {
    let spec = Spec::drawn(draw, chassis).with_parameters(draw);
    let more = json!({ "auto_start": true, "horizon_minutes": 120 });
    let vm = Vm::create(client, format!("parameters-{}", chassis.name), spec, more).await;
    vm.completes().await;
    assert_eq!(vm.agrees().await, 120.0);
    1
}

/// Changes known at creation; paused somewhere among them.
async fn is_scheduled(client: &Client, draw: &Draw, chassis: Chassis) -> usize {
    let spec = Spec::drawn(draw, chassis).with_changes(draw);
    let more = json!({ "auto_start": true, "pace": 600 });
    let vm = Vm::create(client, format!("scheduled-{}", chassis.name), spec, more).await;
    let minutes = vm.passes(5.0).await;
    vm.reach("pause", "paused").await;
    vm.agrees().await;
    vm.reach("resume", "running").await;
    ends(&vm, minutes.max(20.0)).await;
    3
}

/// Stops it, wherever it is, and has it go on to a horizon.
async fn ends(vm: &Vm<'_>, beyond: f64) {
    vm.passes(beyond).await;
    vm.reach("stop", "stopped").await;
    let horizon = (vm.agrees().await + 25.0).ceil();
    let started = vm.ask("start", json!({ "horizon_minutes": horizon, "wait_ms": 30_000 })).await;
    assert!(started["error"].is_null(), "{started}");
    vm.completes().await;
    assert_eq!(vm.agrees().await, horizon);
}
