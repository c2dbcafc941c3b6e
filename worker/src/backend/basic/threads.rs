//! The simulation threads: a fixed number, asleep while nothing is due.
//!
//! Process code has threads of its own. Each thread takes a quantum under the lock, computes it without, and commits it under the lock. A thread that panics
//! marks the whole backend as broken: the process stops then, for a VM that nobody runs must not look alive.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;

use super::pool::Pool;
use crate::clock;
use crate::guest::GuestPool;

/// What the threads and the backend share.
#[derive(Debug)]
pub(super) struct Shared {
    guarded: Mutex<Guarded>,
    wake: Condvar,
    /// Process code waits for a thread of its own kind.
    process_wake: Condvar,
    pub(super) changed: Notify,
    /// For each thread, since when (of the clock that counts sleep) it computes; 0 where it does not.
    in_work_since_ns: Vec<AtomicU64>,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) pool: Pool,
    /// Until when each sleeping thread sleeps by itself.
    sleeping_until_ns: Vec<u64>,
    is_stopping: bool,
    pub(super) broken: Option<String>,
}

impl Shared {
    pub(super) fn new(pool: Pool, threads: usize) -> Self {
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
    pub(super) fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the pool from outside the threads, and tells whoever has to know.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Pool, u64) -> T) -> T {
        let now_ns = clock::boot_time_ns();
        let mut guarded = self.lock();
        let result = change(&mut guarded.pool, now_ns);
        self.wake_a_sleeper(&guarded, now_ns);
        self.tell(&guarded);
        result
    }

    pub(super) fn wake_all(&self) {
        self.wake.notify_all();
    }

    pub(super) fn longest_in_work(&self) -> Duration {
        let now_ns = clock::boot_time_ns();
        let since = self.in_work_since_ns.iter().map(|since| since.load(Ordering::Relaxed));
        let longest_ns = since.filter(|since| *since > 0).map(|since| now_ns.saturating_sub(since)).max();
        Duration::from_nanos(longest_ns.unwrap_or(0))
    }

    fn tell(&self, guarded: &Guarded) {
        if guarded.pool.has_process() {
            self.process_wake.notify_one();
        }
        if guarded.pool.has_news() {
            self.changed.notify_one();
        }
    }

    /// One sleeper always sleeps no longer than until the next quantum is due.
    fn wake_a_sleeper(&self, guarded: &Guarded, now_ns: u64) {
        if let Some(due_ns) = guarded.pool.wake_ns(now_ns)
            && guarded.sleeping_until_ns.iter().all(|until_ns| *until_ns > due_ns)
            && !guarded.sleeping_until_ns.is_empty()
        {
            self.wake.notify_one();
        }
    }

    fn stop(&self) {
        self.lock().is_stopping = true;
        self.wake.notify_all();
        self.process_wake.notify_all();
    }
}

/// The running threads; dropping it ends them after their quanta, which do not commit.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// # Errors
    /// The system gives no more threads.
    pub(super) fn start(shared: &Arc<Shared>, guests: Option<&Arc<GuestPool>>) -> std::io::Result<Self> {
        let mut threads = Self { shared: Arc::clone(shared), handles: Vec::new() };
        for index in 0..shared.in_work_since_ns.len() {
            let shared = Arc::clone(shared);
            let thread = std::thread::Builder::new().name(format!("simulation-{index}"));
            threads.handles.push(thread.spawn(move || {
                let _watch = Watch(&shared);
                work(&shared, index);
            })?);
        }
        for index in 0..shared.in_work_since_ns.len() {
            let (shared, guests) = (Arc::clone(shared), guests.cloned());
            let thread = std::thread::Builder::new().name(format!("process-{index}"));
            threads.handles.push(thread.spawn(move || {
                let _watch = Watch(&shared);
                run_processes(&shared, guests.as_deref());
            })?);
        }
        Ok(threads)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop();
        for handle in self.handles.drain(..) {
            // A panic has been told by its watch.
            let _ = handle.join();
        }
    }
}

/// Tells of a thread that panics.
pub(super) struct Watch<'a>(pub(super) &'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = std::thread::current().name().unwrap_or("simulation").to_owned();
            self.0.lock().broken = Some(format!("thread {name} panicked; the message is on stderr"));
            self.0.changed.notify_one();
        }
    }
}

fn work(shared: &Shared, index: usize) {
    let mut guarded = shared.lock();
    while !guarded.is_stopping {
        let now_ns = clock::boot_time_ns();
        let Some((number, assignment)) = guarded.pool.take(now_ns) else {
            guarded = sleep(shared, guarded, now_ns);
            continue;
        };
        shared.wake_a_sleeper(&guarded, now_ns);
        drop(guarded);
        shared.in_work_since_ns[index].store(now_ns.max(1), Ordering::Relaxed);
        let cpu_ns = clock::thread_cpu_ns();
        let outcome = assignment.run();
        let used_ns = clock::thread_cpu_ns().saturating_sub(cpu_ns);
        shared.in_work_since_ns[index].store(0, Ordering::Relaxed);
        guarded = shared.lock();
        if guarded.is_stopping {
            break;
        }
        guarded.pool.commit(number, outcome, used_ns, clock::boot_time_ns());
        shared.tell(&guarded);
    }
}

/// Runs process code, one piece at a time: what waits for a guest must not hold up the simulation.
fn run_processes(shared: &Shared, guests: Option<&GuestPool>) {
    let mut guarded = shared.lock();
    while !guarded.is_stopping {
        let Some((number, work)) = guarded.pool.take_process() else {
            guarded = shared.process_wake.wait(guarded).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(guarded);
        let ended = work.run(guests);
        guarded = shared.lock();
        if guarded.is_stopping {
            break;
        }
        let now_ns = clock::boot_time_ns();
        guarded.pool.commit_process(number, ended, now_ns);
        shared.wake_a_sleeper(&guarded, now_ns);
        shared.tell(&guarded);
    }
}

fn sleep<'a>(
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
