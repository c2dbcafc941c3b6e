//! Pools that VMs bring along: what a worker's file says for them, and the settings of one of them.
//!
//! Their users wrote them, so a key for guests is taken from one folder alone, and a host is believed by its fingerprint or
//! by an authority that the file names.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use bioxen_protocol::command::MemoryLimit;
use bioxen_protocol::id::UserId;
use bioxen_protocol::pool::OwnPool;
use bioxen_sealing::{OpeningKey, Sealed};
use serde::Deserialize;

use super::written::{OneOrMore, Written};
use super::{PoolSettings, Secret};
use crate::xcpng::fault::XcpngError;

/// Of a file's mode: who is not its owner.
const OTHERS: u32 = 0o077;

/// `[xcpng.own_pools]`. What is absent of times and ports is as for a pool of the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnPoolsSettings {
    /// Holds the private half of the key that passwords are sealed with.
    pub key_file: PathBuf,
    /// Where a VM's `ssh_key_path` has to be.
    pub ssh_key_folder: PathBuf,
    /// Certificates in PEM that sign the hosts' own, where a VM gives no `tls_fingerprint`.
    pub ca_file: Option<PathBuf>,
    /// The coordinators' half, which may stand in the same file.
    pub sealing_key: Option<String>,
    pub ssh_port: Option<u16>,
    pub ssh_timeout: Option<u64>,
    pub vm_creation_timeout: Option<u64>,
    pub connection_pool_size: Option<usize>,
    pub orphan_grace: Option<u64>,
}

/// What makes settings of a pool that a VM brought along.
#[derive(Debug)]
pub struct OwnPools {
    key: OpeningKey,
    settings: OwnPoolsSettings,
}

impl OwnPools {
    /// Reads the key.
    ///
    /// # Errors
    /// Its file cannot be read, holds none, or another than the `sealing_key` beside it belongs to.
    pub fn open(settings: OwnPoolsSettings) -> Result<Self, XcpngError> {
        let at = format!("[xcpng.own_pools] key_file {}", settings.key_file.display());
        let wrong = |what: &dyn std::fmt::Display| XcpngError::Secret(format!("{at}: {what}"));
        let unread = |error: std::io::Error| wrong(&format!("{error}; `bioxen xcpng key` makes one"));
        let mode = std::fs::metadata(&settings.key_file).map_err(unread)?.permissions().mode();
        if mode & OTHERS != 0 {
            return Err(wrong(&format!("others can read it (mode {:o}); `chmod 600` it", mode & 0o777)));
        }
        let text = std::fs::read_to_string(&settings.key_file).map_err(unread)?;
        let key: OpeningKey = text.parse().map_err(|error| wrong(&error))?;
        let sealing = key.sealing_key();
        match &settings.sealing_key {
            Some(given) if *given != sealing.to_string() => Err(wrong(&format!(
                "it does not open what sealing_key seals; the half that belongs to it is {sealing}"
            ))),
            _ => Ok(Self { key, settings }),
        }
    }

    /// The id of the key whose secrets it opens.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.sealing_key().id()
    }

    /// The settings of a pool that a VM of `user` brought along.
    ///
    /// # Errors
    /// Its password does not open; what is wrong with the rest, field by field.
    pub fn settings(&self, user: &UserId, own: &OwnPool) -> Result<PoolSettings, XcpngError> {
        let about = own.about(user);
        let opened = own.sealed_password.parse().and_then(|sealed: Sealed| self.key.open(&sealed, &about));
        let password = opened.map_err(|error| XcpngError::Secret(format!("sealed_password: {error}")))?;
        let ssh_key_path = self.within_folder(Path::new(&own.ssh_key_path))?;
        let set = &self.settings;
        let written = Written {
            xapi_url: Some(own.xapi_url.clone()),
            username: Some(own.username.clone()),
            opened: Some(Secret::new(password)),
            tls_fingerprint: Some(own.tls_fingerprints.clone())
                .filter(|all| !all.is_empty())
                .map(OneOrMore::More),
            ca_file: set.ca_file.clone().filter(|_| own.tls_fingerprints.is_empty()),
            template_name: Some(own.template_name.clone()),
            ssh_user: Some(own.ssh_user.clone()),
            ssh_key_path: Some(ssh_key_path),
            ssh_port: set.ssh_port,
            network_uuid: own.network_uuid.clone(),
            storage_repository: own.storage_repository.clone(),
            vm_memory: own.vm_memory_kb.map(MemoryLimit),
            vm_vcpus: own.vm_vcpus,
            vm_creation_timeout: set.vm_creation_timeout,
            ssh_timeout: set.ssh_timeout,
            connection_pool_size: set.connection_pool_size,
            orphan_grace: set.orphan_grace,
            ..Written::default()
        };
        let checked = written.checked("own".to_owned());
        checked
            .map_err(|invalid| XcpngError::Refused(format!("xcpng_config: {}", invalid.problems.join("; "))))
    }

    /// A key of the folder: no other file of this machine is opened because a VM names it.
    fn within_folder(&self, path: &Path) -> Result<PathBuf, XcpngError> {
        let folder = &self.settings.ssh_key_folder;
        let inside = path.strip_prefix(folder).unwrap_or(path);
        let stays = inside.components().all(|part| matches!(part, Component::Normal(_)));
        if stays && inside.components().next().is_some() {
            return Ok(folder.join(inside));
        }
        Err(XcpngError::Refused(format!(
            "xcpng_config: ssh_key_path: {} is not in the workers' folder of such keys; name one that is there",
            path.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SecretSource, Trust};
    use super::*;

    struct Bench {
        pools: OwnPools,
        folder: tempfile::TempDir,
    }

    fn write_private(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn alice() -> UserId {
        "alice".parse().unwrap()
    }

    fn bench(ca_file: Option<PathBuf>) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key");
        write_private(&key_file, &format!("{}\n", OpeningKey::generate().unwrap().reveal()));
        let settings = OwnPoolsSettings { ca_file, ..set(&key_file, folder.path()) };
        Bench { pools: OwnPools::open(settings).unwrap(), folder }
    }

    fn set(key_file: &Path, folder: &Path) -> OwnPoolsSettings {
        let text = format!("key_file = {key_file:?}\nssh_key_folder = {folder:?}\nssh_port = 2222\n");
        toml::from_str(&text).unwrap()
    }

    fn own(pools: &OwnPools, tls_fingerprints: Vec<String>) -> OwnPool {
        let (xapi_url, username) = ("https://10.0.0.5".to_owned(), "root".to_owned());
        let mut own = OwnPool {
            sealed_password: String::new(),
            xapi_url,
            username,
            ssh_user: "bioxen".to_owned(),
            ssh_key_path: "guests".to_owned(),
            template_name: "bioxen-guest".to_owned(),
            vm_memory_kb: Some(4 << 20),
            vm_vcpus: None,
            tls_fingerprints,
            network_uuid: None,
            storage_repository: None,
        };
        let sealed = pools.key.sealing_key().seal("hunter2", &own.about(&alice())).unwrap();
        own.sealed_password = sealed.to_string();
        own
    }

    #[test]
    fn a_pool_of_a_vm_is_one_like_those_of_the_file() {
        let Bench { pools, folder } = bench(Some("/ca.pem".into()));
        let settings = pools.settings(&alice(), &own(&pools, Vec::new())).unwrap();
        assert_eq!((settings.xapi_url.as_str(), settings.ssh_port), ("https://10.0.0.5/", 2222));
        assert_eq!((settings.vm_memory_bytes, settings.vm_vcpus), (4 << 30, 1));
        assert_eq!(settings.ssh_key_path, folder.path().join("guests"));
        assert_eq!(settings.trust, Trust::CaFile("/ca.pem".into()));
        assert_eq!(settings.password, SecretSource::Opened(Secret::new("hunter2")));
        assert!(!format!("{settings:?} {}", settings.password).contains("hunter2"));
        let pinned = own(&pools, vec!["ab".repeat(32)]);
        assert_eq!(pools.settings(&alice(), &pinned).unwrap().trust, Trust::Fingerprints(vec![[0xab; 32]]));
    }

    #[test]
    fn what_cannot_be_is_said_by_its_field() {
        let Bench { pools, folder } = bench(None);
        let refused = |own: OwnPool| pools.settings(&alice(), &own).unwrap_err().to_string();
        let good = || own(&pools, vec!["ab".repeat(32)]);
        assert!(pools.settings(&alice(), &good()).is_ok());
        assert!(refused(own(&pools, Vec::new())).contains("tls_fingerprint: missing"));
        for path in ["/etc/passwd", "../key", "guests/../../key", "", "."] {
            let told = refused(OwnPool { ssh_key_path: path.to_owned(), ..good() });
            assert!(told.contains("ssh_key_path"), "{path:?}: {told}");
        }
        let within = OwnPool { ssh_key_path: folder.path().join("guests").display().to_string(), ..good() };
        assert!(pools.settings(&alice(), &within).is_ok());
        let elsewhere = refused(OwnPool { xapi_url: "https://10.0.0.6".to_owned(), ..good() });
        assert!(
            elsewhere.contains("sealed_password") && elsewhere.contains("another user, address"),
            "{elsewhere}"
        );
        assert!(pools.settings(&"bob".parse().unwrap(), &good()).is_err(), "another user may use it");
        let another = OwnPool { tls_fingerprints: vec!["cd".repeat(32)], ..good() };
        assert!(pools.settings(&alice(), &another).is_err(), "whoever answers there may have it");
    }

    #[test]
    fn a_key_that_is_none_or_another_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let settings = set(&file, folder.path());
        let refused = |settings: OwnPoolsSettings| OwnPools::open(settings).unwrap_err().to_string();
        assert!(refused(settings.clone()).contains("bioxen xcpng key"));
        write_private(&file, "hunter2");
        let told = refused(settings.clone());
        assert!(told.contains("bioxen-open:") && !told.contains("hunter2"), "{told}");
        let key = OpeningKey::generate().unwrap();
        write_private(&file, &key.reveal());
        let other = OpeningKey::generate().unwrap().sealing_key().to_string();
        let told = refused(OwnPoolsSettings { sealing_key: Some(other), ..settings.clone() });
        assert!(told.contains(&key.sealing_key().to_string()), "{told}");
        let own = OwnPoolsSettings { sealing_key: Some(key.sealing_key().to_string()), ..settings.clone() };
        assert_eq!(OwnPools::open(own.clone()).unwrap().key(), key.sealing_key().id());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(refused(own).contains("chmod 600"));
    }
}
