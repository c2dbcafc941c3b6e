//! A pool that a VM brings along: its password is read by workers alone, and nothing stays there once the VM is at rest.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use bioxen_tests::cells::{USER, minutes_of, subject};
use bioxen_tests::files::files_with;
use bioxen_tests::vms::{WIDE, done, reach, status_until};
use bioxen_tests::{Options, TestFleet, ask, ask_until, program};
use bioxen_xapi_pool::{Fault, Options as PoolOptions, Pool};
use serde_json::{Value, json};

use crate::guests::{are, nothing_is_left, nothing_is_left_on, one_is_left};
use crate::place::{Place, WORKER, guest_key, pool_of, pool_with_guests, section};

const PASSWORD: &str = "correct-horse-battery-staple";

/// A fleet whose file names no pool, and the half of its key that seals.
struct Own {
    place: Place,
    sealing_key: String,
    table: String,
    /// Holds the other half, and the key of guests.
    _keys: tempfile::TempDir,
}

fn said_by(arguments: &[&str], input: &str) -> String {
    let mut command = program("bioxen");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.spawn().expect("bioxen runs");
    running.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = running.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

impl Own {
    async fn start() -> Option<Self> {
        Self::start_beside(None).await
    }

    /// The worker's file names the pool `lab`, where there is one.
    async fn start_beside(lab: Option<&Pool>) -> Option<Self> {
        let password = PASSWORD.to_owned();
        let pool = pool_of(PoolOptions { guests: true, password, ..PoolOptions::default() })?;
        let keys = tempfile::tempdir().expect("a folder");
        let file = keys.path().join("pools.key");
        let sealing_key = said_by(&["xcpng", "key", &file.display().to_string()], "");
        let again = said_by(&["xcpng", "key", &file.display().to_string()], "");
        assert_eq!(sealing_key, again, "a key that is there was replaced");
        let resources = format!("{WIDE}[xcpng.own_pools]\nsealing_key = {sealing_key:?}\n");
        let mut fleet = TestFleet::without_workers(&Options { resources, ..Options::default() });
        let folder: &Path = keys.path();
        guest_key(folder);
        let table = format!(
            "{WORKER}[xcpng.own_pools]\nkey_file = {file:?}\nssh_key_folder = {folder:?}\norphan_grace = 1\n\
             vm_creation_timeout = 20\n{}",
            lab.map(|lab| section("lab", lab, fleet.folder())).unwrap_or_default()
        );
        fleet.start_worker("x1", &table);
        let client = fleet.connect().await;
        let before = Some(pool.census());
        let place = Place { fleet, client, pool: Some(pool), was_disturbed: false, before };
        Some(Self { place, sealing_key, table, _keys: keys })
    }

    fn config(&self) -> Value {
        let pool = self.place.pool.as_ref().expect("a pool");
        json!({ "xapi_url": pool.url().trim_end_matches('/'), "username": "root", "password": PASSWORD,
            "ssh_user": "bioxen", "ssh_key_path": "guest_key", "template_name": "bioxen-guest", "vm_memory": "1GB",
            "vm_vcpus": 1, "tls_fingerprint": pool.fingerprint_of(0) })
    }

    /// The same, with its password sealed before it is sent.
    fn sealed(&self) -> Value {
        let mut config = self.config();
        let url = config["xapi_url"].as_str().expect("an address").to_owned();
        let pin = config["tls_fingerprint"].as_str().expect("a fingerprint").to_owned();
        let about = ["--user", USER, "--xapi-url", &url, "--username", "root", "--tls-fingerprint", &pin];
        let arguments = [&["xcpng", "seal", "--sealing-key", &self.sealing_key][..], &about].concat();
        let sealed = said_by(&arguments, &format!("{PASSWORD}\n"));
        config.as_object_mut().expect("an object").remove("password");
        config["sealed_password"] = json!(sealed);
        config
    }

    fn body(config: &Value) -> Value {
        json!({ "biological_type": "syn3a", "vm_type": "xcpng", "auto_start": true, "request_id": "r-1",
            "config": { "xcpng_config": config } })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_brings_its_pool_along_and_its_password_stands_nowhere() {
    let Some(mut own) = Own::start().await else { return };
    let client = own.place.client.clone();
    let body = Own::body(&own.config());
    // Until the coordinators have found that each of them knows of such pools.
    let created =
        ask_until(&client, &subject("create", "c1"), &body, |told| told["status"] == "created").await;
    assert_eq!(ask(&client, &subject("create", "c1"), &body).await, created, "a repeat is another request");
    let healthy = |status: &Value| status["health_status"] == "healthy" && minutes_of(status) > 0.0;
    status_until(&client, "c1", healthy).await;
    are(&own.place, &["Running"]);

    // At rest nothing of it stays on a pool that nobody could look over.
    reach(&client, "stop", "c1", "stopped").await;
    are(&own.place, &[]);
    let rests = ask(&client, &subject("status", "c1"), &Value::Null).await;
    own.place.done("start", "c1", json!({})).await;
    status_until(&client, "c1", |status| minutes_of(status) > minutes_of(&rests)).await;

    // The next worker opens the password as well, and takes the guest over.
    own.place.fleet.kill_worker("x1");
    own.place.was_disturbed = true;
    let lost = ask(&client, &subject("status", "c1"), &Value::Null).await;
    own.place.fleet.start_worker("x1", &own.table);
    status_until(&client, "c1", |status| healthy(status) && minutes_of(status) > minutes_of(&lost)).await;
    one_is_left(&own.place).await;
    reach(&client, "destroy", "c1", "destroyed").await;
    nothing_is_left(&own.place).await;

    let audit = ask(&client, &format!("bioxen.v1.cmd.{USER}.audit"), &json!({ "limit": 100 })).await;
    assert!(audit.to_string().contains("c1") && !audit.to_string().contains(PASSWORD), "{audit}");
    let holds = files_with(own.place.fleet.folder(), PASSWORD.as_bytes());
    assert!(holds.is_empty(), "the password stands in {holds:?}");
    let sealed = files_with(own.place.fleet.folder(), b"sealed_password");
    assert!(!sealed.is_empty(), "what was sealed is not found either");
    own.place.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_has_gone_to_another_pool_leaves_nothing_on_the_one_before() {
    let Some(lab) = pool_with_guests() else { return };
    let before = lab.census();
    let Some(own) = Own::start_beside(Some(&lab)).await else { return };
    let client = &own.place.client;
    let body = json!({ "biological_type": "syn3a", "vm_type": "xcpng", "auto_start": true,
        "config": { "xcpng_config": { "pool": "lab" } } });
    done(client, "create", "c1", body).await;
    status_until(client, "c1", |status| status["health_status"] == "healthy").await;
    reach(client, "stop", "c1", "stopped").await;
    let kept = done(client, "checkpoint", "c1", Value::Null).await;
    assert_ne!(lab.census().vms, before.vms, "a VM that is stopped keeps its guest");
    let restore = json!({ "vm_type": "xcpng", "xcpng_config": own.config(), "checkpoint_id": kept["checkpoint_id"],
        "request_id": "r-1" });
    ask_until(client, &subject("restore", "c1"), &restore, |told| told["error"].is_null()).await;
    done(client, "start", "c1", json!({ "wait_ms": 30_000 })).await;
    status_until(client, "c1", |status| status["health_status"] == "healthy").await;
    are(&own.place, &["Running"]);
    nothing_is_left_on(&lab, &before).await;
    are(&own.place, &["Running"]);
    own.place.ends().await;
    assert_eq!(lab.census(), before, "sessions, tasks, guests, disks, connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_pool_of_ones_own_is_told_and_leaves_nothing() {
    let Some(own) = Own::start().await else { return };
    let client = &own.place.client;
    let with = |name: &str, value: Value| {
        let mut config = own.config();
        config[name] = value;
        config
    };
    let mut elsewhere = own.sealed();
    elsewhere["username"] = json!("another");
    let cases = [
        ("password", with("password", json!("wrong")), "SESSION_AUTHENTICATION_FAILED"),
        ("key", with("ssh_key_path", json!("/etc/ssh/ssh_host_rsa_key")), "ssh_key_path"),
        ("pin", with("tls_fingerprint", json!("ab".repeat(32))), "certificate"),
        ("template", with("template_name", json!("nothing")), "template"),
        ("sealed", elsewhere, "sealed for another user, address, account or certificate"),
    ];
    for (vm, config, words) in cases {
        let mut body = Own::body(&config);
        body["request_id"] = json!(vm);
        ask_until(client, &subject("create", vm), &body, |told| told["status"] == "created").await;
        let failed = status_until(client, vm, |status| status["state"] == "failed").await;
        let told = failed["reason"].as_str().unwrap_or_default();
        assert!(told.starts_with("BX018: ") && told.contains(words), "{vm}: {failed}");
        reach(client, "destroy", vm, "destroyed").await;
    }
    are(&own.place, &[]);

    // A pool that repeats what it was asked has the password told to nobody.
    let pool = own.place.pool.as_ref().expect("a pool");
    let (method, code) = ("session.login_with_password".to_owned(), "INTERNAL_ERROR".to_owned());
    pool.inject(Fault::FailEarly { method, code, params: vec![format!("[\"root\",\"{PASSWORD}\"]")] }, 1_000);
    let mut body = Own::body(&with("template_name", json!("another")));
    body["request_id"] = json!("echo");
    ask_until(client, &subject("create", "echo"), &body, |told| told["status"] == "created").await;
    let failed = status_until(client, "echo", |status| status["state"] == "failed").await;
    assert!(failed["reason"].as_str().unwrap_or_default().contains("login_with_password"), "{failed}");
    pool.clear_faults();
    reach(client, "destroy", "echo", "destroyed").await;
    let holds = files_with(own.place.fleet.folder(), PASSWORD.as_bytes());
    assert!(holds.is_empty(), "the password stands in {holds:?}");
    own.place.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_command_brings_only_a_sealed_password() {
    let Some(own) = Own::start().await else { return };
    let client = &own.place.client;
    let js = async_nats::jetstream::new(client.clone());
    let submit = async |vm: &str, config: &Value| {
        let mut body = Own::body(config);
        (body["verb"], body["vm_id"], body["request_id"]) = (json!("create"), json!(vm), json!(vm));
        let subject = format!("bioxen.v1.submit.{USER}");
        js.publish(subject, body.to_string().into()).await.expect("published").await.expect("stored");
    };
    // Sent until the coordinators have found that each of them knows of such pools.
    let early = Own::body(&own.sealed());
    ask_until(client, &subject("create", "c1"), &early, |told| told["status"] == "created").await;
    submit("plain", &own.config()).await;
    submit("sealed", &own.sealed()).await;
    status_until(client, "sealed", |status| status["health_status"] == "healthy").await;
    let plain = ask(client, &subject("status", "plain"), &Value::Null).await;
    assert_eq!(plain["error"]["code"], "BX010", "{plain}");
    let told = |events: &Value| events.to_string().contains("xcpng seal");
    let events = format!("bioxen.v1.cmd.{USER}.audit");
    let audit = ask_until(client, &events, &json!({ "limit": 100 }), told).await;
    assert!(!audit.to_string().contains(PASSWORD), "{audit}");
    own.place.ends().await;
}
