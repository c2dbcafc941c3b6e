//! Values of XAPI, apart from how they travel. It knows neither JSON nor XML.

use std::collections::BTreeMap;

/// What a parameter, a field or a result can be. Nothing (`void`) is an empty text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON's null, which no parameter may be.
    Null,
    /// Text, and all that travels as text: references, enumerations.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// A moment, as `20260131T23:59:59Z`.
    Time(String),
    /// A set, in order.
    List(Vec<Value>),
    /// A map or a record.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// The result of a call that has none.
    #[must_use]
    pub fn void() -> Self {
        Self::text("")
    }

    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A list of texts.
    #[must_use]
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// A map.
    #[must_use]
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// The text, or nothing where it is none.
    #[must_use]
    pub fn as_text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Time(text) => text,
            _ => "",
        }
    }

    /// Whether it is true.
    #[must_use]
    pub fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// The whole number, also from text, for XML carries it so; 0 where it is none.
    #[must_use]
    pub fn as_int(&self) -> i64 {
        match self {
            Self::Int(int) => *int,
            Self::Text(text) => text.parse().unwrap_or(0),
            _ => 0,
        }
    }

    /// The number; 0 where it is none.
    #[must_use]
    pub fn as_float(&self) -> f64 {
        match self {
            Self::Float(float) => *float,
            // A number of seconds: no digit is lost.
            Self::Int(int) => i32::try_from(*int).map_or(f64::MAX, f64::from),
            _ => 0.0,
        }
    }

    /// The items, none where it is no list.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// The entry of a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        if let Self::Map(entries) = self { entries.get(key) } else { None }
    }
}

/// A call that failed: XAPI's code and its parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} {params:?}")]
pub struct Failure {
    /// As `VM_BAD_POWER_STATE`.
    pub code: String,
    /// In the order that the code has.
    pub params: Vec<String>,
}

impl Failure {
    /// A failure.
    #[must_use]
    pub fn new(code: &str, params: &[&str]) -> Self {
        Self { code: code.to_owned(), params: params.iter().map(|&param| param.to_owned()).collect() }
    }

    /// An object that is not there.
    #[must_use]
    pub fn handle_invalid(class: &str, reference: &str) -> Self {
        Self::new("HANDLE_INVALID", &[class, reference])
    }
}

/// What calls give.
pub type Answer = Result<Value, Failure>;
