//! Two clients of others' making lead a guest through its life, each over its own wire.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bioxen_xapi_pool::{Options, Pool};

/// The version that the life cycle was written for.
const XEN_API: &str = "xen-api@4.7.6";

#[test]
fn pypi_s_xenapi_leads_a_guest_through_its_life_over_xml_rpc() {
    let Some(python) = std::env::var_os("BIOXEN_PYTHON").filter(|python| has_xenapi(Path::new(python)))
    else {
        eprintln!("skipped: BIOXEN_PYTHON names no Python with XenAPI; `make test` makes one");
        return;
    };
    let mut options = Options { guests: true, ..Options::default() };
    if let Err(why) = Pool::guests_can_run(&options) {
        eprintln!("without guests, for they cannot run here: {why}");
        options.guests = false;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key");
    let mut command = Command::new(python);
    command.arg(script("life_cycle.py"));
    let pool = Pool::start(options.clone()).expect("a pool");
    command.args([&pool.url(), &options.username, &options.password, &options.template_name]);
    if options.guests {
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.is_ok_and(|status| status.success()), "ssh-keygen makes a key");
        command.arg(key.with_extension("pub"));
    }
    assert_done(command.output().expect("Python runs"), pool);
}

#[test]
fn npm_s_xen_api_leads_a_guest_through_its_life_over_json_rpc() {
    let modules = match xen_api() {
        Ok(modules) => modules,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let options = Options::default();
    let pool = Pool::start(options.clone()).expect("a pool");
    let mut command = Command::new("node");
    command.arg(script("life_cycle.mjs")).arg(modules);
    command.args([&pool.url(), &options.username, &options.password, &options.template_name]);
    let told = command.output().expect("node runs");
    let seen = pool.seen();
    assert_done(told, pool);
    // It opens its sessions without one.
    assert_eq!(seen.logins_without_originator, 1);
}

fn assert_done(told: Output, mut pool: Pool) {
    let (said, complaints) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert_eq!(said.trim(), "done", "{complaints}");
    pool.assert_no_violations();
    // What the template and its snapshot have is all that is left.
    let census = pool.census();
    assert_eq!((census.vms, census.guests, census.disks, census.vbds, census.vifs), (0, 0, 2, 2, 2));
}

fn has_xenapi(python: &Path) -> bool {
    Command::new(python).args(["-c", "import XenAPI"]).output().is_ok_and(|told| told.status.success())
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Where npm has put xen-api, once for all runs.
fn xen_api() -> Result<PathBuf, String> {
    if let Some(modules) = std::env::var_os("BIOXEN_NODE_MODULES") {
        return Ok(modules.into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("xen-api");
    let modules = folder.join("node_modules");
    if modules.join("xen-api/index.mjs").exists() {
        return Ok(modules);
    }
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(XEN_API);
    let told = install.output().map_err(|error| format!("npm, which installs {XEN_API}: {error}"))?;
    if told.status.success() {
        return Ok(modules);
    }
    Err(format!("npm did not install {XEN_API}: {}", String::from_utf8_lossy(&told.stderr).trim()))
}
