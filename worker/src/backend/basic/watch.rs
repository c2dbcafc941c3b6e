//! When a VM's energy is told of. What it is, the quanta look at; this tells nobody itself.

use super::vm::Vm;

/// An alert is told at once, a further one of the same VM no sooner than this after it.
const QUIET_NS: u64 = 10_000_000_000;

impl Vm {
    /// Whether its energy is to be told of: at once, and then not again for a while.
    pub(super) fn is_energy_news(&mut self, now_ns: u64) -> bool {
        let is_quiet = self.atp_told_ns.is_some_and(|told_ns| now_ns < told_ns.saturating_add(QUIET_NS));
        if self.atp == self.atp_told || is_quiet {
            return false;
        }
        (self.atp_told, self.atp_told_ns) = (self.atp, Some(now_ns));
        true
    }
}
