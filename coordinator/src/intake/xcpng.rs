//! `xcpng_config`: the pool that a VM's guest is on. It names fields and never repeats a value: one may be a password.
//!
//! A VM names a pool of the workers' files, or brings one along: then its password is sealed here, before anything else is
//! done with the body, so that it goes into no digest, no entry and no log. Where there is no key to seal it with, the VM is
//! refused.

mod fields;

use std::sync::Arc;

use bioxen_protocol::codec;
use bioxen_protocol::command::{MemoryLimit, Restore, VmType, XcpngConfig};
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::UserId;
use bioxen_protocol::pool::{OwnPool, XcpngPool};
use bioxen_sealing::{Sealed, SealingKey};
use serde::Deserialize;
use serde_json::Value;

use self::fields::{OWN, PASSWORD, POOL, SEALED, is_text, refuse_wrong};
use super::Rules;
use crate::fleet::command::Ask;
use crate::fleet::home::Home;

/// Where `create` and `restore` have it.
const CONFIG: &str = "xcpng_config";

/// Takes the password out of a body before anything is done with that: no error, no digest and no log can hold it. What
/// stands in its place and is no text becomes null, to be judged with the rest.
pub(super) fn take_password(body: &mut codec::Value) -> Result<Option<String>, ErrorBody> {
    let mut taken = None;
    for (at, config) in configs(body) {
        match config {
            codec::Value::Null => {}
            codec::Value::Map(fields) => {
                let Some(place) = fields.iter().position(|(name, _)| name == PASSWORD) else { continue };
                match fields.remove(place).1 {
                    codec::Value::Text(password) => taken = Some(password),
                    _ => fields.push((PASSWORD.to_owned(), codec::Value::Null)),
                }
            }
            _ => {
                let message = format!("{at} must be an object: {{\"{POOL}\": NAME}}, or a pool's fields");
                return Err(
                    ErrorBody::new(Code::ApiValidation, message).with(|details| details.field = Some(at))
                );
            }
        }
    }
    Ok(taken)
}

/// Every `xcpng_config` of a body, and its path.
fn configs(body: &mut codec::Value) -> Vec<(String, &mut codec::Value)> {
    let codec::Value::Map(fields) = body else { return Vec::new() };
    let mut found = Vec::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            (CONFIG, value) => found.push((CONFIG.to_owned(), value)),
            ("config", codec::Value::Map(inner)) => {
                let inner = inner.iter_mut().filter(|(name, _)| name == CONFIG);
                found.extend(inner.map(|(_, value)| (format!("config.{CONFIG}"), value)));
            }
            _ => {}
        }
    }
    found
}

/// A command that was stored before anybody read it holds no password: the stream keeps what it is sent.
pub(super) fn stored_password() -> ErrorBody {
    invalid(
        PASSWORD,
        format!(
            "a durable command is stored as it is sent, and with it the {PASSWORD} in {CONFIG}: change that password, and give {SEALED}, which `bioxen xcpng seal` makes, or name a pool of the workers' files"
        ),
    )
}

/// Puts a password back, sealed where there is a key for it. One that is not sealed is refused by [`pool`].
///
/// # Errors
/// What was sealed before it was sent is for another key, or there is none here.
pub(super) fn seal(
    config: Option<&mut XcpngConfig>,
    password: Option<String>,
    user: &UserId,
    rules: &Rules,
) -> Result<(), ErrorBody> {
    let Some(config) = config else { return Ok(()) };
    let key = rules.sealing_key.as_ref();
    if let Some(sealed) = config.0.get(SEALED).and_then(Value::as_str).and_then(|text| text.parse().ok()) {
        refuse_other_key(&sealed, key)?;
    }
    let Some(password) = password else { return Ok(()) };
    let pool = own_pool(config);
    let plain = Value::String(password.clone());
    let can_be = is_text(&plain) && !config.0.contains_key(SEALED);
    let (name, value) = match key.filter(|_| can_be) {
        Some(key) => {
            let sealed = key.seal(&password, &pool.about(user));
            (SEALED, Value::String(sealed.map_err(|error| invalid(PASSWORD, error.to_string()))?.to_string()))
        }
        None => (PASSWORD, plain),
    };
    config.0.insert(name.to_owned(), value);
    Ok(())
}

fn refuse_other_key(sealed: &Sealed, key: Option<&SealingKey>) -> Result<(), ErrorBody> {
    match key {
        None => Err(no_key(SEALED)),
        Some(key) if key.id() != sealed.key() => Err(invalid(
            SEALED,
            format!(
                "{SEALED} was sealed for the key {}, and this fleet's is {}: seal it anew with --sealing-key {key}",
                sealed.key(),
                key.id()
            ),
        )),
        Some(_) => Ok(()),
    }
}

fn no_key(field: &str) -> ErrorBody {
    invalid(
        field,
        format!(
            "{CONFIG} describes a pool of its own, whose password would have to be kept, and this fleet has no key to seal it with: have an operator set [xcpng.own_pools], or put the pool into the workers' files, and name it: {{\"{POOL}\": NAME}}"
        ),
    )
}

/// The pool of a VM of this type; none where it needs none. `at` is where the config stands in the body.
pub(super) fn pool(
    vm_type: VmType,
    config: Option<&XcpngConfig>,
    at: &str,
) -> Result<Option<XcpngPool>, ErrorBody> {
    match (vm_type, config) {
        (VmType::Basic, None) => Ok(None),
        (VmType::Basic, Some(_)) => Err(invalid(
            at,
            format!("{at} is for VMs of vm_type xcpng, and this one is basic: leave it out, or set vm_type"),
        )),
        (VmType::Xcpng, None) => Err(no_pool(at)),
        (VmType::Xcpng, Some(config)) => read(config, at).map(Some),
    }
}

/// What `restore` asks for, also where the VM shall run from then on.
pub(super) fn restore(asked: &Restore) -> Result<Ask, ErrorBody> {
    let at = "xcpng_config";
    let home = match (asked.vm_type, &asked.xcpng_config) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(invalid(at, format!("{at} needs vm_type xcpng beside it: give both, or neither")));
        }
        (Some(vm_type), config) => Some(Home { vm_type, pool: pool(vm_type, config.as_ref(), at)? }),
    };
    Ok(Ask::Restore { checkpoint: asked.checkpoint_id, home })
}

fn read(config: &XcpngConfig, at: &str) -> Result<XcpngPool, ErrorBody> {
    refuse_wrong(config, at)?;
    let own = OWN.iter().map(|field| field.name).find(|name| config.0.contains_key(*name));
    match (config.0.get(POOL).and_then(Value::as_str), own) {
        (Some(pool), None) => Ok(XcpngPool::Named(pool.to_owned())),
        (Some(_), Some(name)) => Err(invalid(
            &format!("{at}.{name}"),
            format!("{at} names a pool, and the workers' files say the rest: leave {name} out"),
        )),
        (None, Some(_)) if config.0.contains_key(PASSWORD) => Err(no_key(&format!("{at}.{PASSWORD}"))),
        (None, Some(_)) => Ok(XcpngPool::Own(Arc::new(own_pool(config)))),
        (None, None) => Err(no_pool(at)),
    }
}

/// The pool of a config that has been judged.
fn own_pool(config: &XcpngConfig) -> OwnPool {
    let given = |name: &str| config.0.get(name).and_then(Value::as_str).map(str::to_owned);
    let text = |name: &str| given(name).unwrap_or_default();
    let memory = config.0.get("vm_memory").and_then(|value| MemoryLimit::deserialize(value).ok());
    let vcpus = config.0.get("vm_vcpus").and_then(Value::as_u64);
    OwnPool {
        xapi_url: text("xapi_url"),
        username: text("username"),
        sealed_password: text(SEALED),
        ssh_user: text("ssh_user"),
        ssh_key_path: text("ssh_key_path"),
        template_name: text("template_name"),
        vm_memory_kb: memory.map(|memory| memory.0),
        vm_vcpus: vcpus.and_then(|vcpus| u32::try_from(vcpus).ok()),
        tls_fingerprints: config.0.get("tls_fingerprint").map(texts).unwrap_or_default(),
        network_uuid: given("network_uuid"),
        storage_repository: given("storage_repository"),
    }
}

/// One text, or a list of them.
fn texts(value: &Value) -> Vec<String> {
    let many = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    many.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn no_pool(at: &str) -> ErrorBody {
    invalid(
        &format!("{at}.{POOL}"),
        format!(
            "a VM of vm_type xcpng needs the pool that its guest is on: give {at}.{POOL}, the name of a pool in the workers' files, which operators see with `workers`; or all fields of a pool of its own"
        ),
    )
}

fn invalid(field: &str, message: String) -> ErrorBody {
    ErrorBody::new(Code::InvalidConfiguration, message).with(|details| details.field = Some(field.to_owned()))
}

#[cfg(test)]
mod tests;
