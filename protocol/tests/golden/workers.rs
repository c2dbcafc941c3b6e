//! What leader and worker tell each other, and a worker's telemetry.

use std::sync::Arc;

use bioxen_protocol::alert::AtpWatch;
use bioxen_protocol::command::{Engine, VmType};
use bioxen_protocol::id::VmKey;
use bioxen_protocol::package::{ModulesOf, VmPackage, VmPlasmid};
use bioxen_protocol::pool::{OwnPool, XcpngPool};
use bioxen_protocol::quantity::{AtpPercent, Pace};
use bioxen_protocol::reply::{EffectiveAllocation, GuestMeasured, GuestStatus, Sample};
use bioxen_protocol::worker::{
    Capacity, CellAllocation, CellOrder, Desired, DesiredState, Heartbeat, LiveVm, NumberedChange,
    Observation, ObservedState, OrderedChange, ProcessEnd, ProcessOrder, ProcessStatus, QueryExtra,
    RecordOrder, Register, TelemetryFrame, VmQueryReply, WorkerCommand, WorkerReport,
};
use serde_json::json;

use crate::{GENERATION, Golden, id};

const ALLOCATION: CellAllocation =
    CellAllocation { atp_millipercent: 60_000, ribosomes: 10, memory_kb: 524_288 };

pub(crate) fn check(golden: &mut Golden) {
    reports(golden);
    own_pool(golden);
    commands(golden);
    let live = LiveVm {
        state: ObservedState::Running,
        tick: 601,
        lag_minutes: 0.1,
        uptime_seconds: 60.5,
        cpu_seconds: 0.25,
        memory_kb: 0,
        metrics: [
            ("growth_rate_per_min".to_owned(), json!(0.024114534)),
            ("operon_status".to_owned(), json!(null)),
        ]
        .into_iter()
        .collect(),
        applied: 2,
        effective: Some(EffectiveAllocation { atp_percentage: AtpPercent(55_250), ribosomes: None }),
        checkpoint: Some(vec![0, 127, 128, 255]),
        history: vec![Sample { time_ms: 1_700_000_000_123, metrics: serde_json::Map::new() }],
        guest: None,
    };
    golden.internal("query_vm", &VmQueryReply::Vm(Box::new(live.clone())));
    let guest = GuestStatus { measured: None, ..guest() };
    let in_guest = LiveVm { guest: Some(guest), checkpoint: None, history: Vec::new(), ..live };
    golden.internal("query_vm_in_guest", &VmQueryReply::Vm(Box::new(in_guest)));
    golden.internal("query_trace", &VmQueryReply::Trace { rows: 7, bytes: vec![0, 127, 128, 255] });
    golden.internal("query_absent", &VmQueryReply::Absent);
    let frame = TelemetryFrame {
        worker: "w1".to_owned(),
        boot: "b0a1".to_owned(),
        time_ms: 1_700_000_000_123,
        vms: 3,
        running: 2,
        paused: 1,
        ribosomes_used: 30,
        ribosomes_usable: 68,
        simulated_minutes: 601.3,
        quanta: 1_000,
        quanta_discarded: 1,
        worst_lag_minutes: 0.1,
        cpu_seconds: 0.75,
    };
    golden.message("telemetry_frame", &frame);
}

fn own_pool(golden: &mut Golden) {
    let own = OwnPool {
        xapi_url: "https://10.0.0.5".to_owned(),
        username: "root".to_owned(),
        sealed_password: "0123456789abcdef.AAAA".to_owned(),
        ssh_user: "bioxen".to_owned(),
        ssh_key_path: "guest_key".to_owned(),
        template_name: "bioxen-guest".to_owned(),
        vm_memory_kb: Some(4 << 20),
        vm_vcpus: Some(2),
        tls_fingerprints: vec!["ab".repeat(32)],
        network_uuid: Some("01234567-89ab-cdef-0123-456789abcdef".to_owned()),
        storage_repository: Some("ssd".to_owned()),
    };
    golden.internal("order_own_pool", &CellOrder { pool: Some(XcpngPool::Own(Arc::new(own))), ..order() });
}

pub(crate) fn guest() -> GuestStatus {
    let measured_at_ms = 1_700_000_000_123;
    GuestStatus {
        name: "bioxen/f00d/ada/cell-1/1.42".to_owned(),
        address: "10.0.0.7".to_owned(),
        measured: Some(GuestMeasured { cpu_percent: 12.5, memory_bytes: 1 << 30, measured_at_ms }),
    }
}

fn reports(golden: &mut Golden) {
    let capacity = Capacity {
        max_vms: 4,
        total_ribosomes: 80,
        usable_ribosomes: 68,
        warning_permille: 850,
        vm_types: vec![VmType::Basic, VmType::Xcpng],
        packs: std::collections::BTreeMap::new(),
        pools: vec!["lab".to_owned()],
        own_pools: Some("0123456789abcdef".to_owned()),
    };
    let register = Register { capacity, version: "0.1.0".to_owned(), number: 1 };
    golden.internal("report_register", &WorkerReport::Register(register));
    let heartbeat = Heartbeat { number: 2, epoch: 3, inventory: u64::MAX };
    golden.internal("report_heartbeat", &WorkerReport::Heartbeat(heartbeat));
    let states = [
        ObservedState::Running,
        ObservedState::Paused,
        ObservedState::Stopped,
        ObservedState::Completed,
        ObservedState::Failed,
        ObservedState::Absent,
    ];
    let vms: Vec<_> = states.into_iter().map(observation).collect();
    golden.internal("report_observed", &WorkerReport::Observed { incarnation: 1, vms: vms.clone() });
    golden.internal("report_inventory", &WorkerReport::Inventory { vms });
    let vms = vec![(key(), GENERATION)];
    golden.internal("report_leaving", &WorkerReport::Leaving {});
    golden.internal("report_goodbye", &WorkerReport::Goodbye {});
    golden.internal("report_unconfirmed", &WorkerReport::Unconfirmed { vms: vms.clone() });
    golden.internal("report_guests", &WorkerReport::Guests { incarnation: 1, vms });
}

fn observation(state: ObservedState) -> Observation {
    let ended = matches!(state, ObservedState::Stopped | ObservedState::Completed);
    Observation {
        key: key(),
        generation: GENERATION,
        state,
        tick: 601,
        applied: 2,
        applied_at: vec![(1, 30), (2, 31)],
        checkpoint: ended.then(|| vec![0, 127, 128, 255]),
        reason: (state == ObservedState::Failed).then(|| "the step became too small".to_owned()),
        process: (state == ObservedState::Paused).then(|| ProcessEnd {
            number: 4,
            status: ProcessStatus::Completed,
            execution_type: "script".to_owned(),
            output: "{\"growth\":0.0066}".to_owned(),
            reason: None,
            nearest: Vec::new(),
            execution_us: 4_200,
        }),
        summary: (state == ObservedState::Completed).then(|| r#"{"atp":1.5}"#.to_owned()),
        atp: atp(),
        call_due: (state == ObservedState::Running).then_some(1),
    }
}

fn commands(golden: &mut Golden) {
    let grant = WorkerCommand::Grant {
        incarnation: 1,
        epoch: 3,
        heartbeat: 2,
        lease_ms: 3_000,
        registration: 9,
        fleet: "f1".to_owned(),
    };
    golden.internal("command_grant", &grant);
    let refused = WorkerCommand::BootRefused { epoch: 3, holder: "b0a0".to_owned(), retry_after_ms: 4_000 };
    golden.internal("command_boot_refused", &refused);
    golden.internal("command_register_again", &WorkerCommand::RegisterAgain { epoch: 3 });
    golden.internal("command_beat", &WorkerCommand::Beat { epoch: 3 });
    golden.internal("command_leave", &WorkerCommand::Leave { epoch: 3, may_go: true });
    golden.internal("command_send_inventory", &WorkerCommand::SendInventory { epoch: 3 });
    golden.internal(
        "command_query",
        &WorkerCommand::Query { key: key(), generation: GENERATION, with: QueryExtra::History(10) },
    );
    let process = ProcessOrder {
        number: 4,
        after: 3,
        code: "return cell.time()".to_owned(),
        timeout_ms: 5_000,
        reservation: ALLOCATION,
        packages: vec![ModulesOf { package: id("growth-analysis@1.0.0"), digest: DIGEST.to_owned() }],
        call: Some(1),
    };
    let (key, generation) = (key(), GENERATION);
    golden.internal("command_execute", &WorkerCommand::Execute { epoch: 3, key, generation, process });
    let trace = WorkerCommand::QueryTrace { key: self::key(), generation: GENERATION, row: 7 };
    golden.internal("command_query_trace", &trace);
    let vms = vec![(self::key(), GENERATION)];
    golden.internal("command_unowned", &WorkerCommand::Unowned { epoch: 3, vms });
    let states = [DesiredState::Running, DesiredState::Paused, DesiredState::Stopped, DesiredState::Absent];
    let vms = states.into_iter().map(desired).collect();
    golden.internal("command_desire", &WorkerCommand::Desire { epoch: 3, registration: 9, vms });
}

/// The whole level; of a VM to be given up nothing but its name.
fn desired(state: DesiredState) -> Desired {
    let is_kept = state != DesiredState::Absent;
    let changes = [(2, Some(31)), (3, None)].map(|(ordinal, tick)| NumberedChange {
        ordinal,
        allocation: ALLOCATION,
        tick,
        package: (ordinal == 3).then(|| Arc::new(package())),
    });
    Desired {
        key: key(),
        generation: GENERATION,
        state,
        order: is_kept.then(|| Arc::new(order())),
        changes: if is_kept { changes.to_vec() } else { Vec::new() },
        checkpoint: is_kept.then(|| vec![0, 127, 128, 255]),
        checkpoint_applied: 1,
        reached_tick: 601,
        horizon_tick: is_kept.then_some(6_000),
        process_confirmed: u64::from(is_kept),
        calls_done: u64::from(is_kept),
        atp: if is_kept { atp() } else { AtpWatch::default() },
        monitor_seconds: if is_kept { 30 } else { 0 },
    }
}

const DIGEST: &str = "sha256:00ff";

fn package() -> VmPackage {
    VmPackage {
        package: id("reporter-plasmid@1.2.3"),
        digest: DIGEST.to_owned(),
        load_micro_per_min: 26_400_000,
        constant_micro_per_min: 400_000,
        plasmids: vec![VmPlasmid {
            name: "p15a".to_owned(),
            k0_per_min: 0.125,
            half_copies: 2.25,
            wp_per_copy: 2.5,
        }],
        has_modules: true,
    }
}

fn order() -> CellOrder {
    CellOrder {
        biological_type: "syn3a".to_owned(),
        pack: None,
        vm_type: VmType::Basic,
        pool: Some(XcpngPool::Named("lab".to_owned())),
        engine: Engine::Ode,
        seed: 7,
        replicate: 4,
        parameters: [("s0".to_owned(), 1e4), ("cl".to_owned(), 0.1 + 0.2)].into(),
        allocation: ALLOCATION,
        schedule: vec![OrderedChange {
            tick: 123,
            parameters: [("cl".to_owned(), 4.0)].into(),
            allocation: Some(CellAllocation { ribosomes: 5, ..ALLOCATION }),
            call: Some("advance(1)".to_owned()),
        }],
        horizon_tick: Some(6_000),
        horizon_generations: Some(3),
        pace: Pace::Max,
        priority: 3,
        record: Some(RecordOrder { variables: vec!["atp".to_owned()], every_ticks: 10 }),
        packages: vec![Arc::new(package())],
    }
}

fn atp() -> AtpWatch {
    AtpWatch { is_low: true, crossings: 2, tick: 600, level_permille: 187 }
}

fn key() -> VmKey {
    VmKey { user: id("alice"), vm: id("cell-1") }
}
