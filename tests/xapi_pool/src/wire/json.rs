//! JSON-RPC: 2.0 gives values and errors as they are, 1.0 in a record with `Status`. Numbers that JSON does not have are
//! written as XAPI writes them: bare `NaN` and `Infinity`.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{Request, Wire};
use crate::value::{Answer, Failure, Value};

/// Reads a call.
///
/// # Errors
/// What is not as JSON-RPC says.
pub(crate) fn request(body: &[u8]) -> Result<Request, String> {
    let call: Json = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    let method = call["method"].as_str().ok_or("JSON-RPC: `method` must be a text")?.to_owned();
    let params = call["params"].as_array().ok_or("JSON-RPC: `params` must be a list")?;
    let params = params.iter().map(value_of).collect();
    let second = match &call["jsonrpc"] {
        Json::Null => false,
        Json::String(version) if version == "2.0" => true,
        other => return Err(format!("JSON-RPC: `jsonrpc` is {other}, expected \"2.0\" or nothing")),
    };
    let id = call.get("id").cloned().ok_or("JSON-RPC: `id` is missing")?;
    Ok(Request { method, params, wire: Wire::Json { second, id } })
}

/// Writes an answer. One that failed before its call was looked at comes in 2.0 as XAPI sends it: a list with id 0.
pub(crate) fn response(second: bool, id: &Json, answer: &Answer, early: bool) -> String {
    let mut text = String::new();
    match (second, answer) {
        (true, Ok(value)) => {
            text.push_str("{\"jsonrpc\":\"2.0\",\"result\":");
            write_value(&mut text, value);
            let _ = write!(text, ",\"id\":{id}}}");
        }
        (true, Err(failure)) => {
            let code = Json::from(failure.code.as_str());
            let params = Json::from(failure.params.clone());
            let error = format!("{{\"code\":1,\"message\":{code},\"data\":{params}}}");
            text = if early {
                format!("[{{\"jsonrpc\":\"2.0\",\"error\":{error},\"id\":0}}]")
            } else {
                format!("{{\"jsonrpc\":\"2.0\",\"error\":{error},\"id\":{id}}}")
            };
        }
        (false, answer) => {
            text.push_str("{\"result\":");
            write_value(&mut text, &with_status(answer));
            let _ = write!(text, ",\"error\":null,\"id\":{id}}}");
        }
    }
    text
}

/// An answer in the record that XML-RPC and JSON-RPC 1.0 share.
pub(super) fn with_status(answer: &Answer) -> Value {
    match answer {
        Ok(value) => Value::map([("Status", Value::text("Success")), ("Value", value.clone())]),
        Err(Failure { code, params }) => {
            let all = std::iter::once(code.clone()).chain(params.iter().cloned());
            Value::map([("Status", Value::text("Failure")), ("ErrorDescription", Value::texts(all))])
        }
    }
}

/// A value out of JSON.
pub(crate) fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(*bool),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::List(items.iter().map(value_of).collect()),
        Json::Object(entries) => Value::map(entries.iter().map(|(key, value)| (key, value_of(value)))),
    }
}

/// Writes `value` as JSON, but for numbers that JSON has not.
pub(crate) fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Text(value) | Value::Time(value) => text.push_str(&Json::from(value.as_str()).to_string()),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => text.push_str(&value.to_string()),
        Value::Float(value) => text.push_str(&float(*value)),
        Value::List(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                write_value(text, item);
            }
            text.push(']');
        }
        Value::Map(entries) => {
            text.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                let _ = write!(text, "{}:", Json::from(key.as_str()));
                write_value(text, value);
            }
            text.push('}');
        }
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{value:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_2_0_has_code_1_its_name_and_its_parameters() {
        let failed = Err(Failure::new("HOST_IS_SLAVE", &["127.0.0.9"]));
        let text = response(true, &Json::from(7), &failed, false);
        let expected =
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":"HOST_IS_SLAVE","data":["127.0.0.9"]},"id":7}"#;
        assert_eq!(text, expected);
        let early = response(true, &Json::from(7), &failed, true);
        assert!(early.starts_with('[') && early.ends_with("\"id\":0}]"), "{early}");
    }

    #[test]
    fn an_answer_of_1_0_has_a_status() {
        let text = response(false, &Json::from("a"), &Ok(Value::Float(f64::NAN)), false);
        assert_eq!(text, r#"{"result":{"Status":"Success","Value":NaN},"error":null,"id":"a"}"#);
    }
}
