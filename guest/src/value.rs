//! A result as data: what a call or script answers with, the same in JSON and MessagePack.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Deepest nesting of a result.
pub const MAX_DEPTH: usize = 16;

/// Data of a result. Numbers are finite: what is not is [`Value::Null`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Whole(i64),
    /// Any other.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A table, by name.
    Table(BTreeMap<String, Value>),
}

impl Value {
    /// Anything that serializes to such data, as data.
    ///
    /// # Errors
    /// What does not serialize, or to something else.
    pub fn of<T: Serialize>(data: &T) -> Result<Self, crate::FrameError> {
        let value: Self = rmp_serde::from_slice(&rmp_serde::to_vec_named(data)?)?;
        Ok(value.with_finite_numbers())
    }

    /// The size in MessagePack.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        rmp_serde::to_vec_named(self).map_or(usize::MAX, |bytes| bytes.len())
    }

    /// The value under `key`, of a table that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        if let Self::Table(table) = self { table.get(key) } else { None }
    }

    /// The number that it is, if it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Whole(whole) => Some(*whole as f64),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn with_finite_numbers(self) -> Self {
        match self {
            Self::Number(number) if !number.is_finite() => Self::Null,
            Self::List(list) => Self::List(list.into_iter().map(Self::with_finite_numbers).collect()),
            Self::Table(table) => Self::Table(
                table.into_iter().map(|(key, value)| (key, value.with_finite_numbers())).collect(),
            ),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_keeps_its_kinds_through_messagepack() {
        let data =
            (true, 7_u32, 0.5, f64::INFINITY, "text", [None, Some(1_i8)], BTreeMap::from([("a", -1.0)]));
        let Value::List(list) = Value::of(&data).unwrap() else { panic!("a list") };
        assert_eq!(list[..4], [Value::Bool(true), Value::Whole(7), Value::Number(0.5), Value::Null]);
        assert_eq!(list[5], Value::List(vec![Value::Null, Value::Whole(1)]));
        assert_eq!(list[6].get("a"), Some(&Value::Number(-1.0)));
        let again: Value = rmp_serde::from_slice(&rmp_serde::to_vec_named(&list).unwrap()).unwrap();
        assert_eq!(again, Value::List(list));
    }
}
