//! The tree that a body is read into first, within limits on depth and on the number of values.
//!
//! What neither encoding may bring in is refused here, once for both: duplicate and non-text field names,
//! binary and extension values, NaN and infinities. Nothing is allocated on the word of a length header.
//! This module must not know any message's fields.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::DecodeLimits;
use super::error::DecodeError;
use super::path::{Path, quoted};

/// A decoded body before its fields are known; equal for equal bodies in either encoding.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// Any integer of either encoding: -2^63 to 2^64 - 1.
    Int(i128),
    /// Finite, and never -0.0.
    Float(f64),
    Text(String),
    List(Vec<Value>),
    /// In the order in which the fields stood; each name once.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The field `name` of an object; `None` where it is absent or this is no object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Map(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Takes the field `name` out of an object; the other fields keep their order.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        match self {
            Self::Map(fields) => {
                let at = fields.iter().position(|(key, _)| key == name)?;
                Some(fields.remove(at).1)
            }
            _ => None,
        }
    }

    /// For a body in which no number may be negative.
    ///
    /// # Errors
    /// The first negative number, with its field.
    pub fn refuse_negative(&self) -> Result<(), DecodeError> {
        self.refuse_negative_at(&Path::Root)
    }

    fn refuse_negative_at(&self, path: &Path<'_>) -> Result<(), DecodeError> {
        let is_negative = match self {
            Self::Int(number) => *number < 0,
            Self::Float(number) => *number < 0.0,
            _ => false,
        };
        if is_negative {
            return Err(DecodeError::at(path, format_args!("must be a number of at least 0, not {self}")));
        }
        match self {
            Self::List(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(at, item)| item.refuse_negative_at(&Path::Item(path, at))),
            Self::Map(fields) => {
                fields.iter().try_for_each(|(name, value)| value.refuse_negative_at(&Path::Field(path, name)))
            }
            _ => Ok(()),
        }
    }

    /// The text, where this is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_u64(value),
                (_, Ok(value)) => serializer.serialize_i64(value),
                _ => serializer.serialize_i128(*value),
            },
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    /// Reads within [`DecodeLimits::default`] (`bytes` is the caller's to check).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut budget = Budget::new(&DecodeLimits::default());
        let tree = Tree { budget: &mut budget, path: &Path::Root, depth: 0 }.deserialize(deserializer);
        match budget.refusal {
            Some(refusal) => Err(de::Error::custom(refusal)),
            None => tree,
        }
    }
}

/// What may still be read, and why reading was stopped.
///
/// A parser's own error type would flatten a refusal into text, so it waits here for the caller.
pub(super) struct Budget {
    depth_max: usize,
    elements_max: usize,
    elements_left: usize,
    pub(super) refusal: Option<DecodeError>,
}

impl Budget {
    pub(super) fn new(limits: &DecodeLimits) -> Self {
        let DecodeLimits { bytes: _, depth, elements } = *limits;
        Self { depth_max: depth, elements_max: elements, elements_left: elements, refusal: None }
    }

    fn refuse<E: de::Error>(&mut self, path: &Path<'_>, rest: impl fmt::Display) -> E {
        self.refusal = Some(DecodeError::at(path, rest));
        E::custom("refused")
    }
}

/// Reads one value and all that is below it.
pub(super) struct Tree<'a> {
    pub(super) budget: &'a mut Budget,
    pub(super) path: &'a Path<'a>,
    /// How many lists and objects are around this value.
    pub(super) depth: usize,
}

impl Tree<'_> {
    /// The depth of what stands inside this list or object.
    fn enter<E: de::Error>(&mut self) -> Result<usize, E> {
        if self.depth >= self.budget.depth_max {
            let deepest = self.budget.depth_max;
            return Err(self
                .budget
                .refuse(self.path, format_args!("is nested deeper than {deepest} levels")));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.budget.elements_left.checked_sub(1) else {
            let most = self.budget.elements_max;
            return Err(self.budget.refuse(&Path::Root, format_args!("holds more than {most} values")));
        };
        self.budget.elements_left = left;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, true, false, a number, text, a list or an object")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        if !value.is_finite() {
            return Err(self.budget.refuse(self.path, format_args!("must be a finite number, not {value}")));
        }
        // Adding zero turns -0.0 into 0.0, which JSON and MessagePack writers disagree about.
        Ok(Value::Float(value + 0.0))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Value, E> {
        Err(self.budget.refuse(self.path, "must not be binary data; send UTF-8 text"))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Value, D::Error> {
        Err(self.budget.refuse(self.path, "must not be a MessagePack extension; send a number or text"))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let depth = self.enter()?;
        let mut items = Vec::new();
        loop {
            let path = Path::Item(self.path, items.len());
            match seq.next_element_seed(Tree { budget: &mut *self.budget, path: &path, depth })? {
                Some(item) => items.push(item),
                None => return Ok(Value::List(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let depth = self.enter()?;
        let mut fields = Vec::new();
        while let Some(name) = map.next_key_seed(FieldName)? {
            let Some(name) = name else {
                return Err(self.budget.refuse(self.path, "must have text as the names of its fields"));
            };
            let path = Path::Field(self.path, &name);
            let value = map.next_value_seed(Tree { budget: &mut *self.budget, path: &path, depth })?;
            fields.push((name, value));
        }
        if let Some(name) = duplicate(&fields) {
            let path = Path::Field(self.path, name);
            return Err(self.budget.refuse(&path, "is given more than once; give it once"));
        }
        Ok(Value::Map(fields))
    }
}

fn duplicate(fields: &[(String, Value)]) -> Option<&str> {
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Reads the name of a field; `None` where it is not text.
struct FieldName;

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldName {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field, as text")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<String>, E> {
        Ok(Some(name.to_owned()))
    }

    fn visit_string<E>(self, name: String) -> Result<Option<String>, E> {
        Ok(Some(name))
    }

    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Option<String>, E> {
        Ok(None)
    }
}

impl fmt::Display for Value {
    /// A short form for messages: scalars as they stand, containers by kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(text) => write!(f, "\"{}\"", quoted(text)),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("an object"),
        }
    }
}
