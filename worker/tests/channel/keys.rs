//! Keys that are made, read and handed to guests.

use std::collections::BTreeMap;
use std::path::Path;

use bioxen_worker::xcpng::PoolSettings;
use bioxen_worker::xcpng::channel::{HostKey, UserKey, seed};
use bioxen_worker::xcpng::config::{SecretSource, Trust};

/// What a guest is handed where this is the file of the user's key.
pub(crate) fn seed_of(user_key: &Path, host_key: &HostKey) -> BTreeMap<String, String> {
    let settings = PoolSettings {
        xapi_url: "https://pool/".parse().unwrap(),
        username: String::new(),
        password: SecretSource::Environment(String::new()),
        trust: Trust::Fingerprints(Vec::new()),
        template_name: String::new(),
        ssh_user: String::new(),
        ssh_key_path: user_key.to_owned(),
        ssh_port: 22,
        network_uuid: None,
        storage_repository: None,
        vm_memory_bytes: 0,
        vm_vcpus: 1,
        vm_creation_timeout: std::time::Duration::ZERO,
        ssh_timeout: std::time::Duration::ZERO,
        connection_pool_size: 3,
        orphan_grace: std::time::Duration::ZERO,
    };
    seed(&settings, host_key).unwrap()
}

#[test]
fn a_guest_is_handed_its_host_key_and_who_may_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let Ok(made) = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path)
        .status()
    else {
        println!("ssh-keygen is not installed, so nothing was tried");
        return;
    };
    assert!(made.success());
    let (first, second) = (HostKey::generate().unwrap(), HostKey::generate().unwrap());
    assert_ne!(first.public(), second.public());
    assert!(first.public().starts_with("ssh-ed25519 "), "{first:?}");
    let seed = seed_of(&path, &first);
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    assert!(public.starts_with(&seed["authorized_key"]), "{public}");
    // Nothing in it has more than one line, for not every way into the xenstore takes those.
    assert!(seed.values().all(|value| !value.contains('\n') && value.len() < 1024), "{seed:?}");
    assert!(!format!("{first:?} {:?}", UserKey::read(&path).unwrap()).contains("PRIVATE"));
}

#[test]
fn a_key_that_cannot_be_used_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let refused = || UserKey::read(&path).unwrap_err().to_string();
    assert!(refused().contains("cannot be read"));
    std::fs::write(&path, "ssh-ed25519 AAAA").unwrap();
    assert!(refused().contains("cannot be used") && refused().contains("ssh-keygen -t ed25519"));
    for (kind, passphrase, words) in [("ed25519", "secret", "key"), ("rsa", "", "rsa")] {
        let _ = std::fs::remove_file(&path);
        let mut command = std::process::Command::new("ssh-keygen");
        let Ok(_) = command.args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(&path).status() else {
            println!("ssh-keygen is not installed, so not all was tried");
            return;
        };
        assert!(refused().contains(words) && refused().contains("ssh_key_path"), "{}", refused());
    }
}
