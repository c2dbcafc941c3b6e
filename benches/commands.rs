//! Commands a second through a real fleet, journaled and synced, beside a bare request and reply on the same
//! nats-server in the same run: their ratio tells what a command costs beyond its two messages, on any machine.
//!
//! `allocate` is a command that changes (one entry in the journal each), `fleet` one that reads.

#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends there and then")]
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_tests::cells::USER;
use bioxen_tests::{Options, TestFleet, ask, code};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};

const IN_FLIGHT: [usize; 3] = [1, 64, 256];
/// How long each figure is measured.
const COURSE: Duration = Duration::from_secs(4);
const ECHO: &str = "bench.echo";

/// Answers of one course.
#[derive(Debug)]
struct Course {
    per_second: f64,
    median: Duration,
    late: Duration,
}

#[tokio::main]
async fn main() {
    let resources = "max_concurrent_vms = 1000\nglobal_atp_limit = 100000\nglobal_ribosome_limit = 50000\n";
    let fleet = TestFleet::start(&Options { resources: resources.to_owned(), ..Options::default() });
    let client = fleet.connect().await;
    let echo = tokio::spawn(answer_echo(fleet.connect().await));
    create_vms(&client, IN_FLIGHT[IN_FLIGHT.len() - 1]).await;
    for in_flight in IN_FLIGHT {
        let bare = course(&client, in_flight, |_, _| (ECHO.to_owned(), allocation(1))).await;
        let changes = course(&client, in_flight, |lane, round| {
            (format!("bioxen.v1.cmd.{USER}.allocate.cell-{lane}"), allocation(1 + round % 15))
        });
        let changes = changes.await;
        let reads =
            course(&client, in_flight, |_, _| (format!("bioxen.v1.cmd.{USER}.fleet"), Value::Null)).await;
        println!("commands, {in_flight} in flight: bare request and reply {bare}");
        for (name, course) in [("allocate", changes), ("fleet", reads)] {
            let ratio = course.per_second / bare.per_second;
            println!("commands, {in_flight} in flight: {name} {course}; {ratio:.3} of bare");
        }
    }
    echo.abort();
    let verified = bioxen_tests::verify(&client).await;
    println!("commands, afterwards: clean={} entries={}", verified["clean"], verified["entries"]);
}

fn allocation(ribosomes: u64) -> Value {
    json!({ "atp_percentage": 50, "ribosomes": ribosomes })
}

async fn answer_echo(client: Client) {
    let mut messages = client.subscribe(ECHO).await.expect("a subscription");
    while let Some(message) = messages.next().await {
        if let Some(reply) = message.reply {
            client.publish(reply, message.payload).await.expect("an answer");
        }
    }
}

/// Created and never started: the journal is measured, not a worker.
async fn create_vms(client: &Client, count: usize) {
    let quota = format!("bioxen.v1.ops.bench.quota.{USER}");
    let set = ask(client, &quota, &json!({ "max_vms": count })).await;
    assert_eq!(code(&set), "", "{set}");
    for number in 0..count {
        let body = json!({ "biological_type": "syn3a", "allocation": { "memory_kb": 64 } });
        let created = ask(client, &format!("bioxen.v1.cmd.{USER}.create.cell-{number}"), &body).await;
        assert_eq!(created["status"], "created", "{created}");
    }
}

/// As many lanes as are in flight, each asking again once it is answered.
async fn course(client: &Client, in_flight: usize, asks: impl Fn(usize, u64) -> (String, Value)) -> Course {
    let begun = Instant::now();
    let asks = &asks;
    let lanes = (0..in_flight).map(|lane| async move {
        let mut waits = Vec::new();
        for round in 0.. {
            let asked = Instant::now();
            if asked.duration_since(begun) >= COURSE {
                break;
            }
            let (subject, body) = asks(lane, round);
            let answer = ask(client, &subject, &body).await;
            assert_eq!(code(&answer), "", "{answer}");
            waits.push(asked.elapsed());
        }
        waits
    });
    let mut waits: Vec<Duration> = join_all(lanes).await.into_iter().flatten().collect();
    let elapsed = begun.elapsed();
    waits.sort_unstable();
    Course {
        per_second: waits.len() as f64 / elapsed.as_secs_f64(),
        median: waits[waits.len() / 2],
        late: waits[waits.len() * 99 / 100],
    }
}

impl std::fmt::Display for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |wait: Duration| wait.as_secs_f64() * 1000.0;
        let (median, late) = (ms(self.median), ms(self.late));
        write!(f, "{:.0}/s (median {median:.2} ms, 99 % {late:.2} ms)", self.per_second)
    }
}
