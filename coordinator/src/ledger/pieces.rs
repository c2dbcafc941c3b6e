//! Values in pieces of at most 4 KiB, with a checksum over key and value.
//!
//! ```text
//!   key 00 00   count u16 | bytes u32 | checksum u64 | value ..
//!   key 00 01   .. value ..
//!   key 00 02   .. value
//! ```
//!
//! sled puts values of 16 KB and more into files that it does not sync. The checksum is over the key as
//! well, so that a value that stands under another key is noticed. This file must not know the store.

use sha2::{Digest, Sha256};

/// A piece's most bytes, head included.
pub(crate) const PIECE_BYTES: usize = 4096;
const HEAD_BYTES: usize = 2 + 4 + 8;
const NUMBER_BYTES: usize = 2;
/// A value's most bytes: far more than any row or batch has.
pub(crate) const MAX_VALUE_BYTES: usize = 64 * 1024 * 1024;

/// What stands before the value in its first piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) count: u16,
    pub(crate) bytes: u32,
    pub(crate) checksum: u64,
}

impl Head {
    /// The head of a value, `None` where it is too large to be stored.
    pub(crate) fn of(key: &[u8], value: &[u8]) -> Option<Self> {
        if value.len() > MAX_VALUE_BYTES {
            return None;
        }
        let count = u16::try_from((value.len() + HEAD_BYTES).div_ceil(PIECE_BYTES)).ok()?;
        Some(Self { count, bytes: u32::try_from(value.len()).ok()?, checksum: checksum(key, value) })
    }

    /// Reads a first piece.
    pub(crate) fn read(piece: &[u8]) -> Option<(Self, &[u8])> {
        let (count, rest) = piece.split_first_chunk()?;
        let (bytes, rest) = rest.split_first_chunk()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let head = Self {
            count: u16::from_be_bytes(*count),
            bytes: u32::from_be_bytes(*bytes),
            checksum: u64::from_be_bytes(*checksum),
        };
        Some((head, rest))
    }
}

/// The key of a value's piece.
pub(crate) fn piece_key(key: &[u8], number: u16) -> Vec<u8> {
    [key, &number.to_be_bytes()].concat()
}

/// The key that a piece's key belongs to, and the piece's number.
pub(crate) fn owner(piece_key: &[u8]) -> Option<(&[u8], u16)> {
    let (key, number) = piece_key.split_last_chunk::<NUMBER_BYTES>()?;
    Some((key, u16::from_be_bytes(*number)))
}

/// The pieces of a value, in order.
pub(crate) fn split(key: &[u8], value: &[u8], head: Head) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let front = value.len().min(PIECE_BYTES - HEAD_BYTES);
    let first = [
        &head.count.to_be_bytes()[..],
        &head.bytes.to_be_bytes(),
        &head.checksum.to_be_bytes(),
        &value[..front],
    ]
    .concat();
    let others = value[front..].chunks(PIECE_BYTES).map(<[u8]>::to_vec);
    std::iter::once(first).chain(others).zip(0u16..).map(|(piece, number)| (piece_key(key, number), piece))
}

/// Puts a value together again from its pieces.
#[derive(Debug)]
pub(crate) struct Joiner {
    pub(crate) key: Vec<u8>,
    head: Option<Head>,
    next: u16,
    value: Vec<u8>,
    damaged: bool,
}

impl Joiner {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self { key: key.to_vec(), head: None, next: 0, value: Vec::new(), damaged: false }
    }

    /// Takes the next piece of this key.
    pub(crate) fn push(&mut self, number: u16, piece: &[u8]) {
        if number != self.next {
            self.damaged = true;
        }
        self.next = number.saturating_add(1);
        if number > 0 {
            self.value.extend_from_slice(piece);
            return;
        }
        match Head::read(piece) {
            Some((head, front)) => {
                self.head = Some(head);
                self.value.extend_from_slice(front);
            }
            None => self.damaged = true,
        }
    }

    /// The value, `None` where it is not what was written.
    pub(crate) fn finish(self) -> Option<(Vec<u8>, Head)> {
        let head = self.head?;
        let whole =
            !self.damaged && Head::of(&self.key, &self.value) == Some(head) && head.count == self.next;
        whole.then_some((self.value, head))
    }
}

/// The first eight bytes of SHA-256 over the key's length, the key and the value.
fn checksum(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update((key.len() as u64).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    let digest: [u8; 32] = hasher.finalize().into();
    digest[..8].iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(key: &[u8], value: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        split(key, value, Head::of(key, value).unwrap()).collect()
    }

    fn join(key: &[u8], pieces: &[(Vec<u8>, Vec<u8>)]) -> Option<Vec<u8>> {
        let mut joiner = Joiner::new(key);
        for (piece_key, piece) in pieces {
            joiner.push(owner(piece_key)?.1, piece);
        }
        joiner.finish().map(|(value, _)| value)
    }

    #[test]
    fn values_around_a_piece_s_size_read_back() {
        for bytes in [0, 1, PIECE_BYTES - HEAD_BYTES, PIECE_BYTES - HEAD_BYTES + 1, PIECE_BYTES, 512 * 1024] {
            let value = vec![7; bytes];
            let pieces = pieces(b"key", &value);
            assert!(pieces.iter().all(|(_, piece)| piece.len() <= PIECE_BYTES));
            assert_eq!(join(b"key", &pieces), Some(value), "{bytes} bytes");
        }
    }

    #[test]
    fn a_piece_that_is_gone_is_noticed() {
        let whole = pieces(b"key", &[7; 10_000]);
        for gone in 0..whole.len() {
            let mut left = whole.clone();
            left.remove(gone);
            assert_eq!(join(b"key", &left), None, "without piece {gone}");
        }
    }

    #[test]
    fn a_value_under_another_key_is_noticed() {
        assert_eq!(join(b"other", &pieces(b"key", b"value")), None);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_anywhere_is_noticed(value in prop::collection::vec(any::<u8>(), 0..9000), at: usize, bit in 0u8..8) {
            let mut pieces = pieces(b"key", &value);
            let which = at % pieces.len();
            let within = at % pieces[which].1.len();
            pieces[which].1[within] ^= 1 << bit;
            prop_assert_eq!(join(b"key", &pieces), None);
        }
    }
}
