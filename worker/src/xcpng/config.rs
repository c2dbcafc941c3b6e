//! `[xcpng]` of the worker's file: pools by name, and what is needed for pools that VMs bring along. It is read, checked
//! field by field, and said in words what is wrong.
//!
//! It opens nothing but what holds a secret, and that only when the secret is needed.

mod own;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

pub use self::own::{OwnPools, OwnPoolsSettings};
use self::written::Written;
use super::fault::XcpngError;

pub const VM_CREATION_TIMEOUT: Duration = Duration::from_secs(300);
pub const SSH_PORT: u16 = 22;
pub const SSH_TIMEOUT: Duration = Duration::from_secs(30);
pub const CONNECTION_POOL_SIZE: usize = 10;
/// Longer than making a guest takes by default.
pub const ORPHAN_GRACE: Duration = Duration::from_secs(300);
/// Of a pool's connections, the event loop and a login keep one each.
pub(crate) const CONNECTIONS_RESERVED: usize = 2;
const SECRET_BYTES_MOST: u64 = 4096;

/// The section `[xcpng]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Section {
    pools: BTreeMap<String, Written>,
    own_pools: Option<OwnPoolsSettings>,
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
    /// Absent: that of the template's first interface.
    pub network_uuid: Option<String>,
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
    /// What nobody has is destroyed once it has been seen so for this long.
    pub orphan_grace: Duration,
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
    /// It came with a VM, and was opened here.
    Opened(Secret),
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
            Self::Opened(secret) => return Ok(secret.clone()),
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
            Self::Opened(_) => f.write_str("xcpng_config"),
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

/// Pools by name, and what is set for those that VMs bring along.
pub(crate) type Checked = (BTreeMap<String, PoolSettings>, Option<OwnPoolsSettings>);

pub(crate) fn checked(section: Section) -> Result<Checked, InvalidPool> {
    let pools = section.pools.into_iter().map(|(name, written)| Ok((name.clone(), written.checked(name)?)));
    Ok((pools.collect::<Result<_, InvalidPool>>()?, section.own_pools))
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

/// As `openssl x509 -fingerprint -sha256` has it.
pub(crate) fn shown_fingerprint(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests;
