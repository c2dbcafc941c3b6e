//! The ledger's typed keys and their bytes.
//!
//! Bytes sort as the keys do. Each text ends with 0x00 0x01 and a zero byte inside it is written 0x00 0xff,
//! so that no key is the beginning of another. This file must not know what the rows hold.

use std::fmt;

/// Which row of the fleet's materialised state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// One of a kind, by name.
    Meta(String),
    /// A user's quotas and reservations.
    Account(String),
    Vm {
        user: String,
        vm: String,
    },
    Worker(String),
    /// A request id that is remembered.
    Request {
        user: String,
        request: String,
    },
    /// An ensemble.
    Ensemble {
        user: String,
        name: String,
    },
    /// A member of an ensemble, by its number.
    Member {
        user: String,
        name: String,
        number: u64,
    },
}

const ENDING: [u8; 2] = [0x00, 0x01];
const ZERO: [u8; 2] = [0x00, 0xff];

impl RowKey {
    /// The key's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, first, second) = match self {
            Self::Meta(name) => (b'a', name, None),
            Self::Account(user) => (b'b', user, None),
            Self::Vm { user, vm } => (b'c', user, Some(vm)),
            Self::Worker(worker) => (b'd', worker, None),
            Self::Request { user, request } => (b'e', user, Some(request)),
            Self::Ensemble { user, name } => (b'f', user, Some(name)),
            Self::Member { user, name, .. } => (b'g', user, Some(name)),
        };
        let mut bytes = vec![kind];
        push(&mut bytes, first);
        if let Some(second) = second {
            push(&mut bytes, second);
        }
        if let Self::Member { number, .. } = self {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// Reads a key back; `None` where the bytes are no key.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (first, rest) = take(rest)?;
        let (key, rest) = match kind {
            b'a' => (Self::Meta(first), rest),
            b'b' => (Self::Account(first), rest),
            b'c' => {
                let (vm, rest) = take(rest)?;
                (Self::Vm { user: first, vm }, rest)
            }
            b'd' => (Self::Worker(first), rest),
            b'e' => {
                let (request, rest) = take(rest)?;
                (Self::Request { user: first, request }, rest)
            }
            b'f' => {
                let (name, rest) = take(rest)?;
                (Self::Ensemble { user: first, name }, rest)
            }
            b'g' => {
                let (name, rest) = take(rest)?;
                let (number, rest) = rest.split_first_chunk::<8>()?;
                (Self::Member { user: first, name, number: u64::from_be_bytes(*number) }, rest)
            }
            _ => return None,
        };
        rest.is_empty().then_some(key)
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta(name) => write!(f, "meta {name}"),
            Self::Account(user) => write!(f, "account {user}"),
            Self::Vm { user, vm } => write!(f, "vm {user}/{vm}"),
            Self::Worker(worker) => write!(f, "worker {worker}"),
            Self::Request { user, request } => write!(f, "request {user}/{request}"),
            Self::Ensemble { user, name } => write!(f, "ensemble {user}/{name}"),
            Self::Member { user, name, number } => write!(f, "member {user}/{name}/{number}"),
        }
    }
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            0 => bytes.extend_from_slice(&ZERO),
            byte => bytes.push(byte),
        }
    }
    bytes.extend_from_slice(&ENDING);
}

fn take(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut text = Vec::new();
    let mut rest = bytes;
    loop {
        if let Some(behind) = rest.strip_prefix(&ENDING) {
            return Some((String::from_utf8(text).ok()?, behind));
        }
        if let Some(behind) = rest.strip_prefix(&ZERO) {
            text.push(0);
            rest = behind;
            continue;
        }
        let (&byte, behind) = rest.split_first()?;
        if byte == 0 {
            return None;
        }
        text.push(byte);
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = RowKey> {
        let text = || "[\\x00\\x01a-c\u{7f}é]{0,4}";
        prop_oneof![
            text().prop_map(RowKey::Meta),
            text().prop_map(RowKey::Account),
            (text(), text()).prop_map(|(user, vm)| RowKey::Vm { user, vm }),
            text().prop_map(RowKey::Worker),
            (text(), text()).prop_map(|(user, request)| RowKey::Request { user, request }),
            (text(), text()).prop_map(|(user, name)| RowKey::Ensemble { user, name }),
            (text(), text(), any::<u64>()).prop_map(|(user, name, number)| RowKey::Member {
                user,
                name,
                number
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_key_reads_back_as_it_was_written(key in key()) {
            prop_assert_eq!(RowKey::decode(&key.encode()), Some(key));
        }

        #[test]
        fn bytes_sort_as_keys_do(one in key(), other in key()) {
            prop_assert_eq!(one.cmp(&other), one.encode().cmp(&other.encode()));
        }

        #[test]
        fn no_key_is_the_beginning_of_another(one in key(), other in key()) {
            prop_assume!(one != other);
            prop_assert!(!other.encode().starts_with(&one.encode()));
        }

        #[test]
        fn whatever_decodes_is_what_its_bytes_say(bytes: Vec<u8>) {
            if let Some(key) = RowKey::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }
    }
}
