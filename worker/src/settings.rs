//! What an operator sets of a worker: a file's `[worker]` section, single settings over it, then the command line.
//!
//! It reads and checks; it starts nothing. `[xcpng]` is read too; other sections of the file belong to other programs and
//! are passed over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bioxen_protocol::command::VmType;
use bioxen_protocol::config::{InvalidWorkerConfig, WorkerConfig};
use bioxen_protocol::id::{InvalidId, WorkerId};
use serde::Deserialize;
use toml::{Table, Value};

use crate::xcpng::config::{Checked, InvalidPool, OwnPoolsSettings, PoolSettings, Section, checked};

pub const DEFAULT_URL: &str = "nats://127.0.0.1:4222";
pub const DEFAULT_HTTP_PORT: u16 = 8081;
const SECTION: &str = "worker";
const POOLS: &str = "xcpng";

/// All settings of one worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub url: String,
    pub name: WorkerId,
    /// Metrics and health on loopback; 0 takes a free port.
    pub http_port: u16,
    /// A folder of chassis packs beside the program's own.
    pub packs: Option<PathBuf>,
    /// What VMs run on here.
    pub backend: VmType,
    pub worker: WorkerConfig,
    /// XCP-ng pools by name.
    pub pools: BTreeMap<String, PoolSettings>,
    /// For pools that VMs bring along; absent: it takes none such.
    pub own_pools: Option<OwnPoolsSettings>,
}

/// What stands above the file: given on the command line or in the environment.
#[derive(Debug, Clone, Default)]
pub struct Given {
    pub url: Option<String>,
    pub name: Option<String>,
    pub http_port: Option<u16>,
    pub packs: Option<PathBuf>,
    pub file: Option<PathBuf>,
    /// `worker.max_vms=16`.
    pub set: Vec<String>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    #[error("cannot read {path} ({source}); name a readable TOML file")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not TOML: {source}")]
    Toml { path: PathBuf, source: toml::de::Error },
    #[error("--set {0:?} is not a setting; expected worker.NAME=VALUE such as worker.max_vms=16")]
    Set(String),
    #[error("[worker] in {origin}: {source}")]
    Section { origin: String, source: toml::de::Error },
    #[error("[xcpng] in {origin}: {source}")]
    Pools { origin: String, source: toml::de::Error },
    #[error(transparent)]
    Pool(#[from] InvalidPool),
    #[error(
        "worker.backend is \"xcpng\" and no pool is there: name one in [xcpng.pools.NAME] of the worker's file, or set [xcpng.own_pools]"
    )]
    NoPools,
    #[error("worker.backend is {0:?}: expected \"basic\" or \"xcpng\"")]
    Backend(String),
    #[error("{0}; choose a name with --name")]
    Name(#[from] InvalidId),
    #[error(transparent)]
    Config(#[from] InvalidWorkerConfig),
}

/// The keys of `[worker]` beside those of [`WorkerConfig`].
#[derive(Debug, Default, Deserialize)]
struct Program {
    url: Option<String>,
    name: Option<String>,
    http_port: Option<u16>,
    packs: Option<PathBuf>,
    backend: Option<String>,
}

impl Settings {
    /// Reads the file, lays the single settings over it and the rest over both.
    ///
    /// # Errors
    /// What cannot be read, is unknown, or does not fit together.
    pub fn read(given: Given) -> Result<Self, BadSettings> {
        let mut file = given.file.as_deref().map(tables_of).transpose()?.unwrap_or_default();
        let mut section = file.remove(SECTION).unwrap_or_default();
        let (pools, own_pools) = read_pools(&given, file.remove(POOLS).unwrap_or_default())?;
        for setting in &given.set {
            set(&mut section, setting)?;
        }
        let origin = match &given.file {
            Some(path) => format!("{} and --set", path.display()),
            None => "--set".to_owned(),
        };
        let wrong = |source| BadSettings::Section { origin: origin.clone(), source };
        let mut own = Table::new();
        for key in ["url", "name", "http_port", "packs", "backend"] {
            own.extend(section.remove_entry(key));
        }
        let program: Program = own.try_into().map_err(wrong)?;
        let backend = match program.backend.as_deref() {
            None | Some("basic") => VmType::Basic,
            Some("xcpng") if pools.is_empty() && own_pools.is_none() => return Err(BadSettings::NoPools),
            Some("xcpng") => VmType::Xcpng,
            Some(other) => return Err(BadSettings::Backend(other.to_owned())),
        };
        let worker: WorkerConfig = section.try_into().map_err(wrong)?;
        worker.usable_ribosomes()?;
        let name = given.name.or(program.name).unwrap_or_else(name_of_host);
        Ok(Self {
            url: given.url.or(program.url).unwrap_or_else(|| DEFAULT_URL.to_owned()),
            name: name.parse()?,
            http_port: given.http_port.or(program.http_port).unwrap_or(DEFAULT_HTTP_PORT),
            packs: given.packs.or(program.packs),
            backend,
            worker,
            pools,
            own_pools,
        })
    }

    /// The pools of a file alone, for who wants to look at one.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn read_pools(file: &Path) -> Result<BTreeMap<String, PoolSettings>, BadSettings> {
        let given = Given { file: Some(file.to_owned()), ..Given::default() };
        Ok(read_pools(&given, tables_of(file)?.remove(POOLS).unwrap_or_default())?.0)
    }
}

fn read_pools(given: &Given, section: Table) -> Result<Checked, BadSettings> {
    let origin = || given.file.as_deref().map_or_else(String::new, |path| path.display().to_string());
    let section: Section =
        section.try_into().map_err(|source| BadSettings::Pools { origin: origin(), source })?;
    Ok(checked(section)?)
}

/// The sections of a file, by name.
fn tables_of(path: &Path) -> Result<BTreeMap<String, Table>, BadSettings> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| BadSettings::Read { path: path.to_owned(), source })?;
    let file: Table = text.parse().map_err(|source| BadSettings::Toml { path: path.to_owned(), source })?;
    let tables = file.into_iter().filter_map(|(name, value)| match value {
        Value::Table(section) => Some((name, section)),
        _ => None,
    });
    Ok(tables.collect())
}

/// A value that is no TOML is a text, so that quotes are not needed.
fn set(section: &mut Table, setting: &str) -> Result<(), BadSettings> {
    let wrong = || BadSettings::Set(setting.to_owned());
    let (path, text) = setting.split_once('=').ok_or_else(wrong)?;
    let key = path.trim().strip_prefix(SECTION).and_then(|rest| rest.strip_prefix('.')).ok_or_else(wrong)?;
    if key.is_empty() || key.contains('.') {
        return Err(wrong());
    }
    let text = text.trim();
    let line: Option<Table> = format!("value = {text}").parse().ok();
    let value = line.and_then(|mut line| line.remove("value"));
    section.insert(key.to_owned(), value.unwrap_or_else(|| Value::String(text.to_owned())));
    Ok(())
}

/// Two workers of one name would take turns in refusing each other, so the default differs between machines.
fn name_of_host() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let valid: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(56).collect();
    format!("worker-{valid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, set: &[&str]) -> Result<Settings, BadSettings> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bioxen.toml");
        std::fs::write(&path, file).unwrap();
        let set = set.iter().map(|setting| (*setting).to_owned()).collect();
        Settings::read(Given { file: Some(path), name: Some("w1".to_owned()), set, ..Given::default() })
    }

    #[test]
    fn without_a_file_the_defaults_hold() {
        let settings = Settings::read(Given::default()).unwrap();
        assert_eq!((settings.url.as_str(), settings.http_port), (DEFAULT_URL, DEFAULT_HTTP_PORT));
        assert_eq!(settings.worker, WorkerConfig::default());
        assert!(settings.name.as_str().starts_with("worker-"));
    }

    #[test]
    fn single_settings_stand_above_the_file_and_the_command_line_above_both() {
        let file =
            "[resources]\nmax_concurrent_vms = 7\n[worker]\nmax_vms = 8\nname = \"w2\"\nhttp_port = 1\n";
        let settings = read(file, &["worker.max_vms=16", "worker.url = nats://a:1"]).unwrap();
        assert_eq!((settings.worker.max_vms, settings.http_port), (16, 1));
        assert_eq!((settings.url.as_str(), settings.name.as_str()), ("nats://a:1", "w1"));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_what_to_do() {
        let refused = |file: &str, set: &[&str]| read(file, set).unwrap_err().to_string();
        assert!(refused("", &["max_vms=1"]).contains("expected worker.NAME=VALUE"));
        assert!(refused("", &["worker.max_vm=1"]).contains("unknown field `max_vm`"));
        assert!(refused("[worker]\nmax_vms = \"many\"\n", &[]).contains("bioxen.toml"));
        assert!(refused("[worker", &[]).contains("is not TOML"));
        assert!(refused("", &["worker.emergency_ribosome_reserve=13"]).contains("lower the reserve"));
        assert!(refused("", &["worker.backend=xcpng"]).contains("name one in [xcpng.pools.NAME]"));
        assert!(refused("", &["worker.backend=docker"]).contains("expected \"basic\""));
        let pool = "[xcpng.pools.lab]\nxapi_url = \"https://10.0.0.5\"\n";
        assert!(refused(pool, &[]).contains("[xcpng.pools.lab]: password: missing"));
        assert!(refused("[xcpng.pool.lab]\n", &[]).contains("unknown field `pool`"));
        let name = Settings::read(Given { name: Some("a.b".to_owned()), ..Given::default() });
        assert!(name.unwrap_err().to_string().contains("--name"));
    }
}
