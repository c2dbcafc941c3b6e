//! `bioxen create`: every field of the body as a flag, or a whole body from a file. The fleet judges it, not we.

use std::path::PathBuf;

use bioxen_protocol::command::Verb;
use bioxen_protocol::id::VmId;
use bioxen_protocol::reply::Created;
use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Session;
use crate::exit::Failure;
use crate::render;

/// Without a VM name the fleet makes one up. What is not given is the chassis' default.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    vm: Option<VmId>,
    /// A whole body in a JSON file (- for stdin), instead of the flags; see `bioxen.v1.cmd.<user>.create`
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The chassis: syn3a, ecoli, minimal_cell or weisse2015
    #[arg(
        long = "type",
        alias = "biological-type",
        required_unless_present = "body",
        conflicts_with = "body"
    )]
    biological_type: Option<String>,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Debug, Args)]
#[group(id = "fields", multiple = true, conflicts_with = "body")]
struct Fields {
    /// basic or xcpng
    #[arg(long)]
    vm_type: Option<String>,
    /// Start it at once
    #[arg(long)]
    auto_start: bool,
    /// Percent of the energy supply
    #[arg(long, value_name = "PERCENT", value_parser = from_json_text::<Value>)]
    atp: Option<Value>,
    /// Allocation units; the chassis' most means no cap
    #[arg(long, value_name = "UNITS")]
    ribosomes: Option<u64>,
    /// Memory in KiB
    #[arg(long, value_name = "KIB")]
    memory_kb: Option<u64>,
    /// Where there is no room: reject or queue (queue starts it when there is)
    #[arg(long)]
    on_full: Option<String>,
    /// 1 (first) to 5 (last)
    #[arg(long)]
    priority: Option<u8>,
    /// Decides the trajectory together with the rest; drawn where absent
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long)]
    replicate: Option<u32>,
    /// Simulated minutes at which it completes
    #[arg(long, value_name = "MINUTES", value_parser = from_json_text::<Value>)]
    horizon_minutes: Option<Value>,
    #[arg(long, value_name = "N")]
    horizon_generations: Option<u32>,
    /// ode or stochastic
    #[arg(long)]
    engine: Option<String>,
    /// Simulated seconds per second, or max where there is a horizon
    #[arg(long, value_parser = from_json_text::<Value>)]
    pace: Option<Value>,
    /// Sets a model parameter by its symbol; repeatable
    #[arg(long = "parameter", value_name = "SYMBOL=NUMBER", value_parser = pair)]
    parameters: Vec<(String, Value)>,
    /// Variables to record, comma-separated
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "record_every")]
    record: Vec<String>,
    /// Minutes between recorded points
    #[arg(long, value_name = "MINUTES", value_parser = from_json_text::<Value>, requires = "record")]
    record_every: Option<Value>,
    /// A change known beforehand, as JSON: {"at_minute": 30, "allocation": {"ribosomes": 7}}; repeatable
    #[arg(long, value_name = "JSON", value_parser = from_json_text::<Value>)]
    schedule: Vec<Value>,
    /// At the horizon: stop or release
    #[arg(long)]
    on_complete: Option<String>,
    /// A label to list by; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = xcpng_pair)]
    labels: Vec<(String, Value)>,
    /// The most ATP that it may ever be allocated
    #[arg(long, value_name = "PERCENT", value_parser = from_json_text::<Value>)]
    max_atp: Option<Value>,
    #[arg(long, value_name = "UNITS")]
    max_ribosomes: Option<u64>,
    /// As 512MB, 1GB, or KiB
    #[arg(long, value_name = "AMOUNT", value_parser = from_json_text::<Value>)]
    memory_limit: Option<Value>,
    /// A biological setting, as minimal_mode=true; repeatable
    #[arg(long = "setting", value_name = "NAME=BOOL", value_parser = pair)]
    biological_settings: Vec<(String, Value)>,
    #[arg(long)]
    enable_monitoring: Option<bool>,
    #[arg(long, value_name = "SECONDS")]
    optimization_interval: Option<u64>,
    /// With --vm-type xcpng: the pool that its guest is on, as pool=lab; or, one by one, the fields of a pool of its own
    #[arg(long = "xcpng", value_name = "NAME=VALUE", value_parser = xcpng_pair)]
    xcpng_config: Vec<(String, Value)>,
    /// How long the answer may wait for the predicted doubling time
    #[arg(long, value_name = "MS")]
    wait_ms: Option<u64>,
    /// Takes effect at most once under this id
    #[arg(long)]
    request_id: Option<String>,
}

pub(crate) async fn run(session: &Session, args: CreateArgs) -> Result<(), Failure> {
    let body = match &args.body {
        Some(file) => read_body(file)?,
        None => args.fields.body(args.biological_type),
    };
    let created: Created = session.client.request(Verb::Create, args.vm.as_ref(), &body).await?;
    Ok(render::show(session.json, &created, text)?)
}

fn read_body(file: &std::path::Path) -> Result<Value, Failure> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| Failure::usage(format!("--body {}: {error}", file.display())))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("--body {}: not valid JSON: {error}", file.display())))
}

impl Fields {
    fn body(self, biological_type: Option<String>) -> Value {
        let map = |pairs: Vec<(String, Value)>| pairs.into_iter().collect::<Map<_, _>>();
        let config = object([
            (
                "resource_limits",
                object([
                    ("max_atp", json!(self.max_atp)),
                    ("max_ribosomes", json!(self.max_ribosomes)),
                    ("memory_limit", json!(self.memory_limit)),
                ]),
            ),
            ("biological_settings", json!(map(self.biological_settings))),
            (
                "performance",
                object([
                    ("enable_monitoring", json!(self.enable_monitoring)),
                    ("optimization_interval", json!(self.optimization_interval)),
                ]),
            ),
            ("xcpng_config", json!(map(self.xcpng_config))),
        ]);
        let allocation = object([
            ("atp_percentage", json!(self.atp)),
            ("ribosomes", json!(self.ribosomes)),
            ("memory_kb", json!(self.memory_kb)),
        ]);
        let record = object([("variables", json!(self.record)), ("every_minutes", json!(self.record_every))]);
        object([
            ("biological_type", json!(biological_type)),
            ("vm_type", json!(self.vm_type)),
            ("config", config),
            ("auto_start", json!(self.auto_start.then_some(true))),
            ("allocation", allocation),
            ("on_full", json!(self.on_full)),
            ("priority", json!(self.priority)),
            ("seed", json!(self.seed)),
            ("replicate", json!(self.replicate)),
            ("horizon_minutes", json!(self.horizon_minutes)),
            ("horizon_generations", json!(self.horizon_generations)),
            ("engine", json!(self.engine)),
            ("pace", json!(self.pace)),
            ("parameters", json!(map(self.parameters))),
            ("record", record),
            ("schedule", json!(self.schedule)),
            ("on_complete", json!(self.on_complete)),
            ("labels", json!(map(self.labels))),
            ("wait_ms", json!(self.wait_ms)),
            ("request_id", json!(self.request_id)),
        ])
    }
}

/// Only the fields that say something.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let says = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let fields = fields.into_iter().filter(|(_, value)| says(value));
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A flag's text as JSON has it, or else as a JSON string: `60`, `max` and `queue` read as on the wire.
pub(crate) fn from_json_text<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn pair(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), from_json_text(value)?))
}

/// A field of `xcpng_config`: a text, but for the one that is a number.
pub(super) fn xcpng_pair(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let number = value.parse::<u64>().ok().filter(|_| name == "vm_vcpus");
    Ok((name.to_owned(), number.map_or_else(|| value.into(), Value::from)))
}

fn text(created: &Created) -> String {
    let mut text =
        format!("{} {}: {}, seed {}", created.vm_id, created.state, created.biological_type, created.seed);
    if let Some(position) = created.queue_position {
        text.push_str(&format!("\nqueued at position {position}"));
    }
    if let Some(predicted) = &created.predicted {
        let minutes =
            |time: Option<f64>| time.map_or("never".to_owned(), |minutes| format!("{minutes:.1} min"));
        text.push_str(&format!(
            "\npredicted doubling time {} at this allocation, {} unlimited",
            minutes(predicted.doubling_time_min),
            minutes(predicted.unlimited_doubling_time_min)
        ));
    }
    for warning in &created.warnings {
        text.push_str(&format!("\nwarning: {warning}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn body(flags: &[&str]) -> Value {
        let line = ["bioxen", "create", "c1", "--type", "syn3a"].iter().chain(flags);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Create(args) => args.fields.body(args.biological_type),
            other => panic!("read as {other:?}"),
        }
    }

    #[test]
    fn flags_make_the_body_that_a_client_would_write() {
        assert_eq!(body(&[]), json!({ "biological_type": "syn3a" }));
        let flags =
            ["--atp", "33.5", "--pace", "max", "--parameter", "s0=1e4", "--setting", "minimal_mode=true"];
        assert_eq!(
            body(&flags),
            json!({
                "biological_type": "syn3a",
                "allocation": { "atp_percentage": 33.5 },
                "pace": "max",
                "parameters": { "s0": 1e4 },
                "config": { "biological_settings": { "minimal_mode": true } },
            })
        );
    }

    #[test]
    fn every_field_of_create_has_its_flag() {
        let flags = "--vm-type basic --auto-start --atp 50 --ribosomes 5 --memory-kb 1024 --on-full queue \
            --priority 1 --seed 7 --replicate 2 --horizon-minutes 60 --horizon-generations 3 --engine ode --pace 60 \
            --parameter s0=1 --record atp,growth --record-every 0.5 --schedule {\"at_minute\":30} --on-complete stop \
            --label lab=west --max-atp 60 --max-ribosomes 9 --memory-limit 512MB --setting strict_mode=false \
            --enable-monitoring true --optimization-interval 5 --xcpng host=a --wait-ms 100 --request-id r1";
        let sent = body(&flags.split_whitespace().collect::<Vec<_>>());
        let create: bioxen_protocol::command::Create = serde_json::from_value(sent.clone()).unwrap();
        // What the wire's type knows beyond the flags is the name, which the subject carries.
        let known = serde_json::to_value(&create).unwrap();
        assert_eq!(known.as_object().unwrap().len(), sent.as_object().unwrap().len());
    }

    #[test]
    fn a_body_from_a_file_and_flags_exclude_each_other() {
        let line = ["bioxen", "create", "--body", "b.json", "--seed", "1"];
        assert!(Cli::try_parse_from(line).is_err());
        assert!(Cli::try_parse_from(["bioxen", "create", "c1"]).is_err());
    }
}
