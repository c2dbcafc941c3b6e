//! Audit records: who did what, with which outcome, of one entry; and the chain that joins them. Pure.
//!
//! Records are hashed, and verified against this fold for ever: what an entry of an old kind gives must never change.
//!
//! What concerns the fleet and no user stands under the name [`FLEET`], which is no user's: intake refuses it.
//!
//! | entry | action | whose |
//! |---|---|---|
//! | with a cause | the verb | the user's |
//! | Rejected | the verb, or `unknown` | the user's |
//! | MemberRefused | `observed` | the user's |
//! | Placed | `placement` | the user's |
//! | CallStarted, ProcessLost, and Observed where a process ended | `process` | the user's |
//! | Recovered | `observed` | the user's |
//! | Observed, and each VM of Expired | `observed`, where a state changed or a change took effect | the user's |
//! | LimitsSet | `quota` | the user's, by the operator |
//! | Moving | `move` | the user's, by the operator where one asked |
//! | Cordoned | `cordon`, `uncordon`, `drain` | the fleet's, by the operator |
//! | Leaving | `sign-out` | the fleet's |
//! | Registered, Expired, Leader, Configured | `sign-in`, `expiry`, `leader`, `config` | the fleet's |
//! | BackupRestored, and each VM that was placed | `backup`; `observed` | the fleet's, by the operator; the user's |
//! | Tick, Alerted | none | |

use std::sync::LazyLock;

use bioxen_protocol::audit::{AuditRecord, NO_HASH, Outcome};
use bioxen_protocol::config::ResourceConfig;
use bioxen_protocol::id::{OperatorId, UserId};
use bioxen_protocol::worker::ProcessEnd;

use super::fold::{Change, Step};
use super::{moves, words};
use crate::fleet::account::UserLimits;
use crate::fleet::entry::{Cause, Entry, Recovered, Rejected};

/// Under which name the audit stream records what concerns no user.
pub const FLEET: &str = "bioxen-fleet";

#[expect(clippy::expect_used, reason = "a constant that the tests parse")]
static FLEET_USER: LazyLock<UserId> = LazyLock::new(|| FLEET.parse().expect("FLEET is an id"));

/// The name under which the fleet's own records and events stand.
pub(super) fn fleet_user() -> UserId {
    FLEET_USER.clone()
}

/// The last record of the audit stream, as far as the next one needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub number: u64,
    pub hash: String,
}

impl Chain {
    /// Before the first record.
    pub fn start() -> Self {
        Self { number: 0, hash: NO_HASH.to_owned() }
    }

    /// Numbers, joins and seals the next record.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn seal(&mut self, record: AuditRecord) -> Result<AuditRecord, serde_json::Error> {
        let record = AuditRecord { number: self.number + 1, ..record }.sealed(&self.hash)?;
        *self = Self { number: record.number, hash: record.hash.clone() };
        Ok(record)
    }
}

/// What leaders journal of themselves: the action, and what is said of it.
fn of_leaders(entry: &Entry) -> (&'static str, String) {
    match entry {
        Entry::Leader { epoch, coordinator } => ("leader", format!("{coordinator} leads in epoch {epoch}")),
        Entry::Resign { epoch, coordinator } => {
            ("resign", format!("{coordinator} has given up the lead of epoch {epoch}"))
        }
        Entry::Activate { format } => ("format", format!("format {format} is written from here on")),
        Entry::Configured { config } => ("config", configured(config)),
        _ => ("fleet", String::new()),
    }
}

/// The records of one entry, in order, not yet numbered and sealed.
pub(super) fn records(step: &Step<'_>) -> Vec<AuditRecord> {
    match step.entry {
        Entry::Tick | Entry::Alerted(_) => Vec::new(),
        Entry::Leader { .. } | Entry::Resign { .. } | Entry::Activate { .. } | Entry::Configured { .. } => {
            let (action, note) = of_leaders(step.entry);
            vec![of_fleet(step, action, Outcome::Accepted, note)]
        }
        Entry::Registered { worker, boot, capacity } => {
            let note = format!(
                "worker {worker}, boot {boot}: {} VMs, {} of {} ribosomes usable",
                capacity.max_vms, capacity.usable_ribosomes, capacity.total_ribosomes
            );
            vec![of_fleet(step, "sign-in", Outcome::Accepted, note)]
        }
        Entry::Expired { worker, boot } => {
            let note = format!("worker {worker}, boot {boot}: lease and grace are over");
            let expiry = of_fleet(step, "expiry", Outcome::Observed, note);
            let unknown = step.changes.iter().filter_map(|change| observed(step, change));
            std::iter::once(expiry).chain(unknown).collect()
        }
        Entry::BackupRestored { operator, taken_ms } => restored(step, operator, *taken_ms),
        Entry::LimitsSet { operator, user, limits } => vec![AuditRecord {
            operator: Some(operator.clone()),
            ..bare(step, user, "quota", Outcome::Accepted, limits_in_words(limits))
        }],
        Entry::Rejected(rejected) => vec![refused(step, rejected)],
        Entry::Observed(seen) => {
            let ended = seen.process.iter().filter_map(|end| process_end(step, end));
            step.changes.iter().filter_map(|change| observed(step, change)).chain(ended).collect()
        }
        Entry::ProcessLost { number, .. } => {
            process_end(step, &crate::fleet::lost_process(*number)).into_iter().collect()
        }
        Entry::Recovered(found) => vec![recovered(step, found)],
        Entry::Moving { .. } => moves::moving(step).into_iter().collect(),
        Entry::Cordoned { operator, worker, cordon } => {
            vec![moves::cordoned(step, operator, worker, *cordon)]
        }
        Entry::Leaving { worker, boot } => vec![moves::leaving(step, worker, boot)],
        Entry::CallStarted { .. } => call_started(step).into_iter().collect(),
        Entry::Placed { key, worker, boot, .. } => {
            let generation = format!("{}.{}", step.incarnation, step.index);
            let note = format!("on worker {worker}, boot {boot}, generation {generation}");
            let bare = bare(step, &key.user, "placement", Outcome::Accepted, note);
            vec![AuditRecord { vm_id: Some(key.vm.clone()), ..bare }]
        }
        Entry::MemberRefused { key, number, reason } => {
            let note = format!("member {number} could not be made: {reason}");
            let bare = bare(step, &key.user, "observed", Outcome::Observed, note);
            vec![AuditRecord { vm_id: Some(key.vm.clone()), ..bare }]
        }
        Entry::Rehomed { key, vm_type, pool } => {
            let note = words::home(*vm_type, pool.as_ref());
            let bare = bare(step, &key.user, "restore", Outcome::Accepted, note);
            vec![AuditRecord { vm_id: Some(key.vm.clone()), ..bare }]
        }
        Entry::Created(_)
        | Entry::Ensemble(_)
        | Entry::EnsembleDesired { .. }
        | Entry::Queued { .. }
        | Entry::Started { .. }
        | Entry::Desired { .. }
        | Entry::ProcessStarted { .. }
        | Entry::Monitored { .. }
        | Entry::Checkpointed(_)
        | Entry::Restored { .. }
        | Entry::Installed { .. }
        | Entry::Allocated { .. } => {
            step.entry.cause().map(|cause| accepted(step, cause)).into_iter().collect()
        }
    }
}

fn configured(config: &ResourceConfig) -> String {
    format!(
        "{} VMs, ATP {} %, {} ribosomes in all; {} VMs for each user",
        config.max_concurrent_vms,
        words::percent(config.global_atp_limit.0),
        config.global_ribosome_limit,
        config.max_vms_per_user
    )
}

fn restored(step: &Step<'_>, operator: &OperatorId, taken_ms: u64) -> Vec<AuditRecord> {
    let (incarnation, taken) = (step.incarnation, words::rfc3339(taken_ms));
    let note = format!("incarnation {incarnation} begins from a backup of {taken}");
    let restored = of_fleet(step, "backup", Outcome::Accepted, note);
    let restored = AuditRecord { operator: Some(operator.clone()), ..restored };
    let unknown = step.changes.iter().filter_map(|change| observed(step, change));
    std::iter::once(restored).chain(unknown).collect()
}

fn refused(step: &Step<'_>, rejected: &Rejected) -> AuditRecord {
    let action = rejected.verb.map_or("unknown", |verb| verb.as_str());
    AuditRecord {
        operator: rejected.operator.clone(),
        vm_id: rejected.vm.clone(),
        code: Some(rejected.code),
        request_id: rejected.request_id.clone(),
        count: rejected.count,
        ..bare(step, &rejected.user, action, Outcome::Rejected, rejected.message.clone())
    }
}

fn call_started(step: &Step<'_>) -> Option<AuditRecord> {
    let Entry::CallStarted { key, call, tick, number, digest, .. } = step.entry else { return None };
    let (call, minute) = (call + 1, words::minutes(*tick));
    let note = format!(
        "process {number} started: scheduled call {call} at minute {minute}, code of sha256 {digest}"
    );
    let bare = bare(step, &key.user, "process", Outcome::Observed, note);
    Some(AuditRecord { vm_id: Some(key.vm.clone()), ..bare })
}

fn process_end(step: &Step<'_>, end: &ProcessEnd) -> Option<AuditRecord> {
    let key = step.entry.key()?;
    let bare = bare(step, &key.user, "process", Outcome::Observed, words::process(end));
    Some(AuditRecord { vm_id: Some(key.vm.clone()), ..bare })
}

fn recovered(step: &Step<'_>, found: &Recovered) -> AuditRecord {
    let after = step.changes.first().and_then(|change| change.after.as_ref());
    let note = match (&found.taken, after.and_then(|after| after.recovery)) {
        (Some(taken), Some(recovery)) => format!(
            "found of generation {}: {}; sha256 {}",
            found.generation,
            recovery.in_words(),
            taken.digest
        ),
        (_, Some(recovery)) => {
            format!("nothing newer was found of generation {}: {}", found.generation, recovery.in_words())
        }
        (_, None) => format!("generation {} is not looked for any more", found.generation),
    };
    let bare = bare(step, &found.key.user, "observed", Outcome::Observed, note);
    AuditRecord { vm_id: Some(found.key.vm.clone()), ..bare }
}

fn accepted(step: &Step<'_>, cause: &Cause) -> AuditRecord {
    let note = match step.entry {
        Entry::Created(created) => {
            let order = &created.order;
            format!("{}, seed {}: {}", order.biological_type, order.seed, words::amounts(order.allocation))
        }
        Entry::Ensemble(asked) => format!("{} members, seed {}", asked.members, asked.seed),
        Entry::Allocated { allocation, ordinal: 0, .. } => words::amounts(*allocation),
        Entry::Allocated { allocation, ordinal, .. } => {
            format!("change {ordinal}: {}", words::amounts(*allocation))
        }
        Entry::ProcessStarted { number, digest, timeout_ms, .. } => {
            format!("process {number}, at most {timeout_ms} ms, code of sha256 {digest}")
        }
        Entry::Installed { ordinal, package, .. } => words::installed(*ordinal, package),
        Entry::Monitored { interval_seconds: 0, .. } => "no longer".to_owned(),
        Entry::Monitored { interval_seconds, .. } => format!("every {interval_seconds} s"),
        Entry::Checkpointed(entry) => {
            let taken = &entry.taken;
            let (minute, bytes) = (words::minutes(taken.tick), taken.bytes.len());
            format!("c{} at minute {minute}, {bytes} bytes of sha256 {}", step.index, taken.digest)
        }
        Entry::Restored { checkpoint, tick, allocation, .. } => {
            format!("{checkpoint} at minute {}: {}", words::minutes(*tick), words::amounts(*allocation))
        }
        _ => String::new(),
    };
    let states = step.changes.first().and_then(in_words);
    let note = [Some(note).filter(|note| !note.is_empty()), states].into_iter().flatten();
    AuditRecord {
        operator: cause.operator.clone(),
        vm_id: step.entry.key().map(|key| key.vm.clone()),
        request_id: cause.request.as_ref().map(|request| request.id.clone()),
        ..bare(
            step,
            &cause.user,
            cause.verb.as_str(),
            Outcome::Accepted,
            note.collect::<Vec<String>>().join("; "),
        )
    }
}

/// None where nothing happened that a user could have seen.
fn observed(step: &Step<'_>, change: &Change) -> Option<AuditRecord> {
    let effects = step.confirmed().into_iter().map(|confirmed| {
        let at = confirmed.tick.map(|tick| format!(" from minute {}", words::minutes(tick)));
        format!("change {} in effect{}", confirmed.ordinal, at.unwrap_or_default())
    });
    let note: Vec<String> = effects.chain(in_words(change)).collect();
    if note.is_empty() {
        return None;
    }
    let bare = bare(step, &change.key.user, "observed", Outcome::Observed, note.join("; "));
    Some(AuditRecord { vm_id: Some(change.key.vm.clone()), ..bare })
}

/// `running to stopped at minute 12.3 (completed)`, where the state changed.
fn in_words(change: &Change) -> Option<String> {
    change.new_state()?;
    let after = change.after.as_ref()?;
    let from = change.before.as_ref().map_or("absent", |before| before.state.as_str());
    let reason = after.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(format!("{from} to {} at minute {}{reason}", after.state, words::minutes(after.tick)))
}

fn limits_in_words(limits: &UserLimits) -> String {
    let UserLimits { max_vms, max_queued, max_atp, max_ribosomes, max_commands_per_second } = limits;
    let amount = |name: &str, limit: Option<u64>| limit.map(|limit| format!("{name} {limit}"));
    let set: Vec<String> = [
        amount("max_vms", *max_vms),
        amount("max_queued", *max_queued),
        max_atp.map(|atp| format!("max_atp_percentage {}", words::percent(atp.0))),
        amount("max_ribosomes", *max_ribosomes),
        amount("max_commands_per_second", *max_commands_per_second),
    ]
    .into_iter()
    .flatten()
    .collect();
    if set.is_empty() { "the fleet's defaults".to_owned() } else { set.join(", ") }
}

pub(super) fn of_fleet(step: &Step<'_>, action: &str, outcome: Outcome, note: String) -> AuditRecord {
    bare(step, &FLEET_USER, action, outcome, note)
}

pub(super) fn bare(
    step: &Step<'_>,
    user: &UserId,
    action: &str,
    outcome: Outcome,
    note: String,
) -> AuditRecord {
    AuditRecord {
        number: 0,
        index: step.index,
        incarnation: step.incarnation,
        time_ms: step.time_ms,
        time: words::rfc3339(step.time_ms),
        user: user.clone(),
        operator: None,
        action: action.to_owned(),
        vm_id: None,
        outcome,
        code: None,
        request_id: None,
        count: 1,
        note,
        previous_hash: String::new(),
        hash: String::new(),
    }
}
