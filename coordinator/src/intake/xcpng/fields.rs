//! The fields of `xcpng_config`, each by itself: what is expected of it, and what is wrong with one that is there.

use bioxen_protocol::command::{MemoryLimit, XcpngConfig};
use bioxen_protocol::error::{Code, ErrorBody, nearest};
use bioxen_protocol::id::WorkerId;
use bioxen_sealing::Sealed;
use serde::Deserialize;
use serde_json::Value;

pub(super) const POOL: &str = "pool";
pub(super) const PASSWORD: &str = "password";
/// In place of the password, where it was sealed before it was sent, or has been here.
pub(super) const SEALED: &str = "sealed_password";
const VCPUS: std::ops::RangeInclusive<u64> = 1..=64;
/// Of a name that nobody knows, so much is repeated.
const SHOWN_CHARS: usize = 40;
/// Wrong fields that one answer tells of.
const TOLD: usize = 16;
/// Of a text: it is kept with the VM.
const TEXT_BYTES: usize = 512;

/// A field of a pool that a VM brings along.
pub(super) struct Field {
    pub(super) name: &'static str,
    is_needed: bool,
    expected: &'static str,
    is_right: fn(&Value) -> bool,
}

pub(super) const OWN: [Field; 12] = [
    needed("xapi_url", "https://HOST or https://HOST:PORT of a host of the pool", is_address),
    needed("username", "text: the name of the pool's account", is_text),
    needed(PASSWORD, "text: the account's password", is_text),
    optional(SEALED, "the password as `bioxen xcpng seal` writes it", is_sealed),
    needed("ssh_user", "text: the account in the guest", is_text),
    needed("ssh_key_path", "text: the path of its private key, at the workers", is_text),
    needed("template_name", "text: the name of the guests' template", is_text),
    optional("vm_memory", "text such as \"4GB\", or KiB as a number, at least 128 MB", is_memory),
    optional("vm_vcpus", "a whole number from 1 to 64", is_count),
    optional(
        "tls_fingerprint",
        "64 hexadecimal digits, colons between them or not; for several hosts a list of those",
        is_trust,
    ),
    optional("network_uuid", "a UUID; `xe network-list` shows them", is_uuid),
    optional("storage_repository", "text: a UUID or a name", is_text),
];

const fn needed(name: &'static str, expected: &'static str, is_right: fn(&Value) -> bool) -> Field {
    Field { name, is_needed: true, expected, is_right }
}

const fn optional(name: &'static str, expected: &'static str, is_right: fn(&Value) -> bool) -> Field {
    Field { name, is_needed: false, expected, is_right }
}

/// Every field that is wrong, by its name.
pub(super) fn refuse_wrong(config: &XcpngConfig, at: &str) -> Result<(), ErrorBody> {
    let given = config.0.iter().filter_map(|(name, value)| Some((name.as_str(), wrong_with(name, value)?)));
    let mut wrong: Vec<(&str, String)> = given.collect();
    wrong.extend(missing(config));
    wrong.extend(twice(config));
    let Some((first, _)) = wrong.first() else { return Ok(()) };
    let near = if is_known(first) { None } else { nearest(&shown(first), known()) };
    let rest = wrong.len().saturating_sub(TOLD);
    let mut told: Vec<&str> = wrong.iter().take(TOLD).map(|(_, what)| what.as_str()).collect();
    let more = format!("{rest} more are wrong");
    if rest > 0 {
        told.push(&more);
    }
    let message = format!("{at}: {}", told.join("; "));
    Err(ErrorBody::new(Code::ApiValidation, message).with(|details| {
        details.field = Some(format!("{at}.{}", shown(first)));
        details.nearest = near.into_iter().collect();
    }))
}

fn known() -> impl Iterator<Item = &'static str> {
    OWN.iter().map(|field| field.name).chain([POOL])
}

fn is_known(name: &str) -> bool {
    known().any(|known| known == name)
}

/// Of a pool that a VM brings along, what it lacks.
fn missing(config: &XcpngConfig) -> impl Iterator<Item = (&str, String)> {
    let has = |name: &str| config.0.contains_key(name);
    let is_own = OWN.iter().any(|field| has(field.name)) && !has(POOL);
    let lacks = move |field: &&Field| {
        let stands = has(field.name) || (field.name == PASSWORD && has(SEALED));
        is_own && field.is_needed && !stands
    };
    let says =
        |field: &Field| (field.name, format!("{} is missing: expected {}", field.name, field.expected));
    OWN.iter().filter(lacks).map(says)
}

fn twice(config: &XcpngConfig) -> Option<(&str, String)> {
    let both = config.0.contains_key(PASSWORD) && config.0.contains_key(SEALED);
    both.then(|| (PASSWORD, format!("{PASSWORD} stands beside {SEALED}: keep one of them")))
}

fn shown(name: &str) -> String {
    name.chars().take(SHOWN_CHARS).collect()
}

/// What is wrong with a field that is there.
fn wrong_with(name: &str, value: &Value) -> Option<String> {
    if name == POOL {
        let is_name = value.as_str().is_some_and(|pool| pool.parse::<WorkerId>().is_ok());
        let expected = "expected 1 to 63 of A-Z a-z 0-9 _ -, starting with a letter or digit";
        return (!is_name).then(|| format!("{POOL} is not a pool's name: {expected}"));
    }
    let Some(field) = OWN.iter().find(|field| field.name == name) else {
        return Some(format!(
            "{:?} is unknown: a VM gives {POOL} alone, or the fields of a pool of its own",
            shown(name)
        ));
    };
    (!(field.is_right)(value)).then(|| format!("{name} cannot be used: expected {}", field.expected))
}

pub(super) fn is_text(value: &Value) -> bool {
    let is_plain = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
    value.as_str().is_some_and(|text| text.len() <= TEXT_BYTES && is_plain(text))
}

fn is_sealed(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() <= 2 * TEXT_BYTES && text.parse::<Sealed>().is_ok())
}

fn is_memory(value: &Value) -> bool {
    const LEAST_KB: u64 = 128 * 1024;
    const MOST_KB: u64 = 1 << 32;
    MemoryLimit::deserialize(value).is_ok_and(|memory| (LEAST_KB..=MOST_KB).contains(&memory.0))
}

fn is_count(value: &Value) -> bool {
    value.as_u64().is_some_and(|count| VCPUS.contains(&count))
}

/// One for each host that may answer.
fn is_trust(value: &Value) -> bool {
    const HOSTS: usize = 64;
    match value.as_array() {
        Some(many) => (1..=HOSTS).contains(&many.len()) && many.iter().all(is_fingerprint),
        None => is_fingerprint(value),
    }
}

fn is_fingerprint(value: &Value) -> bool {
    let digits = value.as_str().map(|text| text.replace(':', ""));
    digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_uuid(value: &Value) -> bool {
    let parts: Vec<&str> = value.as_str().unwrap_or_default().split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `https://HOST[:PORT]`, without an account, a path or a question.
fn is_address(value: &Value) -> bool {
    let text = value.as_str().filter(|text| text.len() <= TEXT_BYTES);
    let rest = text.and_then(|text| text.strip_prefix("https://"));
    rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest)).is_some_and(|host| {
        let strange = |c: char| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c);
        let port = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map(|(_, port)| port);
        let name = port.map_or(host, |port| &host[..host.len() - port.len() - 1]);
        !name.is_empty() && !host.contains(strange) && port.is_none_or(|port| port.parse::<u16>().is_ok())
    })
}
