//! The operators' door: their own verbs, and users' verbs on their behalf.

use bioxen_protocol::codec::{self, Value};
use bioxen_protocol::command::{Move, OperatorVerb, Plain, SetQuota, Verb};
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{OperatorId, UserId, VmId, VmKey, WorkerId};

use super::fields::invalid_id;
use super::{Asked, Read};
use crate::fleet::movement::Cordon;

/// Operators' own verbs beside `quota`, which is a user's too.
const OWN: [&str; 10] =
    ["workers", "users", "verify", "config", "snapshot", "backup", "cordon", "uncordon", "drain", "move"];

pub(super) fn operator_asked(
    verb: OperatorVerb,
    (target, vm): (Option<&str>, Option<VmId>),
    body: &Value,
    operator: OperatorId,
) -> Result<Asked, ErrorBody> {
    if let Some(cordon) = cordon_of(verb) {
        let Plain { .. } = codec::from_value(body)?;
        let worker = target.map(str::parse::<WorkerId>).transpose().map_err(invalid_id)?;
        let worker = worker.ok_or_else(|| needs(&operator, verb, "a worker", "<worker>"))?;
        return Ok(Asked::Cordon { worker, cordon });
    }
    let target = target.map(str::parse::<UserId>).transpose().map_err(invalid_id)?;
    Ok(match (verb, target) {
        (OperatorVerb::Quota, Some(user)) => {
            let quota: SetQuota = codec::from_value(body)?;
            if quota == SetQuota::default() {
                Asked::Read(Read::Quota(user))
            } else {
                Asked::SetQuota { user, quota }
            }
        }
        (OperatorVerb::Quota, None) => {
            let message = format!("quota needs a user: bioxen.v1.ops.{operator}.quota.<user>");
            return Err(ErrorBody::new(Code::ApiValidation, message));
        }
        (OperatorVerb::Move, user) => {
            let Move { to, .. } = codec::from_value(body)?;
            let Some((user, vm)) = user.zip(vm) else {
                return Err(needs(&operator, verb, "a user and a VM", "<user>.<vm>"));
            };
            Asked::Move { vm: VmKey { user, vm }, to }
        }
        (verb, _) => {
            let Plain { .. } = codec::from_value(body)?;
            Asked::Read(match verb {
                OperatorVerb::Workers => Read::Workers,
                OperatorVerb::Users => Read::Users,
                OperatorVerb::Verify => Read::Verify,
                OperatorVerb::Snapshot => Read::Snapshot,
                OperatorVerb::Backup => Read::Backup,
                _ => Read::Config,
            })
        }
    })
}

fn cordon_of(verb: OperatorVerb) -> Option<Cordon> {
    match verb {
        OperatorVerb::Cordon => Some(Cordon::Cordoned),
        OperatorVerb::Uncordon => Some(Cordon::Open),
        OperatorVerb::Drain => Some(Cordon::Draining),
        _ => None,
    }
}

fn needs(operator: &OperatorId, verb: OperatorVerb, what: &str, shape: &str) -> ErrorBody {
    let verb = format!("{verb:?}").to_lowercase();
    let subject = format!("{}.ops.{operator}.{verb}.{shape}", bioxen_protocol::subject::PREFIX);
    let message = format!("{verb} needs {what}: {subject}");
    ErrorBody::new(Code::ApiValidation, message)
}

/// A user's verb by an operator: the target is the user whose VM it is.
pub(super) fn on_behalf(
    operator: &OperatorId,
    verb: &str,
    target: Option<&str>,
) -> Result<(UserId, Verb), ErrorBody> {
    let known = verb.parse::<Verb>().map_err(|_| {
        let names = Verb::ALL.iter().map(|verb| verb.as_str());
        let nearest = bioxen_protocol::error::nearest(verb, names.chain(OWN));
        let message = format!(
            "unknown operators' verb {verb:?}; {}",
            match &nearest {
                Some(nearest) => format!("the nearest known verb is {nearest}"),
                None => format!("known are quota, {} and every user's verb", OWN.join(", ")),
            }
        );
        ErrorBody::new(Code::ApiValidation, message)
            .with(|details| details.nearest = nearest.into_iter().collect())
    })?;
    let user = match target {
        Some(target) => target.parse().map_err(invalid_id)?,
        None if matches!(known, Verb::Fleet | Verb::Performance) => {
            operator.as_str().parse().map_err(invalid_id)?
        }
        None => {
            let message = format!("{verb} needs a user: bioxen.v1.ops.{operator}.{verb}.<user>[.<vm>]");
            return Err(ErrorBody::new(Code::ApiValidation, message));
        }
    };
    Ok((user, known))
}
