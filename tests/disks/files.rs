//! Files that the command line writes onto a full disk: it says so, and leaves nothing that looks whole. Logs are given
//! up, not the program.

use std::path::Path;

use bioxen_tests::{Options, SmallDisk, TestFleet, ask, ask_until, http_get, program, roomy_worker};
use serde_json::{Value, json};

/// Runs `bioxen` where the disk can be seen: its exit code, and what it wrote on standard error.
fn bioxen(disk: &SmallDisk, fleet: &TestFleet, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = program("bioxen");
    command.args(["--url", &fleet.url(), "--user", "alice"]).args(arguments);
    let output = disk.within(&command).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_and_results_onto_a_full_disk_leave_no_file() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let recorded = json!({
        "biological_type": "syn3a", "auto_start": true, "horizon_minutes": 60,
        "record": { "variables": ["growth_rate_per_min"], "every_minutes": 1 },
    });
    ask(&client, "bioxen.v1.cmd.alice.create.recorded", &recorded).await;
    let completed = |vm: &Value| vm["reason"] == "completed";
    ask_until(&client, "bioxen.v1.cmd.alice.status.recorded", &Value::Null, completed).await;
    let Some(disk) = SmallDisk::mount(&fleet.folder().join("small"), 1) else { return };
    let at = |name: &str| disk.path().join(name).display().to_string();
    let (backup, rows) = (at("fleet.backup"), at("rows.csv"));
    let create: [&str; 4] = ["backup", "create", "--output", &backup];
    let results: [&str; 4] = ["results", "recorded", "--output", &rows];
    disk.fill();
    for (arguments, file) in [(&create, &backup), (&results, &rows)] {
        let (code, said) = bioxen(&disk, &fleet, arguments);
        assert_eq!(code, Some(1), "{said}");
        for word in [file.as_str(), "No space left on device", "make room"] {
            assert!(said.contains(word), "it does not say {word:?}: {said}");
        }
    }
    // Names of files that are not there, whole or not.
    let mut list = std::process::Command::new("ls");
    list.arg(disk.path());
    let listed = String::from_utf8(disk.within(&list).output().unwrap().stdout).unwrap();
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), ["filler", "mounted"]);
    disk.resize(64);
    for arguments in [&create, &results] {
        let (code, said) = bioxen(&disk, &fleet, arguments);
        assert_eq!(code, Some(0), "{said}");
    }
    let (code, said) = bioxen(&disk, &fleet, &["backup", "list", &backup]);
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_go_on_where_their_logs_find_no_room() {
    if !Path::new("/dev/full").exists() {
        return println!("skipped: this machine has no /dev/full");
    }
    let mut fleet = TestFleet::bus_only(&Options::default());
    let full = fleet.folder().join("full");
    std::fs::create_dir(&full).unwrap();
    for file in ["bioxen_api.log", "audit.log"] {
        std::os::unix::fs::symlink("/dev/full", full.join(file)).unwrap();
    }
    for log in ["coordinator.log", "w1.log"] {
        std::os::unix::fs::symlink("/dev/full", fleet.folder().join(log)).unwrap();
    }
    let full = full.display().to_string();
    fleet.start_coordinator();
    let (name, table) = roomy_worker("w1");
    fleet.start_worker_with(&name, &table, &[("BIOXEN_LOG_DIR", &full), ("BIOXEN_LOG", "debug")]);
    let client = fleet.connect().await;
    let body = json!({ "biological_type": "syn3a", "auto_start": true });
    ask(&client, "bioxen.v1.cmd.alice.create.c1", &body).await;
    let running = |vm: &Value| vm["state"] == "running";
    ask_until(&client, "bioxen.v1.cmd.alice.status.c1", &Value::Null, running).await;
    let address = fleet.coordinator_http();
    assert!(http_get(&address, "/healthz").starts_with("HTTP/1.1 200"));
}
