//! Which VM runs next: by due time, then fairly by priority. Pure; times come in.
//!
//! ```text
//!   idle --urgent--------> ready, before all others: builds, stops, changes
//!     \---at(due)--> timer --due--> ready, lowest virtual runtime first --next--> taken --at / idle / urgent--> ..
//! ```
//!
//! Virtual runtime is thread time over weight (priority 1 weighs 5, priority 5 weighs 1), so everyone gets a share
//! and nobody starves. A VM that slept keeps no credit. It knows nothing of cells and paces.

use std::collections::{BTreeSet, HashMap};

/// A VM's number in this process; never reused, so that a late answer for a forgotten VM finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::backend) struct Number(pub(super) u64);

/// Divisible by every weight, so that virtual runtimes are whole.
const WEIGHT_UNIT: u64 = 60;
/// Due times are gathered to these steps: one waking serves all VMs due within it.
const TIMER_STEP_NS: u64 = 5_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Idle,
    Timer(u64),
    Ready(ReadyKey),
    Taken,
}

/// Urgent ones first, then by virtual runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ReadyKey {
    normal: bool,
    virtual_ns: u64,
    number: Number,
}

#[derive(Debug)]
struct Entry {
    /// Virtual nanoseconds that one of thread time costs.
    cost: u64,
    virtual_ns: u64,
    /// When it became ready last.
    ready_at_ns: u64,
    place: Place,
}

/// The queues of the simulation threads.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    entries: HashMap<Number, Entry>,
    timers: BTreeSet<(u64, Number)>,
    ready: BTreeSet<ReadyKey>,
    /// The highest virtual runtime taken so far: where newcomers and sleepers join.
    reached_virtual_ns: u64,
}

impl Scheduler {
    /// Takes a VM in, idle.
    pub(super) fn add(&mut self, number: Number, priority: u8) {
        let (cost, virtual_ns) = (cost_of(priority), self.reached_virtual_ns);
        let entry = Entry { cost, virtual_ns, ready_at_ns: 0, place: Place::Idle };
        self.entries.insert(number, entry);
    }

    pub(super) fn remove(&mut self, number: Number) {
        self.unplace(number);
        self.entries.remove(&number);
    }

    pub(super) fn set_priority(&mut self, number: Number, priority: u8) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.cost = cost_of(priority);
        }
    }

    /// Nothing to do until told otherwise.
    pub(super) fn idle(&mut self, number: Number) {
        self.unplace(number);
    }

    /// To be taken once `due_ns` has come.
    pub(super) fn at(&mut self, number: Number, due_ns: u64, now_ns: u64) {
        self.unplace(number);
        if due_ns <= now_ns {
            return self.make_ready(number, true, now_ns);
        }
        let due_ns = due_ns.div_ceil(TIMER_STEP_NS).saturating_mul(TIMER_STEP_NS);
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.place = Place::Timer(due_ns);
            self.timers.insert((due_ns, number));
        }
    }

    /// To be taken before all others.
    pub(super) fn urgent(&mut self, number: Number, now_ns: u64) {
        self.unplace(number);
        self.make_ready(number, false, now_ns);
    }

    /// Takes the next VM, and says since when it waited; it stays taken until it is placed again.
    pub(super) fn next(&mut self, now_ns: u64) -> Option<(Number, u64)> {
        while let Some(&(due_ns, number)) = self.timers.first() {
            if due_ns > now_ns {
                break;
            }
            self.timers.pop_first();
            self.make_ready(number, true, due_ns);
        }
        let key = self.ready.pop_first()?;
        if key.normal {
            self.reached_virtual_ns = self.reached_virtual_ns.max(key.virtual_ns);
        }
        let entry = self.entries.get_mut(&key.number)?;
        entry.place = Place::Taken;
        Some((key.number, entry.ready_at_ns))
    }

    /// Thread time that a VM has used.
    pub(super) fn charge(&mut self, number: Number, used_ns: u64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            // Never for nothing, or one VM of empty quanta could hold the head of the queue.
            entry.virtual_ns = entry.virtual_ns.saturating_add(used_ns.max(1).saturating_mul(entry.cost));
        }
    }

    /// When there will be something to take: 0 for at once.
    pub(super) fn wake_ns(&self) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(0);
        }
        self.timers.first().map(|(due_ns, _)| *due_ns)
    }

    fn make_ready(&mut self, number: Number, normal: bool, ready_at_ns: u64) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if normal {
            entry.virtual_ns = entry.virtual_ns.max(self.reached_virtual_ns);
        }
        let key = ReadyKey { normal, virtual_ns: entry.virtual_ns, number };
        entry.place = Place::Ready(key);
        entry.ready_at_ns = ready_at_ns;
        self.ready.insert(key);
    }

    fn unplace(&mut self, number: Number) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        match entry.place {
            Place::Timer(due_ns) => {
                self.timers.remove(&(due_ns, number));
            }
            Place::Ready(key) => {
                self.ready.remove(&key);
            }
            Place::Idle | Place::Taken => {}
        }
        entry.place = Place::Idle;
    }
}

/// 12 for priority 1, 60 for priority 5; what lies outside counts as the nearest.
fn cost_of(priority: u8) -> u64 {
    WEIGHT_UNIT / (6 - u64::from(priority.clamp(1, 5)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_priorities(priorities: &[u8]) -> Scheduler {
        let mut scheduler = Scheduler::default();
        for (number, priority) in (0..).zip(priorities) {
            scheduler.add(Number(number), *priority);
            scheduler.at(Number(number), 0, 0);
        }
        scheduler
    }

    /// Thread time each gets where all always have work and each quantum takes `used_ns`.
    fn shares(scheduler: &mut Scheduler, vms: usize, quanta: u64, used_ns: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut shares = vec![0; vms];
        for _ in 0..quanta {
            let (number, _) = scheduler.next(0).unwrap();
            let used_ns = used_ns(number.0);
            shares[usize::try_from(number.0).unwrap()] += used_ns;
            scheduler.charge(number, used_ns);
            scheduler.at(number, 0, 0);
        }
        shares
    }

    #[test]
    fn thread_time_is_shared_by_the_weight_of_priorities() {
        let mut scheduler = with_priorities(&[1, 2, 3, 4, 5]);
        let shares = shares(&mut scheduler, 5, 15_000, |_| 1000);
        for (priority, share) in (1..).zip(&shares) {
            let expected = 1000 * 1000 * (6 - priority);
            assert!(share.abs_diff(expected) <= expected / 50, "priority {priority}: {share}");
        }
    }

    #[test]
    fn long_quanta_win_no_time_over_short_ones() {
        let mut scheduler = with_priorities(&[3, 3]);
        let shares = shares(&mut scheduler, 2, 11_000, |number| if number == 0 { 10_000 } else { 1000 });
        assert!(shares[0].abs_diff(shares[1]) <= 20_000, "{shares:?}");
    }

    #[test]
    fn the_lowest_priority_is_never_starved() {
        let mut scheduler = with_priorities(&[1, 1, 1, 1, 1, 1, 1, 1, 5]);
        let shares = shares(&mut scheduler, 9, 4_100, |_| 1000);
        assert!(shares[8] >= 90 * 1000, "{shares:?}");
    }

    #[test]
    fn a_sleeper_gathers_no_credit() {
        let mut scheduler = with_priorities(&[3, 3]);
        scheduler.idle(Number(1));
        shares(&mut scheduler, 2, 1000, |_| 1000);
        scheduler.at(Number(1), 0, 0);
        let shares = shares(&mut scheduler, 2, 100, |_| 1000);
        assert!(shares[1] <= 51 * 1000, "{shares:?}");
    }

    #[test]
    fn what_is_due_later_waits_and_urgent_work_goes_first() {
        let mut scheduler = with_priorities(&[1, 3, 5]);
        scheduler.at(Number(0), 12_000_000, 0);
        assert_eq!(scheduler.wake_ns(), Some(0));
        scheduler.urgent(Number(2), 0);
        assert_eq!(scheduler.next(0), Some((Number(2), 0)));
        assert_eq!(scheduler.next(0), Some((Number(1), 0)));
        assert_eq!((scheduler.next(0), scheduler.wake_ns()), (None, Some(15_000_000)));
        assert_eq!(scheduler.next(16_000_000), Some((Number(0), 15_000_000)));
        assert_eq!(scheduler.wake_ns(), None);
    }

    #[test]
    fn a_removed_vm_is_never_taken() {
        let mut scheduler = with_priorities(&[1, 3]);
        scheduler.remove(Number(0));
        scheduler.at(Number(0), 0, 0);
        assert_eq!(scheduler.next(0), Some((Number(1), 0)));
        scheduler.remove(Number(1));
        scheduler.charge(Number(1), 5);
        assert_eq!((scheduler.next(0), scheduler.wake_ns()), (None, None));
    }
}
