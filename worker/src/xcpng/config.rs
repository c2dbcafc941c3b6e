//! `[xcpng.pools.NAME]` of the worker's file: read, checked field by field, and said in words what is wrong.
//!
//! It opens nothing but what holds a secret, and that only when the secret is needed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bioxen_protocol::command::MemoryLimit;
use bioxen_protocol::id::WorkerId;
use reqwest::Url;
use serde::Deserialize;

use super::fault::XcpngError;

pub const VM_CREATION_TIMEOUT: Duration = Duration::from_secs(300);
pub const SSH_PORT: u16 = 22;
pub const SSH_TIMEOUT: Duration = Duration::from_secs(30);
pub const CONNECTION_POOL_SIZE: usize = 10;
/// Of a pool's connections, the event loop and a login keep one each.
pub(crate) const CONNECTIONS_RESERVED: usize = 2;
const SECRET_BYTES_MOST: u64 = 4096;
const VCPUS_MOST: u32 = 64;
const MEMORY_LEAST_KB: u64 = 128 * 1024;

/// The section `[xcpng]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Section {
    pools: BTreeMap<String, Written>,
}

/// A pool as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    xapi_url: Option<String>,
    username: Option<String>,
    password: Option<serde::de::IgnoredAny>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    tls_fingerprint: Option<OneOrMore>,
    ca_file: Option<PathBuf>,
    template_name: Option<String>,
    ssh_user: Option<String>,
    ssh_key_path: Option<PathBuf>,
    ssh_port: Option<u16>,
    network_uuid: Option<String>,
    storage_repository: Option<String>,
    vm_memory: Option<MemoryLimit>,
    vm_vcpus: Option<u32>,
    vm_creation_timeout: Option<u64>,
    ssh_timeout: Option<u64>,
    connection_pool_size: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A pool that may be used.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolSettings {
    /// `https://HOST[:PORT]/`, of any host of the pool.
    pub xapi_url: Url,
    pub username: String,
    pub password: SecretSource,
    pub trust: Trust,
    pub template_name: String,
    pub ssh_user: String,
    pub ssh_key_path: PathBuf,
    pub ssh_port: u16,
    pub network_uuid: String,
    /// A UUID or a name; absent: disks stay on the template's repository.
    pub storage_repository: Option<String>,
    pub vm_memory_bytes: u64,
    pub vm_vcpus: u32,
    /// From clone through an answer over SSH.
    pub vm_creation_timeout: Duration,
    /// One SSH connection.
    pub ssh_timeout: Duration,
    /// Connections to XAPI: the event loop, a login, the rest for calls.
    pub connection_pool_size: usize,
}

/// How a pool's hosts are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// SHA-256 of the certificate itself, one for each host that may answer.
    Fingerprints(Vec<[u8; 32]>),
    /// Certificates in PEM that sign the hosts' own.
    CaFile(PathBuf),
}

/// Where a secret stands; it is read anew for each use, so that it can be changed, and shown nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    File(PathBuf),
    Environment(String),
}

/// A secret that does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl SecretSource {
    /// # Errors
    /// It is not there, is empty, or is too large to be one.
    pub fn read(&self) -> Result<Secret, XcpngError> {
        let text = match self {
            Self::File(path) => {
                let wrong = |what: String| {
                    XcpngError::Secret(format!("password_file {} {what}", path.display()))
                };
                let size = std::fs::metadata(path).map_err(|e| wrong(format!("cannot be read ({e})")))?.len();
                if size > SECRET_BYTES_MOST {
                    return Err(wrong(format!("has {size} bytes; expected one line with the password")));
                }
                std::fs::read_to_string(path).map_err(|e| wrong(format!("cannot be read ({e})")))?
            }
            Self::Environment(name) => std::env::var(name).map_err(|_| {
                XcpngError::Secret(format!(
                    "the environment variable {name}, named by password_env, is not set; set it for the worker"
                ))
            })?,
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(XcpngError::Secret(format!("the password in {self} is empty; write it there")));
        }
        Ok(Secret::new(text))
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
        }
    }
}

/// Everything that is wrong with a pool's section, at once.
#[derive(Debug, thiserror::Error)]
#[error("[xcpng.pools.{pool}]: {}", problems.join("; "))]
pub struct InvalidPool {
    pub pool: String,
    pub problems: Vec<String>,
}

pub(crate) fn pools(section: Section) -> Result<BTreeMap<String, PoolSettings>, InvalidPool> {
    section.pools.into_iter().map(|(name, written)| Ok((name.clone(), written.checked(name)?))).collect()
}

impl Written {
    fn checked(self, pool: String) -> Result<PoolSettings, InvalidPool> {
        let mut wrong = Problems(Vec::new());
        if pool.parse::<WorkerId>().is_err() {
            wrong.say(
                "the pool's name",
                "expected 1 to 63 of A-Z a-z 0-9 _ -, starting with a letter or digit",
            );
        }
        let seconds = |given: Option<u64>, default: Duration| given.map_or(default, Duration::from_secs);
        let memory_kb = self.vm_memory.map_or(1024 * 1024, |memory| memory.0);
        let settings = PoolSettings {
            password: wrong.password(&self),
            trust: wrong.trust(self.tls_fingerprint, self.ca_file),
            xapi_url: wrong.url(self.xapi_url),
            username: wrong.text("username", self.username, "the name of the pool's account"),
            template_name: wrong.text(
                "template_name",
                self.template_name,
                "the name of the guests' template",
            ),
            ssh_user: wrong.text("ssh_user", self.ssh_user, "the account in the guests"),
            ssh_key_path: wrong.there("ssh_key_path", self.ssh_key_path, "the private key for ssh_user"),
            ssh_port: self.ssh_port.unwrap_or(SSH_PORT),
            network_uuid: wrong.uuid("network_uuid", self.network_uuid),
            storage_repository: self.storage_repository,
            vm_memory_bytes: memory_kb.saturating_mul(1024),
            vm_vcpus: self.vm_vcpus.unwrap_or(1),
            vm_creation_timeout: seconds(self.vm_creation_timeout, VM_CREATION_TIMEOUT),
            ssh_timeout: seconds(self.ssh_timeout, SSH_TIMEOUT),
            connection_pool_size: self.connection_pool_size.unwrap_or(CONNECTION_POOL_SIZE),
        };
        wrong.figures(&settings, memory_kb);
        if wrong.0.is_empty() { Ok(settings) } else { Err(InvalidPool { pool, problems: wrong.0 }) }
    }
}

/// Gathers what is wrong. What it hands back beside a problem is never used.
struct Problems(Vec<String>);

impl Problems {
    fn say(&mut self, field: &str, what: impl fmt::Display) {
        self.0.push(format!("{field}: {what}"));
    }

    fn text(&mut self, field: &str, given: Option<String>, expected: &str) -> String {
        let given = given.filter(|text| !text.trim().is_empty());
        given.unwrap_or_else(|| {
            self.say(field, format_args!("missing; expected {expected}"));
            String::new()
        })
    }

    fn there(&mut self, field: &str, given: Option<PathBuf>, expected: &str) -> PathBuf {
        given.unwrap_or_else(|| {
            self.say(field, format_args!("missing; expected {expected}"));
            PathBuf::new()
        })
    }

    fn url(&mut self, given: Option<String>) -> Url {
        const EXPECTED: &str = "expected https://HOST or https://HOST:PORT of a host of the pool";
        let given = given.unwrap_or_default();
        let url = Url::parse(&given).ok().filter(|url| {
            url.scheme() == "https"
                && url.has_host()
                && url.path() == "/"
                && url.query().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        url.unwrap_or_else(|| {
            // A password that was written into the address must not be shown.
            let shown = if given.contains('@') { "what stands there" } else { &given };
            self.say("xapi_url", format_args!("{shown:?} cannot be used; {EXPECTED}"));
            unused_url()
        })
    }

    fn uuid(&mut self, field: &str, given: Option<String>) -> String {
        let given = given.unwrap_or_default();
        if !is_uuid(&given) {
            self.say(field, format_args!("{given:?} is no UUID; `xe network-list` shows them"));
        }
        given
    }

    fn password(&mut self, written: &Written) -> SecretSource {
        const EXPECTED: &str = "name it by password_file or password_env";
        if written.password.is_some() {
            self.say("password", format_args!("a secret has no place in this file; {EXPECTED}"));
        }
        match (&written.password_file, &written.password_env) {
            (Some(path), None) => SecretSource::File(path.clone()),
            (None, Some(name)) => SecretSource::Environment(name.clone()),
            (None, None) => {
                if written.password.is_none() {
                    self.say("password", format_args!("missing; {EXPECTED}"));
                }
                SecretSource::Environment(String::new())
            }
            (Some(_), Some(_)) => {
                self.say("password", "named twice; keep one of password_file and password_env");
                SecretSource::Environment(String::new())
            }
        }
    }

    fn trust(&mut self, fingerprint: Option<OneOrMore>, ca_file: Option<PathBuf>) -> Trust {
        let written = match (fingerprint, ca_file) {
            (None, Some(path)) => return Trust::CaFile(path),
            (Some(OneOrMore::One(one)), None) => vec![one],
            (Some(OneOrMore::More(more)), None) if !more.is_empty() => more,
            (Some(_), Some(_)) => {
                self.say("tls_fingerprint", "stands beside ca_file; keep one of them");
                return Trust::Fingerprints(Vec::new());
            }
            _ => {
                self.say(
                    "tls_fingerprint",
                    "missing; give the SHA-256 fingerprint of the host's certificate, or ca_file",
                );
                return Trust::Fingerprints(Vec::new());
            }
        };
        let mut pins = Vec::new();
        for text in written {
            match fingerprint_of(&text) {
                Some(pin) => pins.push(pin),
                None => self.say(
                    "tls_fingerprint",
                    format_args!(
                        "{text:?} is none; expected 64 hexadecimal digits, colons between them or not"
                    ),
                ),
            }
        }
        Trust::Fingerprints(pins)
    }

    fn figures(&mut self, settings: &PoolSettings, memory_kb: u64) {
        if !(1..=VCPUS_MOST).contains(&settings.vm_vcpus) {
            self.say("vm_vcpus", format_args!("{} given; expected 1 to {VCPUS_MOST}", settings.vm_vcpus));
        }
        if memory_kb < MEMORY_LEAST_KB || memory_kb > i64::MAX as u64 / 1024 {
            self.say("vm_memory", format_args!("{memory_kb} KB given; expected at least \"128MB\""));
        }
        if settings.ssh_port == 0 {
            self.say("ssh_port", "0 given; expected 1 to 65535");
        }
        let timeouts = [
            ("vm_creation_timeout", settings.vm_creation_timeout, 10..=3600),
            ("ssh_timeout", settings.ssh_timeout, 1..=600),
        ];
        for (field, given, expected) in timeouts {
            if !expected.contains(&given.as_secs()) {
                let (least, most) = (expected.start(), expected.end());
                self.say(field, format_args!("{} s given; expected {least} to {most}", given.as_secs()));
            }
        }
        if !(CONNECTIONS_RESERVED + 1..=100).contains(&settings.connection_pool_size) {
            let given = settings.connection_pool_size;
            self.say("connection_pool_size", format_args!("{given} given; expected 3 to 100"));
        }
    }
}

#[expect(clippy::expect_used, reason = "a constant that is an address")]
fn unused_url() -> Url {
    Url::parse("https://unused/").expect("an address")
}

pub(crate) fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == lengths.len()
        && parts
            .iter()
            .zip(lengths)
            .all(|(part, length)| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn fingerprint_of(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u32> =
        text.trim().chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair.get(1)?).ok());
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// As `openssl x509 -fingerprint -sha256` has it.
pub(crate) fn shown_fingerprint(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests;
