//! Packages on whole fleets: published, installed, felt by the cell, used by scripts, refused where they are none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "figures for whoever reads along")]

mod crashes;
#[path = "../../package/tests/archives/hostile.rs"]
mod hostile;
mod refusals;
mod scripts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_nats::Client;
use bioxen_package::Package;
use bioxen_protocol::client::PackageStore;
use bioxen_tests::cells::{CHASSIS, Spec, Vm, is_clean, minute_in_effect, subject};
use bioxen_tests::{Options, TestFleet, ask, ask_until, code, program};
use serde_json::{Value, json};

/// The weisse2015 chassis: row 12 of the figures is about it.
pub(crate) const WEISSE: usize = 3;
const MINUTES: f64 = 3_000.0;

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/packages")
}

pub(crate) fn show(figures: &str) {
    println!("{figures}");
}

/// `bioxen package ..` in JSON.
pub(crate) fn cli(fleet: &TestFleet, arguments: &[&str]) -> Result<Value, String> {
    let done = program("bioxen").args(["--url", &fleet.url(), "--json"]).args(arguments).output().unwrap();
    if done.status.success() {
        Ok(serde_json::from_slice(&done.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

pub(crate) fn publish_example(fleet: &TestFleet, name: &str) -> Value {
    cli(fleet, &["package", "publish", examples().join(name).to_str().unwrap()]).unwrap()
}

/// A package with one construct of 300 amino acids.
pub(crate) fn burden(name: &str, wp: f64) -> Package {
    let text = format!(
        "format = 1\nname = \"{name}\"\nversion = \"1.0.0\"\ndescription = \"A load.\"\nlicence = \"Apache-2.0\"\n\
         [[constructs]]\nname = \"load\"\nlength_aa = 300\ntranscription_per_min = {wp}\nsource = \"test\"\n\
         [sources]\ntest = \"a test\"\n"
    );
    Package::new(text, BTreeMap::new()).unwrap()
}

/// Publishes as any client may: by the object store alone.
pub(crate) async fn publish(client: &Client, package: &Package) -> String {
    let bytes = package.archive().unwrap();
    let store = PackageStore::open(client).await.unwrap();
    assert!(store.put(package.id(), &bytes).await.unwrap());
    bioxen_package::digest(&bytes)
}

pub(crate) async fn install(client: &Client, vm: &str, package: &str) -> Value {
    ask(client, &subject("install", vm), &json!({ "package": package })).await
}

/// A weisse2015 with everything that it can use.
pub(crate) fn unlimited() -> Spec {
    let chassis = CHASSIS[WEISSE];
    Spec {
        chassis,
        atp: chassis.most_atp,
        ribosomes: chassis.most_ribosomes,
        parameters: BTreeMap::new(),
        changes: Vec::new(),
    }
}

/// The minute at which an event says that the package took effect.
pub(crate) async fn took_effect(client: &Client, vm: &str, package: &str) -> f64 {
    let is_it = |event: &Value| {
        event["vm_id"] == vm
            && event["event"] == "result"
            && event["reason"].as_str().is_some_and(|reason| reason.contains(package))
    };
    let events = ask_until(client, "bioxen.v1.cmd.alice.events", &json!({ "limit": 1000 }), |answer| {
        answer["events"].as_array().is_some_and(|events| events.iter().any(is_it))
    })
    .await;
    let event = events["events"].as_array().unwrap().iter().find(|event| is_it(event)).unwrap();
    minute_in_effect(event)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_slows_a_running_cell_as_the_burden_row_says_to_the_bit_of_simulate() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let digest = publish(&client, &burden("burden", 100.0)).await;
    let more = json!({ "auto_start": true, "pace": 30_000, "horizon_minutes": MINUTES });
    let mut vm = Vm::create(&client, "slowed".to_owned(), unlimited(), more).await;
    let passed = |now: &Value| now["simulated_minutes"].as_f64() > Some(5.0);
    ask_until(&client, &subject("status", "slowed"), &Value::Null, passed).await;
    let installed = install(&client, "slowed", "burden@1.0.0").await;
    let expected = json!({ "vm_id": "slowed", "package": "burden@1.0.0", "digest": digest, "load": 100.0 });
    assert_eq!(installed, expected);
    assert_eq!(install(&client, "slowed", "burden@1.0.0").await, expected, "the same again");
    let minute = took_effect(&client, "slowed", "burden@1.0.0").await;
    assert!(minute > 5.0);
    vm.spec.changes.push((minute, "wp", 100.0));
    vm.completes().await;
    assert_eq!(vm.agrees().await, MINUTES);
    let status = ask(&client, &subject("status", "slowed"), &Value::Null).await;
    let shown = json!([{ "package": "burden@1.0.0", "digest": digest, "load": 100.0 }]);
    assert_eq!(status["packages"], shown, "{status}");
    let metrics = ask(&client, &subject("metrics", "slowed"), &Value::Null).await;
    let unlimited = unlimited().simulated(0.0);
    let growth = |of: &Value| of["growth_rate_per_min"].as_f64().unwrap();
    let ratio = growth(&metrics) / growth(&unlimited);
    show(&format!("wp = 100 by a package: growth {ratio:.4} of the unlimited; row 12 says .4626"));
    assert!((ratio / 0.4626 - 1.0).abs() < 0.005, "{ratio}");
    let predicted = status["predicted"]["doubling_time_min"].as_f64().unwrap();
    let doubling = metrics["doubling_time_min"].as_f64().unwrap();
    assert!((predicted / doubling - 1.0).abs() < 0.01, "predicted {predicted}, found {doubling}");
    audited(&client).await;
    is_clean(&fleet).await;
}

async fn audited(client: &Client) {
    let audit = ask(client, "bioxen.v1.cmd.alice.audit", &json!({ "limit": 1000 })).await;
    let records = audit["audit"].as_array().unwrap();
    let installs: Vec<_> = records.iter().filter(|record| record["action"] == "install").collect();
    // The second one changed nothing.
    assert_eq!(installs.len(), 1, "{audit}");
    assert!(installs[0]["note"].as_str().unwrap().contains("package burden@1.0.0 with digest sha256:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reporter_plasmid_settles_in_ecoli_and_is_there_from_minute_0_where_it_had_not_started() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let published = publish_example(&fleet, "reporter-plasmid");
    assert_eq!(published["new"], true, "{published}");
    assert_eq!(publish_example(&fleet, "reporter-plasmid")["new"], false);
    let listed = cli(&fleet, &["package", "list"]).unwrap();
    assert_eq!(listed[0]["package"], "reporter-plasmid@1.0.0", "{listed}");
    let shown = cli(&fleet, &["package", "show", "reporter-plasmid"]).unwrap();
    assert_eq!(shown["digest"], published["digest"]);
    let body = json!({
        "biological_type": "ecoli", "horizon_minutes": 2000,
        "allocation": { "atp_percentage": 90, "ribosomes": 30, "memory_kb": 1024 },
    });
    for vm in ["plain", "reports"] {
        assert_eq!(code(&ask(&client, &subject("create", vm), &body).await), "");
    }
    let installed =
        cli(&fleet, &["--user", "alice", "install", "reports", "reporter-plasmid@1.0.0"]).unwrap();
    assert_eq!(installed["digest"], published["digest"], "{installed}");
    assert_eq!(took_effect(&client, "reports", "reporter-plasmid@1.0.0").await, 0.0);
    for vm in ["plain", "reports"] {
        ask(&client, &subject("start", vm), &Value::Null).await;
        ask_until(&client, &subject("status", vm), &Value::Null, |now| now["reason"] == "completed").await;
    }
    let plasmids = ask(&client, &subject("plasmids", "reports"), &Value::Null).await;
    let carried = &plasmids["packages"][0];
    let copies = carried["plasmids"][0]["copies"].as_f64().unwrap();
    assert!((10.0..=16.0).contains(&copies), "{plasmids}");
    let mut doubling = BTreeMap::new();
    for vm in ["plain", "reports"] {
        let metrics = ask(&client, &subject("metrics", vm), &Value::Null).await;
        doubling.insert(vm, metrics["doubling_time_min"].as_f64().unwrap());
    }
    show(&format!("reporter plasmid: {copies:.2} copies, doubling times {doubling:?} min, {carried}"));
    assert!(doubling["reports"] > 1.05 * doubling["plain"], "{doubling:?}");
    is_clean(&fleet).await;
}
