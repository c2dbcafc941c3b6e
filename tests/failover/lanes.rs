//! Clients that make VMs, look at each and destroy most of them, and what is there of them afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::Client;
use bioxen_tests::load::{Caller, Load};
use bioxen_tests::{TestFleet, ask, code};
use serde_json::{Value, json};

/// One VM of so many is kept.
const KEPT: u64 = 16;

/// VMs of one user.
#[derive(Debug, Default)]
pub(crate) struct Made {
    user: String,
    kept: BTreeSet<String>,
    gone: BTreeSet<String>,
}

/// So many users at work.
pub(crate) async fn lanes(fleet: &TestFleet, users: usize) -> Load<Made> {
    begin(fleet, users, Load::default()).await
}

/// The same, who ask again only after so long.
pub(crate) async fn patient_lanes(fleet: &TestFleet, users: usize, patience: Duration) -> Load<Made> {
    begin(fleet, users, Load::with_patience(patience)).await
}

async fn begin(fleet: &TestFleet, users: usize, mut load: Load<Made>) -> Load<Made> {
    for user in 0..users {
        load.add(fleet, format!("user{user}"), run).await;
    }
    load
}

/// Creates VMs, has some of them run, and destroys nearly all.
async fn run(mut caller: Caller) -> (Caller, Made) {
    let mut made = Made { user: caller.user.clone(), ..Made::default() };
    let mut number = 0;
    while caller.goes_on() {
        let vm = format!("vm{number}");
        let body = json!({ "biological_type": "syn3a", "auto_start": number % 2 == 0, "allocation": { "ribosomes": 5 } });
        caller.send("create", &vm, body).await;
        caller.ask("status", &vm, &json!({})).await;
        if number % KEPT == 0 {
            made.kept.insert(vm);
        } else {
            caller.send("destroy", &vm, json!({})).await;
            made.gone.insert(vm);
        }
        number += 1;
    }
    (caller, made)
}

/// What was accepted is there, and what was destroyed is not.
pub(crate) async fn check_kept(client: &Client, all: &[Made]) {
    let (mut kept, mut gone) = (0, 0);
    for Made { user, kept: of_user, gone: destroyed } in all {
        for (vms, expected) in [(of_user, false), (destroyed, true)] {
            for vm in vms {
                let status = ask(client, &format!("bioxen.v1.cmd.{user}.status.{vm}"), &Value::Null).await;
                let is_gone = status["state"] == "destroyed" || code(&status) == "BX010";
                assert_eq!(is_gone, expected, "{user}'s {vm}: {status}");
            }
        }
        kept += of_user.len();
        gone += destroyed.len();
    }
    println!("{kept} VMs kept, {gone} destroyed, as they were answered");
}
