//! A pool's VMs from the coordinator's side: where they go, whose the guests are that a worker finds. The worker is played.

use async_nats::{Client, Subscriber};
use bioxen_protocol::command::VmType;
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::pool::XcpngPool;
use bioxen_protocol::worker::{
    Capacity, Desired, Heartbeat, Observation, ObservedState, Register, WorkerCommand, WorkerReport,
    inventory_digest,
};
use bioxen_tests::files::files_with;
use bioxen_tests::{Options, START_PATIENCE, TestFleet, ask, ask_until, assert_clean};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::{command, reaches};

const NAME: &str = "x1";
const BOOT: &str = "b0a1";

/// A worker with the pool `lab`, as far as a coordinator sees one.
struct Played {
    bus: Client,
    commands: Subscriber,
    number: u64,
    epoch: u64,
    held: Vec<Observation>,
}

impl Played {
    async fn register(bus: &Client) -> Self {
        let commands =
            bus.subscribe(format!("bioxen.v1.worker.{NAME}.{BOOT}.cmd")).await.expect("a subscription");
        bus.flush().await.expect("a connection");
        let played = Self { bus: bus.clone(), commands, number: 1, epoch: 0, held: Vec::new() };
        let capacity = Capacity {
            max_vms: 4,
            total_ribosomes: 80,
            usable_ribosomes: 68,
            warning_permille: 850,
            vm_types: vec![VmType::Xcpng],
            packs: Default::default(),
            pools: vec!["lab".to_owned()],
            own_pools: None,
        };
        let version = "0.1.0".to_owned();
        played.report(&WorkerReport::Register(Register { capacity, version, number: 1 })).await;
        played
    }

    async fn report(&self, report: &WorkerReport) {
        let bytes = rmp_serde::to_vec_named(report).expect("bytes");
        self.bus
            .publish(format!("bioxen.v1.worker.{NAME}.{BOOT}.report"), bytes.into())
            .await
            .expect("a connection");
    }

    async fn observed(&self, observation: Observation) {
        self.report(&WorkerReport::Observed { incarnation: 1, vms: vec![observation] }).await;
    }

    /// The first command that `wanted` takes, with heartbeats as each grant comes.
    async fn until<T>(&mut self, wanted: impl Fn(&WorkerCommand) -> Option<T>) -> T {
        let search = async {
            loop {
                let message = self.commands.next().await.expect("a message");
                let command: WorkerCommand = rmp_serde::from_slice(&message.payload).expect("a command");
                let found = wanted(&command);
                if let WorkerCommand::Grant { epoch, .. } = command {
                    (self.epoch, self.number) = (epoch, self.number + 1);
                    let held = self.held.iter();
                    let inventory = inventory_digest(
                        held.map(|vm| (&vm.key, vm.generation, vm.state, vm.applied, vm.atp)),
                    );
                    let (number, epoch) = (self.number, self.epoch);
                    self.report(&WorkerReport::Heartbeat(Heartbeat { number, epoch, inventory })).await;
                }
                if let Some(found) = found {
                    return found;
                }
            }
        };
        tokio::time::timeout(START_PATIENCE, search).await.expect("the coordinator says it")
    }

    /// The level of a VM that it shall run, which it then says it does.
    async fn runs(&mut self) -> Desired {
        let level = self
            .until(|command| match command {
                WorkerCommand::Desire { vms, .. } => vms.iter().find(|vm| vm.order.is_some()).cloned(),
                _ => None,
            })
            .await;
        let absent = Observation::absent(level.key.clone(), level.generation);
        let running = Observation { state: ObservedState::Running, ..absent };
        self.held = vec![running.clone()];
        self.observed(running).await;
        level
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_waits_for_its_pool_and_guests_without_a_vm_are_named() {
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let on_lab = json!({ "biological_type": "syn3a", "vm_type": "xcpng", "auto_start": true,
        "config": { "xcpng_config": { "pool": "lab" } } });
    let refused = ask(&client, &command("alice", "create", "c1"), &on_lab).await;
    assert_eq!(refused["error"]["code"], "BX013", "{refused}");
    let mut queued = on_lab.clone();
    queued["on_full"] = json!("queue");
    let waits = ask(&client, &command("alice", "create", "c1"), &queued).await;
    assert_eq!(waits["state"], "queued", "{waits}");
    // Whoever needs no pool does not wait for one.
    let basic = json!({ "biological_type": "syn3a", "on_full": "queue" });
    assert_eq!(ask(&client, &command("bob", "create", "b1"), &basic).await["status"], "created");
    reaches(&client, "bob", "b1", "running").await;

    let mut played = Played::register(&client).await;
    let fleet_id = played
        .until(|command| match command {
            WorkerCommand::Grant { fleet, .. } => Some(fleet.clone()),
            _ => None,
        })
        .await;
    assert!(!fleet_id.is_empty(), "a worker is told its fleet");
    let level = played.runs().await;
    let pool = level.order.as_ref().and_then(|order| order.pool.clone());
    assert_eq!(pool, Some(XcpngPool::Named("lab".to_owned())));
    let elsewhere = json!({ "biological_type": "syn3a", "vm_type": "xcpng", "auto_start": true,
        "config": { "xcpng_config": { "pool": "north" } } });
    let refused = ask(&client, &command("alice", "create", "c2"), &elsewhere).await;
    let reasons = refused["error"]["details"]["workers"].to_string();
    assert!(reasons.contains(r#"does not have the pool \"north\""#), "{refused}");

    let ghost = VmKey { user: "alice".parse().unwrap(), vm: "ghost".parse().unwrap() };
    let before = Generation { index: level.generation.index - 1, ..level.generation };
    let found =
        vec![(level.key.clone(), level.generation), (level.key.clone(), before), (ghost.clone(), before)];
    ask_until(&client, &command("alice", "status", "c1"), &Value::Null, |now| now["state"] == "running")
        .await;
    played.report(&WorkerReport::Guests { incarnation: 1, vms: found }).await;
    let unowned = played
        .until(|command| match command {
            WorkerCommand::Unowned { vms, .. } => Some(vms.clone()),
            _ => None,
        })
        .await;
    assert_eq!(unowned, [(level.key.clone(), before), (ghost, before)]);

    // What it holds is given back with its worker's word that the guest is gone.
    let destroy = ask(&client, &command("alice", "destroy", "c1"), &Value::Null).await;
    assert_eq!(destroy["state"], "destroying", "{destroy}");
    let given_up = |command: &WorkerCommand| match command {
        WorkerCommand::Desire { vms, .. } => {
            vms.iter().find(|vm| vm.state == bioxen_protocol::worker::DesiredState::Absent).cloned()
        }
        _ => None,
    };
    let absent = played.until(given_up).await;
    assert!(absent.order.is_some(), "a VM that is destroyed is told with its order");
    played.held.clear();
    played.observed(Observation::absent(level.key, level.generation)).await;
    ask_until(&client, &command("alice", "status", "c1"), &Value::Null, |now| now["state"] == "destroyed")
        .await;
    assert_clean(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_a_pool_of_ones_own_stands_nowhere() {
    const SECRET: &str = "correct-horse-battery";
    let fleet = TestFleet::start(&Options::default());
    let client = fleet.connect().await;
    let mut own = json!({ "xapi_url": "https://10.0.0.5", "username": "root", "password": SECRET, "ssh_user": "bioxen",
        "ssh_key_path": "/k", "template_name": "t", "vm_memory": "4GB", "vm_vcpus": 2 });
    let body = |config: &Value| json!({ "biological_type": "syn3a", "vm_type": "xcpng", "request_id": "r-1", "config": { "xcpng_config": config } });
    let refused = ask(&client, &command("alice", "create", "c1"), &body(&own)).await;
    assert_eq!(refused["error"]["code"], "BX005", "{refused}");
    assert_eq!(refused["error"]["details"]["field"], "config.xcpng_config.password");
    own["vm_vcpus"] = json!(0);
    own["password"] = json!([SECRET]);
    let wrong = ask(&client, &command("alice", "create", "c1"), &body(&own)).await;
    assert_eq!(wrong["error"]["code"], "BX008", "{wrong}");
    let mut many = body(&own);
    many["name"] = json!("many");
    let ensemble = ask(&client, "bioxen.v1.cmd.alice.ensemble", &many).await;
    assert_eq!(ensemble["error"]["code"], "BX008", "{ensemble}");
    // The id was not taken by what was refused.
    let lab = json!({ "biological_type": "syn3a", "vm_type": "xcpng", "request_id": "r-1",
        "config": { "xcpng_config": { "pool": "lab" } } });
    assert_eq!(ask(&client, &command("alice", "create", "c1"), &lab).await["status"], "created");
    let told =
        |records: &Value| records.to_string().contains("rejected") || records.to_string().contains("BX005");
    let audit = ask_until(&client, "bioxen.v1.cmd.alice.audit", &json!({ "limit": 100 }), told).await;
    let events = ask(&client, "bioxen.v1.cmd.alice.events", &json!({ "limit": 100 })).await;
    assert_clean(&client).await;
    for answer in [&refused, &wrong, &ensemble, &audit, &events] {
        assert!(!answer.to_string().contains(SECRET), "{answer}");
    }
    // Journal, streams, ledger and logs.
    drop(client);
    assert!(
        !files_with(fleet.folder(), b"config.xcpng_config").is_empty(),
        "the refusals are not found either"
    );
    let holds = files_with(fleet.folder(), SECRET.as_bytes());
    assert!(holds.is_empty(), "the password stands in {holds:?}");
}
