//! The simulation threads: a fixed number, asleep while nothing is due.
//!
//! Process code has threads of its own. Each thread takes a quantum under the lock, computes it without, and commits it under the lock. A thread that panics
//! marks the whole backend as broken: the process stops then, for a VM that nobody runs must not look alive.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use super::super::cells::shared::{Shared, Watch, sleep};
use crate::clock;
use crate::guest::GuestPool;

/// The running threads; dropping it ends them after their quanta, which do not commit.
#[derive(Debug)]
pub(in crate::backend) struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// # Errors
    /// The system gives no more threads.
    pub(in crate::backend) fn start(
        shared: &Arc<Shared>,
        guests: Option<&Arc<GuestPool>>,
    ) -> std::io::Result<Self> {
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
