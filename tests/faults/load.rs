//! Clients that each send so many commands a second to VMs of theirs, at random.

use std::time::Duration;

use bioxen_tests::load::{Caller, Load};
use bioxen_tests::{Random, TestFleet, ask};
use serde_json::{Value, json};

/// Users, VMs of each, and what one user sends in a second: 200 VMs and 200 commands a second in all.
const USERS: usize = 20;
const VMS: u64 = 10;
const COMMANDS_PER_SECOND: u64 = 10;

/// Creates and starts every VM, then begins.
pub(crate) async fn start(fleet: &TestFleet, random: &mut Random) -> Load<()> {
    let mut load = Load::default();
    for number in 0..USERS {
        let user = format!("user{number}");
        let client = fleet.connect().await;
        for vm in 0..VMS {
            let body = json!({ "biological_type": "syn3a", "seed": vm, "auto_start": true, "allocation": { "ribosomes": 5 } });
            let created = ask(&client, &format!("bioxen.v1.cmd.{user}.create.vm{vm}"), &body).await;
            assert_eq!(created["status"], "created", "{created}");
        }
        let random = random.fork();
        load.add(fleet, user, |caller| run(caller, random)).await;
    }
    load
}

async fn run(mut caller: Caller, mut random: Random) -> (Caller, ()) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / COMMANDS_PER_SECOND));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while caller.goes_on() {
        ticks.tick().await;
        let vm = format!("vm{}", random.below(VMS));
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
