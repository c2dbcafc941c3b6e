//! `bioxen dev` with a real nats-server, and scripts where its other programs would be.

use std::process::Command;

use crate::support::{DEADLINE, Process, nats_program, script, writing_programs};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

const COORDINATOR: &str = "echo bioxen-coordinator metrics=http://127.0.0.1:1/metrics
echo bioxen-coordinator leads epoch=1";
const WORKER: &str = "echo bioxen-worker registered name=$6 boot=b1";
/// Until it is told to end.
const LIVES: &str = "while :; do sleep 0.05; done";

/// A folder with `bioxen` and the two scripts.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new(coordinator: &str, worker: &str) -> Self {
        let _alone = writing_programs();
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_bioxen"), dir.path().join("bioxen")).unwrap();
        // Who it is stands there, whole, before anything that it says lets the fleet be ready.
        let known = "echo $$ > \"$0.$$\" && mv \"$0.$$\" \"$0.$$.pid\"";
        script(dir.path(), "bioxen-coordinator", &format!("{known}\n{coordinator}"));
        script(dir.path(), "bioxen-worker", &format!("{known}\n{worker}"));
        Self { dir }
    }

    fn dev(&self, more: &[&str]) -> Process {
        let mut command = Command::new(self.dir.path().join("bioxen"));
        command.args(["dev", "--data"]).arg(self.dir.path().join("data")).args(more);
        let nats = nats_program();
        if nats.contains('/') {
            command.env("BIOXEN_NATS_SERVER", nats);
        }
        Process::start(&mut command)
    }

    fn children(&self) -> Vec<Pid> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let names = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "pid"));
        names
            .map(|path| std::fs::read_to_string(path).unwrap().trim().parse().unwrap())
            .filter_map(Pid::from_raw)
            .collect()
    }
}

/// It has ended. Whoever inherits it may be late to take note of that, or never do.
fn gone(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, None | Some('Z' | 'X'))
}

#[test]
fn a_fleet_says_when_it_is_ready_and_stops_when_asked() {
    let place = Place::new(&format!("{COORDINATOR}\n{LIVES}"), &format!("{WORKER}\n{LIVES}"));
    let dev = place.dev(&["--port", "0", "--workers", "3", "--set", "resources.global_atp_limit=1000"]);
    assert!(dev.line_after("coordinator  ").starts_with("http://127.0.0.1:1/metrics"));
    assert!(dev.line_after("req bioxen.v1.cmd.alice.create.c1").contains("syn3a"));
    let ready = dev.line_after("bioxen ready ");
    assert!(ready.starts_with("url=nats://127.0.0.1:") && ready.ends_with("workers=3"), "{ready}");
    let conf = std::fs::read_to_string(place.dir.path().join("data/nats.conf")).unwrap();
    assert!(conf.contains("sync_interval: always") && conf.contains("host: \"127.0.0.1\""), "{conf}");
    let limits = std::fs::read_to_string(place.dir.path().join("data/coordinator.toml")).unwrap();
    assert!(limits.contains("global_atp_limit = 1000.0"), "{limits}");

    let second = place.dev(&["--port", "0"]);
    let (code, said) = second.end();
    assert_eq!(code, Some(1));
    assert!(said.contains("in use by another `bioxen dev`"), "{said}");

    let children = place.children();
    assert_eq!(children.len(), 4);
    dev.signal(Signal::TERM);
    let (code, said) = dev.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(children.iter().all(|pid| gone(*pid)), "{children:?} are still there");
}

#[test]
fn a_child_that_dies_is_named_with_its_last_lines_and_takes_the_fleet_down() {
    let dies = format!("{COORDINATOR}\necho the disk is full >&2\nexit 7");
    let place = Place::new(&dies, &format!("{WORKER}\n{LIVES}"));
    let (code, said) = place.dev(&["--port", "0"]).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("coordinator ended unexpectedly (exit status: 7)"), "{said}");
    assert!(said.contains("the disk is full"), "{said}");
    assert!(place.children().iter().all(|pid| gone(*pid)));
}

#[test]
fn nothing_outlives_a_fleet_that_is_killed() {
    let place = Place::new(&format!("{COORDINATOR}\n{LIVES}"), &format!("{WORKER}\n{LIVES}"));
    let dev = place.dev(&["--port", "0"]);
    dev.line_after("bioxen ready ");
    let children = place.children();
    assert_eq!(children.len(), 3);
    dev.signal(Signal::KILL);
    dev.end();
    // The kernel ends them, a moment later.
    let started = std::time::Instant::now();
    while !children.iter().all(|pid| gone(*pid)) {
        assert!(started.elapsed() < DEADLINE, "{children:?} outlived the fleet");
        std::thread::yield_now();
    }
}

#[test]
fn a_port_in_use_is_told_before_anything_starts() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let place = Place::new("exit 1", "exit 1");
    let (code, said) = place.dev(&["--port", &port]).end();
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("port {port} is in use")), "{said}");
}
