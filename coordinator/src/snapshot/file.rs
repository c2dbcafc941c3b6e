//! A snapshot's bytes: `BXSNAP`, the format, SHA-256 of the rest; the rest, compressed, is the head as MessagePack and the
//! rows, each key and value behind its length.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sha2::{Digest, Sha256};

use super::{Head, Snapshot, SnapshotError};
use crate::ledger::RowKey;

/// What this program writes, and reads.
pub(super) const FORMAT: u16 = 1;
const MAGIC: &[u8; 6] = b"BXSNAP";
/// Nothing larger is unpacked: millions of VMs fit.
const MOST_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// The bytes of a snapshot.
///
/// # Errors
/// When something in it is larger than 4 GiB.
pub fn encode(snapshot: &Snapshot) -> Result<Vec<u8>, SnapshotError> {
    let unencodable = |error: &dyn std::fmt::Display| SnapshotError::Unencodable(error.to_string());
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let head = rmp_serde::to_vec_named(&snapshot.head).map_err(|error| unencodable(&error))?;
    let mut put = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).map_err(|error| unencodable(&error))?;
        packed.write_all(&length.to_be_bytes()).map_err(|error| unencodable(&error))?;
        packed.write_all(bytes).map_err(|error| unencodable(&error))
    };
    put(&head)?;
    for (key, value) in &snapshot.rows {
        put(&key.encode())?;
        put(value)?;
    }
    let packed = packed.finish().map_err(|error| unencodable(&error))?;
    let checksum = Sha256::digest(&packed);
    Ok([&MAGIC[..], &FORMAT.to_be_bytes(), &checksum, &packed].concat())
}

/// Reads a snapshot's bytes back.
///
/// # Errors
/// When they are none, of an unknown format, or damaged.
pub fn decode(bytes: &[u8]) -> Result<Snapshot, SnapshotError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(SnapshotError::NotASnapshot)?;
    let (format, rest) = rest.split_first_chunk::<2>().ok_or(SnapshotError::NotASnapshot)?;
    let found = u16::from_be_bytes(*format);
    if found != FORMAT {
        return Err(SnapshotError::UnknownFormat { found });
    }
    let (checksum, packed) = rest.split_first_chunk::<32>().ok_or(SnapshotError::NotASnapshot)?;
    if <[u8; 32]>::from(Sha256::digest(packed)) != *checksum {
        return Err(SnapshotError::Checksum);
    }
    let undecodable = |error: &dyn std::fmt::Display| SnapshotError::Undecodable(error.to_string());
    let mut plain = Vec::new();
    let mut limited = ZlibDecoder::new(packed).take(MOST_BYTES);
    limited.read_to_end(&mut plain).map_err(|error| undecodable(&error))?;
    let mut rest = plain.as_slice();
    let head: Head = rmp_serde::from_slice(take(&mut rest)?).map_err(|error| undecodable(&error))?;
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let key = RowKey::decode(take(&mut rest)?)
            .ok_or_else(|| SnapshotError::Undecodable("a key is none".to_owned()))?;
        rows.push((key, take(&mut rest)?.to_vec()));
    }
    Ok(Snapshot { head, rows })
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], SnapshotError> {
    let short = || SnapshotError::Undecodable("it ends too early".to_owned());
    let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (value, behind) = behind.split_at_checked(length).ok_or_else(short)?;
    *rest = behind;
    Ok(value)
}
