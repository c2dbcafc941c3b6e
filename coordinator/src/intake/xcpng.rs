//! `xcpng_config`: the pool that a VM's guest is on. It names fields and never repeats a value: one may be a password.
//!
//! The older form, a whole pool for one VM, is judged field by field and then refused: its password would stand in the
//! journal, and there is no key to seal it with that workers alone could open.

use bioxen_protocol::command::{MemoryLimit, Restore, VmType, XcpngConfig};
use bioxen_protocol::error::{Code, ErrorBody, nearest};
use bioxen_protocol::id::WorkerId;
use serde::Deserialize;
use serde_json::Value;

use crate::fleet::command::Ask;
use crate::fleet::home::Home;

const POOL: &str = "pool";
const PASSWORD: &str = "password";
/// The older form: each field, whether it must be there, and what is expected of it.
const OLDER: [(&str, bool, &str); 8] = [
    ("xapi_url", true, "https://HOST or https://HOST:PORT of a host of the pool"),
    ("username", true, "text: the name of the pool's account"),
    (PASSWORD, true, "text: the account's password"),
    ("ssh_user", true, "text: the account in the guest"),
    ("ssh_key_path", true, "text: the path of its private key"),
    ("template_name", true, "text: the name of the guests' template"),
    ("vm_memory", false, "text such as \"4GB\", or KiB as a number, above 0"),
    ("vm_vcpus", false, "a whole number from 1 to 64"),
];
const VCPUS: std::ops::RangeInclusive<u64> = 1..=64;
/// Of a name that nobody knows, so much is repeated.
const SHOWN_CHARS: usize = 40;
/// Wrong fields that one answer tells of.
const TOLD: usize = 16;

/// The pool of a VM of this type; none where it needs none. `at` is where the config stands in the body.
pub(super) fn pool(
    vm_type: VmType,
    config: Option<&XcpngConfig>,
    at: &str,
) -> Result<Option<String>, ErrorBody> {
    match (vm_type, config) {
        (VmType::Basic, None) => Ok(None),
        (VmType::Basic, Some(_)) => Err(invalid(
            at,
            format!("{at} is for VMs of vm_type xcpng, and this one is basic: leave it out, or set vm_type"),
        )),
        (VmType::Xcpng, None) => Err(no_pool(at)),
        (VmType::Xcpng, Some(config)) => named(config, at).map(Some),
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

fn named(config: &XcpngConfig, at: &str) -> Result<String, ErrorBody> {
    refuse_wrong(config, at)?;
    let older = OLDER.iter().map(|(name, ..)| *name).find(|name| config.0.contains_key(*name));
    match (config.0.get(POOL).and_then(Value::as_str), older) {
        (Some(pool), None) => Ok(pool.to_owned()),
        (Some(_), Some(name)) => Err(invalid(
            &format!("{at}.{name}"),
            format!("{at} names a pool, and the workers' files say the rest: leave {name} out"),
        )),
        (None, Some(_)) => Err(invalid(
            &format!("{at}.{PASSWORD}"),
            format!(
                "{at} describes a pool of its own, whose password would have to be kept, and this fleet has no key to seal it with: have an operator put the pool into the workers' files, and name it: {{\"pool\": NAME}}"
            ),
        )),
        (None, None) => Err(no_pool(at)),
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

/// Every field that is wrong, by its name.
fn refuse_wrong(config: &XcpngConfig, at: &str) -> Result<(), ErrorBody> {
    let is_older =
        OLDER.iter().any(|(name, ..)| config.0.contains_key(*name)) && !config.0.contains_key(POOL);
    let missing = OLDER.iter().filter(|(name, must, _)| is_older && *must && !config.0.contains_key(*name));
    let missing =
        missing.map(|(name, _, expected)| (*name, format!("{name} is missing: expected {expected}")));
    let given = config.0.iter().filter_map(|(name, value)| Some((name.as_str(), wrong(name, value)?)));
    let wrong: Vec<(&str, String)> = given.chain(missing).collect();
    let Some((first, _)) = wrong.first() else { return Ok(()) };
    let known = OLDER.iter().map(|(name, ..)| *name).chain([POOL]);
    let near = if is_known(first) { None } else { nearest(&shown(first), known) };
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

fn is_known(name: &str) -> bool {
    name == POOL || OLDER.iter().any(|(known, ..)| *known == name)
}

fn shown(name: &str) -> String {
    name.chars().take(SHOWN_CHARS).collect()
}

/// What is wrong with a field that is there.
fn wrong(name: &str, value: &Value) -> Option<String> {
    if name == POOL {
        let is_name = value.as_str().is_some_and(|pool| pool.parse::<WorkerId>().is_ok());
        let expected = "expected 1 to 63 of A-Z a-z 0-9 _ -, starting with a letter or digit";
        return (!is_name).then(|| format!("{POOL} is not a pool's name: {expected}"));
    }
    let Some((name, _, expected)) = OLDER.iter().find(|(known, ..)| *known == name) else {
        return Some(format!("{:?} is unknown: a VM gives {POOL}, and nothing else", shown(name)));
    };
    let is_right = match *name {
        "xapi_url" => value.as_str().is_some_and(is_address),
        "vm_memory" => MemoryLimit::deserialize(value).is_ok_and(|memory| memory.0 > 0),
        "vm_vcpus" => value.as_u64().is_some_and(|vcpus| VCPUS.contains(&vcpus)),
        _ => value.as_str().is_some_and(|text| !text.trim().is_empty()),
    };
    (!is_right).then(|| format!("{name} cannot be used: expected {expected}"))
}

/// `https://HOST[:PORT]`, without an account, a path or a question.
fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    rest.is_some_and(|host| {
        let strange = |c: char| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c);
        let port = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map(|(_, port)| port);
        let name = port.map_or(host, |port| &host[..host.len() - port.len() - 1]);
        !name.is_empty() && !host.contains(strange) && port.is_none_or(|port| port.parse::<u16>().is_ok())
    })
}

fn invalid(field: &str, message: String) -> ErrorBody {
    ErrorBody::new(Code::InvalidConfiguration, message).with(|details| details.field = Some(field.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT: &str = "config.xcpng_config";
    const SECRET: &str = "correct horse";

    fn read(config: Value) -> Result<Option<String>, ErrorBody> {
        pool(VmType::Xcpng, Some(&serde_json::from_value(config).unwrap()), AT)
    }

    fn older() -> Value {
        json!({ "xapi_url": "https://10.0.0.5", "username": "root", "password": SECRET, "ssh_user": "bioxen",
            "ssh_key_path": "/k", "template_name": "t", "vm_memory": "4GB", "vm_vcpus": 2 })
    }

    fn refused(config: Value) -> (Code, String, String) {
        let error = read(config).unwrap_err();
        let all = serde_json::to_string(&error).unwrap();
        assert!(!all.contains(SECRET), "a password was repeated: {all}");
        (error.code, error.details.field.clone().unwrap_or_default(), error.message)
    }

    #[test]
    fn a_vm_of_type_xcpng_names_a_pool_and_a_basic_one_none() {
        assert_eq!(read(json!({ "pool": "lab" })).unwrap().as_deref(), Some("lab"));
        assert_eq!(pool(VmType::Basic, None, AT).unwrap(), None);
        let basic = pool(VmType::Basic, Some(&XcpngConfig::of_pool("lab")), AT).unwrap_err();
        assert_eq!((basic.code, basic.details.field.as_deref()), (Code::InvalidConfiguration, Some(AT)));
        for error in [pool(VmType::Xcpng, None, AT).unwrap_err(), read(json!({})).unwrap_err()] {
            assert_eq!(error.code, Code::InvalidConfiguration);
            assert_eq!(error.details.field.as_deref(), Some("config.xcpng_config.pool"));
        }
        let both = refused(json!({ "pool": "lab", "vm_vcpus": 2 }));
        assert_eq!((both.0, both.1.as_str()), (Code::InvalidConfiguration, "config.xcpng_config.vm_vcpus"));
    }

    #[test]
    fn a_pool_of_its_own_is_refused_and_its_password_not_repeated() {
        let (code, field, message) = refused(older());
        assert_eq!((code, field.as_str()), (Code::InvalidConfiguration, "config.xcpng_config.password"));
        assert!(message.contains("workers' files"), "{message}");
    }

    #[test]
    fn every_wrong_field_of_it_is_named() {
        for (name, value) in [
            ("xapi_url", json!("http://10.0.0.5")),
            ("xapi_url", json!(format!("https://root:{SECRET}@10.0.0.5"))),
            ("xapi_url", json!("https://host:port")),
            ("username", json!("")),
            ("password", json!([SECRET])),
            ("password", Value::Null),
            ("ssh_user", json!(7)),
            ("ssh_key_path", json!({})),
            ("template_name", json!(" ")),
            ("vm_memory", json!("4 parsecs")),
            ("vm_memory", json!(0)),
            ("vm_vcpus", json!("2")),
            ("vm_vcpus", json!(65)),
            ("pool", json!("../lab")),
        ] {
            let mut config = older();
            config[name] = value;
            let (code, field, message) = refused(config);
            assert_eq!((code, field), (Code::ApiValidation, format!("{AT}.{name}")), "{message}");
        }
        let (_, field, message) = refused(json!({ "password": 7, "vm_vcpus": 0, "colour": SECRET }));
        assert_eq!(field, "config.xcpng_config.colour");
        for name in ["password", "vm_vcpus", "colour", "xapi_url", "username", "ssh_user", "template_name"] {
            assert!(message.contains(name), "{name} is not named: {message}");
        }
        let error = read(json!({ "pol": "lab" })).unwrap_err();
        assert_eq!(error.details.nearest, ["pool"]);
    }
}
