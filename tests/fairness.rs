//! One user's flood: everybody else is answered meanwhile, the flood's own answers all come, and every refusal of it
//! is in the journal and the audit trail, one by one or counted.

#![expect(clippy::expect_used, reason = "a test that is not answered as expected fails there and then")]
#![expect(clippy::print_stdout, reason = "the figures measured are shown where asked for")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_nats::Client;
use bioxen_tests::fold::assert_all_agree;
use bioxen_tests::{ANSWER_PATIENCE, Options, START_PATIENCE, TestFleet, ask, code};
use futures::StreamExt;
use serde_json::{Value, json};

const FLOOD: usize = 20_000;

/// Publishes everything without waiting; counts and returns the answers, in order of the questions.
async fn flood(client: &Client, asked: Vec<(String, Vec<u8>)>, come: Arc<AtomicUsize>) -> Vec<Value> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(format!("{inbox}.*")).await.expect("a subscription");
    let count = asked.len();
    let reader = tokio::spawn(async move {
        let mut found: BTreeMap<usize, Value> = BTreeMap::new();
        while found.len() < count {
            let next = tokio::time::timeout(ANSWER_PATIENCE, answers.next()).await;
            let message = next.unwrap_or_else(|_| panic!("only {} of {count} answers came", found.len()));
            let message = message.expect("the connection stands");
            let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
            let answer = serde_json::from_slice(&message.payload).expect("an answer in JSON");
            let again = found.insert(number.expect("a number"), answer);
            assert!(again.is_none(), "question {number:?} was answered twice");
            come.store(found.len(), Ordering::Relaxed);
        }
        found.into_values().collect()
    });
    for (number, (subject, body)) in asked.into_iter().enumerate() {
        let reply = format!("{inbox}.{number}");
        client.publish_with_reply(subject, reply, body.into()).await.expect("it is published");
    }
    client.flush().await.expect("it is sent");
    reader.await.expect("all answers come")
}

/// Asks one thing after another for another user until the flood has all its answers; each must be answered well.
async fn meanwhile(client: &Client, come: &AtomicUsize) {
    let (mut asked, mut during, mut slowest_ms) = (0u32, None, 0);
    while come.load(Ordering::Relaxed) < FLOOD {
        let vm = format!("b{asked}");
        let begun = Instant::now();
        let body = json!({ "biological_type": "syn3a", "wait_ms": 0 });
        let created = ask(client, &format!("bioxen.v1.cmd.bob.create.{vm}"), &body).await;
        assert_eq!(created["status"], "created", "{created}");
        let gone = ask(client, &format!("bioxen.v1.cmd.bob.destroy.{vm}"), &Value::Null).await;
        assert_eq!(gone["state"], "destroyed", "{gone}");
        slowest_ms = slowest_ms.max(begun.elapsed().as_millis());
        during.get_or_insert(come.load(Ordering::Relaxed));
        asked += 1;
    }
    println!(
        "meanwhile another user created and destroyed {asked} VMs, the slowest pair took {slowest_ms} ms; \
         at its first answers {} of the flood's {FLOOD} had come",
        during.unwrap_or(FLOOD)
    );
    assert!(asked > 0);
}

fn by_code(answers: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry(code(answer).to_owned()).or_default() += 1;
    }
    counts
}

/// Refusals for a full queue say so, and when to come again.
fn assert_full_queue_is_told(answers: &[Value]) {
    for answer in answers.iter().filter(|answer| code(answer) == "BX011") {
        let details = &answer["error"]["details"];
        assert_eq!(details["resource"], "waiting_commands", "{answer}");
        assert!(details["retry_after_ms"].as_u64() > Some(0), "{answer}");
    }
}

/// The sum of the counts of a user's refusals in the audit trail, once it has come as far as expected, and the records.
async fn audited_refusals(client: &Client, user: &str, expected: usize) -> (u64, usize) {
    let begun = Instant::now();
    loop {
        let (mut since, mut sum, mut records, mut highest) = (0, 0, 0, 0);
        loop {
            let page = json!({ "since": since, "limit": 1000 });
            let answer = ask(client, &format!("bioxen.v1.cmd.{user}.audit"), &page).await;
            let page = answer["audit"].as_array().expect("a page of the audit trail");
            for record in page.iter().filter(|record| record["outcome"] == "rejected") {
                let count = record["count"].as_u64().expect("a count");
                (sum, records, highest) = (sum + count, records + 1, count.max(highest));
            }
            match page.last() {
                Some(last) => since = last["index"].as_u64().expect("an index"),
                None => break,
            }
        }
        if sum >= u64::try_from(expected).expect("a small number") {
            println!("{user}: {sum} refusals in {records} audit records, the largest stands for {highest}");
            return (sum, records);
        }
        assert!(begun.elapsed() < START_PATIENCE, "the audit trail has only {sum} of {expected} refusals");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_commands_delays_nobody_else_and_every_refusal_is_counted() {
    let fleet = TestFleet::start(&Options::default());
    let (flooder, bob) = (fleet.connect().await, fleet.connect().await);
    let come = Arc::new(AtomicUsize::new(0));
    let asked = (0..FLOOD).map(|number| match number % 5 {
        0 => ("bioxen.v1.cmd.alice.create".to_owned(), b"{\"biological_type\": ".to_vec()),
        1 => ("bioxen.v1.cmd.alice.create".to_owned(), b"{\"biological_type\": \"yeast\"}".to_vec()),
        2 => (format!("bioxen.v1.cmd.alice.start.absent{number}"), Vec::new()),
        3 => ("bioxen.v1.cmd.alice.crate".to_owned(), Vec::new()),
        _ => (format!("bioxen.v1.cmd.alice.allocate.absent{number}"), b"{\"ribosomes\": 5}".to_vec()),
    });
    let asked: Vec<_> = asked.collect();
    let (answers, ()) = tokio::join!(flood(&flooder, asked, Arc::clone(&come)), meanwhile(&bob, &come));
    let codes = by_code(&answers);
    println!("{FLOOD} refused commands: {codes:?}");
    assert_eq!(answers.len(), FLOOD);
    assert!(!codes.contains_key(""), "{codes:?}");
    assert_full_queue_is_told(&answers);
    for (number, answer) in answers.iter().enumerate().filter(|(_, answer)| code(answer) != "BX011") {
        let expected = ["BX008", "BX003", "BX010", "BX008", "BX010"][number % 5];
        assert_eq!(code(answer), expected, "question {number}: {answer}");
    }
    let (sum, records) = audited_refusals(&bob, "alice", FLOOD).await;
    assert_eq!((sum, records < FLOOD / 10), (20_000, true), "{records} records");
    let folded = assert_all_agree("a flood of refusals", &fleet, &bob).await;
    assert_eq!(folded["refused"], json!({ "alice": FLOOD }));
}

/// Five hundred VMs: what asks about all of them takes the leader longer than it takes to ask.
async fn fleet_of_five_hundred() -> TestFleet {
    let limits = "max_concurrent_vms = 1000\nglobal_atp_limit = 100000.0\nglobal_ribosome_limit = 50000\n";
    let resources = format!("{limits}max_vms_per_user = 500\n");
    let fleet = TestFleet::start(&Options { resources, ..Options::default() });
    let client = fleet.connect().await;
    for number in 0..500 {
        let body = json!({ "biological_type": "syn3a", "wait_ms": 0 });
        let created = ask(&client, &format!("bioxen.v1.cmd.alice.create.c{number}"), &body).await;
        assert_eq!(created["status"], "created", "{created}");
    }
    fleet
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_questions_that_fills_its_queue_delays_nobody_else_and_all_are_answered() {
    let fleet = fleet_of_five_hundred().await;
    let (flooder, bob) = (fleet.connect().await, fleet.connect().await);
    let come = Arc::new(AtomicUsize::new(0));
    let verbs = ["status.c1", "fleet", "pause.c1", "fleet"];
    let asked = (0..FLOOD).map(|number| (format!("bioxen.v1.cmd.alice.{}", verbs[number % 4]), Vec::new()));
    let asked: Vec<_> = asked.collect();
    let (answers, ()) = tokio::join!(flood(&flooder, asked, Arc::clone(&come)), meanwhile(&bob, &come));
    let codes = by_code(&answers);
    println!("{FLOOD} questions: {codes:?} (\"\" is answered, BX011 found the queue full)");
    assert!(codes.contains_key("BX011"), "the queue was never full: {codes:?}");
    assert_full_queue_is_told(&answers);
    for (number, answer) in answers.iter().enumerate().filter(|(_, answer)| code(answer) != "BX011") {
        let good = match number % 4 {
            0 => answer["state"] == "created",
            // A created VM cannot be paused.
            2 => code(answer) == "BX006",
            _ => answer["active_vms"].as_u64() >= Some(500),
        };
        assert!(good, "question {number}: {answer}");
    }
    let refused = FLOOD - codes.get("").copied().unwrap_or_default();
    let (sum, _) = audited_refusals(&bob, "alice", refused).await;
    assert_eq!(usize::try_from(sum), Ok(refused));
    let folded = assert_all_agree("a flood of questions", &fleet, &bob).await;
    assert_eq!(folded["refused"], json!({ "alice": refused }));
}
