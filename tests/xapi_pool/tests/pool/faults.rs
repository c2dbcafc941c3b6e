//! What goes wrong on demand, and what of it stays.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use bioxen_xapi_pool::{Fault, Options, Pool};
use serde_json::{Value as Json, json};

use crate::caller::{Caller, PATIENCE, until};

fn pool() -> Pool {
    Pool::start(Options::default()).expect("a pool")
}

fn start(vm: &str) -> [Json; 3] {
    [json!(vm), json!(false), json!(false)]
}

#[test]
fn an_answer_is_lost_after_the_clone_was_made() {
    let pool = pool();
    let caller = Caller::new(&pool);
    let template = caller.template();
    pool.inject(Fault::LoseAnswer { method: "VM.clone".to_owned() }, 1);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "Async.VM.clone",
        "params": [caller.session, template, "lost"]});
    let body = body.to_string();
    assert!(caller.post("/jsonrpc", "application/json", body.as_bytes()).is_err(), "nothing comes back");
    assert_eq!(pool.faults_left(), 0);
    let found = until("the clone is there all the same", || {
        let found = caller.call("VM.get_by_name_label", &[json!("lost")]).expect("a list");
        found[0].as_str().map(str::to_owned)
    });
    assert_eq!(caller.text("VM.get_power_state", &[json!(found)]), "Halted");
    pool.inject(Fault::LoseCall { method: "VM.clone".to_owned() }, 1);
    let body = body.replace("\"lost\"", "\"never came\"");
    assert!(caller.post("/jsonrpc", "application/json", body.as_bytes()).is_err());
    assert_eq!(caller.call("VM.get_by_name_label", &[json!("never came")]), Ok(json!([])));
}

#[test]
fn a_restart_ends_sessions_and_tasks_and_leaves_vms() {
    let options = Options { operation_time: Duration::from_millis(10), ..Options::default() };
    let pool = Pool::start(options).expect("a pool");
    let mut caller = Caller::new(&pool);
    let vm = caller.new_vm("a cell");
    caller.wait("VM.start", &start(&vm)).expect("started");
    pool.inject(Fault::Slow { method: "VM.pause".to_owned(), by_ms: 60_000 }, 1);
    caller.text("Async.VM.pause", &[json!(vm)]);
    until("the pause is under way", || {
        let operations = caller.call("VM.get_current_operations", &[json!(vm)]).expect("a map");
        operations.as_object().is_some_and(|operations| !operations.is_empty()).then_some(())
    });
    let busy = caller.wait("VM.suspend", &[json!(vm)]).expect_err("another operation runs");
    assert_eq!(busy[0], "OTHER_OPERATION_IN_PROGRESS");
    pool.restart();
    assert_eq!((pool.census().sessions, pool.census().tasks), (0, 0));
    assert_eq!(caller.call("pool.get_all", &[]).expect_err("the session is gone")[0], "SESSION_INVALID");
    caller.log_in("bioxen-test").expect("the pool is there");
    assert_eq!(caller.text("VM.get_power_state", &[json!(vm)]), "Running");
    caller.wait("VM.pause", &[json!(vm)]).expect("what was under way is forgotten");
}

#[test]
fn storage_and_memory_run_out() {
    // Room for the template, its snapshot and a clone; memory for one.
    let (storage_bytes, host_memory_bytes) = (25 << 30, 3 << 29);
    let pool =
        Pool::start(Options { storage_bytes, host_memory_bytes, ..Options::default() }).expect("a pool");
    let caller = Caller::new(&pool);
    let first = caller.new_vm("first");
    let full = caller.wait("VM.clone", &[json!(first), json!("second")]).expect_err("there is no room");
    assert_eq!(full, ["SR_FULL".to_owned(), (8_u64 << 30).to_string(), (1_u64 << 30).to_string()]);
    let two_gib = json!(2_u64 << 30);
    let limits = [json!(first), json!(1 << 30), two_gib.clone(), two_gib.clone(), two_gib];
    caller.call("VM.set_memory_limits", &limits).expect("it is halted");
    let full = caller.wait("VM.start", &start(&first)).expect_err("there is no memory");
    let (needed, free) = ((2_u64 << 30).to_string(), (3_u64 << 29).to_string());
    assert_eq!(full, ["HOST_NOT_ENOUGH_FREE_MEMORY".to_owned(), needed, free]);
    let failure = Fault::Fail { method: "VM.start".to_owned(), code: "TOO_BUSY".to_owned(), params: vec![] };
    pool.inject(failure, 1);
    assert_eq!(caller.wait("VM.start", &start(&first)).expect_err("on demand"), ["TOO_BUSY"]);
}

#[test]
fn events_are_lost_loudly_or_silently() {
    let pool = pool();
    let caller = Caller::new(&pool);
    let from = |token: &str| caller.call("event.from", &[json!(["vm"]), json!(token), json!(0.0)]);
    let token = from("").expect("a batch")["token"].as_str().expect("a token").to_owned();
    pool.inject(Fault::EventsLost, 1);
    assert_eq!(from(&token).expect_err("lost"), ["EVENTS_LOST"]);
    let vm = caller.new_vm("a cell");
    pool.inject(Fault::EventsSkipped, 1);
    assert_eq!(from(&token).expect("a batch")["events"], json!([]));
    caller.call("VM.set_name_label", &[json!(vm), json!("another")]).expect("set");
    assert_eq!(from(&token).expect("a batch")["events"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_host_takes_connections_and_says_nothing_and_json_rpc_is_missing() {
    let pool = pool();
    let caller = Caller::new(&pool);
    pool.inject(Fault::NoJsonRpc, 1);
    let (status, _) = caller.request("POST", "/jsonrpc", "application/json", b"{}").expect("an answer");
    assert_eq!(status, 404);
    pool.inject(Fault::Mute, 1);
    let address = pool.url().replace("https://", "");
    let mut stream = TcpStream::connect(address).expect("it is accepted");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    assert!(stream.read(&mut [0]).is_err(), "nothing comes");
    until("it is this connection that is mute", || (pool.faults_left() == 0).then_some(()));
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    pool.restart();
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    let early = Fault::FailEarly { method: "pool.get_all".to_owned(), code: "X".to_owned(), params: vec![] };
    pool.inject(early, 1);
    assert_eq!(caller.call("pool.get_all", &[]).expect_err("on demand"), ["X"]);
}

#[test]
fn a_disk_detaches_late_and_a_vm_is_lost_or_crashes() {
    let pool = pool();
    let caller = Caller::new(&pool);
    let vm = caller.new_vm("a cell");
    let vbd = caller.call("VM.get_VBDs", &[json!(vm)]).expect("a list")[0].clone();
    let disk = caller.text("VBD.get_VDI", &[vbd]);
    caller.wait("VM.start", &start(&vm)).expect("started");
    pool.crash(&vm);
    assert_eq!(caller.text("VM.get_power_state", &[json!(vm)]), "Halted");
    pool.inject(Fault::LateDetach, 1);
    let error = caller.wait("VDI.destroy", &[json!(disk)]).expect_err("it is attached still");
    assert_eq!(error, ["VDI_IN_USE", &disk, "destroy"]);
    pool.lose_vm(&vm);
    assert_eq!(caller.call("VM.get_record", &[json!(vm)]).expect_err("it is gone")[0], "HANDLE_INVALID");
    caller.wait("VDI.destroy", &[json!(disk)]).expect("nobody has it");
    assert_eq!((pool.census().vms, pool.census().disks), (0, 2));
}
