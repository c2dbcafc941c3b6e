//! From a message to what is asked: subject, encoding, ids and body, each refusal as the error that clients see.

mod reads;

use std::time::{Duration, Instant};

use async_nats::Message;
use bioxen_protocol::codec::{self, DecodeLimits, Encoding, Value};
use bioxen_protocol::command::{
    Allocate, Create, Execute, Install, Monitor, OperatorVerb, Operons, Plain, Restore, Start, Transcription,
    Verb, VerbKind, Waiting,
};
use bioxen_protocol::digest::sha256_hex;
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{OperatorId, RequestId, UserId, VmId};
use bioxen_protocol::limits::{
    MONITOR_SECONDS, MONITOR_SECONDS_DEFAULT, PROCESS_TIMEOUT_MS, PROCESS_TIMEOUT_MS_DEFAULT, WAIT_MS,
    WAIT_MS_DEFAULT,
};
use bioxen_protocol::subject::{Subject, verb_of};
use serde::Serialize;

use super::ensemble::new_ensemble;
use super::fields::{field, generated_vm_id, not_yet, request_id, subject_error, vm_id};
use super::operator::{on_behalf, operator_asked};
use super::order::new_vm;
use super::xcpng::{seal, stored_password, take_password};
use super::{Asked, FALLBACK, Incoming, Rules};
use crate::answer::ReplyTo;
use crate::fleet::command::Ask;
use crate::fleet::entry::{Cause, Request};

/// Whose lane takes what names no valid user.
const NOBODY: &str = "bioxen-nobody";
/// Under such names the fleet keeps its own audit records.
const RESERVED_USERS: &str = "bioxen-";

/// Who asks, through which door.
struct Caller {
    user: UserId,
    operator: Option<OperatorId>,
}

/// The parts of a command before its body is read by its verb's type.
struct Raw {
    caller: Caller,
    verb: Verb,
    vm: Option<VmId>,
    body: Value,
    request_id: Option<RequestId>,
    /// It stood in the body, and went out of it before anything was done with that.
    password: Option<String>,
}

/// Decodes a command of either plain door. It never fails: what is wrong becomes `Asked::Refused`.
pub(crate) fn command(message: &Message, reply: Option<async_nats::Subject>, rules: &Rules) -> Incoming {
    let content_type = header(message, "Content-Type");
    let encoding = Encoding::detect(content_type, &message.payload);
    let answer_in = encoding.as_ref().copied().unwrap_or(FALLBACK);
    let mut incoming = Incoming::new(ReplyTo { subject: reply, encoding: answer_in });
    let subject = message.subject.parse::<Subject>();
    note_subject(&mut incoming, &message.subject, subject.as_ref().ok());
    let asked = subject.map_err(subject_error).and_then(|subject| {
        let body = encoding
            .and_then(|encoding| codec::decode_value(encoding, &message.payload, &DecodeLimits::default()));
        let body = body.inspect_err(|_| incoming.reply_to.encoding = FALLBACK)?;
        let alias = header(message, "Nats-Msg-Id");
        asked(&mut incoming, subject, body, alias, rules)
    });
    incoming.asked = asked.unwrap_or_else(Asked::Refused);
    incoming
}

/// Decodes a durable command: the verb and the VM stand in the body.
pub(crate) fn submitted(
    subject: &str,
    headers: Option<&async_nats::HeaderMap>,
    payload: &[u8],
    sequence: u64,
    rules: &Rules,
) -> Incoming {
    let mut incoming = Incoming::new(ReplyTo { subject: None, encoding: FALLBACK });
    incoming.submit_sequence = Some(sequence);
    let find =
        |name: &str| headers.and_then(|headers| headers.get(name)).map(async_nats::HeaderValue::as_str);
    let parsed = subject.parse::<Subject>();
    note_subject(&mut incoming, subject, parsed.as_ref().ok());
    let asked = parsed.map_err(subject_error).and_then(|subject| {
        let encoding = Encoding::detect(find("Content-Type"), payload)?;
        let mut body = codec::decode_value(encoding, payload, &DecodeLimits::default())?;
        let Subject::Submit { user } = subject else {
            return Err(ErrorBody::new(Code::ApiValidation, "not a submit subject"));
        };
        let verb = match body.remove("verb") {
            Some(Value::Text(verb)) => verb,
            _ => {
                return Err(field(
                    "verb",
                    "a durable command needs its verb: for example {\"verb\": \"start\", \"vm_id\": \"c1\"}",
                ));
            }
        };
        let verb = verb_of(&verb).map_err(|error| {
            let error = subject_error(error);
            error.with(|details| details.field = Some("verb".to_owned()))
        })?;
        let subject = Subject::Command { user, verb, vm: None };
        asked(&mut incoming, subject, body, find("Nats-Msg-Id"), rules)
    });
    incoming.asked = asked.unwrap_or_else(Asked::Refused);
    incoming
}

impl Incoming {
    fn new(reply_to: ReplyTo) -> Self {
        Self {
            user: nobody(),
            operator: None,
            verb: None,
            vm: None,
            request_id: None,
            asked: Asked::Refused(ErrorBody::new(Code::ApiValidation, "not decoded")),
            reply_to,
            received: Instant::now(),
            submit_sequence: None,
        }
    }
}

#[expect(clippy::expect_used, reason = "a literal that is a valid id, as a test holds")]
fn nobody() -> UserId {
    NOBODY.parse().expect("a valid id")
}

/// Who asked, as far as the subject tells; also where it is none of ours.
fn note_subject(incoming: &mut Incoming, text: &str, subject: Option<&Subject>) {
    match subject {
        Some(Subject::Command { user, verb, vm }) => {
            (incoming.user, incoming.verb, incoming.vm) = (user.clone(), Some(*verb), vm.clone());
        }
        Some(Subject::Submit { user }) => incoming.user = user.clone(),
        Some(Subject::Operator { operator, vm, target, .. }) => {
            incoming.operator = Some(operator.clone());
            incoming.vm.clone_from(vm);
            let target = target.as_deref().and_then(|target| target.parse().ok());
            incoming.user = target.unwrap_or_else(|| operator.as_str().parse().unwrap_or_else(|_| nobody()));
        }
        _ => {
            let token = text.split('.').nth(3);
            incoming.user = token.and_then(|token| token.parse().ok()).unwrap_or_else(nobody);
        }
    }
}

fn asked(
    incoming: &mut Incoming,
    subject: Subject,
    mut body: Value,
    alias: Option<&str>,
    rules: &Rules,
) -> Result<Asked, ErrorBody> {
    if !matches!(body, Value::Map(_)) {
        return Err(ErrorBody::new(
            Code::ApiValidation,
            "the body is not an object: expected fields and values",
        ));
    }
    let password = take_password(&mut body)?;
    if password.is_some() && incoming.submit_sequence.is_some() {
        return Err(stored_password());
    }
    body.refuse_negative()?;
    let request_id = request_id(&mut body, alias)?;
    incoming.request_id.clone_from(&request_id);
    let (caller, verb, vm) = match subject {
        Subject::Command { user, verb, vm } => (Caller { user, operator: None }, verb, vm),
        Subject::Operator { operator, verb, target, vm } => {
            if let Ok(own) = verb.parse::<OperatorVerb>() {
                return operator_asked(own, (target.as_deref(), vm), &body, operator);
            }
            let (user, verb) = on_behalf(&operator, &verb, target.as_deref())?;
            (Caller { user, operator: Some(operator) }, verb, vm)
        }
        _ => return Err(ErrorBody::new(Code::ApiValidation, "this subject takes no commands")),
    };
    if caller.user.as_str().starts_with(RESERVED_USERS) {
        let message =
            format!("user names that start with {RESERVED_USERS} are the fleet's own: choose another");
        return Err(ErrorBody::new(Code::PermissionDenied, message));
    }
    incoming.user = caller.user.clone();
    incoming.verb = Some(verb);
    if verb.kind() == VerbKind::NotYet {
        return Err(not_yet(&format!("the verb {verb}")));
    }
    let vm = vm_id(verb, vm, &mut body)?;
    incoming.vm = vm.clone().or_else(|| named(verb, &body));
    by_verb(Raw { caller, verb, vm, body, request_id, password }, rules)
}

/// The ensemble's name, for a refusal of it.
fn named(verb: Verb, body: &Value) -> Option<VmId> {
    match body.get("name") {
        Some(Value::Text(name)) if verb == Verb::Ensemble => name.parse().ok(),
        _ => None,
    }
}

fn by_verb(raw: Raw, rules: &Rules) -> Result<Asked, ErrorBody> {
    let Raw { verb, body, .. } = &raw;
    let verb = *verb;
    match verb {
        Verb::Create => create(raw, rules),
        Verb::Ensemble => {
            let (body, password) = (body.clone(), raw.password.clone());
            let (asked, new, warnings) = new_ensemble(body, password, &raw.caller.user, rules)?;
            let digest = digest(verb, None, &asked)?;
            let wait = wait(asked.create.wait_ms)?;
            Ok(change(raw, digest, asked.many.name, Ask::Ensemble(new), wait, warnings))
        }
        Verb::Start => {
            let start: Start = codec::from_value(body)?;
            let ask = Ask::Start {
                on_full: start.on_full,
                horizon_tick: start.horizon_minutes.map(|horizon| horizon.ticks),
            };
            waiting(raw, &start, start.wait_ms, ask)
        }
        Verb::Pause | Verb::Resume | Verb::Stop | Verb::Destroy => {
            let plain: Waiting = codec::from_value(body)?;
            let ask = match verb {
                Verb::Pause => Ask::Pause,
                Verb::Resume => Ask::Resume,
                Verb::Stop => Ask::Stop,
                _ => Ask::Destroy,
            };
            waiting(raw, &plain, plain.wait_ms, ask)
        }
        Verb::Allocate => {
            let allocate: Allocate = codec::from_value(body)?;
            let amounts = allocate.amounts();
            if amounts == Default::default() {
                return Err(ErrorBody::new(
                    Code::ApiValidation,
                    "nothing to allocate: give at least one of atp_percentage, ribosomes, memory_kb",
                ));
            }
            super::order::not_zero("", &amounts)?;
            waiting(raw, &allocate, None, Ask::Allocate(amounts))
        }
        Verb::Execute => execute(raw),
        Verb::Transcription => {
            let asked: Transcription = codec::from_value(body)?;
            process(raw, &asked, asked.process_code(), PROCESS_TIMEOUT_MS_DEFAULT)
        }
        Verb::Operons => {
            let asked: Operons = codec::from_value(body)?;
            process(raw, &asked, asked.process_code(), PROCESS_TIMEOUT_MS_DEFAULT)
        }
        Verb::Monitor => monitor(raw),
        Verb::Checkpoint => {
            let plain: Plain = codec::from_value(body)?;
            waiting(raw, &plain, None, Ask::Checkpoint { live: None })
        }
        Verb::Restore => restore(raw, rules),
        Verb::Install => install(raw),
        _ => reads::read(&raw).map(Asked::Read),
    }
}

/// A password is put back sealed, behind the digest: that of a guessable word can be guessed.
fn create(mut raw: Raw, rules: &Rules) -> Result<Asked, ErrorBody> {
    let mut create: Create = codec::from_value(&raw.body)?;
    let digest = digest(raw.verb, raw.vm.as_ref(), &create)?;
    seal(create.xcpng_config_mut(), raw.password.take(), &raw.caller.user, rules)?;
    let vm = raw.vm.clone().map_or_else(generated_vm_id, Ok)?;
    let wait = wait(create.wait_ms)?;
    let (new, warnings) = new_vm(create, &rules.limits)?;
    Ok(change(raw, digest, vm, Ask::Create(Box::new(new)), wait, warnings))
}

fn restore(mut raw: Raw, rules: &Rules) -> Result<Asked, ErrorBody> {
    let asked: Restore = codec::from_value(&raw.body)?;
    let mut sealed = asked.clone();
    seal(sealed.xcpng_config.as_mut(), raw.password.take(), &raw.caller.user, rules)?;
    waiting(raw, &asked, None, super::xcpng::restore(&sealed)?)
}

fn execute(raw: Raw) -> Result<Asked, ErrorBody> {
    let execute: Execute = codec::from_value(&raw.body)?;
    let timeout_ms = timeout_ms(execute.timeout_ms)?;
    if execute.process_code.trim().is_empty() {
        return Err(field("process_code", "process_code is empty: give a call, or a Luau script"));
    }
    process(raw, &execute, execute.process_code.clone(), timeout_ms)
}

fn monitor(raw: Raw) -> Result<Asked, ErrorBody> {
    let monitor: Monitor = codec::from_value(&raw.body)?;
    let interval_seconds = monitor.interval_seconds.unwrap_or(MONITOR_SECONDS_DEFAULT);
    if interval_seconds > MONITOR_SECONDS {
        let message = format!(
            "interval_seconds is {interval_seconds}: expected 1 to {MONITOR_SECONDS}, or 0 to end it"
        );
        return Err(field("interval_seconds", &message));
    }
    waiting(raw, &monitor, None, Ask::Monitor { interval_seconds })
}

fn install(raw: Raw) -> Result<Asked, ErrorBody> {
    let Install { package, .. } = codec::from_value(&raw.body)?;
    let digest = digest(raw.verb, raw.vm.as_ref(), &package)?;
    let Raw { caller: Caller { user, operator }, verb, vm, request_id, .. } = raw;
    let vm = vm.ok_or_else(|| field("vm_id", "the verb needs a VM: name it in the subject"))?;
    let request = request_id.map(|id| Request { id, digest });
    Ok(Asked::Install { cause: Cause { user, operator, verb, request }, vm, package, found: None })
}

fn timeout_ms(asked: Option<u64>) -> Result<u64, ErrorBody> {
    match asked.unwrap_or(PROCESS_TIMEOUT_MS_DEFAULT) {
        timeout_ms @ 1..=PROCESS_TIMEOUT_MS => Ok(timeout_ms),
        timeout_ms => {
            let message = format!("timeout_ms is {timeout_ms}: expected 1 to {PROCESS_TIMEOUT_MS}");
            Err(field("timeout_ms", &message))
        }
    }
}

/// Code that is to run in a VM: the core knows it by its digest.
fn process<T: Serialize>(raw: Raw, body: &T, code: String, timeout_ms: u64) -> Result<Asked, ErrorBody> {
    let same = digest(raw.verb, raw.vm.as_ref(), body)?;
    let Raw { caller: Caller { user, operator }, verb, vm, request_id, .. } = raw;
    let vm = vm.ok_or_else(|| field("vm_id", "the verb needs a VM: name it in the subject"))?;
    let digest = crate::fleet::code_digest(&code);
    let request = request_id.map(|id| Request { id, digest: same });
    Ok(Asked::Execute { cause: Cause { user, operator, verb, request }, vm, digest, code, timeout_ms })
}

fn waiting<T: Serialize>(raw: Raw, body: &T, wait_ms: Option<u64>, ask: Ask) -> Result<Asked, ErrorBody> {
    let digest = digest(raw.verb, raw.vm.as_ref(), body)?;
    let wait = wait(wait_ms)?;
    let vm = raw.vm.clone().ok_or_else(|| field("vm_id", "the verb needs a VM: name it in the subject"))?;
    Ok(change(raw, digest, vm, ask, wait, Vec::new()))
}

fn change(raw: Raw, digest: String, vm: VmId, ask: Ask, wait: Duration, warnings: Vec<String>) -> Asked {
    let Raw { caller: Caller { user, operator }, verb, request_id, .. } = raw;
    let request = request_id.map(|id| Request { id, digest });
    Asked::Change { cause: Cause { user, operator, verb, request }, vm, ask, wait, warnings }
}

fn wait(wait_ms: Option<u64>) -> Result<Duration, ErrorBody> {
    match wait_ms.unwrap_or(WAIT_MS_DEFAULT) {
        wait_ms if wait_ms <= WAIT_MS => Ok(Duration::from_millis(wait_ms)),
        wait_ms => Err(field("wait_ms", &format!("wait_ms is {wait_ms}: at most {WAIT_MS} are waited"))),
    }
}

/// What makes two requests the same: verb, target and decoded fields, without the request id itself.
fn digest<T: Serialize>(verb: Verb, vm: Option<&VmId>, body: &T) -> Result<String, ErrorBody> {
    let internal = |error: serde_json::Error| {
        ErrorBody::new(Code::ApiValidation, format!("the body cannot be read again: {error}"))
    };
    let bytes = serde_json::to_vec(&(verb, vm, body)).map_err(internal)?;
    Ok(sha256_hex(bytes).chars().take(32).collect())
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.headers.as_ref()?.get(name).map(async_nats::HeaderValue::as_str)
}
