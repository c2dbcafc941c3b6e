//! Where a VM runs: in a worker's own hypervisor, or in a guest on a pool. Neither decides its trajectory, so a VM at rest
//! may change it.

use std::sync::Arc;

use bioxen_protocol::command::VmType;
use bioxen_protocol::id::VmKey;
use bioxen_protocol::pool::XcpngPool;

use super::Fleet;
use super::entry::Entry;
use super::format::Format;
use super::rejection::Rejection;
use super::vm::Vm;

/// A VM's type, and the pool of its guest where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub vm_type: VmType,
    pub pool: Option<XcpngPool>,
}

impl Fleet {
    /// The entry that changes where a VM runs; none where it runs there already.
    pub(super) fn decide_home(&self, vm: &Vm, home: &Home) -> Result<Option<Entry>, Rejection> {
        if vm.order.vm_type == home.vm_type && vm.order.pool == home.pool {
            return Ok(None);
        }
        self.may_be_on(home.pool.as_ref())?;
        if self.format < Format::WITH_HOMES {
            return Err(Rejection::OlderCoordinator);
        }
        let Home { vm_type, pool } = home.clone();
        Ok(Some(Entry::Rehomed { key: vm.key.clone(), vm_type, pool }))
    }

    /// Whether every coordinator reads an order with such a pool.
    pub(super) fn may_be_on(&self, pool: Option<&XcpngPool>) -> Result<(), Rejection> {
        let is_own = matches!(pool, Some(XcpngPool::Own(_)));
        if is_own && self.format < Format::WITH_OWN_POOLS { Err(Rejection::OlderCoordinator) } else { Ok(()) }
    }

    pub(super) fn rehomed(&mut self, index: u64, key: &VmKey, vm_type: VmType, pool: Option<&XcpngPool>) {
        self.edit(index, key, |vm| {
            let order = Arc::make_mut(&mut vm.order);
            (order.vm_type, order.pool) = (vm_type, pool.cloned());
        });
    }
}
