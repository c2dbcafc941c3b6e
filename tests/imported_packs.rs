//! Imported chassis packs on a fleet: a VM runs on the very pack that it was made with, as `bioxen simulate` does, and
//! on no worker that has another one of that name.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails there and then")]

use std::path::{Path, PathBuf};

use bioxen_tests::{Options, TestFleet, ask, ask_until, code, program};
use serde_json::{Value, json};

const NAME: &str = "exemplum";

fn subject(verb: &str, vm: &str) -> String {
    format!("bioxen.v1.cmd.alice.{verb}.{vm}")
}

/// A folder with the pack that `bioxen chassis import` makes of the library's example.
fn imported(folder: &Path) -> PathBuf {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("hypervisor/tests/packs");
    let mut command = program("bioxen");
    command.args(["chassis", "import"]);
    for (option, file) in
        [("--genbank", "record.gb"), ("--genes", "measured.tsv"), ("--calibration", "calibration.toml")]
    {
        command.arg(option).arg(library.join(file));
    }
    std::fs::create_dir_all(folder).expect("a folder");
    let done = command.arg("-o").arg(folder.join(NAME)).output().expect("bioxen runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    folder.to_owned()
}

/// The same pack, calibrated otherwise.
fn changed(folder: &Path) -> PathBuf {
    let packs = imported(folder);
    let sheet = packs.join(NAME).join("pack.toml");
    let text = std::fs::read_to_string(&sheet).expect("a sheet");
    let other = text.replace("105.0", "110.0");
    assert_ne!(other, text);
    std::fs::write(sheet, other).expect("written");
    packs
}

fn worker(packs: &Path) -> String {
    format!("max_vms = 100\ntotal_ribosomes = 2000\npacks = {packs:?}\n")
}

fn simulated(packs: &Path, engine: &str) -> String {
    let mut command = program("bioxen");
    command.args(["simulate", NAME, "--packs"]).arg(packs);
    command.args(["--engine", engine, "--seed", "7", "--minutes", "30", "--every", "1.5", "--format", "csv"]);
    let done = command.output().expect("bioxen runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).expect("text");
    let header: Vec<&str> = text.lines().next().expect("a first line").split(',').collect();
    let place = |name: &str| header.iter().position(|known| *known == name).expect("a column");
    let (minute, growth) = (place("minute"), place("growth_rate_per_min"));
    let cut = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        format!("{},{}\n", fields[minute], fields[growth])
    };
    text.lines().map(cut).collect()
}

fn body(more: &Value) -> Value {
    let mut body = json!({ "biological_type": NAME, "auto_start": true, "seed": 7 });
    more.as_object().expect("fields").iter().for_each(|(name, value)| body[name] = value.clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_of_an_imported_pack_runs_where_that_very_pack_is_and_as_simulate_does() {
    let mut fleet = TestFleet::without_workers(&Options::default());
    let packs = imported(&fleet.folder().join("packs"));
    let others = changed(&fleet.folder().join("others"));
    let client = fleet.connect().await;
    let unknown = ask(&client, &subject("create", "x"), &body(&json!({}))).await;
    assert_eq!(code(&unknown), "BX003", "{unknown}");
    fleet.stop_coordinator();
    fleet.start_coordinator_with(&["--packs", packs.to_str().expect("a path")]);

    fleet.start_worker("without", "max_vms = 100\ntotal_ribosomes = 2000\n");
    fleet.start_worker("other", &worker(&others));
    let refused = ask(&client, &subject("create", "x"), &body(&json!({}))).await;
    assert_eq!(code(&refused), "BX013", "{refused}");
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("pack")), "{refused}");
    let shipped =
        ask(&client, &subject("create", "s"), &json!({ "biological_type": "syn3a", "auto_start": true }))
            .await;
    assert_eq!(code(&shipped), "", "the program's own chassis need no pack: {shipped}");

    fleet.start_worker("with", &worker(&packs));
    for engine in ["ode", "stochastic"] {
        let more = json!({
            "engine": engine, "horizon_minutes": 30, "allocation": { "atp_percentage": 100, "ribosomes": 15 },
            "record": { "variables": ["growth_rate_per_min"], "every_minutes": 1.5 },
        });
        let created = ask(&client, &subject("create", engine), &body(&more)).await;
        assert_eq!(code(&created), "", "{created}");
        let asked = subject("status", engine);
        let status = ask_until(&client, &asked, &Value::Null, |status| status["state"] == "stopped").await;
        assert_eq!(status["reason"], "completed");
        let results = ask(&client, &subject("results", engine), &json!({ "format": "csv" })).await;
        assert_eq!(results["data"], simulated(&packs, engine).as_str(), "{engine}");
        assert_ne!(results["data"], simulated(&others, engine).as_str(), "another pack is another cell");
    }

    let running = ask(&client, &subject("create", "r"), &body(&json!({}))).await;
    assert_eq!(code(&running), "", "{running}");
    let status = ask(&client, &subject("status", "r"), &Value::Null).await;
    assert_eq!(status["worker"], "with", "{status}");
    let execute = json!({ "process_code": "get_biological_status()" });
    let executed = ask(&client, &subject("execute", "r"), &execute).await;
    assert_eq!(executed["status"], "completed", "{executed}");
    assert!(executed.to_string().contains(NAME), "{executed}");
}
