//! Process code in a VM.

use std::collections::BTreeMap;

use bioxen_package::Package;
use bioxen_protocol::client::PackageStore;
use bioxen_tests::code;
use bioxen_tests::vms::{digest, reach, status_until, tell};
use serde_json::{Value, json};

use crate::place::Place;

async fn begins(place: &Place, vm: &str) {
    place.create(vm, json!({ "biological_type": "syn3a", "auto_start": true })).await;
    status_until(&place.client, vm, |status| status["health_status"] == "healthy").await;
}

async fn run(place: &Place, vm: &str, code: &str) -> Value {
    tell(&place.client, "execute", vm, json!({ "process_code": code, "timeout_ms": 3_000 })).await
}

pub(crate) async fn calls_and_scripts_change_the_cell_and_answer(place: &Place) {
    begins(place, "coded").await;
    let answer = run(place, "coded", "get_biological_status()").await;
    assert_eq!(
        (&answer["status"], &answer["execution_type"]),
        (&json!("completed"), &json!("call")),
        "{answer}"
    );
    let answer = run(place, "coded", "cell.advance(2) cell.set_nutrient(4000) return 6 * 7").await;
    assert_eq!(answer["status"], "completed", "{answer}");
    assert_eq!(answer["biological_output"], 42, "{answer}");
    let answer = run(place, "coded", "no_such_call()").await;
    assert_eq!(code(&answer), "BX016", "{answer}");
}

pub(crate) async fn code_that_never_ends_is_ended_and_leaves_no_trace(place: &Place) {
    begins(place, "loops").await;
    reach(&place.client, "pause", "loops", "paused").await;
    let before = digest(&place.client, "loops").await;
    let answer = run(place, "loops", "while true do end").await;
    assert_eq!(code(&answer), "BX016", "{answer}");
    assert_eq!(digest(&place.client, "loops").await, before);
    let answer = run(place, "loops", "return 1").await;
    assert_eq!(answer["status"], "completed", "{answer}");
}

pub(crate) async fn a_script_uses_the_modules_of_an_installed_package(place: &Place) {
    let text = "format = 1\nname = \"sums\"\nversion = \"1.0.0\"\ndescription = \"Sums.\"\n\
                licence = \"Apache-2.0\"\nmodules = [\"sums\"]\n";
    let module = "local sums = {}\nfunction sums.of(a, b) return a + b end\nreturn sums\n".to_owned();
    let package = Package::new(text.to_owned(), BTreeMap::from([("sums".to_owned(), module)]));
    let package = package.expect("a package");
    let store = PackageStore::open(&place.client).await.expect("the store");
    assert!(store.put(package.id(), &package.archive().expect("bytes")).await.expect("published"));
    begins(place, "uses").await;
    place.done("install", "uses", json!({ "package": "sums@1.0.0" })).await;
    let answer = run(place, "uses", "return package('sums').sums.of(2, 3)").await;
    assert_eq!(answer["biological_output"], 5, "{answer}");
}
