//! Several coordinators of one fleet, each under its name.

use std::time::{Duration, Instant};

use async_nats::Client;
use futures::StreamExt;
use serde_json::Value;

use crate::process::{Process, program, signal};
use crate::{START_PATIENCE, TestFleet};

/// The name of the coordinator that a fleet starts with.
pub const FIRST: &str = "coordinator-1";
/// How long coordinators may take to say how far they are.
const PEERS_PATIENCE: Duration = Duration::from_millis(250);

impl TestFleet {
    /// Starts a coordinator under a name, and waits until it leads or follows. Each name has a ledger of its own.
    pub fn start_coordinator_as(&mut self, name: &str) {
        let lines = ["bioxen-coordinator leads", "bioxen-coordinator follows"];
        let process = self.supervised(&lines, || {
            if name == FIRST {
                return self.spawn_coordinator(&[]);
            }
            let mut command = program("bioxen-coordinator");
            command.args(["--url", &self.url(), "--http-port", "0", "--name", name, "--data"]);
            command.arg(self.ledger_of(name)).arg("--config").arg(self.folder().join("coordinator.toml"));
            Process::start(name, command, self.folder())
        });
        if name == FIRST {
            self.coordinator = Some(process);
        } else {
            self.others.push((name.to_owned(), process));
        }
    }

    /// Starts a coordinator, and waits until it says one of these lines. A cluster that has only come up may not be
    /// ready for it on a busy machine; then it is started again for a while, as whoever supervises it does.
    pub(crate) fn supervised(&self, lines: &[&str], start: impl Fn() -> Process) -> Process {
        let begun = Instant::now();
        loop {
            let mut process = start();
            let is_new = self.cluster.is_some() && begun.elapsed() < START_PATIENCE;
            if !is_new {
                process.wait_for_any_line(lines, START_PATIENCE);
                return process;
            }
            if process.says(lines, START_PATIENCE) {
                return process;
            }
        }
    }

    /// Where the coordinator of this name keeps its ledger.
    pub fn ledger_of(&self, name: &str) -> std::path::PathBuf {
        if name == FIRST { self.ledger() } else { self.folder().join(format!("ledger-{name}")) }
    }

    /// As a crash would: SIGKILL.
    pub fn kill_coordinator_as(&mut self, name: &str) {
        drop(self.take_coordinator(name));
    }

    /// SIGTERM, and its end awaited.
    pub fn stop_coordinator_as(&mut self, name: &str) {
        self.take_coordinator(name).stop(START_PATIENCE);
    }

    /// Waits until it ends by itself: its exit code, and what it wrote.
    pub fn end_of_coordinator_as(&mut self, name: &str) -> (Option<i32>, String) {
        self.take_coordinator(name).wait_for_end(START_PATIENCE)
    }

    /// SIGSTOP, as a machine that sleeps.
    pub fn pause_coordinator(&self, name: &str) {
        signal(self.coordinator_as(name).id(), "STOP");
    }

    /// SIGCONT.
    pub fn wake_coordinator(&self, name: &str) {
        signal(self.coordinator_as(name).id(), "CONT");
    }

    /// What the coordinator of this name wrote on standard error.
    pub fn log_of_coordinator(&self, name: &str) -> String {
        self.log(if name == FIRST { "coordinator" } else { name })
    }

    fn coordinator_as(&self, name: &str) -> &Process {
        let other = || self.others.iter().find(|(known, _)| known == name).map(|(_, process)| process);
        let found = if name == FIRST { self.coordinator.as_ref() } else { other() };
        found.expect("the coordinator runs")
    }

    fn take_coordinator(&mut self, name: &str) -> Process {
        if name == FIRST {
            return self.coordinator.take().expect("the coordinator runs");
        }
        let at = self.others.iter().position(|(known, _)| known == name).expect("the coordinator runs");
        self.others.remove(at).1
    }
}

/// What the coordinators say of themselves, by the name.
pub async fn peers(client: &Client) -> Vec<Value> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.expect("a subscription");
    let asked = client.publish_with_reply("bioxen.v1.coordinator.peers", inbox, "".into()).await;
    asked.expect("a question");
    let mut peers = Vec::new();
    let started = Instant::now();
    while let Ok(Some(answer)) =
        tokio::time::timeout(PEERS_PATIENCE.saturating_sub(started.elapsed()), answers.next()).await
    {
        peers.extend(serde_json::from_slice::<Value>(&answer.payload).ok());
    }
    peers.sort_by_key(|peer| peer["name"].to_string());
    peers
}

/// Waits until exactly one coordinator says that it leads; its name.
pub async fn leader(client: &Client) -> String {
    let started = Instant::now();
    loop {
        let peers = peers(client).await;
        let leads: Vec<&Value> = peers.iter().filter(|peer| peer["leads"] == true).collect();
        if let [one] = leads[..] {
            return one["name"].as_str().expect("a name").to_owned();
        }
        assert!(started.elapsed() < START_PATIENCE, "not exactly one coordinator leads: {peers:?}");
    }
}
