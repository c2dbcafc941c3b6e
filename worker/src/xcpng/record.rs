//! XAPI's values read with words for what is missing: references, fields of records, integers in both dialects.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::fault::XcpngError;

const NULL: &str = "OpaqueRef:NULL";

/// An object on the pool, as long as the pool's database lives; opaque.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ref(String);

impl Ref {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// None for XAPI's null reference.
    pub(crate) fn some(self) -> Option<Self> {
        (!self.0.is_empty() && self.0 != NULL).then_some(self)
    }
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&Ref> for Value {
    fn from(reference: &Ref) -> Self {
        Self::from(reference.as_str())
    }
}

/// An answer that is a reference.
///
/// # Errors
/// It is none.
pub(crate) fn reference(value: &Value, method: &str) -> Result<Ref, XcpngError> {
    value.as_str().map(Ref::new).and_then(Ref::some).ok_or_else(|| unexpected(method, "no reference"))
}

/// An answer that is a set of references.
///
/// # Errors
/// It is none.
pub(crate) fn references(value: &Value, method: &str) -> Result<Vec<Ref>, XcpngError> {
    let all = value.as_array().ok_or_else(|| unexpected(method, "no set of references"))?;
    all.iter().map(|one| reference(one, method)).collect()
}

fn unexpected(method: &str, what: &str) -> XcpngError {
    XcpngError::Answer { host: "the pool".to_owned(), method: method.to_owned(), what: what.to_owned() }
}

/// A record as it was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    value: &'a Value,
    of: &'a str,
}

impl<'a> Fields<'a> {
    /// `of` names the call, for words.
    pub(crate) fn new(value: &'a Value, of: &'a str) -> Self {
        Self { value, of }
    }

    fn field(self, name: &str) -> Result<&'a Value, XcpngError> {
        self.value.get(name).ok_or_else(|| unexpected(self.of, &format!("a record without {name}")))
    }

    fn wrong(self, name: &str, expected: &str) -> XcpngError {
        unexpected(self.of, &format!("a record whose {name} is no {expected}"))
    }

    pub(crate) fn text(self, name: &str) -> Result<&'a str, XcpngError> {
        self.field(name)?.as_str().ok_or_else(|| self.wrong(name, "text"))
    }

    pub(crate) fn truth(self, name: &str) -> Result<bool, XcpngError> {
        self.field(name)?.as_bool().ok_or_else(|| self.wrong(name, "truth value"))
    }

    /// A number in JSON, digits in XML.
    pub(crate) fn integer(self, name: &str) -> Result<i64, XcpngError> {
        let value = self.field(name)?;
        let read = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        read.ok_or_else(|| self.wrong(name, "integer"))
    }

    /// None for the null reference.
    pub(crate) fn reference(self, name: &str) -> Result<Option<Ref>, XcpngError> {
        Ok(Ref::new(self.text(name)?).some())
    }

    pub(crate) fn references(self, name: &str) -> Result<Vec<Ref>, XcpngError> {
        let all = self.field(name)?.as_array().ok_or_else(|| self.wrong(name, "set"))?;
        Ok(all.iter().filter_map(Value::as_str).map(Ref::new).filter_map(Ref::some).collect())
    }

    pub(crate) fn map(self, name: &str) -> Result<BTreeMap<String, String>, XcpngError> {
        let all = self.field(name)?.as_object().ok_or_else(|| self.wrong(name, "map"))?;
        Ok(all.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
    }
}
