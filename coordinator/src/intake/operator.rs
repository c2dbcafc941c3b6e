//! The operators' door: their own verbs, and users' verbs on their behalf.

use bioxen_protocol::codec::{self, Value};
use bioxen_protocol::command::{OperatorVerb, Plain, SetQuota, Verb};
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{OperatorId, UserId};

use super::fields::{invalid_id, not_yet};
use super::{Asked, Read};

pub(super) fn operator_asked(
    verb: OperatorVerb,
    target: Option<&str>,
    body: &Value,
    operator: OperatorId,
) -> Result<Asked, ErrorBody> {
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
        (verb, _) => {
            let Plain { .. } = codec::from_value(body)?;
            Asked::Read(match verb {
                OperatorVerb::Workers => Read::Workers,
                OperatorVerb::Users => Read::Users,
                OperatorVerb::Verify => Read::Verify,
                OperatorVerb::Snapshot => Read::Snapshot,
                OperatorVerb::Backup => Read::Backup,
                OperatorVerb::Config | OperatorVerb::Quota => Read::Config,
            })
        }
    })
}

/// A user's verb by an operator: the target is the user whose VM it is.
pub(super) fn on_behalf(
    operator: &OperatorId,
    verb: &str,
    target: Option<&str>,
) -> Result<(UserId, Verb), ErrorBody> {
    const LATER: [&str; 5] = ["cordon", "uncordon", "drain", "move", "rebalance"];
    if LATER.contains(&verb) {
        return Err(not_yet(&format!("the operators' verb {verb}")));
    }
    const OWN: [&str; 6] = ["workers", "users", "verify", "config", "snapshot", "backup"];
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
