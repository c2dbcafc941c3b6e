//! A real nats-server, the `bioxen` program, and folders that go away with the test.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tempfile::TempDir;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const SERVER_VARIABLE: &str = "BIOXEN_NATS_SERVER";

/// A program must not be started while a fork of another test holds its file open for writing (ETXTBSY), so
/// programs are neither written nor started at the same time.
static PROGRAMS: Mutex<()> = Mutex::new(());

pub(crate) fn writing_programs() -> MutexGuard<'static, ()> {
    PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let _alone = writing_programs();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

pub(crate) fn nats_program() -> String {
    std::env::var(SERVER_VARIABLE).unwrap_or_else(|_| "nats-server".to_owned())
}

/// A program whose lines are read; killed with the test.
pub(crate) struct Process {
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let program = command.get_program().to_owned();
        let mut child = spawn(command).unwrap_or_else(|error| {
            panic!("{program:?}: {error}; put nats-server on PATH, or name it in {SERVER_VARIABLE}")
        });
        let (sender, lines) = mpsc::channel();
        read_lines(child.stdout.take().unwrap(), sender.clone());
        read_lines(child.stderr.take().unwrap(), sender);
        Self { child, lines }
    }

    /// What follows `mark` in the first line that holds it.
    pub(crate) fn line_after(&self, mark: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            if let Some((_, rest)) = line.split_once(mark) {
                return rest.trim().to_owned();
            }
            seen.push(line);
        }
        panic!("no line with {mark:?} among {seen:#?}");
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code and all that it still had to say.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.lines.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(output: impl Read + Send + 'static, sender: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
}

/// A nats-server on a free port, with JetStream in a folder of its own.
pub(crate) struct Nats {
    pub(crate) url: String,
    _process: Process,
    _store: TempDir,
}

impl Nats {
    pub(crate) fn start() -> Self {
        let store = tempfile::tempdir().unwrap();
        let mut command = Command::new(nats_program());
        command.args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir"]).arg(store.path());
        let process = Process::start(&mut command);
        let url = format!("nats://{}", process.line_after("Listening for client connections on "));
        process.line_after("Server is ready");
        Self { url, _process: process, _store: store }
    }
}

/// `bioxen` as alice, against this server.
pub(crate) fn bioxen(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bioxen"));
    command.args(arguments).env("BIOXEN_URL", url).env("BIOXEN_USER", "alice").env_remove("BIOXEN_OPERATOR");
    spawn(&mut command).unwrap().wait_with_output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program of our own making, where `bioxen dev` looks for the real one.
pub(crate) fn script(dir: &Path, name: &str, body: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
