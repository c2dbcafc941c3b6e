//! The fleet's streams: their names, subjects and settings; created where missing, checked where not.
//!
//! A setting that differs is said and never changed: somebody may have chosen it, or data may depend
//! on it. This file must not read or write messages.

use std::time::Duration;

use async_nats::Client;
pub use bioxen_protocol::subject::{
    ALL_AUDIT as AUDIT_SUBJECTS, ALL_EVENTS as EVENTS_SUBJECTS, ALL_SUBMITS as SUBMIT_SUBJECTS,
    JOURNAL as JOURNAL_SUBJECT,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::api::{self, ApiError, code};

/// The journal's stream.
pub const JOURNAL: &str = "BIOXEN_JOURNAL";
/// Durable submissions, one subject a user.
pub const SUBMIT: &str = "BIOXEN_SUBMIT";
/// Events, a fold of the journal.
pub const EVENTS: &str = "BIOXEN_EVENTS";
/// The audit trail, a fold of the journal.
pub const AUDIT: &str = "BIOXEN_AUDIT";

pub(crate) const HEADER_EXPECTED_LAST_SEQUENCE: &str = "Nats-Expected-Last-Sequence";
pub(crate) const HEADER_MESSAGE_ID: &str = "Nats-Msg-Id";
pub(crate) const HEADER_SEQUENCE: &str = "Nats-Sequence";

pub(crate) const API_INFO: &str = "$JS.API.INFO";

pub(crate) fn api_info(stream: &str) -> String {
    format!("$JS.API.STREAM.INFO.{stream}")
}

pub(crate) fn api_create(stream: &str) -> String {
    format!("$JS.API.STREAM.CREATE.{stream}")
}

pub(crate) fn api_message_get(stream: &str) -> String {
    format!("$JS.API.STREAM.MSG.GET.{stream}")
}

pub(crate) fn api_purge(stream: &str) -> String {
    format!("$JS.API.STREAM.PURGE.{stream}")
}

pub(crate) fn api_direct_get(stream: &str) -> String {
    format!("$JS.API.DIRECT.GET.{stream}")
}

/// What an operator may choose about the streams.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSettings {
    /// Copies of each stream: 1, or 3 across fault domains in production.
    pub replicas: u8,
    /// Room reserved for the journal until it is compacted.
    pub journal_max_bytes: u64,
    pub submit_max_bytes: u64,
    /// Durable submissions that one user may have waiting.
    pub submit_max_per_user: u32,
    pub events_max_bytes: u64,
    pub events_max_age_days: u32,
    /// Full means that new commands are refused: nothing of the audit trail is ever dropped.
    pub audit_max_bytes: u64,
    /// How long a stream remembers message ids.
    pub duplicate_window_seconds: u32,
}

const GIB: u64 = 1024 * 1024 * 1024;

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            replicas: 1,
            journal_max_bytes: GIB,
            submit_max_bytes: GIB / 4,
            submit_max_per_user: 10_000,
            events_max_bytes: GIB,
            events_max_age_days: 7,
            audit_max_bytes: 4 * GIB,
            duplicate_window_seconds: 120,
        }
    }
}

/// A setting of an existing stream that is not what BioXen needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// The setting's name in JetStream's API.
    pub setting: String,
    pub expected: Value,
    pub found: Value,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: expected {}, found {}", self.setting, self.expected, self.found)
    }
}

/// What became of one stream at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    Created,
    Existed,
}

/// Why a stream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error(
        "stream {stream} exists with other settings ({}): change them with `nats stream edit {stream}`, or set \
         BioXen's configuration to what was found; nothing was changed", list(.mismatches)
    )]
    Different { stream: &'static str, mismatches: Vec<Mismatch> },
    #[error(
        "stream {stream} cannot be created, there is no room to reserve for it ({description}): give JetStream \
         more (max_file_store) or reserve less in BioXen's configuration"
    )]
    NoRoom { stream: &'static str, description: String },
    #[error("stream {stream} cannot be created or checked: {source}")]
    Api { stream: &'static str, source: ApiError },
}

fn list(mismatches: &[Mismatch]) -> String {
    mismatches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Creates the streams that are missing and checks those that exist, in this order: journal,
/// submissions, events, audit.
///
/// # Errors
/// At the first stream that cannot be used, with each setting that differs and what to do.
pub async fn ensure(
    client: &Client,
    settings: &StreamSettings,
    wait: Duration,
) -> Result<Vec<(&'static str, Ensured)>, StreamError> {
    let mut ensured = Vec::new();
    for (stream, config) in configs(settings) {
        ensured.push((stream, ensure_one(client, stream, &config, wait).await?));
    }
    Ok(ensured)
}

async fn ensure_one(
    client: &Client,
    stream: &'static str,
    config: &Value,
    wait: Duration,
) -> Result<Ensured, StreamError> {
    #[derive(Deserialize)]
    struct Info {
        config: Value,
    }
    let failed = |source| StreamError::Api { stream, source };
    match api::call::<Info>(client, &api_info(stream), &Value::Null, wait).await {
        Ok(info) => return matching(stream, config, &info.config).map(|()| Ensured::Existed),
        Err(error) if error.code() == Some(code::STREAM_NOT_FOUND) => {}
        Err(error) => return Err(failed(error)),
    }
    let created = match api::call::<Info>(client, &api_create(stream), config, wait).await {
        Ok(created) => created,
        Err(ApiError::Refused { code, description, .. }) if code::STORAGE_EXCEEDED.contains(&code) => {
            return Err(StreamError::NoRoom { stream, description });
        }
        Err(error) => return Err(failed(error)),
    };
    // An older server ignores a setting that it does not know: look at what it made.
    matching(stream, config, &created.config).map(|()| Ensured::Created)
}

fn matching(stream: &'static str, expected: &Value, found: &Value) -> Result<(), StreamError> {
    let none = Map::new();
    let mismatches: Vec<Mismatch> = expected
        .as_object()
        .unwrap_or(&none)
        .iter()
        .map(|(setting, value)| Mismatch {
            setting: setting.clone(),
            expected: value.clone(),
            found: found.get(setting).cloned().unwrap_or_else(|| absent(value)),
        })
        .filter(|mismatch| mismatch.expected != mismatch.found && !is_roomier(mismatch))
        .collect();
    if mismatches.is_empty() { Ok(()) } else { Err(StreamError::Different { stream, mismatches }) }
}

/// More room than asked for is what an operator gives to a stream that is full.
fn is_roomier(mismatch: &Mismatch) -> bool {
    mismatch.setting == "max_bytes"
        && mismatch.expected.as_i64().zip(mismatch.found.as_i64()).is_some_and(|(asked, found)| found > asked)
}

/// JetStream leaves out settings that are off.
fn absent(expected: &Value) -> Value {
    match expected {
        Value::Bool(_) => Value::Bool(false),
        Value::String(_) if *expected == "default" => expected.clone(),
        _ => Value::Null,
    }
}

/// Each stream's settings as JetStream's API names them, in the order of creation.
fn configs(settings: &StreamSettings) -> [(&'static str, Value); 4] {
    let nanos = |seconds: u64| seconds * 1_000_000_000;
    let common = |stream: &str, subject: &str, max_bytes: u64| {
        json!({
            "name": stream,
            "subjects": [subject],
            "storage": "file",
            "retention": "limits",
            "num_replicas": settings.replicas,
            "max_bytes": max_bytes,
            "max_msgs": -1,
            "allow_direct": true,
            "duplicate_window": nanos(u64::from(settings.duplicate_window_seconds)),
        })
    };
    let with = |mut config: Value, more: Value| {
        if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
            config.extend(more);
        }
        config
    };
    // Events can be published again from the journal, so one copy need not be synced each time.
    let events_mode = if settings.replicas == 1 { "async" } else { "default" };
    let events_max_age = nanos(u64::from(settings.events_max_age_days) * 24 * 3600);
    [
        (
            JOURNAL,
            with(
                common(JOURNAL, JOURNAL_SUBJECT, settings.journal_max_bytes),
                json!({ "discard": "new", "max_age": 0, "deny_delete": false, "deny_purge": false }),
            ),
        ),
        (
            SUBMIT,
            with(
                common(SUBMIT, SUBMIT_SUBJECTS, settings.submit_max_bytes),
                json!({
                    "discard": "new",
                    "discard_new_per_subject": true,
                    "max_age": 0,
                    "max_msgs_per_subject": settings.submit_max_per_user,
                }),
            ),
        ),
        (
            EVENTS,
            with(
                common(EVENTS, EVENTS_SUBJECTS, settings.events_max_bytes),
                json!({ "discard": "old", "max_age": events_max_age, "persist_mode": events_mode }),
            ),
        ),
        (
            AUDIT,
            with(
                common(AUDIT, AUDIT_SUBJECTS, settings.audit_max_bytes),
                json!({
                    "discard": "new",
                    "max_age": 0,
                    "deny_delete": true,
                    "deny_purge": true,
                    "allow_atomic": true,
                }),
            ),
        ),
    ]
}
