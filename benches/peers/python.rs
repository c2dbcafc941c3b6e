//! The peers in Python: a child that runs one measurement at a time when it is asked. It is ended with its handle.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

/// Where the Python that has them is; `make bench-peers` sets it.
const PYTHON: &str = "BIOXEN_PEERS_PYTHON";

pub(crate) struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// One run of a peer.
#[derive(Deserialize)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    /// What it led to.
    pub(crate) result: f64,
}

impl Python {
    /// With the state that a shift starts from; `None`, with a sentence, where there is no such Python.
    pub(crate) fn start(state: &serde_json::Value) -> Option<Self> {
        let python = std::env::var(PYTHON).unwrap_or_default();
        if python.is_empty() {
            println!(
                "skipped: libRoadRunner and COPASI are not here. `make bench-peers` installs them where it reaches PyPI"
            );
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/peers.py");
        let mut child = Command::new(&python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{PYTHON} is {python}, which does not start: {error}"));
        let input = child.stdin.take().expect("a pipe to it");
        let output = BufReader::new(child.stdout.take().expect("a pipe from it"));
        let mut python = Self { child, input, output };
        python.say(&state.to_string());
        Some(python)
    }

    pub(crate) fn run(&mut self, name: &str) -> Run {
        self.say(name);
        let mut line = String::new();
        self.output.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name} answered {line:?}: {error}"))
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("it listens");
        self.input.flush().expect("it listens");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It has ended already where these fail.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
