//! What clients see of a fleet before and after.

use async_nats::Client;
use bioxen_tests::{TestFleet, ask};
use serde_json::{Value, json};

use crate::store::USERS;

/// Of a status: what time alone changes, and whether the worker answers just now.
const PASSING: [&str; 7] = [
    "uptime_seconds",
    "cpu_time_used",
    "simulated_minutes",
    "lag_minutes",
    "predicted",
    "health_status",
    "effective",
];

/// What the users and operators of [`crate::store::populate`] are answered, without what time alone changes.
pub(crate) async fn answers(client: &Client) -> Value {
    let mut all = json!({});
    for user in USERS {
        let mut of_user = json!({});
        for verb in ["list", "quota"] {
            of_user[verb] = ask(client, &format!("bioxen.v1.cmd.{user}.{verb}"), &Value::Null).await;
        }
        for vm in ["created", "ran", "paused", "stopped", "gone", "waiting"] {
            let mut status = ask(client, &format!("bioxen.v1.cmd.{user}.status.{vm}"), &Value::Null).await;
            for passing in PASSING {
                status[passing] = Value::Null;
            }
            of_user[vm] = status;
        }
        all[user] = of_user;
    }
    let mut fleet = ask(client, "bioxen.v1.cmd.alice.fleet", &Value::Null).await;
    (fleet["epoch"], fleet["index"]) = (Value::Null, Value::Null);
    all["fleet"] = fleet;
    all["workers"] = ask(client, "bioxen.v1.ops.tester.workers", &Value::Null).await;
    all
}

/// What a process wrote on standard error since there were so many bytes of it.
pub(crate) fn said_since(fleet: &TestFleet, process: &str, bytes: usize) -> String {
    fleet.log(process).split_off(bytes)
}

/// Fails with what differs, and nothing else.
pub(crate) fn assert_same(now: &Value, before: &Value) {
    fn compare(path: &str, now: &Value, before: &Value) {
        match (now, before) {
            (Value::Object(now), Value::Object(before)) if now.keys().eq(before.keys()) => {
                now.iter().for_each(|(name, value)| compare(&format!("{path}.{name}"), value, &before[name]));
            }
            _ => assert_eq!(now, before, "{path}"),
        }
    }
    compare("", now, before);
}
