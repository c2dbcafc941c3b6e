//! Clients that go on sending whatever befalls the fleet, each command under its request id until it is answered for
//! certain. What they were answered is all that is believed afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Client, Request, jetstream};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::{Random, START_PATIENCE, ask, code};

/// What one user sends in a second.
const COMMANDS_PER_SECOND: u64 = 10;
/// A fleet without a leader holds commands for 5 s; who hears nothing by then asks again.
const PATIENCE: Duration = Duration::from_secs(6);

/// What the clients were answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// Request ids of accepted commands, with the user.
    pub accepted: Vec<(String, String)>,
    pub refused: u64,
    pub unknown: u64,
    pub unanswered: u64,
    /// How often what was refused: by code.
    pub codes: BTreeMap<String, u64>,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<Answers>>,
}

impl Load {
    /// Creates and starts so many VMs of each user, then begins: each sends by its own connection.
    pub async fn start(users: Vec<(String, Client)>, vms: usize, random: &mut Random) -> Self {
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = Vec::new();
        for (name, client) in users {
            let user = User { name, client, vms, sent: 0, answers: Answers::default() };
            for vm in 0..vms {
                let body = json!({ "biological_type": "syn3a", "seed": vm, "auto_start": true, "allocation": { "ribosomes": 5 } });
                let subject = format!("bioxen.v1.cmd.{}.create.vm{vm}", user.name);
                let created = ask(&user.client, &subject, &body).await;
                assert_eq!(created["status"], "created", "{created}");
            }
            let (stop, accepted, random) = (Arc::clone(&stop), Arc::clone(&accepted), random.fork());
            clients.push(tokio::spawn(user.run(stop, accepted, random)));
        }
        Self { stop, accepted, clients }
    }

    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub async fn end(self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Answers::default();
        for client in self.clients {
            let answers = client.await.expect("a client does not panic");
            all.accepted.extend(answers.accepted);
            all.refused += answers.refused;
            all.unknown += answers.unknown;
            all.unanswered += answers.unanswered;
            for (code, count) in answers.codes {
                *all.codes.entry(code).or_default() += count;
            }
        }
        all
    }
}

/// Every accepted command stands in the audit trail once, and none was accepted there twice.
///
/// # Panics
/// Where one is missing or stands there twice.
pub async fn assert_once_each(client: &Client, answers: &Answers) {
    let begun = Instant::now();
    loop {
        let accepted = accepted_in_audit(client).await;
        let twice: Vec<_> = accepted.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "took effect twice: {twice:?}");
        let lost: Vec<_> = answers.accepted.iter().filter(|id| !accepted.contains_key(id)).collect();
        if lost.is_empty() {
            return;
        }
        // In a cluster that was split, one of its servers may not have come so far as to say where the trail ends.
        assert!(begun.elapsed() < START_PATIENCE, "accepted and lost: {lost:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Users and request ids of accepted commands, and how often each stands in the audit trail.
async fn accepted_in_audit(client: &Client) -> BTreeMap<(String, String), u32> {
    let context = jetstream::new(client.clone());
    let stream = context.get_stream("BIOXEN_AUDIT").await.expect("the stream");
    let last = stream.get_info().await.expect("what is said of it").state.last_sequence;
    let config = jetstream::consumer::pull::OrderedConfig::default();
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let mut records = consumer.messages().await.expect("its messages");
    let mut accepted: BTreeMap<(String, String), u32> = BTreeMap::new();
    loop {
        let record = records.next().await.expect("a record").expect("that can be read");
        let sequence = record.info().expect("where it stands").stream_sequence;
        let told: Value = serde_json::from_slice(&record.payload).expect("a record in JSON");
        if let (Some(user), Some(id), "accepted") =
            (told["user"].as_str(), told["request_id"].as_str(), told["outcome"].as_str().unwrap_or_default())
        {
            *accepted.entry((user.to_owned(), id.to_owned())).or_default() += 1;
        }
        if sequence == last {
            return accepted;
        }
    }
}

#[derive(Debug)]
struct User {
    name: String,
    client: Client,
    vms: usize,
    sent: u64,
    answers: Answers,
}

impl User {
    async fn run(mut self, stop: Arc<AtomicBool>, accepted: Arc<AtomicU64>, mut random: Random) -> Answers {
        let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / COMMANDS_PER_SECOND));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.load(Ordering::Relaxed) {
            ticks.tick().await;
            let vm = random.below(self.vms as u64);
            let (verb, body) = match random.below(20) {
                0 => ("pause", json!({ "wait_ms": 0 })),
                1..4 => ("resume", json!({ "wait_ms": 0 })),
                4 => ("stop", json!({ "wait_ms": 0 })),
                5..8 => ("start", json!({ "wait_ms": 0 })),
                _ => ("allocate", json!({ "ribosomes": 1 + random.below(10) })),
            };
            if self.send(verb, vm, body).await {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.answers
    }

    /// Sends one command until it is answered for certain; whether it was accepted.
    async fn send(&mut self, verb: &str, vm: u64, mut body: Value) -> bool {
        self.sent += 1;
        let request_id = format!("{}-{}", self.name, self.sent);
        body["request_id"] = request_id.clone().into();
        let subject = format!("bioxen.v1.cmd.{}.{verb}.vm{vm}", self.name);
        loop {
            let request = Request::new().payload(body.to_string().into()).timeout(Some(PATIENCE));
            let Ok(answer) = self.client.send_request(subject.clone(), request).await else {
                self.answers.unanswered += 1;
                // Without anybody there the answer comes at once.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let answer: Value = serde_json::from_slice(&answer.payload).expect("an answer in JSON");
            match code(&answer) {
                "" => {
                    self.answers.accepted.push((self.name.clone(), request_id));
                    return true;
                }
                "BX014" => self.answers.unknown += 1,
                other => {
                    self.answers.refused += 1;
                    *self.answers.codes.entry(other.to_owned()).or_default() += 1;
                    return false;
                }
            }
        }
    }
}
