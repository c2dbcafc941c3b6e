//! Whether the program is alive (its main task beats) and ready (nothing is missing to do its work).
//!
//! Both are cheap handles: clone them to whoever knows. They decide nothing; a supervisor reads them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The beat of a program's main task; a supervisor restarts a program whose heart has stopped.
#[derive(Debug, Clone)]
pub struct Health {
    beat_age_limit: Duration,
    last_beat: Arc<Mutex<Instant>>,
}

impl Health {
    /// A heart that counts as beaten now, and as stopped once its last beat is `beat_age_limit` old.
    pub fn new(beat_age_limit: Duration) -> Self {
        Self { beat_age_limit, last_beat: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Called by the main task each time it comes round, well within the limit.
    pub fn beat(&self) {
        *lock(&self.last_beat) = Instant::now();
    }

    /// Whether the last beat is recent enough.
    pub fn is_alive(&self) -> bool {
        self.check(Instant::now()).is_ok()
    }

    /// `Err` says for a person how long the heart has stood still.
    pub(crate) fn check(&self, now: Instant) -> Result<(), String> {
        let age = now.saturating_duration_since(*lock(&self.last_beat));
        if age < self.beat_age_limit {
            return Ok(());
        }
        let (age_s, limit_s) = (age.as_secs_f64(), self.beat_age_limit.as_secs_f64());
        Err(format!("the main task's last beat is {age_s:.1} s old; it must be less than {limit_s:.1} s"))
    }
}

/// The named conditions that must hold before the program can do its work, with the reason where one does not.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    /// By name; `Some` holds why the condition does not hold.
    conditions: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
    /// What there is to say beside, by name.
    notes: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Readiness {
    /// Without conditions, hence ready: name each with [`Readiness::not_ready`] before serving.
    pub fn new() -> Self {
        Self::default()
    }

    /// The condition `name` does not hold; `reason` says what is missing, and what to do if that helps.
    pub fn not_ready(&self, name: &'static str, reason: impl Into<String>) {
        lock(&self.conditions).insert(name, Some(reason.into()));
    }

    /// The condition `name` holds.
    pub fn ready(&self, name: &'static str) {
        lock(&self.conditions).insert(name, None);
    }

    /// Says something that is no condition, such as the role that the program has.
    pub fn note(&self, name: &'static str, text: impl Into<String>) {
        lock(&self.notes).insert(name, text.into());
    }

    /// What was said beside the conditions.
    pub fn notes(&self) -> Vec<(&'static str, String)> {
        lock(&self.notes).iter().map(|(name, text)| (*name, text.clone())).collect()
    }

    /// Whether every condition holds.
    pub fn is_ready(&self) -> bool {
        lock(&self.conditions).values().all(Option::is_none)
    }

    /// The conditions that do not hold, by name, with the reasons.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        let conditions = lock(&self.conditions);
        conditions.iter().filter_map(|(name, reason)| Some((*name, reason.clone()?))).collect()
    }
}

/// Each value is written in one step, so one left by a panicking thread is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_stops_when_its_last_beat_is_too_old() {
        let health = Health::new(Duration::from_secs(5));
        let now = Instant::now();
        assert!(health.is_alive());
        assert!(health.check(now + Duration::from_secs(4)).is_ok());
        let stopped = health.check(now + Duration::from_secs(6)).unwrap_err();
        assert!(stopped.ends_with("it must be less than 5.0 s"), "{stopped}");
    }

    #[test]
    fn a_beat_on_any_clone_starts_the_heart_again() {
        let health = Health::new(Duration::from_secs(5));
        *lock(&health.last_beat) -= Duration::from_secs(60);
        assert!(!health.is_alive());
        health.clone().beat();
        assert!(health.is_alive());
    }

    #[test]
    fn a_program_is_ready_when_every_condition_holds() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        readiness.not_ready("journal", "no connection to the bus");
        readiness.not_ready("ledger", "applying the journal's tail");
        readiness.clone().ready("ledger");
        assert!(!readiness.is_ready());
        assert_eq!(readiness.missing(), [("journal", "no connection to the bus".to_owned())]);
        readiness.ready("journal");
        assert!(readiness.is_ready());
    }
}
