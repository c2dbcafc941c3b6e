//! Clients that go on sending whatever befalls the fleet, each command under its request id until it is answered for
//! certain. What they were answered is all that is believed afterwards.
//!
//! What is sent is the test's own.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Client, Request};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{START_PATIENCE, TestFleet, code};

/// A fleet without a leader holds commands for 5 s; beyond this one counts as unanswered, and is asked again, where a test
/// does not say otherwise.
const PATIENCE: Duration = Duration::from_secs(6);
/// Where nobody is there the bus says so at once.
const PAUSE: Duration = Duration::from_millis(50);
/// Answers other than acceptance that are kept as they were.
const SAMPLES: usize = 10;

/// What clients were answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// Accepted commands by user and request id.
    pub accepted: Vec<(String, String)>,
    /// How often what was refused: by code.
    pub refused: BTreeMap<String, u64>,
    /// BX014.
    pub unknown: u64,
    pub unanswered: u64,
    pub slowest: Duration,
    /// The first answers that were no acceptance.
    pub samples: Vec<String>,
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, refused, unknown, unanswered, slowest, .. } = self;
        write!(
            f,
            "{} accepted, refused {refused:?}, {unknown} unknown, {unanswered} unanswered, slowest {:.2} s",
            accepted.len(),
            slowest.as_secs_f64()
        )
    }
}

impl Answers {
    /// Fails where anything was refused, left open or left unanswered.
    pub fn assert_all_accepted(&self) {
        let others = self.unknown + self.unanswered + self.refused.values().sum::<u64>();
        assert_eq!(others, 0, "{self}\n{:#?}", self.samples);
    }

    fn note(&mut self, subject: &str, what: &str) {
        if self.samples.len() < SAMPLES {
            self.samples.push(format!("{subject}: {what}"));
        }
    }

    fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.unknown += other.unknown;
        self.unanswered += other.unanswered;
        self.slowest = self.slowest.max(other.slowest);
        self.samples.extend(other.samples);
    }
}

#[derive(Debug)]
struct Shared {
    patience: Duration,
    stop: AtomicBool,
    /// Answers that were acceptances, of reads too.
    accepted: AtomicU64,
}

/// One client of one user.
#[derive(Debug)]
pub struct Caller {
    pub user: String,
    pub client: Client,
    shared: Arc<Shared>,
    sent: u64,
    answers: Answers,
}

impl Caller {
    /// Until the load is to end.
    pub fn goes_on(&self) -> bool {
        !self.shared.stop.load(Ordering::Relaxed)
    }

    /// Sends a command under a request id of its own until it is answered for certain; its answer where it was accepted.
    pub async fn send(&mut self, verb: &str, vm: &str, mut body: Value) -> Option<Value> {
        let request_id = self.request_id();
        body["request_id"] = request_id.as_str().into();
        let answer = self.ask(verb, vm, &body).await?;
        self.take(request_id);
        Some(answer)
    }

    /// The same with a verb that waits for a state, asked again until that is reached; whether it was accepted.
    pub async fn reach(&mut self, verb: &str, vm: &str, state: &str) -> bool {
        let request_id = self.request_id();
        // Shorter than the patience: a fleet that answers with another state in time is not silent.
        let body = json!({ "request_id": request_id, "wait_ms": 2_000 });
        let started = Instant::now();
        loop {
            let Some(answer) = self.ask(verb, vm, &body).await else { return false };
            if answer["state"] == state {
                self.take(request_id);
                return true;
            }
            assert!(started.elapsed() < START_PATIENCE, "{verb} of {}'s {vm}: {answer}", self.user);
        }
    }

    /// Asks until it is answered for certain: the answer, or none where it was refused.
    pub async fn ask(&mut self, verb: &str, vm: &str, body: &Value) -> Option<Value> {
        let subject = format!("bioxen.v1.cmd.{}.{verb}.{vm}", self.user);
        loop {
            let sent = Instant::now();
            let request = Request::new().payload(body.to_string().into()).timeout(Some(self.shared.patience));
            let answered = self.client.send_request(subject.clone(), request).await;
            self.answers.slowest = self.answers.slowest.max(sent.elapsed());
            let answer: Value = match answered {
                Ok(message) => serde_json::from_slice(&message.payload).expect("an answer in JSON"),
                Err(error) => {
                    self.answers.unanswered += 1;
                    self.answers.note(&subject, &error.to_string());
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            match code(&answer) {
                "" => {
                    self.shared.accepted.fetch_add(1, Ordering::Relaxed);
                    return Some(answer);
                }
                "BX014" => self.answers.unknown += 1,
                code => *self.answers.refused.entry(code.to_owned()).or_default() += 1,
            }
            self.answers.note(&subject, &answer.to_string());
            if code(&answer) != "BX014" {
                return None;
            }
        }
    }

    /// Has the events that answer what this user submits come in, for [`Self::submit`].
    pub async fn events(&self) -> async_nats::Subscriber {
        let subject = format!("bioxen.v1.evt.{}.>", self.user);
        let events = self.client.subscribe(subject).await.expect("a subscription");
        self.client.flush().await.expect("it is known");
        events
    }

    /// Publishes a command to the durable door, and waits for the event that answers it; whether it was accepted.
    pub async fn submit(
        &mut self,
        events: &mut async_nats::Subscriber,
        verb: &str,
        vm: &str,
        mut body: Value,
    ) -> bool {
        let request_id = self.request_id();
        for (name, value) in [("verb", verb), ("vm_id", vm), ("request_id", &request_id)] {
            body[name] = value.into();
        }
        let subject = format!("bioxen.v1.submit.{}", self.user);
        let sent = Instant::now();
        let door = async_nats::jetstream::new(self.client.clone());
        let stored = door.publish(subject.clone(), body.to_string().into()).await;
        stored.expect("it is published").await.expect("it is stored");
        let told = async {
            loop {
                let event = futures::StreamExt::next(events).await.expect("the connection stands");
                let event: Value = serde_json::from_slice(&event.payload).expect("an event in JSON");
                let answers = matches!(event["event"].as_str(), Some("accepted" | "rejected"));
                if answers && event["request_id"] == request_id.as_str() {
                    return event;
                }
            }
        };
        let told = tokio::time::timeout(self.shared.patience, told).await;
        self.answers.slowest = self.answers.slowest.max(sent.elapsed());
        match told {
            Ok(event) if event["event"] == "accepted" => {
                self.shared.accepted.fetch_add(1, Ordering::Relaxed);
                self.take(request_id);
                return true;
            }
            Ok(event) => {
                *self.answers.refused.entry(event["code"].to_string()).or_default() += 1;
                self.answers.note(&subject, &event.to_string());
            }
            Err(_) => {
                self.answers.unanswered += 1;
                self.answers.note(&subject, &format!("no event answers {body}"));
            }
        }
        false
    }

    fn request_id(&mut self) -> String {
        self.sent += 1;
        format!("{}-{}", self.user, self.sent)
    }

    fn take(&mut self, request_id: String) {
        self.answers.accepted.push((self.user.clone(), request_id));
    }
}

/// Clients at work; each ends with a `T` of its own.
#[derive(Debug)]
pub struct Load<T> {
    shared: Arc<Shared>,
    running: Vec<JoinHandle<(Answers, T)>>,
}

impl<T> Default for Load<T> {
    fn default() -> Self {
        Self::with_patience(PATIENCE)
    }
}

impl<T> Load<T> {
    /// Nobody yet; who is not answered within this asks again.
    pub fn with_patience(patience: Duration) -> Self {
        let shared = Shared { patience, stop: AtomicBool::new(false), accepted: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), running: Vec::new() }
    }
}

impl<T: Send + 'static> Load<T> {
    /// One client more, on a connection of its own; it works while [`Caller::goes_on`] and then gives itself back.
    pub async fn add<W, F>(&mut self, fleet: &TestFleet, user: String, work: W)
    where
        W: FnOnce(Caller) -> F,
        F: Future<Output = (Caller, T)> + Send + 'static,
    {
        let (client, shared) = (fleet.connect().await, Arc::clone(&self.shared));
        let works = work(Caller { user, client, shared, sent: 0, answers: Answers::default() });
        self.running.push(tokio::spawn(async move {
            let (caller, ends) = works.await;
            (caller.answers, ends)
        }));
    }

    /// Commands and reads that were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Waits until so many more were accepted.
    pub async fn until_more(&self, than_now: u64) {
        let (wanted, started) = (self.accepted() + than_now, Instant::now());
        while self.accepted() < wanted {
            assert!(self.running.iter().all(|one| !one.is_finished()), "a client ended");
            assert!(started.elapsed() < START_PATIENCE, "only {} of {wanted} were accepted", self.accepted());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets every client come to its end: what all were answered, and what each ended with.
    pub async fn end(self) -> (Answers, Vec<T>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let (mut answers, mut ends) = (Answers::default(), Vec::new());
        for one in self.running {
            let (of_one, end) = one.await.expect("a client does not panic");
            answers.add(of_one);
            ends.push(end);
        }
        (answers, ends)
    }
}
