//! Frames: a length in four bytes, big-endian, then MessagePack. It knows nothing of what is inside.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest frame: a few times what the largest checkpoint, result and records take.
pub const FRAME_BYTES: usize = 8 * 1024 * 1024;

/// Why a frame was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side is gone, or the pipe broke.
    #[error("the pipe between worker and guest: {0}")]
    Pipe(#[from] io::Error),
    /// Too long.
    #[error("a frame of {bytes} bytes is longer than the {FRAME_BYTES} allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It does not encode.
    #[error("a frame does not encode: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    /// It is not what was expected.
    #[error("a frame does not decode: {0}; worker and guest must be of the same version")]
    Decode(#[from] rmp_serde::decode::Error),
}

/// `message` as a frame.
///
/// # Errors
/// One that is too long.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = rmp_serde::to_vec_named(message)?;
    let bytes = body.len();
    let length = u32::try_from(bytes).ok().filter(|_| bytes <= FRAME_BYTES);
    let length = length.ok_or(FrameError::TooLong { bytes })?;
    Ok([&length.to_be_bytes()[..], &body].concat())
}

/// The message in a frame's body.
///
/// # Errors
/// A body that holds another message.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    Ok(rmp_serde::from_slice(body)?)
}

/// The length that a frame's first bytes say.
///
/// # Errors
/// One that is too long.
pub fn length_of(head: [u8; 4]) -> Result<usize, FrameError> {
    let bytes = u32::from_be_bytes(head) as usize;
    if bytes > FRAME_BYTES { Err(FrameError::TooLong { bytes }) } else { Ok(bytes) }
}

/// Reads one frame; `None` where the other side has ended in between.
///
/// # Errors
/// A frame that breaks off, is too long or holds another message.
pub fn read_frame<T: DeserializeOwned>(input: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut head = [0; 4];
    let mut filled = 0;
    while filled < head.len() {
        match input.read(&mut head[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            more => filled += more,
        }
    }
    let mut body = vec![0; length_of(head)?];
    input.read_exact(&mut body)?;
    decode(&body).map(Some)
}

/// Writes one frame.
///
/// # Errors
/// A pipe that broke, a message that is too long.
pub fn write_frame<T: Serialize>(output: &mut impl Write, message: &T) -> Result<(), FrameError> {
    output.write_all(&encode(message)?)?;
    Ok(output.flush()?)
}
