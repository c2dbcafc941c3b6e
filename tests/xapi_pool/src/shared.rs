//! The pool's state and how its parts reach it: one lock, whose release tells waiters that something changed. Nobody
//! waits while holding it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::fault::{Fault, means};
use crate::model::Model;
use crate::state::State;
use crate::value::{Failure, Value};

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The store's generation.
    pub(crate) changed: watch::Sender<u64>,
    /// The pool's life; its change closes every connection.
    pub(crate) life: watch::Sender<u64>,
    /// The published data model, where it is present.
    pub(crate) official: Option<Model>,
}

impl Shared {
    pub(crate) fn new(state: State, official: Option<Model>) -> Self {
        let (changed, life) = (watch::Sender::new(0), watch::Sender::new(state.life));
        Self { state: Mutex::new(state), changed, life, official }
    }

    pub(crate) fn lock(&self) -> Guard<'_> {
        // A test that failed with the lock in hand must not hide why behind the poison.
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.store.generation();
        Guard { state, before, changed: &self.changed }
    }
}

/// The state, while it is one's own.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    state: MutexGuard<'a, State>,
    before: u64,
    changed: &'a watch::Sender<u64>,
}

impl Deref for Guard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let now = self.state.store.generation();
        if now != self.before {
            self.changed.send_replace(now);
        }
    }
}

/// Slices in which an operation passes, between which it can be cancelled.
const SLICES: u32 = 10;

/// A call on its way through the pool.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    /// `Class.name`.
    pub(crate) method: String,
    pub(crate) session: String,
    /// Without the session.
    pub(crate) params: Vec<Value>,
    /// What carries it out.
    pub(crate) task: String,
    /// The life in which it came.
    pub(crate) life: u64,
}

impl Call {
    /// The text of a parameter.
    pub(crate) fn text(&self, at: usize) -> &str {
        self.params.get(at).map_or("", Value::as_text)
    }

    pub(crate) fn is_true(&self, at: usize) -> bool {
        self.params.get(at).is_some_and(Value::is_true)
    }

    pub(crate) fn int(&self, at: usize) -> i64 {
        self.params.get(at).map_or(0, Value::as_int)
    }

    /// Lets the time of an operation pass.
    ///
    /// # Errors
    /// It was cancelled, the pool was restarted, or a fault says so.
    pub(crate) async fn pass_time(&self) -> Result<(), Failure> {
        let total = {
            let mut state = self.shared.lock();
            let slow = state
                .fault(|fault| matches!(fault, Fault::Slow { method, .. } if means(method, &self.method)));
            state.options.operation_time + slow.map_or(Duration::ZERO, |fault| fault.delay())
        };
        for slice in 1..=SLICES {
            tokio::time::sleep(total / SLICES).await;
            let mut state = self.shared.lock();
            if state.life != self.life {
                return Err(Failure::new("INTERNAL_ERROR", &["the toolstack was restarted"]));
            }
            if state.cancelled.remove(&self.task) {
                return Err(Failure::new("TASK_CANCELLED", &[&self.task]));
            }
            let progress = Value::Float(f64::from(slice) / f64::from(SLICES));
            state.store.set("task", &self.task, "progress", progress);
        }
        self.failure_on_demand()
    }

    /// # Errors
    /// What a fault says.
    pub(crate) fn failure_on_demand(&self) -> Result<(), Failure> {
        let mut state = self.shared.lock();
        let fails =
            |fault: &Fault| matches!(fault, Fault::Fail { method, .. } if means(method, &self.method));
        match state.fault(fails) {
            Some(Fault::Fail { code, params, .. }) => Err(Failure { code, params }),
            _ => Ok(()),
        }
    }
}
