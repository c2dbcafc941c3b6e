//! Hostile process code in one VM, and children killed from outside: the VMs beside it go on as if it were not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::Client;
use bioxen_tests::cells::{CHASSIS, Draw, Spec, USER, Vm};
use bioxen_tests::{Options, TestFleet, ask, code, metric, metrics};
use serde_json::json;

use crate::{completes, create, subject};

const NEIGHBOURS: usize = 24;
const MINUTES: f64 = 60.0;
const HOSTILE: [&str; 6] = [
    "while true do end",
    "local t = {} while true do t[#t + 1] = string.rep('x', 1e6) end",
    "local function f() return f() + f() end return f()",
    "return pcall(function() while true do end end)",
    "while true do cell.advance(0.1) end",
    "return string.rep('a', 2e9)",
];

/// The children of a process, of any name.
fn children(parent: u32) -> Vec<i32> {
    let listed = std::fs::read_dir("/proc").expect("/proc");
    let ids = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1) == Some(&parent.to_string())
    })
    .collect()
}

/// Sends hostile code until told to end; how many pieces were refused or stopped.
async fn attack(client: Client, number: usize, ended: Arc<AtomicBool>) -> usize {
    let mut stopped = 0;
    while !ended.load(Ordering::Relaxed) {
        let process_code = HOSTILE[(number + stopped) % HOSTILE.len()];
        let body = json!({ "process_code": process_code, "timeout_ms": 200 });
        let answer = ask(&client, &subject("mallory", "execute", &format!("m{number}")), &body).await;
        assert_eq!(code(&answer), "BX016", "{process_code}: {answer}");
        stopped += 1;
    }
    stopped
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_code_in_some_vms_leaves_the_progress_of_the_others_as_it_was() {
    let resources = "global_atp_limit = 100000\nglobal_ribosome_limit = 10000\n".to_owned();
    let mut fleet = TestFleet::start(&Options { resources, ..Options::default() });
    let client = fleet.connect().await;
    bioxen_tests::cells::raise_quota(&client).await;
    let worker = fleet.worker_pid("w1");
    let ended = Arc::new(AtomicBool::new(false));
    let attackers = 2;
    for number in 0..attackers {
        let body = json!({ "biological_type": "syn3a", "auto_start": true, "pace": 60 });
        create(&client, "mallory", &format!("m{number}"), &body).await;
    }
    let attacks: Vec<_> = (0..attackers)
        .map(|number| tokio::spawn(attack(client.clone(), number, Arc::clone(&ended))))
        .collect();
    let killer = {
        let ended = Arc::clone(&ended);
        tokio::spawn(async move {
            let mut killed = 0;
            while !ended.load(Ordering::Relaxed) {
                for child in children(worker) {
                    let sent =
                        std::process::Command::new("kill").args(["-KILL", &child.to_string()]).status();
                    killed += usize::from(sent.is_ok_and(|status| status.success()));
                }
                tokio::time::sleep(std::time::Duration::from_millis(700)).await;
            }
            killed
        })
    };
    let draw = Draw::new("hostile neighbours");
    let mut neighbours = Vec::new();
    for number in 0..NEIGHBOURS {
        let spec = Spec::drawn(&draw, CHASSIS[number % CHASSIS.len()]).with_changes(&draw);
        let more = json!({ "auto_start": true, "pace": 600, "horizon_minutes": MINUTES });
        neighbours.push(Vm::create(&client, format!("n{number}"), spec, more).await);
    }
    for vm in &neighbours {
        completes(&client, USER, &vm.name).await;
        assert_eq!(vm.agrees().await, MINUTES);
    }
    ended.store(true, Ordering::Relaxed);
    let mut stopped = 0;
    for attack in attacks {
        stopped += attack.await.expect("each piece was answered");
    }
    let killed = killer.await.expect("it ended");
    // Served by the process that was started: it is the same one.
    let page = metrics(&fleet.worker_http("w1"));
    println!(
        "{stopped} hostile pieces of code ended, {killed} children killed from outside, {NEIGHBOURS} neighbours at their horizon"
    );
    assert!(stopped >= 4 && killed >= 1, "{stopped} {killed}");
    assert_eq!(metric(&page, "bioxen_worker_quanta_discarded_total"), 0.0, "{page}");
    let body = json!({ "process_code": "test_process()" });
    let answer = ask(&client, &subject("mallory", "execute", "m0"), &body).await;
    assert_eq!(answer["status"], "completed", "the pool answers: {answer}");
}
