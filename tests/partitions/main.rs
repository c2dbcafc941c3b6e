//! Partitions between real processes: a coordinator that is cut from the bus, and a worker that is cut off one way. Nobody
//! knows of a cut: connections stand and say nothing, and what was said meanwhile arrives late.
//!
//! Whether a VM runs is measured at its hypervisor, by the quanta that it has committed.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "what was measured is shown by --nocapture")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_protocol::limits::{GRACE, LEASE};
use bioxen_tests::proxy::{Proxy, Way};
use bioxen_tests::{Options, START_PATIENCE, TestFleet, ask, ask_until, assert_clean, metrics, program};
use serde_json::{Value, json};

/// A process of ours behind a proxy of its own; killed when dropped.
struct Behind {
    child: Child,
    /// Where its metrics are.
    address: String,
}

impl Behind {
    fn start(name: &str, proxy: &Proxy, arguments: &[&str], until: &str) -> Self {
        let mut command = program(name);
        command.args(["--url", &proxy.url(), "--http-port", "0"]).args(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut behind = Self { child, address: String::new() };
        let mut lines = BufReader::new(behind.child.stdout.take().expect("a pipe")).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some((_, found)) = line.split_once("metrics=http://") {
                behind.address = found.trim_end_matches("/metrics").to_owned();
            }
            if line.starts_with(until) {
                // Nobody reads further, and nobody may be stopped by that.
                std::thread::spawn(move || lines.for_each(drop));
                return behind;
            }
        }
        panic!("{name} ended before it said {until:?}");
    }

    fn worker(fleet: &TestFleet, proxy: &Proxy) -> Self {
        let config = fleet.folder().join("behind.toml");
        std::fs::write(&config, "[worker]\nmax_vms = 100\ntotal_ribosomes = 2000\n").unwrap();
        let arguments = ["--name", "w1", "--config", config.to_str().unwrap()];
        Self::start("bioxen-worker", proxy, &arguments, "bioxen-worker registered")
    }

    fn coordinator(fleet: &TestFleet, proxy: &Proxy) -> Self {
        let (ledger, config) = (fleet.ledger(), fleet.folder().join("coordinator.toml"));
        let arguments = ["--data", ledger.to_str().unwrap(), "--config", config.to_str().unwrap()];
        Self::start("bioxen-coordinator", proxy, &arguments, "bioxen-coordinator leads")
    }

    /// Quanta that were committed so far.
    fn quanta(&self) -> u64 {
        let text = metrics(&self.address);
        let line = text.lines().find_map(|line| line.strip_prefix("bioxen_worker_quanta_total"));
        let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no count of quanta: {text}"))
    }

    /// Waits until quanta are committed, or until none is for a second.
    fn until(&self, runs: bool) {
        let begun = Instant::now();
        loop {
            let before = self.quanta();
            std::thread::sleep(Duration::from_secs(1));
            if (self.quanta() > before) == runs {
                return;
            }
            assert!(begun.elapsed() < START_PATIENCE, "its VMs were never seen to run: {runs}");
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(verb: &str) -> String {
    format!("bioxen.v1.cmd.alice.{verb}.c1")
}

async fn run_a_vm(client: &Client) -> Value {
    let body = json!({ "biological_type": "syn3a", "auto_start": true });
    let created = ask(client, &command("create"), &body).await;
    assert_eq!(created["status"], "created", "{created}");
    is_running(client).await
}

async fn is_running(client: &Client) -> Value {
    ask_until(client, &command("status"), &Value::Null, |now| now["state"] == "running").await
}

/// A worker that is cut off so freezes when its lease is over, and goes on by itself.
async fn a_worker_cut_off(way: Way) {
    let fleet = TestFleet::without_workers(&Options::default());
    let proxy = Proxy::start(fleet.port).await;
    let worker = Behind::worker(&fleet, &proxy);
    let client = fleet.connect().await;
    let before = run_a_vm(&client).await;
    worker.until(true);
    proxy.cut(way);
    let cut = Instant::now();
    worker.until(false);
    let stood_still = cut.elapsed();
    // Longer than anybody waits before a verdict.
    tokio::time::sleep((LEASE + GRACE + Duration::from_secs(1)).saturating_sub(cut.elapsed())).await;
    let quanta = worker.quanta();
    proxy.mend();
    worker.until(true);
    let after = is_running(&client).await;
    println!(
        "cut {way:?}: seen to stand still after {stood_still:.1?}; {quanta} quanta then, now {}; generation {} and {}",
        worker.quanta(),
        before["generation"],
        after["generation"]
    );
    assert_clean(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_reports_are_lost_freezes_and_goes_on_by_itself() {
    a_worker_cut_off(Way::ToServer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_grants_are_lost_freezes_and_goes_on_by_itself() {
    a_worker_cut_off(Way::FromServer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_cut_off_gives_no_verdict_on_anybody() {
    let mut fleet = TestFleet::without_workers(&Options::default());
    fleet.stop_coordinator();
    let proxy = Proxy::start(fleet.port).await;
    let coordinator = Behind::coordinator(&fleet, &proxy);
    let direct = Proxy::start(fleet.port).await;
    let worker = Behind::worker(&fleet, &direct);
    let client = fleet.connect().await;
    let before = run_a_vm(&client).await;
    let registered = ask(&client, "bioxen.v1.ops.tester.workers", &Value::Null).await;
    for way in [Way::Both, Way::ToServer, Way::FromServer] {
        proxy.cut(way);
        worker.until(false);
        tokio::time::sleep(2 * (LEASE + GRACE)).await;
        proxy.mend();
        worker.until(true);
        let after = is_running(&client).await;
        assert_eq!(after["generation"], before["generation"], "{way:?}: {after}");
        let workers = ask(&client, "bioxen.v1.ops.tester.workers", &Value::Null).await;
        assert_eq!(workers["workers"][0]["boot"], registered["workers"][0]["boot"], "{way:?}");
        let expiry = json!({ "last_by_subj": "bioxen.v1.audit.bioxen-fleet.expiry" });
        let found = ask(&client, "$JS.API.STREAM.MSG.GET.BIOXEN_AUDIT", &expiry).await;
        assert_eq!(found["error"]["code"], 404, "{way:?}: somebody was given up: {found}");
    }
    assert_clean(&client).await;
    drop(coordinator);
}
