//! Races to allocate: more is taken when it is accepted, less is given back when the worker confirms, never too much.

use std::collections::BTreeMap;

use async_nats::Client;
use bioxen_tests::fold::assert_all_agree;
use bioxen_tests::{Options, TestFleet, ask, ask_until, code, roomy_worker};
use serde_json::{Value, json};

use crate::race::{
    Asked, Numbers, assert_all_given_back, assert_figures, command, connections, destroy_all, race, settle,
    vms_of,
};

const CLIENTS: usize = 8;

/// Waits until a VM's worker has confirmed all that was asked: what is held is what is allocated.
async fn confirmed(client: &Client, user: &str, vm: &str) -> Value {
    ask_until(client, &command(user, "resources", vm), &Value::Null, |now| {
        let same = |name: &str| now["reservation"][name] == now["allocation"][name];
        same("atp_percentage") && same("ribosomes") && same("memory_kb")
    })
    .await
}

fn all_three(numbers: &mut Numbers) -> Value {
    json!({
        "atp_percentage": 10 + numbers.below(61),
        "ribosomes": 1 + numbers.below(15),
        "memory_kb": 1024 * (1 + numbers.below(512)),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_clients_allocate_one_vm_at_once_and_what_is_held_ends_as_what_is_allocated() {
    let fleet = TestFleet::start(&Options::default());
    let clients = connections(&fleet, CLIENTS).await;
    let (user, client) = ("alice".to_owned(), &clients[0]);
    let create = json!({ "biological_type": "syn3a", "auto_start": true });
    let created = ask(client, &command(&user, "create", "c1"), &create).await;
    assert_eq!(created["status"], "created", "{created}");
    let mut numbers = Numbers(1);
    for round in 0..30 {
        let asked = (0..10 * CLIENTS).map(|_| (command(&user, "allocate", "c1"), all_three(&mut numbers)));
        let asked: Vec<Asked> = asked.collect();
        let answers = race(&clients, asked.clone()).await;
        for ((_, body), answer) in asked.iter().zip(&answers) {
            let given = &answer["allocation"];
            assert_eq!(given["ribosomes"], body["ribosomes"], "{answer}");
            assert_eq!(given["atp_percentage"].as_f64(), body["atp_percentage"].as_f64(), "{answer}");
        }
        // Half of the rounds race on before the worker has confirmed anything.
        if round % 2 == 1 {
            let now = confirmed(client, &user, "c1").await;
            let quota = ask(client, "bioxen.v1.cmd.alice.quota", &Value::Null).await;
            assert_eq!(quota["used"], now["reservation"], "{quota}, {now}");
        }
    }
    settle(client, std::slice::from_ref(&user), &["running"]).await;
    confirmed(client, &user, "c1").await;
    let folded = assert_all_agree("allocations of one VM", &fleet, client).await;
    assert_eq!(folded["kinds"]["Allocated"], json!(30 * 10 * CLIENTS));
    destroy_all(&clients, &[(user.clone(), "c1".to_owned())]).await;
    assert_all_given_back(client, &[user]).await;
    assert_all_agree("allocations of one VM, given back", &fleet, client).await;
}

/// Six VMs of three users under 250 % of ATP and 60 units in all, bob under 110 % of his own.
async fn crowded(client: &Client) -> Vec<(String, String)> {
    let quota = json!({ "max_atp_percentage": 110 });
    let limits = ask(client, "bioxen.v1.ops.tester.quota.bob", &quota).await;
    assert_eq!(limits["max_atp_percentage"], 110.0, "{limits}");
    let vms: Vec<_> = ["alice", "bob", "carol"]
        .iter()
        .flat_map(|user| ["runs", "rests"].map(|vm| ((*user).to_owned(), vm.to_owned())))
        .collect();
    for (user, vm) in &vms {
        let body = json!({
            "biological_type": "syn3a",
            "auto_start": vm == "runs" || user == "carol",
            "allocation": { "atp_percentage": 35, "ribosomes": 8 },
        });
        let created = ask(client, &command(user, "create", vm), &body).await;
        assert_eq!(created["status"], "created", "{created}");
    }
    let paused = ask(client, &command("carol", "pause", "rests"), &json!({ "wait_ms": 30_000 })).await;
    assert_eq!(paused["state"], "paused", "{paused}");
    vms
}

#[tokio::test(flavor = "multi_thread")]
async fn allocations_race_for_the_last_of_the_fleets_atp_and_never_take_more_than_there_is() {
    let resources = "global_atp_limit = 250.0\nglobal_ribosome_limit = 60\n".to_owned();
    let fleet = TestFleet::start(&Options { resources, workers: vec![roomy_worker("w1")] });
    let clients = connections(&fleet, CLIENTS).await;
    let client = &clients[0];
    let vms = crowded(client).await;
    let mut numbers = Numbers(2);
    let mut by_code: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..40 {
        let asked = (0..6 * CLIENTS).map(|_| {
            let (user, vm) = &vms[numbers.below(vms.len())];
            let body =
                json!({ "atp_percentage": 20 + numbers.below(51), "ribosomes": 4 + numbers.below(12) });
            (command(user, "allocate", vm), body)
        });
        let asked: Vec<Asked> = asked.collect();
        let answers = race(&clients, asked.clone()).await;
        for ((subject, _), answer) in asked.iter().zip(&answers) {
            *by_code.entry(code(answer).to_owned()).or_default() += 1;
            let details = &answer["error"]["details"];
            let requested = details["requested"].as_f64().unwrap_or_default();
            match (code(answer), details["resource"].as_str()) {
                ("", _) => assert!(answer["allocation"]["ribosomes"].is_u64(), "{answer}"),
                ("BX009", Some("ribosomes")) => assert_figures(answer, "BX009", "ribosomes", 60.0, requested),
                ("BX009", _) => assert_figures(answer, "BX009", "atp_percentage", 250.0, requested),
                _ => {
                    assert!(subject.contains(".bob."), "{subject}: {answer}");
                    assert_figures(answer, "BX011", "atp_percentage", 110.0, requested);
                }
            }
        }
    }
    println!("{} allocations raced: {by_code:?} (\"\" is accepted)", 40 * 6 * CLIENTS);
    assert!(["", "BX009", "BX011"].iter().all(|code| by_code.contains_key(*code)), "{by_code:?}");
    for (user, vm) in &vms {
        confirmed(client, user, vm).await;
    }
    let folded = assert_all_agree("allocations near the limits", &fleet, client).await;
    assert!(folded["peak"]["atp_millipercent"].as_u64() > Some(240_000), "the limit was never near");
    let users = ["alice", "bob", "carol"].map(str::to_owned);
    destroy_all(&clients, &vms_of(client, &users).await).await;
    assert_all_given_back(client, &users).await;
    assert_all_agree("allocations near the limits, given back", &fleet, client).await;
}

async fn status(client: &Client, user: &str, vm: &str, expected: impl Fn(&Value) -> bool) -> Value {
    ask_until(client, &command(user, "status", vm), &Value::Null, expected).await
}

/// A worker is lost before any checkpoint: what runs again from minute 0 goes through its old allocations once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_repeats_its_past_allocations_takes_nothing_that_others_hold_by_now() {
    // Short quanta: the worker tells of each change that is repeated, or nearly.
    let (name, table) = roomy_worker("w1");
    let table = format!("{table}scheduling_quantum_ms = 1\n");
    let resources = "global_ribosome_limit = 12\n".to_owned();
    let mut fleet = TestFleet::start(&Options { resources, workers: vec![(name.clone(), table.clone())] });
    let clients = connections(&fleet, 1).await;
    let client = &clients[0];
    let minutes = |now: &Value| now["simulated_minutes"].as_f64().unwrap_or_default();
    let body = json!({ "biological_type": "syn3a", "auto_start": true, "pace": 1e6, "priority": 1 });
    assert_eq!(ask(client, &command("alice", "create", "c1"), &body).await["status"], "created");
    for ribosomes in [2, 9, 2, 9, 2, 9, 2, 9, 2, 9] {
        let begun = minutes(&ask(client, &command("alice", "status", "c1"), &Value::Null).await);
        status(client, "alice", "c1", |now| minutes(now) > begun + 1000.0).await;
        ask(client, &command("alice", "allocate", "c1"), &json!({ "ribosomes": ribosomes })).await;
        confirmed(client, "alice", "c1").await;
    }
    let reached = ask(client, &command("alice", "status", "c1"), &Value::Null).await;
    fleet.kill_worker("w1");
    settle(client, &["alice".to_owned()], &["unknown"]).await;
    assert_eq!(ask(client, &command("alice", "stop", "c1"), &Value::Null).await["state"], "stopped");
    fleet.start_worker(&name, &table);
    // Carol has the room, alice waits for it, bob behind her for whatever she would give back.
    let nine = |on_full: &str| json!({ "biological_type": "syn3a", "allocation": { "ribosomes": 9 }, "on_full": on_full });
    assert_eq!(ask(client, &command("carol", "create", "c1"), &nine("reject")).await["state"], "created");
    assert_eq!(ask(client, &command("bob", "create", "c1"), &nine("queue")).await["state"], "queued");
    let queue = json!({ "on_full": "queue" });
    assert_eq!(ask(client, &command("alice", "start", "c1"), &queue).await["state"], "queued");
    destroy_all(&clients, &[("carol".to_owned(), "c1".to_owned())]).await;
    status(client, "alice", "c1", |now| minutes(now) >= minutes(&reached)).await;
    confirmed(client, "alice", "c1").await;
    assert_eq!(status(client, "bob", "c1", |_| true).await["state"], "queued");
    ask(client, &command("alice", "allocate", "c1"), &json!({ "ribosomes": 3 })).await;
    status(client, "bob", "c1", |now| now["state"] == "running").await;
    confirmed(client, "alice", "c1").await;
    assert_all_agree("past allocations repeated", &fleet, client).await;
    let users = ["alice", "bob", "carol"].map(str::to_owned);
    destroy_all(&clients, &vms_of(client, &users).await).await;
    assert_all_given_back(client, &users).await;
    assert_all_agree("past allocations repeated, given back", &fleet, client).await;
}
