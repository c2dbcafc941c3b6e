//! Alerts in words and figures: the event `alert` of an entry. What concerns the fleet or a worker stands under the
//! fleet's own name, where operators listen.

use bioxen_protocol::alert::{ATP_LOW_PERMILLE, ATP_RECOVERED_PERMILLE, Alert, AlertKind};
use bioxen_protocol::event::{Event, EventName};
use bioxen_protocol::limits::TICKS_PER_MINUTE;

use super::audit_chain::fleet_user;
use super::events::{about, bare};
use super::fold::{Change, Step};
use super::words;
use crate::fleet::alerts::{Alerted, Measure, Whose};
use crate::fleet::entry::Observed;

/// A VM whose energy fell below the threshold.
pub(super) fn of_energy(step: &Step<'_>, seen: &Observed, change: &Change) -> Option<Event> {
    let atp = seen.atp?;
    let before = change.before.as_ref().map_or(0, |before| before.alerts);
    let times = atp.crossings.saturating_sub(before);
    // Stale, or recovered.
    let is_new = change.after.as_ref().is_some_and(|after| after.alerts > before);
    if times == 0 || !is_new {
        return None;
    }
    let (value, threshold) = (share(atp.level_permille), share(ATP_LOW_PERMILLE));
    let often = if times == 1 { String::new() } else { format!(", {times} times since it was last told") };
    let minute = words::minutes(atp.tick);
    let reason = format!(
        "atp_level {value} at minute {minute} is below {threshold}{often}: the cell is short of energy; allocate more ATP, give it more nutrient, or take load off it (told again when it has been above {} in between)",
        share(ATP_RECOVERED_PERMILLE)
    );
    let alert = Alert {
        kind: AlertKind::AtpLevel,
        value,
        threshold,
        times,
        minute: Some(atp.tick as f64 / TICKS_PER_MINUTE as f64),
        used: None,
        limit: None,
        worker: None,
    };
    Some(Event { reason: Some(reason), alert: Some(alert), ..about(step, change, EventName::Alert) })
}

/// Units near to a limit; nothing where that is over.
pub(super) fn of_units(step: &Step<'_>, alerted: &Alerted) -> Option<Event> {
    if !alerted.is_raised {
        return None;
    }
    let (used, limit) = (in_units(alerted.measure, alerted.used), in_units(alerted.measure, alerted.limit));
    let what = match alerted.measure {
        Measure::Atp => "percent of ATP",
        Measure::Ribosomes => "ribosome units",
    };
    let (user, kind, whose, todo) = match &alerted.whose {
        Whose::User(user) => {
            let kind = by(alerted.measure, AlertKind::UserAtp, AlertKind::UserRibosomes);
            let todo = "stop or destroy VMs or allocate them less before you start more, or ask an operator for a higher quota";
            (user.clone(), kind, "your VMs".to_owned(), todo)
        }
        Whose::Fleet => {
            let kind = by(alerted.measure, AlertKind::FleetAtp, AlertKind::FleetRibosomes);
            let todo = "raise the fleet's limit, or have VMs stopped";
            (fleet_user(), kind, "all VMs together".to_owned(), todo)
        }
        Whose::Worker(id) => {
            let todo = "add a worker, or have VMs stopped or moved";
            (fleet_user(), AlertKind::WorkerRibosomes, format!("the VMs of worker {id}"), todo)
        }
    };
    let threshold = share(alerted.threshold_permille);
    let reason = format!(
        "{whose} hold {used} of {limit} {what}, above {} percent: {todo}",
        words::percent(alerted.threshold_permille.saturating_mul(100))
    );
    let worker = if let Whose::Worker(id) = &alerted.whose { Some(id.clone()) } else { None };
    let alert = Alert {
        kind,
        value: if limit > 0.0 { used / limit } else { 1.0 },
        threshold,
        times: 1,
        minute: None,
        used: Some(used),
        limit: Some(limit),
        worker,
    };
    Some(Event { reason: Some(reason), alert: Some(alert), ..bare(step, EventName::Alert, &user, None) })
}

fn by(measure: Measure, atp: AlertKind, ribosomes: AlertKind) -> AlertKind {
    match measure {
        Measure::Atp => atp,
        Measure::Ribosomes => ribosomes,
    }
}

fn in_units(measure: Measure, amount: u64) -> f64 {
    match measure {
        Measure::Atp => amount as f64 / 1000.0,
        Measure::Ribosomes => amount as f64,
    }
}

fn share(permille: u64) -> f64 {
    permille as f64 / 1000.0
}
