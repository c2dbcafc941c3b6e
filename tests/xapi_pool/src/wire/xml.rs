//! XML-RPC: whole numbers are strings, nothing is an empty string, and every answer is a record with `Status`.

use roxmltree::{Document, Node};

use super::json::with_status;
use super::{Request, Wire};
use crate::value::{Answer, Value};

/// Reads a call.
///
/// # Errors
/// What is not as XML-RPC says.
pub(crate) fn request(body: &[u8]) -> Result<Request, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("no UTF-8: {error}"))?;
    let document = Document::parse(text).map_err(|error| format!("no XML: {error}"))?;
    let call = document.root_element();
    if !call.has_tag_name("methodCall") {
        return Err(format!("XML-RPC: the root is {:?}, expected methodCall", call.tag_name().name()));
    }
    let method = child(call, "methodName").and_then(|name| name.text()).ok_or("XML-RPC: no methodName")?;
    let params = child(call, "params").into_iter().flat_map(|params| elements(params, "param"));
    let params = params.map(|param| value_of(child(param, "value").ok_or("XML-RPC: a param without value")?));
    Ok(Request { method: method.to_owned(), params: params.collect::<Result<_, String>>()?, wire: Wire::Xml })
}

/// Writes an answer.
pub(crate) fn response(answer: &Answer) -> String {
    let mut text = "<?xml version=\"1.0\"?><methodResponse><params><param>".to_owned();
    write_value(&mut text, &with_status(answer));
    text.push_str("</param></params></methodResponse>");
    text
}

/// Writes `value` as an element `value`: also how a task keeps its result, whichever way it was asked for.
pub(crate) fn write_value(text: &mut String, value: &Value) {
    text.push_str("<value>");
    match value {
        Value::Null => text.push_str("<nil/>"),
        Value::Text(value) => escape(text, value),
        Value::Int(value) => text.push_str(&value.to_string()),
        Value::Bool(value) => text.push_str(&format!("<boolean>{}</boolean>", i32::from(*value))),
        Value::Float(value) => text.push_str(&format!("<double>{value:?}</double>")),
        Value::Time(value) => text.push_str(&format!("<dateTime.iso8601>{value}</dateTime.iso8601>")),
        Value::List(items) => {
            text.push_str("<array><data>");
            items.iter().for_each(|item| write_value(text, item));
            text.push_str("</data></array>");
        }
        Value::Map(entries) => {
            text.push_str("<struct>");
            for (key, value) in entries {
                text.push_str("<member><name>");
                escape(text, key);
                text.push_str("</name>");
                write_value(text, value);
                text.push_str("</member>");
            }
            text.push_str("</struct>");
        }
    }
    text.push_str("</value>");
}

fn value_of(value: Node<'_, '_>) -> Result<Value, String> {
    let Some(typed) = value.children().find(Node::is_element) else {
        return Ok(Value::text(all_text(value)));
    };
    let text = all_text(typed);
    let trimmed = text.trim();
    match typed.tag_name().name() {
        "string" => Ok(Value::Text(text)),
        "int" | "i4" | "i8" => trimmed.parse().map(Value::Int).map_err(|_| format!("{trimmed:?} is no int")),
        "boolean" if trimmed == "0" || trimmed == "1" => Ok(Value::Bool(trimmed == "1")),
        "double" => trimmed.parse().map(Value::Float).map_err(|_| format!("{trimmed:?} is no double")),
        "dateTime.iso8601" => Ok(Value::Time(trimmed.to_owned())),
        "nil" => Ok(Value::Null),
        "array" => {
            let data = child(typed, "data").ok_or("XML-RPC: an array without data")?;
            elements(data, "value").map(value_of).collect::<Result<_, _>>().map(Value::List)
        }
        "struct" => {
            let member = |member| {
                let name = child(member, "name").map(all_text).ok_or("XML-RPC: a member without name")?;
                let value = child(member, "value").ok_or("XML-RPC: a member without value")?;
                Ok((name, value_of(value)?))
            };
            elements(typed, "member").map(member).collect::<Result<_, String>>().map(Value::Map)
        }
        other => Err(format!("XML-RPC: a value of type {other:?} ({trimmed:?})")),
    }
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn elements<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

fn all_text(node: Node<'_, '_>) -> String {
    node.children().filter_map(|child| child.text()).collect()
}

fn escape(text: &mut String, raw: &str) {
    for c in raw.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            // Else a reader would make a line feed of it.
            '\r' => text.push_str("&#13;"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_but_for_whole_numbers_which_are_strings() {
        let value = Value::map([
            ("int", Value::Int(3)),
            ("text", Value::text("a < b & c")),
            ("list", Value::List(vec![Value::Bool(true), Value::Float(0.5), Value::void()])),
        ]);
        let mut text = String::new();
        write_value(&mut text, &value);
        let document = Document::parse(&text).expect("XML");
        let read = value_of(document.root_element()).expect("a value");
        let Value::Map(mut expected) = value else { unreachable!("it is a map") };
        expected.insert("int".to_owned(), Value::text("3"));
        assert_eq!(read, Value::Map(expected));
    }

    #[test]
    fn a_call_has_a_name_and_values() {
        let body = b"<?xml version='1.0'?><methodCall><methodName>VM.start</methodName><params>\
            <param><value><string>OpaqueRef:1</string></value></param>\
            <param><value><boolean>0</boolean></value></param></params></methodCall>";
        let request = request(body).expect("a call");
        assert_eq!(request.method, "VM.start");
        assert_eq!(request.params, [Value::text("OpaqueRef:1"), Value::Bool(false)]);
    }
}
