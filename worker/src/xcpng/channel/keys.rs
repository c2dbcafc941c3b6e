//! Keys: the one that a guest is known by, which we make for it; the one that lets us in, which the settings name.
//!
//! Private keys show themselves in no `Debug` and no error.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Algorithm, PrivateKey, decode_secret_key};

use super::super::config::{PoolSettings, Secret};
use super::super::fault::XcpngError;

/// Where a guest finds them below `vm-data/bioxen/`.
const SEED_HOST_KEY: &str = "host_key";
const SEED_USER_KEY: &str = "authorized_key";
const KEY_BYTES_MOST: u64 = 64 << 10;

/// A host key for a guest (ed25519), in OpenSSH's forms.
#[derive(Debug, Clone)]
pub struct HostKey {
    private: Secret,
    public: String,
}

impl HostKey {
    /// A new one, from the system's randomness.
    ///
    /// # Errors
    /// The system gives none.
    pub fn generate() -> Result<Self, XcpngError> {
        let failed = |what: String| XcpngError::Secret(format!("no host key could be made ({what})"));
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| failed(error.to_string()))?;
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        let private = key.to_openssh(LineEnding::LF).map_err(|error| failed(error.to_string()))?;
        let public = key.public_key().to_openssh().map_err(|error| failed(error.to_string()))?;
        Ok(Self { private: Secret::new(private.as_str()), public })
    }

    /// `ssh-ed25519 ..`, as [`super::Target`] and the guest's marks on the pool have it.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }
}

/// The private key that `ssh_user` is let in with.
#[derive(Clone)]
pub struct UserKey(Arc<PrivateKey>);

impl UserKey {
    /// # Errors
    /// A file that cannot be read, or holds no private key that can be used as it is.
    pub fn read(path: &Path) -> Result<Self, XcpngError> {
        let wrong = |what: String| {
            XcpngError::Secret(format!(
                "ssh_key_path {path} {what}; `ssh-keygen -t ed25519 -N '' -f {path}` makes one that fits",
                path = path.display()
            ))
        };
        let size = std::fs::metadata(path).map_err(|e| wrong(format!("cannot be read ({e})")))?.len();
        if size > KEY_BYTES_MOST {
            return Err(wrong(format!("has {size} bytes; expected a private key")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("cannot be read ({e})")))?;
        let key = decode_secret_key(&text, None).map_err(|e| wrong(format!("cannot be used ({e})")))?;
        match key.algorithm() {
            Algorithm::Ed25519 | Algorithm::Ecdsa { .. } if !key.is_encrypted() => Ok(Self(Arc::new(key))),
            other => {
                let other =
                    if key.is_encrypted() { "an encrypted key".to_owned() } else { other.to_string() };
                Err(wrong(format!("holds {other}; expected an ed25519 or ECDSA key without a passphrase")))
            }
        }
    }

    /// One line, as it stands in `authorized_keys`.
    ///
    /// # Errors
    /// It cannot be written so.
    pub fn public(&self) -> Result<String, XcpngError> {
        let public = self.0.public_key().key_data().clone();
        let public = russh::keys::PublicKey::from(public).to_openssh();
        public.map_err(|error| XcpngError::Secret(format!("the public half of ssh_key_path: {error}")))
    }

    pub(super) fn private(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKey(..)")
    }
}

/// What a guest is handed through its xenstore: its host key, in base64 for it has several lines, and our public key.
///
/// # Errors
/// `ssh_key_path` cannot be used.
pub fn seed(settings: &PoolSettings, host_key: &HostKey) -> Result<BTreeMap<String, String>, XcpngError> {
    let user_key = UserKey::read(&settings.ssh_key_path)?;
    Ok(BTreeMap::from([
        (SEED_HOST_KEY.to_owned(), BASE64.encode(host_key.private.reveal())),
        (SEED_USER_KEY.to_owned(), user_key.public()?),
    ]))
}
