//! A guest of a pool from nothing to nothing: brought up with keys of ours, spoken to, its host's figures read, destroyed.
//! The pool is the tests' own, whose guests are real sshds; it fails the test where XAPI is called otherwise than it may be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::slice;
use std::time::Duration;

use bioxen_worker::xcpng::channel::{Channel, HostKey, Target, UserKey, seed};
use bioxen_worker::xcpng::config::{SecretSource, Trust};
use bioxen_worker::xcpng::guests::{Guest, Guests, Order, PowerState, Up};
use bioxen_worker::xcpng::{GuestFigures, Pool, PoolSettings, SshFault};
use bioxen_xapi_pool as xapi;

use crate::sshd::{key, stand_in};
use crate::{fault, frame, soon};

const FIGURES: &str = "/rrd_updates";
const PAUSE: Duration = Duration::from_millis(20);
const NETWORK: &str = "Pool-wide network associated with eth0";

/// None where guests cannot run here, which is said.
fn lab() -> Option<(xapi::Pool, PoolSettings, tempfile::TempDir)> {
    let options = xapi::Options { guests: true, ..xapi::Options::default() };
    if let Err(why) = xapi::Pool::guests_can_run(&options) {
        eprintln!("no guests here, so nothing was tried: {why}");
        return None;
    }
    let pool = xapi::Pool::start(options.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("password"), options.password).unwrap();
    key(&at("key"));
    let pin = pool.fingerprint_of(0);
    let pin: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&pin[at..at + 2], 16).unwrap()).collect();
    let networks = pool.records("network");
    let is_named = |network: &&xapi::Value| network.get("name_label").unwrap().as_text() == NETWORK;
    let network = networks.values().find(is_named).unwrap();
    let settings = PoolSettings {
        xapi_url: pool.url().parse().unwrap(),
        username: options.username,
        password: SecretSource::File(at("password")),
        trust: Trust::Fingerprints(vec![pin.try_into().unwrap()]),
        template_name: options.template_name,
        ssh_user: options.guest_user,
        ssh_key_path: at("key"),
        ssh_port: options.ssh_port,
        network_uuid: Some(network.get("uuid").unwrap().as_text().to_owned()),
        storage_repository: None,
        vm_memory_bytes: 1 << 30,
        vm_vcpus: 1,
        vm_creation_timeout: Duration::from_secs(60),
        ssh_timeout: Duration::from_secs(20),
        connection_pool_size: 10,
        orphan_grace: Duration::from_secs(300),
    };
    Some((pool, settings, folder))
}

/// Call in a runtime.
fn guests_of(settings: &PoolSettings) -> Guests {
    Guests::new(Pool::open("lab", settings.clone()).unwrap(), "f00d", &"w1".parse().unwrap())
}

fn order(settings: &PoolSettings, host_key: &HostKey) -> Order {
    Order {
        key: bioxen_protocol::id::VmKey { user: "ada".parse().unwrap(), vm: "cell-1".parse().unwrap() },
        generation: bioxen_protocol::id::Generation { incarnation: 1, index: 7 },
        seed: seed(settings, host_key).unwrap(),
        host_key: host_key.public().to_owned(),
    }
}

/// The figures of these guests, once events have told where they are.
async fn measured(guests: &Guests, ups: &[&Up]) -> Vec<GuestFigures> {
    let deadline = soon();
    let all: Vec<Guest> = ups.iter().map(|up| up.guest.clone()).collect();
    loop {
        let figures = guests.figures(&all, deadline).await;
        if figures.len() == all.len() {
            return all.iter().map(|guest| figures[&guest.uuid]).collect();
        }
        assert!(!deadline.passed(), "{figures:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until nothing measures a guest that is on no host.
async fn none_measured(guests: &Guests, up: &Up) {
    let deadline = soon();
    while !guests.figures(slice::from_ref(&up.guest), deadline).await.is_empty() {
        assert!(!deadline.passed(), "still measured");
        tokio::time::sleep(PAUSE).await;
    }
}

/// As a backend does it: the host key is the one among the guest's marks.
async fn talk(settings: &PoolSettings, up: &Up) -> Result<Vec<u8>, bioxen_worker::xcpng::XcpngError> {
    let key = UserKey::read(&settings.ssh_key_path).unwrap();
    let program = stand_in();
    let target = Target {
        guest: "cell-1",
        address: SocketAddr::new(up.address, settings.ssh_port),
        user: &settings.ssh_user,
        key: &key,
        host_key: up.guest.host_key.as_deref().unwrap(),
        ssh_timeout: settings.ssh_timeout,
        program: &program,
    };
    let mut channel = Channel::open(&target, up.deadline).await?;
    let answer = channel.ask(&frame(b"hi"), soon()).await;
    channel.close().await;
    answer
}

#[test]
fn a_guest_is_brought_up_spoken_to_measured_and_destroyed() {
    let Some((lab, settings, _folder)) = lab() else { return };
    let before = lab.census();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let guests = guests_of(&settings);
        let order = order(&settings, &HostKey::generate().unwrap());
        let up = guests.bring_up(&order).await.unwrap();
        assert_eq!(talk(&settings, &up).await.unwrap(), b"hi");
        let figures = measured(&guests, &[&up]).await;
        assert_eq!((figures[0].cpu_percent, figures[0].memory_bytes), (25.0, 1 << 30));
        guests.power(&up.guest, PowerState::Halted, soon()).await.unwrap();
        none_measured(&guests, &up).await;
        // A guest keeps its key and its program when it is off.
        let again = guests.bring_up(&order).await.unwrap();
        assert_eq!(talk(&settings, &again).await.unwrap(), b"hi");
        guests.destroy(&order.key, order.generation).await.unwrap();
        guests.pool().close().await;
    });
    let after = xapi::Census { connections: before.connections, ..lab.census() };
    assert_eq!(after, before);
}

#[test]
fn figures_of_all_guests_come_with_one_request_also_after_failures_and_forgotten_sessions() {
    let Some((lab, settings, _folder)) = lab() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let guests = guests_of(&settings);
        let one = order(&settings, &HostKey::generate().unwrap());
        let mut other = one.clone();
        other.key.vm = "cell-2".parse().unwrap();
        let ups = [guests.bring_up(&one).await.unwrap(), guests.bring_up(&other).await.unwrap()];
        measured(&guests, &[&ups[0], &ups[1]]).await;
        let before = lab.seen().calls;
        measured(&guests, &[&ups[0], &ups[1]]).await;
        let more = |calls: &BTreeMap<String, u64>, call| calls.get(call).copied().unwrap_or_default();
        let after = lab.seen().calls;
        assert_eq!(more(&after, FIGURES), more(&before, FIGURES) + 1);
        assert_eq!(more(&after, "host.get_record"), more(&before, "host.get_record"), "kept");
        let (method, code) = (FIGURES.to_owned(), "INTERNAL_ERROR".to_owned());
        lab.inject(xapi::Fault::Fail { method, code, params: Vec::new() }, 1);
        assert_eq!(guests.figures(slice::from_ref(&ups[0].guest), soon()).await, BTreeMap::new());
        measured(&guests, &[&ups[0]]).await;
        lab.restart();
        measured(&guests, &[&ups[1]]).await;
        guests.destroy(&one.key, one.generation).await.unwrap();
        none_measured(&guests, &ups[0]).await;
        guests.destroy(&other.key, other.generation).await.unwrap();
        guests.pool().close().await;
    });
}

#[test]
fn a_guest_whose_template_ignores_our_host_key_is_not_spoken_to() {
    let Some((lab, settings, _folder)) = lab() else { return };
    lab.inject(xapi::Fault::WrongHostKey, 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let guests = guests_of(&settings);
        let order = order(&settings, &HostKey::generate().unwrap());
        let up = guests.bring_up(&order).await.unwrap();
        let fault = fault(talk(&settings, &up).await);
        assert!(matches!(fault, SshFault::HostKey { .. }), "{fault}");
        guests.destroy(&order.key, order.generation).await.unwrap();
        guests.pool().close().await;
    });
}
