//! The fleet that bad input is sent to: a VM in each state that a client can bring about, and what can be seen of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;

use async_nats::Client;
use bioxen_coordinator::ledger::{Ledger, RowKey};
use bioxen_coordinator::rows;
use bioxen_tests::{Options, START_PATIENCE, TestFleet, ask, ask_until};
use serde_json::{Value, json};

pub(crate) struct Fleet {
    fleet: TestFleet,
}

/// What a client sees of alice, bob and the fleet; `state` must be the same after bad input.
pub(crate) struct Seen {
    pub(crate) state: Value,
    pub(crate) index: u64,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        let fleet = TestFleet::start(&Options::default());
        let client = fleet.connect().await;
        // So slow that nothing is reported of it while the test runs.
        let slow = json!({ "biological_type": "syn3a", "pace": 0.001, "auto_start": true });
        for vm in ["running", "paused", "stopped"] {
            good(&client, &format!("create.{vm}"), &slow).await;
        }
        let syn3a = json!({ "biological_type": "syn3a", "request_id": "taken" });
        good(&client, "create.made", &syn3a).await;
        good(&client, "create.gone", &json!({ "biological_type": "syn3a" })).await;
        let schedule = json!([{ "at_minute": 5, "allocation": { "ribosomes": 5 } }]);
        good(&client, "create.scheduled", &json!({ "biological_type": "syn3a", "schedule": schedule })).await;
        let short = json!({ "biological_type": "syn3a", "horizon_minutes": 0.1, "auto_start": true });
        good(&client, "create.completed", &short).await;
        ask(&client, "bioxen.v1.cmd.bob.create.theirs", &json!({ "biological_type": "ecoli" })).await;
        good(&client, "pause.paused", &json!({})).await;
        good(&client, "stop.stopped", &json!({})).await;
        good(&client, "destroy.gone", &json!({})).await;
        Self { fleet }
    }

    pub(crate) fn port(&self) -> u16 {
        self.fleet.port
    }

    /// A connection, once every VM is in the state that its name says and the worker holds what it should.
    pub(crate) async fn connect_to_a_settled_fleet(&self) -> Client {
        let client = self.fleet.connect().await;
        for (vm, state) in
            [("running", "running"), ("paused", "paused"), ("stopped", "stopped"), ("completed", "stopped")]
        {
            let subject = format!("bioxen.v1.cmd.alice.status.{vm}");
            ask_until(&client, &subject, &Value::Null, |status| {
                let rests = status["health_status"] == "idle";
                status["state"] == state && (rests || status["health_status"] == "healthy")
            })
            .await;
        }
        client
    }

    /// Every row of the ledger but those that tell of leaders and workers. The coordinator is started again.
    pub(crate) async fn rows_of_a_stopped_coordinator(&mut self) -> BTreeMap<String, String> {
        drop(self.connect_to_a_settled_fleet().await);
        self.fleet.stop_coordinator();
        let ledger = Ledger::open_existing(&self.fleet.ledger()).expect("the ledger opens");
        let mut found = BTreeMap::new();
        for row in ledger.rows() {
            let (key, value) = row.expect("a sound row");
            let shown = rows::show(&key, &value);
            match &key {
                RowKey::Account(user) => drop(found.insert(format!("{user}: account"), shown)),
                RowKey::Vm { user, vm } => drop(found.insert(format!("{user}: VM {vm}"), shown)),
                RowKey::Request { user, request } => {
                    drop(found.insert(format!("{user}: request {request}"), shown));
                }
                RowKey::Ensemble { user, .. } | RowKey::Member { user, .. } => {
                    drop(found.insert(format!("{user}: {key}"), shown));
                }
                RowKey::Worker(_) | RowKey::Meta(_) => {}
            }
        }
        drop(ledger);
        self.fleet.start_coordinator();
        found
    }
}

async fn good(client: &Client, command: &str, body: &Value) {
    let mut body = body.clone();
    if !command.starts_with("create") {
        body["wait_ms"] = json!(20_000);
    }
    let answer = ask(client, &format!("bioxen.v1.cmd.alice.{command}"), &body).await;
    assert!(answer["error"].is_null(), "{command}: {answer}");
}

impl Seen {
    pub(crate) async fn now(client: &Client) -> Self {
        let mut fleet = ask(client, "bioxen.v1.cmd.alice.fleet", &Value::Null).await;
        let index = fleet["index"].take().as_u64().expect("an index");
        let mut state = vec![fleet];
        for user in ["alice", "bob"] {
            for read in ["list", "quota"] {
                state.push(ask(client, &format!("bioxen.v1.cmd.{user}.{read}"), &Value::Null).await);
            }
        }
        Self { state: state.into(), index }
    }
}

/// The audit records of users after an entry, as far as they are published.
pub(crate) async fn audit_after(client: &Client, index: u64) -> Vec<Value> {
    let js = async_nats::jetstream::new(client.clone());
    let mut stream = js.get_stream("BIOXEN_AUDIT").await.expect("the stream");
    let state = stream.info().await.expect("its state").state.clone();
    let mut records = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("no gap");
        let record: Value = serde_json::from_slice(&message.payload).expect("a record");
        if record["index"].as_u64() > Some(index) && record["user"] != "bioxen-fleet" {
            records.push(record);
        }
    }
    records
}

/// How many refusals stand in the audit stream, once as many stand there as must.
pub(crate) async fn journaled_refusals(client: &Client, index: u64, expected: RangeInclusive<u64>) -> u64 {
    let started = Instant::now();
    loop {
        let records = audit_after(client, index).await;
        let refused = records.iter().filter(|record| record["outcome"] == "rejected");
        let count = refused.filter_map(|record| record["count"].as_u64()).sum();
        assert!(count <= *expected.end(), "{count} refusals were journaled, at most {expected:?} were sent");
        if count >= *expected.start() {
            return count;
        }
        assert!(started.elapsed() < START_PATIENCE, "{count} refusals were journaled of {expected:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
