//! Races over the same VMs, and for places in the queue: every sum is right afterwards, and nothing leaks.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::Client;
use bioxen_tests::fold::assert_all_agree;
use bioxen_tests::{Options, TestFleet, ask, ask_until, code, roomy_worker};
use serde_json::{Value, json};

use crate::race::{
    Asked, Numbers, assert_all_given_back, command, connections, destroy_all, race, settle, shuffled, vms_of,
};

const CLIENTS: usize = 8;

fn two_workers() -> Vec<(String, String)> {
    vec![roomy_worker("w1"), roomy_worker("w2")]
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_clients_start_stop_and_destroy_the_same_vms_at_once_and_nothing_leaks() {
    let resources = "global_atp_limit = 200.0\n".to_owned();
    let fleet = TestFleet::start(&Options { resources, workers: two_workers() });
    let clients = connections(&fleet, CLIENTS).await;
    let client = &clients[0];
    let users = ["alice", "bob"].map(str::to_owned);
    let verbs = ["create", "start", "start", "stop", "pause", "resume", "allocate", "destroy", "create"];
    let mut numbers = Numbers(3);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for round in 0..40 {
        let asked = (0..6 * CLIENTS).map(|_| {
            let verb = verbs[numbers.below(verbs.len())];
            let (user, vm) = (&users[numbers.below(2)], format!("c{}", numbers.below(3)));
            let on_full = ["reject", "queue"][numbers.below(2)];
            let body = match verb {
                "create" => json!({ "biological_type": "syn3a", "on_full": on_full }),
                "start" => json!({ "on_full": on_full, "wait_ms": 0 }),
                "allocate" => json!({ "ribosomes": 1 + numbers.below(15) }),
                _ => json!({ "wait_ms": 0 }),
            };
            (command(user, verb, &vm), body)
        });
        let asked: Vec<Asked> = asked.collect();
        for ((subject, _), answer) in asked.iter().zip(race(&clients, asked.clone()).await) {
            let verb = subject.split('.').nth(4).unwrap_or_default();
            let known = ["", "BX006", "BX009", "BX010", "BX015"].contains(&code(&answer));
            assert!(known, "{subject}: {answer}");
            assert!(verb != "destroy" || ["", "BX010"].contains(&code(&answer)), "{subject}: {answer}");
            *outcomes.entry(format!("{verb} {}", code(&answer)).trim().to_owned()).or_default() += 1;
        }
        // Some rounds go on while workers are still at it.
        if round % 4 == 3 {
            destroy_all(&clients, &vms_of(client, &users).await).await;
            assert_all_given_back(client, &users).await;
        }
    }
    println!("{} commands raced for six VMs: {outcomes:?}", 40 * 6 * CLIENTS);
    assert_all_agree("starts, stops, destroys", &fleet, client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_starts_of_one_vm_take_its_allocation_once_and_many_stops_give_it_back_once() {
    let fleet = TestFleet::start(&Options { workers: two_workers(), ..Options::default() });
    let clients = connections(&fleet, CLIENTS).await;
    let client = &clients[0];
    let user = ["alice".to_owned()];
    let wait = json!({ "wait_ms": 30_000 });
    let all = |verb: &str| (0..CLIENTS).map(|_| (command("alice", verb, "c1"), wait.clone())).collect();
    let quota = async || ask(client, "bioxen.v1.cmd.alice.quota", &Value::Null).await["used"].clone();
    let slot = json!({ "slots": 1, "atp_percentage": 0.0, "ribosomes": 0, "memory_kb": 0 });
    let full = json!({ "slots": 1, "atp_percentage": 60.0, "ribosomes": 10, "memory_kb": 524_288 });
    let only_one = |answers: Vec<Value>, state: &str| {
        let done = answers.iter().filter(|answer| answer["state"] == state).count();
        let refused = answers.iter().filter(|answer| code(answer) == "BX006").count();
        assert_eq!((done, refused), (1, CLIENTS - 1), "{answers:?}");
    };
    let created =
        ask(client, &command("alice", "create", "c1"), &json!({ "biological_type": "syn3a" })).await;
    assert_eq!(created["status"], "created", "{created}");
    for _ in 0..15 {
        only_one(race(&clients, all("start")).await, "running");
        assert_eq!(quota().await, full);
        only_one(race(&clients, all("stop")).await, "stopped");
        assert_eq!(quota().await, slot);
    }
    let gone = race(&clients, all("destroy")).await;
    assert!(gone.iter().all(|answer| answer["state"] == "destroyed"), "{gone:?}");
    assert_all_given_back(client, &user).await;
    assert_all_agree("many starts and stops", &fleet, client).await;
}

fn waiting(number: usize, numbers: &mut Numbers) -> Asked {
    let user = format!("user{}", number % 8);
    let kind = ["syn3a", "minimal_cell", "ecoli"][numbers.below(3)];
    let body = json!({
        "biological_type": kind,
        "on_full": "queue",
        "priority": 1 + numbers.below(5),
        "horizon_minutes": 0.5 + numbers.below(20) as f64,
        "on_complete": if numbers.below(4) == 0 { "stop" } else { "release" },
    });
    (command(&user, "create", &format!("q{number}")), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_many_fill_and_thin_out_at_once_starts_everybody_in_turn_and_leaks_nothing() {
    let resources = "max_concurrent_vms = 14\nglobal_atp_limit = 500.0\nmax_vms_per_user = 3\n".to_owned();
    let fleet = TestFleet::start(&Options { resources, workers: two_workers() });
    let clients = connections(&fleet, CLIENTS).await;
    let client = &clients[0];
    let users: Vec<String> = (0..8).map(|number| format!("user{number}")).collect();
    let (mut queued, mut gone) = (0, BTreeSet::new());
    for round in 0..5u64 {
        let mut numbers = Numbers(100 + round);
        let asked: Vec<Asked> = (0..160).map(|number| waiting(number, &mut numbers)).collect();
        let answers = race(&clients, asked).await;
        for answer in &answers {
            let waits = answer["state"] == "queued";
            assert!(waits || answer["state"] == "starting", "{answer}");
            assert_eq!(answer["queue_position"].as_u64().is_some_and(|at| at > 0), waits, "{answer}");
            queued += usize::from(waits);
        }
        gone.extend(thin_out(&clients, &users, round).await);
        // What completed and was to keep its slot stands in the way of its user's others.
        ask_until_drained(&clients, &users).await;
        destroy_all(&clients, &vms_of(client, &users).await).await;
        assert_all_given_back(client, &users).await;
    }
    println!("5 rounds of 160: {queued} waited, {} were taken out again by hand", gone.len());
    let folded = assert_all_agree("the queue", &fleet, client).await;
    let started = folded["started"].as_array().expect("a list").len();
    println!("{started} placements in turn");
    assert!(started + gone.len() >= 5 * 160, "{started} started, {} gone", gone.len());
    assert_eq!(folded["peak"]["slots"].as_u64().max(Some(14)), Some(14));
}

/// Stops or destroys a fifth of what there is, twice each, from several clients.
async fn thin_out(clients: &[Client], users: &[String], seed: u64) -> Vec<(u64, String, String)> {
    let vms = vms_of(&clients[0], users).await;
    let mut chosen = shuffled(vms, seed);
    chosen.truncate(32);
    let verb = |place: usize| if place.is_multiple_of(2) { "destroy" } else { "stop" };
    let twice = chosen.iter().enumerate().flat_map(|(place, (user, vm))| {
        let asked = (command(user, verb(place), vm), json!({ "wait_ms": 5_000 }));
        [asked.clone(), asked]
    });
    let answers = race(clients, shuffled(twice.collect(), seed)).await;
    for answer in answers {
        assert!(["", "BX006", "BX010"].contains(&code(&answer)), "{answer}");
    }
    chosen.into_iter().map(|(user, vm)| (seed, user, vm)).collect()
}

/// Destroys what stands still until nothing waits or runs any more.
async fn ask_until_drained(clients: &[Client], users: &[String]) {
    loop {
        let fleet = ask(&clients[0], "bioxen.v1.cmd.tester.fleet", &Value::Null).await;
        let busy = ["queued", "starting", "running", "stopping", "destroying"];
        if busy.iter().all(|state| fleet["states"][state].as_u64().unwrap_or_default() == 0) {
            return;
        }
        for user in users {
            let stopped = json!({ "state": "stopped", "limit": 1000 });
            let list = ask(&clients[0], &format!("bioxen.v1.cmd.{user}.list"), &stopped).await;
            let vms = list["vms"].as_array().expect("a list of VMs").iter();
            let vms: Vec<_> =
                vms.map(|vm| (user.clone(), vm["vm_id"].as_str().expect("a name").to_owned())).collect();
            if !vms.is_empty() {
                destroy_all(clients, &vms).await;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A cell that was to get less and whose worker was lost before it did still has more when it runs again.
#[tokio::test(flavor = "multi_thread")]
async fn a_decrease_that_no_worker_confirmed_is_still_held_when_the_vm_starts_from_the_queue() {
    let resources = "global_atp_limit = 65.0\n".to_owned();
    let mut fleet = TestFleet::start(&Options { resources, ..Options::default() });
    let clients = connections(&fleet, 1).await;
    let client = &clients[0];
    let syn3a = json!({ "biological_type": "syn3a", "auto_start": true });
    ask(client, &command("alice", "create", "a"), &syn3a).await;
    let users = ["alice", "bob"].map(str::to_owned);
    settle(client, &users, &["running"]).await;
    fleet.kill_worker("w1");
    let less = json!({ "atp_percentage": 20 });
    let allocated = ask(client, &command("alice", "allocate", "a"), &less).await;
    assert_eq!(allocated["allocation"]["atp_percentage"], 20.0, "{allocated}");
    let held = async || ask(client, "bioxen.v1.cmd.alice.quota", &Value::Null).await["used"].clone();
    assert_eq!(held().await["atp_percentage"], 60.0);
    settle(client, &users, &["unknown"]).await;
    ask(client, &command("alice", "stop", "a"), &Value::Null).await;
    assert_eq!(held().await["atp_percentage"], 0.0);
    // Bob takes the room, and alice waits for all that she may need, not for the 20 % alone.
    ask(client, &command("bob", "create", "b"), &json!({ "biological_type": "syn3a" })).await;
    let queued = ask(client, &command("alice", "start", "a"), &json!({ "on_full": "queue" })).await;
    assert_eq!(queued["state"], "queued", "{queued}");
    let (name, table) = roomy_worker("w1");
    fleet.start_worker(&name, &table);
    ask(client, &command("bob", "allocate", "b"), &json!({ "atp_percentage": 40 })).await;
    let waits = ask(client, &command("alice", "status", "a"), &Value::Null).await;
    assert_eq!((&waits["state"], &waits["queue_position"]), (&json!("queued"), &json!(1)), "{waits}");
    destroy_all(&clients, &[("bob".to_owned(), "b".to_owned())]).await;
    settle(client, &users, &["running"]).await;
    ask_until(client, "bioxen.v1.cmd.alice.quota", &Value::Null, |now| now["used"]["atp_percentage"] == 20.0)
        .await;
    assert_all_agree("an unconfirmed decrease", &fleet, client).await;
    destroy_all(&clients, &[("alice".to_owned(), "a".to_owned())]).await;
    assert_all_given_back(client, &users).await;
    assert_all_agree("an unconfirmed decrease, given back", &fleet, client).await;
}
