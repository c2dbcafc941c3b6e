//! What is wrong with a body, in one sentence that names the field, what stands there and what was expected.
//!
//! serde tells a deserializer what it misses in structured calls (`unknown_field`, `missing_field`, ..).
//! [`Fault`] keeps that structure until the path is known, then becomes a [`DecodeError`].

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::path::{Path, quoted};
use crate::error::{Code, ErrorBody};

/// A body, or a field of it, that cannot be accepted (BX008 to a client).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .nearest.as_deref().map(|name| format!("; nearest known: `{name}`")).unwrap_or_default())]
pub struct DecodeError {
    /// The field, as `allocation.ribosomes` or `schedule[2]`; empty for the body as a whole.
    pub path: String,
    /// One sentence: what stands there and what was expected.
    pub message: String,
    /// For an unknown field or value, the known one that is most like it.
    pub nearest: Option<String>,
}

impl DecodeError {
    /// An error about the body as a whole.
    pub(super) fn of_body(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into(), nearest: None }
    }

    /// An error about one field; `rest` continues the sentence that the field's name begins.
    pub(super) fn at(path: &Path<'_>, rest: impl fmt::Display) -> Self {
        let path = path.to_string();
        Self { message: format!("{} {rest}", subject(&path)), path, nearest: None }
    }
}

impl From<DecodeError> for ErrorBody {
    /// BX008, with the field and the nearest name among its details.
    fn from(error: DecodeError) -> Self {
        Self::new(Code::ApiValidation, error.to_string()).with(|details| {
            details.field = Some(error.path).filter(|path| !path.is_empty());
            details.nearest = error.nearest.into_iter().collect();
        })
    }
}

/// An answer that could not be encoded: a fault of the program, never of a client.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("the answer could not be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("the answer could not be written as MessagePack")]
    MessagePack(#[from] rmp_serde::encode::Error),
}

/// An error on its way up from a visitor; it gets its path from the innermost reader that knows one.
#[derive(Debug)]
pub(super) enum Fault {
    UnknownField { field: String, known: &'static [&'static str] },
    UnknownVariant { variant: String, known: &'static [&'static str] },
    MissingField(&'static str),
    DuplicateField(&'static str),
    Mismatch { found: String, expected: String },
    Custom(String),
    Located(DecodeError),
}

impl Fault {
    pub(super) fn mismatch(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Mismatch { found: found.into(), expected: expected.into() }
    }

    /// Fixes where the fault lies, unless that is known already.
    pub(super) fn at(self, path: &Path<'_>) -> Self {
        Self::Located(self.into_error(path))
    }

    pub(super) fn into_error(self, path: &Path<'_>) -> DecodeError {
        match self {
            Self::Located(error) => error,
            Self::UnknownField { field, known } => {
                let path = Path::Field(path, &field).to_string();
                let nearest = nearest(&field, known);
                let message = match nearest {
                    Some(_) => format!("unknown field `{path}`"),
                    None if known.is_empty() => format!("unknown field `{path}`; none is expected here"),
                    None => format!("unknown field `{path}`; known: {}", listed(known)),
                };
                DecodeError { path, message, nearest }
            }
            Self::UnknownVariant { variant, known } => {
                let rest = format!("must be one of {}, not `{}`", listed(known), quoted(&variant));
                DecodeError { nearest: nearest(&variant, known), ..DecodeError::at(path, rest) }
            }
            Self::MissingField(field) => {
                let path = Path::Field(path, field).to_string();
                DecodeError { message: format!("missing field `{path}`"), path, nearest: None }
            }
            Self::DuplicateField(field) => {
                DecodeError::at(&Path::Field(path, field), "is given more than once; give it once")
            }
            Self::Mismatch { found, expected } => {
                DecodeError::at(path, format_args!("must be {expected}, not {found}"))
            }
            Self::Custom(message) => {
                let path = path.to_string();
                let message = if path.is_empty() { message } else { format!("`{path}`: {message}") };
                DecodeError { path, message, nearest: None }
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Located(error) => error.fmt(f),
            other => write!(f, "{other:?}"),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::mismatch(found_words(found), expected_words(&expected.to_string()))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Self::mismatch(format!("{len} items"), expected_words(&expected.to_string()))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownVariant { variant: variant.to_owned(), known }
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownField { field: field.to_owned(), known }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingField(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::DuplicateField(field)
    }
}

fn subject(path: &str) -> String {
    if path.is_empty() { "the body".to_owned() } else { format!("`{path}`") }
}

/// The known name that `given` may stand for.
fn nearest(given: &str, known: &'static [&'static str]) -> Option<String> {
    // Cut first: the comparison's cost is the product of both lengths, and `given` is the caller's.
    let given: String = given.chars().take(64).collect();
    crate::error::nearest(&given.to_lowercase(), known.iter().copied())
}

pub(super) fn listed(known: &[&str]) -> String {
    known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// serde's name of what it wanted, in the words of someone who writes JSON.
fn expected_words(expected: &str) -> String {
    let (least, name) = match expected.strip_prefix("a nonzero ") {
        Some(name) => (Some(1), name),
        None => (None, expected),
    };
    let range = |min: i128, max: u128| format!("a whole number from {} to {max}", least.unwrap_or(min));
    match name {
        "u8" => range(0, u8::MAX.into()),
        "u16" => range(0, u16::MAX.into()),
        "u32" => range(0, u32::MAX.into()),
        "u64" | "usize" => range(0, u64::MAX.into()),
        "i8" => range(i8::MIN.into(), 127),
        "i16" => range(i16::MIN.into(), 32_767),
        "i32" => range(i32::MIN.into(), 2_147_483_647),
        "i64" | "isize" => range(i64::MIN.into(), 9_223_372_036_854_775_807),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "unit" => "null".to_owned(),
        name if name.starts_with("struct ") => "an object".to_owned(),
        _ => expected.to_owned(),
    }
}

fn found_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Char(value) => format!("\"{}\"", value.escape_debug()),
        Unexpected::Str(text) => format!("\"{}\"", quoted(text)),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        other => other.to_string(),
    }
}
