//! The same bits, whatever happened on the way: cells as checkpoints (by digest) and as what they recorded, of both engines.
//!
//! Straight through on one thread; paused five times; checkpointed, their worker killed, restored on another; on four threads
//! among two hundred others, with the processor's AVX2 and FMA hidden from the C library; in a static build.

use std::process::Command;

use async_nats::Client;
use bioxen_tests::fold::assert_both_content;
use bioxen_tests::vms::{USER, completes, digest, done, packing_worker, reach, rows, status_until};
use bioxen_tests::{ask_until, program};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{fleet, packed_beyond};

/// Hides what the C library would choose its functions by.
const HIDDEN: (&str, &str) = ("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-FMA");
const OTHERS: usize = 200;
/// A run takes so long where it has a pace.
const RUN_S: f64 = 6.0;

/// A kind of cell, and how many minutes it is followed: a single cell of ecoli takes a second for ten.
#[derive(Debug, Clone, Copy)]
struct Case {
    chassis: &'static str,
    engine: &'static str,
    minutes: f64,
}

const CASES: [Case; 4] = [
    Case { chassis: "syn3a", engine: "ode", minutes: 120.0 },
    Case { chassis: "ecoli", engine: "ode", minutes: 60.0 },
    Case { chassis: "syn3a", engine: "stochastic", minutes: 120.0 },
    Case { chassis: "ecoli", engine: "stochastic", minutes: 10.0 },
];

impl Case {
    fn body(self, records: bool, paced: bool) -> Value {
        let Self { chassis, engine, minutes } = self;
        let mut body = json!({
            "biological_type": chassis, "engine": engine, "seed": 11, "replicate": 3, "auto_start": true,
            "horizon_minutes": minutes, "parameters": { "s0": 8000 },
            "allocation": { "atp_percentage": 55.5, "ribosomes": 9, "memory_kb": 1024 },
            "schedule": [{ "at_minute": minutes / 2.0, "parameters": { "cl": 1.5 } }],
        });
        if records {
            body["record"] =
                json!({ "variables": ["atp", "growth_rate_per_min", "protein_total"], "every_minutes": 0.5 });
        }
        if paced {
            body["pace"] = json!(minutes * 60.0 / RUN_S);
        }
        body
    }

    fn vm(self, what: &str, records: bool) -> String {
        format!("{what}-{}-{}-{records}", self.chassis, self.engine)
    }
}

/// What a case must come to.
struct Expected {
    digest: String,
    rows: String,
}

async fn agrees(client: &Client, vm: &str, records: bool, expected: &Expected) {
    completes(client, vm).await;
    assert_eq!(digest(client, vm).await, expected.digest, "{vm}");
    if records {
        assert_eq!(rows(client, vm).await, expected.rows, "{vm}");
    }
}

async fn create_all(client: &Client, what: &str, paced: bool) -> Vec<(Case, bool, String)> {
    let mut made = Vec::new();
    for case in CASES {
        for records in [false, true] {
            let vm = case.vm(what, records);
            done(client, "create", &vm, case.body(records, paced)).await;
            made.push((case, records, vm));
        }
    }
    made
}

async fn passes(client: &Client, vm: &str, minute: f64) {
    status_until(client, vm, |status| status["simulated_minutes"].as_f64() > Some(minute)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_ends_with_the_same_bits_whatever_happened_to_it() {
    let mut fleet = fleet(vec![packing_worker("one", 1)]);
    let client = fleet.connect().await;
    let mut expected = Vec::new();
    for pair in create_all(&client, "straight", false).await.chunks(2) {
        let (plain, recorded) = (&pair[0].2, &pair[1].2);
        completes(&client, plain).await;
        completes(&client, recorded).await;
        let found = Expected { digest: digest(&client, plain).await, rows: rows(&client, recorded).await };
        assert_eq!(digest(&client, recorded).await, found.digest, "recording changed {plain}");
        expected.push(found);
    }
    let paused = create_all(&client, "paused", true).await;
    // All side by side here and below: whoever waited for the others' turn would end meanwhile.
    join_all(paused.iter().map(async |(case, _, vm)| {
        for pause in 1..=5 {
            passes(&client, vm, case.minutes * f64::from(pause) / 8.0).await;
            reach(&client, "pause", vm, "paused").await;
            reach(&client, "resume", vm, "running").await;
        }
    }))
    .await;
    for ((_, records, vm), expected) in paused.iter().zip(expected.iter().flat_map(|one| [one, one])) {
        agrees(&client, vm, *records, expected).await;
    }
    let lost = create_all(&client, "lost", true).await;
    let mut taken = Vec::new();
    join_all(lost.iter().map(async |(case, _, vm)| {
        passes(&client, vm, case.minutes / 8.0).await;
        reach(&client, "pause", vm, "paused").await;
    }))
    .await;
    for (case, records, vm) in &lost {
        if !records {
            packed_beyond(&client, &[vm], case.minutes / 8.0 - 1.0).await;
            taken.push(done(&client, "checkpoint", vm, Value::Null).await);
        }
    }
    fleet.kill_worker("one");
    let (name, table) = packing_worker("four", 4);
    fleet.start_worker_with(&name, &table, &[HIDDEN]);
    // From what was packed, those that recorded from the start; and, below, from the checkpoints that were taken.
    for (_, _, vm) in &lost {
        let is_there = |status: &Value| status["worker"] == "four" && status["state"] == "paused";
        status_until(&client, vm, is_there).await;
    }
    crowd(&client).await;
    for (_, _, vm) in &lost {
        reach(&client, "resume", vm, "running").await;
    }
    let among = create_all(&client, "among", false).await;
    for vms in [&lost, &among] {
        for ((_, records, vm), expected) in vms.iter().zip(expected.iter().flat_map(|one| [one, one])) {
            agrees(&client, vm, *records, expected).await;
        }
    }
    for ((taken, (_, _, vm)), expected) in taken.iter().zip(lost.iter().step_by(2)).zip(&expected) {
        done(&client, "restore", vm, json!({ "checkpoint_id": taken["checkpoint_id"] })).await;
        assert_eq!(digest(&client, vm).await, taken["digest"].as_str().unwrap_or_default(), "{vm}");
        reach(&client, "start", vm, "running").await;
        agrees(&client, vm, false, expected).await;
    }
    assert_both_content(&fleet, &client).await;
}

/// Others on the same worker, of every kind, that run for ever.
async fn crowd(client: &Client) {
    for number in 0..OTHERS {
        let case = CASES[number % 3];
        let body = json!({ "biological_type": case.chassis, "engine": case.engine, "auto_start": true, "seed": number });
        done(client, "create", &format!("other-{number}"), body).await;
    }
    let all_run = |fleet: &Value| fleet["states"]["running"].as_u64() >= Some(OTHERS as u64);
    ask_until(client, &format!("bioxen.v1.cmd.{USER}.fleet"), &Value::Null, all_run).await;
}

/// A trajectory of every case, and the state at its end, as text that has every bit.
fn simulated(mut program: impl FnMut() -> Command) -> String {
    let mut text = String::new();
    for Case { chassis, engine, minutes } in CASES {
        for format in ["csv", "json"] {
            let mut command = program();
            command.args(["simulate", chassis, "--engine", engine, "--seed", "11", "--format", format]);
            command.args(["--minutes", &minutes.to_string(), "--atp", "55.5", "--ribosomes", "9"]);
            command.args(["--set", "s0=8000", "--at", &format!("{}:cl=1.5", minutes / 2.0)]);
            let done = command.output().expect("bioxen runs");
            assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
            text += &String::from_utf8_lossy(&done.stdout);
        }
    }
    text
}

#[test]
fn a_trajectory_has_the_same_bits_where_the_processor_shows_less() {
    let hidden = || {
        let mut command = program("bioxen");
        command.env(HIDDEN.0, HIDDEN.1);
        command
    };
    let expected = simulated(|| program("bioxen"));
    assert!(expected.lines().count() > 300, "{} lines", expected.lines().count());
    assert!(simulated(hidden) == expected, "the figures differ");
}

#[test]
#[ignore = "builds everything again: make static-bits"]
fn a_trajectory_has_the_same_bits_in_a_static_build() {
    let path =
        std::env::var_os("BIOXEN_STATIC").expect("BIOXEN_STATIC names the program: run make static-bits");
    let hidden = || {
        let mut command = Command::new(&path);
        command.env(HIDDEN.0, HIDDEN.1);
        command
    };
    let expected = simulated(|| program("bioxen"));
    assert!(simulated(|| Command::new(&path)) == expected, "the figures differ");
    assert!(simulated(hidden) == expected, "the figures differ with AVX2 and FMA hidden");
}
