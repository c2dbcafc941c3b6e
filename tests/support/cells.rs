//! Cells drawn at random, VMs made from them, and their comparison with `bioxen simulate`, to the bit.
//!
//! It knows of a VM what any client could know.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{TestFleet, ask, ask_until, assert_clean, code, program};
use async_nats::Client;
use serde_json::{Value, json};

pub const USER: &str = "alice";

/// A chassis with the most that a VM of it may hold: percent of ATP, ribosome units.
#[derive(Debug, Clone, Copy)]
pub struct Chassis {
    pub name: &'static str,
    pub most_atp: f64,
    pub most_ribosomes: u64,
}

pub const CHASSIS: [Chassis; 4] = [
    Chassis { name: "syn3a", most_atp: 70.0, most_ribosomes: 15 },
    Chassis { name: "ecoli", most_atp: 90.0, most_ribosomes: 30 },
    Chassis { name: "minimal_cell", most_atp: 60.0, most_ribosomes: 12 },
    Chassis { name: "weisse2015", most_atp: 100.0, most_ribosomes: 15 },
];

/// SplitMix64: enough to draw test cases, and the same ones again from a printed seed.
#[derive(Debug)]
pub struct Draw(AtomicU64);

impl Draw {
    /// From BIOXEN_TEST_SEED, or from the time; the seed is printed.
    #[expect(clippy::print_stdout, reason = "a failure is repeated with the seed")]
    pub fn new(what: &str) -> Self {
        let given = std::env::var("BIOXEN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        let seed = given.unwrap_or(u64::from(since.subsec_nanos()) << 32 | since.as_secs());
        println!("{what}: BIOXEN_TEST_SEED={seed}");
        Self(AtomicU64::new(seed))
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn whole(&self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// With three decimals, as percentages have at most.
    pub fn number(&self, low: f64, high: f64) -> f64 {
        let share = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((low + share * (high - low)) * 1000.0).round() / 1000.0
    }
}

/// What decides a trajectory, in the words of `create` and of `bioxen simulate`.
#[derive(Debug, Clone)]
pub struct Spec {
    pub chassis: Chassis,
    pub atp: f64,
    pub ribosomes: u64,
    pub parameters: BTreeMap<&'static str, f64>,
    /// (minute, what, value): `atp`, `ribosomes` or a symbol.
    pub changes: Vec<(f64, &'static str, f64)>,
}

impl Spec {
    pub fn drawn(draw: &Draw, chassis: Chassis) -> Self {
        Self {
            chassis,
            atp: draw.number(10.0, chassis.most_atp),
            ribosomes: draw.whole(2, chassis.most_ribosomes),
            parameters: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    pub fn with_parameters(mut self, draw: &Draw) -> Self {
        self.parameters.insert("s0", draw.number(100.0, 100_000.0));
        self.parameters.insert("cl", draw.number(0.5, 6.0));
        self.parameters.insert("wp", draw.number(1.0, 40.0));
        self
    }

    /// Two changes of the medium and one of the allocation, before minute 20.
    pub fn with_changes(mut self, draw: &Draw) -> Self {
        let first = draw.whole(1, 90) as f64 / 10.0;
        let second = draw.whole(91, 190) as f64 / 10.0;
        self.changes.push((first, "cl", draw.number(0.5, 8.0)));
        // Never above the VM's own allocation.
        self.changes.push((second, "atp", draw.number(5.0, self.atp)));
        self.changes.push((second, "ribosomes", draw.whole(1, self.ribosomes) as f64));
        self.changes.push((19.9, "s0", draw.number(100.0, 10_000.0)));
        self
    }

    /// The body of `create`; `more` is added to it.
    pub fn body(&self, more: Value) -> Value {
        let mut body = json!({
            "biological_type": self.chassis.name,
            "allocation": { "atp_percentage": self.atp, "ribosomes": self.ribosomes, "memory_kb": 64 },
            "parameters": self.parameters,
            "schedule": self.changes.iter().map(scheduled).collect::<Vec<_>>(),
        });
        if let (Value::Object(fields), Value::Object(more)) = (&mut body, more) {
            fields.extend(more);
        }
        body
    }

    /// What `bioxen simulate` says of this cell at `minutes`.
    pub fn simulated(&self, minutes: f64) -> Value {
        let mut command = program("bioxen");
        command.args(["simulate", self.chassis.name, "--atp", &self.atp.to_string()]);
        command.args(["--ribosomes", &self.ribosomes.to_string(), "--minutes", &minutes.to_string()]);
        for (name, value) in &self.parameters {
            command.args(["--set", &format!("{name}={value}")]);
        }
        for (at, name, value) in self.changes.iter().filter(|(at, ..)| *at <= minutes) {
            command.args(["--at", &format!("{at}:{name}={value}")]);
        }
        let done = command.output().expect("bioxen runs");
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("figures in JSON")
    }
}

fn scheduled((at_minute, name, value): &(f64, &str, f64)) -> Value {
    match *name {
        "atp" => json!({ "at_minute": at_minute, "allocation": { "atp_percentage": value } }),
        "ribosomes" => json!({ "at_minute": at_minute, "allocation": { "ribosomes": value } }),
        symbol => json!({ "at_minute": at_minute, "parameters": { symbol: value } }),
    }
}

/// A VM of [`USER`] and what it must agree with.
#[derive(Debug)]
pub struct Vm<'a> {
    pub client: &'a Client,
    pub name: String,
    pub spec: Spec,
}

impl<'a> Vm<'a> {
    /// Creates it; `more` is added to the body.
    pub async fn create(client: &'a Client, name: String, spec: Spec, more: Value) -> Self {
        let vm = Self { client, name, spec };
        let created = vm.ask("create", vm.spec.body(more)).await;
        assert_eq!(created["status"], "created", "{}: {created}", vm.name);
        vm
    }

    pub async fn ask(&self, verb: &str, body: Value) -> Value {
        ask(self.client, &subject(verb, &self.name), &body).await
    }

    /// Asks for a state and waits for it.
    pub async fn reach(&self, verb: &str, state: &str) {
        let answer = self.ask(verb, json!({ "wait_ms": 30_000 })).await;
        assert_eq!(answer["state"], state, "{}: {answer}", self.name);
    }

    /// Waits until it has simulated beyond `minutes`; where it then stands.
    pub async fn passes(&self, minutes: f64) -> f64 {
        let subject = subject("status", &self.name);
        let beyond = |status: &Value| minutes_of(status) > minutes;
        minutes_of(&ask_until(self.client, &subject, &Value::Null, beyond).await)
    }

    pub async fn completes(&self) {
        let subject = subject("status", &self.name);
        let ended = |status: &Value| matches!(status["state"].as_str(), Some("stopped" | "failed"));
        let status = ask_until(self.client, &subject, &Value::Null, ended).await;
        assert_eq!(
            (&status["state"], &status["reason"]),
            (&json!("stopped"), &json!("completed")),
            "{status}"
        );
    }

    /// Compares its metrics, wherever it now stands, to the bit; the minute of the comparison.
    pub async fn agrees(&self) -> f64 {
        // Between two states nobody may have it; a client then asks again, as BX014 says.
        let answered = |answer: &Value| code(answer) != "BX014";
        let metrics = ask_until(self.client, &subject("metrics", &self.name), &Value::Null, answered).await;
        let minutes = minutes_of(&metrics);
        same(
            &metrics,
            &self.spec.simulated(minutes),
            &format!("{} at {minutes} min: {:?}", self.name, self.spec),
        );
        minutes
    }
}

pub fn subject(verb: &str, vm: &str) -> String {
    format!("bioxen.v1.cmd.{USER}.{verb}.{vm}")
}

pub fn minutes_of(answer: &Value) -> f64 {
    answer["simulated_minutes"].as_f64().unwrap_or_else(|| panic!("no simulated_minutes in {answer}"))
}

/// The simulated minute that an event `allocated` tells.
pub fn minute_in_effect(event: &Value) -> f64 {
    let reason = event["reason"].as_str().unwrap_or_default();
    let minute = reason.split_once("from minute ").and_then(|(_, rest)| rest.split_once(':'));
    minute.and_then(|(minute, _)| minute.parse().ok()).unwrap_or_else(|| panic!("no minute in {event}"))
}

/// Every figure of `metrics`, to the bit.
fn same(metrics: &Value, simulated: &Value, what: &str) {
    const FIGURES: [&str; 13] = [
        "simulated_minutes",
        "growth_rate_per_min",
        "doubling_time_min",
        "atp",
        "atp_level",
        "ribosomes_total",
        "ribosomes_active",
        "ribosome_mass_fraction",
        "enzyme_mass_fraction",
        "protein_total",
        "mrna_total",
        "mass_closure",
        "energy_closure",
    ];
    for name in FIGURES {
        let (found, expected) = (metrics[name].as_f64(), simulated[name].as_f64());
        assert!(found.is_some(), "{what}: no {name} in {metrics}");
        assert_eq!(
            found.map(f64::to_bits),
            expected.map(f64::to_bits),
            "{what}: {name} {found:?}, {expected:?}"
        );
    }
    let fields = metrics.as_object().expect("metrics are an object");
    for (name, value) in
        fields.iter().filter(|(name, _)| !matches!(name.as_str(), "vm_id" | "biological_type"))
    {
        assert_eq!(simulated.get(name), Some(value), "{what}: {name}");
    }
}

/// Lets [`USER`] have 200 VMs.
pub async fn raise_quota(client: &Client) {
    let subject = format!("bioxen.v1.ops.tester.quota.{USER}");
    let quota = ask(client, &subject, &json!({ "max_vms": 200 })).await;
    assert_eq!(quota["max_vms"], 200, "{quota}");
}

/// A hundred other VMs that run for ever, on the same worker.
pub async fn crowd(client: &Client, draw: &Draw) {
    for number in 0..100 {
        let spec = Spec::drawn(draw, CHASSIS[number % CHASSIS.len()]);
        let more = json!({ "auto_start": true, "pace": 60 });
        Vm::create(client, format!("crowd-{number}"), spec, more).await;
    }
    let all_run = |fleet: &Value| fleet["states"]["running"] == 100;
    ask_until(client, &format!("bioxen.v1.cmd.{USER}.fleet"), &Value::Null, all_run).await;
}

/// The fleet's verdict on itself after everything.
pub async fn is_clean(fleet: &TestFleet) {
    let client = fleet.connect().await;
    assert_clean(&client).await;
}
