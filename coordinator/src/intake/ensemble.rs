//! From an `ensemble` body to what the core keeps, and from there to each member's `create`.
//!
//! A member's body is a pure function of the ensemble's body and the member's number. It is made twice: a few of them
//! here when the ensemble is asked for, so that what cannot be is refused at once; each when its turn comes.

use std::sync::Arc;

use bioxen_protocol::codec::{self, Encoding, Value};
use bioxen_protocol::command::{Axis, Create, Ensemble, Many, OnFull, Point, Scalar, member_seed};
use bioxen_protocol::config::ChassisLimits;
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::UserId;
use bioxen_protocol::limits::{AXES, ENSEMBLE_MEMBERS, ID_CHARS};

use super::Rules;
use super::fields::field;
use super::order::{drawn_seed, new_vm};
use super::xcpng::seal;
use crate::answer::errors;
use crate::fleet;
use crate::fleet::command::{NewEnsemble, NewVm};

/// Where a path of an axis may start: what decides a member's trajectory.
const ROOTS: [&str; 10] = [
    "biological_type",
    "engine",
    "horizon_generations",
    "horizon_minutes",
    "pace",
    "parameters",
    "allocation",
    "schedule",
    "config",
    "labels",
];
/// What an ensemble's body must leave out, and why.
const OF_MEMBERS: [(&str, &str); 2] = [
    ("vm_id", "members are named after the ensemble: give name"),
    ("auto_start", "members are started as room appears: leave it out"),
];
/// Below it an axis sets the pool and nothing else: members that are tried later would bring unjudged what is refused here.
const XCPNG: &str = "config.xcpng_config";
/// Members that are tried when an ensemble is asked for: some milliseconds at most.
const TRIED: u64 = 48;

/// The ensemble that a body asks for; its name beside it.
pub(super) fn new_ensemble(
    body: Value,
    password: Option<String>,
    user: &UserId,
    rules: &Rules,
) -> Result<(Ensemble, NewEnsemble, Vec<String>), ErrorBody> {
    if let Value::Map(fields) = &body
        && let Some((name, why)) =
            OF_MEMBERS.iter().find(|(name, _)| fields.iter().any(|(field, _)| field == name))
    {
        return Err(field(name, &format!("{name} is not an ensemble's: {why}")));
    }
    let asked = Ensemble::from_value(body)?;
    let members = checked(&asked.many)?;
    let mut filled = asked.clone();
    seal(filled.create.xcpng_config_mut(), password, user, rules)?;
    let seed = filled.create.seed.map_or_else(drawn_seed, Ok)?;
    filled.create.seed = Some(seed);
    filled.create.request_id = None;
    let json = serde_json::to_string(&filled).map_err(|error| field("", &error.to_string()))?;
    let mut warnings = Vec::new();
    let apart = (members / TRIED).max(1);
    let tried = (1..=members).step_by(usize::try_from(apart).unwrap_or(1)).chain([members]);
    for number in tried {
        let (new, more) =
            member_of(&filled, number, &rules.limits).map_err(|error| of_member(number, error))?;
        fleet::within_most(new.order.allocation, new.most)
            .map_err(|rejection| of_member(number, errors::error(&rejection, "")))?;
        warnings = more;
    }
    let priority = filled.create.priority;
    Ok((asked, NewEnsemble { body: Arc::from(json), seed, members, priority }, warnings))
}

/// Member `number` of an ensemble that the fleet has, or why it cannot be.
pub(crate) fn make_member(
    ensemble: &fleet::ensemble::Ensemble,
    number: u64,
    limits: &ChassisLimits,
) -> Result<NewVm, String> {
    let body = read(&ensemble.body)?;
    let (new, _) = member_of(&body, number, limits).map_err(|error| error.message)?;
    fleet::within_most(new.order.allocation, new.most)
        .map_err(|rejection| errors::error(&rejection, "").message)?;
    Ok(new)
}

/// An ensemble's body as the fleet keeps it.
pub(crate) fn read(body: &str) -> Result<Ensemble, String> {
    serde_json::from_str(body).map_err(|error| format!("the ensemble's body cannot be read again: {error}"))
}

/// The `create` body of a member: sent alone it gives the same trajectory.
pub(crate) fn member_body(ensemble: &Ensemble, number: u64) -> Result<serde_json::Value, ErrorBody> {
    let mut create = ensemble.create.clone();
    let seed = create.seed.unwrap_or(0);
    let Point { replicate, values } = ensemble.many.point(number, seed);
    create.request_id = None;
    create.seed = Some(member_seed(seed, number));
    create.replicate = u32::try_from(u64::from(create.replicate) + replicate)
        .map_err(|_| field("replicates", "there are more replicates than can be numbered: ask for fewer"))?;
    create.on_full = OnFull::Queue;
    let mut body = serde_json::to_value(&create).map_err(|error| field("", &error.to_string()))?;
    for (path, value) in &values {
        set(&mut body, path, value)?;
    }
    Ok(body)
}

fn member_of(
    ensemble: &Ensemble,
    number: u64,
    limits: &ChassisLimits,
) -> Result<(NewVm, Vec<String>), ErrorBody> {
    let body = member_body(ensemble, number)?;
    let bytes = serde_json::to_vec(&body).map_err(|error| field("", &error.to_string()))?;
    let create: Create = codec::decode(Encoding::Json, &bytes, &codec::DecodeLimits::default())?;
    new_vm(create, limits)
}

fn of_member(number: u64, error: ErrorBody) -> ErrorBody {
    ErrorBody { message: format!("member {number}: {}", error.message), ..error }
}

fn checked(many: &Many) -> Result<u64, ErrorBody> {
    // "-00001" comes behind the name.
    const SUFFIX_CHARS: usize = 6;
    if many.name.as_str().len() + SUFFIX_CHARS > ID_CHARS {
        let most = ID_CHARS - SUFFIX_CHARS;
        return Err(field(
            "name",
            &format!("name is too long: at most {most} characters, for -00001 follows"),
        ));
    }
    if many.axes.len() > AXES {
        return Err(field("axes", &format!("{} axes: at most {AXES}", many.axes.len())));
    }
    let mut draws = None;
    for (path, axis) in &many.axes {
        let at = format!("axes.{path}");
        let root = path.split('.').next().unwrap_or_default();
        if !ROOTS.contains(&root) {
            let known = ROOTS.join(", ");
            return Err(field(&at, &format!("an axis starts with one of {known}; {root} is none")));
        }
        if path.starts_with(XCPNG) && path != "config.xcpng_config.pool" {
            return Err(field(
                &at,
                "of config.xcpng_config an axis sets the pool alone: config.xcpng_config.pool",
            ));
        }
        if axis.is_empty() {
            return Err(field(&at, "the axis has no values: give at least one"));
        }
        if let Axis::Sample(sample) = axis {
            if sample.sample[0] > sample.sample[1] {
                return Err(field(&at, "sample is [low, high], and low is above high"));
            }
            if draws.is_some_and(|draws| draws != sample.n) {
                return Err(field(&at, "all sampled axes are drawn together: give them the same n"));
            }
            draws = Some(sample.n);
        }
    }
    match many.members() {
        Some(0) => Err(field("replicates", "replicates is 0, and there would be no member: give at least 1")),
        Some(members) if members <= ENSEMBLE_MEMBERS => Ok(members),
        members => {
            let members = members.map_or_else(|| "too many".to_owned(), |members| members.to_string());
            let message = format!("the ensemble would have {members} members: at most {ENSEMBLE_MEMBERS}");
            Err(field("axes", &message))
        }
    }
}

/// Puts a value at a path of names and places, making objects on the way.
fn set(body: &mut serde_json::Value, path: &str, value: &Scalar) -> Result<(), ErrorBody> {
    let nowhere = || {
        let message =
            format!("axes.{path}: the create body has no such place; give the schedule that it names");
        ErrorBody::new(Code::ApiValidation, message)
            .with(|details| details.field = Some(format!("axes.{path}")))
    };
    let mut at = body;
    for name in path.split('.') {
        if at.is_null() {
            // A place in a list that is not there.
            if name.parse::<usize>().is_ok() {
                return Err(nowhere());
            }
            *at = serde_json::json!({});
        }
        at = match at {
            serde_json::Value::Object(fields) => fields.entry(name).or_insert(serde_json::Value::Null),
            serde_json::Value::Array(items) => {
                let place = name.parse::<usize>().map_err(|_| nowhere())?;
                items.get_mut(place).ok_or_else(nowhere)?
            }
            _ => return Err(nowhere()),
        };
    }
    *at = serde_json::to_value(value).map_err(|_| nowhere())?;
    Ok(())
}
