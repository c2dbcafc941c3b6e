//! Child processes of a test: their standard output read line by line, their standard error kept, killed when dropped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::START_PATIENCE;

/// One of BioXen's own programs, built beside the tests.
pub fn program(name: &str) -> Command {
    let tests = std::env::current_exe().expect("the test's own path");
    let folder = tests.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: run the tests through `make test`", path.display());
    Command::new(path)
}

/// A nats-server of 2.12 or newer.
pub fn nats_server() -> Command {
    Command::new(std::env::var_os("BIOXEN_NATS_SERVER").unwrap_or_else(|| "nats-server".into()))
}

/// A Python with the packages of tests/python/requirements.txt.
pub fn python() -> Command {
    let path = std::env::var_os("BIOXEN_PYTHON")
        .expect("BIOXEN_PYTHON names no Python: run the tests through `make test`, which makes one");
    Command::new(path)
}

/// Sends a signal by its name, without SIG.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIG{name} could not be sent to {pid}");
}

#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started ({command:?}): {error}"));
        let stdout = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { name: name.to_owned(), child, lines, seen: Vec::new(), log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait_for_line(&mut self, start: &str, patience: Duration) {
        self.wait_for_any_line(&[start], patience);
    }

    pub(crate) fn wait_for_any_line(&mut self, starts: &[&str], patience: Duration) {
        if !self.says(starts, patience) {
            self.fail(&format!("ended before it said {:?}", starts.join(" or ")));
        }
    }

    /// Waits until it says one of these; false where it ends before.
    pub(crate) fn says(&mut self, starts: &[&str], patience: Duration) -> bool {
        let started = Instant::now();
        while !self.seen.iter().any(|line| starts.iter().any(|start| line.starts_with(start))) {
            match self.lines.recv_timeout(patience.saturating_sub(started.elapsed())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout) => {
                    self.fail(&format!("did not say {:?} in time", starts.join(" or ")));
                }
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    /// The address in the line in which `program` tells where metrics are.
    pub(crate) fn http(&mut self, program: &str) -> String {
        self.wait_for_line(&format!("{program} metrics="), START_PATIENCE);
        let line = self.seen.iter().find_map(|line| line.split_once("metrics=http://"));
        let (_, address) = line.expect("the line was seen");
        address.trim_end_matches("/metrics").to_owned()
    }

    pub(crate) fn wait_for_end(mut self, patience: Duration) -> (Option<i32>, String) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                return (status.code(), log);
            }
            if started.elapsed() >= patience {
                self.fail("did not end in time");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn stop(self, patience: Duration) {
        signal(self.child.id(), "TERM");
        self.wait_for_end(patience);
    }

    fn fail(&self, what: &str) -> ! {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(15).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        panic!("{} {what}; it wrote:\n{}", self.name, tail.join("\n"));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port that nats-server wrote into its ports file.
pub(crate) fn port_of(folder: &Path, process: &Process) -> u16 {
    let started = Instant::now();
    loop {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let wanted = format!("_{}.ports", process.id());
        let file = files.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(&wanted));
        let text = file.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let ports: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let port = ports["nats"][0].as_str().and_then(|url| url.rsplit(':').next()?.parse().ok());
        if let Some(port) = port {
            return port;
        }
        if started.elapsed() >= START_PATIENCE {
            process.fail("did not tell its port in time");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn wait_for_port(port: u16) {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < START_PATIENCE, "nothing listens on port {port}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
