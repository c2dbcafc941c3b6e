//! The client of XAPI against small hosts in this process, over real TLS: what it makes of faults, redirects,
//! certificates, silence and lost answers. A whole pool is modelled elsewhere.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]

mod guests;
mod host;
mod hostile;
mod model;
mod protocol;

use std::time::Duration;

use bioxen_worker::xcpng::config::{PoolSettings, SecretSource, Trust};
use host::Host;

pub(crate) const PASSWORD: &str = "hunter2-pool";

/// A pool at this host, with timeouts that suit a test.
pub(crate) fn settings(host: &Host) -> (PoolSettings, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let settings = PoolSettings {
        xapi_url: host.url(),
        username: "bioxen".to_owned(),
        password: SecretSource::File(password),
        trust: Trust::Fingerprints(vec![host.fingerprint]),
        template_name: "bioxen-template".to_owned(),
        ssh_user: "bioxen".to_owned(),
        ssh_key_path: folder.path().join("key"),
        ssh_port: 22,
        network_uuid: Some(model::NETWORK_UUID.to_owned()),
        storage_repository: None,
        vm_memory_bytes: 1 << 30,
        vm_vcpus: 2,
        vm_creation_timeout: Duration::from_secs(60),
        ssh_timeout: Duration::from_secs(5),
        connection_pool_size: 10,
        orphan_grace: Duration::from_secs(300),
    };
    (settings, folder)
}
