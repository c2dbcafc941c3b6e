//! The pool behind its lock, and who is woken when it changes: whoever computes, and whoever tells of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::pool::Pool;
use crate::clock;

/// What those who compute and the backend share.
#[derive(Debug)]
pub(in crate::backend) struct Shared {
    guarded: Mutex<Guarded>,
    wake: Condvar,
    /// Process code waits for a thread of its own kind.
    pub(in crate::backend) process_wake: Condvar,
    pub(in crate::backend) changed: Notify,
    /// For each thread, since when (of the clock that counts sleep) it computes; 0 where it does not.
    pub(in crate::backend) in_work_since_ns: Vec<AtomicU64>,
}

/// What the lock guards.
#[derive(Debug)]
pub(in crate::backend) struct Guarded {
    pub(in crate::backend) pool: Pool,
    /// Until when each sleeping thread sleeps by itself.
    sleeping_until_ns: Vec<u64>,
    pub(in crate::backend) is_stopping: bool,
    pub(in crate::backend) broken: Option<String>,
}

impl Shared {
    pub(in crate::backend) fn new(quantum: Duration, threads: usize) -> Self {
        let pool = Pool::new(clock::nanoseconds(quantum));
        Self {
            guarded: Mutex::new(Guarded {
                pool,
                sleeping_until_ns: Vec::with_capacity(threads),
                is_stopping: false,
                broken: None,
            }),
            wake: Condvar::new(),
            process_wake: Condvar::new(),
            changed: Notify::new(),
            in_work_since_ns: (0..threads).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// A panic of another thread is told by `broken`; its half-done work is never committed.
    pub(in crate::backend) fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the pool from outside the threads, and tells whoever has to know.
    pub(in crate::backend) fn change<T>(&self, change: impl FnOnce(&mut Pool, u64) -> T) -> T {
        let now_ns = clock::boot_time_ns();
        let mut guarded = self.lock();
        let result = change(&mut guarded.pool, now_ns);
        self.wake_a_sleeper(&guarded, now_ns);
        self.tell(&guarded);
        result
    }

    pub(in crate::backend) fn wake_all(&self) {
        self.wake.notify_all();
    }

    pub(in crate::backend) fn longest_in_work(&self) -> Duration {
        let now_ns = clock::boot_time_ns();
        let since = self.in_work_since_ns.iter().map(|since| since.load(Ordering::Relaxed));
        let longest_ns = since.filter(|since| *since > 0).map(|since| now_ns.saturating_sub(since)).max();
        Duration::from_nanos(longest_ns.unwrap_or(0))
    }

    pub(in crate::backend) fn tell(&self, guarded: &Guarded) {
        if guarded.pool.has_process() {
            self.process_wake.notify_one();
        }
        if guarded.pool.has_news() {
            self.changed.notify_one();
        }
    }

    /// One sleeper always sleeps no longer than until the next quantum is due.
    pub(in crate::backend) fn wake_a_sleeper(&self, guarded: &Guarded, now_ns: u64) {
        if let Some(due_ns) = guarded.pool.wake_ns(now_ns)
            && guarded.sleeping_until_ns.iter().all(|until_ns| *until_ns > due_ns)
            && !guarded.sleeping_until_ns.is_empty()
        {
            self.wake.notify_one();
        }
    }

    pub(in crate::backend) fn stop(&self) {
        self.lock().is_stopping = true;
        self.wake.notify_all();
        self.process_wake.notify_all();
    }
}

/// Tells of a thread that panics.
pub(in crate::backend) struct Watch<'a>(pub(in crate::backend) &'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("simulation").to_owned();
            self.0.lock().broken = Some(format!("thread {name} panicked; the message is on stderr"));
            self.0.changed.notify_one();
        }
    }
}

/// Sleeps until the next quantum is due, or something changed.
pub(in crate::backend) fn sleep<'a>(
    shared: &'a Shared,
    mut guarded: MutexGuard<'a, Guarded>,
    now_ns: u64,
) -> MutexGuard<'a, Guarded> {
    let until_ns = guarded.pool.wake_ns(now_ns).unwrap_or(u64::MAX);
    guarded.sleeping_until_ns.push(until_ns);
    let mut guarded = if until_ns == u64::MAX {
        shared.wake.wait(guarded).unwrap_or_else(PoisonError::into_inner)
    } else {
        let nap = Duration::from_nanos(until_ns.saturating_sub(now_ns));
        shared.wake.wait_timeout(guarded, nap).unwrap_or_else(PoisonError::into_inner).0
    };
    if let Some(at) = guarded.sleeping_until_ns.iter().position(|until| *until == until_ns) {
        guarded.sleeping_until_ns.swap_remove(at);
    }
    guarded
}
