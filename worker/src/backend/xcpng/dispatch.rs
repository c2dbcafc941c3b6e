//! Two threads that hand work out to keepers: who is due says the pool of cells, as it does for simulation threads.

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use super::super::cells::shared::{Shared, Watch, sleep};
use super::Guarded;
use super::handle::Work;
use crate::clock;

/// The running threads; dropping it ends them.
#[derive(Debug)]
pub(super) struct Dispatch {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

impl Dispatch {
    /// # Errors
    /// The system gives no more threads.
    pub(super) fn start(shared: &Arc<Shared>, keepers: &Arc<Guarded>) -> std::io::Result<Self> {
        let mut dispatch = Self { shared: Arc::clone(shared), handles: Vec::new() };
        for (name, hand_out) in
            [("quanta", hand_out_quanta as fn(&Shared, &Guarded)), ("processes", hand_out_processes)]
        {
            let (shared, keepers) = (Arc::clone(shared), Arc::clone(keepers));
            let thread = std::thread::Builder::new().name(name.to_owned());
            dispatch.handles.push(thread.spawn(move || {
                let _watch = Watch(&shared);
                hand_out(&shared, &keepers);
            })?);
        }
        Ok(dispatch)
    }
}

impl Drop for Dispatch {
    fn drop(&mut self) {
        self.shared.stop();
        for handle in self.handles.drain(..) {
            // A panic has been told by its watch.
            let _ = handle.join();
        }
    }
}

fn hand_out_quanta(shared: &Shared, keepers: &Guarded) {
    let mut guarded = shared.lock();
    while !guarded.is_stopping {
        let now_ns = clock::boot_time_ns();
        match guarded.pool.take(now_ns) {
            Some((number, assignment)) => {
                let key = guarded.pool.key(number).cloned();
                drop(guarded);
                keepers.give(key.as_ref(), Work::Quantum(number, Box::new(assignment)));
                guarded = shared.lock();
            }
            None => guarded = sleep(shared, guarded, now_ns),
        }
    }
}

fn hand_out_processes(shared: &Shared, keepers: &Guarded) {
    let mut guarded = shared.lock();
    while !guarded.is_stopping {
        match guarded.pool.take_process() {
            Some((number, work)) => {
                let key = guarded.pool.key(number).cloned();
                drop(guarded);
                keepers.give(key.as_ref(), Work::Process(number, Box::new(work)));
                guarded = shared.lock();
            }
            None => guarded = shared.process_wake.wait(guarded).unwrap_or_else(PoisonError::into_inner),
        }
    }
}
