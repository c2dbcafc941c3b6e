//! Reads that the fleet alone can answer.

use std::collections::BTreeMap;

use bioxen_protocol::command::{CheckpointId, List};
use bioxen_protocol::error::{Code, ErrorBody};
use bioxen_protocol::id::{UserId, VmId};
use bioxen_protocol::limits::{LIST_VMS, LIST_VMS_DEFAULT};
use bioxen_protocol::quantity::{AtpPercent, SimulatedTime};
use bioxen_protocol::reply::{
    AllocationReply, CheckpointInfo, EnsembleStatus, FleetTotals, Listed, PackageReply, Quota, Reservation,
    VmList, WorkerInfo,
};
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::CellAllocation;

use crate::fleet::Fleet;
use crate::fleet::account::Account;
use crate::fleet::amounts::Amounts;
use crate::fleet::checkpoint::{Named, TakenAs};
use crate::fleet::ensemble::{Counts, Ensemble};
use crate::fleet::movement::Cordon;
use crate::fleet::package::PackageSummary;
use crate::fleet::vm::{COMPLETED, Vm};

/// A checkpoint kept by name, as `status` lists it.
pub(crate) fn checkpoint_info(named: &Named) -> CheckpointInfo {
    checkpoint_as(named.id(), &TakenAs::of(&named.taken))
}

pub(crate) fn checkpoint_as(checkpoint_id: CheckpointId, taken: &TakenAs) -> CheckpointInfo {
    let TakenAs { tick, bytes, digest } = taken.clone();
    let simulated_minutes = SimulatedTime { ticks: tick }.minutes();
    CheckpointInfo { checkpoint_id, simulated_minutes, bytes, digest }
}

pub(crate) fn allocation(amounts: CellAllocation) -> AllocationReply {
    AllocationReply {
        atp_percentage: AtpPercent(amounts.atp_millipercent),
        ribosomes: amounts.ribosomes,
        memory_kb: amounts.memory_kb,
    }
}

pub(crate) fn package(of: &PackageSummary) -> PackageReply {
    PackageReply {
        package: of.package.clone(),
        digest: of.digest.clone(),
        load: bioxen_package::per_min(of.load_micro_per_min),
    }
}

pub(crate) fn reservation(held: Amounts) -> Reservation {
    Reservation {
        slots: held.slots,
        atp_percentage: AtpPercent(held.atp_millipercent),
        ribosomes: held.ribosomes,
        memory_kb: held.memory_kb,
    }
}

pub(crate) fn quota(fleet: &Fleet, user: &UserId) -> Quota {
    let limits = fleet.limits_of(user);
    let account = fleet.accounts.get(user);
    Quota {
        user: user.clone(),
        max_vms: limits.max_vms,
        max_queued: limits.max_queued,
        max_atp_percentage: limits.max_atp,
        max_ribosomes: limits.max_ribosomes,
        max_commands_per_second: limits.max_commands_per_second,
        used: reservation(account.map_or(Amounts::NOTHING, |account| account.held)),
        queued: account.map_or(0, Account::places_taken),
    }
}

pub(crate) fn totals(fleet: &Fleet) -> FleetTotals {
    let mut vm_types = BTreeMap::new();
    let mut biological_types = BTreeMap::new();
    let mut states: BTreeMap<VmState, u64> = BTreeMap::new();
    for vm in fleet.vms() {
        *states.entry(vm.state).or_default() += 1;
        if vm.held.slots > 0 {
            let kind = format!("{:?}", vm.order.vm_type).to_lowercase();
            *vm_types.entry(kind).or_default() += 1;
            *biological_types.entry(vm.order.biological_type.clone()).or_default() += 1;
        }
    }
    FleetTotals {
        active_vms: fleet.held.slots,
        max_concurrent_vms: fleet.config.max_concurrent_vms,
        global_atp_used: AtpPercent(fleet.held.atp_millipercent),
        global_atp_limit: fleet.config.global_atp_limit,
        global_ribosomes_used: fleet.held.ribosomes,
        global_ribosome_limit: fleet.config.global_ribosome_limit,
        queued: fleet.queued(),
        workers: fleet.workers.values().filter(|worker| worker.live).count() as u64,
        vm_types,
        biological_types,
        states,
        epoch: fleet.epoch,
        incarnation: fleet.incarnation,
        index: fleet.next_index.saturating_sub(1),
    }
}

pub(crate) fn workers(fleet: &Fleet) -> Vec<WorkerInfo> {
    let info = |(id, worker): (&bioxen_protocol::id::WorkerId, &crate::fleet::worker::Worker)| WorkerInfo {
        worker: id.clone(),
        boot: worker.boot.clone(),
        state: if worker.live { "registered" } else { "expired" }.to_owned(),
        vm_types: worker.capacity.vm_types.clone(),
        pools: worker.capacity.pools.clone(),
        own_pools: worker.capacity.own_pools.clone(),
        vms: worker.used.slots,
        max_vms: worker.capacity.max_vms,
        ribosomes_used: worker.used.ribosomes,
        ribosomes_usable: worker.capacity.usable_ribosomes,
        total_ribosomes: worker.capacity.total_ribosomes,
        cordoned: worker.cordon != Cordon::Open,
        draining: worker.is_emptied(),
        leaving: fleet.leaving_from(id, &worker.boot) as u64,
    };
    fleet.workers.iter().map(info).collect()
}

/// A page of a user's VMs, by name; destroyed ones only where asked for by state.
pub(crate) fn list(fleet: &Fleet, user: &UserId, ask: &List) -> Result<VmList, ErrorBody> {
    let limit = match ask.limit {
        None => LIST_VMS_DEFAULT,
        Some(limit) => {
            usize::try_from(limit).ok().filter(|limit| (1..=LIST_VMS).contains(limit)).ok_or_else(|| {
                ErrorBody::new(Code::ApiValidation, format!("limit is {limit}: expected 1 to {LIST_VMS}"))
                    .with(|details| details.field = Some("limit".to_owned()))
            })?
        }
    };
    let after = ask.cursor.as_deref().map(str::parse::<VmId>).transpose().map_err(|error| {
        ErrorBody::new(
            Code::ApiValidation,
            format!("cursor is none of ours ({error}): give the one of the page before"),
        )
        .with(|details| details.field = Some("cursor".to_owned()))
    })?;
    let Some(account) = fleet.accounts.get(user) else {
        return Ok(VmList { vms: Vec::new(), cursor: None, ensembles: Vec::new() });
    };
    let wanted = |vm: &&Vm| {
        let state = ask.state.map_or(vm.state != VmState::Destroyed, |state| vm.state == state);
        state
            && ask.prefix.as_deref().is_none_or(|prefix| vm.key.vm.as_str().starts_with(prefix))
            && ask.label.as_deref().is_none_or(|label| has_label(vm, label))
            && after.as_ref().is_none_or(|after| vm.key.vm > *after)
    };
    let mut found = account.vms.values().filter(wanted);
    let vms: Vec<Listed> = found.by_ref().take(limit).map(|vm| listed(fleet, vm)).collect();
    let cursor = found.next().and(vms.last()).map(|last| last.vm_id.to_string());
    let first_page = after.is_none() && ask.label.is_none();
    let matching = |ensemble: &&Ensemble| {
        first_page
            && ask.state.is_none_or(|state| ensemble.state() == state)
            && ask.prefix.as_deref().is_none_or(|prefix| ensemble.key.vm.as_str().starts_with(prefix))
    };
    let ensembles = account.ensembles.values().filter(matching).map(ensemble_status).collect();
    Ok(VmList { vms, cursor, ensembles })
}

pub(crate) fn ensemble_status(ensemble: &Ensemble) -> EnsembleStatus {
    let Counts { queued, running, completed, failed, stopped } = ensemble.counts();
    EnsembleStatus {
        name: ensemble.key.vm.clone(),
        state: ensemble.state(),
        reason: ensemble.is_completed().then(|| COMPLETED.to_owned()),
        members: ensemble.members,
        queued,
        running,
        completed,
        failed,
        stopped,
        priority: ensemble.priority,
        seed: ensemble.seed,
    }
}

fn listed(fleet: &Fleet, vm: &Vm) -> Listed {
    Listed {
        vm_id: vm.key.vm.clone(),
        state: vm.state,
        biological_type: vm.order.biological_type.clone(),
        worker: vm.placement.as_ref().map(|at| at.worker.clone()),
        priority: vm.order.priority,
        queue_position: fleet.queue_position(&vm.key),
    }
}

fn has_label(vm: &Vm, label: &str) -> bool {
    match label.split_once('=') {
        Some((name, value)) => vm.labels.get(name).is_some_and(|known| known == value),
        None => vm.labels.contains_key(label),
    }
}
