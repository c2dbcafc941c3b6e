//! What every body has, whatever its verb: the VM, the request id, numbers that are not negative; and the errors of
//! decoding.

use bioxen_protocol::codec::Value;
use bioxen_protocol::command::Verb;
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{RequestId, VmId, random_token};
use bioxen_protocol::subject::InvalidSubject;

pub(super) fn vm_id(verb: Verb, subject: Option<VmId>, body: &mut Value) -> Result<Option<VmId>, ErrorBody> {
    let named = match body.remove("vm_id") {
        None | Some(Value::Null) => None,
        Some(Value::Text(text)) => {
            Some(text.parse::<VmId>().map_err(|error| field("vm_id", &error.to_string()))?)
        }
        Some(_) => return Err(field("vm_id", "vm_id is not text")),
    };
    match (&subject, &named) {
        (Some(a), Some(b)) if a != b => {
            Err(field("vm_id", &format!("the subject names VM {a}, the body {b}: they must agree")))
        }
        (None, None) if verb.needs_vm() => Err(field(
            "vm_id",
            &format!("{verb} needs a VM: name it at the end of the subject, or as vm_id in the body"),
        )),
        _ => Ok(subject.or(named)),
    }
}

pub(super) fn request_id(body: &mut Value, alias: Option<&str>) -> Result<Option<RequestId>, ErrorBody> {
    let named = match body.remove("request_id") {
        None | Some(Value::Null) => None,
        Some(Value::Text(text)) => Some(text),
        Some(_) => return Err(field("request_id", "request_id is not text")),
    };
    match (named, alias) {
        (Some(named), Some(alias)) if named != alias => Err(field(
            "request_id",
            &format!(
                "request_id is {named:?}, the header Nats-Msg-Id {alias:?}: give one, or the same twice"
            ),
        )),
        (Some(text), _) => text.parse().map(Some).map_err(|error| field("request_id", &format!("{error}"))),
        (None, Some(alias)) => {
            alias.parse().map(Some).map_err(|error| field("request_id", &format!("{error}")))
        }
        (None, None) => Ok(None),
    }
}

pub(super) fn generated_vm_id() -> Result<VmId, ErrorBody> {
    let failed =
        |reason: String| ErrorBody::new(Code::VmCreationFailed, format!("no VM id could be made: {reason}"));
    let token = random_token(8).map_err(|error| failed(error.to_string()))?;
    format!("vm-{token}").parse().map_err(|error| failed(format!("{error}")))
}

/// The first negative number, with the path of its field.
pub(super) fn negative(value: &Value, path: &str) -> Option<(String, String)> {
    let deeper = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Int(number) if *number < 0 => Some((path.to_owned(), number.to_string())),
        Value::Float(number) if *number < 0.0 => Some((path.to_owned(), number.to_string())),
        Value::List(items) => {
            items.iter().enumerate().find_map(|(at, item)| negative(item, &deeper(&at.to_string())))
        }
        Value::Map(fields) => fields.iter().find_map(|(name, value)| negative(value, &deeper(name))),
        _ => None,
    }
}

pub(super) fn subject_error(error: InvalidSubject) -> ErrorBody {
    let nearest = match &error {
        InvalidSubject::Verb { nearest, .. } => nearest.clone(),
        _ => None,
    };
    ErrorBody::new(Code::ApiValidation, error.to_string()).with(|details| details.nearest.extend(nearest))
}

pub(super) fn invalid_id(error: bioxen_protocol::id::InvalidId) -> ErrorBody {
    ErrorBody::new(Code::ApiValidation, error.to_string())
}

pub(super) fn field(name: &str, message: &str) -> ErrorBody {
    ErrorBody::new(Code::ApiValidation, message).with(|details| details.field = Some(name.to_owned()))
}

pub(super) fn not_yet(what: &str) -> ErrorBody {
    ErrorBody::new(Code::ApiValidation, format!("{what} is not served by this version"))
}
