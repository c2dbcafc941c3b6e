//! A pool as somebody wrote it, field by field: what is wrong is gathered, so that all of it is said at once.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bioxen_protocol::command::MemoryLimit;
use bioxen_protocol::id::WorkerId;
use reqwest::Url;
use serde::Deserialize;

use super::{
    CONNECTION_POOL_SIZE, CONNECTIONS_RESERVED, InvalidPool, ORPHAN_GRACE, PoolSettings, SSH_PORT,
    SSH_TIMEOUT, Secret, SecretSource, Trust, VM_CREATION_TIMEOUT, is_uuid,
};

const VCPUS_MOST: u32 = 64;
const MEMORY_LEAST_KB: u64 = 128 * 1024;

/// A pool as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    pub(super) xapi_url: Option<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<serde::de::IgnoredAny>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) password_env: Option<String>,
    pub(super) tls_fingerprint: Option<OneOrMore>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) template_name: Option<String>,
    pub(super) ssh_user: Option<String>,
    pub(super) ssh_key_path: Option<PathBuf>,
    pub(super) ssh_port: Option<u16>,
    pub(super) network_uuid: Option<String>,
    pub(super) storage_repository: Option<String>,
    pub(super) vm_memory: Option<MemoryLimit>,
    pub(super) vm_vcpus: Option<u32>,
    pub(super) vm_creation_timeout: Option<u64>,
    pub(super) ssh_timeout: Option<u64>,
    pub(super) connection_pool_size: Option<usize>,
    pub(super) orphan_grace: Option<u64>,
    /// In place of the others, for a pool that a VM brought along.
    #[serde(skip)]
    pub(super) opened: Option<Secret>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Written {
    pub(super) fn checked(self, pool: String) -> Result<PoolSettings, InvalidPool> {
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
            network_uuid: self.network_uuid.map(|uuid| wrong.uuid("network_uuid", uuid)),
            storage_repository: self.storage_repository,
            vm_memory_bytes: memory_kb.saturating_mul(1024),
            vm_vcpus: self.vm_vcpus.unwrap_or(1),
            vm_creation_timeout: seconds(self.vm_creation_timeout, VM_CREATION_TIMEOUT),
            ssh_timeout: seconds(self.ssh_timeout, SSH_TIMEOUT),
            connection_pool_size: self.connection_pool_size.unwrap_or(CONNECTION_POOL_SIZE),
            orphan_grace: seconds(self.orphan_grace, ORPHAN_GRACE),
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

    fn uuid(&mut self, field: &str, given: String) -> String {
        if !is_uuid(&given) {
            self.say(field, format_args!("{given:?} is no UUID; `xe network-list` shows them"));
        }
        given
    }

    fn password(&mut self, written: &Written) -> SecretSource {
        const EXPECTED: &str = "name it by password_file or password_env";
        if let Some(secret) = &written.opened {
            return SecretSource::Opened(secret.clone());
        }
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

fn fingerprint_of(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u32> =
        text.trim().chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let bytes = digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair.get(1)?).ok());
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}
