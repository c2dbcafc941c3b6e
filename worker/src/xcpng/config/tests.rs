//! What may stand in a pool's section, and how it is refused.

use super::*;

const GOOD: &str = r#"
    [pools.lab]
    xapi_url = "https://10.0.0.5"
    username = "bioxen"
    password_file = "/etc/bioxen/lab"
    tls_fingerprint = "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"
    template_name = "bioxen"
    ssh_user = "bioxen"
    ssh_key_path = "/etc/bioxen/key"
    network_uuid = "01234567-89ab-cdef-0123-456789abcdef"
    vm_memory = "4GB"
"#;

fn read(text: &str) -> Result<PoolSettings, String> {
    let section: Section = toml::from_str(text).map_err(|error| error.to_string())?;
    let (mut pools, _) = checked(section).map_err(|error| error.to_string())?;
    Ok(pools.remove("lab").unwrap())
}

#[test]
fn a_pool_is_read_with_its_defaults() {
    let pool = read(GOOD).unwrap();
    assert_eq!(pool.xapi_url.as_str(), "https://10.0.0.5/");
    assert_eq!((pool.vm_memory_bytes, pool.vm_vcpus), (4 << 30, 1));
    assert_eq!((pool.vm_creation_timeout.as_secs(), pool.ssh_timeout.as_secs()), (300, 30));
    assert_eq!((pool.connection_pool_size, pool.ssh_port), (10, 22));
    let Trust::Fingerprints(pins) = &pool.trust else { panic!("{:?}", pool.trust) };
    assert_eq!((pins.len(), pins[0][1], pins[0][31]), (1, 0x11, 0xff));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_by_field() {
    let error =
        read("[pools.lab]\nxapi_url = \"http://10.0.0.5\"\nvm_vcpus = 0\nssh_port = 0\nssh_timeout = 9999\nnetwork_uuid = \"eth0\"\n")
            .unwrap_err();
    for part in [
        "[xcpng.pools.lab]",
        "xapi_url: \"http://10.0.0.5\" cannot be used; expected https://",
        "username: missing",
        "password: missing; name it by password_file or password_env",
        "tls_fingerprint: missing",
        "template_name: missing",
        "ssh_key_path: missing",
        "network_uuid: \"eth0\" is no UUID",
        "vm_vcpus: 0 given; expected 1 to 64",
        "ssh_port: 0 given; expected 1 to 65535",
        "ssh_timeout: 9999 s given; expected 1 to 600",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let error =
        read(&GOOD.replace("password_file = \"/etc/bioxen/lab\"", "password = \"hunter2\"")).unwrap_err();
    assert!(error.contains("a secret has no place in this file") && !error.contains("hunter2"), "{error}");
    let error = read(&GOOD.replace("https://10", "https://root:hunter2@10")).unwrap_err();
    assert!(error.contains("xapi_url") && !error.contains("hunter2"), "{error}");
}

#[test]
fn what_is_unknown_or_doubtful_is_refused() {
    assert!(read(&format!("{GOOD}\ntemplate = \"x\"\n")).unwrap_err().contains("unknown field `template`"));
    assert!(read(&format!("{GOOD}\nca_file = \"/x\"\n")).unwrap_err().contains("keep one of them"));
    assert!(read(&GOOD.replace(":ff\"", "\"")).unwrap_err().contains("expected 64 hexadecimal digits"));
    assert!(read(&GOOD.replace("4GB", "4 parsecs")).unwrap_err().contains("vm_memory"));
}

#[test]
fn a_secret_is_read_where_it_stands_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let source = SecretSource::File(path.clone());
    assert!(source.read().unwrap_err().to_string().contains("cannot be read"));
    std::fs::write(&path, "\n").unwrap();
    assert!(source.read().unwrap_err().to_string().contains("is empty"));
    std::fs::write(&path, "hunter2\n").unwrap();
    let secret = source.read().unwrap();
    assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("hunter2", "Secret(..)"));
    let unset = SecretSource::Environment("BIOXEN_NO_SUCH_VARIABLE".to_owned());
    assert!(unset.read().unwrap_err().to_string().contains("BIOXEN_NO_SUCH_VARIABLE"));
}
