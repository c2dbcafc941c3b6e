//! `vm_type: basic`: cells computed in this process, on a fixed number of simulation threads.

pub(super) mod threads;

use std::sync::Arc;
use std::time::Duration;

use self::threads::Threads;
use super::cells::Cells;
use super::cells::shared::Shared;
use crate::guest::GuestPool;

/// Starts `threads` simulation threads with quanta of `quantum`; without `guests` no process code runs.
///
/// # Errors
/// The system gives no more threads.
pub fn start(threads: usize, quantum: Duration, guests: Option<&Arc<GuestPool>>) -> std::io::Result<Cells> {
    let shared = Arc::new(Shared::new(quantum, threads));
    let threads = Threads::start(&shared, guests)?;
    Ok(Cells::with_threads(shared, threads))
}
