//! JSON and MessagePack, read and written by the same serde types.
//!
//! A body from outside is read in two steps, so that nothing it says is believed before it is checked:
//!
//! ```text
//! bytes --Encoding::detect--> encoding --decode_value (limits)--> Value --from_value--> the message's type
//! ```
//!
//! This module must not know any message: what a field means is the message's business.

pub mod base64;
mod de;
mod error;
mod path;
#[cfg(test)]
mod tests;
mod value;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};

pub use error::{DecodeError, EncodeError};
pub use value::Value;

use de::Reader;
use path::{Path, quoted};
use value::{Budget, Tree};

use crate::limits::{BODY_DEPTH, BODY_ELEMENTS, COMMAND_BYTES};

/// Below the depth at which either parser would give up by itself, so that both refuse alike.
const PARSER_DEPTH_MAX: usize = 100;

/// The two encodings of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Json,
    MessagePack,
}

/// What a body may cost to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The most bytes of the encoded body.
    pub bytes: usize,
    /// The most lists and objects around a value; more than 100 counts as 100.
    pub depth: usize,
    /// The most values of any kind, lists and objects included.
    pub elements: usize,
}

impl Default for DecodeLimits {
    /// The limits of a command.
    fn default() -> Self {
        Self { bytes: COMMAND_BYTES, depth: BODY_DEPTH, elements: BODY_ELEMENTS }
    }
}

impl Encoding {
    /// The encoding of a body: the content type decides where present, else the first byte after white space.
    /// An empty body is an empty object in JSON.
    ///
    /// # Errors
    /// A content type other than `application/json` and `application/msgpack`, or one that the body belies.
    pub fn detect(content_type: Option<&str>, body: &[u8]) -> Result<Self, DecodeError> {
        let first = body.trim_ascii_start().first().copied();
        let stated = match content_type.map(media_type) {
            None | Some("") => None,
            Some(stated) => Some(Self::from_media_type(stated)?),
        };
        match (stated, first) {
            (_, None) => Ok(Self::Json),
            (Some(Self::Json), Some(first)) if is_map_marker(first) => Err(DecodeError::of_body(format!(
                "Content-Type says application/json, but the body starts with {first:#04x}, a MessagePack map; \
                 say application/msgpack or leave the header out"
            ))),
            (Some(Self::MessagePack), Some(first)) if !is_map_marker(first) => {
                Err(DecodeError::of_body(format!(
                    "Content-Type says application/msgpack, but the body starts with {first:#04x}, \
                     which begins no MessagePack map (0x80-0x8f, 0xde, 0xdf)"
                )))
            }
            (Some(stated), Some(_)) => Ok(stated),
            (None, Some(first)) if is_map_marker(first) => Ok(Self::MessagePack),
            (None, Some(_)) => Ok(Self::Json),
        }
    }

    /// What the Content-Type header says.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
        }
    }

    fn from_media_type(stated: &str) -> Result<Self, DecodeError> {
        [Self::Json, Self::MessagePack]
            .into_iter()
            .find(|encoding| stated.eq_ignore_ascii_case(encoding.content_type()))
            .ok_or_else(|| {
                DecodeError::of_body(format!(
                    "Content-Type `{}` is not known; send application/json or application/msgpack",
                    quoted(stated)
                ))
            })
    }
}

/// Reads a body into `T`.
///
/// # Errors
/// See [`decode_value`] and [`from_value`].
pub fn decode<T: DeserializeOwned>(
    encoding: Encoding,
    body: &[u8],
    limits: &DecodeLimits,
) -> Result<T, DecodeError> {
    from_value(&decode_value(encoding, body, limits)?)
}

/// Reads a body into a tree, so that a caller can look at a field before it knows the type.
/// An empty body is an empty object.
///
/// # Errors
/// A body that is malformed, over a limit, followed by more bytes, or that holds what no message may:
/// duplicate or non-text field names, binary or extension values, NaN or infinities.
pub fn decode_value(encoding: Encoding, body: &[u8], limits: &DecodeLimits) -> Result<Value, DecodeError> {
    if body.len() > limits.bytes {
        let (is, most) = (body.len(), limits.bytes);
        return Err(DecodeError::of_body(format!("the body has {is} bytes; at most {most} are accepted")));
    }
    let body = without_leading_space(encoding, body);
    if body.is_empty() {
        return Ok(Value::Map(Vec::new()));
    }
    let limits = DecodeLimits { depth: limits.depth.min(PARSER_DEPTH_MAX), ..*limits };
    let mut budget = Budget::new(&limits);
    let tree = Tree { budget: &mut budget, path: &Path::Root, depth: 0 };
    let read = match encoding {
        Encoding::Json => read_json(body, tree),
        Encoding::MessagePack => read_message_pack(body, tree),
    };
    match budget.refusal {
        Some(refusal) => Err(refusal),
        None => read,
    }
}

/// Reads a tree into `T`. Integers stand for floats, whole floats up to 2^53 for integers, null for `None`.
///
/// # Errors
/// The first field that is unknown (naming the nearest known), missing, of the wrong kind or out of range.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, DecodeError> {
    T::deserialize(Reader { value, path: &Path::Root }).map_err(|fault| fault.into_error(&Path::Root))
}

/// Writes a message: compact JSON, or MessagePack whose objects are maps with the fields' names.
/// Types keep to text as map keys and to finite numbers, which both encodings write alike.
///
/// # Errors
/// Only for a type that one of the encodings cannot express, such as a JSON map whose keys are lists.
pub fn encode<T: Serialize + ?Sized>(encoding: Encoding, message: &T) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Json => Ok(serde_json::to_vec(message)?),
        Encoding::MessagePack => {
            let mut bytes = Vec::new();
            // Human-readable in both, so that a type is written and read the same in both.
            let mut writer = rmp_serde::Serializer::new(&mut bytes).with_struct_map().with_human_readable();
            message.serialize(&mut writer)?;
            Ok(bytes)
        }
    }
}

fn read_json(body: &[u8], tree: Tree<'_>) -> Result<Value, DecodeError> {
    let malformed = |error: serde_json::Error| match body.first() {
        Some(first) if !first.is_ascii() => DecodeError::of_body(format!(
            "the body is neither JSON nor a MessagePack map: it starts with {first:#04x}"
        )),
        _ => DecodeError::of_body(format!("the body is not valid JSON: {error}")),
    };
    let mut parser = serde_json::Deserializer::from_slice(body);
    let value = tree.deserialize(&mut parser).map_err(malformed)?;
    parser.end().map_err(malformed)?;
    Ok(value)
}

fn read_message_pack(body: &[u8], tree: Tree<'_>) -> Result<Value, DecodeError> {
    use rmp_serde::decode::Error;
    let mut parser = rmp_serde::Deserializer::new(body);
    let value = tree.deserialize(&mut parser).map_err(|error| match error {
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => {
            DecodeError::of_body("the body is not valid MessagePack: it ends before its last value")
        }
        error => DecodeError::of_body(format!("the body is not valid MessagePack: {error}")),
    })?;
    // The parser itself ignores what follows; its reader stands where it stopped.
    match parser.get_ref().len() {
        0 => Ok(value),
        left => Err(DecodeError::of_body(format!("the MessagePack body is followed by {left} more bytes"))),
    }
}

/// The body to parse: none of white space alone in JSON; in MessagePack white space is skipped before a map only,
/// for elsewhere the same bytes are small integers.
fn without_leading_space(encoding: Encoding, body: &[u8]) -> &[u8] {
    let trimmed = body.trim_ascii_start();
    match (encoding, trimmed.first()) {
        // The JSON parser skips white space itself, and counts its lines.
        (Encoding::Json, Some(_)) => body,
        (Encoding::MessagePack, Some(first)) if !is_map_marker(*first) => body,
        (Encoding::MessagePack, None) => body,
        _ => trimmed,
    }
}

fn is_map_marker(byte: u8) -> bool {
    matches!(byte, 0x80..=0x8f | 0xde | 0xdf)
}

/// `application/json` of `application/json; charset=utf-8`.
fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}
