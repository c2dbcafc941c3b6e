//! What a VM holds of the limited things. Whole numbers only: sums must be exact.

use bioxen_protocol::worker::CellAllocation;
use serde::{Deserialize, Serialize};

/// Slots, thousandths of a percent of ATP, allocation units of ribosomes, KiB of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    pub slots: u64,
    pub atp_millipercent: u64,
    pub ribosomes: u64,
    pub memory_kb: u64,
}

impl Amounts {
    pub const NOTHING: Self = Self { slots: 0, atp_millipercent: 0, ribosomes: 0, memory_kb: 0 };
    pub const SLOT: Self = Self { slots: 1, ..Self::NOTHING };

    /// A slot and an allocation, as a VM holds while it may run.
    pub fn of(allocation: CellAllocation) -> Self {
        Self {
            slots: 1,
            atp_millipercent: allocation.atp_millipercent,
            ribosomes: allocation.ribosomes,
            memory_kb: allocation.memory_kb,
        }
    }

    pub fn plus(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    /// Sums hold what their parts hold, so an underflow is a broken invariant: it stops the process.
    pub fn minus(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    pub fn most_of(self, other: Self) -> Self {
        self.zip(other, u64::max)
    }

    /// What `self` lacks to reach `other`.
    pub fn lacks(self, other: Self) -> Self {
        other.zip(self, u64::saturating_sub)
    }

    fn zip(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            slots: join(self.slots, other.slots),
            atp_millipercent: join(self.atp_millipercent, other.atp_millipercent),
            ribosomes: join(self.ribosomes, other.ribosomes),
            memory_kb: join(self.memory_kb, other.memory_kb),
        }
    }
}
