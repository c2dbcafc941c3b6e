//! A worker: its lease and its VMs are the real ones; around them stands what its agent does, message by message.

mod leaving;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bioxen_protocol::command::VmType;
use bioxen_protocol::id::{BootId, WorkerId};
use bioxen_protocol::worker::{
    Capacity, DesiredState, Heartbeat, Observation, Register, WorkerCommand, WorkerReport,
};
use bioxen_worker::backend::Backend;
use bioxen_worker::lease::Lease;
use bioxen_worker::vms::Vms;

use crate::cells::{Cells, Commit};
use crate::message::{Message, Node, Out};
use crate::packed::Packed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Registering,
    Refused(Duration),
    Registered,
}

/// One boot of a worker.
#[derive(Debug)]
pub(crate) struct Worker {
    number: usize,
    pub(crate) boot: BootId,
    coordinators: usize,
    /// VMs and ribosomes.
    size: (u64, u64),
    lease: Lease,
    phase: Phase,
    heartbeat: u64,
    cells: Arc<Cells>,
    vms: Vms,
    leaving: leaving::Leaving,
}

impl Worker {
    pub(crate) fn new(number: usize, boot: u64, coordinators: usize, size: (u64, u64)) -> Option<Self> {
        let cells = Arc::new(Cells::default());
        let backend: Arc<Cells> = Arc::clone(&cells);
        Some(Self {
            number,
            boot: format!("b{boot}").parse().ok()?,
            coordinators,
            size,
            lease: Lease::default(),
            phase: Phase::Registering,
            heartbeat: 0,
            cells,
            vms: Vms::new(backend, size.0),
            leaving: leaving::Leaving::default(),
        })
    }

    /// The second's registration or heartbeat.
    pub(crate) fn beat(&mut self, now: Duration, out: &mut Out) {
        if let Phase::Refused(until) = self.phase {
            if now < until {
                return;
            }
            self.phase = Phase::Registering;
        }
        self.heartbeat += 1;
        let number = self.heartbeat;
        let report = match self.phase {
            Phase::Registered => {
                let (epoch, inventory) = (self.lease.epoch(), self.vms.digest());
                WorkerReport::Heartbeat(Heartbeat { number, epoch, inventory })
            }
            _ => {
                let capacity = capacity(self.size);
                WorkerReport::Register(Register { capacity, version: String::new(), number })
            }
        };
        self.lease.sent(number, now);
        self.report(report, out);
        let vms: Vec<_> = self.vms.unconfirmed().collect();
        if !vms.is_empty() && self.phase == Phase::Registered {
            self.report(WorkerReport::Unconfirmed { vms }, out);
        }
        self.tell_leaving(out);
    }

    /// What its cells have come to goes into the store.
    pub(crate) fn pack(&self, packed: &Packed) {
        packed.put(self.cells.points());
    }

    /// A quantum has been computed.
    pub(crate) fn commit(&mut self, now: Duration, out: &mut Out) -> Vec<Commit> {
        let commits = self.cells.commit(now);
        self.tell_changes(out);
        commits
    }

    pub(crate) fn receive(&mut self, now: Duration, command: WorkerCommand, out: &mut Out) {
        let grant = matches!(command, WorkerCommand::Grant { .. });
        if !grant && epoch_of(&command).is_some_and(|epoch| self.lease.hear(epoch).is_err()) {
            return;
        }
        match command {
            WorkerCommand::Grant { incarnation, epoch, heartbeat, lease_ms, registration, .. } => {
                let lease = Duration::from_millis(lease_ms);
                let Ok(until) = self.lease.grant(incarnation, epoch, heartbeat, lease) else { return };
                if self.lease.registered(incarnation, registration) {
                    self.vms.stand_still();
                }
                self.phase = Phase::Registered;
                self.cells.lease(until);
            }
            WorkerCommand::BootRefused { retry_after_ms, .. } => {
                self.phase = Phase::Refused(now + Duration::from_millis(retry_after_ms.min(60_000)));
            }
            WorkerCommand::Leave { may_go, .. } => self.leaving.heard(now, may_go),
            WorkerCommand::RegisterAgain { .. } => {
                self.phase = Phase::Registering;
                self.beat(now, out);
            }
            WorkerCommand::Desire { registration, mut vms, .. } => {
                if self.lease.registered(self.lease.incarnation(), registration) {
                    self.vms.stand_still();
                }
                if !self.lease.is_current(registration) {
                    vms.retain(|desired| desired.state == DesiredState::Absent);
                }
                let told = vms.into_iter().filter_map(|desired| self.vms.desire(desired)).collect();
                self.tell(told, out);
                self.tell_changes(out);
            }
            WorkerCommand::Beat { .. } => self.beat(now, out),
            WorkerCommand::SendInventory { .. } => {
                let vms = self.vms.inventory().cloned().collect();
                self.report(WorkerReport::Inventory { vms }, out);
            }
            _ => {}
        }
    }

    fn tell_changes(&mut self, out: &mut Out) {
        let told = self.vms.observe();
        self.tell(told, out);
    }

    fn tell(&self, vms: Vec<Observation>, out: &mut Out) {
        if !vms.is_empty() {
            let incarnation = self.lease.incarnation();
            self.report(WorkerReport::Observed { incarnation, vms }, out);
        }
    }

    /// Every coordinator hears every report; the one that leads acts on it.
    fn report(&self, report: WorkerReport, out: &mut Out) {
        for coordinator in 0..self.coordinators {
            let (boot, report) = (self.boot.clone(), report.clone());
            let message = Message::Report { worker: self.number, boot, report };
            out.push((Node::Coordinator(coordinator), message));
        }
    }
}

fn epoch_of(command: &WorkerCommand) -> Option<u64> {
    match command {
        WorkerCommand::Grant { epoch, .. }
        | WorkerCommand::BootRefused { epoch, .. }
        | WorkerCommand::RegisterAgain { epoch }
        | WorkerCommand::Leave { epoch, .. }
        | WorkerCommand::Desire { epoch, .. }
        | WorkerCommand::Beat { epoch }
        | WorkerCommand::SendInventory { epoch } => Some(*epoch),
        _ => None,
    }
}

fn capacity((max_vms, usable_ribosomes): (u64, u64)) -> Capacity {
    let vm_types = vec![VmType::Basic];
    Capacity {
        max_vms,
        total_ribosomes: usable_ribosomes + 12,
        usable_ribosomes,
        warning_permille: 850,
        vm_types,
        packs: BTreeMap::new(),
        pools: Vec::new(),
        own_pools: None,
    }
}

/// The name under which worker `number` registers.
pub(crate) fn name(number: usize) -> Option<WorkerId> {
    format!("w{number}").parse().ok()
}

/// The number of the worker with this name.
pub(crate) fn number(worker: &WorkerId) -> Option<usize> {
    worker.as_str().strip_prefix('w')?.parse().ok()
}
