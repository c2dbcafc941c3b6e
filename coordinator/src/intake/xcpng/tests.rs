//! Which configs are taken, how each wrong field is told, and where a password may stand.

use bioxen_protocol::codec::{DecodeLimits, Encoding};
use bioxen_sealing::OpeningKey;
use serde_json::json;

use super::*;

const AT: &str = "config.xcpng_config";
const SECRET: &str = "correct horse";

fn read(config: Value) -> Result<Option<XcpngPool>, ErrorBody> {
    pool(VmType::Xcpng, Some(&serde_json::from_value(config).unwrap()), AT)
}

fn own() -> Value {
    json!({ "xapi_url": "https://10.0.0.5", "username": "root", "password": SECRET, "ssh_user": "bioxen",
        "ssh_key_path": "k", "template_name": "t", "vm_memory": "4GB", "vm_vcpus": 2 })
}

fn alice() -> UserId {
    "alice".parse().unwrap()
}

/// As intake does it: out, and in again.
fn sealed(config: Value, key: Option<&OpeningKey>) -> XcpngConfig {
    let rules = Rules { sealing_key: key.map(OpeningKey::sealing_key), ..Rules::default() };
    let mut config = serde_json::from_value(config).unwrap();
    let password = take_password(Some(&mut config));
    assert!(!serde_json::to_string(&config).unwrap().contains(SECRET), "a digest would be made of it");
    seal(Some(&mut config), password, &alice(), &rules).unwrap();
    config
}

fn refused(config: Value) -> (Code, String, String) {
    let error = read(config).unwrap_err();
    let all = serde_json::to_string(&error).unwrap();
    assert!(!all.contains(SECRET), "a password was repeated: {all}");
    (error.code, error.details.field.clone().unwrap_or_default(), error.message)
}

#[test]
fn a_vm_of_type_xcpng_names_a_pool_and_a_basic_one_none() {
    assert_eq!(read(json!({ "pool": "lab" })).unwrap(), Some(XcpngPool::Named("lab".to_owned())));
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
fn the_password_of_a_pool_of_its_own_opens_for_workers_alone() {
    let key = OpeningKey::generate().unwrap();
    let config = sealed(own(), Some(&key));
    let Ok(Some(XcpngPool::Own(pool))) = pool(VmType::Xcpng, Some(&config), AT) else { panic!("a pool") };
    assert!(!format!("{pool:?}").contains(SECRET) && !serde_json::to_string(&pool).unwrap().contains(SECRET));
    assert_eq!(pool.key(), key.sealing_key().id());
    let opens = |user: &UserId, url: &str| {
        key.open(&pool.sealed_password.parse().unwrap(), &OwnPool::about(user, url, &pool.username))
    };
    assert_eq!(opens(&alice(), &pool.xapi_url).unwrap(), SECRET);
    assert!(opens(&alice(), "https://10.0.0.6").is_err(), "it would be sent to another host");
    assert!(opens(&"bob".parse().unwrap(), &pool.xapi_url).is_err(), "another user may use it");
    assert_eq!((pool.vm_memory_kb, pool.vm_vcpus), (Some(4 << 20), Some(2)));
    // Sealed before it was sent, it is taken as it is.
    let Ok(Some(XcpngPool::Own(again))) = read(serde_json::to_value(&config).unwrap()) else {
        panic!("a pool")
    };
    assert_eq!(again, pool);
}

#[test]
fn without_a_key_it_is_refused_and_its_password_not_repeated() {
    let config = sealed(own(), None);
    let (code, field, message) = refused(serde_json::to_value(&config).unwrap());
    assert_eq!((code, field.as_str()), (Code::InvalidConfiguration, "config.xcpng_config.password"));
    assert!(message.contains("workers' files"), "{message}");
}

#[test]
fn a_command_that_is_stored_holds_no_password() {
    let stored = |body: Value| {
        let bytes = serde_json::to_vec(&body).unwrap();
        refuse_stored(&codec::decode_value(Encoding::Json, &bytes, &DecodeLimits::default()).unwrap())
    };
    let error = stored(json!({ "config": { "xcpng_config": own() } })).unwrap_err();
    assert_eq!(error.details.field.as_deref(), Some("config.xcpng_config.password"));
    let error = stored(json!({ "checkpoint_id": "c1", "xcpng_config": own() })).unwrap_err();
    assert_eq!(error.details.field.as_deref(), Some("xcpng_config.password"));
    stored(json!({ "config": { "xcpng_config": { "pool": "lab" } } })).unwrap();
    stored(json!({ "config": 7 })).unwrap();
}

#[test]
fn every_wrong_field_of_it_is_named() {
    for (name, value) in [
        ("xapi_url", json!("http://10.0.0.5")),
        ("xapi_url", json!(format!("https://root:{SECRET}@10.0.0.5"))),
        ("xapi_url", json!("https://host:port")),
        ("username", json!("")),
        ("username", json!("root\nhttps://10.0.0.6")),
        ("password", json!([SECRET])),
        ("password", Value::Null),
        ("sealed_password", json!(SECRET)),
        ("ssh_user", json!(7)),
        ("ssh_key_path", json!({})),
        ("template_name", json!(" ")),
        ("template_name", json!("t".repeat(513))),
        ("vm_memory", json!("4 parsecs")),
        ("vm_memory", json!(0)),
        ("vm_vcpus", json!("2")),
        ("vm_vcpus", json!(65)),
        ("tls_fingerprint", json!("AA:BB")),
        ("network_uuid", json!("eth0")),
        ("storage_repository", json!(["a"])),
        ("pool", json!("../lab")),
    ] {
        let mut config = own();
        config[name] = value;
        let (code, field, message) = refused(config);
        assert_eq!((code, field), (Code::ApiValidation, format!("{AT}.{name}")), "{message}");
    }
    let (_, field, message) = refused(json!({ "password": 7, "vm_vcpus": 0, "colour": SECRET }));
    assert_eq!(field, "config.xcpng_config.colour");
    for name in ["password", "vm_vcpus", "colour", "xapi_url", "username", "ssh_user", "template_name"] {
        assert!(message.contains(name), "{name} is not named: {message}");
    }
    let key = OpeningKey::generate().unwrap();
    let mut both = serde_json::to_value(sealed(own(), Some(&key))).unwrap();
    both["password"] = json!(SECRET);
    assert_eq!(refused(both).1, "config.xcpng_config.password");
    let error = read(json!({ "pol": "lab" })).unwrap_err();
    assert_eq!(error.details.nearest, ["pool"]);
}
