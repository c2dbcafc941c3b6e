//! The bodies of commands, with every field and with none.

use bioxen_protocol::command::{
    Allocate, AllocationRequest, Axis, BiologicalSettings, CheckpointId, Create, Engine, Ensemble, Execute,
    History, Install, List, Many, Monitor, Move, OnComplete, OnFull, OperonAction, Operons, Optimize,
    PerformanceSettings, Plain, Range, Record, Records, ResourceLimits, Restore, Results, Sample, Scalar,
    ScheduledChange, SetQuota, Start, TableFormat, Transcription, VmConfig, VmType, Waiting, XcpngConfig,
};
use bioxen_protocol::quantity::{AtpPercent, Pace, SimulatedTime};
use bioxen_protocol::state::VmState;
use serde_json::{from_value, json};

use crate::{Golden, id};

pub(crate) fn check(golden: &mut Golden) {
    let request_id = Some(id("r-1"));
    golden.body("create", &create());
    let least: Create = from_value(json!({ "biological_type": "weisse2015" })).unwrap();
    golden.message("create_least", &least);
    golden.body("plain", &Plain { request_id: request_id.clone() });
    golden.message("plain_least", &Plain::default());
    golden.body("waiting", &Waiting { request_id: request_id.clone(), wait_ms: Some(400) });
    golden.body(
        "start",
        &Start {
            request_id: request_id.clone(),
            wait_ms: Some(400),
            on_full: OnFull::Queue,
            horizon_minutes: Some(SimulatedTime { ticks: 601 }),
        },
    );
    golden.body(
        "allocate",
        &Allocate {
            request_id: request_id.clone(),
            atp_percentage: Some(AtpPercent(33_333)),
            ribosomes: Some(12),
            memory_kb: Some(65_536),
        },
    );
    golden.body(
        "list",
        &List {
            request_id: request_id.clone(),
            state: Some(VmState::Running),
            label: Some("sweep=7".to_owned()),
            prefix: Some("cell-".to_owned()),
            limit: Some(100),
            cursor: Some("cell-99".to_owned()),
        },
    );
    process(golden);
    let package = id("growth-analysis@1.0.0");
    golden.body("install", &Install { request_id: request_id.clone(), package });
    golden.body("optimize", &Optimize { request_id: request_id.clone(), apply: true });
    golden.body("monitor", &Monitor { request_id: request_id.clone(), interval_seconds: Some(30) });
    golden.body("history", &History { request_id: request_id.clone(), limit: Some(100) });
    let results = Results {
        request_id: request_id.clone(),
        format: TableFormat::Parquet,
        offset: 524_288,
        limit: Some(1_000),
        member: Some(7),
    };
    golden.body("results", &results);
    golden.body("restore", &restore());
    golden.message("ensemble", &ensemble());
    golden.body("records", &Records { request_id: request_id.clone(), since: 17, limit: Some(1000) });
    golden.body("move", &Move { request_id: request_id.clone(), to: Some(id("w2")) });
    golden.body(
        "set_quota",
        &SetQuota {
            request_id,
            max_vms: Some(200),
            max_queued: Some(10_000),
            max_atp_percentage: Some(AtpPercent(1_500_500)),
            max_ribosomes: Some(1_000),
            max_commands_per_second: Some(50),
        },
    );
}

fn ensemble() -> Ensemble {
    let axes = [
        ("allocation.ribosomes", Axis::Values(vec![Scalar::Whole(5), Scalar::Whole(10)])),
        ("engine", Axis::Values(vec![Scalar::Text("ode".to_owned())])),
        ("parameters.cl", Axis::Range(Range { from: 0.0, to: 4.5, steps: 10 })),
        ("parameters.s0", Axis::Sample(Sample { sample: [1000.0, 9000.5], n: 50 })),
    ];
    let axes = axes.into_iter().map(|(path, axis)| (path.to_owned(), axis)).collect();
    Ensemble {
        many: Many { name: id("sweep"), axes, replicates: 4 },
        create: Create { vm_id: None, ..create() },
    }
}

/// Every field, none at its default.
fn create() -> Create {
    let allocation = AllocationRequest {
        atp_percentage: Some(AtpPercent(60_500)),
        ribosomes: Some(10),
        memory_kb: Some(524_288),
    };
    Create {
        request_id: Some(id("r-1")),
        vm_id: Some(id("cell-1")),
        biological_type: "syn3a".to_owned(),
        vm_type: VmType::Xcpng,
        config: Some(config()),
        auto_start: true,
        allocation,
        on_full: OnFull::Queue,
        priority: 1,
        seed: Some(9_007_199_254_740_991),
        replicate: 4,
        horizon_minutes: Some(SimulatedTime { ticks: 6_003 }),
        horizon_generations: Some(3),
        engine: Engine::Stochastic,
        pace: Some(Pace::Ratio(0.1)),
        parameters: [("s0".to_owned(), 1e4), ("cl".to_owned(), 0.1 + 0.2)].into(),
        record: Some(Record {
            variables: vec!["a".to_owned(), "q".to_owned()],
            every_minutes: SimulatedTime { ticks: 5 },
        }),
        schedule: vec![ScheduledChange {
            at_minute: SimulatedTime { ticks: 123 },
            parameters: [("cl".to_owned(), 4.0)].into(),
            allocation: Some(AllocationRequest { ribosomes: Some(5), ..AllocationRequest::default() }),
            call: Some("get_biological_status()".to_owned()),
        }],
        on_complete: OnComplete::Release,
        labels: [("sweep".to_owned(), "séance 7".to_owned())].into(),
        wait_ms: Some(0),
    }
}

fn restore() -> Restore {
    Restore {
        request_id: Some(id("r-1")),
        checkpoint_id: CheckpointId(57),
        vm_type: Some(VmType::Xcpng),
        xcpng_config: Some(XcpngConfig::of_pool("lab")),
    }
}

fn config() -> VmConfig {
    let on = Some(true);
    VmConfig {
        resource_limits: Some(ResourceLimits {
            max_atp: Some(AtpPercent(70_000)),
            max_ribosomes: Some(15),
            memory_limit: Some(from_value(json!("512MB")).unwrap()),
        }),
        biological_settings: Some(BiologicalSettings {
            genome_optimization: on,
            minimal_mode: on,
            essential_genes_only: on,
            operon_management: on,
            plasmid_support: on,
            growth_optimization: on,
            basic_functions_only: on,
            function_validation: on,
            strict_mode: Some(false),
        }),
        performance: Some(PerformanceSettings { enable_monitoring: on, optimization_interval: Some(30) }),
        xcpng_config: Some(XcpngConfig::of_pool("lab")),
    }
}

fn process(golden: &mut Golden) {
    let request_id = Some(id("r-1"));
    golden.body(
        "execute",
        &Execute {
            request_id: request_id.clone(),
            process_code: "start_transcription(['dnaA', 'dnaN'])".to_owned(),
            timeout_ms: Some(5_000),
        },
    );
    let gene_ids = vec!["dnaA".to_owned(), "dnaN".to_owned()];
    golden.body("transcription", &Transcription { request_id: request_id.clone(), gene_ids });
    let operon_ids = vec!["lacZYA".to_owned()];
    golden.body("operons", &Operons { request_id, operon_ids, action: OperonAction::Activate });
}
