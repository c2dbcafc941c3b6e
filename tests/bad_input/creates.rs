//! `create` with a field that is wrong: its type, its range, its name, its place, its size.

use serde_json::{Value, json};

use crate::case::{Case, json};

const CREATE: &str = "bioxen.v1.cmd.alice.create.new";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = wrong_types();
    cases.extend(out_of_range());
    cases.extend(schedules());
    cases.extend(not_in_this_version());
    cases.extend(unknown_names());
    cases.extend(sizes());
    cases.extend(ids());
    cases.extend(above_most());
    cases
}

/// A `create` that would be accepted but for the value at `path`, such as `allocation.ribosomes`.
fn with(path: &str, value: Value) -> Value {
    let mut body = json!({ "biological_type": "syn3a" });
    let mut at = &mut body;
    for step in path.split('.') {
        at = &mut at[step];
    }
    *at = value;
    body
}

fn wrong(path: &str, value: Value, code: &'static str) -> Case {
    json(CREATE, &with(path, value), code).field(path)
}

fn wrong_types() -> Vec<Case> {
    let flags = [json!(1), json!("true"), json!([]), json!({})];
    let texts = [json!(5), json!(true), json!([]), json!({})];
    let wholes = [json!("7"), json!(true), json!([7]), json!({}), json!(7.5), json!(1e308)];
    let numbers = [json!("7"), json!(true), json!([7]), json!({}), json!(1e308)];
    let objects = [json!(5), json!("x"), json!([]), json!(true)];
    let lists = [json!(5), json!("x"), json!({}), json!(true)];
    let mut table: Vec<(&str, &[Value])> = vec![
        ("request_id", &texts),
        ("vm_id", &texts),
        ("biological_type", &texts),
        ("vm_type", &texts),
        ("auto_start", &flags),
        ("on_full", &texts),
        ("priority", &wholes),
        ("seed", &wholes),
        ("replicate", &wholes),
        ("horizon_minutes", &numbers),
        ("horizon_generations", &wholes),
        ("engine", &texts),
        ("on_complete", &texts),
        ("wait_ms", &wholes),
        ("config", &objects),
        ("allocation", &objects),
        ("parameters", &objects),
        ("record", &objects),
        ("labels", &objects),
        ("schedule", &lists),
    ];
    table.extend([
        ("allocation.atp_percentage", &numbers[..]),
        ("allocation.ribosomes", &wholes),
        ("allocation.memory_kb", &wholes),
        ("config.resource_limits", &objects),
        ("config.resource_limits.max_atp", &numbers),
        ("config.resource_limits.max_ribosomes", &wholes),
        ("config.biological_settings", &objects),
        ("config.biological_settings.strict_mode", &flags),
        ("config.performance", &objects),
        ("config.performance.enable_monitoring", &flags),
        ("config.performance.optimization_interval", &wholes),
        ("config.xcpng_config", &objects),
        ("labels.of", &texts),
        ("parameters.vmax", &[]),
    ]);
    let mut cases: Vec<Case> = table
        .into_iter()
        .flat_map(|(path, values)| values.iter().map(move |value| wrong(path, value.clone(), "BX008")))
        .collect();
    for value in [
        json!(true),
        json!([]),
        json!("12 parsecs"),
        json!("1.5GB"),
        json!(12.5),
        json!("99999999999999999999GB"),
    ] {
        cases.push(wrong("config.resource_limits.memory_limit", value, "BX008"));
    }
    for value in
        [json!(true), json!([]), json!({}), json!("fast"), json!(0), json!(0.0001), json!(1e7), json!(1e308)]
    {
        cases.push(wrong("pace", value, "BX008"));
    }
    for name in
        ["biological_type", "auto_start", "allocation", "on_full", "priority", "engine", "labels", "schedule"]
    {
        cases.push(wrong(name, Value::Null, "BX008"));
    }
    cases
}

fn out_of_range() -> Vec<Case> {
    let mut cases = Vec::new();
    for path in [
        "priority",
        "seed",
        "replicate",
        "horizon_minutes",
        "horizon_generations",
        "wait_ms",
        "pace",
        "allocation.atp_percentage",
        "allocation.ribosomes",
        "allocation.memory_kb",
        "parameters.vmax",
        "config.resource_limits.max_atp",
        "config.resource_limits.memory_limit",
    ] {
        cases.push(wrong(path, json!(-1), "BX008"));
        cases.push(wrong(path, json!(-1e-9), "BX008"));
    }
    for (path, value) in [
        ("priority", json!(0)),
        ("priority", json!(6)),
        ("priority", json!(256)),
        ("seed", json!(18_446_744_073_709_551_616.0)),
        ("replicate", json!(4_294_967_296u64)),
        ("horizon_minutes", json!(0)),
        ("horizon_minutes", json!(0.05)),
        ("horizon_minutes", json!(5_256_000_001u64)),
        ("wait_ms", json!(30_001)),
        ("allocation.atp_percentage", json!(0)),
        ("allocation.atp_percentage", json!(33.33333)),
        ("allocation.ribosomes", json!(0)),
        ("allocation.ribosomes", json!(12.5)),
        ("allocation.memory_kb", json!(0)),
    ] {
        cases.push(wrong(path, value, "BX008"));
    }
    cases.push(wrong("pace", json!("max"), "BX005"));
    for (path, value) in [
        ("config.resource_limits.max_atp", json!(71)),
        ("config.resource_limits.max_ribosomes", json!(16)),
        ("config.resource_limits.memory_limit", json!("513MB")),
        ("config.resource_limits.max_atp", json!(0)),
        ("config.resource_limits.max_ribosomes", json!(0)),
        ("config.resource_limits.memory_limit", json!("0MB")),
    ] {
        cases.push(wrong(path, value, "BX005"));
    }
    cases
}

fn schedules() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, changes) in [
        ("schedule[0]", json!([5])),
        ("schedule[0].at_minute", json!([{ "parameters": { "vmax": 1 } }])),
        ("schedule[0].at_minute", json!([{ "at_minute": 0.05, "allocation": { "ribosomes": 5 } }])),
        ("schedule[0].at_minute", json!([{ "at_minute": -1, "allocation": { "ribosomes": 5 } }])),
        ("schedule[0].at_minute", json!([{ "at_minute": 1e308, "allocation": { "ribosomes": 5 } }])),
        (
            "schedule[1].at_minute",
            json!([{ "at_minute": 1, "allocation": { "ribosomes": 5 } }, { "at_minute": "2" }]),
        ),
        ("schedule[0].allocation.ribosomes", json!([{ "at_minute": 5, "allocation": { "ribosomes": 1.5 } }])),
        ("schedule", json!([{ "at_minute": 5 }])),
        ("schedule", json!(vec![json!({ "at_minute": 5, "allocation": { "ribosomes": 5 } }); 257])),
    ] {
        cases.push(json(CREATE, &with("schedule", changes), "BX008").field(field));
    }
    for changes in
        [json!({ "ribosomes": 11 }), json!({ "atp_percentage": 60.001 }), json!({ "memory_kb": 524_289 })]
    {
        let schedule = json!([{ "at_minute": 5, "allocation": changes }]);
        cases.push(json(CREATE, &with("schedule", schedule), "BX005").field("schedule.allocation"));
    }
    cases
}

fn not_in_this_version() -> Vec<Case> {
    let record = json!({ "variables": ["atq"], "every_minutes": 1 });
    let call = json!([{ "at_minute": 5, "call": "test_proces()" }]);
    vec![
        json(CREATE, &with("vm_type", json!("xcpng")), "BX005").field("config.xcpng_config.pool"),
        wrong("horizon_generations", json!(3), "BX005"),
        json(CREATE, &with("record", record), "BX005").field("record.variables").nearest("atp"),
        wrong("config.xcpng_config", json!({}), "BX005"),
        json(CREATE, &with("schedule", call), "BX016").field("schedule.call"),
    ]
}

fn unknown_names() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, nearest) in [
        ("syn3", Some("syn3a")),
        ("SYN3A", None),
        ("e_coli", Some("ecoli")),
        ("minimalcell", Some("minimal_cell")),
        ("", None),
        ("syn3a ", Some("syn3a")),
        ("../syn3a", None),
        ("human", None),
    ] {
        let case = wrong("biological_type", json!(name), "BX003");
        cases.push(nearest.into_iter().fold(case, Case::nearest));
    }
    for (path, nearest) in [
        ("biologicaltype", "biological_type"),
        ("vmtype", "vm_type"),
        ("Priority", "priority"),
        ("sead", "seed"),
        ("horizon_minute", "horizon_minutes"),
        ("allocation.atp", "atp_percentage"),
        ("allocation.ribosome", "ribosomes"),
        ("allocation.memory_kib", "memory_kb"),
        ("config.resource_limit", "resource_limits"),
        ("config.resource_limits.max_atpp", "max_atp"),
        ("config.resource_limits.maximum_ribosomes", "max_ribosomes"),
        ("config.biological_settings.strictmode", "strict_mode"),
        ("config.performance.monitoring", "enable_monitoring"),
        ("record.variable", "variables"),
    ] {
        let mut body = with(path, json!(1));
        if path.starts_with("record") {
            body["record"]["every_minutes"] = json!(1);
        }
        let case = json(CREATE, &body, "BX008").field(path);
        // Some likenesses are nobody's: then the known names are listed.
        cases.push(if path.ends_with("monitoring") { case } else { case.nearest(nearest) });
    }
    let change = json!([{ "at_minutes": 5, "allocation": { "ribosomes": 5 } }]);
    cases.push(
        json(CREATE, &with("schedule", change), "BX008").field("schedule[0].at_minutes").nearest("at_minute"),
    );
    // Nobody creates in another's name.
    for name in ["user", "owner", "operator", "as", "verb"] {
        cases.push(wrong(name, json!("bob"), "BX008"));
    }
    for (path, value, nearest) in [
        ("vm_type", "basick", "basic"),
        ("on_full", "queued", "queue"),
        ("engine", "odes", "ode"),
        ("on_complete", "stopp", "stop"),
    ] {
        cases.push(wrong(path, json!(value), "BX008").nearest(nearest));
    }
    for (name, value) in [("no_such", 1.0), ("vmaxx", 1.0), ("", 1.0), ("vmax; drop", 1.0), ("gmax", 1e308)] {
        let mut body = json!({ "biological_type": "weisse2015" });
        body["parameters"][name] = json!(value);
        cases.push(json(CREATE, &body, "BX005").field("parameters"));
        let mut body = json!({ "biological_type": "weisse2015" });
        body["schedule"] = json!([{ "at_minute": 5, "parameters": { name: value } }]);
        cases.push(json(CREATE, &body, "BX005"));
    }
    cases.push(json(CREATE, &json!({}), "BX008").field("biological_type"));
    cases.push(
        json(CREATE, &json!({ "biological_types": "syn3a" }), "BX008")
            .field("biological_types")
            .nearest("biological_type"),
    );
    cases
}

/// 10 KB where a word is expected.
fn sizes() -> Vec<Case> {
    let long = "x".repeat(10 * 1024);
    let escapes = "\u{1}\u{7f}\"\\\r\n".repeat(2_000);
    let mut cases = Vec::new();
    for text in [&long, &escapes] {
        cases.push(wrong("biological_type", json!(text), "BX003"));
        for name in ["vm_type", "engine", "on_full", "on_complete", "request_id", "vm_id", "pace", "seed"] {
            cases.push(wrong(name, json!(text), "BX008"));
        }
        cases.push(wrong("config.resource_limits.memory_limit", json!(text), "BX008"));
        cases.push(json(CREATE, &json!({ "biological_type": "syn3a", text.as_str(): 1 }), "BX008"));
        cases.push(json(CREATE, &json!({ "biological_type": "syn3a", text.as_str(): -1 }), "BX008"));
        cases.push(
            json(CREATE, &json!({ "biological_type": "syn3a", "labels": { "a": text } }), "BX008")
                .field("labels"),
        );
        cases.push(
            json(CREATE, &json!({ "biological_type": "syn3a", "labels": { text.as_str(): "" } }), "BX008")
                .field("labels"),
        );
        cases.push(json(
            CREATE,
            &json!({ "biological_type": "syn3a", "parameters": { text.as_str(): 1 } }),
            "BX005",
        ));
    }
    let labels: serde_json::Map<String, Value> =
        (0..33).map(|label| (label.to_string(), json!(""))).collect();
    cases.push(wrong("labels", Value::Object(labels), "BX008"));
    cases.push(wrong("labels", json!({ "": "nameless" }), "BX008"));
    let parameters: serde_json::Map<String, Value> =
        (0..65).map(|name| (name.to_string(), json!(1))).collect();
    cases.push(wrong("parameters", Value::Object(parameters), "BX008"));
    cases
}

fn ids() -> Vec<Case> {
    let long = "a".repeat(64);
    let too_long = "r".repeat(129);
    let mut cases = Vec::new();
    for id in [
        "",
        "a.b",
        "a b",
        "*",
        ">",
        "-a",
        "_a",
        "a\u{0}",
        "é",
        "a/b",
        "a\n",
        long.as_str(),
        "..",
        "$x",
        "new ",
    ] {
        cases.push(wrong("vm_id", json!(id), "BX008"));
    }
    for id in ["", "a b", "a\u{0}", "é", "a\tb", "a\r\nNats-Service-Error: x", too_long.as_str()] {
        cases.push(wrong("request_id", json!(id), "BX008"));
    }
    cases.push(wrong("vm_id", json!("other"), "BX008"));
    let body = json!({ "biological_type": "syn3a", "request_id": "r1" });
    cases.push(json(CREATE, &body, "BX008").field("request_id").header("Nats-Msg-Id", "r2"));
    let bare = json!({ "biological_type": "syn3a" });
    for id in ["", "a b", too_long.as_str()] {
        cases.push(json(CREATE, &bare, "BX008").field("request_id").header("Nats-Msg-Id", id));
    }
    cases
}

fn above_most() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, value) in [
        ("atp_percentage", json!(70.001)),
        ("atp_percentage", json!(100)),
        ("atp_percentage", json!(1e9)),
        ("ribosomes", json!(16)),
        ("ribosomes", json!(u32::MAX)),
        ("ribosomes", json!(u64::MAX)),
        ("memory_kb", json!(524_289)),
        ("memory_kb", json!(u64::MAX)),
    ] {
        cases.push(json(CREATE, &with(&format!("allocation.{name}"), value), "BX002").resource(name));
    }
    let limited = json!({ "biological_type": "syn3a", "allocation": { "ribosomes": 9 },
        "config": { "resource_limits": { "max_ribosomes": 8 } } });
    cases.push(json(CREATE, &limited, "BX002").resource("ribosomes"));
    cases
}
