//! Ids: validated once, at the edge, and carried as newtypes from there on.
//!
//! Every id is a single NATS subject token: `[A-Za-z0-9][A-Za-z0-9_-]{0,62}`. NATS itself lets wildcards and
//! NUL through in published subjects, so nothing is trusted before it has been parsed here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::{ID_CHARS, REQUEST_ID_BYTES};
use crate::text::reads_text;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {shown:?} is not valid: expected {expected}")]
pub struct InvalidId {
    pub kind: &'static str,
    pub shown: String,
    pub expected: &'static str,
}

const TOKEN: &str = "1 to 63 of A-Z a-z 0-9 _ - starting with a letter or digit";

fn is_token(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.len() <= ID_CHARS
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_request_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= REQUEST_ID_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}

/// At most 80 characters of what was sent, so that an error stays readable.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $valid:ident, $expected:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if $valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { kind: $kind, shown: shorten(text), expected: $expected })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        reads_text!($name, $expected);
    };
}

id!(/// Who owns VMs: the third token of a command's subject and nothing else.
    UserId, "user", is_token, TOKEN);
id!(/// A VM's name, unique for its user.
    VmId, "vm_id", is_token, TOKEN);
id!(/// Who acts through `bioxen.v1.ops`.
    OperatorId, "operator", is_token, TOKEN);
id!(/// A worker's name, kept across its restarts.
    WorkerId, "worker", is_token, TOKEN);
id!(/// One run of a worker's process.
    BootId, "boot", is_token, TOKEN);
id!(/// The name under which a command takes effect at most once.
    RequestId, "request_id", is_request_id, "1 to 128 visible ASCII characters");

/// A VM anywhere in the fleet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VmKey {
    pub user: UserId,
    pub vm: VmId,
}

impl fmt::Display for VmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.user, self.vm)
    }
}

/// Which placement of a VM: (incarnation of the fleet, index of the placing entry). Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Generation {
    pub incarnation: u64,
    pub index: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.index)
    }
}

/// A fresh token of `bytes` random bytes in hex, for the edges that name things (never inside the fleet core).
pub fn random_token(bytes: usize) -> Result<String, getrandom::Error> {
    let mut buffer = vec![0u8; bytes];
    getrandom::fill(&mut buffer)?;
    Ok(buffer.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_could_widen_a_subject_are_refused() {
        let long = "a".repeat(64);
        for bad in ["", "*", ">", "a.b", "a b", "-a", "_a", "a\0", "é", long.as_str()] {
            assert!(bad.parse::<VmId>().is_err(), "{bad:?} was taken for an id");
        }
        for good in ["a", "0", "A-_z", &"a".repeat(63)] {
            assert_eq!(good.parse::<VmId>().map(|id| id.to_string()), Ok(good.to_owned()));
        }
    }
}
