//! Answers, errors, events and audit records.

use bioxen_protocol::alert::{Alert, AlertKind};
use bioxen_protocol::audit::{AuditRecord, NO_HASH, Outcome};
use bioxen_protocol::client::WorkerList;
use bioxen_protocol::command::{CheckpointId, TableFormat, Verb, VmType};
use bioxen_protocol::config::{Placement, ResourceConfig};
use bioxen_protocol::error::{Amount, Code, ErrorBody, ErrorReply, WorkerRefusal, XapiFault};
use bioxen_protocol::event::{Event, EventName};
use bioxen_protocol::quantity::AtpPercent;
use bioxen_protocol::reply::{
    Allocated, AllocationReply, CheckpointInfo, Checkpointed, Created, Difference, EffectiveAllocation,
    EnsembleAccepted, EnsembleStatus, Executed, FleetTotals, History, Installed, Listed, MemberBody,
    Monitored, Moving, OperationStatistics, Optimized, PackageReply, Performance, Predicted, Quota,
    Recommendation, Recommendations, Reservation, Resources, Restored, ResultsChunk, Sample, StateReached,
    Status, TriedAllocation, Usage, Verified, VmList, WorkerInfo,
};
use bioxen_protocol::state::VmState;
use serde_json::json;

use crate::{GENERATION, Golden, id};

const ALLOCATION: AllocationReply =
    AllocationReply { atp_percentage: AtpPercent(60_000), ribosomes: 10, memory_kb: 524_288 };
const RESERVATION: Reservation =
    Reservation { slots: 1, atp_percentage: AtpPercent(60_000), ribosomes: 10, memory_kb: 524_288 };
const PREDICTED: Predicted =
    Predicted { doubling_time_min: Some(172.03), unlimited_doubling_time_min: Some(105.0) };

pub(crate) fn check(golden: &mut Golden) {
    vms(golden);
    fleet(golden);
    operators(golden);
    errors(golden);
    golden.message("event", &event());
    let rejected = Event {
        event: EventName::Rejected,
        code: Some(Code::QuotaExceeded),
        count: Some(12),
        vm_id: None,
        generation: None,
        ..event()
    };
    golden.message("event_rejected", &rejected);
    let alert = Alert {
        kind: AlertKind::AtpLevel,
        value: 0.187,
        threshold: 0.2,
        times: 1,
        minute: Some(60.0),
        used: None,
        limit: None,
        worker: None,
    };
    golden.message("event_alert", &Event { event: EventName::Alert, alert: Some(alert), ..event() });
    golden.message("audit_record", &audit_record().sealed(NO_HASH).unwrap());
}

fn vms(golden: &mut Golden) {
    let PackageReply { package, digest, load } = package();
    golden.message("installed", &Installed { vm_id: id("cell-1"), package, digest, load });
    golden.message(
        "created",
        &Created {
            vm_id: id("cell-1"),
            status: "created".to_owned(),
            state: VmState::Queued,
            biological_type: "syn3a".to_owned(),
            vm_type: VmType::Basic,
            seed: 7,
            queue_position: Some(3),
            predicted: Some(PREDICTED),
            warnings: vec!["config.performance.enable_monitoring: no effect".to_owned()],
        },
    );
    golden.message("state_reached", &StateReached { vm_id: id("cell-1"), state: VmState::Paused });
    let state = VmState::Running;
    golden.message("allocated", &Allocated { vm_id: id("cell-1"), state, allocation: ALLOCATION });
    let taken = Checkpointed { vm_id: id("cell-1"), checkpoint: checkpoint() };
    golden.message("checkpointed", &taken);
    let restored = Restored {
        vm_id: id("cell-1"),
        state: VmState::Stopped,
        checkpoint_id: CheckpointId(57),
        simulated_minutes: 60.1,
        allocation: ALLOCATION,
    };
    golden.message("restored", &restored);
    processes_and_advice(golden);
    golden.message("status", &status());
    golden.message("status_in_guest", &Status { guest: Some(crate::workers::guest()), ..status() });
    golden.message(
        "resources",
        &Resources {
            vm_id: id("cell-1"),
            allocation: ALLOCATION,
            most: AllocationReply { ribosomes: 15, ..ALLOCATION },
            effective: None,
            usage: Usage {
                ribosomes_active: Some(335.3),
                ribosomes_total: Some(612.5),
                atp_level: None,
                memory_kb: 0,
            },
            reservation: RESERVATION,
            guest: None,
        },
    );
    let listed = Listed {
        vm_id: id("cell-1"),
        state,
        biological_type: "ecoli".to_owned(),
        worker: Some(id("w1")),
        priority: 3,
        queue_position: None,
    };
    let ensembles = vec![ensemble()];
    golden.message("vm_list", &VmList { vms: vec![listed], cursor: Some("cell-1".to_owned()), ensembles });
    gathered(golden);
}

fn gathered(golden: &mut Golden) {
    golden.message("ensemble_accepted", &EnsembleAccepted { name: id("sweep"), members: 200, queued: 200 });
    golden.message("ensemble_status", &ensemble());
    let chunk = ResultsChunk {
        vm_id: id("sweep"),
        kind: "ensemble".to_owned(),
        format: TableFormat::Json,
        columns: vec!["member".to_owned(), "parameters.s0".to_owned(), "state".to_owned()],
        offset: 60,
        total: 62,
        next: None,
        growing: true,
        data: json!([[61, 2500.5, "completed"], [62, null, "queued"]]),
    };
    golden.message("results_chunk", &chunk);
    let create = json!({ "biological_type": "syn3a", "seed": 7, "parameters": { "s0": 2500.5 } });
    golden.message("member_body", &MemberBody { vm_id: id("sweep-00061"), member: 61, create });
}

fn ensemble() -> EnsembleStatus {
    EnsembleStatus {
        name: id("sweep"),
        state: VmState::Running,
        reason: None,
        members: 200,
        queued: 100,
        running: 10,
        completed: 88,
        failed: 1,
        stopped: 1,
        priority: 3,
        seed: 7,
    }
}

fn checkpoint() -> CheckpointInfo {
    CheckpointInfo {
        checkpoint_id: CheckpointId(57),
        simulated_minutes: 60.1,
        bytes: 512,
        digest: NO_HASH.to_owned(),
    }
}

fn package() -> PackageReply {
    let digest = "sha256:00ff".to_owned();
    PackageReply { package: id("reporter-plasmid@1.2.3"), digest, load: 26.4 }
}

fn status() -> Status {
    Status {
        vm_id: id("cell-1"),
        state: VmState::Stopped,
        reason: Some("completed".to_owned()),
        biological_type: "syn3a".to_owned(),
        vm_type: VmType::Basic,
        uptime_seconds: 12.25,
        cpu_time_used: 0.125,
        ribosome_allocation: 10,
        atp_percentage: AtpPercent(60_001),
        memory_kb: 524_288,
        priority: 3,
        health_status: "healthy".to_owned(),
        worker: Some(id("w1")),
        generation: Some(GENERATION),
        simulated_minutes: 60.1,
        lag_minutes: 0.0,
        queue_position: None,
        seed: u64::MAX,
        predicted: Some(Predicted { doubling_time_min: None, ..PREDICTED }),
        effective: Some(EffectiveAllocation { atp_percentage: AtpPercent(55_250), ribosomes: Some(8) }),
        labels: [("sweep".to_owned(), "7".to_owned())].into(),
        checkpoints: vec![checkpoint()],
        packages: vec![package()],
        guest: None,
    }
}

fn fleet(golden: &mut Golden) {
    golden.message(
        "quota",
        &Quota {
            user: id("alice"),
            max_vms: 10,
            max_queued: 10_000,
            max_atp_percentage: None,
            max_ribosomes: Some(100),
            max_commands_per_second: None,
            used: RESERVATION,
            queued: 2,
        },
    );
    golden.message(
        "fleet",
        &FleetTotals {
            active_vms: 3,
            max_concurrent_vms: 100,
            global_atp_used: AtpPercent(180_000),
            global_atp_limit: AtpPercent(1_000_000),
            global_ribosomes_used: 30,
            global_ribosome_limit: 500,
            queued: 2,
            workers: 1,
            vm_types: [("basic".to_owned(), 3)].into(),
            biological_types: [("ecoli".to_owned(), 1), ("syn3a".to_owned(), 2)].into(),
            states: VmState::ALL.into_iter().zip(1..).collect(),
            epoch: 4,
            incarnation: 1,
            index: 99,
        },
    );
    let statistics = OperationStatistics { count: 10, failures: 1, total_time: 0.5 };
    golden.message(
        "performance",
        &Performance {
            total_operations: 10,
            success_rate: 0.9,
            error_rate: 0.1,
            total_time: 0.5,
            vm_operations: 8,
            operation_statistics: [("create".to_owned(), statistics)].into(),
            resource_utilization: [("atp".to_owned(), 0.18)].into(),
            uptime_hours: 1.5,
        },
    );
}

fn operators(golden: &mut Golden) {
    let worker = WorkerInfo {
        worker: id("w1"),
        boot: id("b0a1"),
        state: "registered".to_owned(),
        vm_types: vec![VmType::Basic, VmType::Xcpng],
        pools: vec!["lab".to_owned()],
        own_pools: Some("0123456789abcdef".to_owned()),
        vms: 3,
        max_vms: 4,
        ribosomes_used: 30,
        ribosomes_usable: 68,
        total_ribosomes: 80,
        cordoned: true,
        draining: true,
        leaving: 2,
    };
    let moving = Moving {
        user: id("alice"),
        vm_id: id("c1"),
        state: VmState::Running,
        from: id("w1"),
        to: Some(id("w2")),
    };
    golden.message("moving", &moving);
    golden.message("workers", &WorkerList { workers: vec![worker] });
    let difference = Difference {
        place: "ledger".to_owned(),
        account: "alice".to_owned(),
        index: Some(17),
        found: "9 slots".to_owned(),
        expected: "10 slots".to_owned(),
    };
    let differences = vec![difference];
    golden.message(
        "verified",
        &Verified { clean: false, entries: 99, rows: 12, audit_records: 40, differences },
    );
    let config = ResourceConfig {
        placement: Placement::BinPack,
        max_atp_per_user: Some(AtpPercent(500_000)),
        max_ribosomes_per_user: Some(50),
        max_commands_per_second_per_user: Some(20),
        ..ResourceConfig::default()
    };
    golden.message("config", &config);
}

fn errors(golden: &mut Golden) {
    let bare = |code: &Code| ErrorBody::new(*code, "what happened; what was expected; what to do next");
    let all: Vec<_> = Code::ALL.iter().map(|code| ErrorReply { error: bare(code) }).collect();
    golden.message("errors", &all);
    let error = ErrorBody::new(Code::QuotaExceeded, "10 of 10 VMs are in use").with(|details| {
        details.resource = Some("vms".to_owned());
        details.limit = Some(Amount::Count(10));
        details.used = Some(Amount::Count(10));
        details.requested = Some(Amount::Percent(62.5));
        details.retry_after_ms = Some(250);
        details.field = Some("allocation.ribosomes".to_owned());
        details.expected = Some("at most 15".to_owned());
        details.nearest = vec!["ribosomes".to_owned()];
        details.state = Some(VmState::Created);
        details.workers = vec![WorkerRefusal { worker: "w1".to_owned(), reason: "it is full".to_owned() }];
        details.xapi = Some(XapiFault { code: "SR_FULL".to_owned(), params: vec!["10".to_owned()] });
    });
    golden.message("error_details", &ErrorReply { error });
}

fn event() -> Event {
    Event {
        event: EventName::Allocated,
        user: id("alice"),
        vm_id: Some(id("cell-1")),
        verb: Some(Verb::EssentialGenes),
        request_id: Some(id("r-1")),
        index: 42,
        time_ms: 1_700_000_000_123,
        time: "2023-11-14T22:13:20.123Z".to_owned(),
        state: Some(VmState::Running),
        reason: Some("in effect from minute 12.3: ATP 60 %, 10 ribosomes, 524288 KiB".to_owned()),
        generation: Some(GENERATION),
        code: None,
        count: None,
        alert: None,
    }
}

fn audit_record() -> AuditRecord {
    AuditRecord {
        number: 1,
        index: 42,
        incarnation: 1,
        time_ms: 1_700_000_000_123,
        time: "2023-11-14T22:13:20.123Z".to_owned(),
        user: id("alice"),
        operator: Some(id("root")),
        action: "allocate".to_owned(),
        vm_id: Some(id("cell-1")),
        outcome: Outcome::Rejected,
        code: Some(Code::ResourceAllocation),
        request_id: Some(id("r-1")),
        count: 1,
        note: "at most 15 ribosomes".to_owned(),
        previous_hash: String::new(),
        hash: String::new(),
    }
}

fn processes_and_advice(golden: &mut Golden) {
    let executed = Executed {
        status: "completed".to_owned(),
        vm_id: id("cell-1"),
        execution_time: 0.0042,
        biological_output: serde_json::json!({ "started": ["dnaA"], "mrna": 0.26 }),
        execution_type: "call".to_owned(),
    };
    golden.message("executed", &executed);
    let (state, subject) = (VmState::Running, "bioxen.v1.tel.vm.alice.cell-1".to_owned());
    golden.message("monitored", &Monitored { vm_id: id("cell-1"), state, interval_seconds: 30, subject });
    let metrics = serde_json::Map::from_iter([("growth_rate_per_min".to_owned(), 0.0066.into())]);
    let samples = vec![Sample { time_ms: 1_700_000_000_123, metrics }];
    golden.message("history_reply", &History { vm_id: id("cell-1"), interval_seconds: 30, samples });
    let current = TriedAllocation {
        atp_percentage: AtpPercent(60_000),
        ribosomes: 10,
        growth_rate_per_min: 0.004,
        doubling_time_min: Some(173.28),
        growth_per_atp_percent: 0.004 / 60.0,
    };
    let best = TriedAllocation { ribosomes: 15, ..current };
    let tried = vec![current, best];
    let optimized = Optimized { vm_id: id("cell-1"), current, best, gain: 1.25, tried, applied: false };
    golden.message("optimized", &optimized);
    let recommendation = Recommendation {
        kind: "allocation".to_owned(),
        text: "nothing to change".to_owned(),
        allocation: Some(best),
    };
    let (vm_id, recommendations) = (id("cell-1"), vec![recommendation]);
    golden.message("recommendations", &Recommendations { vm_id, current, recommendations });
}
