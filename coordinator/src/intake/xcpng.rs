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
use serde::Deserialize;
use serde_json::Value;

use self::fields::{OWN, PASSWORD, POOL, SEALED, refuse_wrong};
use super::Rules;
use crate::fleet::command::Ask;
use crate::fleet::home::Home;

/// Takes the password out, so that a digest of the rest tells nothing about it. What is no text is left to be judged.
pub(super) fn take_password(config: Option<&mut XcpngConfig>) -> Option<String> {
    let config = config?;
    match config.0.remove(PASSWORD)? {
        Value::String(password) => Some(password),
        other => {
            config.0.insert(PASSWORD.to_owned(), other);
            None
        }
    }
}

/// Puts a password back, sealed where there is a key for it. One that is not sealed is refused by [`pool`].
pub(super) fn seal(
    config: Option<&mut XcpngConfig>,
    password: Option<String>,
    user: &UserId,
    rules: &Rules,
) -> Result<(), ErrorBody> {
    let (Some(config), Some(password)) = (config, password) else { return Ok(()) };
    let text = |name: &str| config.0.get(name).and_then(Value::as_str);
    let about = text("xapi_url").zip(text("username"));
    let (name, value) = match (&rules.sealing_key, about) {
        (Some(key), Some((xapi_url, username)))
            if !password.trim().is_empty() && !config.0.contains_key(SEALED) =>
        {
            let sealed = key.seal(&password, &OwnPool::about(user, xapi_url, username));
            let sealed = sealed.map_err(|error| invalid(PASSWORD, error.to_string()))?;
            (SEALED, sealed.to_string())
        }
        _ => (PASSWORD, password),
    };
    config.0.insert(name.to_owned(), Value::String(value));
    Ok(())
}

/// A command that was stored before anybody read it holds no password: the stream keeps what it is sent.
pub(super) fn refuse_stored(body: &codec::Value) -> Result<(), ErrorBody> {
    let configs = [("xcpng_config", Some(body)), ("config.xcpng_config", body.get("config"))];
    let holding = configs.into_iter().find(|(_, within)| {
        let config = within.and_then(|within| within.get("xcpng_config"));
        config.is_some_and(|config| config.get(PASSWORD).is_some())
    });
    match holding {
        None => Ok(()),
        Some((at, _)) => Err(invalid(
            &format!("{at}.{PASSWORD}"),
            format!(
                "a durable command is stored as it is sent, and with it {at}.{PASSWORD}: change that password, and give {at}.{SEALED}, which `bioxen xcpng seal` makes, or name a pool of the workers' files"
            ),
        )),
    }
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
        (None, Some(_)) if config.0.contains_key(PASSWORD) => Err(invalid(
            &format!("{at}.{PASSWORD}"),
            format!(
                "{at} describes a pool of its own, whose password would have to be kept, and this fleet has no key to seal it with: have an operator set [xcpng.own_pools], or put the pool into the workers' files, and name it: {{\"pool\": NAME}}"
            ),
        )),
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
        tls_fingerprint: given("tls_fingerprint"),
        network_uuid: given("network_uuid"),
        storage_repository: given("storage_repository"),
    }
}

fn no_pool(at: &str) -> ErrorBody {
    invalid(
        &format!("{at}.{POOL}"),
        format!(
            "a VM of vm_type xcpng needs the pool that its guest is on: give {at}.{POOL}, the name of a pool in the workers' files; operators see them with `workers`"
        ),
    )
}

fn invalid(field: &str, message: String) -> ErrorBody {
    ErrorBody::new(Code::InvalidConfiguration, message).with(|details| details.field = Some(field.to_owned()))
}

#[cfg(test)]
mod tests;
