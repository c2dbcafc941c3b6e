//! JSON-RPC 2.0 as XAPI speaks it: a request as bytes, an answer as a value or a fault.
//!
//! Pure; `rpc` sends it. <https://xapi-project.github.io/new-docs/xen-api/wire-protocol/>

use std::borrow::Cow;

use serde_json::{Value, json};

use super::fault::Fault;

pub(crate) const CONTENT_TYPE: &str = "application/json";
pub(crate) const PATH: &str = "/jsonrpc";

/// A list or object takes far more memory than text. All records of a pool of 2,000 VMs are 60,000 objects with 600,000
/// values.
const OBJECTS_MOST: usize = 300_000;
const VALUES_MOST: usize = 3_000_000;

pub(crate) fn request(method: &str, params: &[Value], id: u64) -> String {
    json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": id }).to_string()
}

/// # Errors
/// What makes it no answer, in words of ours: the other side's could repeat the request, which may hold a password.
pub(crate) fn answer(text: &str) -> Result<Result<Value, Fault>, String> {
    let mut answer = match value(text)? {
        // What is refused before it is dispatched comes as a list of one.
        Value::Array(mut list) if list.len() == 1 => list.remove(0),
        answer => answer,
    };
    match answer.get_mut("error").map(Value::take) {
        None | Some(Value::Null) => {}
        Some(error) => {
            return fault(&error).map(Err).ok_or_else(|| "an error without a code".to_owned());
        }
    }
    match answer.get_mut("result") {
        Some(result) => Ok(Ok(result.take())),
        None => Err("neither result nor error".to_owned()),
    }
}

/// JSON, or what XAPI takes for it.
///
/// # Errors
/// What makes it none.
pub(crate) fn value(text: &str) -> Result<Value, String> {
    let (mut objects, mut values) = (0, 0);
    for byte in text.bytes() {
        objects += usize::from(byte == b'{');
        values += usize::from(matches!(byte, b',' | b'['));
    }
    if objects > OBJECTS_MOST || values > VALUES_MOST {
        return Err(format!("more than {OBJECTS_MOST} objects or {VALUES_MOST} values"));
    }
    serde_json::from_str(text).or_else(|error| {
        serde_json::from_str(&without_bare_floats(text)).map_err(|_| format!("no JSON: {error}"))
    })
}

/// An object with code, message and data; before dispatch a plain array of code and parameters.
fn fault(error: &Value) -> Option<Fault> {
    let texts = |values: &[Value]| values.iter().map(text_of).collect::<Vec<_>>();
    if let Some(list) = error.as_array() {
        let (code, params) = list.split_first()?;
        return Some(Fault::new(code.as_str()?, texts(params)));
    }
    let params = error.get("data").and_then(Value::as_array).map_or(Vec::new(), |data| texts(data));
    Some(Fault::new(error.get("message")?.as_str()?, params))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// XAPI writes floats that JSON lacks as bare words; for us they are no figures, so they become null.
fn without_bare_floats(text: &str) -> Cow<'_, str> {
    const WORDS: [&str; 6] = ["-Infinity", "Infinity", "-inf", "inf", "-nan", "NaN"];
    let mut changed = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(first) = rest.chars().next() {
        let escaped = quoted && first == '\\';
        let word = (!quoted).then(|| WORDS.iter().find(|word| rest.starts_with(**word))).flatten();
        let taken = match word {
            Some(word) => word.len(),
            None if escaped => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            None => first.len_utf8(),
        };
        quoted ^= first == '"';
        changed.push_str(if word.is_some() { "null" } else { &rest[..taken] });
        rest = &rest[taken..];
    }
    Cow::Owned(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_known_in_both_of_its_forms() {
        let object = r#"{"jsonrpc":"2.0","error":{"code":1,"message":"SR_FULL","data":["10","4"]},"id":3}"#;
        let array = r#"{"result":null,"error":["SR_FULL","10","4"],"id":0}"#;
        let expected = Fault::new("SR_FULL", vec!["10".to_owned(), "4".to_owned()]);
        assert_eq!(answer(object), Ok(Err(expected.clone())));
        assert_eq!(answer(array), Ok(Err(expected)));
    }

    #[test]
    fn bare_floats_are_read_and_texts_stay_as_they_are() {
        let text = r#"{"jsonrpc":"2.0","result":{"a":NaN,"b":[-Infinity,Infinity],"c":"a \"NaN\" \\","d":1.5},"id":1}"#;
        let expected = json!({ "a": null, "b": [null, null], "c": "a \"NaN\" \\", "d": 1.5 });
        assert_eq!(answer(text), Ok(Ok(expected)));
    }

    #[test]
    fn what_is_no_answer_is_said() {
        assert!(answer("<html>").unwrap_err().contains("no JSON"));
        assert!(answer("{\"id\":1}").unwrap_err().contains("neither result nor error"));
        let echo = answer("{\"error\":{\"code\":1,\"data\":\"hunter2\"}}").unwrap_err();
        assert!(echo.contains("without a code") && !echo.contains("hunter2"), "{echo}");
    }

    #[test]
    fn a_refusal_before_dispatch_is_one_in_a_list() {
        let text =
            r#"[{"jsonrpc":"2.0","error":{"code":1,"message":"HOST_STILL_BOOTING","data":[]},"id":0}]"#;
        assert_eq!(answer(text), Ok(Err(Fault::new("HOST_STILL_BOOTING", Vec::new()))));
        assert!(answer("[]").is_err() && answer("[1]").is_err());
    }

    #[test]
    fn an_answer_that_would_fill_the_memory_is_not_read() {
        for (of, count) in [("{\"\":0},", OBJECTS_MOST), ("0,", VALUES_MOST), ("[],", VALUES_MOST)] {
            let text = format!("{{\"result\":[{}0]}}", of.repeat(count + 1));
            assert!(answer(&text).unwrap_err().starts_with("more than"), "{of}");
        }
    }

    #[test]
    fn a_session_s_reference_does_not_stay_in_a_fault() {
        let text = r#"{"error":{"code":1,"message":"SESSION_INVALID","data":["OpaqueRef:secret"]},"id":1}"#;
        assert_eq!(answer(text).unwrap().unwrap_err().to_string(), "SESSION_INVALID");
    }
}
