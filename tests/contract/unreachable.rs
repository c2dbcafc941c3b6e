//! Pools that are not what the worker's file says of them: each VM there fails in words within its time, and those on other
//! pools go on.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bioxen_tests::cells::subject;
use bioxen_tests::vms::{WIDE, reach, status_until};
use bioxen_tests::{Options, TestFleet, ask};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::place::{WORKER, pool_with_guests, section};

/// What a pool is given to answer, and what is tried again before, with room for a busy machine.
const WITHIN: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread")]
async fn pools_that_cannot_be_used_are_told_with_what_is_wrong_and_others_are_not_held_up() {
    let Some(mut pool) = pool_with_guests() else { return };
    let before = pool.census();
    let mut fleet = TestFleet::without_workers(&Options { resources: WIDE.to_owned(), ..Options::default() });
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = |listener: &TcpListener| format!("https://{}", listener.local_addr().expect("an address"));
    let (mute_url, closed_url) = (address(&mute), address(&closed));
    drop(closed);
    std::fs::write(fleet.folder().join("wrong"), "not the password").expect("written");
    let good = |name: &str| format!("{}vm_creation_timeout = 20\n", section(name, &pool, fleet.folder()));
    let (url, pin) = (pool.url(), pool.fingerprint_of(0).to_owned());
    let sections = [
        good("lab"),
        good("pin").replace(&pin, &"ab".repeat(32)),
        good("password").replace("/password\"", "/wrong\""),
        good("closed").replace(&url, &closed_url),
        good("mute").replace(&url, &mute_url),
    ];
    fleet.start_worker("x1", &format!("{WORKER}{}", sections.concat()));
    let client = fleet.connect().await;
    let create = async |pool: &str| {
        let body = json!({ "biological_type": "syn3a", "auto_start": true, "vm_type": "xcpng",
                           "allocation": { "ribosomes": 5 }, "config": { "xcpng_config": { "pool": pool } } });
        let made = ask(&client, &subject("create", pool), &body).await;
        assert_eq!(made["status"], "created", "{made}");
    };
    create("lab").await;
    status_until(&client, "lab", |status| status["state"] == "running").await;
    let begun = Instant::now();
    let cases = [
        ("pin", "certificate"),
        ("password", "SESSION_AUTHENTICATION_FAILED"),
        ("closed", "cannot be reached"),
        ("mute", ""),
    ];
    join_all(cases.map(async |(name, words)| {
        create(name).await;
        let failed = until_failed(&client, name).await;
        let told = failed["reason"].as_str().unwrap_or_default();
        assert!(told.starts_with(&format!("BX018: pool {name}: ")) && told.contains(words), "{failed}");
        assert!(begun.elapsed() < WITHIN, "{name} took {:?}", begun.elapsed());
    }))
    .await;
    let at = ask(&client, &subject("status", "lab"), &Value::Null).await;
    let beyond = |now: &Value| now["simulated_minutes"].as_f64() > at["simulated_minutes"].as_f64();
    status_until(&client, "lab", beyond).await;
    reach(&client, "destroy", "lab", "destroyed").await;
    fleet.stop_worker("x1");
    assert_eq!(pool.census(), before, "sessions, tasks, guests, disks, connections");
    pool.assert_no_violations();
}

/// A pool that never answers is given longer than tests wait for anything else.
async fn until_failed(client: &async_nats::Client, vm: &str) -> Value {
    let begun = Instant::now();
    loop {
        let status = ask(client, &subject("status", vm), &Value::Null).await;
        if status["state"] == "failed" {
            return status;
        }
        assert!(begun.elapsed() < WITHIN, "{vm} did not fail: {status}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
