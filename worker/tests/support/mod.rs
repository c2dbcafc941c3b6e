//! A real nats-server, a real worker process, and a leader that the tests play.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use async_nats::RequestErrorKind;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::subject::{ALL_REPORTS, Subject};
use bioxen_protocol::worker::{
    Desired, Heartbeat, LiveVm, Observation, ObservedState, QueryExtra, Register, VmQueryReply,
    WorkerCommand, WorkerReport,
};
use futures::StreamExt;
use tokio::time::timeout;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const SERVER_VARIABLE: &str = "BIOXEN_NATS_SERVER";

/// A process whose stderr is read line by line; ended with the test.
pub(crate) struct Process {
    pub(crate) child: Child,
    lines: mpsc::Receiver<String>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let child = child.as_mut().map(|child| child.stderr.take()).ok().flatten().zip(child.ok());
        let (stderr, child) = child.unwrap_or_else(|| {
            panic!(
                "{:?} does not start; put nats-server 2.12 or newer on PATH, or name it in {SERVER_VARIABLE}",
                command.get_program()
            )
        });
        Self { child, lines: read_lines(stderr) }
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

    /// Ends it as a supervisor does; its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(stderr: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // Read to the end even when nobody listens, or the process would block on a full pipe.
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// A nats-server on a free port.
pub(crate) struct Server {
    pub(crate) url: String,
    _process: Process,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::on_port("-1")
    }

    /// Kills it, and starts another on the same port.
    pub(crate) fn restart(self) -> Self {
        let port = self.url.rsplit(':').next().unwrap().to_owned();
        drop(self);
        Self::on_port(&port)
    }

    fn on_port(port: &str) -> Self {
        let program = std::env::var(SERVER_VARIABLE).unwrap_or_else(|_| "nats-server".to_owned());
        let process = Process::start(Command::new(program).args(["--addr", "127.0.0.1", "--port", port]));
        let address = process.line_after("Listening for client connections on ");
        Self { url: format!("nats://{address}"), _process: process }
    }
}

/// A worker process named `w1`; returns it and the address of its probes.
pub(crate) fn start_worker(server: &Server) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bioxen-worker"));
    command.args(["--url", &server.url, "--name", "w1", "--http-port", "0"]);
    command.args(["--set", "worker.max_vms=16", "--set", "worker.threads=2"]);
    command.env("BIOXEN_LOG", "info").env_remove("BIOXEN_LOG_DIR").env("NO_COLOR", "1");
    let process = Process::start(&mut command);
    let address = process.line_after("metrics and health on http://");
    (process, address)
}

/// Status and body of a path of the probes.
pub(crate) async fn http(address: &str, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: bioxen\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

/// The leader, played by the test; heartbeats are granted while `lease_ms` is set.
pub(crate) struct Leader {
    pub(crate) client: async_nats::Client,
    reports: async_nats::Subscriber,
    pub(crate) epoch: u64,
    pub(crate) lease_ms: Option<u64>,
    /// The boot that registered last.
    pub(crate) commands: String,
}

impl Leader {
    pub(crate) async fn lead(server: &Server) -> Self {
        let client = async_nats::connect(&server.url).await.unwrap();
        let reports = client.subscribe(ALL_REPORTS).await.unwrap();
        client.flush().await.unwrap();
        Self { client, reports, epoch: 3, lease_ms: Some(3000), commands: String::new() }
    }

    pub(crate) async fn send(&self, command: &WorkerCommand) {
        self.send_bytes(rmp_serde::to_vec_named(command).unwrap()).await;
    }

    pub(crate) async fn send_bytes(&self, bytes: Vec<u8>) {
        self.client.publish(self.commands.clone(), bytes.into()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    pub(crate) async fn grant(&self, heartbeat: u64) {
        if let Some(lease_ms) = self.lease_ms {
            let (epoch, fleet) = (self.epoch, String::new());
            let (incarnation, registration) = (1, 1);
            self.send(&WorkerCommand::Grant { incarnation, epoch, heartbeat, lease_ms, registration, fleet })
                .await;
        }
    }

    pub(crate) async fn desire(&self, desired: Desired) {
        self.send(&WorkerCommand::Desire { epoch: self.epoch, registration: 1, vms: vec![desired] }).await;
    }

    /// The next report and where commands for its boot go; heartbeats are granted on the way.
    pub(crate) async fn next(&mut self) -> (WorkerReport, String) {
        let message = timeout(DEADLINE, self.reports.next()).await.expect("no report came").unwrap();
        let report: WorkerReport = rmp_serde::from_slice(&message.payload).unwrap();
        let Subject::WorkerReport { worker, boot } = message.subject.parse().unwrap() else {
            panic!("a report on {}", message.subject);
        };
        let commands = Subject::WorkerCommand { worker, boot }.to_string();
        if let WorkerReport::Heartbeat(Heartbeat { number, .. }) = &report
            && commands == self.commands
        {
            self.grant(*number).await;
        }
        (report, commands)
    }

    /// Reports until `find` finds something.
    pub(crate) async fn until<T>(&mut self, mut find: impl FnMut(WorkerReport, String) -> Option<T>) -> T {
        timeout(DEADLINE, async {
            loop {
                let (report, commands) = self.next().await;
                if let Some(found) = find(report, commands) {
                    return found;
                }
            }
        })
        .await
        .expect("what was waited for did not come")
    }

    pub(crate) async fn registration(&mut self) -> (Register, String) {
        self.until(|report, commands| match report {
            WorkerReport::Register(register) => Some((register, commands)),
            _ => None,
        })
        .await
    }

    /// Takes the next registration and grants it; returns it.
    pub(crate) async fn admit(&mut self) -> Register {
        let (register, commands) = self.registration().await;
        self.commands = commands;
        self.grant(register.number).await;
        register
    }

    pub(crate) async fn heartbeat(&mut self) -> Heartbeat {
        self.until(|report, _| match report {
            WorkerReport::Heartbeat(heartbeat) => Some(heartbeat),
            _ => None,
        })
        .await
    }

    pub(crate) async fn observed(&mut self, wanted: impl Fn(&Observation) -> bool) -> Observation {
        self.until(|report, _| match report {
            WorkerReport::Observed { vms, .. } => vms.into_iter().find(|vm| wanted(vm)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn observed_state(&mut self, state: ObservedState) -> Observation {
        self.observed(|vm| vm.state == state).await
    }

    pub(crate) async fn inventory(&mut self) -> Vec<Observation> {
        self.send(&WorkerCommand::SendInventory { epoch: self.epoch }).await;
        self.until(|report, _| match report {
            WorkerReport::Inventory { vms } => Some(vms),
            _ => None,
        })
        .await
    }

    pub(crate) async fn query(&self, key: &VmKey, generation: Generation) -> Option<LiveVm> {
        let query = WorkerCommand::Query { key: key.clone(), generation, with: QueryExtra::Nothing };
        let bytes = rmp_serde::to_vec_named(&query).unwrap();
        let reply = timeout(DEADLINE, async {
            loop {
                // After a restart of the bus the worker may not be back yet, and nobody be there to answer.
                match self.client.request(self.commands.clone(), bytes.clone().into()).await {
                    Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    answered => return answered.unwrap(),
                }
            }
        });
        let reply = reply.await.expect("nobody answered");
        match rmp_serde::from_slice(&reply.payload).unwrap() {
            VmQueryReply::Vm(live) => Some(*live),
            VmQueryReply::Absent | VmQueryReply::Trace { .. } => None,
        }
    }
}
