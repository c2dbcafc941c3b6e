//! Clients that send one command after the other, and remember what they were answered.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Client, Request};
use bioxen_tests::{TestFleet, ask, code};
use serde_json::{Value, json};

/// A fleet without a leader holds commands for 5 s; beyond this a command counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(6);

/// What all lanes were answered.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// BX014.
    pub(crate) unknown: u64,
    pub(crate) unanswered: u64,
    pub(crate) slowest: Duration,
    /// The first answers that were no acceptance.
    pub(crate) samples: Vec<String>,
    /// VMs that were accepted and not destroyed, by user.
    kept: BTreeSet<(String, String)>,
    gone: BTreeSet<(String, String)>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, refused, unknown, unanswered, slowest, .. } = self;
        let slowest = slowest.as_secs_f64();
        write!(
            f,
            "{accepted} accepted, {refused} refused, {unknown} unknown, {unanswered} unanswered, slowest {slowest:.2} s"
        )
    }
}

impl Tally {
    fn note(&mut self, subject: &str, what: &str) {
        if self.samples.len() < 10 {
            self.samples.push(format!("{subject}: {what}"));
        }
    }

    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.unanswered += other.unanswered;
        self.slowest = self.slowest.max(other.slowest);
        self.samples.extend(other.samples);
        self.kept.extend(other.kept);
        self.gone.extend(other.gone);
    }

    /// What was accepted is there, and what was destroyed is not.
    pub(crate) async fn check_kept(&self, client: &Client) {
        for (keys, expected) in [(&self.kept, false), (&self.gone, true)] {
            for (user, vm) in keys {
                let status = ask(client, &format!("bioxen.v1.cmd.{user}.status.{vm}"), &Value::Null).await;
                let is_gone = status["state"] == "destroyed" || code(&status) == "BX010";
                assert_eq!(is_gone, expected, "{user}'s {vm}: {status}");
            }
        }
        println!("{} VMs kept, {} destroyed, as they were answered", self.kept.len(), self.gone.len());
    }
}

struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
}

/// Lanes at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    lanes: Vec<tokio::task::JoinHandle<Tally>>,
}

impl Load {
    pub(crate) async fn start(fleet: &TestFleet, lanes: usize) -> Self {
        let shared = Arc::new(Shared { stop: AtomicBool::new(false), answered: AtomicU64::new(0) });
        let mut running = Vec::new();
        for lane in 0..lanes {
            let (client, shared) = (fleet.connect().await, Arc::clone(&shared));
            running.push(tokio::spawn(run(client, shared, lane)));
        }
        Self { shared, lanes: running }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many commands were answered.
    pub(crate) async fn until(&self, answered: u64) {
        while self.answered() < answered {
            assert!(self.lanes.iter().all(|lane| !lane.is_finished()), "a lane ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn end(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for lane in self.lanes {
            all.add(lane.await.unwrap());
        }
        all
    }
}

/// Creates VMs, has some of them run, and destroys every other one.
async fn run(client: Client, shared: Arc<Shared>, lane: usize) -> Tally {
    let user = format!("user{lane}");
    let mut tally = Tally::default();
    let mut number = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let vm = format!("vm{number}");
        let key = (user.clone(), vm.clone());
        let is_kept = number % 16 == 0;
        let body = json!({ "biological_type": "syn3a", "auto_start": number % 2 == 0, "allocation": { "ribosomes": 5 } });
        number += 1;
        send(&client, &shared, &mut tally, &format!("bioxen.v1.cmd.{user}.create.{vm}"), body).await;
        send(&client, &shared, &mut tally, &format!("bioxen.v1.cmd.{user}.status.{vm}"), json!({})).await;
        if is_kept {
            tally.kept.insert(key);
            continue;
        }
        send(&client, &shared, &mut tally, &format!("bioxen.v1.cmd.{user}.destroy.{vm}"), json!({})).await;
        tally.gone.insert(key);
    }
    tally
}

/// Sends one command under a request id until it is answered for certain.
async fn send(client: &Client, shared: &Shared, tally: &mut Tally, subject: &str, mut body: Value) {
    if !subject.contains(".status.") {
        body["request_id"] = subject.replace('.', "-").into();
    }
    loop {
        let sent = Instant::now();
        let request = Request::new().payload(body.to_string().into()).timeout(Some(PATIENCE));
        let answer = client.send_request(subject.to_owned(), request).await;
        tally.slowest = tally.slowest.max(sent.elapsed());
        let answer = match answer {
            Ok(message) => serde_json::from_slice::<Value>(&message.payload).unwrap(),
            Err(error) => {
                tally.unanswered += 1;
                tally.note(subject, &error.to_string());
                continue;
            }
        };
        shared.answered.fetch_add(1, Ordering::Relaxed);
        match code(&answer) {
            "" => {
                tally.accepted += 1;
                return;
            }
            "BX014" => {
                tally.unknown += 1;
                tally.note(subject, &answer.to_string());
            }
            _ => {
                tally.refused += 1;
                tally.note(subject, &answer.to_string());
                return;
            }
        }
    }
}
