//! A whole coordinator in a child process of this program, on a disk that fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bioxen_coordinator::journal::streams::StreamSettings;
use bioxen_coordinator::snapshot::SnapshotSettings;
use bioxen_coordinator::{Config, run};
use bioxen_protocol::config::ResourceConfig;
use bioxen_telemetry::LogFormat;
use bioxen_tests::{START_PATIENCE, TestFleet};
use tokio::sync::watch;

use crate::failing::{Failing, fail};

/// The limits of the fleet, for the coordinators of `TestFleet` and for these.
pub(crate) const RESOURCES: &str =
    "global_atp_limit = 100000.0\nglobal_ribosome_limit = 50000\nmax_concurrent_vms = 1000\n";

/// A coordinator whose disk fails. It is expected to end.
pub(crate) struct Doomed {
    child: Child,
    told: PathBuf,
    log: PathBuf,
}

impl Doomed {
    /// Starts it, and waits until it leads or has ended.
    pub(crate) fn start(fleet: &TestFleet, data: &Path, failing: Failing) -> Self {
        let [told, log] = ["told", "log"].map(|end| fleet.folder().join(format!("doomed.{end}")));
        let file = |path| File::create(path).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child::in_a_child", "--nocapture"])
            .env("BIOXEN_TEST_URL", fleet.url())
            .env("BIOXEN_TEST_DATA", data)
            .env("BIOXEN_TEST_FAILING", failing.to_string())
            .stdin(Stdio::null())
            .stdout(file(&told))
            .stderr(file(&log))
            .spawn()
            .unwrap();
        let mut doomed = Self { child, told, log };
        doomed.until(|doomed| {
            let told = std::fs::read_to_string(&doomed.told).unwrap();
            let leads = told.lines().any(|line| line.starts_with("bioxen-coordinator leads"));
            leads || doomed.child.try_wait().unwrap().is_some()
        });
        doomed
    }

    /// Waits for its end: whether it had led, its exit code, what it wrote.
    pub(crate) fn end(mut self) -> (bool, Option<i32>, String) {
        let mut code = None;
        self.until(|doomed| {
            let ended = doomed.child.try_wait().unwrap();
            code = ended.and_then(|status| status.code());
            ended.is_some()
        });
        let told = std::fs::read_to_string(&self.told).unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap();
        (told.contains("bioxen-coordinator leads"), code, log)
    }

    fn until(&mut self, mut is: impl FnMut(&mut Self) -> bool) {
        let started = Instant::now();
        while !is(self) {
            if started.elapsed() > START_PATIENCE {
                let log = std::fs::read_to_string(&self.log).unwrap();
                panic!("the coordinator neither leads nor ends; it wrote:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As `bioxen-coordinator`'s main does it.
#[test]
#[ignore = "runs as a child on a disk that fails"]
fn in_a_child() {
    let Ok(url) = std::env::var("BIOXEN_TEST_URL") else { return };
    // The harness may have begun a line.
    println!();
    let data = PathBuf::from(std::env::var_os("BIOXEN_TEST_DATA").unwrap());
    bioxen_telemetry::init_logs(LogFormat::Text).unwrap();
    let failing = std::env::var("BIOXEN_TEST_FAILING").unwrap().parse().unwrap();
    fail(&data, failing);
    let number = |name: &str| {
        let line = RESOURCES.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        serde_json::from_str(line.trim_start_matches([' ', '='])).unwrap()
    };
    let resources: serde_json::Map<String, serde_json::Value> =
        ["global_atp_limit", "global_ribosome_limit", "max_concurrent_vms"]
            .into_iter()
            .map(|name| (name.to_owned(), number(name)))
            .collect();
    let resources: ResourceConfig = serde_json::from_value(resources.into()).unwrap();
    let config = Config {
        url,
        name: bioxen_tests::FIRST.to_owned(),
        data,
        resources,
        sealing_key: None,
        packs: None,
        streams: StreamSettings::default(),
        snapshots: SnapshotSettings::default(),
        monitoring_url: None,
        http_port: 0,
        accept_journal: false,
    };
    let (_stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ended = runtime.block_on(run(config, stopped));
    if let Err(error) = &ended {
        tracing::error!("{error}");
    }
    drop(runtime);
    std::process::exit(i32::from(ended.is_err()));
}
