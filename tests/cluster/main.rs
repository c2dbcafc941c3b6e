//! A fleet on a cluster of three nats-servers: any one of them may die under load, the journal's leader too.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::Client;
use bioxen_tests::{Options, TestFleet, ask_again, ask_until, assert_clean};
use serde_json::{Value, json};

const RESOURCES: &str = "max_vms_per_user = 100000\nmax_concurrent_vms = 1000000\nglobal_atp_limit = 1000000000.0\nglobal_ribosome_limit = 100000000\n[streams]\nreplicas = 3\n";
/// Everything that a fleet keeps on the bus.
const KEPT: [&str; 8] = [
    "BIOXEN_JOURNAL",
    "BIOXEN_SUBMIT",
    "BIOXEN_EVENTS",
    "BIOXEN_AUDIT",
    "OBJ_BIOXEN_SNAPSHOTS",
    "OBJ_BIOXEN_CHECKPOINTS",
    "OBJ_BIOXEN_PACKAGES",
    "OBJ_BIOXEN_RESULTS",
];

async fn ask_on(client: &Client, subject: &str, body: &Value) -> Value {
    ask_again(client, subject, body, |_| true).await
}

async fn info(client: &Client, stream: &str) -> Value {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    ask_again(client, &subject, &Value::Null, |info| info["cluster"]["leader"].is_string()).await
}

/// Creates VMs, each asked for until it is answered, so many in all; the longest that one took.
async fn load(client: Client, user: String, first: u32, count: u32) -> Duration {
    let mut longest = Duration::ZERO;
    for number in first..first + count {
        let started = Instant::now();
        let body = json!({ "biological_type": "syn3a", "request_id": format!("make-{number}") });
        let made = ask_on(&client, &format!("bioxen.v1.cmd.{user}.create.v{number}"), &body).await;
        assert_eq!(made["status"], "created", "{made}");
        longest = longest.max(started.elapsed());
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn any_server_may_be_killed_under_load_and_nothing_accepted_is_lost() {
    const USERS: u32 = 8;
    const EACH: u32 = 60;
    let mut fleet = TestFleet::on_cluster(&Options { resources: RESOURCES.to_owned(), ..Options::default() });
    let client = fleet.connect().await;
    for stream in KEPT {
        assert_eq!(info(&client, stream).await["config"]["num_replicas"], 3, "{stream}");
    }
    let start = json!({ "biological_type": "syn3a", "auto_start": true });
    assert_eq!(ask_on(&client, "bioxen.v1.cmd.alice.create.runs", &start).await["status"], "created");
    let mut killed = BTreeSet::new();
    let mut expected = 0;
    for round in 0..2 {
        let leader = info(&client, "BIOXEN_JOURNAL").await["cluster"]["leader"].as_str().unwrap().to_owned();
        let victim = fleet.cluster().number_of(&leader);
        let loads: Vec<_> = (0..USERS)
            .map(|user| tokio::spawn(load(client.clone(), format!("user{user}"), round * EACH, EACH)))
            .collect();
        let before = quota_of(&client, 0).await;
        while quota_of(&client, 0).await < before + u64::from(EACH / 4) {
            tokio::task::yield_now().await;
        }
        let said = fleet.log("coordinator").len();
        fleet.cluster().kill(victim);
        let mut longest = Duration::ZERO;
        for load in loads {
            longest = longest.max(load.await.unwrap());
        }
        expected += u64::from(EACH);
        for user in 0..USERS {
            assert_eq!(quota_of(&client, user).await, expected, "user{user}");
        }
        fleet.cluster().restart(victim);
        let said = fleet.log("coordinator").split_off(said);
        assert!(!said.contains("the driver ends"), "{said}");
        println!(
            "round {round}: {leader}, which led the journal, was killed; the slowest answer took {longest:?}"
        );
        killed.insert(victim);
    }
    ask_until(&client, "bioxen.v1.cmd.alice.status.runs", &Value::Null, |vm| vm["state"] == "running").await;
    let verified = assert_clean(&client).await;
    println!("{} servers killed, {} entries, verified", killed.len(), verified["entries"]);
}

/// VMs of a user.
async fn quota_of(client: &Client, user: u32) -> u64 {
    let quota = ask_on(client, &format!("bioxen.v1.cmd.user{user}.quota"), &Value::Null).await;
    quota["used"]["slots"].as_u64().unwrap_or_else(|| panic!("{quota}"))
}
