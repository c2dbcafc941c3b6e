//! From the core's reasons to the errors that clients see: what happened, what was expected, what to do next.

use bioxen_package::per_min;
use bioxen_protocol::command::Verb;
use bioxen_protocol::error::{Amount, Code, ErrorBody, WorkerRefusal};
use bioxen_protocol::id::WorkerId;
use bioxen_protocol::limits::RETRY_AFTER_MS;
use bioxen_protocol::pool::XcpngPool;
use bioxen_protocol::quantity::{AtpPercent, SimulatedTime};
use bioxen_protocol::state::VmState;

use super::package;
use crate::fleet::rejection::{NoCheckpoint, NoRoom, Rejection, Resource};

/// The error for a rejection of `user`'s command.
pub(crate) fn error(rejection: &Rejection, user: &str) -> ErrorBody {
    match rejection {
        Rejection::RequestConflict { request } => ErrorBody::new(
            Code::Conflict,
            format!("request_id {request} stands for another command: use a new one"),
        ),
        Rejection::VmExists { vm, state } => ErrorBody::new(
            Code::Conflict,
            format!("VM {vm} exists already and is {state}: choose another vm_id, or destroy it first"),
        )
        .with(|details| details.state = Some(*state)),
        Rejection::MemberName { vm, ensemble } => ErrorBody::new(
            Code::Conflict,
            format!("{vm} is the name of a member of ensemble {ensemble}: choose another vm_id"),
        ),
        Rejection::IsEnsemble { name, verb } => ErrorBody::new(
            Code::VmState,
            format!(
                "{name} is an ensemble: it takes status, results, stop and destroy; {verb} is for its members, {name}-00001 and so on"
            ),
        ),
        Rejection::NotFound { vm } => ErrorBody::new(
            Code::VmNotFound,
            format!("user {user} has no VM {vm}: `list` shows those that there are"),
        ),
        Rejection::State { vm, state, verb } => state_error(vm.as_str(), *state, *verb),
        Rejection::Busy { vm, state } => busy(vm.as_str(), *state),
        Rejection::NotMovable { vm, state } => not_movable(vm.as_str(), *state),
        Rejection::UnknownWorker { worker, known } => unknown_worker(worker, known),
        Rejection::Checkpoint { vm, why } => no_checkpoint(vm.as_str(), why),
        Rejection::HorizonReached { vm, tick, horizon_tick } => {
            horizon_reached(vm.as_str(), *tick, *horizon_tick)
        }
        Rejection::OlderCoordinator => ErrorBody::new(
            Code::InvalidConfiguration,
            "a VM that changes its vm_type, or brings its pool along, needs coordinators that all know of that: one of an older version is there, or they have not yet found that none is; ask again in some seconds, or upgrade them all",
        )
        .with(|details| details.field = Some("vm_type".to_owned())),
        Rejection::Scheduled { vm } => ErrorBody::new(
            Code::InvalidConfiguration,
            format!(
                "VM {vm} has a schedule that changes its allocation: `allocate` would contradict it; create a VM without one"
            ),
        ),
        Rejection::Package(why) => package::error(why),
        Rejection::NoWorker { reasons } => no_worker(reasons),
        Rejection::AboveMost { resource, requested, most } => above_most(*resource, *requested, *most),
        Rejection::AboveAnyWorker { requested, most } => {
            let message = format!(
                "{requested} ribosome units are more than any worker may hold, which is {most}: ask for less"
            );
            let error = ErrorBody::new(Code::ResourceAllocation, message);
            figures(error, Resource::Ribosomes, *most, None, *requested)
        }
        Rejection::FleetSlots { limit, used } => {
            let message = format!(
                "the fleet runs {used} of {limit} VMs: wait for one to be destroyed, or create with on_full queue"
            );
            let error = ErrorBody::new(Code::HypervisorOverload, message);
            figures(error, Resource::Vms, *limit, Some(*used), 1)
        }
        Rejection::User { resource, limit, used, requested } => {
            let message = quota_message(user, *resource, *limit, *used, *requested);
            let error = ErrorBody::new(Code::QuotaExceeded, message);
            figures(error, *resource, *limit, Some(*used), *requested)
        }
        Rejection::Fleet { resource, limit, used, requested } => {
            fleet_error(*resource, *limit, *used, *requested)
        }
    }
}

fn not_movable(vm: &str, state: VmState) -> ErrorBody {
    let from = "starting, running or paused";
    let message = format!("VM {vm} is {state}: to move it, it must be {from}");
    ErrorBody::new(Code::VmState, message).with(|details| {
        details.state = Some(state);
        details.expected = Some(from.to_owned());
    })
}

fn unknown_worker(worker: &WorkerId, known: &[WorkerId]) -> ErrorBody {
    let names: Vec<&str> = known.iter().map(WorkerId::as_str).collect();
    let nearest = bioxen_protocol::error::nearest(worker.as_str(), names.iter().copied());
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let message = format!("no worker {worker} has ever registered; known are {known}");
    ErrorBody::new(Code::ApiValidation, message)
        .with(|details| details.nearest = nearest.into_iter().collect())
}

fn no_checkpoint(vm: &str, why: &NoCheckpoint) -> ErrorBody {
    let again = |message: String| {
        ErrorBody::new(Code::Timeout, message).with(|details| details.retry_after_ms = Some(1000))
    };
    match why {
        NoCheckpoint::Records => ErrorBody::new(
            Code::VmState,
            format!(
                "VM {vm} records, and its rows are stored when it stops: stop it, then take a checkpoint"
            ),
        ),
        NoCheckpoint::AtStart => ErrorBody::new(
            Code::VmState,
            format!(
                "VM {vm} has come nowhere that could be kept, its cell is made from its order: start it first"
            ),
        ),
        NoCheckpoint::Moved => again(format!("VM {vm}'s worker did not give the cell in time: ask again")),
        NoCheckpoint::Searching => {
            again(format!("what VM {vm}'s lost worker had packed of it is still being looked for: ask again"))
        }
        NoCheckpoint::Unknown { checkpoint, kept } => {
            let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
            let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
            let message = format!("VM {vm} keeps no checkpoint {checkpoint} (any more); it keeps {kept}");
            ErrorBody::new(Code::ApiValidation, message)
                .with(|details| details.field = Some("checkpoint_id".to_owned()))
        }
    }
}

fn busy(vm: &str, state: VmState) -> ErrorBody {
    let message = format!(
        "process code runs in VM {vm} already, one at a time: wait for its event `result`, then ask again"
    );
    ErrorBody::new(Code::VmState, message).with(|details| {
        details.state = Some(state);
        details.retry_after_ms = Some(RETRY_AFTER_MS);
    })
}

/// Without a tick, the horizon was one in generations.
fn horizon_reached(vm: &str, tick: u64, horizon_tick: Option<u64>) -> ErrorBody {
    let at = SimulatedTime { ticks: tick }.minutes();
    let Some(ticks) = horizon_tick else {
        let message = format!(
            "VM {vm} has divided as often as its horizon_generations says, at minute {at}: create another VM for more"
        );
        return ErrorBody::new(Code::VmState, message);
    };
    let horizon = SimulatedTime { ticks }.minutes();
    ErrorBody::new(
        Code::VmState,
        format!(
            "VM {vm} stands at minute {at}, its horizon is minute {horizon}: start it with a later horizon_minutes"
        ),
    )
}

fn above_most(resource: Resource, requested: u64, most: u64) -> ErrorBody {
    let message = format!(
        "{} of {} is more than this VM may hold, which is {}: ask for less",
        name(resource),
        shown(resource, requested),
        shown(resource, most)
    );
    figures(ErrorBody::new(Code::ResourceAllocation, message), resource, most, None, requested)
}

fn fleet_error(resource: Resource, limit: u64, used: u64, requested: u64) -> ErrorBody {
    let message = format!(
        "the fleet's {} is used up: {} of {} are held, {} more were asked for; wait, ask for less, or create with on_full queue",
        name(resource),
        shown(resource, used),
        shown(resource, limit),
        shown(resource, requested)
    );
    figures(ErrorBody::new(Code::ResourceExhaustion, message), resource, limit, Some(used), requested)
}

fn quota_message(user: &str, resource: Resource, limit: u64, used: u64, requested: u64) -> String {
    let advice = match resource {
        Resource::Queued => "wait for waiting VMs to start",
        Resource::Ensembles => "destroy one that has finished",
        Resource::Vms => "destroy a VM, or create with on_full queue",
        _ => "ask for less, stop a VM, or create with on_full queue",
    };
    format!(
        "user {user} holds {} of {} {}, {} more were asked for: {advice}, or have an operator raise the quota",
        shown(resource, used),
        shown(resource, limit),
        name(resource),
        shown(resource, requested)
    )
}

fn state_error(vm: &str, state: VmState, verb: Verb) -> ErrorBody {
    let from = match verb {
        Verb::Start => "created, stopped or failed",
        Verb::Pause => "starting or running",
        Verb::Resume => "paused",
        Verb::Checkpoint => "running, paused, stopped or failed",
        Verb::Restore => "stopped or failed",
        Verb::Allocate | Verb::Install => "created, starting, running or paused",
        _ => "queued, starting, running, paused or unknown",
    };
    ErrorBody::new(Code::VmState, format!("VM {vm} is {state}: {verb} needs it {from}")).with(|details| {
        details.state = Some(state);
        details.expected = Some(from.to_owned());
    })
}

fn no_worker(reasons: &[(WorkerId, NoRoom)]) -> ErrorBody {
    let workers: Vec<WorkerRefusal> = reasons
        .iter()
        .map(|(worker, reason)| WorkerRefusal { worker: worker.to_string(), reason: reason_text(reason) })
        .collect();
    let told = match workers.as_slice() {
        [] => "no worker is registered: start one".to_owned(),
        several => {
            let each: Vec<_> = several.iter().map(|it| format!("{} {}", it.worker, it.reason)).collect();
            format!("no worker has room ({}): wait, add a worker, or use on_full queue", each.join("; "))
        }
    };
    ErrorBody::new(Code::NoWorker, told).with(|details| {
        details.workers = workers;
        details.retry_after_ms = Some(RETRY_AFTER_MS);
    })
}

fn reason_text(reason: &NoRoom) -> String {
    match reason {
        NoRoom::Expired => "is out of reach (its lease is over)".to_owned(),
        NoRoom::Cordoned => "is cordoned".to_owned(),
        NoRoom::Leaves => "is about to end".to_owned(),
        NoRoom::ComesFrom => "is where the VM is".to_owned(),
        NoRoom::VmType => "does not run this vm_type".to_owned(),
        NoRoom::Pool { pool: XcpngPool::Named(pool) } => format!("does not have the pool {pool:?}"),
        NoRoom::Pool { pool: XcpngPool::Own(own) } => format!(
            "does not hold the key {} that opens the password of the VM's own pool ([xcpng.own_pools] of its file)",
            own.key()
        ),
        NoRoom::Pack => {
            "does not have the pack of this biological_type, or another version of it: start it with --packs"
                .to_owned()
        }
        NoRoom::Vms { used, max } => format!("has {used} of {max} VMs"),
        NoRoom::Ribosomes { used, usable, requested } => {
            format!("has {used} of {usable} ribosome units in use, {requested} more do not fit")
        }
    }
}

fn figures(error: ErrorBody, resource: Resource, limit: u64, used: Option<u64>, requested: u64) -> ErrorBody {
    error.with(|details| {
        details.resource = Some(field(resource).to_owned());
        details.limit = Some(amount(resource, limit));
        details.used = used.map(|used| amount(resource, used));
        details.requested = Some(amount(resource, requested));
        details.retry_after_ms = used.map(|_| RETRY_AFTER_MS);
    })
}

fn amount(resource: Resource, value: u64) -> Amount {
    match resource {
        Resource::Atp => Amount::Percent(AtpPercent(value).percent()),
        Resource::PackageLoad => Amount::Percent(per_min(value)),
        _ => Amount::Count(value),
    }
}

fn shown(resource: Resource, value: u64) -> String {
    match resource {
        Resource::Atp => format!("{} %", AtpPercent(value).percent()),
        Resource::PackageLoad => format!("{} a minute", per_min(value)),
        Resource::MemoryKb => format!("{value} KiB"),
        _ => value.to_string(),
    }
}

fn name(resource: Resource) -> &'static str {
    match resource {
        Resource::Vms => "VMs",
        Resource::Queued => "waiting VMs",
        Resource::Ensembles => "ensembles",
        Resource::Atp => "ATP",
        Resource::Ribosomes => "ribosome units",
        Resource::MemoryKb => "memory",
        Resource::Packages => "packages",
        Resource::PackageLoad => "heterologous transcription",
    }
}

fn field(resource: Resource) -> &'static str {
    match resource {
        Resource::Vms => "vms",
        Resource::Queued => "queued",
        Resource::Ensembles => "ensembles",
        Resource::Atp => "atp_percentage",
        Resource::Ribosomes => "ribosomes",
        Resource::MemoryKb => "memory_kb",
        Resource::Packages => "packages",
        Resource::PackageLoad => "package_load",
    }
}
