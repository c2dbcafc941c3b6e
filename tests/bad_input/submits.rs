//! Bad durable commands: nobody waits for an answer, so the refusal is an event. Each case has a user of its own, for
//! only ten refusals a second and user are told one by one.

use async_nats::jetstream;
use async_nats::{Client, HeaderMap};
use bioxen_tests::START_PATIENCE;
use futures::StreamExt;
use serde_json::{Value, json};

struct Case {
    payload: Vec<u8>,
    code: &'static str,
    /// The user's token of the subject, where it is the case.
    user: Option<&'static str>,
    content_type: Option<&'static str>,
}

/// A `create` that would be accepted but for one field.
fn create(name: &str, value: Value) -> Value {
    let mut body = json!({ "verb": "create", "vm_id": "new", "biological_type": "syn3a" });
    body[name] = value;
    body
}

/// 10 KB where a word is expected.
fn long() -> String {
    "x".repeat(10 * 1024)
}

fn invalid() -> Vec<Value> {
    vec![
        json!({}),
        json!([]),
        json!({ "vm_id": "c1" }),
        json!({ "verb": 5, "vm_id": "c1" }),
        json!({ "verb": null, "vm_id": "c1" }),
        json!({ "verb": "creat", "vm_id": "c1" }),
        json!({ "verb": "start.c1" }),
        json!({ "verb": "create.new", "biological_type": "syn3a" }),
        json!({ "verb": "", "vm_id": "c1" }),
        json!({ "verb": "*", "vm_id": "c1" }),
        json!({ "verb": long(), "vm_id": "c1" }),
        json!({ "verb": "start" }),
        json!({ "verb": "start", "vm_id": "*" }),
        json!({ "verb": "start", "vm_id": long() }),
        json!({ "verb": "start", "vm_id": 5 }),
        json!({ "verb": "install", "vm_id": "c1" }),
        json!({ "verb": "start", "vm_id": "c1", "user": "bob" }),
        json!({ "verb": "start", "vm_id": "c1", "request_id": "a b" }),
        create("biological_type", json!(5)),
        create("priority", json!(6)),
        create("allocation", json!({ "ribosomes": 12.5 })),
        create("labels", json!({ "a": long() })),
        create("request_id", json!(long())),
        create("sead", json!(7)),
    ]
}

fn unreadable() -> Vec<Vec<u8>> {
    let broken: [&[u8]; 8] =
        [b"{", b"", b"\xff", b"{} {}", b"\x81\xa4verb", b"\x81\x01\x01", b"[[[[[[[[[[[[[[[[[[[[", b"\x00"];
    let mut bodies: Vec<Vec<u8>> = broken.iter().map(|body| body.to_vec()).collect();
    bodies.push(format!("{}{}", create("seed", json!(7)), " ".repeat(70_000)).into_bytes());
    bodies.push("[".repeat(500_000).into_bytes());
    bodies
}

fn refused_later() -> Vec<(Value, &'static str)> {
    let mut bodies = vec![
        (create("biological_type", json!("syn3")), "BX003"),
        (create("biological_type", json!(long())), "BX003"),
        (create("pace", json!("max")), "BX005"),
        (create("parameters", json!({ "no_such": 1 })), "BX005"),
        (create("allocation", json!({ "ribosomes": 16 })), "BX002"),
    ];
    for verb in ["start", "stop", "pause", "resume", "destroy"] {
        bodies.push((json!({ "verb": verb, "vm_id": "none" }), "BX010"));
    }
    bodies
}

fn cases() -> Vec<Case> {
    let of = |payload, code| Case { payload, code, user: None, content_type: None };
    let mut cases: Vec<Case> =
        invalid().iter().map(|body| of(body.to_string().into_bytes(), "BX008")).collect();
    cases.extend(unreadable().into_iter().map(|payload| of(payload, "BX008")));
    cases.extend(refused_later().into_iter().map(|(body, code)| of(body.to_string().into_bytes(), code)));
    let good = create("seed", json!(7)).to_string().into_bytes();
    for content_type in ["application/msgpack", "text/plain"] {
        cases.push(Case { content_type: Some(content_type), ..of(good.clone(), "BX008") });
    }
    for user in ["*", "a\0b", "-alice", "al*ce", "älice"] {
        cases.push(Case { user: Some(user), ..of(good.clone(), "BX008") });
    }
    cases.push(Case { user: Some("bioxen-fleet"), ..of(good, "BX012") });
    cases
}

/// Submits every case and awaits its event; the codes.
pub(crate) async fn check_all(client: &Client) -> Vec<&'static str> {
    let js = jetstream::new(client.clone());
    let mut events = client.subscribe("bioxen.v1.evt.>").await.expect("a subscription");
    // Behind it, nothing is told any more of what was done before.
    js.publish("bioxen.v1.submit.marker", "{}".into()).await.expect("published").await.expect("stored");
    while events.next().await.expect("an event").subject.as_str() != "bioxen.v1.evt.marker._.rejected" {}
    let mut codes = Vec::new();
    for (number, case) in cases().into_iter().enumerate() {
        let user = case.user.map_or_else(|| format!("user-{number}"), str::to_owned);
        let mut headers = HeaderMap::new();
        if let Some(content_type) = case.content_type {
            headers.insert("Content-Type", content_type);
        }
        let subject = format!("bioxen.v1.submit.{user}");
        let ack = js.publish_with_headers(subject.clone(), headers, case.payload.clone().into()).await;
        ack.expect("published").await.expect("stored");
        let shown: String = String::from_utf8_lossy(&case.payload).chars().take(100).collect();
        let event = tokio::time::timeout(START_PATIENCE, events.next()).await;
        let event = event.unwrap_or_else(|_| panic!("{subject} {shown}: no event")).expect("an event");
        let told: Value = serde_json::from_slice(&event.payload).expect("JSON");
        assert_eq!(told["event"], "rejected", "{subject} {shown}: {told}");
        assert_eq!(told["code"], case.code, "{subject} {shown}: {told}");
        assert!(told["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{told}");
        if case.user.is_none() {
            assert_eq!(told["user"], user.as_str(), "{told}");
        }
        codes.push(case.code);
    }
    codes
}

pub(crate) async fn check_that_a_good_one_works(client: &Client) {
    let js = jetstream::new(client.clone());
    let mut events = client.subscribe("bioxen.v1.evt.alice.new.created").await.expect("a subscription");
    let body = json!({ "verb": "create", "vm_id": "new", "biological_type": "syn3a" }).to_string();
    js.publish("bioxen.v1.submit.alice", body.into()).await.expect("published").await.expect("stored");
    let created = tokio::time::timeout(START_PATIENCE, events.next()).await;
    assert!(created.is_ok_and(|event| event.is_some()), "a good durable command was not carried out");
}
