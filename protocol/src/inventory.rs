//! The digest by which leader and worker see whether they agree on what the worker holds.

use crate::alert::AtpWatch;
use crate::id::{Generation, VmKey};
use crate::worker::ObservedState;

/// A digest of what a worker holds, equal on both sides when they agree: the sum over the VMs of a hash of (user, VM,
/// generation, state, applied, energy). Independent of order.
pub fn inventory_digest<'a>(
    vms: impl Iterator<Item = (&'a VmKey, Generation, ObservedState, u64, AtpWatch)>,
) -> u64 {
    vms.fold(0u64, |sum, (key, generation, state, applied, atp)| {
        let mut hash = Fnv::new();
        hash.write(key.user.as_str().as_bytes());
        hash.write(&[0]);
        hash.write(key.vm.as_str().as_bytes());
        hash.write(&[0, state as u8]);
        hash.write(&generation.incarnation.to_be_bytes());
        hash.write(&generation.index.to_be_bytes());
        hash.write(&applied.to_be_bytes());
        hash.write(&atp.crossings.to_be_bytes());
        hash.write(&[u8::from(atp.is_low)]);
        sum.wrapping_add(hash.0)
    })
}

/// FNV-1a of some bytes: any single changed byte changes it.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    let mut hash = Fnv::new();
    hash.write(bytes);
    hash.0
}

/// FNV-1a: stable across versions, which std's hasher does not promise.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
