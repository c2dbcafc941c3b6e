//! Users who control VMs of theirs at random, so many commands a second each.

use std::time::Duration;

use async_nats::Client;
use serde_json::{Value, json};

use crate::load::{Caller, Load};
use crate::{Random, TestFleet, ask_again};

const COMMANDS_PER_SECOND: u64 = 10;

/// Creates and starts the VMs of one user more, then begins.
pub async fn add_user(load: &mut Load<()>, fleet: &TestFleet, user: String, vms: u64, random: Random) {
    create_vms(&fleet.connect().await, &user, vms).await;
    load.add(fleet, user, move |caller| run(caller, vms, random)).await;
}

/// Creates and starts VMs of a user, each asked for until it is there.
pub async fn create_vms(client: &Client, user: &str, vms: u64) {
    for vm in 0..vms {
        let body = json!({
            "biological_type": "syn3a", "seed": vm, "auto_start": true, "allocation": { "ribosomes": 5 },
            "request_id": format!("create-{vm}")
        });
        let subject = format!("bioxen.v1.cmd.{user}.create.vm{vm}");
        ask_again(client, &subject, &body, |made| made["status"] == "created").await;
    }
}

async fn run(mut caller: Caller, vms: u64, mut random: Random) -> (Caller, ()) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / COMMANDS_PER_SECOND));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while caller.goes_on() {
        ticks.tick().await;
        let vm = format!("vm{}", random.below(vms));
        let (verb, body) = draw(&mut random);
        caller.send(verb, &vm, body).await;
    }
    (caller, ())
}

fn draw(random: &mut Random) -> (&'static str, Value) {
    let at_once = json!({ "wait_ms": 0 });
    match random.below(20) {
        0 => ("pause", at_once),
        1..4 => ("resume", at_once),
        4 => ("stop", at_once),
        5..8 => ("start", at_once),
        _ => ("allocate", json!({ "ribosomes": 1 + random.below(10) })),
    }
}
