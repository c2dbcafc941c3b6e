//! What is no package, does not fit, or was changed: refused in words, and nothing is lost by it.

use async_nats::Client;
use async_nats::jetstream;
use bioxen_protocol::package::PACKAGES_BUCKET;
use bioxen_tests::cells::{is_clean, subject};
use bioxen_tests::{Options, TestFleet, ask, ask_until, code};
use serde_json::{Value, json};

use super::{burden, cli, hostile, install, publish, publish_example, show};

/// As anybody with rights on the bucket can: without a look at what stands there.
async fn put(client: &Client, name: &str, bytes: &[u8]) {
    let bucket = jetstream::new(client.clone()).get_object_store(PACKAGES_BUCKET).await.unwrap();
    bucket.put(name, &mut &*bytes).await.unwrap();
}

fn said(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_default()
}

async fn create(client: &Client, user: &str, vm: &str, more: Value) {
    let mut body = json!({ "biological_type": "weisse2015" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let created = ask(client, &format!("bioxen.v1.cmd.{user}.create.{vm}"), &body).await;
    assert_eq!(created["status"], "created", "{created}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_archives_are_refused_and_nothing_is_lost() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    create(&client, "alice", "c1", json!({ "auto_start": true })).await;
    let mut refused_count = 0;
    for (what, bytes, words) in hostile::archives() {
        put(&client, "hostile@1.0.0", &bytes).await;
        let refused = install(&client, "c1", "hostile@1.0.0").await;
        assert_eq!(code(&refused), "BX017", "{what}: {refused}");
        assert!(said(&refused).contains(words) || what == "too many bytes", "{what}: {refused}");
        refused_count += 1;
    }
    // Sound in itself, but another than it is published as.
    put(&client, "hostile@1.0.0", &burden("burden", 1.0).archive().unwrap()).await;
    let refused = install(&client, "c1", "hostile@1.0.0").await;
    assert!(code(&refused) == "BX017" && said(&refused).contains("burden@1.0.0"), "{refused}");
    show(&format!("{refused_count} hostile archives refused"));
    let running = |now: &Value| now["state"] == "running";
    let status = ask_until(&client, &subject("status", "c1"), &Value::Null, running).await;
    assert_eq!(status["packages"], json!([]), "{status}");
    publish(&client, &burden("burden", 1.0)).await;
    assert_eq!(code(&install(&client, "c1", "burden@1.0.0").await), "");
    is_clean(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_unknown_or_has_changed_is_refused_with_what_to_do() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    create(&client, "alice", "c1", json!({ "auto_start": true })).await;
    create(&client, "alice", "single", json!({ "engine": "stochastic" })).await;
    create(&client, "bob", "c1", json!({})).await;
    publish_example(&fleet, "reporter-plasmid");
    publish(&client, &burden("burden", 10.0)).await;
    let unknown = install(&client, "c1", "burdens@1.0.0").await;
    assert_eq!(
        (code(&unknown), &unknown["error"]["details"]["nearest"]),
        ("BX017", &json!(["burden@1.0.0"]))
    );
    for (vm, package, expected) in [
        ("c1", "burden", "BX008"),
        ("c1", "burden@1", "BX008"),
        ("c1", "../burden@1.0.0", "BX008"),
        ("none", "burden@1.0.0", "BX010"),
        ("c1", "reporter-plasmid@1.0.0", "BX019"),
    ] {
        let refused = install(&client, vm, package).await;
        assert_eq!(code(&refused), expected, "{package} in {vm}: {refused}");
    }
    for vm in ["c1", "single"] {
        assert_eq!(code(&install(&client, vm, "burden@1.0.0").await), "", "into {vm}");
    }
    // Published again by force, with other bytes.
    put(&client, "burden@1.0.0", &burden("burden", 99.0).archive().unwrap()).await;
    let again = install(&client, "c1", "burden@1.0.0").await;
    assert!(code(&again) == "BX015" && said(&again).contains("other bytes"), "{again}");
    let body = json!({ "package": "burden@1.0.0" });
    let bobs = ask(&client, "bioxen.v1.cmd.bob.install.c1", &body).await;
    assert!(code(&bobs) == "BX017" && said(&bobs).contains("has changed"), "{bobs}");
    let folder = fleet.folder().join("burden");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("package.toml"),
        hostile::manifest("modules = []").replace("hostile", "burden"),
    )
    .unwrap();
    assert!(cli(&fleet, &["package", "publish", folder.to_str().unwrap()]).is_err(), "it holds nothing");
    let status = ask(&client, "bioxen.v1.cmd.bob.status.c1", &Value::Null).await;
    assert_eq!(status["packages"], json!([]), "{status}");
    put(&client, "burden@1.0.0", &burden("burden", 10.0).archive().unwrap()).await;
    assert_eq!(ask(&client, "bioxen.v1.cmd.bob.install.c1", &body).await["load"], 10.0);
    durable(&client).await;
    is_clean(&fleet).await;
}

/// By the durable door, answered by events.
async fn durable(client: &Client) {
    create(client, "carol", "c1", json!({})).await;
    let body = json!({ "verb": "install", "vm_id": "c1", "package": "burden@1.0.0", "request_id": "i1" });
    let js = jetstream::new(client.clone());
    let stored = js.publish("bioxen.v1.submit.carol", body.to_string().into()).await.unwrap();
    stored.await.unwrap();
    let has_it = |status: &Value| status["packages"][0]["package"] == "burden@1.0.0";
    ask_until(client, "bioxen.v1.cmd.carol.status.c1", &Value::Null, has_it).await;
}
