//! Verbs, subjects, VMs and states that do not fit; bodies of every verb but `create`.

use serde_json::{Value, json};

use crate::case::{Case, bytes, json};

fn cmd(rest: &str) -> String {
    format!("bioxen.v1.cmd.alice.{rest}")
}

fn ops(rest: &str) -> String {
    format!("bioxen.v1.ops.root.{rest}")
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = subjects();
    cases.extend(verbs());
    cases.extend(states());
    cases.extend(unknown_vms());
    cases.extend(bodies());
    cases.extend(operators());
    cases.extend(ensembles());
    cases
}

fn subjects() -> Vec<Case> {
    let long_id = "a".repeat(64);
    let very_long = "a".repeat(3_000);
    let mut subjects: Vec<String> = [
        "*.list",
        ">.list",
        "al*ce.list",
        "a\0b.list",
        "-alice.list",
        "_alice.list",
        "al/ice.list",
        "älice.list",
        "alice",
        "alice.*",
        "alice.>",
        "alice.status.*",
        "alice.status.>",
        "alice.status.ma\0de",
        "alice.status.made.made",
        "alice.status.-made",
        "alice.status._",
        "alice.*.made",
        "alice.\0",
        "alice.start.made*",
        "*.*.*",
        "alice.create.new.>",
        "alice.destroy.ma>de",
        "alice.destroy.\u{7f}",
        "alice.destroy.ｍade",
    ]
    .iter()
    .map(|rest| format!("bioxen.v1.cmd.{rest}"))
    .collect();
    for token in [&long_id, &very_long] {
        subjects.push(format!("bioxen.v1.cmd.{token}.list"));
        subjects.push(cmd(token));
        subjects.push(cmd(&format!("status.{token}")));
        subjects.push(ops(token));
        subjects.push(format!("bioxen.v1.ops.{token}.workers"));
    }
    for rest in [
        "root",
        "*.workers",
        "ro\0ot.workers",
        "root.*",
        "root.>",
        "root.status.*.made",
        "root.status.alice.*",
        "root.stop.alice.made.x",
    ] {
        subjects.push(format!("bioxen.v1.ops.{rest}"));
    }
    subjects.into_iter().map(|subject| bytes(subject, "", "BX008")).collect()
}

fn ensembles() -> Vec<Case> {
    let ensemble = |field: &str, value: serde_json::Value| {
        let mut body = json!({ "name": "sweep", "biological_type": "syn3a", "horizon_minutes": 1 });
        body[field] = value;
        body
    };
    let axis = |path: &str, values: serde_json::Value| ensemble("axes", json!({ path: values }));
    let mut cases: Vec<Case> = [
        (json!({ "biological_type": "syn3a" }), "BX008", "name"),
        (json!({ "name": "sweep" }), "BX008", "biological_type"),
        (ensemble("name", json!("a".repeat(58))), "BX008", "name"),
        (ensemble("name", json!("-sweep")), "BX008", "name"),
        (ensemble("auto_start", json!(true)), "BX008", "auto_start"),
        (ensemble("replicates", json!(0)), "BX008", "replicates"),
        (ensemble("replicates", json!(100_000)), "BX008", "axes"),
        (ensemble("replicates", json!(u64::MAX)), "BX008", "axes"),
        (axis("parameters.s0", json!([])), "BX008", "axes.parameters.s0"),
        (axis("seed", json!([1, 2])), "BX008", "axes.seed"),
        (axis("parameters.s0", json!({ "sample": [9, 1], "n": 5 })), "BX008", "axes.parameters.s0"),
        (axis("schedule.0.at_minute", json!([1, 2])), "BX008", "axes.schedule.0.at_minute"),
        (axis("parameters.nonsense", json!([1])), "BX005", "parameters"),
        (
            ensemble("record", json!({ "variables": ["atq"], "every_minutes": 1 })),
            "BX005",
            "record.variables",
        ),
    ]
    .into_iter()
    .map(|(body, code, field)| json(cmd("ensemble"), &body, code).field(field))
    .collect();
    for (body, code) in [
        (axis("biological_type", json!(["syn3a", "human"])), "BX003"),
        (axis("allocation.ribosomes", json!([5, 9999])), "BX002"),
        (axis("parameters.s0", json!({ "from": 1 })), "BX008"),
        (axis("parameters.s0", json!("high")), "BX008"),
    ] {
        cases.push(json(cmd("ensemble"), &body, code));
    }
    for (body, field) in [
        (json!({ "limit": 0 }), "limit"),
        (json!({ "limit": 10_001 }), "limit"),
        (json!({ "offset": 2 }), "offset"),
        (json!({ "member": 1 }), "member"),
        (json!({ "format": "xlsx" }), "format"),
    ] {
        cases.push(json(cmd("results.stopped"), &body, "BX008").field(field));
    }
    cases
}

fn verbs() -> Vec<Case> {
    let mut cases = Vec::new();
    for (verb, nearest) in [
        ("creat", "create"),
        ("CREATE", ""),
        ("Start", "start"),
        ("strt", "start"),
        ("resum", "resume"),
        ("kill", ""),
        ("delete", ""),
        ("statu", "status"),
        ("metric", "metrics"),
        ("ls", ""),
        ("destory", "destroy"),
        ("alocate", "allocate"),
    ] {
        let case = bytes(cmd(&format!("{verb}.made")), "{}", "BX008");
        cases.push(if nearest.is_empty() { case } else { case.nearest(nearest) });
    }
    for verb in ["execute", "install", "transcription", "operons", "restore"] {
        cases.push(bytes(cmd(&format!("{verb}.made")), "{}", "BX008"));
    }
    cases.extend(processes());
    for verb in ["start", "stop", "pause", "resume", "destroy", "allocate", "status", "metrics", "resources"]
    {
        cases.push(bytes(cmd(verb), "", "BX008").field("vm_id"));
    }
    for verb in ["list", "events", "audit", "quota", "fleet", "performance", "ensemble"] {
        cases.push(bytes(cmd(&format!("{verb}.made")), "", "BX008").field("vm_id"));
        cases.push(json(cmd(verb), &json!({ "vm_id": "made" }), "BX008").field("vm_id"));
    }
    for verb in ["start", "destroy", "allocate", "status"] {
        cases
            .push(json(cmd(&format!("{verb}.made")), &json!({ "vm_id": "stopped" }), "BX008").field("vm_id"));
        cases.push(json(cmd(&format!("{verb}.made")), &json!({ "vm_id": 5 }), "BX008").field("vm_id"));
    }
    for user in ["bioxen-fleet", "bioxen-nobody", "bioxen-x"] {
        let body = json!({ "biological_type": "syn3a" });
        cases.push(json(format!("bioxen.v1.cmd.{user}.create.new"), &body, "BX012"));
        cases.push(json(format!("bioxen.v1.ops.root.create.{user}.new"), &body, "BX012"));
    }
    cases
}

fn processes() -> Vec<Case> {
    let bodies = [
        ("execute", json!({ "process_code": "  " }), "process_code"),
        ("execute", json!({ "process_code": 5 }), "process_code"),
        ("execute", json!({ "process_code": "test_process()", "timeout_ms": 0 }), "timeout_ms"),
        ("execute", json!({ "process_code": "test_process()", "timeout_ms": 60_001 }), "timeout_ms"),
        ("transcription", json!({ "gene_ids": "dnaA" }), "gene_ids"),
        ("transcription", json!({ "gene_ids": [5] }), "gene_ids[0]"),
        ("operons", json!({ "operon_ids": ["lacZYA"], "action": "destroy" }), "action"),
        ("monitor", json!({ "interval_seconds": 3_601 }), "interval_seconds"),
        ("monitor", json!({ "interval_seconds": -1 }), "interval_seconds"),
        ("history", json!({ "limit": 0 }), "limit"),
        ("optimize", json!({ "apply": "yes" }), "apply"),
    ];
    let cases = bodies
        .into_iter()
        .map(|(verb, body, field)| json(cmd(&format!("{verb}.made")), &body, "BX008").field(field));
    let code = json!({ "process_code": "test_process()" });
    let cases = cases.chain([bytes(cmd("plasmids.made"), "", "BX019")]);
    let at_rest = ["made", "stopped", "gone", "completed"];
    cases.chain(at_rest.map(|vm| json(cmd(&format!("execute.{vm}")), &code, "BX006"))).collect()
}

/// The VMs are named after the states that they are in.
fn states() -> Vec<Case> {
    let mut cases = Vec::new();
    for (verb, vms) in [
        ("start", &["running", "paused", "gone", "completed"][..]),
        ("pause", &["made", "paused", "stopped", "gone", "completed"]),
        ("resume", &["made", "running", "stopped", "gone", "completed"]),
        ("stop", &["made", "stopped", "gone", "completed"]),
    ] {
        for vm in vms {
            cases.push(bytes(cmd(&format!("{verb}.{vm}")), "", "BX006"));
            cases.push(bytes(ops(&format!("{verb}.alice.{vm}")), "{}", "BX006"));
        }
    }
    for vm in ["stopped", "gone", "completed"] {
        cases.push(json(cmd(&format!("allocate.{vm}")), &json!({ "ribosomes": 5 }), "BX006"));
    }
    cases.push(json(cmd("start.completed"), &json!({ "horizon_minutes": 0.1 }), "BX006"));
    let again = json!({ "biological_type": "syn3a" });
    for vm in ["made", "running", "paused", "stopped", "completed"] {
        cases.push(json(cmd(&format!("create.{vm}")), &again, "BX015"));
    }
    cases.push(json(
        cmd("create.new"),
        &json!({ "biological_type": "syn3a", "request_id": "taken" }),
        "BX015",
    ));
    cases.push(json(cmd("stop.running"), &json!({ "request_id": "taken" }), "BX015"));
    cases.push(json(cmd("allocate.scheduled"), &json!({ "ribosomes": 5 }), "BX005"));
    for vm in ["made", "running", "paused"] {
        for (name, value) in
            [("atp_percentage", json!(70.001)), ("ribosomes", json!(16)), ("memory_kb", json!(u64::MAX))]
        {
            let mut body = json!({ "ribosomes": 5 });
            body[name] = value;
            cases.push(json(cmd(&format!("allocate.{vm}")), &body, "BX002").resource(name));
        }
    }
    cases
}

fn unknown_vms() -> Vec<Case> {
    let mut cases = Vec::new();
    for verb in ["start", "stop", "pause", "resume", "destroy", "status", "metrics", "resources"] {
        // `theirs` is bob's.
        for vm in ["none", "theirs"] {
            cases.push(bytes(cmd(&format!("{verb}.{vm}")), "{}", "BX010"));
        }
        cases.push(bytes(format!("bioxen.v1.cmd.root.{verb}.made"), "", "BX010"));
    }
    cases.push(json(cmd("allocate.theirs"), &json!({ "ribosomes": 5 }), "BX010"));
    cases
}

fn wrong(verb: &str, name: &str, value: Value) -> Case {
    let mut body = json!({});
    body[name] = value;
    json(cmd(verb), &body, "BX008").field(name)
}

fn bodies() -> Vec<Case> {
    let mut cases = vec![
        json(cmd("allocate.made"), &json!({}), "BX008"),
        wrong("allocate.made", "ribosome", json!(5)).nearest("ribosomes"),
        wrong("allocate.made", "atp", json!(5)).nearest("atp_percentage"),
        wrong("allocate.made", "allocation", json!({ "ribosomes": 5 })),
        wrong("allocate.made", "wait_ms", json!(5)),
        wrong("start.made", "on_full", json!("wait")),
        wrong("start.made", "horizon", json!(5)).nearest("horizon_minutes"),
        wrong("start.made", "pace", json!("max")),
        wrong("list", "state", json!("runing")).nearest("running"),
        wrong("list", "limits", json!(5)).nearest("limit"),
        wrong("list", "cursor", json!("a b")),
        wrong("list", "cursor", json!("x".repeat(10 * 1024))),
        wrong("events", "sinse", json!(5)).nearest("since"),
    ];
    for (name, values) in [
        (
            "atp_percentage",
            vec![json!("60"), json!(0), json!(-5), json!(33.33333), json!(1e308), json!(true)],
        ),
        ("ribosomes", vec![json!("5"), json!(0), json!(-5), json!(12.5), json!(1e308), json!([5])]),
        ("memory_kb", vec![json!("512MB"), json!(0), json!(-5), json!(0.5), json!({})]),
    ] {
        cases.extend(values.into_iter().map(|value| wrong("allocate.made", name, value)));
    }
    for value in [json!("5"), json!(0.05), json!(-1), json!(1e308), json!(true)] {
        cases.push(wrong("start.stopped", "horizon_minutes", value));
    }
    for verb in
        ["start.made", "stop.running", "pause.running", "resume.paused", "destroy.made", "status.made"]
    {
        for value in [json!("5"), json!(-1), json!(1.5), json!(30_001), json!(true)] {
            cases.push(wrong(verb, "wait_ms", value));
        }
        cases.push(wrong(verb, "wait", json!(5)).nearest("wait_ms"));
        cases.push(wrong(verb, "force", json!(true)));
    }
    for verb in ["metrics.made", "resources.made", "quota", "fleet", "performance"] {
        cases.push(wrong(verb, "user", json!("bob")));
    }
    for (name, values) in [
        ("limit", vec![json!(0), json!(1_001), json!("5"), json!(-1), json!(u64::MAX)]),
        ("since", vec![json!("5"), json!(-1), json!(1.5)]),
    ] {
        for verb in ["events", "audit"] {
            cases.extend(values.iter().map(|value| wrong(verb, name, value.clone())));
        }
    }
    for (name, value) in [
        ("limit", json!(0)),
        ("limit", json!(1_001)),
        ("label", json!(5)),
        ("prefix", json!(5)),
        ("state", json!(5)),
    ] {
        cases.push(wrong("list", name, value));
    }
    for verb in ["list", "start.made", "events"] {
        for text in ["{", "[]", "null", "{} {}", "{\"a\":1,\"a\":1}", "\u{0}"] {
            cases.push(bytes(cmd(verb), text, "BX008"));
        }
    }
    cases
}

fn operators() -> Vec<Case> {
    let mut cases = vec![
        bytes(ops("verfy"), "", "BX008").nearest("verify"),
        bytes(ops("worker"), "", "BX008").nearest("workers"),
        bytes(ops("creat.alice.new"), "", "BX008").nearest("create"),
        bytes(ops("quota"), "", "BX008"),
        bytes(ops("status"), "", "BX008"),
        bytes(ops("status.alice"), "", "BX008").field("vm_id"),
        bytes(ops("stop.alice"), "", "BX008").field("vm_id"),
        bytes(ops("stop.alice.none"), "", "BX010"),
        bytes(ops("stop.nobody.made"), "", "BX010"),
        bytes(ops("create.alice.new"), "{}", "BX008").field("biological_type"),
        json(ops("stop.alice.running"), &json!({ "vm_id": "made" }), "BX008").field("vm_id"),
        json(ops("allocate.alice.made"), &json!({ "ribosomes": 16 }), "BX002").resource("ribosomes"),
        json(ops("workers"), &json!({ "worker": "w1" }), "BX008").field("worker"),
        json(ops("verify"), &json!({ "deep": true }), "BX008").field("deep"),
        bytes(ops("users"), "{", "BX008"),
        json(ops("quota.alice"), &json!({ "max_vm": 5 }), "BX008").field("max_vm").nearest("max_vms"),
    ];
    for verb in ["cordon", "uncordon", "drain", "move", "move.alice", "rebalance", "rebalance.w1"] {
        cases.push(bytes(ops(verb), "", "BX008"));
    }
    for verb in ["cordon.w1", "uncordon.w1", "drain.w1", "move.alice.running", "backup", "snapshot"] {
        cases.push(json(ops(verb), &json!({ "force": true }), "BX008").field("force"));
    }
    cases.push(bytes(ops("move.alice.none"), "", "BX010"));
    for name in ["max_vms", "max_queued", "max_ribosomes", "max_commands_per_second", "max_atp_percentage"] {
        for value in [json!("5"), json!(-1), json!(1e308), json!(true), json!([])] {
            let mut body = json!({});
            body[name] = value;
            cases.push(json(ops("quota.alice"), &body, "BX008").field(name));
        }
    }
    cases
}
