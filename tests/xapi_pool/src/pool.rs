//! The pool as tests have it: started, disturbed, asked, and ended with all that it started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::fault::Fault;
use crate::guest::{self, Keeper, Subnet};
use crate::model::{self, Model, OfficialError};
use crate::ops;
use crate::options::Options;
use crate::server;
use crate::setup;
use crate::shared::Shared;
use crate::state::Seen;
use crate::store::NULL;
use crate::value::{Failure, Value};

/// How often a port that all hosts have free is looked for.
const PORT_TRIALS: usize = 20;
/// How long what is under way may take to end.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Why a pool did not start.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Sockets, files, threads.
    #[error("the test pool did not start: {0}")]
    Io(#[from] std::io::Error),
    /// The certificate.
    #[error("the test pool has no certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS.
    #[error("the test pool has no TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The table.
    #[error("the test pool's own table does not read: {0}")]
    Table(String),
    /// The published data model.
    #[error(transparent)]
    Official(#[from] OfficialError),
}

/// What a pool holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Open sessions.
    pub sessions: usize,
    /// Tasks, ended or not.
    pub tasks: usize,
    /// VMs that are no template, snapshot or control domain.
    pub vms: usize,
    /// Snapshots of VMs.
    pub snapshots: usize,
    /// Disks.
    pub disks: usize,
    /// What joins disks to VMs.
    pub vbds: usize,
    /// Network interfaces of VMs.
    pub vifs: usize,
    /// Guests that run or stand.
    pub guests: usize,
    /// Connections that are open.
    pub connections: usize,
}

/// A running pool. What it started ends with it.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    port: u16,
    certificates: Vec<Certificate>,
    judged: bool,
    /// Goes last.
    _folder: TempDir,
}

#[derive(Debug)]
struct Certificate {
    pem: String,
    sha256: String,
}

impl Pool {
    /// Whether guests can run on this machine with `options`.
    ///
    /// # Errors
    /// Why not, and what to do, for a test that is skipped to print.
    pub fn guests_can_run(options: &Options) -> Result<(), String> {
        let folder = TempDir::new().map_err(|error| format!("a temporary folder: {error}"))?;
        guest::can_run(folder.path(), options.ssh_port)
    }

    /// Starts a pool.
    ///
    /// # Errors
    /// What it needs is not there.
    pub fn start(options: Options) -> Result<Self, PoolError> {
        static TABLE: OnceLock<Result<Model, String>> = OnceLock::new();
        let table =
            TABLE.get_or_init(Model::served).as_ref().map_err(|error| PoolError::Table(error.clone()))?;
        let official = model::official(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/xapi"))?;
        let folder = TempDir::with_prefix("xapi-pool-")?;
        std::fs::create_dir(folder.path().join("vdi"))?;
        let hosts = options.hosts;
        let keeper = Keeper::start(&options, Subnet::take()?, &folder.path().join("guests"))?;
        let state = setup::state(options, table, keeper, folder.path().to_owned());
        let addresses: Vec<_> = state.hosts.iter().map(|(_, address)| address.clone()).collect();
        let shared = Arc::new(Shared::new(state, official));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("xapi-pool")
            .enable_all()
            .build()?;
        // On a thread of its own: a test may be in a runtime, where nobody may wait for another.
        let listening =
            std::thread::scope(|scope| scope.spawn(|| runtime.block_on(listen(&addresses))).join());
        let listeners =
            listening.map_err(|_| std::io::Error::other("the thread that listens panicked"))??;
        let port =
            listeners.first().and_then(|one| one.local_addr().ok()).map_or(0, |address| address.port());
        let mut certificates = Vec::with_capacity(hosts);
        for (host, (listener, address)) in listeners.into_iter().zip(&addresses).enumerate() {
            let (certificate, tls) = certificate(address)?;
            certificates.push(certificate);
            runtime.spawn(server::serve(Arc::clone(&shared), host, listener, tls));
        }
        Ok(Self { shared, runtime: Some(runtime), port, certificates, judged: false, _folder: folder })
    }

    /// Where the first host is, the master at first: `https://127.a.b.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(0)
    }

    /// Where a host is. All have the same port, for HOST_IS_SLAVE names an address alone.
    #[must_use]
    pub fn url_of(&self, host: usize) -> String {
        format!("https://{}:{}", self.address_of(host), self.port)
    }

    /// A host's address, as records have it.
    #[must_use]
    pub fn address_of(&self, host: usize) -> String {
        self.shared.lock().hosts.get(host).map(|(_, address)| address.clone()).unwrap_or_default()
    }

    /// SHA-256 of a host's certificate, in lower-case hexadecimal. Each host has its own.
    #[must_use]
    pub fn fingerprint_of(&self, host: usize) -> &str {
        self.certificates.get(host).map_or("", |certificate| &certificate.sha256)
    }

    /// Every host's certificate, as a CA file holds them.
    #[must_use]
    pub fn certificates_pem(&self) -> String {
        self.certificates.iter().map(|certificate| certificate.pem.as_str()).collect()
    }

    /// Makes something go wrong the next `times` that it can; `u32::MAX` is always.
    pub fn inject(&self, fault: Fault, times: u32) {
        let skips = fault == Fault::EventsSkipped;
        let mut state = self.shared.lock();
        state.faults.add(fault, times);
        if skips {
            // Whoever waits looks again.
            self.shared.changed.send_replace(state.store.generation());
        }
    }

    /// Makes nothing go wrong any more.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// How many kinds of faults have not been met yet.
    #[must_use]
    pub fn faults_left(&self) -> usize {
        self.shared.lock().faults.left()
    }

    /// Makes `host` the master, which restarts the pool's programs.
    pub fn promote(&self, host: usize) {
        let mut state = self.shared.lock();
        state.master = host;
        let reference = state.hosts.get(host).map(|(host, _)| host.clone()).unwrap_or_default();
        let pools: Vec<_> = state.store.all("pool").into_iter().map(|(pool, _)| pool).collect();
        for pool in pools {
            state.store.set("pool", &pool, "master", Value::text(&reference));
        }
        drop(state);
        self.restart();
    }

    /// Restarts the pool's programs: sessions, tasks, connections and what was under way are gone, VMs stay.
    pub fn restart(&self) {
        let mut state = self.shared.lock();
        state.life += 1;
        for session in state.sessions.close_all() {
            state.store.destroy("session", &session);
        }
        let tasks: Vec<_> = state.store.all("task").into_iter().map(|(task, _)| task).collect();
        for task in tasks {
            state.store.destroy("task", &task);
        }
        let vms: Vec<_> = state.store.all("VM").into_iter().map(|(vm, _)| vm).collect();
        for vm in vms {
            state.store.set("VM", &vm, "current_operations", Value::Map(BTreeMap::new()));
            state.refresh(&vm);
        }
        state.cancelled.clear();
        let life = state.life;
        self.shared.life.send_replace(life);
    }

    /// Ends the guest of the VM with reference `vm` as a crash would: the VM is halted.
    pub fn crash(&self, vm: &str) {
        ops::power_off(&mut self.shared.lock(), vm);
    }

    /// The records of a class, by reference.
    #[must_use]
    pub fn records(&self, class: &str) -> BTreeMap<String, Value> {
        let state = self.shared.lock();
        let all = state.store.all(class).into_iter();
        all.map(|(reference, fields)| (reference, Value::Map(fields.clone()))).collect()
    }

    /// Guests that run or stand: the VM's reference and the guest's address.
    #[must_use]
    pub fn guests(&self) -> BTreeMap<String, String> {
        self.shared.lock().keeper.guests()
    }

    /// What the pool holds.
    #[must_use]
    pub fn census(&self) -> Census {
        let state = self.shared.lock();
        let of = |class: &str| state.store.all(class).len();
        let vms = state.store.all("VM");
        let is = |fields: &crate::store::Fields, field: &str| fields.get(field).is_some_and(Value::is_true);
        let plain = vms.iter().filter(|(_, fields)| {
            !is(fields, "is_a_template") && !is(fields, "is_a_snapshot") && !is(fields, "is_control_domain")
        });
        let snapshots = vms.iter().filter(|(_, fields)| is(fields, "is_a_snapshot")).count();
        Census {
            sessions: state.sessions.count(),
            tasks: of("task"),
            vms: plain.count(),
            snapshots,
            disks: of("VDI"),
            vbds: of("VBD"),
            vifs: of("VIF"),
            guests: state.keeper.guests().len(),
            connections: state.connections_now,
        }
    }

    /// What was seen of callers.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.shared.lock().seen.clone()
    }

    /// What callers did that no caller may.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.shared.lock().violations.clone()
    }

    /// The violations so far, which then no longer count: for a test that commits them.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().violations)
    }

    /// Whether the published data model is present, against which calls are held besides the pool's own table.
    #[must_use]
    pub fn has_official_model(&self) -> bool {
        self.shared.official.is_some()
    }

    /// # Panics
    /// Callers did what no caller may.
    pub fn assert_no_violations(&mut self) {
        self.judged = true;
        let violations = self.violations();
        assert!(violations.is_empty(), "callers of XAPI broke its data model:\n{}", violations.join("\n"));
    }

    /// Carries out what a person at the pool would do; for tests to arrange things.
    ///
    /// # Errors
    /// HANDLE_INVALID.
    pub fn set_field(&self, class: &str, reference: &str, field: &str, value: Value) -> Result<(), Failure> {
        let mut state = self.shared.lock();
        state.store.record(class, reference)?;
        state.store.set(class, reference, field, value);
        Ok(())
    }

    /// Takes a VM away behind everybody's back, guest and devices with it; disks stay.
    pub fn lose_vm(&self, vm: &str) {
        let mut state = self.shared.lock();
        if vm != NULL {
            ops::power_off(&mut state, vm);
            ops::drop_devices(&mut state, vm);
            state.store.destroy("VM", vm);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().keeper.end();
        if let Some(runtime) = self.runtime.take() {
            end(runtime);
        }
        if !self.judged && !std::thread::panicking() {
            self.assert_no_violations();
        }
    }
}

/// Ends a runtime, also inside another, where nobody may wait.
fn end(runtime: Runtime) {
    if tokio::runtime::Handle::try_current().is_ok() {
        runtime.shutdown_background();
    } else {
        runtime.shutdown_timeout(END_PATIENCE);
    }
}

/// Listens at all `addresses`, on one port.
async fn listen(addresses: &[String]) -> std::io::Result<Vec<TcpListener>> {
    let mut last = std::io::Error::other("a pool needs a host");
    for _ in 0..PORT_TRIALS {
        let mut listeners: Vec<TcpListener> = Vec::with_capacity(addresses.len());
        for address in addresses {
            let port = listeners.first().map_or(Ok(0), |first| first.local_addr().map(|own| own.port()))?;
            let address: SocketAddr =
                format!("{address}:{port}").parse().map_err(|_| std::io::Error::other("no address"))?;
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        if !addresses.is_empty() && listeners.len() == addresses.len() {
            return Ok(listeners);
        }
    }
    Err(last)
}

fn certificate(address: &str) -> Result<(Certificate, TlsAcceptor), PoolError> {
    let made = rcgen::generate_simple_self_signed(vec![address.to_owned()])?;
    let der = made.cert.der().clone();
    let sha256 = Sha256::digest(&der).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![der], key)?;
    Ok((Certificate { pem: made.cert.pem(), sha256 }, TlsAcceptor::from(Arc::new(tls))))
}
