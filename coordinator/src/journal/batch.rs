//! One append: entries in order, chained to the batch before by its hash.
//!
//! The payload is MessagePack with named fields, so that any language can read a journal; its hash is
//! SHA-256 over these bytes. A batch is stored and copied verbatim, never encoded a second time.
//! This file must not know where batches are stored.

use std::fmt;

use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::fleet::entry::Entry;
use crate::fleet::format::Format;

/// The major number of the format that this program reads and writes: another one stops it.
pub const FORMAT: u16 = Format::NEWEST.major;
/// An encoded batch's most bytes: half of nats-server's usual `max_payload`.
pub const MAX_BATCH_BYTES: usize = 512 * 1024;
/// A batch's most entries.
pub const MAX_BATCH_ENTRIES: usize = 4096;
/// An encoded entry's most bytes: a whole command body of 64 KiB and what stands around it.
pub const MAX_ENTRY_BYTES: usize = 72 * 1024;
/// How deep an entry may nest; ours nest far less.
const MAX_DEPTH: usize = 64;

/// SHA-256 of a batch's payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first batch of a fleet names as the batch before it.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of these bytes.
    pub fn of(payload: &[u8]) -> Self {
        Self(Sha256::digest(payload).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HashVisitor;
        impl Visitor<'_> for HashVisitor {
            type Value = Hash;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a hash of 32 bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Hash, E> {
                bytes.try_into().map(Hash).map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }
        deserializer.deserialize_bytes(HashVisitor)
    }
}

/// Entries that became facts together. A newer minor format may add fields, which are left out of account; a kind of
/// entry that is not known is never skipped.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Batch {
    pub format: u16,
    pub fleet: String,
    pub incarnation: u64,
    pub epoch: u64,
    /// Index of the first entry; entry `i` of this batch has index `first_index + i`.
    pub first_index: u64,
    /// Entry time, milliseconds since 1970: the wall clock, or the time of the batch before if later.
    pub time_ms: u64,
    pub previous_hash: Hash,
    /// Sequence of the last durable submission consumed.
    pub submit_sequence: u64,
    #[serde(deserialize_with = "bounded_entries")]
    pub entries: Vec<Entry>,
}

/// Why a batch cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("a batch must hold an entry: there is nothing to append")]
    Empty,
    #[error("a batch holds {found} entries; the most is {MAX_BATCH_ENTRIES}: split it")]
    TooManyEntries { found: usize },
    #[error(
        "entry {position} of a batch takes {bytes} bytes; the most is {MAX_ENTRY_BYTES}: refuse the command"
    )]
    EntryTooLarge { position: usize, bytes: usize },
    #[error("a batch takes {bytes} bytes; the most is {MAX_BATCH_BYTES}: split it")]
    TooLarge { bytes: usize },
    #[error(
        "a batch has format {found}, this program knows format {}: start a version that knows format {found}, \
         or restore a backup made before it was activated; entries are never skipped",
        Format::NEWEST
    )]
    UnknownFormat { found: u16 },
    #[error(
        "a batch cannot be decoded ({source}): it is damaged, or holds what a newer format than {} has: start a \
         version that knows it; entries are never skipped",
        Format::NEWEST
    )]
    Undecodable { source: rmp_serde::decode::Error },
    #[error("{bytes} bytes stand after the end of a batch: it is damaged")]
    TrailingBytes { bytes: usize },
    #[error("a batch cannot be encoded: {0}")]
    Unencodable(#[from] rmp_serde::encode::Error),
}

impl Batch {
    /// The payload and its hash.
    ///
    /// # Errors
    /// When it is empty or beyond a limit; the journal then stands as it was.
    pub fn encode(&self) -> Result<(Bytes, Hash), BatchError> {
        if self.entries.is_empty() {
            return Err(BatchError::Empty);
        }
        if self.entries.len() > MAX_BATCH_ENTRIES {
            return Err(BatchError::TooManyEntries { found: self.entries.len() });
        }
        let payload = rmp_serde::to_vec_named(self)?;
        if payload.len() > MAX_ENTRY_BYTES {
            self.check_entries()?;
        }
        if payload.len() > MAX_BATCH_BYTES {
            return Err(BatchError::TooLarge { bytes: payload.len() });
        }
        let hash = Hash::of(&payload);
        Ok((Bytes::from(payload), hash))
    }

    /// Reads a payload back.
    ///
    /// # Errors
    /// When it is beyond a limit, damaged, or of a format that this program does not know.
    pub fn decode(payload: &[u8]) -> Result<Self, BatchError> {
        if payload.len() > MAX_BATCH_BYTES {
            return Err(BatchError::TooLarge { bytes: payload.len() });
        }
        let (batch, rest): (Self, usize) =
            decode_front(payload).map_err(|source| unreadable(payload, source))?;
        if batch.format != FORMAT {
            return Err(BatchError::UnknownFormat { found: batch.format });
        }
        if rest > 0 {
            return Err(BatchError::TrailingBytes { bytes: rest });
        }
        if batch.entries.is_empty() {
            return Err(BatchError::Empty);
        }
        Ok(batch)
    }

    /// Index of the last entry. A batch that was decoded or encoded holds at least one.
    pub fn last_index(&self) -> u64 {
        (self.first_index + self.entries.len() as u64).saturating_sub(1)
    }

    /// How many bytes an entry takes in a batch: what a driver counts while it fills one.
    ///
    /// # Errors
    /// When the entry cannot be encoded.
    pub fn entry_bytes(entry: &Entry) -> Result<usize, BatchError> {
        let mut counter = Counter(0);
        rmp_serde::encode::write_named(&mut counter, entry)?;
        Ok(counter.0)
    }

    fn check_entries(&self) -> Result<(), BatchError> {
        for (position, entry) in self.entries.iter().enumerate() {
            let bytes = Self::entry_bytes(entry)?;
            if bytes > MAX_ENTRY_BYTES {
                return Err(BatchError::EntryTooLarge { position, bytes });
            }
        }
        Ok(())
    }
}

/// Decodes one value from the front; also says how many bytes are left behind it.
fn decode_front<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<(T, usize), rmp_serde::decode::Error> {
    let mut decoder = rmp_serde::Deserializer::new(std::io::Cursor::new(payload));
    decoder.set_max_depth(MAX_DEPTH);
    let value = T::deserialize(&mut decoder)?;
    let read = usize::try_from(decoder.position()).unwrap_or(usize::MAX);
    Ok((value, payload.len().saturating_sub(read)))
}

/// A newer format may hold fields and kinds that we cannot decode: then the format is what to name.
fn unreadable(payload: &[u8], source: rmp_serde::decode::Error) -> BatchError {
    #[derive(Deserialize)]
    struct Peek {
        format: u16,
    }
    match decode_front::<Peek>(payload) {
        Ok((peek, _)) if peek.format != FORMAT => BatchError::UnknownFormat { found: peek.format },
        _ => BatchError::Undecodable { source },
    }
}

/// Counts while it reads: a small payload must not become a large allocation.
fn bounded_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Entry>, D::Error> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<Entry>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_BATCH_ENTRIES} entries")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Vec<Entry>, A::Error> {
            let mut entries = Vec::with_capacity(access.size_hint().unwrap_or(0).min(MAX_BATCH_ENTRIES));
            while let Some(entry) = access.next_element()? {
                if entries.len() == MAX_BATCH_ENTRIES {
                    return Err(serde::de::Error::invalid_length(entries.len() + 1, &self));
                }
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_seq(Entries)
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(entries: Vec<Entry>) -> Batch {
        Batch {
            format: FORMAT,
            fleet: "lab".to_owned(),
            incarnation: 1,
            epoch: 2,
            first_index: 10,
            time_ms: 1_700_000_000_000,
            previous_hash: Hash::of(b"before"),
            submit_sequence: 3,
            entries,
        }
    }

    fn note(bytes: usize) -> Entry {
        Entry::Leader { epoch: 1, coordinator: "n".repeat(bytes) }
    }

    #[test]
    fn a_batch_reads_back_as_it_was_written() {
        let written = batch(vec![Entry::Tick, note(5)]);
        let (payload, hash) = written.encode().unwrap();
        assert_eq!(Batch::decode(&payload).unwrap(), written);
        assert_eq!(hash, Hash::of(&payload));
        assert_eq!(written.last_index(), 11);
    }

    #[test]
    fn the_payload_is_a_map_with_names_and_the_hash_is_binary() {
        let (payload, _) = batch(vec![Entry::Tick]).encode().unwrap();
        assert_eq!(payload[0] & 0xf0, 0x80, "a MessagePack map");
        let name = b"previous_hash";
        let at = payload.windows(name.len()).position(|window| window == name).unwrap() + name.len();
        assert_eq!(&payload[at..at + 2], &[0xc4, 32], "bin 8 of 32 bytes");
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let (payload, _) = batch(vec![Entry::Tick]).encode().unwrap();
        let longer = [payload.as_ref(), &[0xc0]].concat();
        assert!(matches!(Batch::decode(&longer), Err(BatchError::TrailingBytes { bytes: 1 })));
    }

    #[test]
    fn an_unknown_format_is_named_and_never_skipped() {
        #[derive(Serialize)]
        struct Later {
            colour: &'static str,
            format: u16,
        }
        let later = rmp_serde::to_vec_named(&Later { colour: "blue", format: 9 }).unwrap();
        assert!(matches!(Batch::decode(&later), Err(BatchError::UnknownFormat { found: 9 })));
        let same_shape = rmp_serde::to_vec_named(&Batch { format: 2, ..batch(vec![Entry::Tick]) }).unwrap();
        assert!(matches!(Batch::decode(&same_shape), Err(BatchError::UnknownFormat { found: 2 })));
    }

    #[test]
    fn fields_of_a_newer_minor_format_are_tolerated_and_its_kinds_stop_the_reader() {
        #[derive(Serialize)]
        struct Later<T> {
            #[serde(flatten)]
            batch: Batch,
            colour: T,
        }
        let written = batch(vec![Entry::Tick]);
        let later = rmp_serde::to_vec_named(&Later { batch: written.clone(), colour: "blue" }).unwrap();
        assert_eq!(Batch::decode(&later).unwrap(), written);
        #[derive(Serialize)]
        enum LaterEntry {
            Painted { colour: &'static str },
        }
        #[derive(Serialize)]
        struct LaterBatch {
            format: u16,
            entries: Vec<LaterEntry>,
        }
        let painted = LaterBatch { format: FORMAT, entries: vec![LaterEntry::Painted { colour: "blue" }] };
        let error = Batch::decode(&rmp_serde::to_vec_named(&painted).unwrap()).unwrap_err().to_string();
        assert!(error.contains("Painted") && error.contains("never skipped"), "{error}");
    }

    #[test]
    fn limits_hold_when_writing() {
        assert!(matches!(batch(vec![]).encode(), Err(BatchError::Empty)));
        let many = vec![Entry::Tick; MAX_BATCH_ENTRIES + 1];
        assert!(matches!(batch(many).encode(), Err(BatchError::TooManyEntries { .. })));
        let large = batch(vec![Entry::Tick, note(MAX_ENTRY_BYTES)]);
        assert!(matches!(large.encode(), Err(BatchError::EntryTooLarge { position: 1, .. })));
        let heavy = batch(vec![note(70 * 1024); 8]);
        assert!(matches!(heavy.encode(), Err(BatchError::TooLarge { .. })));
        assert!(batch(vec![note(70 * 1024); 7]).encode().is_ok());
    }

    #[test]
    fn limits_hold_when_reading() {
        let many = rmp_serde::to_vec_named(&batch(vec![Entry::Tick; MAX_BATCH_ENTRIES + 1])).unwrap();
        assert!(matches!(Batch::decode(&many), Err(BatchError::Undecodable { .. })));
        let heavy = vec![0xc0; MAX_BATCH_BYTES + 1];
        assert!(matches!(Batch::decode(&heavy), Err(BatchError::TooLarge { .. })));
        let none = rmp_serde::to_vec_named(&batch(vec![])).unwrap();
        assert!(matches!(Batch::decode(&none), Err(BatchError::Empty)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>, at: usize, bit in 0u8..8) {
            let _ = Batch::decode(&bytes);
            let (payload, hash) = batch(vec![Entry::Tick, note(3)]).encode().unwrap();
            let mut flipped = payload.to_vec();
            let at = at % flipped.len();
            flipped[at] ^= 1 << bit;
            let _ = Batch::decode(&flipped);
            proptest::prop_assert_ne!(Hash::of(&flipped), hash);
        }
    }
}
