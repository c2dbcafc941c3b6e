//! Many clients on connections of their own that all ask at once, and what may be expected of their answers.

use std::sync::Arc;

use async_nats::Client;
use bioxen_tests::{TestFleet, ask, ask_until, code};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Barrier;

/// What one client asks.
pub(crate) type Asked = (String, Value);

pub(crate) async fn connections(fleet: &TestFleet, count: usize) -> Vec<Client> {
    join_all((0..count).map(|_| fleet.connect())).await
}

pub(crate) fn command(user: &str, verb: &str, vm: &str) -> String {
    format!("bioxen.v1.cmd.{user}.{verb}.{vm}")
}

/// Deals the questions out to all clients, has them all begin at once, and returns the answers in order.
pub(crate) async fn race(clients: &[Client], asked: Vec<Asked>) -> Vec<Value> {
    let count = clients.len().min(asked.len());
    let barrier = Arc::new(Barrier::new(count));
    let mut hands: Vec<Vec<(usize, Asked)>> = vec![Vec::new(); count];
    for (number, asked) in asked.into_iter().enumerate() {
        hands[number % count].push((number, asked));
    }
    let tasks =
        clients.iter().zip(hands).map(|(client, hand)| {
            let (client, barrier) = (client.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                let client = &client;
                join_all(hand.into_iter().map(|(number, (subject, body))| async move {
                    (number, ask(client, &subject, &body).await)
                }))
                .await
            })
        });
    let mut answers: Vec<(usize, Value)> = join_all(tasks)
        .await
        .into_iter()
        .flat_map(|answers| answers.expect("a client's task ends"))
        .collect();
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// A deck of numbers, shuffled; the same for the same seed.
pub(crate) fn shuffled<T>(mut deck: Vec<T>, seed: u64) -> Vec<T> {
    let mut drawn = Numbers(seed);
    for last in (1..deck.len()).rev() {
        deck.swap(last, drawn.below(last + 1));
    }
    deck
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = u64::try_from(limit).expect("a small number");
        usize::try_from((mixed ^ (mixed >> 31)) % part).expect("below a usize")
    }
}

/// A refusal that says which limit, how much of it is used, and what was asked for on top.
pub(crate) fn assert_figures(answer: &Value, expected: &str, resource: &str, limit: f64, requested: f64) {
    let details = &answer["error"]["details"];
    assert_eq!(code(answer), expected, "{answer}");
    assert_eq!(details["resource"], resource, "{answer}");
    assert_eq!(details["limit"].as_f64(), Some(limit), "{answer}");
    assert_eq!(details["requested"].as_f64(), Some(requested), "{answer}");
    let used = details["used"].as_f64().expect("what is used");
    assert!(used <= limit && used + requested > limit, "the figures do not say why: {answer}");
    assert!(details["retry_after_ms"].as_u64() > Some(0), "{answer}");
    let message = answer["error"]["message"].as_str().expect("a message");
    for figure in [used, limit] {
        assert!(message.contains(&figure.to_string()), "the message does not say {figure}: {message}");
    }
}

/// Destroys VMs, all at once, and waits until each is gone.
pub(crate) async fn destroy_all(clients: &[Client], vms: &[(String, String)]) {
    let body = json!({ "wait_ms": 30_000 });
    let asked = vms.iter().map(|(user, vm)| (command(user, "destroy", vm), body.clone())).collect();
    for ((user, vm), answer) in vms.iter().zip(race(clients, asked).await) {
        assert_eq!(answer["state"], "destroyed", "{user}/{vm}: {answer}");
    }
}

/// Every VM of these users that is not destroyed.
pub(crate) async fn vms_of(client: &Client, users: &[String]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for user in users {
        let list = ask(client, &format!("bioxen.v1.cmd.{user}.list"), &json!({ "limit": 1000 })).await;
        let vms = list["vms"].as_array().expect("a list of VMs");
        found.extend(vms.iter().map(|vm| (user.clone(), vm["vm_id"].as_str().expect("a name").to_owned())));
    }
    found
}

/// Waits until every VM of these users stands in one of the states.
pub(crate) async fn settle(client: &Client, users: &[String], states: &[&str]) {
    for user in users {
        ask_until(client, &format!("bioxen.v1.cmd.{user}.list"), &json!({ "limit": 1000 }), |list| {
            list["vms"].as_array().is_some_and(|vms| {
                vms.iter().all(|vm| vm["state"].as_str().is_some_and(|state| states.contains(&state)))
            })
        })
        .await;
    }
}

/// Nothing is held and nothing waits: everything was given back, once.
pub(crate) async fn assert_all_given_back(client: &Client, users: &[String]) {
    for user in users {
        let quota = ask(client, &format!("bioxen.v1.cmd.{user}.quota"), &Value::Null).await;
        let nothing = json!({ "slots": 0, "atp_percentage": 0.0, "ribosomes": 0, "memory_kb": 0 });
        assert_eq!((&quota["used"], &quota["queued"]), (&nothing, &json!(0)), "{quota}");
    }
    let totals = ask(client, "bioxen.v1.cmd.tester.fleet", &Value::Null).await;
    let used = ["active_vms", "global_atp_used", "global_ribosomes_used", "queued"].map(|name| &totals[name]);
    assert!(used.iter().all(|amount| amount.as_f64() == Some(0.0)), "{totals}");
}
