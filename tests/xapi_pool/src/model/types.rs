//! Types of XAPI, in the data model's own notation, and which values are of them.

use std::collections::BTreeMap;

use super::Model;
use crate::value::Value;

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// `string`
    Text,
    /// `int`: 64 bits.
    Int,
    /// `float`
    Float,
    /// `bool`
    Bool,
    /// `datetime`
    Time,
    /// `void`
    Void,
    /// `VM ref`
    Ref(String),
    /// `enum vm_power_state`
    Enum(String),
    /// `VM record`
    Record(String),
    /// `string set`
    Set(Box<Type>),
    /// `(string -> string) map`
    Map(Box<Type>, Box<Type>),
    /// What no table describes, such as an event's snapshot: by its name.
    Other(String),
}

impl Type {
    /// Reads the notation; what it does not know is `Other`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let boxed = |text: &str| Box::new(Self::parse(text));
        if let Some(inner) = text.strip_suffix(" set") {
            return Self::Set(boxed(inner));
        }
        if let Some(inner) = text.strip_suffix(") map").and_then(|text| text.strip_prefix('('))
            && let Some((key, value)) = inner.split_once(" -> ")
        {
            return Self::Map(boxed(key), boxed(value));
        }
        match text {
            "string" => Self::Text,
            "int" => Self::Int,
            "float" => Self::Float,
            "bool" => Self::Bool,
            "datetime" => Self::Time,
            "void" => Self::Void,
            _ => match text.rsplit_once(' ') {
                Some((class, "ref")) if !class.contains(' ') => Self::Ref(class.to_owned()),
                Some((class, "record")) if !class.contains([' ', '<']) => Self::Record(class.to_owned()),
                Some(("enum", name)) => Self::Enum(name.to_owned()),
                _ => Self::Other(text.to_owned()),
            },
        }
    }

    /// Whether `value` is of this type. Whole numbers may be text, for XML carries them so; records may lack fields but
    /// have none that the class does not have.
    #[must_use]
    pub fn holds(&self, value: &Value, model: &Model) -> bool {
        match (self, value) {
            (Self::Text, Value::Text(_)) | (Self::Bool, Value::Bool(_)) | (Self::Other(_), _) => true,
            (Self::Int, Value::Int(_)) | (Self::Float, Value::Float(_) | Value::Int(_)) => true,
            (Self::Int, Value::Text(text)) => text.parse::<i64>().is_ok(),
            (Self::Time, Value::Time(text) | Value::Text(text)) => is_time(text),
            (Self::Void, Value::Text(text)) => text.is_empty(),
            (Self::Ref(_), Value::Text(text)) => text.starts_with("OpaqueRef:"),
            (Self::Enum(name), Value::Text(text)) => {
                model.enums.get(name).is_none_or(|values| values.contains(text))
            }
            (Self::Set(item), Value::List(items)) => items.iter().all(|value| item.holds(value, model)),
            (Self::Map(key, item), Value::Map(entries)) => entries
                .iter()
                .all(|(name, value)| key.holds(&Value::text(name), model) && item.holds(value, model)),
            (Self::Record(class), Value::Map(entries)) => {
                let Some(fields) = model.fields.get(class) else { return true };
                let fits = |(name, value): (&String, &Value)| {
                    fields.get(name).is_some_and(|field| field.kind.holds(value, model))
                };
                entries.iter().all(fits)
            }
            _ => false,
        }
    }

    /// What a field of this type is before anything was said: `default` in the model's notation, where it has one.
    #[must_use]
    pub fn initial(&self, default: Option<&str>, model: &Model) -> Value {
        match self {
            Self::Text | Self::Other(_) | Self::Void => Value::text(default.unwrap_or_default()),
            Self::Int => Value::Int(default.and_then(|text| text.parse().ok()).unwrap_or(0)),
            Self::Float => Value::Float(default.and_then(|text| text.parse().ok()).unwrap_or(0.0)),
            Self::Bool => Value::Bool(default == Some("true")),
            Self::Time => Value::Time("19700101T00:00:00Z".to_owned()),
            Self::Ref(_) => Value::text("OpaqueRef:NULL"),
            Self::Enum(name) => {
                let first = model.enums.get(name).and_then(|values| values.first());
                Value::text(default.or(first.map(String::as_str)).unwrap_or_default())
            }
            Self::Set(_) => Value::List(Vec::new()),
            Self::Map(..) | Self::Record(_) => Value::Map(BTreeMap::new()),
        }
    }
}

/// ISO 8601 as XAPI takes it: date, `T`, time.
fn is_time(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits >= 14 && text.contains('T')
}
