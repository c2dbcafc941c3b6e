//! A worker process on a real bus, with the test as its leader.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bioxen_protocol::command::{Engine, VmType};
use bioxen_protocol::id::{Generation, VmKey};
use bioxen_protocol::quantity::Pace;
use bioxen_protocol::subject::ALL_WORKER_TELEMETRY;
use bioxen_protocol::worker::{
    CellAllocation, CellOrder, Desired, DesiredState, NumberedChange, ObservedState, QueryExtra,
    TelemetryFrame, WorkerCommand, inventory_digest,
};
use futures::StreamExt;
use support::{DEADLINE, Leader, Server, http, start_worker};
use tokio::time::timeout;

const FIRST: Generation = Generation { incarnation: 1, index: 10 };

fn key() -> VmKey {
    VmKey { user: "alice".parse().unwrap(), vm: "c1".parse().unwrap() }
}

fn desired(state: DesiredState) -> Desired {
    let order = CellOrder {
        biological_type: "syn3a".to_owned(),
        pack: None,
        vm_type: VmType::Basic,
        pool: None,
        engine: Engine::Ode,
        seed: 1,
        replicate: 0,
        parameters: BTreeMap::new(),
        allocation: CellAllocation { atp_millipercent: 60_000, ribosomes: 10, memory_kb: 524_288 },
        schedule: Vec::new(),
        horizon_tick: None,
        horizon_generations: None,
        pace: Pace::Ratio(600.0),
        priority: 3,
        record: None,
        packages: Vec::new(),
    };
    Desired { state, order: Some(Arc::new(order)), ..Desired::absent(key(), FIRST) }
}

fn change(tick: Option<u64>) -> NumberedChange {
    let allocation = CellAllocation { atp_millipercent: 40_000, ribosomes: 8, memory_kb: 524_288 };
    NumberedChange { ordinal: 1, allocation, tick, package: None }
}

/// A fleet of one worker that runs c1.
async fn running() -> (Server, support::Process, String, Leader) {
    let server = Server::start();
    let mut leader = Leader::lead(&server).await;
    let (process, probes) = start_worker(&server);
    leader.admit().await;
    leader.desire(desired(DesiredState::Running)).await;
    leader.observed_state(ObservedState::Running).await;
    (server, process, probes, leader)
}

/// Waits until the VM has come further than `tick`.
async fn advances_beyond(leader: &mut Leader, tick: u64) {
    let wait = async {
        while leader.query(&key(), FIRST).await.unwrap().tick <= tick {
            leader.heartbeat().await;
        }
    };
    timeout(DEADLINE, wait).await.expect("the VM did not advance");
}

#[tokio::test]
async fn a_worker_registers_and_serves_a_vm_from_start_to_absent() {
    let server = Server::start();
    let mut leader = Leader::lead(&server).await;
    let (mut process, probes) = start_worker(&server);

    let register = leader.admit().await;
    assert_eq!(register.capacity.vm_types, [VmType::Basic]);
    assert_eq!((register.capacity.max_vms, register.capacity.usable_ribosomes), (16, 68));
    let heartbeat = leader.heartbeat().await;
    assert!(heartbeat.number > register.number);
    assert_eq!((heartbeat.epoch, heartbeat.inventory), (leader.epoch, 0));
    assert_eq!((http(&probes, "/healthz").await.0, http(&probes, "/readyz").await.0), (200, 200));

    leader.desire(desired(DesiredState::Running)).await;
    let running = leader.observed_state(ObservedState::Running).await;
    assert_eq!((running.key, running.generation, running.applied), (key(), FIRST, 0));
    advances_beyond(&mut leader, 0).await;

    let changed = Desired { changes: vec![change(None)], ..desired(DesiredState::Running) };
    leader.desire(changed.clone()).await;
    let applied = leader.observed(|vm| vm.applied == 1).await;
    let [(1, tick)] = applied.applied_at[..] else { panic!("{applied:?}") };
    let confirmed = Desired { changes: vec![change(Some(tick))], ..changed };
    leader.desire(confirmed.clone()).await;
    leader.observed(|vm| vm.applied == 1 && vm.applied_at.is_empty()).await;

    let live = leader.query(&key(), FIRST).await.unwrap();
    assert_eq!(live.state, ObservedState::Running);
    assert_eq!(live.metrics["vm_id"], "c1");
    assert_eq!(live.metrics["biological_type"], "syn3a");
    assert_eq!(live.metrics["genome_size_bp"], 543_379);
    for key in ["simulated_minutes", "growth_rate_per_min", "atp_level", "ribosomes_active", "mrna_total"] {
        assert!(live.metrics[key].is_number(), "{key}");
    }

    leader.desire(Desired { state: DesiredState::Paused, ..confirmed.clone() }).await;
    let paused = leader.observed_state(ObservedState::Paused).await;
    let live = leader.query(&key(), FIRST).await.unwrap();
    assert_eq!((live.state, live.tick), (ObservedState::Paused, paused.tick));
    let inventory = leader.inventory().await;
    assert_eq!(inventory, std::slice::from_ref(&paused));
    leader.heartbeat().await;
    let held = [(&paused.key, paused.generation, paused.state, paused.applied, paused.atp)];
    assert_eq!(leader.heartbeat().await.inventory, inventory_digest(held.into_iter()));

    leader.desire(confirmed.clone()).await;
    leader.observed_state(ObservedState::Running).await;
    leader.desire(Desired { state: DesiredState::Stopped, ..confirmed.clone() }).await;
    let stopped = leader.observed_state(ObservedState::Stopped).await;
    assert!(stopped.checkpoint.is_some() && stopped.tick >= paused.tick && stopped.applied == 1);
    let ended = leader.query(&key(), FIRST).await.unwrap();
    assert_eq!((ended.state, ended.tick), (ObservedState::Stopped, stopped.tick));
    leader.desire(Desired { state: DesiredState::Stopped, ..confirmed.clone() }).await;
    assert_eq!(leader.observed_state(ObservedState::Stopped).await, stopped);

    let second = Generation { index: 20, ..FIRST };
    let restored = Desired {
        generation: second,
        checkpoint: stopped.checkpoint,
        checkpoint_applied: stopped.applied,
        ..confirmed.clone()
    };
    leader.desire(restored).await;
    let running = leader.observed_state(ObservedState::Running).await;
    assert_eq!((running.generation, running.tick, running.applied), (second, stopped.tick, 1));
    leader.desire(confirmed.clone()).await;
    let refused = leader.observed_state(ObservedState::Absent).await;
    assert_eq!(refused.generation, FIRST, "a lower generation was not refused");
    assert!(leader.query(&key(), FIRST).await.is_some_and(|ended| ended.state == ObservedState::Stopped));
    assert!(leader.query(&key(), second).await.is_some());

    leader.desire(Desired { state: DesiredState::Absent, generation: second, ..confirmed }).await;
    assert_eq!(leader.observed_state(ObservedState::Absent).await.generation, second);
    leader.heartbeat().await;
    assert_eq!(leader.heartbeat().await.inventory, 0);

    let (_, page) = http(&probes, "/metrics").await;
    assert!(page.contains("bioxen_worker_quanta_total"), "{page}");
    assert!(page.contains("bioxen_worker_vms{state=\"running\"} 0"), "{page}");
    assert_eq!(process.terminate(), Some(0));
}

#[tokio::test]
async fn without_its_lease_a_worker_freezes_and_goes_on_with_the_next_grant() {
    let (_server, _process, probes, mut leader) = running().await;
    advances_beyond(&mut leader, 0).await;
    leader.lease_ms = None;
    // The lease is 3 s, and a heartbeat comes each second.
    for _ in 0..4 {
        leader.heartbeat().await;
    }
    let frozen = leader.query(&key(), FIRST).await.unwrap();
    leader.heartbeat().await;
    leader.heartbeat().await;
    assert_eq!(leader.query(&key(), FIRST).await.unwrap().tick, frozen.tick, "it ran without a lease");
    assert_eq!((http(&probes, "/readyz").await.0, http(&probes, "/healthz").await.0), (503, 200));
    // A leader that no longer leads does not revive it.
    let heartbeat = leader.heartbeat().await.number;
    leader
        .send(&WorkerCommand::Grant {
            incarnation: 1,
            epoch: 2,
            heartbeat,
            lease_ms: 3000,
            registration: 1,
            fleet: String::new(),
        })
        .await;
    leader.heartbeat().await;
    assert_eq!(leader.query(&key(), FIRST).await.unwrap().tick, frozen.tick, "an old epoch revived it");
    leader.lease_ms = Some(3000);
    advances_beyond(&mut leader, frozen.tick).await;
    assert_eq!(http(&probes, "/readyz").await.0, 200);
}

#[tokio::test]
async fn a_worker_outlives_a_restart_of_the_bus() {
    let (server, _process, _, mut leader) = running().await;
    let first = leader.heartbeat().await;
    let _server = server.restart();
    let later = leader.heartbeat().await;
    assert!(later.number > first.number);
    assert_eq!(later.inventory, first.inventory);
    let tick = leader.query(&key(), FIRST).await.unwrap().tick;
    advances_beyond(&mut leader, tick).await;
}

#[tokio::test]
async fn a_refused_boot_asks_again_and_a_forgotten_worker_registers_anew_with_its_vms() {
    let (server, _process, _, mut leader) = running().await;
    let first = leader.commands.clone();
    let (mut second, _) = start_worker(&server);
    let (_, refused) = leader.registration().await;
    assert_ne!(refused, first, "two boots have one id");
    leader.commands = refused.clone();
    let epoch = leader.epoch;
    let holder = "another".to_owned();
    leader.send(&WorkerCommand::BootRefused { epoch, holder, retry_after_ms: 1500 }).await;
    let (_, again) = leader.registration().await;
    assert_eq!(again, refused, "the refused boot did not ask again");
    assert_eq!(second.terminate(), Some(0));

    leader.commands = first.clone();
    leader.send(&WorkerCommand::RegisterAgain { epoch }).await;
    loop {
        let (register, commands) = leader.registration().await;
        if commands == first {
            leader.grant(register.number).await;
            break;
        }
    }
    assert_ne!(leader.heartbeat().await.inventory, 0);
    assert_eq!(leader.inventory().await[0].state, ObservedState::Running);
}

#[tokio::test]
async fn what_is_no_message_of_the_leader_is_dropped_and_the_worker_goes_on() {
    let (_server, mut process, probes, mut leader) = running().await;
    let mut frames = leader.client.subscribe(ALL_WORKER_TELEMETRY).await.unwrap();
    let valid = rmp_serde::to_vec_named(&WorkerCommand::SendInventory { epoch: leader.epoch }).unwrap();
    let trailing = [valid.clone(), vec![0xc0]].concat();
    for bytes in [Vec::new(), b"{}".to_vec(), vec![0xdf, 0xff, 0xff, 0xff, 0xff], trailing, vec![0x91; 5000]]
    {
        leader.send_bytes(bytes).await;
    }
    // An answer to a subject of the system is not given.
    let query = WorkerCommand::Query { key: key(), generation: FIRST, with: QueryExtra::Nothing };
    let bytes = rmp_serde::to_vec_named(&query).unwrap();
    let reserved = "bioxen.v1.journal";
    let mut answers = leader.client.subscribe(reserved).await.unwrap();
    leader.client.publish_with_reply(leader.commands.clone(), reserved, bytes.into()).await.unwrap();
    // Epochs before the leader's are not obeyed.
    let absent = vec![desired(DesiredState::Absent)];
    leader.send(&WorkerCommand::Desire { epoch: leader.epoch - 1, registration: 1, vms: absent }).await;

    let inventory = leader.inventory().await;
    assert_eq!((inventory.len(), inventory[0].state), (1, ObservedState::Running));
    let waiting = futures::future::poll_immediate(answers.next()).await;
    assert!(waiting.is_none(), "an answer went to a subject of the system");
    let frame = timeout(DEADLINE, frames.next()).await.unwrap().unwrap();
    let frame: TelemetryFrame = serde_json::from_slice(&frame.payload).unwrap();
    assert_eq!((frame.worker.as_str(), frame.vms, frame.ribosomes_used), ("w1", 1, 10));
    let (_, page) = http(&probes, "/metrics").await;
    let dropped = page.lines().find(|line| line.starts_with("bioxen_worker_bad_messages_total"));
    assert_eq!(dropped, Some("bioxen_worker_bad_messages_total 7"));
    assert_eq!(process.terminate(), Some(0));
}
