//! The limits of a fleet for development: generous defaults, a file's over them, single settings over both.

use std::path::Path;

use bioxen_protocol::config::{ResourceConfig, WorkerConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::exit::Failure;

/// What the sections `[resources]` and `[worker]` say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DevConfig {
    pub(super) resources: ResourceConfig,
    pub(super) worker: WorkerConfig,
}

/// Room for thousands of cells on one machine; users stay at 10 VMs.
const DEFAULTS: &str = "
[resources]
max_concurrent_vms = 2000
global_atp_limit = 100000.0
global_ribosome_limit = 50000
[worker]
max_vms = 1000
total_ribosomes = 20000
";

impl DevConfig {
    pub(super) fn read(file: Option<&Path>, set: &[String]) -> Result<Self, Failure> {
        let mut table = parse(DEFAULTS, "the defaults")?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("--config {}: {error}", path.display())))?;
            overlay(&mut table, parse(&text, &path.display().to_string())?);
        }
        for setting in set {
            overlay(&mut table, setting_of(setting)?);
        }
        let config: Self =
            table.try_into().map_err(|error| Failure::usage(format!("configuration: {error}")))?;
        config.worker.usable_ribosomes().map_err(|error| Failure::usage(format!("[worker]: {error}")))?;
        Ok(config)
    }

    /// The file that a coordinator reads.
    pub(super) fn coordinator_toml(&self) -> Result<String, Failure> {
        section("resources", &self.resources)
    }

    /// The file that a worker reads.
    pub(super) fn worker_toml(&self) -> Result<String, Failure> {
        section("worker", &self.worker)
    }
}

fn section<T: Serialize>(name: &str, settings: &T) -> Result<String, Failure> {
    let whole = std::collections::BTreeMap::from([(name, settings)]);
    let text = toml::to_string(&whole).map_err(|error| Failure::other(format!("[{name}]: {error}")))?;
    Ok(format!(
        "# Written by `bioxen dev` at each start; give --config or --set instead of changing it.\n{text}"
    ))
}

fn parse(text: &str, origin: &str) -> Result<Table, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{origin} is not TOML: {error}")))
}

fn setting_of(setting: &str) -> Result<Table, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "--set {setting:?}: expected SECTION.NAME=VALUE, as resources.global_atp_limit=1000 or resources.chassis.syn3a.max_atp=100"
        ))
    };
    let (path, text) = setting.split_once('=').ok_or_else(wrong)?;
    let names: Vec<&str> = path.trim().split('.').collect();
    let [_, _, ..] = names[..] else { return Err(wrong()) };
    if names.iter().any(|name| name.is_empty()) {
        return Err(wrong());
    }
    // What is no TOML value is text, so that quotes are not needed.
    let line: Option<Table> = format!("value = {text}").parse().ok();
    let value = line.and_then(|mut line| line.remove("value"));
    let value = value.unwrap_or_else(|| Value::String(text.trim().to_owned()));
    let whole = names
        .into_iter()
        .rev()
        .fold(value, |inner, name| Value::Table(Table::from_iter([(name.to_owned(), inner)])));
    whole.try_into().map_err(|_| wrong())
}

/// Lays `over` onto `under`, table by table.
fn overlay(under: &mut Table, over: Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Table(under)), Value::Table(over)) => overlay(under, over),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bioxen_protocol::quantity::AtpPercent;

    use super::*;

    fn set(settings: &[&str]) -> Result<DevConfig, Failure> {
        DevConfig::read(None, &settings.iter().map(|setting| (*setting).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_fleet_for_development_has_room_but_users_keep_their_limit() {
        let config = set(&[]).unwrap();
        assert_eq!(config.resources.global_atp_limit, AtpPercent(100_000_000));
        assert_eq!((config.resources.max_concurrent_vms, config.resources.max_vms_per_user), (2000, 10));
        assert_eq!((config.worker.max_vms, config.worker.total_ribosomes), (1000, 20_000));
    }

    #[test]
    fn single_settings_lie_over_the_file_and_the_file_over_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.toml");
        std::fs::write(
            &path,
            "[resources]\nglobal_atp_limit = 500\nplacement = \"spread\"\n[worker]\nmax_vms = 7\n",
        )
        .unwrap();
        let settings = ["resources.global_atp_limit=1000", "resources.placement=bin_pack"].map(str::to_owned);
        let config = DevConfig::read(Some(&path), &settings).unwrap();
        assert_eq!(config.resources.global_atp_limit, AtpPercent(1_000_000));
        assert_eq!(config.resources.placement, bioxen_protocol::config::Placement::BinPack);
        assert_eq!((config.worker.max_vms, config.worker.total_ribosomes), (7, 20_000));
    }

    #[test]
    fn what_no_program_would_read_is_refused() {
        for wrong in [
            "global_atp_limit=1",
            "resources.nonsense=1",
            "fleet.x=1",
            "worker.threads=0",
            "worker=1",
            "worker..x=1",
        ] {
            assert!(set(&[wrong]).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn the_files_written_read_back_as_the_same_settings() {
        let settings = ["resources.max_ribosomes_per_user=40", "resources.chassis.syn3a.max_atp=100"];
        let config = set(&settings).unwrap();
        assert_eq!(config.resources.chassis["syn3a"].max_atp, Some(AtpPercent::FULL));
        let text = format!("{}\n{}", config.coordinator_toml().unwrap(), config.worker_toml().unwrap());
        assert_eq!(toml::from_str::<DevConfig>(&text).unwrap(), config);
    }
}
