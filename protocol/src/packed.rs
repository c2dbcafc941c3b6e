//! Packed checkpoints: those of many VMs as one object, as a worker stores them and the coordinator reads them. Pure.
//!
//! ```text
//!   "BXPK" version packed_ms | length piece checksum | length piece checksum | .. | 0 number of pieces
//!   piece: user, VM, generation, tick, applied, checkpoint
//! ```
//!
//! Little-endian. Each piece has a checksum of its own (FNV-1a, 64 bits), so one that is damaged costs its own VM alone.
//! What a checkpoint's bytes mean is the cell library's business, and which piece is the right one the fleet's.

use crate::id::{BootId, Generation, VmKey, WorkerId};
use crate::inventory::checksum;
use crate::limits::CHECKPOINT_BYTES;

/// The object store that workers put packed checkpoints into.
pub const CHECKPOINTS_BUCKET: &str = "BIOXEN_CHECKPOINTS";

const MAGIC: [u8; 4] = *b"BXPK";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = MAGIC.len() + 1 + 8;
/// Of a piece without its checkpoint: two names, their lengths, four whole numbers.
const MOST_NAMES_BYTES: usize = 2 * (1 + crate::limits::ID_CHARS) + 4 * 8;

/// One VM's checkpoint in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    pub key: VmKey,
    /// Who wrote it: the placement in which the cell stood so.
    pub generation: Generation,
    pub tick: u64,
    /// The highest ordinal of a change that it contains.
    pub applied: u64,
    pub checkpoint: &'a [u8],
}

/// Why bytes, or a part of them, are no packed checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackedError {
    #[error("the object holds no packed checkpoints: it does not begin as they do")]
    NotPacked,
    #[error("the object has format {found}, this program reads {VERSION}: use a version that knows it")]
    Version { found: u8 },
    #[error("piece {number} is damaged: its checksum does not fit")]
    Checksum { number: usize },
    #[error("piece {number} is none: {what} does not fit")]
    Piece { number: usize, what: &'static str },
    #[error("the object ends within piece {number}: it was cut off")]
    CutOff { number: usize },
    #[error("the object ends after {found} pieces and says that it has {told}")]
    Count { found: usize, told: u32 },
}

/// The object's name: a worker's boot has a few, used in turn.
pub fn object_name(worker: &WorkerId, boot: &BootId, slot: usize) -> String {
    format!("{worker}/{boot}/{slot}")
}

/// The boot that an object is of, by its name.
pub fn boot_of(name: &str) -> Option<(WorkerId, BootId)> {
    let mut parts = name.split('/');
    let (worker, boot) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let slot: Option<usize> = parts.next()?.parse().ok();
    (slot.is_some() && parts.next().is_none()).then_some((worker, boot))
}

/// An object being written.
#[derive(Debug)]
pub struct Packer {
    bytes: Vec<u8>,
    pieces: u32,
}

impl Packer {
    /// `packed_ms`: milliseconds since 1970, on the worker's clock.
    pub fn new(packed_ms: u64) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend_from_slice(&packed_ms.to_le_bytes());
        Self { bytes, pieces: 0 }
    }

    pub fn push(&mut self, piece: &Piece<'_>) {
        let length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        let from = self.bytes.len();
        for name in [piece.key.user.as_str(), piece.key.vm.as_str()] {
            // An id has at most 63 bytes.
            self.bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            self.bytes.extend_from_slice(name.as_bytes());
        }
        let Generation { incarnation, index } = piece.generation;
        for whole in [incarnation, index, piece.tick, piece.applied] {
            self.bytes.extend_from_slice(&whole.to_le_bytes());
        }
        self.bytes.extend_from_slice(piece.checkpoint);
        let length = u32::try_from(self.bytes.len() - from).unwrap_or(u32::MAX);
        self.bytes[length_at..from].copy_from_slice(&length.to_le_bytes());
        let checksum = checksum(&self.bytes[from..]);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        self.pieces += 1;
    }

    pub fn pieces(&self) -> u32 {
        self.pieces
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&0u32.to_le_bytes());
        self.bytes.extend_from_slice(&self.pieces.to_le_bytes());
        self.bytes
    }
}

/// An object's pieces, one after the other. After one that is damaged the next may be whole.
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    /// When it was packed, on the worker's clock.
    pub packed_ms: u64,
    rest: &'a [u8],
    number: usize,
    is_over: bool,
}

impl<'a> Pieces<'a> {
    /// # Errors
    /// Bytes that begin otherwise.
    pub fn read(bytes: &'a [u8]) -> Result<Self, PackedError> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(PackedError::NotPacked)?;
        let mut packed_ms = header.strip_prefix(&MAGIC).ok_or(PackedError::NotPacked)?;
        match packed_ms.split_off_first() {
            Some(&VERSION) => {}
            found => return Err(PackedError::Version { found: found.copied().unwrap_or(0) }),
        }
        let packed_ms = whole(&mut packed_ms).ok_or(PackedError::NotPacked)?;
        Ok(Self { packed_ms, rest, number: 0, is_over: false })
    }

    /// None at a well-formed end.
    fn piece(&mut self) -> Result<Option<Piece<'a>>, PackedError> {
        let number = self.number;
        let cut_off = PackedError::CutOff { number };
        let Some((length, rest)) = self.rest.split_first_chunk::<4>() else {
            self.is_over = true;
            return Err(cut_off);
        };
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            self.is_over = true;
            let told: [u8; 4] = rest.try_into().map_err(|_| cut_off)?;
            let told = u32::from_le_bytes(told);
            let fits = usize::try_from(told) == Ok(number);
            return if fits { Ok(None) } else { Err(PackedError::Count { found: number, told }) };
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let body = rest.split_at_checked(length).filter(|_| length <= MOST_NAMES_BYTES + CHECKPOINT_BYTES);
        let Some((body, mut rest)) = body else {
            // Where the length is wrong the next piece cannot be found either.
            self.is_over = true;
            return Err(cut_off);
        };
        let Some(stored) = whole(&mut rest) else {
            self.is_over = true;
            return Err(cut_off);
        };
        (self.rest, self.number) = (rest, number + 1);
        if stored != checksum(body) {
            return Err(PackedError::Checksum { number });
        }
        parse(body).map(Some).map_err(|what| PackedError::Piece { number, what })
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<Piece<'a>, PackedError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        self.piece().transpose()
    }
}

fn parse(mut body: &[u8]) -> Result<Piece<'_>, &'static str> {
    let mut name = || {
        let (length, rest) = body.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        body = rest;
        std::str::from_utf8(name).ok()
    };
    let user = name().and_then(|name| name.parse().ok()).ok_or("the user")?;
    let vm = name().and_then(|name| name.parse().ok()).ok_or("the VM")?;
    let mut number = || whole(&mut body).ok_or("the length");
    let generation = Generation { incarnation: number()?, index: number()? };
    let (tick, applied) = (number()?, number()?);
    Ok(Piece { key: VmKey { user, vm }, generation, tick, applied, checkpoint: body })
}

fn whole(rest: &mut &[u8]) -> Option<u64> {
    let (taken, left) = rest.split_first_chunk::<8>()?;
    *rest = left;
    Some(u64::from_le_bytes(*taken))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(number: u64, checkpoint: &[u8]) -> Piece<'_> {
        let key = VmKey { user: "alice".parse().unwrap(), vm: format!("c{number}").parse().unwrap() };
        let generation = Generation { incarnation: 1, index: 40 + number };
        Piece { key, generation, tick: 1000 * number, applied: number, checkpoint }
    }

    fn packed(checkpoints: &[Vec<u8>]) -> Vec<u8> {
        let mut packer = Packer::new(7);
        for (number, checkpoint) in (0..).zip(checkpoints) {
            packer.push(&piece(number, checkpoint));
        }
        packer.finish()
    }

    #[test]
    fn a_damaged_piece_costs_itself_alone() {
        let mut bytes = packed(&[vec![1; 50], vec![2; 50], vec![3; 50]]);
        let second = bytes.windows(50).position(|window| window == [2; 50]).unwrap();
        bytes[second + 20] ^= 1;
        let read: Vec<_> = Pieces::read(&bytes).unwrap().collect();
        assert_eq!(read[0], Ok(piece(0, &[1; 50])));
        assert_eq!(read[1], Err(PackedError::Checksum { number: 1 }));
        assert_eq!(read[2], Ok(piece(2, &[3; 50])));
        assert_eq!(read.len(), 3);
    }

    #[test]
    fn an_object_that_was_cut_off_says_so_after_its_whole_pieces() {
        let bytes = packed(&[vec![1; 50], vec![2; 50]]);
        for end in HEADER_BYTES..bytes.len() {
            let read: Vec<_> = Pieces::read(&bytes[..end]).unwrap().collect();
            assert!(matches!(read.last(), Some(Err(PackedError::CutOff { .. }))), "{end}: {read:?}");
        }
    }

    #[test]
    fn another_format_is_named_as_such() {
        let mut bytes = packed(&[]);
        bytes[4] = 9;
        assert_eq!(Pieces::read(&bytes).err(), Some(PackedError::Version { found: 9 }));
        assert_eq!(Pieces::read(b"BXCL and more of it").err(), Some(PackedError::NotPacked));
    }

    #[test]
    fn an_object_tells_its_boot_by_its_name() {
        let (worker, boot): (WorkerId, BootId) = ("w1".parse().unwrap(), "b7".parse().unwrap());
        assert_eq!(boot_of(&object_name(&worker, &boot, 3)), Some((worker, boot)));
        for other in ["w1/b7", "w1/b7/x", "w1/b7/3/4", "", "alice/c1/1-40"] {
            assert_eq!(boot_of(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_is_read(checkpoints in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let bytes = packed(&checkpoints);
            let read = Pieces::read(&bytes).unwrap();
            prop_assert_eq!(read.packed_ms, 7);
            let read: Result<Vec<_>, _> = read.collect();
            let expected: Vec<_> = (0..).zip(&checkpoints).map(|(number, bytes)| piece(number, bytes)).collect();
            prop_assert_eq!(read, Ok(expected));
        }

        #[test]
        fn any_changed_byte_is_found_or_is_the_time(at in any::<prop::sample::Index>(), flip in 1u8..) {
            let bytes = packed(&[vec![1; 50], vec![2; 50]]);
            let at = at.index(bytes.len());
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let read = Pieces::read(&damaged).map(|pieces| pieces.collect::<Result<Vec<_>, _>>());
            let is_time = (5..HEADER_BYTES).contains(&at);
            prop_assert_eq!(matches!(read, Ok(Ok(_))), is_time);
        }

        #[test]
        fn no_bytes_bring_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let with_header = [&packed(&[])[..HEADER_BYTES], &bytes].concat();
            // A piece takes more than a byte; what is cut off counts once, as an error.
            prop_assert!(Pieces::read(&with_header).unwrap().count() <= bytes.len() + 1);
            let _ = Pieces::read(&bytes);
        }
    }
}
