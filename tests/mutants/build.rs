//! Building the checks with the faults in them, into a folder of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Below the workspace's target folder.
const FOLDER: &str = "target/mutants";
const PACKAGES: [&str; 3] = ["bioxen-coordinator", "bioxen-worker", "bioxen-simulator"];

/// The programs that were built.
pub(crate) struct Built {
    simulator: PathBuf,
    tests: BTreeMap<(String, String), PathBuf>,
}

impl Built {
    pub(crate) fn simulator(&self) -> &Path {
        &self.simulator
    }

    /// The tests of a target; `lib` is a package's unit tests.
    pub(crate) fn tests(&self, package: &str, target: &str) -> &Path {
        let found = self.tests.get(&(package.to_owned(), target.to_owned()));
        found.unwrap_or_else(|| panic!("the tests {target} of {package} were not built"))
    }
}

pub(crate) fn build() -> Built {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--release", "--no-run", "--message-format", "json-render-diagnostics"]);
    cargo.args(["--target-dir", FOLDER, "--features", "bioxen-mutants/on", "--lib", "--bins", "--tests"]);
    cargo.args(PACKAGES.map(|package| format!("--package={package}")));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit());
    let told = cargo.output().expect("cargo can be started");
    assert!(told.status.success(), "the checks cannot be built");
    let (mut simulator, mut tests) = (None, BTreeMap::new());
    for line in String::from_utf8_lossy(&told.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let Some(executable) = message["executable"].as_str().map(PathBuf::from) else { continue };
        let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
        let target = message["target"]["name"].as_str().unwrap_or_default();
        let is_test = message["profile"]["test"] == true;
        let id = message["package_id"].as_str().unwrap_or_default();
        let Some(package) = PACKAGES.iter().find(|package| is_of(id, package)) else { continue };
        match (is_test, kind) {
            (false, "bin") if target == "bioxen-simulator" => simulator = Some(executable),
            (true, "lib") => drop(tests.insert(((*package).to_owned(), "lib".to_owned()), executable)),
            (true, "test") => drop(tests.insert(((*package).to_owned(), target.to_owned()), executable)),
            _ => {}
        }
    }
    Built { simulator: simulator.expect("the simulator was built"), tests }
}

/// `path+file:///<folder>#<name>@<version>`, or the name left out where the folder has it.
fn is_of(id: &str, package: &str) -> bool {
    let folder = package.trim_start_matches("bioxen-");
    let (path, name) = id.split_once('#').unwrap_or((id, ""));
    name.split('@').next() == Some(package) || path.ends_with(&format!("/{folder}"))
}
