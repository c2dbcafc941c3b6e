//! A secret that stands where many read, and that only who holds the private half of a key can open: the password of a
//! pool that a VM brought along, in the journal.
//!
//! Hybrid public key encryption (HPKE, RFC 9180, single shot, base mode) with X25519, HKDF-SHA256 and ChaCha20-Poly1305. What
//! a secret is `about` is bound to it: sealed for one address, it does not open for another. It reads no file and keeps
//! nothing.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

const INFO: &[u8] = b"bioxen sealed secret 1";
const KEY_BYTES: usize = 32;
const SEALING: &str = "bioxen-seal:";
const OPENING: &str = "bioxen-open:";
/// Bytes of a key's SHA-256 that name it.
const ID_BYTES: usize = 8;

type Suite = X25519HkdfSha256;
type Private = <Suite as Kem>::PrivateKey;
type Public = <Suite as Kem>::PublicKey;
type Encapped = <Suite as Kem>::EncappedKey;

/// The half that seals, known to coordinators: `bioxen-seal:` and 32 bytes in base64.
#[derive(Clone)]
pub struct SealingKey(Public);

/// The half that opens, known to workers alone: `bioxen-open:` and 32 bytes in base64. It does not show itself.
#[derive(Clone)]
pub struct OpeningKey(Private);

/// A sealed secret as text: the id of its key, a dot, and base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    key: String,
    bytes: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    #[error(
        "this is no {0}... key: expected that word and 32 bytes in base64, as `bioxen xcpng key` makes them"
    )]
    Key(&'static str),
    #[error("this is no sealed secret: expected the id of a key, a dot, and base64")]
    Sealed,
    #[error(
        "it was sealed for the key {sealed}, and the key here is {here}: seal it anew, or bring the key that it was sealed for"
    )]
    OtherKey { sealed: String, here: String },
    #[error(
        "it does not open: it was changed, or sealed for another user, address, account or certificate; seal it anew"
    )]
    Changed,
    #[error("it cannot be sealed: {0}")]
    Hpke(String),
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

impl SealingKey {
    /// What names the pair, in hexadecimal digits.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(self.0.to_bytes());
        digest.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Seals `secret` for whoever holds the other half. `about` is not sealed, and has to be given again to open it.
    ///
    /// # Errors
    /// No randomness; a key that is none.
    pub fn seal(&self, secret: &str, about: &str) -> Result<Sealed, SealingError> {
        let mut random = ChaCha20Rng::from_seed(seed()?);
        let (encapped, text) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Suite>(
            &OpModeS::Base,
            &self.0,
            INFO,
            secret.as_bytes(),
            about.as_bytes(),
            &mut random,
        )
        .map_err(|error| SealingError::Hpke(error.to_string()))?;
        Ok(Sealed { key: self.id(), bytes: [encapped.to_bytes().as_slice(), &text].concat() })
    }
}

impl OpeningKey {
    /// A new pair.
    ///
    /// # Errors
    /// No randomness.
    pub fn generate() -> Result<Self, SealingError> {
        Ok(Self(Suite::derive_keypair(&seed()?).0))
    }

    /// The other half.
    #[must_use]
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey(Suite::sk_to_pk(&self.0))
    }

    /// The key's text, for the file that holds it.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{OPENING}{}", BASE64_STANDARD.encode(self.0.to_bytes()))
    }

    /// # Errors
    /// It was sealed for another key, about something else, or changed since.
    pub fn open(&self, sealed: &Sealed, about: &str) -> Result<String, SealingError> {
        let here = self.sealing_key().id();
        if sealed.key != here {
            return Err(SealingError::OtherKey { sealed: sealed.key.clone(), here });
        }
        let (encapped, text) = sealed.bytes.split_at_checked(KEY_BYTES).ok_or(SealingError::Changed)?;
        let encapped = Encapped::from_bytes(encapped).map_err(|_| SealingError::Changed)?;
        let secret = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Suite>(
            &OpModeR::Base,
            &self.0,
            &encapped,
            INFO,
            text,
            about.as_bytes(),
        );
        String::from_utf8(secret.map_err(|_| SealingError::Changed)?).map_err(|_| SealingError::Changed)
    }
}

impl Sealed {
    /// The id of the key that it was sealed for.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn seed() -> Result<[u8; KEY_BYTES], getrandom::Error> {
    let mut seed = [0; KEY_BYTES];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}

fn bytes_of(text: &str, prefix: &'static str) -> Result<Vec<u8>, SealingError> {
    let bytes = text.trim().strip_prefix(prefix).and_then(|rest| BASE64_STANDARD.decode(rest).ok());
    bytes.ok_or(SealingError::Key(prefix))
}

impl FromStr for SealingKey {
    type Err = SealingError;
    fn from_str(text: &str) -> Result<Self, SealingError> {
        let key = Public::from_bytes(&bytes_of(text, SEALING)?).map_err(|_| SealingError::Key(SEALING))?;
        Ok(Self(key))
    }
}

impl FromStr for OpeningKey {
    type Err = SealingError;
    fn from_str(text: &str) -> Result<Self, SealingError> {
        let key = Private::from_bytes(&bytes_of(text, OPENING)?).map_err(|_| SealingError::Key(OPENING))?;
        Ok(Self(key))
    }
}

impl FromStr for Sealed {
    type Err = SealingError;
    fn from_str(text: &str) -> Result<Self, SealingError> {
        let (key, rest) = text.split_once('.').ok_or(SealingError::Sealed)?;
        let is_id = key.len() == 2 * ID_BYTES && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bytes = BASE64_STANDARD.decode(rest).ok().filter(|bytes| is_id && bytes.len() > KEY_BYTES);
        Ok(Self { key: key.to_owned(), bytes: bytes.ok_or(SealingError::Sealed)? })
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SEALING}{}", BASE64_STANDARD.encode(self.0.to_bytes()))
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key, BASE64_STANDARD.encode(&self.bytes))
    }
}

impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bytes() == other.0.to_bytes()
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id())
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpeningKey(of {})", self.sealing_key().id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &str = "alice https://10.0.0.5 root";

    #[test]
    fn what_was_sealed_opens_with_the_other_half_and_through_its_texts() {
        let opening = OpeningKey::generate().unwrap();
        let sealing: SealingKey = opening.sealing_key().to_string().parse().unwrap();
        let sealed = sealing.seal("correct horse", ABOUT).unwrap();
        assert_eq!(sealed.key(), sealing.id());
        let text = sealed.to_string();
        assert!(!text.contains("horse"), "{text}");
        let opening: OpeningKey = opening.reveal().parse().unwrap();
        assert_eq!(opening.open(&text.parse().unwrap(), ABOUT).unwrap(), "correct horse");
        assert_ne!(
            sealing.seal("correct horse", ABOUT).unwrap(),
            sealed,
            "the same secret shows that it is the same"
        );
    }

    #[test]
    fn nothing_opens_with_another_key_about_something_else_or_changed() {
        let opening = OpeningKey::generate().unwrap();
        let sealed = opening.sealing_key().seal("correct horse", ABOUT).unwrap();
        let other = OpeningKey::generate().unwrap();
        assert!(matches!(other.open(&sealed, ABOUT), Err(SealingError::OtherKey { .. })));
        let elsewhere = opening.open(&sealed, "alice https://evil.example root");
        assert!(matches!(elsewhere, Err(SealingError::Changed)), "{elsewhere:?}");
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert!(opening.open(&changed, ABOUT).is_err(), "byte {at} may be changed");
        }
        let short = Sealed { bytes: sealed.bytes[..KEY_BYTES + 3].to_vec(), ..sealed };
        assert!(matches!(opening.open(&short, ABOUT), Err(SealingError::Changed)));
    }

    #[test]
    fn what_is_no_key_and_no_sealed_secret_is_refused() {
        let opening = OpeningKey::generate().unwrap();
        assert!(opening.reveal().parse::<SealingKey>().is_err(), "a private half passed for a public one");
        for text in ["", "bioxen-seal:", "bioxen-seal:AAAA", "bioxen-seal:%"] {
            assert!(text.parse::<SealingKey>().is_err(), "{text}");
        }
        for text in ["", ".", "0123456789abcdef.", "0123456789abcdef.AAAA", "xyz.AAAA", "hunter2"] {
            assert!(text.parse::<Sealed>().is_err(), "{text}");
        }
        assert!(!format!("{opening:?}").contains(&opening.reveal()[OPENING.len()..]));
    }
}
