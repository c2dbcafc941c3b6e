//! Every subject that BioXen uses, built and parsed here and nowhere else.

use std::fmt;
use std::str::FromStr;

use crate::command::Verb;
use crate::event::EventName;
use crate::id::{BootId, InvalidId, OperatorId, UserId, VmId, WorkerId};

/// What follows `bioxen.v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `cmd.<user>.<verb>[.<vm>]`: request and reply.
    Command { user: UserId, verb: Verb, vm: Option<VmId> },
    /// `submit.<user>`: durable.
    Submit { user: UserId },
    /// `ops.<operator>.<verb>[.<target>[.<vm>]]`: operators.
    Operator { operator: OperatorId, verb: String, target: Option<String>, vm: Option<VmId> },
    /// `worker.<worker>.<boot>.cmd`: from the leader to one run of a worker.
    WorkerCommand { worker: WorkerId, boot: BootId },
    /// `worker.<worker>.<boot>.report`: from a worker to the leader.
    WorkerReport { worker: WorkerId, boot: BootId },
    /// `evt.<user>.<vm>.<event>`, `_` where no VM is known.
    Event { user: UserId, vm: Option<VmId>, event: EventName },
    /// `audit.<user>.<action>`.
    Audit { user: UserId, action: String },
    /// `tel.worker.<worker>`.
    WorkerTelemetry { worker: WorkerId },
    /// `tel.vm.<user>.<vm>`.
    VmTelemetry { user: UserId, vm: VmId },
    /// `journal`.
    Journal,
    /// `coordinator.<epoch>.forward`: commands that another coordinator took, to the leader of that epoch.
    Forward { epoch: u64 },
    /// `coordinator.peers`: coordinators ask one another how far they are.
    Peers,
}

/// The prefix of every subject; clients may not name a reply subject below it.
pub const PREFIX: &str = "bioxen.v1";
pub const RESERVED_REPLY_PREFIXES: [&str; 2] = ["bioxen.", "$"];
pub const ALL_COMMANDS: &str = "bioxen.v1.cmd.>";
pub const ALL_OPERATORS: &str = "bioxen.v1.ops.>";
/// What clients' commands and operators' start with.
pub const COMMAND_PREFIXES: [&str; 2] = ["bioxen.v1.cmd.", "bioxen.v1.ops."];
pub const ALL_REPORTS: &str = "bioxen.v1.worker.*.*.report";
pub const ALL_SUBMITS: &str = "bioxen.v1.submit.*";
pub const ALL_EVENTS: &str = "bioxen.v1.evt.>";
pub const ALL_AUDIT: &str = "bioxen.v1.audit.>";
pub const ALL_WORKER_TELEMETRY: &str = "bioxen.v1.tel.worker.*";
pub const JOURNAL: &str = "bioxen.v1.journal";
/// Joined by every coordinator, so that each command is taken once.
pub const COORDINATOR_QUEUE: &str = "coordinator";

/// All events of one user, or of one of its VMs.
pub fn events_of(user: &UserId, vm: Option<&VmId>) -> String {
    match vm {
        Some(vm) => format!("{PREFIX}.evt.{user}.{vm}.*"),
        None => format!("{PREFIX}.evt.{user}.>"),
    }
}

/// All audit records of one user.
pub fn audit_of(user: &UserId) -> String {
    format!("{PREFIX}.audit.{user}.*")
}

/// The subjects of one verb, as a service endpoint shows them.
pub fn commands_of(verb: Verb) -> String {
    let vm = if verb.takes_vm() { ".*" } else { "" };
    format!("{PREFIX}.cmd.*.{verb}{vm}")
}

/// Why a subject is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubject {
    #[error("{0}")]
    Id(#[from] InvalidId),
    #[error("unknown verb {shown:?}; {}", nearest_verb(.nearest.as_deref()))]
    Verb { shown: String, nearest: Option<String> },
    #[error(
        "subject {shown:?} is not one of BioXen's; expected bioxen.v1.cmd.<user>.<verb>[.<vm>], bioxen.v1.submit.<user> or bioxen.v1.ops.<operator>.<verb>[.<target>[.<vm>]]"
    )]
    Shape { shown: String },
}

fn nearest_verb(nearest: Option<&str>) -> String {
    match nearest {
        Some(verb) => format!("the nearest known verb is {verb}"),
        None => "the verbs are listed by a request to $SRV.INFO.bioxen".to_owned(),
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        match self {
            Self::Command { user, verb, vm } => {
                write!(f, ".cmd.{user}.{verb}")?;
                vm.iter().try_for_each(|vm| write!(f, ".{vm}"))
            }
            Self::Submit { user } => write!(f, ".submit.{user}"),
            Self::Operator { operator, verb, target, vm } => {
                write!(f, ".ops.{operator}.{verb}")?;
                target.iter().try_for_each(|target| write!(f, ".{target}"))?;
                vm.iter().try_for_each(|vm| write!(f, ".{vm}"))
            }
            Self::WorkerCommand { worker, boot } => write!(f, ".worker.{worker}.{boot}.cmd"),
            Self::WorkerReport { worker, boot } => write!(f, ".worker.{worker}.{boot}.report"),
            Self::Event { user, vm, event } => {
                write!(f, ".evt.{user}.{}.{event}", vm.as_ref().map_or("_", VmId::as_str))
            }
            Self::Audit { user, action } => write!(f, ".audit.{user}.{action}"),
            Self::WorkerTelemetry { worker } => write!(f, ".tel.worker.{worker}"),
            Self::VmTelemetry { user, vm } => write!(f, ".tel.vm.{user}.{vm}"),
            Self::Journal => f.write_str(".journal"),
            Self::Forward { epoch } => write!(f, ".coordinator.{epoch}.forward"),
            Self::Peers => f.write_str(".coordinator.peers"),
        }
    }
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let shape = || InvalidSubject::Shape { shown: crate::id::shorten(text) };
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('.')).ok_or_else(shape)?;
        let tokens: Vec<&str> = rest.split('.').collect();
        let vm_of = |token: Option<&&str>| token.map(|t| t.parse::<VmId>()).transpose();
        Ok(match tokens.as_slice() {
            ["cmd", user, verb, rest @ ..] if rest.len() <= 1 => {
                Self::Command { user: user.parse()?, verb: verb_of(verb)?, vm: vm_of(rest.first())? }
            }
            ["submit", user] => Self::Submit { user: user.parse()? },
            ["ops", operator, verb, rest @ ..] if rest.len() <= 2 => Self::Operator {
                operator: operator.parse()?,
                verb: token(verb)?,
                target: rest.first().map(|t| token(t)).transpose()?,
                vm: vm_of(rest.get(1))?,
            },
            ["worker", worker, boot, "cmd"] => {
                Self::WorkerCommand { worker: worker.parse()?, boot: boot.parse()? }
            }
            ["worker", worker, boot, "report"] => {
                Self::WorkerReport { worker: worker.parse()?, boot: boot.parse()? }
            }
            ["evt", user, vm, event] => Self::Event {
                user: user.parse()?,
                vm: if *vm == "_" { None } else { Some(vm.parse()?) },
                event: event.parse().map_err(|_| shape())?,
            },
            ["audit", user, action] => Self::Audit { user: user.parse()?, action: token(action)? },
            ["tel", "worker", worker] => Self::WorkerTelemetry { worker: worker.parse()? },
            ["tel", "vm", user, vm] => Self::VmTelemetry { user: user.parse()?, vm: vm.parse()? },
            ["journal"] => Self::Journal,
            ["coordinator", "peers"] => Self::Peers,
            ["coordinator", epoch, "forward"] => Self::Forward { epoch: epoch.parse().map_err(|_| shape())? },
            _ => return Err(shape()),
        })
    }
}

/// The verb of that name.
///
/// # Errors
/// [`InvalidSubject::Verb`], with the nearest known verb.
pub fn verb_of(text: &str) -> Result<Verb, InvalidSubject> {
    text.parse().map_err(|_| InvalidSubject::Verb {
        shown: crate::id::shorten(text),
        nearest: crate::error::nearest(text, Verb::ALL.iter().map(|verb| verb.as_str())),
    })
}

/// Operators' verbs and targets are tokens like any id.
fn token(text: &str) -> Result<String, InvalidId> {
    text.parse::<OperatorId>().map(|id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id<T: FromStr>(text: &str) -> T
    where
        T::Err: fmt::Debug,
    {
        text.parse().unwrap()
    }

    #[test]
    fn every_subject_survives_the_round_trip() {
        let (user, vm): (UserId, VmId) = (id("alice"), id("c1"));
        let (worker, boot): (WorkerId, BootId) = (id("w1"), id("b1"));
        let mut all = vec![
            Subject::Submit { user: user.clone() },
            Subject::Operator { operator: id("root"), verb: "quota".into(), target: None, vm: None },
            Subject::Operator {
                operator: id("root"),
                verb: "stop".into(),
                target: Some("alice".into()),
                vm: Some(vm.clone()),
            },
            Subject::WorkerCommand { worker: worker.clone(), boot: boot.clone() },
            Subject::WorkerReport { worker: worker.clone(), boot },
            Subject::Audit { user: user.clone(), action: "create".into() },
            Subject::WorkerTelemetry { worker },
            Subject::VmTelemetry { user: user.clone(), vm: vm.clone() },
            Subject::Journal,
            Subject::Forward { epoch: 7 },
            Subject::Peers,
        ];
        for verb in Verb::ALL {
            all.push(Subject::Command { user: user.clone(), verb: *verb, vm: Some(vm.clone()) });
            all.push(Subject::Command { user: user.clone(), verb: *verb, vm: None });
        }
        for event in EventName::ALL {
            all.push(Subject::Event { user: user.clone(), vm: None, event: *event });
            all.push(Subject::Event { user: user.clone(), vm: Some(vm.clone()), event: *event });
        }
        for subject in all {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
    }

    #[test]
    fn an_unknown_verb_names_the_nearest() {
        let error = "bioxen.v1.cmd.alice.creat.c1".parse::<Subject>().unwrap_err();
        assert_eq!(error.to_string(), "unknown verb \"creat\"; the nearest known verb is create");
    }

    #[test]
    fn wildcards_nul_and_empty_tokens_are_never_subjects_of_ours() {
        for bad in [
            "bioxen.v1.cmd.*.create",
            "bioxen.v1.cmd.alice.create.>",
            "bioxen.v1.cmd..create",
            "bioxen.v1.cmd.a\0.create",
            "bioxen.v1.cmd.alice",
            "bioxen.v2.journal",
            "bioxen.v1",
        ] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?} was taken for a subject");
        }
    }
}
