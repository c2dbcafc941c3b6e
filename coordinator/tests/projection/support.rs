//! What the projector's tests share: a nats-server of their own, a journal with lives of VMs in it, and everything
//! that stands in a stream.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::jetstream;
use bioxen_coordinator::fleet::amounts::Amounts;
use bioxen_coordinator::fleet::entry::{Cause, Created, Entry, Observed, Request};
use bioxen_coordinator::journal::batch::{Batch, FORMAT};
use bioxen_coordinator::journal::streams::{self, StreamSettings};
use bioxen_coordinator::journal::{Journal, JournalBatch, Patience, Position};
use bioxen_coordinator::projector::{self, Config, Progress, ProjectorError, Start};
use bioxen_protocol::command::{Engine, OnComplete, Verb, VmType};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::quantity::Pace;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::{CellAllocation, CellOrder, DesiredState, ObservedState};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const START_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// How long a projector waits for an answer before it asks again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// A life that [`Lab::live`] journals: so many entries, events and audit records.
pub(crate) const ENTRIES: u64 = 6;
pub(crate) const EVENTS: u64 = 6;
pub(crate) const RECORDS: u64 = 5;

pub(crate) struct NatsServer {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl NatsServer {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        let config = format!("jetstream {{ store_dir: {store:?}, sync_interval: always }}");
        std::fs::write(directory.path().join("nats.conf"), config).unwrap();
        let child = spawn(directory.path(), None);
        let port = port(directory.path(), child.id());
        Self { child, directory, port }
    }

    /// As a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.directory.path(), Some(self.port));
        port(self.directory.path(), self.child.id());
    }

    pub(crate) async fn connect(&self) -> Client {
        async_nats::ConnectOptions::new()
            .reconnect_delay_callback(|_| Duration::from_millis(20))
            .connect(format!("nats://127.0.0.1:{}", self.port))
            .await
            .unwrap()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(directory: &Path, port: Option<u16>) -> Child {
    let program = std::env::var_os("BIOXEN_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
    Command::new(&program)
        .args(["-a", "127.0.0.1", "-p", &port, "-c"])
        .arg(directory.join("nats.conf"))
        .arg("--ports_file_dir")
        .arg(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "these tests need nats-server 2.12 or newer: put it on PATH or name it in BIOXEN_NATS_SERVER \
                 ({} does not start: {error})",
                program.display()
            )
        })
}

/// The port that the server wrote down, once it listens.
fn port(directory: &Path, pid: u32) -> u16 {
    #[derive(serde::Deserialize)]
    struct Ports {
        nats: Vec<String>,
    }
    let started = Instant::now();
    while started.elapsed() < START_TIMEOUT {
        let file = std::fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path()).find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(&format!("_{pid}.ports")))
        });
        let ports = file.and_then(|path| std::fs::read(path).ok());
        if let Some(ports) = ports.and_then(|bytes| serde_json::from_slice::<Ports>(&bytes).ok()) {
            return ports.nats[0].rsplit(':').next().unwrap().parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nats-server did not start within {START_TIMEOUT:?}");
}

/// A journal that grows, and projectors of it.
pub(crate) struct Lab {
    pub(crate) client: Client,
    pub(crate) journal: Journal,
    pub(crate) position: Position,
    pub(crate) batches: Vec<Arc<JournalBatch>>,
}

impl Lab {
    pub(crate) async fn open(server: &NatsServer, settings: StreamSettings) -> Self {
        let client = server.connect().await;
        streams::ensure(&client, &settings, WAIT).await.unwrap();
        let journal = Journal::new(client.clone(), Patience::default());
        Self { client, journal, position: Position::START, batches: Vec::new() }
    }

    pub(crate) async fn append(&mut self, entries: Vec<Entry>) {
        let batch = Batch {
            format: FORMAT,
            fleet: "lab".to_owned(),
            incarnation: 1,
            epoch: 1,
            first_index: self.position.index + 1,
            time_ms: 1_700_000_000_000 + self.position.index,
            previous_hash: self.position.hash,
            submit_sequence: 0,
            entries,
        };
        let (payload, hash) = batch.encode().unwrap();
        let sequence = self.journal.append(payload.clone(), &hash, self.position.sequence).await.unwrap();
        self.position = Position { sequence, index: batch.last_index(), hash };
        self.batches.push(Arc::new(JournalBatch { sequence, hash, payload, batch }));
    }

    /// A VM is created, runs and is destroyed, in one batch.
    pub(crate) async fn live(&mut self, user: &str, vm: &str) {
        let entries = life(user, vm, self.position.index + 1);
        assert_eq!(entries.len() as u64, ENTRIES);
        self.append(entries).await;
    }

    pub(crate) async fn many_lives(&mut self, count: usize) {
        for number in 0..count {
            self.live(if number % 2 == 0 { "alice" } else { "bob" }, &format!("c{number}")).await;
        }
    }

    pub(crate) fn project(&self, start: Start) -> Running {
        let (sender, batches) = mpsc::channel(16);
        let (progress, seen) = watch::channel(Progress::default());
        let config = Config { wait: ASK_AGAIN, events_max_age: Duration::from_secs(7 * 24 * 3600) };
        let task = tokio::spawn(projector::run(self.client.clone(), config, start, batches, progress));
        Running { sender, progress: seen, task }
    }

    /// Every message of a stream: its id or place, in the order in which they stand.
    pub(crate) async fn places(&self, stream: &str) -> Vec<(u64, u64)> {
        let stream = jetstream::new(self.client.clone()).get_stream(stream).await.unwrap();
        let state = stream.get_info().await.unwrap().state;
        let mut places = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let place = message.headers.get("Bioxen-Place").unwrap().as_str().to_owned();
            let (id, _) = place.split_once('/').unwrap();
            let numbers: Vec<u64> = id.split('-').map(|number| number.parse().unwrap()).collect();
            places.push((numbers[1], numbers[2]));
        }
        places
    }

    /// Each event and record of so many lives stands once, in order, and the audit stream verifies.
    pub(crate) async fn assert_all_once(&self, lives: u64) {
        for (stream, expected) in [(streams::EVENTS, EVENTS), (streams::AUDIT, RECORDS)] {
            let places = self.places(stream).await;
            assert_eq!(places.len() as u64, lives * expected, "{stream}");
            assert!(places.is_sorted_by(|a, b| a < b), "{stream}: {places:?}");
        }
        let verified =
            projector::verify::verify_audit(&self.client, self.position.index, WAIT).await.unwrap();
        assert_eq!(verified.differences, []);
        assert_eq!(verified.records, lives * RECORDS);
    }
}

pub(crate) struct Running {
    pub(crate) sender: mpsc::Sender<Arc<JournalBatch>>,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) task: JoinHandle<Result<(), ProjectorError>>,
}

impl Running {
    pub(crate) async fn until(&mut self, reached: impl FnMut(&Progress) -> bool) {
        let waited = tokio::time::timeout(START_TIMEOUT, self.progress.wait_for(reached)).await;
        waited.expect("the projector did not get there").expect("the projector stopped");
    }

    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Closes the channel and waits for the projector to publish the rest.
    pub(crate) async fn finish(self) {
        drop(self.sender);
        tokio::time::timeout(START_TIMEOUT, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn life(user: &str, vm: &str, first_index: u64) -> Vec<Entry> {
    let key = VmKey { user: user.parse().unwrap(), vm: vm.parse().unwrap() };
    let allocation = CellAllocation { atp_millipercent: 60_000, ribosomes: 10, memory_kb: 1024 };
    let held = Amounts::of(allocation);
    let order = CellOrder {
        biological_type: "syn3a".to_owned(),
        pack: None,
        vm_type: VmType::Basic,
        pool: None,
        engine: Engine::Ode,
        seed: 1,
        replicate: 0,
        parameters: Default::default(),
        allocation,
        schedule: Vec::new(),
        horizon_tick: None,
        horizon_generations: None,
        pace: Pace::Max,
        priority: 3,
        record: None,
        packages: Vec::new(),
    };
    let cause = |verb| Cause {
        user: key.user.clone(),
        operator: None,
        verb,
        request: Some(Request { id: format!("{verb}-{vm}").parse().unwrap(), digest: String::new() }),
    };
    let observed = |state, held| {
        Entry::Observed(Box::new(Observed {
            key: key.clone(),
            generation: Generation { incarnation: 1, index: first_index + 1 },
            state,
            tick: 10,
            applied: 0,
            applied_at: Vec::new(),
            checkpoint: None,
            checkpoint_tick: None,
            reason: None,
            summary: None,
            held,
            process: None,
            atp: None,
        }))
    };
    vec![
        Entry::Created(Box::new(Created {
            cause: cause(Verb::Create),
            key: key.clone(),
            order: Arc::new(order),
            most: allocation,
            on_complete: OnComplete::Stop,
            labels: Default::default(),
            queued: false,
            held,
            answered_state: VmState::Starting,
            queue_position: None,
            member: None,
        })),
        Entry::Placed { key: key.clone(), worker: "w1".parse().unwrap(), boot: "b1".parse().unwrap(), held },
        observed(ObservedState::Running, held),
        Entry::Tick,
        Entry::Desired { cause: cause(Verb::Destroy), key: key.clone(), desired: DesiredState::Absent, held },
        observed(ObservedState::Absent, Amounts::NOTHING),
    ]
}
