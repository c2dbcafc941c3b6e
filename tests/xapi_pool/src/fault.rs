//! What can be made to go wrong, and how often. It only keeps count; what happens stands where it happens.

use std::time::Duration;

use serde::Deserialize;

/// Something that goes wrong. A `method` is `Class.name`; it stands for the asynchronous call, too, unless it begins with
/// `Async.`, and then for that alone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The call is carried out and its answer lost: the connection closes.
    LoseAnswer {
        /// Of which call.
        method: String,
    },
    /// The connection closes before anything is done.
    LoseCall {
        /// Of which call.
        method: String,
    },
    /// The call is read, not carried out and never answered.
    NeverAnswer {
        /// Of which call.
        method: String,
    },
    /// The call fails instead of being carried out; an operation after it was begun, as a task's failure.
    Fail {
        /// Which call.
        method: String,
        /// XAPI's code, such as `SR_FULL`.
        code: String,
        /// Its parameters.
        params: Vec<String>,
    },
    /// The call fails before it is looked at, which comes in a list with id 0.
    FailEarly {
        /// Which call.
        method: String,
        /// XAPI's code.
        code: String,
        /// Its parameters.
        params: Vec<String>,
    },
    /// An operation takes longer.
    Slow {
        /// Which.
        method: String,
        /// By how much, in milliseconds.
        by_ms: u64,
    },
    /// `event.from` says EVENTS_LOST.
    EventsLost,
    /// What changed since is never told, and nobody says so.
    EventsSkipped,
    /// A guest that starts never gets an address.
    NoAddress,
    /// A guest that starts has another host key than it was given, or than it had.
    WrongHostKey,
    /// The sshd of a guest that starts takes connections and says nothing.
    SshdHangs,
    /// A guest that starts has no tools: no metrics, no clean shutdown.
    NoTools,
    /// A disk is still attached when its VM is halted already: VDI_IN_USE.
    LateDetach,
    /// Connections are accepted and nothing is ever said, not even TLS.
    Mute,
    /// There is no `/jsonrpc`: 404.
    NoJsonRpc,
}

impl Fault {
    /// How long it makes an operation last.
    pub(crate) fn delay(&self) -> Duration {
        if let Self::Slow { by_ms, .. } = self { Duration::from_millis(*by_ms) } else { Duration::ZERO }
    }
}

/// Whether a fault of `wanted` means the call `method`.
pub(crate) fn means(wanted: &str, method: &str) -> bool {
    wanted == method || method.strip_prefix("Async.") == Some(wanted)
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Fault, u32)>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault, times: u32) {
        self.0.push((fault, times));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The first that `wanted` takes, which is then spent once.
    pub(crate) fn take(&mut self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let at = self.0.iter().position(|(fault, times)| *times > 0 && wanted(fault))?;
        let (fault, times) = self.0.get_mut(at)?;
        *times = times.saturating_sub(1);
        let fault = fault.clone();
        self.0.retain(|(_, times)| *times > 0);
        Some(fault)
    }

    /// How many kinds are still to come.
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_spent_by_the_calls_that_it_means() {
        let mut faults = Faults::default();
        faults.add(Fault::LoseAnswer { method: "VM.clone".to_owned() }, 2);
        let taken = |faults: &mut Faults, call: &str| {
            faults
                .take(|fault| matches!(fault, Fault::LoseAnswer { method } if means(method, call)))
                .is_some()
        };
        assert!(!taken(&mut faults, "VM.start"));
        assert!(taken(&mut faults, "Async.VM.clone"));
        assert!(taken(&mut faults, "VM.clone"));
        assert!(!taken(&mut faults, "VM.clone"));
        assert!(means("Async.VM.clone", "Async.VM.clone") && !means("Async.VM.clone", "VM.clone"));
    }
}
