//! A rolling restart of a whole fleet under load, as an upgrade does it: every worker and every coordinator is told to
//! end and started again, one after the other. Nobody's command is refused, left open or done twice, and the VMs that
//! run come out as `bioxen simulate` has them, to the bit.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "what was measured is shown by --nocapture")]

mod clients;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_tests::cells::{CHASSIS, Draw, Spec, Vm};
use bioxen_tests::fold::assert_all_agree;
use bioxen_tests::load::Load;
use bioxen_tests::trail::accepted_once;
use bioxen_tests::vms::{WIDE, events_with, names, packing_worker, status_until};
use bioxen_tests::{Options, TestFleet, leader};
use serde_json::json;

const SECOND: &str = "coordinator-2";
/// Users by request, and users by the durable door.
const BY_REQUEST: usize = 6;
const BY_SUBMIT: usize = 2;
/// VMs that run all the while.
const STANDING: usize = 8;
/// A busy machine is slow to end a process; what is not answered by then is not answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// Commands that are taken before each restart, while the process is away, and before the next.
const BETWEEN: u64 = 60;

#[derive(Debug, Clone, Copy)]
enum Restarted {
    Worker(&'static str),
    /// The coordinator that leads: the lead changes with each.
    Leader,
}

const ORDER: [Restarted; 5] = [
    Restarted::Worker("w1"),
    Restarted::Leader,
    Restarted::Worker("w2"),
    Restarted::Leader,
    Restarted::Worker("w3"),
];

fn fleet() -> TestFleet {
    let workers = ["w1", "w2", "w3"].map(|name| packing_worker(name, 1)).to_vec();
    let mut fleet = TestFleet::start(&Options { resources: WIDE.to_owned(), workers });
    fleet.start_coordinator_as(SECOND);
    fleet
}

/// VMs of every chassis, with changes of medium and allocation to come.
async fn standing(client: &Client) -> Vec<Vm<'_>> {
    let draw = Draw::new("rolling restart");
    let mut vms = Vec::new();
    for number in 0..STANDING {
        let spec =
            Spec::drawn(&draw, CHASSIS[number % CHASSIS.len()]).with_parameters(&draw).with_changes(&draw);
        let more = json!({ "auto_start": true, "pace": 600 });
        let vm = Vm::create(client, format!("stands-{number}"), spec, more).await;
        status_until(client, &vm.name, |status| status["health_status"] == "healthy").await;
        vms.push(vm);
    }
    vms
}

async fn load(fleet: &TestFleet) -> Load<u64> {
    let mut load = Load::with_patience(PATIENCE);
    for number in 0..BY_REQUEST {
        load.add(fleet, format!("load{number}"), clients::by_request).await;
    }
    for number in 0..BY_SUBMIT {
        load.add(fleet, format!("loadsubmit{number}"), clients::by_submit).await;
    }
    load
}

/// SIGTERM, its end, and a new process in its place; commands are taken at each point.
async fn restart(fleet: &mut TestFleet, client: &Client, load: &Load<u64>, what: Restarted) {
    load.until_more(BETWEEN).await;
    let leads = leader(client).await;
    let told = Instant::now();
    match what {
        Restarted::Worker(name) => fleet.stop_worker(name),
        Restarted::Leader => {
            fleet.stop_coordinator_as(&leads);
            let said = fleet.log_of_coordinator(&leads);
            assert!(said.contains("the lead is given up"), "{leads} did not give up the lead");
        }
    }
    let ended = told.elapsed();
    load.until_more(BETWEEN).await;
    let again = Instant::now();
    match what {
        Restarted::Worker(name) => fleet.start_worker(name, &packing_worker(name, 1).1),
        Restarted::Leader => fleet.start_coordinator_as(&leads),
    }
    println!(
        "{what:?} ended {:.2} s after SIGTERM, and was back {:.2} s after its start",
        ended.as_secs_f64(),
        again.elapsed().as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_restarted_under_load_and_nothing_is_refused_lost_or_done_twice() {
    let mut fleet = fleet();
    let client = fleet.connect().await;
    let standing = standing(&client).await;
    let load = load(&fleet).await;
    let mut watch = Load::with_patience(PATIENCE);
    let watched = standing.iter().map(|vm| vm.name.clone()).collect();
    watch.add(&fleet, bioxen_tests::vms::USER.to_owned(), |caller| clients::watch(caller, watched)).await;
    for what in ORDER {
        restart(&mut fleet, &client, &load, what).await;
    }
    load.until_more(BETWEEN).await;
    let (answers, made) = load.end().await;
    let (watched, looks) = watch.end().await;
    println!(
        "{answers}; {} VMs made and destroyed; {} looks at VMs that run",
        made.iter().sum::<u64>(),
        looks[0]
    );
    answers.assert_all_accepted();
    watched.assert_all_accepted();
    let mut moves = 0;
    for vm in &standing {
        vm.reach("pause", "paused").await;
        vm.agrees().await;
        let events = events_with(&client, &vm.name, "paused").await;
        let told = names(&events);
        let wrong = |name: &&str| matches!(*name, "unknown" | "failed" | "rejected" | "stopped");
        assert!(!told.iter().any(wrong), "{}: {told:?}", vm.name);
        moves += told.iter().filter(|name| **name == "moved").count();
    }
    println!("{moves} moves of {} VMs that ran", standing.len());
    assert!(moves >= STANDING, "each was on one of the workers");
    assert_all_agree("a rolling restart", &fleet, &client).await;
    let of_load = |(user, _): &(String, String)| user.starts_with("load");
    let audited: BTreeSet<_> = accepted_once(&client).await.into_iter().filter(of_load).collect();
    let answered: BTreeSet<_> = answers.accepted.iter().cloned().collect();
    assert_eq!(audited, answered, "what took effect, and what clients were told of");
}
