//! The clocks that a worker reads, and nothing else: everything that decides takes times as arguments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Time since this machine started, sleep included: a lease must run out while the machine is suspended, and
/// no wall clock set back may prolong it.
pub(crate) fn boot_time() -> Duration {
    duration_of(clock_gettime(ClockId::Boottime))
}

/// [`boot_time`] in nanoseconds: 584 years fit.
pub(crate) fn boot_time_ns() -> u64 {
    nanoseconds(boot_time())
}

/// CPU time that the calling thread has used, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    nanoseconds(duration_of(clock_gettime(ClockId::ThreadCPUTime)))
}

/// Milliseconds since 1970, for people who read frames.
pub(crate) fn wall_clock_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// These two clocks never stand before zero.
fn duration_of(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
