//! A lane: one client of one VM, which sends a command after the other and logs what it was answered.

use std::time::Duration;

use async_nats::{Client, RequestErrorKind};
use bioxen_tests::{ANSWER_PATIENCE, ask, ask_until, code};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::oracle::whole;
use bioxen_tests::Random;

/// An answer that was on its way at a kill arrives within this; a later one is only taken for none.
pub(crate) const LATE_ANSWER: Duration = Duration::from_millis(100);
/// Of the fleet's default `syn3a`: within its most, and above nothing.
const ATP: (u64, u64) = (30, 70);
const RIBOSOMES: (u64, u64) = (5, 15);
const MEMORY_KB: (u64, u64) = (100_000, 500_000);

/// Where a VM shall get to by the commands that were accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Absent,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Goal {
    /// The state that it settles in.
    pub(crate) fn state(self) -> &'static str {
        match self {
            Self::Absent => "destroyed",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allocation {
    pub(crate) atp_percentage: u64,
    pub(crate) ribosomes: u64,
    pub(crate) memory_kb: u64,
}

impl Allocation {
    fn draw(random: &mut Random) -> Self {
        let mut draw = |(least, most)| random.between(least, most);
        Self { atp_percentage: draw(ATP), ribosomes: draw(RIBOSOMES), memory_kb: draw(MEMORY_KB) }
    }

    pub(crate) fn json(self) -> Value {
        json!({ "atp_percentage": self.atp_percentage, "ribosomes": self.ribosomes, "memory_kb": self.memory_kb })
    }
}

/// What a lane knows of its VM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) goal: Goal,
    pub(crate) allocation: Allocation,
}

#[derive(Debug, Clone)]
struct Command {
    verb: &'static str,
    request_id: Option<String>,
    body: Value,
    /// What is known once it is accepted.
    then: Known,
}

/// That the coordinator is gone, and how late answers may still come.
type Gone = watch::Receiver<Option<Duration>>;

/// How a command ended.
enum End {
    Answered(Value),
    /// BX014: said to be unknown.
    Unknown,
    /// There was no coordinator to take it.
    NotTaken,
    /// It was sent, and nothing came back.
    Unanswered,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
    pub(crate) said_unknown: u64,
    pub(crate) not_taken: u64,
    pub(crate) repeated_with_request_id: u64,
    pub(crate) found_out_by_status: u64,
    pub(crate) verified: u64,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) user: String,
    pub(crate) vm: String,
    pub(crate) known: Known,
    /// Request ids of accepted commands.
    pub(crate) accepted_ids: Vec<String>,
    /// Accepted commands that had none.
    pub(crate) accepted_without_id: u64,
    pending: Option<Command>,
    sent: u64,
    random: Random,
}

impl Lane {
    pub(crate) fn new(user: String, number: u32, mut random: Random) -> Self {
        let allocation = Allocation::draw(&mut random);
        Self {
            user,
            vm: format!("vm{number}"),
            known: Known { goal: Goal::Absent, allocation },
            accepted_ids: Vec::new(),
            accepted_without_id: 0,
            pending: None,
            sent: 0,
            random,
        }
    }

    pub(crate) fn subject(&self, verb: &str) -> String {
        format!("bioxen.v1.cmd.{}.{verb}.{}", self.user, self.vm)
    }

    fn draw(&mut self) -> Command {
        let verb = match self.known.goal {
            Goal::Absent => "create",
            Goal::Created => self.random.pick(&["start", "start", "allocate", "destroy"]),
            Goal::Running => self.random.pick(&["pause", "allocate", "allocate", "stop", "destroy"]),
            Goal::Paused => self.random.pick(&["resume", "resume", "allocate", "stop", "destroy"]),
            Goal::Stopped => self.random.pick(&["start", "start", "start", "destroy"]),
        };
        let mut then = self.known;
        let mut body = json!({});
        match verb {
            "create" => {
                then.allocation = Allocation::draw(&mut self.random);
                let auto_start = self.random.one_in(2);
                then.goal = if auto_start { Goal::Running } else { Goal::Created };
                body = json!({
                    "biological_type": "syn3a",
                    "auto_start": auto_start,
                    "allocation": then.allocation.json(),
                });
            }
            "allocate" => {
                while then.allocation == self.known.allocation {
                    then.allocation = Allocation::draw(&mut self.random);
                }
                body = then.allocation.json();
            }
            "start" | "resume" => then.goal = Goal::Running,
            "pause" => then.goal = Goal::Paused,
            "stop" => then.goal = Goal::Stopped,
            _ => then.goal = Goal::Absent,
        }
        if !matches!(verb, "create" | "allocate") {
            body["wait_ms"] = self.random.pick(&[0, 50, 400]).into();
        }
        // Whether an unanswered pause or resume took effect cannot be told from a status.
        let named = matches!(verb, "pause" | "resume") || !self.random.one_in(4);
        self.sent += 1;
        let request_id = named.then(|| format!("{}-{}", self.vm, self.sent));
        if let Some(id) = &request_id {
            body["request_id"] = id.as_str().into();
        }
        Command { verb, request_id, body, then }
    }

    /// Sends until the coordinator is gone.
    async fn run(mut self, client: Client, gone: Gone, counts: Counts) -> (Self, Counts) {
        let mut counts = counts;
        while gone.borrow().is_none() {
            // Only from there are a start and a new create in order.
            if matches!(self.known.goal, Goal::Stopped | Goal::Absent) && self.sent > 0 {
                match send(&client, &self.subject("status"), &Value::Null, gone.clone()).await {
                    End::Answered(status) if settled(&status, self.known.goal) => {}
                    _ => {
                        tokio::task::yield_now().await;
                        continue;
                    }
                }
            }
            let command = self.draw();
            match send(&client, &self.subject(command.verb), &command.body, gone.clone()).await {
                End::Answered(answer) => _ = self.accept(&command, &answer, &mut counts),
                End::Unknown => counts.said_unknown += self.keep(command),
                End::NotTaken => counts.not_taken += self.keep(command),
                End::Unanswered => counts.unanswered += self.keep(command),
            }
            if self.pending.is_some() {
                break;
            }
        }
        (self, counts)
    }

    fn keep(&mut self, command: Command) -> u64 {
        self.pending = Some(command);
        1
    }

    /// False where it was refused, which must have had no effect.
    fn accept(&mut self, command: &Command, answer: &Value, counts: &mut Counts) -> bool {
        let Command { verb, request_id, body, then } = command;
        let (user, vm) = (&self.user, &self.vm);
        // Its worker has not confirmed the resume before.
        if *verb == "pause" && code(answer) == "BX006" && answer["error"]["details"]["state"] == "paused" {
            counts.refused += 1;
            return false;
        }
        assert_eq!(answer["vm_id"], vm.as_str(), "{verb} of {user}'s {vm} with {body} was answered {answer}");
        if *verb == "allocate" {
            same_allocation(&answer["allocation"], then.allocation);
        }
        self.known = *then;
        counts.accepted += 1;
        match request_id {
            Some(id) => self.accepted_ids.push(id.clone()),
            None => self.accepted_without_id += 1,
        }
        true
    }

    /// Has what was not answered take effect once: by the same request id twice, or by looking whether it did.
    async fn resolve(&mut self, client: &Client, counts: &mut Counts) {
        let Some(command) = self.pending.take() else { return };
        if command.request_id.is_none() {
            let status = ask(client, &self.subject("status"), &Value::Null).await;
            counts.found_out_by_status += 1;
            if shows(&status, &command) {
                self.known = command.then;
                self.accepted_without_id += 1;
            }
            return;
        }
        let subject = self.subject(command.verb);
        let first = ask(client, &subject, &command.body).await;
        if !self.accept(&command, &first, counts) {
            return;
        }
        let again = ask(client, &subject, &command.body).await;
        assert_eq!(code(&again), "", "the same request again: {again}");
        if matches!(command.verb, "create" | "allocate") {
            assert_eq!(first["state"], again["state"], "{} answered again", command.verb);
            assert_eq!(first["allocation"], again["allocation"]);
        }
        let mut other = command.body.clone();
        other["wait_ms"] = 1.into();
        if command.verb == "allocate" {
            other = json!({ "request_id": command.request_id, "ribosomes": 1 });
        }
        let conflict = ask(client, &subject, &other).await;
        assert_eq!(code(&conflict), "BX015", "the request id with another body: {conflict}");
        counts.repeated_with_request_id += 1;
    }
}

/// Whether an unanswered command without a request id took effect.
fn shows(status: &Value, command: &Command) -> bool {
    let state = status["state"].as_str().unwrap_or("absent");
    match command.verb {
        "create" => !matches!(state, "absent" | "destroying" | "destroyed"),
        "start" => matches!(state, "starting" | "running"),
        "stop" => matches!(state, "stopping" | "stopped"),
        "destroy" => matches!(state, "absent" | "destroying" | "destroyed"),
        _ => allocation_of(status) == command.then.allocation.json(),
    }
}

pub(crate) fn settled(status: &Value, goal: Goal) -> bool {
    let never_created = goal == Goal::Absent && code(status) == "BX010";
    never_created || status["state"] == goal.state()
}

fn allocation_of(status: &Value) -> Value {
    let percent = status["atp_percentage"].as_f64().unwrap_or_default();
    json!({
        "atp_percentage": whole(percent),
        "ribosomes": status["ribosome_allocation"],
        "memory_kb": status["memory_kb"],
    })
}

fn same_allocation(answer: &Value, expected: Allocation) {
    let mut answer = answer.clone();
    answer["atp_percentage"] = whole(answer["atp_percentage"].as_f64().unwrap()).into();
    assert_eq!(answer, expected.json());
}

/// A VM's status once it has settled where the accepted commands lead.
pub(crate) async fn settle(client: &Client, lane: &Lane) {
    let goal = lane.known.goal;
    let status =
        ask_until(client, &lane.subject("status"), &Value::Null, |status| settled(status, goal)).await;
    if goal != Goal::Absent {
        assert_eq!(allocation_of(&status), lane.known.allocation.json(), "{}'s {}", lane.user, lane.vm);
    }
}

/// One request, given up a little after the coordinator is gone.
async fn send(client: &Client, subject: &str, body: &Value, mut gone: Gone) -> End {
    let payload = bioxen_tests::payload(body);
    let request = async_nats::Request::new().payload(payload.into()).timeout(Some(ANSWER_PATIENCE));
    let too_late = async {
        let late = gone.wait_for(Option::is_some).await.ok().and_then(|late| *late);
        tokio::time::sleep(late.unwrap_or_default()).await;
    };
    let answer = tokio::select! {
        biased;
        answer = client.send_request(subject.to_owned(), request) => answer,
        () = too_late => return End::Unanswered,
    };
    match answer {
        Ok(message) => {
            let answer: Value = serde_json::from_slice(&message.payload).unwrap();
            if code(&answer) == "BX014" { End::Unknown } else { End::Answered(answer) }
        }
        Err(error) if error.kind() == RequestErrorKind::NoResponders => End::NotTaken,
        Err(error) => panic!("{subject}: {error}"),
    }
}

/// All lanes at once for a while; then `end` ends the coordinator. Answers may come so late after that.
pub(crate) async fn run_lanes(
    client: &Client,
    lanes: Vec<Lane>,
    load: Duration,
    late: Duration,
    counts: &mut Counts,
    end: impl FnOnce(),
) -> Vec<Lane> {
    let (tell, gone) = watch::channel(None);
    let running: Vec<_> = lanes
        .into_iter()
        .map(|lane| tokio::spawn(lane.run(client.clone(), gone.clone(), Counts::default())))
        .collect();
    tokio::time::sleep(load).await;
    tokio::task::block_in_place(end);
    tell.send_replace(Some(late));
    let mut lanes = Vec::new();
    for lane in running {
        let (lane, one) = lane.await.unwrap();
        lanes.push(lane);
        counts.accepted += one.accepted;
        counts.refused += one.refused;
        counts.unanswered += one.unanswered;
        counts.said_unknown += one.said_unknown;
        counts.not_taken += one.not_taken;
    }
    lanes
}

/// After a restart: every lane finds out, or brings about, what became of its unanswered command.
pub(crate) async fn resolve(client: &Client, lanes: &mut [Lane], counts: &mut Counts) {
    let resolved = lanes.iter_mut().map(|lane| async move {
        let mut counts = Counts::default();
        lane.resolve(client, &mut counts).await;
        counts
    });
    for one in futures::future::join_all(resolved).await {
        counts.accepted += one.accepted;
        counts.refused += one.refused;
        counts.repeated_with_request_id += one.repeated_with_request_id;
        counts.found_out_by_status += one.found_out_by_status;
    }
}
