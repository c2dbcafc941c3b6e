//! Sessions, tasks, events, hosts and the judgement on callers.

use std::time::Duration;

use bioxen_xapi_pool::{Options, Pool};
use serde_json::{Value as Json, json};

use crate::caller::Caller;

fn pool() -> Pool {
    Pool::start(Options::default()).expect("a pool")
}

#[test]
fn a_call_otherwise_than_the_data_model_says_fails_the_test_even_if_the_caller_recovers() {
    let mut pool = pool();
    let caller = Caller::new(&pool);
    let error = caller.call("VM.clone", &[json!(caller.template())]).expect_err("a name is missing");
    assert_eq!(error, ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.clone", "3", "2"]);
    let error = caller.call("VM.start", &[json!("OpaqueRef:1"), json!("no"), json!(false)]);
    assert_eq!(error.expect_err("a text is no bool"), ["FIELD_TYPE_ERROR", "start_paused"]);
    let error = caller.call("VM.begin", &[]).expect_err("there is no such call");
    assert_eq!(error, ["MESSAGE_METHOD_UNKNOWN", "VM.begin"]);
    let record = json!({"mode": "rw"});
    let error = caller.call("VBD.create", &[record]).expect_err("modes are RO and RW");
    assert_eq!(error, ["FIELD_TYPE_ERROR", "args"]);
    let page = caller.post("/jsonrpc", "application/json; charset=utf-8", b"{}").expect("an answer");
    assert!(page.starts_with("<html>"), "{page}");
    let large = vec![b' '; 301 * 1024];
    assert_eq!(caller.request("POST", "/jsonrpc", "application/json", &large).expect("an answer").0, 500);
    let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.assert_no_violations()));
    assert!(judged.is_err(), "six violations were let pass");
    assert_eq!(pool.violations().len(), 6, "{:?}", pool.violations());
}

#[test]
fn the_session_unused_for_longest_is_evicted_when_its_originator_has_too_many() {
    let pool = Pool::start(Options { sessions_of_originator: 2, ..Options::default() }).expect("a pool");
    let (first, second) = (Caller::new(&pool), Caller::new(&pool));
    first.call("pool.get_all", &[]).expect("it is open");
    let third = Caller::new(&pool);
    let error = second.call("pool.get_all", &[]).expect_err("it was evicted");
    assert_eq!(error, ["SESSION_INVALID".to_owned(), second.session.clone()]);
    assert_eq!(pool.census().sessions, 2);
    for caller in [&first, &third] {
        caller.call("session.logout", &[]).expect("it is open");
    }
    assert_eq!(pool.census().sessions, 0);
    let wrong = first.raw("session.login_with_password", json!(["root", "wrong", "2.21", "x"]));
    assert_eq!(wrong.expect_err("another password")[0], "SESSION_AUTHENTICATION_FAILED");
}

#[test]
fn a_host_that_is_not_the_master_says_which_is() {
    let pool = Pool::start(Options { hosts: 3, ..Options::default() }).expect("a pool");
    let mut caller = Caller::without_session(&pool, 2);
    let error = caller.log_in("bioxen-test").expect_err("it is a slave");
    assert_eq!(error, ["HOST_IS_SLAVE".to_owned(), pool.address_of(0)]);
    assert_ne!(pool.fingerprint_of(0), pool.fingerprint_of(2));
    let at_first = Caller::new(&pool);
    pool.promote(2);
    caller.log_in("bioxen-test").expect("it is the master now");
    let error = at_first.call("pool.get_all", &[]).expect_err("it is the master no longer");
    assert_eq!(error, ["HOST_IS_SLAVE".to_owned(), pool.address_of(2)]);
}

#[test]
fn json_rpc_1_0_answers_with_a_status() {
    let pool = pool();
    let caller = Caller::new(&pool);
    let body = json!({"method": "pool.get_all", "params": [caller.session], "id": "a"}).to_string();
    let answer = caller.post("/jsonrpc", "application/json", body.as_bytes()).expect("an answer");
    let answer: Json = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["result"]["Status"], "Success");
    assert_eq!((&answer["error"], &answer["id"]), (&Json::Null, &json!("a")));
    let body = json!({"method": "pool.get_all", "params": ["OpaqueRef:no"], "id": 1}).to_string();
    let answer = caller.post("/jsonrpc", "application/json", body.as_bytes()).expect("an answer");
    let answer: Json = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["result"]["ErrorDescription"], json!(["SESSION_INVALID", "OpaqueRef:no"]));
}

#[test]
fn a_cancelled_task_leaves_nothing_behind() {
    let options = Options { operation_time: Duration::from_secs(30), ..Options::default() };
    let pool = Pool::start(options).expect("a pool");
    let caller = Caller::new(&pool);
    let before = pool.census();
    let task = caller.text("Async.VM.clone", &[json!(caller.template()), json!("a")]);
    assert_eq!(caller.text("task.get_status", &[json!(task)]), "pending");
    caller.call("task.cancel", &[json!(task)]).expect("it runs");
    crate::caller::until("the task is cancelled", || {
        (caller.text("task.get_status", &[json!(task)]) == "cancelled").then_some(())
    });
    let error = caller.call("task.get_error_info", &[json!(task)]).expect("a list");
    assert_eq!(error, json!(["TASK_CANCELLED", task]));
    let error = caller.call("task.cancel", &[json!(task)]).expect_err("it has ended");
    assert_eq!(error[0], "OPERATION_NOT_ALLOWED");
    caller.call("task.destroy", &[json!(task)]).expect("it is there");
    assert_eq!(pool.census().disks, before.disks);
    assert_eq!(caller.call("task.destroy", &[json!(task)]).expect_err("it is gone")[0], "HANDLE_INVALID");
}

#[test]
fn events_tell_what_changed_since_a_token_and_an_empty_batch_at_the_timeout() {
    let pool = pool();
    let caller = Caller::new(&pool);
    let events = |token: &str, timeout: f64| {
        let batch = caller.call("event.from", &[json!(["vm"]), json!(token), json!(timeout)]);
        let batch = batch.expect("a batch");
        let told = batch["events"].as_array().expect("a list").iter();
        let told: Vec<_> = told
            .map(|event| (event["operation"].to_string(), event["snapshot"]["power_state"].to_string()))
            .collect();
        (batch["token"].as_str().expect("a token").to_owned(), told)
    };
    let (token, all) = events("", 0.0);
    assert_eq!(all.len(), pool.records("VM").len());
    let (token, none) = events(&token, 0.05);
    assert_eq!(none, []);
    let vm = caller.new_vm("a cell");
    let (token, told) = events(&token, 30.0);
    assert!(told.contains(&("\"add\"".to_owned(), "\"Halted\"".to_owned())), "{told:?}");
    caller.wait("VM.start", &[json!(vm), json!(false), json!(false)]).expect("started");
    let (token, told) = events(&token, 30.0);
    assert!(told.contains(&("\"mod\"".to_owned(), "\"Running\"".to_owned())), "{told:?}");
    caller.wait("VM.hard_shutdown", &[json!(vm)]).expect("halted");
    caller.wait("VM.destroy", &[json!(vm)]).expect("destroyed");
    let (_, told) = events(&token, 30.0);
    assert!(told.iter().any(|(operation, _)| operation == "\"del\""), "{told:?}");
    let wrong = caller.call("event.from", &[json!(["vm"]), json!("x"), json!(0.0)]).expect_err("no token");
    assert_eq!(wrong, ["EVENT_FROM_TOKEN_PARSE_FAILURE", "x"]);
}

#[test]
fn figures_are_at_the_host_where_the_vm_is_and_have_bare_nan() {
    let pool = pool();
    let caller = Caller::new(&pool);
    let vm = caller.new_vm("a cell");
    caller.wait("VM.start", &[json!(vm), json!(false), json!(false)]).expect("started");
    let uuid = caller.text("VM.get_uuid", &[json!(vm)]);
    let path = format!("/rrd_updates?session_id={}&start=0&json=true", caller.session.replace(':', "%3A"));
    let (status, text) = caller.request("GET", &path, "text/plain", b"").expect("an answer");
    assert_eq!(status, 200);
    assert!(text.contains(&format!("AVERAGE:vm:{uuid}:cpu0")) && text.contains("NaN"), "{text}");
    let path = format!("/vm_rrd?session_id={}&uuid={uuid}&json=true", caller.session);
    assert_eq!(caller.request("GET", &path, "text/plain", b"").expect("an answer").0, 200);
    let (status, _) = caller.request("GET", "/rrd_updates?json=true", "text/plain", b"").expect("an answer");
    assert_eq!(status, 401);
}
