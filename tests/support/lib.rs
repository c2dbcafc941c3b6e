//! A whole fleet for tests and benchmarks: nats-server, coordinator and workers as real processes in a folder of their
//! own, on ports of their own. Everything ends with the value.
//!
//! It only starts, kills and asks; it expects nothing about what BioXen answers.

#![expect(clippy::expect_used, reason = "a test that cannot start its fleet fails there and then")]

mod accepted;
pub mod cells;
mod cluster;
pub mod commits;
pub mod control;
mod coordinators;
pub mod files;
pub mod fold;
mod http;
pub mod load;
mod process;
pub mod proxy;
mod random;
mod routes;
mod small_disk;
pub mod trail;
pub mod vms;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use accepted::{ask_again, first_accepted, try_to_ask};
use async_nats::Client;
pub use cluster::{Cluster, name_of};
pub use coordinators::{FIRST, leader, peers};
pub use http::{http_get, metric, metrics};
use process::Process;
pub use process::{nats_server, program, python, signal};
pub use random::Random;
pub use routes::Routes;
use serde_json::Value;
pub use small_disk::SmallDisk;
use tempfile::TempDir;

/// How long a process may take to say that it is up: a loaded machine starts slowly.
pub const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a request may take; a verb may wait half of it for what it asks.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// How long a verification may take: it reads every batch and every record.
const VERIFY_PATIENCE: Duration = Duration::from_secs(180);

/// What a fleet is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `[resources]` table, in TOML, and other tables behind it; empty is the defaults.
    pub resources: String,
    /// Names and `[worker]` tables, in TOML.
    pub workers: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { resources: String::new(), workers: vec![roomy_worker("w1")] }
    }
}

/// A worker that limits nothing that a test is about.
pub fn roomy_worker(name: &str) -> (String, String) {
    (name.to_owned(), "max_vms = 1000\ntotal_ribosomes = 20000\n".to_owned())
}

/// A running fleet.
#[derive(Debug)]
pub struct TestFleet {
    folder: TempDir,
    pub port: u16,
    nats: Option<Process>,
    /// Under nats-server's store, where that is to become full.
    disk: Option<SmallDisk>,
    cluster: Option<Cluster>,
    /// The only server of the cluster that is told to whoever starts or connects, where it is only one.
    server: Option<usize>,
    coordinator: Option<Process>,
    /// Those beside the first, by name.
    others: Vec<(String, Process)>,
    workers: Vec<(String, Option<Process>)>,
}

impl TestFleet {
    /// Starts everything, and waits until the coordinator leads and every worker is registered.
    pub fn start(options: &Options) -> Self {
        let mut fleet = Self::without_workers(options);
        for (name, table) in &options.workers {
            fleet.start_worker(name, table);
        }
        fleet
    }

    /// The same without the workers of `options`.
    pub fn without_workers(options: &Options) -> Self {
        let mut fleet = Self::bus_only(options);
        fleet.start_coordinator();
        fleet
    }

    /// nats-server alone; the coordinator's configuration is written.
    pub fn bus_only(options: &Options) -> Self {
        let mut fleet = Self::without_bus(options);
        fleet.start_nats();
        fleet
    }

    /// A fleet on three nats-servers; its streams have as many replicas as `options` say.
    pub fn on_cluster(options: &Options) -> Self {
        let mut fleet = Self::without_bus(options);
        fleet.cluster = Some(Cluster::start(fleet.folder()));
        fleet.start_coordinator();
        for (name, table) in &options.workers {
            fleet.start_worker(name, table);
        }
        fleet
    }

    /// A fleet whose nats-server has a disk of so many MiB; None, having said so, where this machine allows none.
    pub fn on_small_disk(options: &Options, mebibytes: u32) -> Option<Self> {
        let mut fleet = Self::without_bus(options);
        fleet.disk = Some(SmallDisk::mount(&fleet.store(), mebibytes)?);
        let config = fleet.folder().join("nats.conf");
        let text = std::fs::read_to_string(&config).expect("the configuration is read");
        // Of itself it takes no more than its disk has.
        let text = text.replace("sync_interval", "max_file_store: 100G, sync_interval");
        std::fs::write(config, text).expect("the configuration is written");
        fleet.start_nats();
        fleet.start_coordinator();
        for (name, table) in &options.workers {
            fleet.start_worker(name, table);
        }
        Some(fleet)
    }

    /// The disk under nats-server's store.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("nats-server has a disk of its own")
    }

    /// Three nats-servers with proxies between them, and nothing else yet.
    pub async fn on_split_cluster(options: &Options) -> Self {
        let mut fleet = Self::without_bus(options);
        fleet.cluster = Some(Cluster::start_with_routes(fleet.folder()).await);
        fleet
    }

    /// Who starts or connects from now on knows this server of the cluster alone.
    pub fn at_server(&mut self, number: usize) {
        self.server = Some(number);
    }

    fn without_bus(options: &Options) -> Self {
        let folder = tempfile::Builder::new().prefix("bioxen-test-").tempdir().expect("a temporary folder");
        let config = format!("[resources]\n{}", options.resources);
        std::fs::write(folder.path().join("coordinator.toml"), config).expect("the configuration is written");
        let nats_config = format!(
            "listen: 127.0.0.1:-1\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
            folder.path().join("nats")
        );
        std::fs::write(folder.path().join("nats.conf"), nats_config).expect("the configuration is written");
        Self {
            folder,
            port: 0,
            nats: None,
            disk: None,
            cluster: None,
            server: None,
            coordinator: None,
            others: Vec::new(),
            workers: Vec::new(),
        }
    }

    /// The three nats-servers, where there are three.
    pub fn cluster(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("the fleet is on a cluster")
    }

    pub fn url(&self) -> String {
        match &self.cluster {
            Some(cluster) => self.server.map_or_else(|| cluster.url(), |number| cluster.url_of(number)),
            None => format!("nats://127.0.0.1:{}", self.port),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn ledger(&self) -> PathBuf {
        self.folder().join("ledger")
    }

    /// nats-server's own store.
    pub fn store(&self) -> PathBuf {
        self.folder().join("nats")
    }

    /// What a process wrote on standard error since its first start.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder().join(format!("{name}.log"))).unwrap_or_default()
    }

    pub async fn connect(&self) -> Client {
        // Whoever asks says how long it waits.
        let options = async_nats::ConnectOptions::new().request_timeout(None);
        let servers: Vec<String> = self.url().split(',').map(str::to_owned).collect();
        options.connect(servers).await.expect("a connection to nats-server")
    }

    /// Starts nats-server, on the port that it had before where there was one.
    pub fn start_nats(&mut self) {
        let ports = self.folder().join("ports");
        std::fs::create_dir_all(&ports).expect("a folder");
        let mut command = nats_server();
        command.arg("--config").arg(self.folder().join("nats.conf"));
        if self.port == 0 {
            command.arg("--ports_file_dir").arg(&ports);
        } else {
            command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string()]);
        }
        if let Some(disk) = &self.disk {
            command = disk.within(&command);
        }
        let process = Process::start("nats-server", command, self.folder());
        if self.port == 0 {
            self.port = process::port_of(&ports, &process);
        }
        process::wait_for_port(self.port);
        self.nats = Some(process);
    }

    pub fn kill_nats(&mut self) {
        self.nats = None;
    }

    /// Starts a coordinator, and waits until it leads.
    pub fn start_coordinator(&mut self) {
        self.start_coordinator_with(&[]);
    }

    /// The same with more arguments.
    pub fn start_coordinator_with(&mut self, arguments: &[&str]) {
        let lines = ["bioxen-coordinator leads"];
        self.coordinator = Some(self.supervised(&lines, || self.spawn_coordinator(arguments)));
    }

    /// Starts a coordinator that is expected to end by itself; its exit code, and what it wrote.
    pub fn coordinator_that_ends(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.spawn_coordinator(arguments).wait_for_end(START_PATIENCE)
    }

    fn spawn_coordinator(&self, arguments: &[&str]) -> Process {
        let mut command = program("bioxen-coordinator");
        command.args(["--url", &self.url(), "--http-port", "0", "--data"]).arg(self.ledger());
        command.arg("--config").arg(self.folder().join("coordinator.toml")).args(arguments);
        Process::start("coordinator", command, self.folder())
    }

    /// As a crash would: SIGKILL.
    pub fn kill_coordinator(&mut self) {
        self.coordinator = None;
    }

    /// SIGTERM, and its end awaited.
    pub fn stop_coordinator(&mut self) {
        if let Some(coordinator) = self.coordinator.take() {
            coordinator.stop(START_PATIENCE);
        }
    }

    /// The address of the coordinator's metrics and health, `127.0.0.1:port`.
    pub fn coordinator_http(&mut self) -> String {
        self.coordinator.as_mut().expect("a coordinator runs").http("bioxen-coordinator")
    }

    /// Starts a worker under a name, and waits until it is registered.
    pub fn start_worker(&mut self, name: &str, table: &str) {
        self.start_worker_with(name, table, &[]);
    }

    /// The same with variables in its environment.
    pub fn start_worker_with(&mut self, name: &str, table: &str, environment: &[(&str, &str)]) {
        let config = self.folder().join(format!("{name}.toml"));
        std::fs::write(&config, format!("[worker]\n{table}")).expect("the configuration is written");
        let mut command = program("bioxen-worker");
        command.args(["--url", &self.url(), "--name", name, "--http-port", "0", "--config"]).arg(config);
        command.envs(environment.iter().copied());
        let mut process = Process::start(name, command, self.folder());
        process.wait_for_line("bioxen-worker registered", START_PATIENCE);
        self.workers.retain(|(known, _)| known != name);
        self.workers.push((name.to_owned(), Some(process)));
    }

    /// As a crash would: SIGKILL.
    pub fn kill_worker(&mut self, name: &str) {
        self.workers.retain(|(known, _)| known != name);
    }

    /// SIGTERM, and its end awaited.
    pub fn stop_worker(&mut self, name: &str) {
        let at = self.workers.iter().position(|(known, _)| known == name).expect("the worker runs");
        if let (_, Some(worker)) = self.workers.remove(at) {
            worker.stop(START_PATIENCE);
        }
    }

    /// The address of a worker's metrics and health, `127.0.0.1:port`.
    pub fn worker_http(&mut self, name: &str) -> String {
        let found = self.workers.iter_mut().find(|(known, _)| known == name);
        found.and_then(|(_, process)| process.as_mut()).expect("the worker runs").http("bioxen-worker")
    }

    pub fn worker_pid(&self, name: &str) -> u32 {
        let found = self.workers.iter().find(|(known, _)| known == name);
        found.and_then(|(_, process)| process.as_ref()).expect("the worker runs").id()
    }

    pub fn coordinator_pid(&self) -> u32 {
        self.coordinator.as_ref().expect("a coordinator runs").id()
    }
}

impl Drop for TestFleet {
    fn drop(&mut self) {
        self.workers.clear();
        self.others.clear();
        self.coordinator = None;
        self.nats = None;
        self.cluster = None;
    }
}

/// Has the fleet verified, and fails where something differs.
pub async fn assert_clean(client: &Client) -> Value {
    let verified = verify(client).await;
    assert_eq!(verified["clean"], true, "{verified:#}");
    verified
}

/// Asks with a JSON body, and reads the answer as JSON.
pub async fn ask(client: &Client, subject: &str, body: &Value) -> Value {
    ask_within(ANSWER_PATIENCE, client, subject, body).await
}

async fn ask_within(patience: Duration, client: &Client, subject: &str, body: &Value) -> Value {
    let answer =
        tokio::time::timeout(patience, client.request(subject.to_owned(), payload(body).into())).await;
    let message = answer.expect("an answer in time").unwrap_or_else(|error| panic!("{subject}: {error}"));
    serde_json::from_slice(&message.payload).expect("an answer in JSON")
}

/// A body as it is sent: none as no bytes.
pub fn payload(body: &Value) -> Vec<u8> {
    if body.is_null() { Vec::new() } else { body.to_string().into_bytes() }
}

/// Asks again until the answer is as expected; fails with the last one.
pub async fn ask_until(
    client: &Client,
    subject: &str,
    body: &Value,
    expected: impl Fn(&Value) -> bool,
) -> Value {
    let started = Instant::now();
    loop {
        let answer = ask(client, subject, body).await;
        if expected(&answer) {
            return answer;
        }
        assert!(started.elapsed() < START_PATIENCE, "{subject} never answered as expected; last: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The code of an error answer, or "" where it is none.
pub fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_default()
}

/// Has the coordinator compare ledger, journal and audit, once audit has come as far as the journal.
pub async fn verify(client: &Client) -> Value {
    ask_within(VERIFY_PATIENCE, client, "bioxen.v1.ops.tester.verify", &Value::Null).await
}
