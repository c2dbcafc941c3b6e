//! What the coordinator's tests share: a nats-server of their own, a proxy that loses answers, batches.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::journal::batch::{Batch, FORMAT, Hash};
use bioxen_coordinator::journal::{Journal, Patience, Position};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A nats-server in a directory of its own; killed when dropped.
pub(crate) struct NatsServer {
    child: Child,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) monitoring_url: String,
}

impl NatsServer {
    /// With JetStream that syncs every write, as in production.
    pub(crate) fn start() -> Self {
        Self::start_with("jetstream { store_dir: \"STORE\", sync_interval: always }")
    }

    /// `STORE` stands for the server's own directory.
    pub(crate) fn start_with(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        let config = config.replace("STORE", store.to_str().unwrap());
        std::fs::write(directory.path().join("nats.conf"), config).unwrap();
        let child = spawn(directory.path(), None);
        let (port, monitoring_url) = ports(directory.path(), child.id());
        Self { child, directory, port, monitoring_url }
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// As a crash would: nothing is written any more.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts again after [`NatsServer::kill`], on the same port.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.directory.path(), Some(self.port));
        (self.port, self.monitoring_url) = ports(self.directory.path(), self.child.id());
    }

    pub(crate) async fn connect(&self) -> async_nats::Client {
        connect(self.port).await
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) async fn connect(port: u16) -> async_nats::Client {
    async_nats::ConnectOptions::new()
        .reconnect_delay_callback(|_| Duration::from_millis(20))
        .connect(format!("nats://127.0.0.1:{port}"))
        .await
        .unwrap()
}

fn spawn(directory: &Path, port: Option<u16>) -> Child {
    let program = std::env::var_os("BIOXEN_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
    Command::new(&program)
        .args(["-a", "127.0.0.1", "-p", &port, "-m", "-1", "-c"])
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

/// The ports that the server wrote down, once it listens on them.
fn ports(directory: &Path, pid: u32) -> (u16, String) {
    #[derive(serde::Deserialize)]
    struct Ports {
        nats: Vec<String>,
        monitoring: Vec<String>,
    }
    let started = Instant::now();
    while started.elapsed() < START_TIMEOUT {
        let file = std::fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path()).find(|path| {
            path.extension().is_some_and(|extension| extension == "ports")
                && path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with(&format!("_{pid}")))
        });
        let ports = file.and_then(|path| std::fs::read(path).ok());
        if let Some(ports) = ports.and_then(|bytes| serde_json::from_slice::<Ports>(&bytes).ok()) {
            let port = ports.nats[0].rsplit(':').next().unwrap().parse().unwrap();
            return (port, ports.monitoring[0].clone());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nats-server did not start within {START_TIMEOUT:?}");
}

/// Stands between a client and nats-server, and breaks the connection instead of passing an answer on.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    lose_next: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lose_next = Arc::new(AtomicBool::new(false));
        let lose = lose_next.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server_port)).await.unwrap();
                tokio::spawn(pass(client, server, lose.clone()));
            }
        });
        Self { port, lose_next }
    }

    /// The next bytes that the server sends are lost, and the connection with them.
    pub(crate) fn lose_next_answer(&self) {
        self.lose_next.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_lost_it(&self) -> bool {
        !self.lose_next.load(Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, server: TcpStream, lose_next: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
        if lose_next.swap(false, Ordering::SeqCst) || to_client.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    asking.abort();
}

/// Speaks just enough of the protocol for one client to connect.
pub(crate) async fn server_that_claims_version(version: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let info = format!("INFO {{\"version\":\"{version}\",\"max_payload\":1048576,\"headers\":true}}\r\n");
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        client.write_all(info.as_bytes()).await.unwrap();
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = client.read(&mut bytes).await {
            if bytes[..count].windows(4).any(|word| word == b"PING") {
                client.write_all(b"PONG\r\n").await.unwrap();
            }
        }
    });
    port
}

pub(crate) fn patience() -> Patience {
    Patience { answer: Duration::from_millis(500), total: Duration::from_secs(60) }
}

pub(crate) fn note(text: &str) -> Entry {
    Entry::Leader { epoch: 1, coordinator: text.to_owned() }
}

/// A batch of one entry a text, joined to a position.
pub(crate) fn batch_after(position: &Position, texts: &[&str]) -> Batch {
    Batch {
        format: FORMAT,
        fleet: "lab".to_owned(),
        incarnation: 1,
        epoch: 1,
        first_index: position.index + 1,
        time_ms: 1_000,
        previous_hash: position.hash,
        submit_sequence: 0,
        entries: texts.iter().map(|text| note(text)).collect(),
    }
}

/// A batch that was appended.
#[derive(Clone)]
pub(crate) struct Appended {
    pub(crate) batch: Batch,
    pub(crate) sequence: u64,
    pub(crate) hash: Hash,
    pub(crate) payload: Bytes,
}

impl Appended {
    pub(crate) fn position(&self) -> Position {
        Position { sequence: self.sequence, index: self.batch.last_index(), hash: self.hash }
    }
}

pub(crate) async fn append(journal: &Journal, position: &Position, texts: &[&str]) -> Appended {
    let batch = batch_after(position, texts);
    let (payload, hash) = batch.encode().unwrap();
    let sequence = journal.append(payload.clone(), &hash, position.sequence).await.unwrap();
    Appended { batch, sequence, hash, payload }
}
