//! What every body has, whatever its verb: the VM and the request id; and the errors of decoding.

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
        (Some(vm), _) | (_, Some(vm)) if !verb.takes_vm() => {
            Err(field("vm_id", &format!("{verb} is about no VM, but {vm} is named: leave it out")))
        }
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
    let parsed = |text: &str| text.parse().map_err(|error| field("request_id", &format!("{error}")));
    let named: Option<RequestId> = named.as_deref().map(parsed).transpose()?;
    let alias: Option<RequestId> = alias.map(parsed).transpose()?;
    match (named, alias) {
        (Some(named), Some(alias)) if named != alias => Err(field(
            "request_id",
            &format!("request_id is {named}, the header Nats-Msg-Id {alias}: give one, or the same twice"),
        )),
        (named, alias) => Ok(named.or(alias)),
    }
}

pub(super) fn generated_vm_id() -> Result<VmId, ErrorBody> {
    let failed =
        |reason: String| ErrorBody::new(Code::VmCreationFailed, format!("no VM id could be made: {reason}"));
    let token = random_token(8).map_err(|error| failed(error.to_string()))?;
    format!("vm-{token}").parse().map_err(|error| failed(format!("{error}")))
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
