//! SHA-256 as text: how the journal, the audit trail and packages name bytes that they do not hold.

use sha2::{Digest as _, Sha256};

/// 64 hexadecimal digits, in lower case.
#[must_use]
pub fn sha256_hex(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
