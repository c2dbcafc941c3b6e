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

fn decoded(body: &Value) -> codec::Value {
    let bytes = serde_json::to_vec(body).unwrap();
    codec::decode_value(Encoding::Json, &bytes, &DecodeLimits::default()).unwrap()
}

/// As intake does it: out of the body, and in again.
fn try_sealed(config: Value, key: Option<&OpeningKey>) -> Result<XcpngConfig, ErrorBody> {
    let rules = Rules { sealing_key: key.map(OpeningKey::sealing_key), ..Rules::default() };
    let mut body = decoded(&json!({ "config": { "xcpng_config": config } }));
    let password = take_password(&mut body)?;
    assert!(!format!("{body:?}").contains(SECRET), "it is left in {body:?}");
    let mut config: XcpngConfig =
        codec::from_value(body.get("config").unwrap().get("xcpng_config").unwrap())?;
    seal(Some(&mut config), password, &alice(), &rules)?;
    Ok(config)
}

fn sealed(config: Value, key: Option<&OpeningKey>) -> XcpngConfig {
    try_sealed(config, key).unwrap()
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
    let opens =
        |user: &UserId, pool: &OwnPool| key.open(&pool.sealed_password.parse().unwrap(), &pool.about(user));
    assert_eq!(opens(&alice(), &pool).unwrap(), SECRET);
    let elsewhere = OwnPool { xapi_url: "https://10.0.0.6".to_owned(), ..OwnPool::clone(&pool) };
    assert!(opens(&alice(), &elsewhere).is_err(), "it would be sent to another host");
    let another = OwnPool { tls_fingerprints: vec!["ab".repeat(32)], ..OwnPool::clone(&pool) };
    assert!(opens(&alice(), &another).is_err(), "it would be sent to whoever answers there");
    assert!(opens(&"bob".parse().unwrap(), &pool).is_err(), "another user may use it");
    assert_eq!((pool.vm_memory_kb, pool.vm_vcpus), (Some(4 << 20), Some(2)));
    // Sealed before it was sent, it is taken as it is, where it is for the fleet's key.
    let again = sealed(serde_json::to_value(&config).unwrap(), Some(&key));
    assert_eq!(again, config);
    let other = OpeningKey::generate().unwrap();
    for key in [None, Some(&other)] {
        let error = try_sealed(serde_json::to_value(&config).unwrap(), key).unwrap_err();
        assert_eq!((error.code, error.details.field.as_deref()), (Code::InvalidConfiguration, Some(SEALED)));
    }
}

#[test]
fn without_a_key_it_is_refused_and_its_password_not_repeated() {
    let config = sealed(own(), None);
    let (code, field, message) = refused(serde_json::to_value(&config).unwrap());
    assert_eq!((code, field.as_str()), (Code::InvalidConfiguration, "config.xcpng_config.password"));
    assert!(message.contains("workers' files"), "{message}");
}

#[test]
fn a_password_leaves_the_body_wherever_it_stands_and_no_value_is_repeated() {
    for body in [
        json!({ "config": { "xcpng_config": own() } }),
        json!({ "checkpoint_id": "c1", "xcpng_config": own() }),
        json!({ "xcpng_config": own(), "config": { "xcpng_config": own() } }),
    ] {
        let mut body = decoded(&body);
        assert_eq!(take_password(&mut body).unwrap().as_deref(), Some(SECRET));
        assert!(!format!("{body:?}").contains(SECRET), "{body:?}");
    }
    let error = take_password(&mut decoded(&json!({ "xcpng_config": SECRET }))).unwrap_err();
    assert_eq!(error.details.field.as_deref(), Some("xcpng_config"));
    assert!(!error.message.contains(SECRET), "{}", error.message);
    let mut odd = decoded(&json!({ "config": { "xcpng_config": { "password": -4242 } } }));
    assert_eq!(take_password(&mut odd).unwrap(), None);
    odd.refuse_negative().unwrap();
    for body in [json!({ "config": { "xcpng_config": { "pool": "lab" } } }), json!({ "config": 7 })] {
        assert_eq!(take_password(&mut decoded(&body)).unwrap(), None);
    }
}

#[test]
fn a_password_that_cannot_be_is_told_as_one() {
    let key = OpeningKey::generate().unwrap();
    for password in ["", "a\nb", &"x".repeat(800)] {
        let mut config = own();
        config["password"] = json!(password);
        let error = read(serde_json::to_value(sealed(config, Some(&key))).unwrap()).unwrap_err();
        assert_eq!(error.details.field.as_deref(), Some("config.xcpng_config.password"));
    }
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
        ("tls_fingerprint", json!([])),
        ("tls_fingerprint", json!(["ab".repeat(32), 7])),
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
