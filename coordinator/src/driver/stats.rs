//! What was done, by verb: for `performance`, `$SRV.STATS` and Prometheus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bioxen_protocol::command::Verb;
use bioxen_protocol::error::Code;

/// Counts of one verb since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct VerbStats {
    pub(crate) count: u64,
    pub(crate) failures: u64,
    pub(crate) time: Duration,
    pub(crate) last_error: Option<Code>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stats {
    pub(crate) started: Instant,
    by_verb: Arc<Mutex<BTreeMap<Verb, VerbStats>>>,
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), by_verb: Arc::default() }
    }

    /// Notes that a command was answered, or decided where the answer comes from elsewhere.
    pub(crate) fn note(&self, verb: Option<Verb>, received: Instant, refused: Option<Code>) {
        let took = received.elapsed();
        let name = verb.map_or("unknown", Verb::as_str);
        let outcome = refused.map_or("accepted", Code::as_str);
        metrics::counter!(crate::metrics::COMMANDS, "verb" => name, "outcome" => outcome).increment(1);
        metrics::histogram!(crate::metrics::COMMAND_SECONDS, "verb" => name).record(took.as_secs_f64());
        let Some(verb) = verb else { return };
        let mut by_verb = self.by_verb.lock().unwrap_or_else(PoisonError::into_inner);
        let stats = by_verb.entry(verb).or_default();
        stats.count += 1;
        stats.time += took;
        if let Some(code) = refused {
            stats.failures += 1;
            stats.last_error = Some(code);
        }
    }

    pub(crate) fn by_verb(&self) -> BTreeMap<Verb, VerbStats> {
        self.by_verb.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
