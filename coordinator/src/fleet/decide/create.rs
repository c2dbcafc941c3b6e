//! `create`: a slot and an allocation at once, or a place in the user's backlog.

use bioxen_protocol::command::OnFull;
use bioxen_protocol::id::VmKey;
use bioxen_protocol::state::VmState;
use bioxen_protocol::worker::CellAllocation;

use super::Decided;
use crate::fleet::Fleet;
use crate::fleet::amounts::Amounts;
use crate::fleet::command::{Answer, NewVm};
use crate::fleet::entry::{Cause, Created, Entry};
use crate::fleet::rejection::{Rejection, Resource};

impl Fleet {
    pub(super) fn decide_create(&self, cause: &Cause, key: VmKey, new: &NewVm) -> Result<Decided, Rejection> {
        self.check_name(&key)?;
        self.may_be_on(new.order.pool.as_ref())?;
        within_most(new.order.allocation, new.most)?;
        let queues = new.on_full == OnFull::Queue;
        // Who is ready to wait does not overtake those who do.
        let room = if queues && !self.waiting_users.is_empty() { Ok(None) } else { self.room_now(&key, new) };
        match room {
            Ok(Some(placed)) => Ok(self.accept_create(cause, key, new, VmState::Starting, placed)),
            Ok(None) if !queues => Ok(self.accept_create(cause, key, new, VmState::Created, None)),
            Err(reason) if !queues || matches!(reason, Rejection::AboveAnyWorker { .. }) => Err(reason),
            Ok(None) | Err(_) => {
                self.check_backlog(&key.user, 1)?;
                Ok(self.accept_create(cause, key, new, VmState::Queued, None))
            }
        }
    }

    /// Room for the VM now: its placing where it shall start at once.
    fn room_now(&self, key: &VmKey, new: &NewVm) -> Result<Option<Option<Entry>>, Rejection> {
        let held = Amounts::of(new.order.allocation);
        self.check_limits(&key.user, held)?;
        if !new.auto_start {
            return Ok(None);
        }
        let (worker, boot) = self.place(&new.order, held.ribosomes)?;
        Ok(Some(Some(Entry::Placed { key: key.clone(), worker, boot, held })))
    }

    fn accept_create(
        &self,
        cause: &Cause,
        key: VmKey,
        new: &NewVm,
        state: VmState,
        placed: Option<Entry>,
    ) -> Decided {
        let queued = state == VmState::Queued;
        let held = if queued { Amounts::NOTHING } else { Amounts::of(new.order.allocation) };
        let queue_position = queued.then(|| self.position_of_next(new.order.priority));
        let answer = Answer::Created { vm: key.vm.clone(), state, queue_position };
        let created = Entry::Created(Box::new(Created {
            cause: cause.clone(),
            key,
            order: new.order.clone(),
            most: new.most,
            on_complete: new.on_complete,
            labels: new.labels.clone(),
            queued,
            held,
            answered_state: state,
            queue_position,
            member: None,
        }));
        Decided { entries: std::iter::once(created).chain(placed).collect(), answer }
    }
}

/// Whether an allocation stays within the VM's most.
pub(crate) fn within_most(asked: CellAllocation, most: CellAllocation) -> Result<(), Rejection> {
    let checks = [
        (Resource::Atp, asked.atp_millipercent, most.atp_millipercent),
        (Resource::Ribosomes, asked.ribosomes, most.ribosomes),
        (Resource::MemoryKb, asked.memory_kb, most.memory_kb),
    ];
    match checks.into_iter().find(|(_, requested, most)| requested > most) {
        Some((resource, requested, most)) => Err(Rejection::AboveMost { resource, requested, most }),
        None => Ok(()),
    }
}
