//! `bioxen xcpng check --clone`: tells whether a guest of the pool would serve, and leaves nothing of the one that it made.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bioxen_tests::{START_PATIENCE, program};
use bioxen_xapi_pool::{Census, Fault, Pool};
use serde_json::Value;

use crate::place::{pool_with_guests, section};

const CLONE: &str = "clone, start, address";
const PROGRAM: &str = "bioxen-guest over SSH";
const DESTROY: &str = "destroy";

/// What a check told.
#[derive(Debug)]
struct Told {
    exit_code: Option<i32>,
    steps: Vec<Value>,
    stderr: String,
}

impl Told {
    /// What was found in a step that worked, or why it did not.
    fn step(&self, name: &str) -> Result<&str, &str> {
        let step = self.steps.iter().find(|step| step["step"] == name);
        let step = step.unwrap_or_else(|| panic!("no step {name:?}: {self:?}"));
        match step["found"].as_str() {
            Some(found) => Ok(found),
            None => Err(step["error"]["message"].as_str().unwrap_or_default()),
        }
    }
}

/// Tries the pool, with more lines in its section, and `bioxen-guest` beside the other programs or where it is said to be.
fn check(pool: &Pool, folder: &Path, more: &str, guest: Option<&Path>) -> Told {
    let file = folder.join("bioxen.toml");
    std::fs::write(&file, section("lab", pool, folder) + more).expect("the worker's file is written");
    let mut command = program("bioxen");
    command.args(["--json", "xcpng", "check", "lab", "--clone", "--config"]).arg(&file);
    if let Some(guest) = guest {
        command.env("BIOXEN_GUEST", guest);
    }
    let output = command.output().expect("bioxen runs");
    let lines = String::from_utf8(output.stdout).expect("text");
    Told {
        exit_code: output.status.code(),
        steps: lines.lines().map(|line| serde_json::from_str(line).expect("a step")).collect(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The pool holds what it held before. That a connection of a program that has ended is closed, it notices in its time.
fn nothing_stays(pool: &Pool, before: &Census) {
    let begun = Instant::now();
    while pool.census().connections != before.connections && begun.elapsed() < START_PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(pool.census(), *before, "sessions, tasks, guests, disks, connections");
}

#[test]
fn a_pool_whose_guests_answer_can_be_used() {
    let Some(mut pool) = pool_with_guests() else { return };
    let before = pool.census();
    let folder = tempfile::tempdir().expect("a folder");
    let told = check(&pool, folder.path(), "", None);
    assert_eq!(told.exit_code, Some(0), "{told:?}");
    let found = told.step(PROGRAM).expect("the program answers");
    assert!(found.contains(env!("CARGO_PKG_VERSION")) && found.contains("bioxen"), "{found}");
    let order: Vec<_> = told.steps.iter().rev().take(3).map(|step| &step["step"]).collect();
    assert_eq!(order, [DESTROY, PROGRAM, CLONE]);
    nothing_stays(&pool, &before);
    pool.assert_no_violations();
}

#[test]
fn a_guest_that_does_not_answer_is_told_with_what_is_wrong_and_nothing_of_it_stays() {
    let Some(mut pool) = pool_with_guests() else { return };
    let before = pool.census();
    let folder = tempfile::tempdir().expect("a folder");
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).expect("executable");
        path
    };
    let broken = script("broken", "echo it is broken >&2\nexit 3");
    let other = script("other", r"printf '\000\000\000\017\201\247version\2459.9.9'; exec cat > /dev/null");
    let cases = [
        (Some(Fault::WrongHostKey), "", None, "shows the host key"),
        (
            Some(Fault::SshdHangs),
            "vm_creation_timeout = 10\nssh_timeout = 1\n",
            None,
            "within 10 s (no answer)",
        ),
        (None, "", Some(broken.as_path()), "ended with status 3 (its last words: \"it is broken\")"),
        (None, "", Some(other.as_path()), "runs bioxen-guest 9.9.9, and this worker is"),
    ];
    for (fault, more, guest, words) in cases {
        if let Some(fault) = fault {
            pool.inject(fault, 1);
        }
        let told = check(&pool, folder.path(), more, guest);
        assert_eq!(told.exit_code, Some(1), "{told:?}");
        assert!(told.stderr.contains("pool lab cannot be used"), "{told:?}");
        told.step(CLONE).expect("the guest came up");
        let why = told.step(PROGRAM).expect_err("it does not answer");
        assert!(why.starts_with("pool lab: the guest bioxen/check/bioxen-check/"), "{why}");
        assert!(why.contains(words), "{why}");
        assert_eq!(told.step(DESTROY), Ok("1 guests, with their disks"));
        assert_eq!(pool.faults_left(), 0, "{words}");
        nothing_stays(&pool, &before);
    }
    pool.assert_no_violations();
}

#[test]
fn what_a_guest_needs_and_this_machine_lacks_is_told_before_anything_is_made() {
    let Some(mut pool) = pool_with_guests() else { return };
    let before = pool.census();
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nowhere");
    let no_program = check(&pool, folder.path(), "", Some(&nowhere));
    assert!(no_program.stderr.contains("nowhere, which guests need"), "{no_program:?}");
    std::fs::write(folder.path().join("guest_key"), "no key").expect("written");
    let no_key = check(&pool, folder.path(), "", None);
    assert!(no_key.stderr.contains("ssh_key_path"), "{no_key:?}");
    for told in [no_program, no_key] {
        assert_eq!((told.exit_code, told.steps.len()), (Some(1), 0), "{told:?}");
    }
    nothing_stays(&pool, &before);
    pool.assert_no_violations();
}
