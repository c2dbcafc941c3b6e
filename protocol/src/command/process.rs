//! `execute` and the verbs that are short for a call of it: what a cell is to do, in process code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::RequestId;

/// The body of `execute`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Execute {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// One plain call with literal arguments, or a Luau script.
    pub process_code: String,
    /// How long it may run, in milliseconds of wall time (5,000, at most 60,000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// The body of `transcription`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transcription {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Symbols or locus tags.
    pub gene_ids: Vec<String>,
}

/// The body of `operons`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Operons {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    pub operon_ids: Vec<String>,
    pub action: OperonAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperonAction {
    Activate,
    Repress,
    Derepress,
}

impl OperonAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Repress => "repress",
            Self::Derepress => "derepress",
        }
    }
}

impl Transcription {
    /// The call that it stands for.
    pub fn process_code(&self) -> String {
        format!("start_transcription({})", quoted(&self.gene_ids))
    }
}

impl Operons {
    /// The call that it stands for.
    pub fn process_code(&self) -> String {
        format!("manage_operons({}, '{}')", quoted(&self.operon_ids), self.action.as_str())
    }
}

/// `['a', 'b']`, whatever the names hold.
fn quoted(names: &[String]) -> String {
    let escaped = names.iter().map(|name| format!("'{}'", name.replace('\\', "\\\\").replace('\'', "\\'")));
    format!("[{}]", escaped.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let asked =
            Transcription { request_id: None, gene_ids: vec!["dnaA".to_owned(), "x'], y\\".to_owned()] };
        assert_eq!(asked.process_code(), r"start_transcription(['dnaA', 'x\'], y\\'])");
    }
}
