//! One message that must be refused, and what its refusal must say.

use async_nats::{Client, HeaderMap, Message};
use bioxen_protocol::command::VerbKind;
use bioxen_protocol::error::Code;
use bioxen_protocol::subject::Subject;
use bioxen_tests::ANSWER_PATIENCE;
use serde_json::Value;

/// No refusal repeats more than this of what was sent.
const MESSAGE_CHARS: usize = 700;

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) subject: String,
    pub(crate) payload: Vec<u8>,
    headers: HeaderMap,
    pub(crate) code: &'static str,
    field: Option<String>,
    nearest: Option<&'static str>,
    resource: Option<&'static str>,
    in_message_pack: bool,
}

/// A case with these bytes.
pub(crate) fn bytes(subject: impl Into<String>, payload: impl Into<Vec<u8>>, code: &'static str) -> Case {
    Case {
        subject: subject.into(),
        payload: payload.into(),
        headers: HeaderMap::new(),
        code,
        field: None,
        nearest: None,
        resource: None,
        in_message_pack: false,
    }
}

/// A case with a body in JSON.
pub(crate) fn json(subject: impl Into<String>, body: &Value, code: &'static str) -> Case {
    bytes(subject, body.to_string(), code)
}

/// A case with a body in MessagePack, answered in MessagePack.
pub(crate) fn message_pack(
    subject: impl Into<String>,
    payload: impl Into<Vec<u8>>,
    code: &'static str,
) -> Case {
    Case { in_message_pack: true, ..bytes(subject, payload, code) }
}

impl Case {
    /// `details.field` must be this.
    pub(crate) fn field(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// `details.nearest` must name this.
    pub(crate) fn nearest(self, name: &'static str) -> Self {
        Self { nearest: Some(name), ..self }
    }

    /// `details` must name this resource, its limit and what was requested.
    pub(crate) fn resource(self, name: &'static str) -> Self {
        Self { resource: Some(name), ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// For an answer, or for an assertion that fails.
    fn shown(&self) -> String {
        let payload: String = String::from_utf8_lossy(&self.payload).chars().take(120).collect();
        let subject: String = self.subject.chars().take(120).collect();
        format!("{subject:?} {payload:?}")
    }

    /// Whether the refusal is journaled: those of reads are not; None where it depends.
    pub(crate) fn is_journaled(&self) -> Option<bool> {
        match self.subject.parse::<Subject>() {
            Ok(Subject::Command { verb, .. }) => Some(verb.kind() != VerbKind::Read),
            Ok(Subject::Operator { .. }) => None,
            _ => Some(true),
        }
    }

    /// Sends it, and holds the refusal against what is expected.
    pub(crate) async fn check(&self, client: &Client) {
        let asked = client.request_with_headers(
            self.subject.clone(),
            self.headers.clone(),
            self.payload.clone().into(),
        );
        let answer = tokio::time::timeout(ANSWER_PATIENCE, asked).await;
        let answer = answer.unwrap_or_else(|_| panic!("{}: no answer", self.shown()));
        let message = answer.unwrap_or_else(|error| panic!("{}: {error}", self.shown()));
        self.check_answer(&message);
    }

    fn check_answer(&self, message: &Message) {
        let shown = self.shown();
        let answer: Value = if self.in_message_pack {
            rmp_serde::from_slice(&message.payload).unwrap_or_else(|error| panic!("{shown}: {error}"))
        } else {
            serde_json::from_slice(&message.payload).unwrap_or_else(|error| panic!("{shown}: {error}"))
        };
        let error = &answer["error"];
        assert_eq!(error["code"], self.code, "{shown}: {answer}");
        let code = Code::ALL.iter().find(|code| code.as_str() == self.code).expect("a code");
        assert_eq!(error["name"], code.name(), "{shown}: {answer}");
        let told = error["message"].as_str().unwrap_or_default();
        assert!(!told.is_empty() && told.chars().count() <= MESSAGE_CHARS, "{shown}: {answer}");
        // Words of the program's own making are no sentence for a person.
        assert!(!told.contains("untagged") && !told.contains("struct "), "{shown}: {answer}");
        let headers = message.headers.clone().unwrap_or_default();
        let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(header("Nats-Service-Error-Code"), Some(code.status().to_string()), "{shown}");
        assert!(header("Nats-Service-Error").is_some_and(|error| !error.is_empty()), "{shown}");
        let details = &error["details"];
        assert!(details.to_string().len() <= 2 * MESSAGE_CHARS, "{shown}: {answer}");
        if let Some(field) = &self.field {
            assert_eq!(details["field"], field.as_str(), "{shown}: {answer}");
        }
        if let Some(resource) = self.resource {
            assert_eq!(details["resource"], resource, "{shown}: {answer}");
            assert!(details["limit"].is_number() && details["requested"].is_number(), "{shown}: {answer}");
        }
        if let Some(nearest) = self.nearest {
            let named = details["nearest"].as_array().is_some_and(|names| names.contains(&nearest.into()));
            assert!(named && told.contains(nearest), "{shown}: expected nearest {nearest}: {answer}");
        }
    }
}
