//! The two ways in which calls travel: JSON-RPC and XML-RPC. A session works on both.

pub(crate) mod json;
pub(crate) mod xml;

use crate::value::Value;

/// A call as it came.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) params: Vec<Value>,
    pub(crate) wire: Wire,
}

/// How a call came, which its answer follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wire {
    /// `version` as it stood in the call, none in 1.0; `id` as it came.
    Json {
        second: bool,
        id: serde_json::Value,
    },
    Xml,
}
