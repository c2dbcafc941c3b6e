//! A fleet with one worker of a backend, and what its VMs are created with there.

use std::path::{Path, PathBuf};
use std::process::Command;

use async_nats::Client;
use bioxen_tests::cells::{USER, subject};
use bioxen_tests::vms::{WIDE, done};
use bioxen_tests::{Options, TestFleet, ask, assert_clean};
use bioxen_xapi_pool::{Census, Options as PoolOptions, Pool, Value as Field};
use serde_json::{Value, json};

pub(crate) struct Place {
    /// Ends before the pool does.
    pub(crate) fleet: TestFleet,
    pub(crate) client: Client,
    pub(crate) pool: Option<Pool>,
    /// A worker that is killed leaves its session, and an answer that is lost its task, until the pool ends them.
    pub(crate) was_disturbed: bool,
    /// What the pool held before any VM.
    pub(crate) before: Option<Census>,
}

/// What a worker's file says first, for VMs on pools.
pub(crate) const WORKER: &str = "backend = \"xcpng\"\nmax_vms = 100\ntotal_ribosomes = 20000\n";

/// A key that opens guests.
pub(crate) fn guest_key(folder: &Path) -> PathBuf {
    let key = folder.join("guest_key");
    if !key.exists() {
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        assert!(make.status().expect("ssh-keygen runs").success());
    }
    key
}

/// A pool in a worker's file.
pub(crate) fn section(name: &str, pool: &Pool, folder: &Path) -> String {
    let key = guest_key(folder);
    let password = folder.join("password");
    std::fs::write(&password, PoolOptions::default().password).expect("the password is written");
    let networks = pool.records("network");
    let has_addresses = |network: &&Field| {
        network.get("name_label").is_some_and(|name| name.as_text().starts_with("Pool-wide"))
    };
    let network = networks.values().find(has_addresses).expect("a network with addresses");
    let network = network.get("uuid").map(Field::as_text).expect("a UUID");
    format!(
        "\n[xcpng.pools.{name}]\nxapi_url = \"{url}\"\nusername = \"root\"\npassword_file = {password:?}\n\
         tls_fingerprint = \"{fingerprint}\"\ntemplate_name = \"bioxen-guest\"\nssh_user = \"bioxen\"\n\
         ssh_key_path = {key:?}\nnetwork_uuid = \"{network}\"\norphan_grace = 1\n",
        url = pool.url(),
        fingerprint = pool.fingerprint_of(0),
    )
}

/// A pool whose guests run; None, having said so, where this machine cannot have any.
pub(crate) fn pool_with_guests() -> Option<Pool> {
    pool_of(PoolOptions { guests: true, ..PoolOptions::default() })
}

/// The same, of another make.
pub(crate) fn pool_of(options: PoolOptions) -> Option<Pool> {
    if let Err(why) = Pool::guests_can_run(&options) {
        eprintln!("skipped: {why}");
        return None;
    }
    Some(Pool::start(options).expect("a pool"))
}

impl Place {
    pub(crate) async fn basic() -> Self {
        let fleet = TestFleet::start(&Options { resources: WIDE.to_owned(), ..Options::default() });
        let client = fleet.connect().await;
        Self { fleet, client, pool: None, before: None, was_disturbed: false }
    }

    pub(crate) async fn xcpng() -> Option<Self> {
        Self::xcpng_with("").await
    }

    /// The same, with more lines in the pool's section.
    pub(crate) async fn xcpng_with(more: &str) -> Option<Self> {
        let pool = pool_with_guests()?;
        let before = Some(pool.census());
        let mut fleet =
            TestFleet::without_workers(&Options { resources: WIDE.to_owned(), ..Options::default() });
        let table = format!("{WORKER}{}{more}", section("lab", &pool, fleet.folder()));
        fleet.start_worker("x1", &table);
        let client = fleet.connect().await;
        Some(Self { fleet, client, pool: Some(pool), before, was_disturbed: false })
    }

    /// A body of `create` as this place's VMs have it.
    pub(crate) fn body(&self, mut body: Value) -> Value {
        if self.pool.is_some() {
            body["vm_type"] = json!("xcpng");
            body["config"] = json!({ "xcpng_config": { "pool": "lab" } });
        }
        body
    }

    pub(crate) async fn create(&self, vm: &str, body: Value) {
        let answer = ask(&self.client, &subject("create", vm), &self.body(body)).await;
        assert_eq!(answer["status"], "created", "{vm}: {answer}");
    }

    /// Asks, and it must be accepted.
    pub(crate) async fn done(&self, verb: &str, vm: &str, body: Value) -> Value {
        done(&self.client, verb, vm, body).await
    }

    /// All VMs are destroyed; nothing is left, on the pool neither.
    pub(crate) async fn ends(mut self) {
        let listed = ask(&self.client, &format!("bioxen.v1.cmd.{USER}.list"), &Value::Null).await;
        for vm in listed["vms"].as_array().into_iter().flatten() {
            let name = vm["vm_id"].as_str().expect("a name");
            let _ = ask(&self.client, &subject("destroy", name), &json!({ "wait_ms": 30_000 })).await;
        }
        if self.pool.is_some() {
            crate::guests::nothing_is_left(&self).await;
        }
        assert_clean(&self.client).await;
        if let Some(pool) = &mut self.pool {
            self.fleet.stop_worker("x1");
            let mut census = pool.census();
            if self.was_disturbed {
                (census.sessions, census.tasks) = (0, 0);
            }
            assert_eq!(Some(census), self.before, "sessions, tasks, guests, disks, connections");
            pool.assert_no_violations();
        }
    }
}
