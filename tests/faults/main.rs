//! Processes killed and stopped at random moments under load. Afterwards: every accepted command took effect once, no VM
//! was computed in two generations at a time (as its hypervisors tell), and what is verified is clean.
//!
//! `make faults ROUNDS=200` is the long run; it tells how long recovery took.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_protocol::limits::LEASE;
use bioxen_tests::commits::{self, now_ns};
use bioxen_tests::load::Load;
use bioxen_tests::trail::assert_once_each;
use bioxen_tests::{
    Options, Random, START_PATIENCE, TestFleet, ask, assert_clean, control, first_accepted, leader, signal,
};
use serde_json::Value;

/// Rounds; `make faults` asks for more by BIOXEN_FAULT_ROUNDS.
const ROUNDS: usize = 5;
/// Users, and VMs of each: 200 VMs and 200 commands a second in all.
const USERS: usize = 20;
const VMS: u64 = 10;
/// Users beside them who leave their VMs alone: what becomes of those is the fleet's doing only.
const STILL: [&str; 2] = ["still0", "still1"];
const SECOND: &str = "coordinator-2";
const WORKERS: [&str; 3] = ["w1", "w2", "w3"];
const WORKER: &str =
    "max_vms = 1000\ntotal_ribosomes = 20000\nthreads = 2\ncheckpoint_interval_seconds = 5\n";
/// Longer than lease and grace, or than a follower waits.
const PAUSE_MS: (u64, u64) = (4_500, 7_000);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillLeader,
    KillWorker,
    KillNats,
    PauseLeader,
    PauseWorker,
}

const FAULTS: [Fault; 5] =
    [Fault::KillLeader, Fault::KillWorker, Fault::KillNats, Fault::PauseLeader, Fault::PauseWorker];

/// What befell a worker, and when.
struct Lost {
    worker: &'static str,
    from_ns: u64,
    /// When it woke, where it was only paused.
    woken_ns: Option<u64>,
    until_ns: u64,
}

fn fleet() -> TestFleet {
    let resources =
        "global_atp_limit = 1000000.0\nglobal_ribosome_limit = 50000\nmax_concurrent_vms = 1000\n";
    let mut fleet =
        TestFleet::without_workers(&Options { resources: resources.to_owned(), workers: Vec::new() });
    for worker in WORKERS {
        start_worker(&mut fleet, worker);
    }
    fleet.start_coordinator_as(SECOND);
    fleet
}

fn start_worker(fleet: &mut TestFleet, name: &str) {
    fleet.start_worker_with(name, WORKER, &[commits::LOG]);
}

/// Waits until no VM's fate is open.
async fn settles(client: &Client) {
    let started = Instant::now();
    loop {
        let fleet = ask(client, "bioxen.v1.cmd.alice.fleet", &Value::Null).await;
        if fleet["states"]["unknown"].as_u64().unwrap_or(0) == 0 {
            return;
        }
        assert!(started.elapsed() < START_PATIENCE, "VMs stay unknown: {fleet}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How long it takes from now until a command is accepted.
async fn until_accepted(client: &Client) -> Duration {
    let begun = Instant::now();
    first_accepted(client).await.duration_since(begun)
}

/// One fault, and recovery from it; how long it took until a command was accepted again.
async fn befall(
    fault: Fault,
    fleet: &mut TestFleet,
    client: &Client,
    random: &mut Random,
    lost: &mut Vec<Lost>,
) -> Duration {
    let worker = random.pick(&WORKERS);
    let pause = Duration::from_millis(random.between(PAUSE_MS.0, PAUSE_MS.1));
    let from_ns = now_ns();
    let mut woken_ns = None;
    let recovered;
    match fault {
        Fault::KillLeader => {
            let name = leader(client).await;
            fleet.kill_coordinator_as(&name);
            recovered = until_accepted(client).await;
            fleet.start_coordinator_as(&name);
        }
        Fault::PauseLeader => {
            let name = leader(client).await;
            fleet.pause_coordinator(&name);
            let begun = Instant::now();
            recovered = until_accepted(client).await;
            tokio::time::sleep(pause.saturating_sub(begun.elapsed())).await;
            fleet.wake_coordinator(&name);
        }
        Fault::KillNats => {
            fleet.kill_nats();
            fleet.start_nats();
            recovered = until_accepted(client).await;
        }
        Fault::KillWorker => {
            fleet.kill_worker(worker);
            recovered = until_accepted(client).await;
            tokio::time::sleep(pause).await;
            start_worker(fleet, worker);
        }
        Fault::PauseWorker => {
            let pid = fleet.worker_pid(worker);
            signal(pid, "STOP");
            recovered = until_accepted(client).await;
            tokio::time::sleep(pause).await;
            woken_ns = Some(now_ns());
            signal(pid, "CONT");
        }
    }
    settles(client).await;
    tokio::time::sleep(Duration::from_millis(random.below(2_000))).await;
    if matches!(fault, Fault::KillWorker | Fault::PauseWorker) {
        lost.push(Lost { worker, from_ns, woken_ns, until_ns: now_ns() });
    }
    recovered
}

fn median_and_worst(mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    match seconds.last() {
        Some(worst) => format!(
            "{:.2} s in the median, {worst:.2} s at worst, of {}",
            seconds[seconds.len() / 2],
            seconds.len()
        ),
        None => "none".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_done_twice_whatever_is_killed_or_stopped() {
    let rounds = std::env::var("BIOXEN_FAULT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds: usize = rounds.unwrap_or(ROUNDS);
    let mut random = Random::from_environment();
    let mut fleet = fleet();
    let client = fleet.connect().await;
    let mut load = Load::default();
    for number in 0..USERS {
        control::add_user(&mut load, &fleet, format!("user{number}"), VMS, random.fork()).await;
    }
    for user in STILL {
        control::create_vms(&client, user, VMS).await;
    }
    let (begun, mut lost) = (Instant::now(), Vec::new());
    let mut recovered: BTreeMap<Fault, Vec<f64>> = BTreeMap::new();
    for round in 0..rounds {
        // One of each first.
        let fault = FAULTS.get(round).copied().unwrap_or_else(|| random.pick(&FAULTS));
        let accepted = load.accepted();
        let took = befall(fault, &mut fleet, &client, &mut random, &mut lost).await;
        println!(
            "round {round}: {fault:?}, accepting again after {took:.2?}, {} accepted",
            load.accepted() - accepted
        );
        recovered.entry(fault).or_default().push(took.as_secs_f64());
    }
    let rate = load.accepted() as f64 / begun.elapsed().as_secs_f64();
    let (answers, _) = load.end().await;
    settles(&client).await;
    println!("{answers} ({rate:.0} accepted a second)");
    assert_clean(&client).await;
    assert_once_each(&client, &answers.accepted).await;
    let quanta = commits::of(&fleet, &WORKERS);
    let generations = commits::assert_no_overlap(&quanta);
    println!(
        "{} quanta committed, {generations} changes of generation, none of them overlapping",
        quanta.len()
    );
    let (mut replaced, mut still) = (Vec::new(), quanta.clone());
    still.retain(|quantum| STILL.iter().any(|user| quantum.vm.starts_with(user)));
    for lost in &lost {
        replaced.extend(commits::replaced_after_s(&still, lost.worker, lost.from_ns, lost.until_ns));
        let Some(woken_ns) = lost.woken_ns else { continue };
        // Later than a lease, it may have got one and lost it again.
        let until_ns = lost.until_ns.min(woken_ns + u64::try_from(LEASE.as_nanos()).unwrap_or(u64::MAX));
        let discarded = commits::discarded(&quanta, lost.worker, woken_ns, until_ns);
        assert!(discarded <= 2, "{} of two threads discarded {discarded} quanta after it woke", lost.worker);
    }
    for (fault, seconds) in recovered {
        println!("{fault:?}: accepting again after {}", median_and_worst(seconds));
    }
    println!("VMs of lost workers committing elsewhere after {}", median_and_worst(replaced));
}
