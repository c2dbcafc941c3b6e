//! The published data model, where it lies beside the project: every call is held against it, too.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::{Field, Model, Parameter, Signature, Type};

/// Why the data model was not read.
#[derive(Debug, thiserror::Error)]
pub enum OfficialError {
    /// A file.
    #[error("the data model {path}: {source}; it is as xapi-project publishes it, or the folder is absent")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// No JSON.
    #[error("the data model {path}: {source}")]
    Json {
        /// Which.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// The data model in `folder`; none where there is no such folder.
///
/// # Errors
/// Files that cannot be read.
pub fn official(folder: &Path) -> Result<Option<Model>, OfficialError> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let read = |name: &str| {
        let path = folder.join(name);
        let shown = || path.display().to_string();
        let bytes = std::fs::read(&path).map_err(|source| OfficialError::File { path: shown(), source })?;
        serde_json::from_slice::<Json>(&bytes).map_err(|source| OfficialError::Json { path: shown(), source })
    };
    let mut model = Model::default();
    for class in items(&read("xenapi.json")?) {
        let name = text(&class["name"]);
        let fields = items(&class["fields"]).map(|field| (text(&field["name"]), field_of(field))).collect();
        for call in items(&class["messages"]) {
            model.calls.insert(format!("{name}.{}", text(&call["name"])), signature_of(call));
        }
        for one in items(&class["enums"]) {
            let values = items(&one["values"]).map(|value| text(&value["name"])).collect();
            model.enums.insert(text(&one["name"]), values);
        }
        model.fields.insert(name, fields);
    }
    let errors = read("errors.json")?;
    let error = |error: &Json| (text(&error["code"]), items(&error["params"]).map(text).collect());
    model.errors = items(&errors).map(error).collect::<BTreeMap<_, _>>();
    Ok(Some(model))
}

fn field_of(field: &Json) -> Field {
    let in_records = matches!(field["qualifier"].as_str(), Some("RW" | "RO/constructor"));
    let default = field["default"].as_str().map(|text| text.trim_matches('"').to_owned());
    Field { kind: Type::parse(&text(&field["type"])), in_records, default }
}

fn signature_of(call: &Json) -> Signature {
    let parameter = |json: &Json| Parameter {
        name: text(&json["name"]),
        kind: Type::parse(&text(&json["type"])),
        required: json["required"].as_bool().unwrap_or(true),
    };
    let mut parameters: Vec<_> = items(&call["params"]).map(parameter).collect();
    let session = parameters.first().is_some_and(|first| first.name == "session_id");
    if session {
        parameters.remove(0);
    }
    let result = Type::parse(&text(&call["result"][0]));
    // Its notion of an implicit call is wider than ours: it has constructors, too.
    Signature { session, parameters, result, plain: false }
}

fn items(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}
