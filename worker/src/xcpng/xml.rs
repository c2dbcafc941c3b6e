//! XML-RPC as XAPI speaks it: a request as text, an answer as a value or a fault, a task's result.
//!
//! Pure; `rpc` sends it. Integers travel as texts in both directions, as XAPI has them.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use serde_json::{Map, Value};

use super::fault::Fault;

pub(crate) const CONTENT_TYPE: &str = "text/xml";
pub(crate) const PATH: &str = "/";
/// Deeper than any record of XAPI.
const DEPTH_MOST: usize = 32;

pub(crate) fn request(method: &str, params: &[Value]) -> String {
    let mut text = format!("<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>");
    for param in params {
        text.push_str("<param>");
        write(param, &mut text);
        text.push_str("</param>");
    }
    text.push_str("</params></methodCall>");
    text
}

fn write(value: &Value, text: &mut String) {
    text.push_str("<value>");
    match value {
        Value::Null => text.push_str("<string></string>"),
        Value::Bool(yes) => text.push_str(&format!("<boolean>{}</boolean>", u8::from(*yes))),
        Value::Number(number) if number.is_f64() => text.push_str(&format!("<double>{number}</double>")),
        Value::Number(number) => text.push_str(&format!("<string>{number}</string>")),
        Value::String(string) => text.push_str(&format!("<string>{}</string>", escape(string.as_str()))),
        Value::Array(values) => {
            text.push_str("<array><data>");
            values.iter().for_each(|value| write(value, text));
            text.push_str("</data></array>");
        }
        Value::Object(members) => {
            text.push_str("<struct>");
            for (name, value) in members {
                text.push_str(&format!("<member><name>{}</name>", escape(name.as_str())));
                write(value, text);
                text.push_str("</member>");
            }
            text.push_str("</struct>");
        }
    }
    text.push_str("</value>");
}

/// # Errors
/// What makes it no answer, in words of ours: the other side's could repeat the request, which may hold a password.
pub(crate) fn answer(text: &str) -> Result<Result<Value, Fault>, String> {
    let value = value_in(text)?.ok_or("an answer without a value")?;
    let member = |name: &str| value.get(name).and_then(Value::as_str);
    match member("Status") {
        Some("Success") => Ok(Ok(value.get("Value").cloned().unwrap_or(Value::String(String::new())))),
        Some("Failure") => {
            let texts = value.get("ErrorDescription").and_then(Value::as_array);
            let mut texts = texts.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            let code = texts.next().ok_or("a failure without a code")?;
            Ok(Err(Fault::new(code, texts.collect())))
        }
        _ => match member("faultString") {
            Some(_) => Err("a fault of XML-RPC".to_owned()),
            None => Err("neither Success nor Failure".to_owned()),
        },
    }
}

/// The value of a fragment such as a task's result, `<value>OpaqueRef:..</value>`; none where there is no text at all.
///
/// # Errors
/// What makes it no value.
pub(crate) fn value_in(text: &str) -> Result<Option<Value>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut parser = Parser { reader: Reader::from_str(text) };
    parser.reader.config_mut().expand_empty_elements = true;
    loop {
        match parser.next()? {
            Part::Open(name) if name == "value" => return parser.value(0).map(Some),
            Part::End => return Ok(None),
            _ => {}
        }
    }
}

/// What this reader tells apart.
enum Part {
    Open(String),
    Close,
    Text(String),
    End,
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
}

impl Parser<'_> {
    fn next(&mut self) -> Result<Part, String> {
        loop {
            let event = self.reader.read_event().map_err(|_| "no XML".to_owned())?;
            return Ok(match event {
                Event::Start(tag) => {
                    Part::Open(String::from_utf8_lossy(tag.local_name().as_ref()).into_owned())
                }
                Event::End(_) => Part::Close,
                Event::Text(text) => {
                    Part::Text(text.decode().map_err(|error| error.to_string())?.into_owned())
                }
                Event::CData(text) => {
                    Part::Text(text.decode().map_err(|error| error.to_string())?.into_owned())
                }
                Event::GeneralRef(reference) => Part::Text(character(&reference)?),
                Event::Eof => Part::End,
                _ => continue,
            });
        }
    }

    /// After `<value>`, up to and with `</value>`: its text, or what stands in it.
    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MOST {
            return Err(format!("more than {DEPTH_MOST} values within each other"));
        }
        let mut text = String::new();
        loop {
            match self.next()? {
                Part::Text(part) => text.push_str(&part),
                Part::Close => return Ok(Value::String(text)),
                Part::Open(kind) => {
                    let value = self.typed(&kind, depth)?;
                    self.close()?;
                    return Ok(value);
                }
                Part::End => return Err("a value that does not end".to_owned()),
            }
        }
    }

    /// After `<kind>`, up to and with `</kind>`.
    fn typed(&mut self, kind: &str, depth: usize) -> Result<Value, String> {
        match kind {
            "array" => self.array(depth),
            "struct" => self.members(depth).map(Value::Object),
            _ => {
                let text = self.text()?;
                Ok(match kind {
                    "boolean" => Value::Bool(text.trim() == "1"),
                    "double" => text.trim().parse::<f64>().map_or(Value::Null, Value::from),
                    "int" | "i4" | "i8" => text.trim().parse::<i64>().map_or(Value::Null, Value::from),
                    "nil" => Value::Null,
                    _ => Value::String(text),
                })
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        let mut values = Vec::new();
        let mut open = 1;
        while open > 0 {
            match self.next()? {
                Part::Open(name) if name == "value" => values.push(self.value(depth + 1)?),
                Part::Open(_) => open += 1,
                Part::Close => open -= 1,
                Part::Text(_) => {}
                Part::End => return Err("an array that does not end".to_owned()),
            }
        }
        Ok(Value::Array(values))
    }

    fn members(&mut self, depth: usize) -> Result<Map<String, Value>, String> {
        let mut members = Map::new();
        let mut name = String::new();
        let mut open = 1;
        while open > 0 {
            match self.next()? {
                Part::Open(tag) if tag == "name" => name = self.text()?,
                Part::Open(tag) if tag == "value" => {
                    let value = self.value(depth + 1)?;
                    members.insert(std::mem::take(&mut name), value);
                }
                Part::Open(_) => open += 1,
                Part::Close => open -= 1,
                Part::Text(_) => {}
                Part::End => return Err("a struct that does not end".to_owned()),
            }
        }
        Ok(members)
    }

    /// The text up to the next end.
    fn text(&mut self) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Part::Text(part) => text.push_str(&part),
                Part::Close => return Ok(text),
                Part::Open(_) => return Err("an element within a text".to_owned()),
                Part::End => return Err("a text that does not end".to_owned()),
            }
        }
    }

    fn close(&mut self) -> Result<(), String> {
        loop {
            match self.next()? {
                Part::Close => return Ok(()),
                Part::Text(text) if text.trim().is_empty() => {}
                _ => return Err("more than one thing in a value".to_owned()),
            }
        }
    }
}

/// `&lt;` and its like; XML-RPC declares no others.
fn character(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, String> {
    let unknown = || "an entity that XML-RPC does not have".to_owned();
    if let Some(character) = reference.resolve_char_ref().map_err(|_| unknown())? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|_| unknown())?;
    quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let values =
            json!({ "name": "a <b> & \"c\"", "list": ["1", true, 1.5], "empty": "", "none": {}, "no": [] });
        let text = request("VM.create", &[json!("OpaqueRef:1"), values.clone()]);
        assert!(text.contains("<methodName>VM.create</methodName>"));
        let second = text.rsplit("<param>").next().unwrap();
        assert_eq!(value_in(second), Ok(Some(values)));
    }

    #[test]
    fn integers_travel_as_texts() {
        assert!(request("VM.set_VCPUs_max", &[json!(4)]).contains("<value><string>4</string></value>"));
    }

    #[test]
    fn success_and_failure_are_told_apart() {
        let wrap = |members: &str| {
            format!(
                "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct>{members}\
                 </struct></value></param></params></methodResponse>"
            )
        };
        let good = wrap(
            "<member><name>Status</name><value>Success</value></member>\
             <member><name>Value</name><value><array><data><value>a</value><value/></data></array></value></member>",
        );
        assert_eq!(answer(&good), Ok(Ok(json!(["a", ""]))));
        let bad = wrap(
            "<member><name>Status</name><value><string>Failure</string></value></member>\n\
             <member><name>ErrorDescription</name><value><array><data><value>SR_FULL</value>\
             <value>10</value></data></array></value></member>",
        );
        assert_eq!(answer(&bad), Ok(Err(Fault::new("SR_FULL", vec!["10".to_owned()]))));
        let nothing = wrap(
            "<member><name>Status</name><value>Success</value></member><member><name>Value</name><value></value></member>",
        );
        assert_eq!(answer(&nothing), Ok(Ok(json!(""))));
    }

    #[test]
    fn what_is_no_answer_is_said_without_its_words() {
        let fault =
            "<value><struct><member><name>faultString</name><value>hunter2</value></member></struct></value>";
        for text in [fault, "<value>&hunter2;</value>", "<value></hunter2>", "<value><string><hunter2/>"] {
            let told = answer(text).unwrap_err();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_task_s_result_is_a_fragment() {
        assert_eq!(value_in("<value>OpaqueRef:1</value>"), Ok(Some(json!("OpaqueRef:1"))));
        assert_eq!(value_in(""), Ok(None));
        assert!(value_in("<value>").is_err());
        let deep = "<value><array><data>".repeat(40);
        assert!(value_in(&deep).unwrap_err().contains("within each other"));
    }
}
