//! Clients that go on making VMs, starting some and destroying some, until they are told to stop.

use std::time::Duration;

use bioxen_tests::TestFleet;
use bioxen_tests::load::{Caller, Load};
use serde_json::json;

/// Nothing is ended under this load: who is not answered by then is not answered.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many users; each ends with how many of its VMs stand.
pub(crate) async fn start(fleet: &TestFleet, users: usize) -> Load<usize> {
    let mut load = Load::with_patience(PATIENCE);
    for user in 0..users {
        load.add(fleet, format!("load{user}"), run).await;
    }
    load
}

/// Ends it, and fails where anything was refused or left open; how many VMs stand.
pub(crate) async fn end(load: Load<usize>) -> usize {
    let (answers, standing) = load.end().await;
    answers.assert_all_accepted();
    standing.into_iter().sum()
}

async fn run(mut caller: Caller) -> (Caller, usize) {
    let (mut number, mut standing) = (0, 0);
    while caller.goes_on() {
        number += 1;
        let vm = format!("v{number}");
        let body = json!({ "biological_type": "syn3a", "auto_start": number % 8 == 1 });
        caller.send("create", &vm, body).await;
        standing += 1;
        if number % 4 == 0 {
            caller.send("destroy", &vm, json!({})).await;
            standing -= 1;
        }
    }
    (caller, standing)
}
