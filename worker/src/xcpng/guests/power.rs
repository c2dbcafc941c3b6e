//! Bringing a guest to a power state, from whichever it is in, whatever else is going on with it.
//!
//! ```text
//!   Halted --start--> Running --pause--> Paused      Suspended --resume--> Running
//!      ^---shutdown-----'   ^--unpause---'               ^----suspend------'
//! ```

use std::time::Duration;

use serde_json::Value;

use super::super::deadline::Deadline;
use super::super::fault::XcpngError;
use super::{Guest, Guests, PowerState, again};

/// A guest that has not shut down by itself by then is switched off.
const CLEAN_SHUTDOWN: Duration = Duration::from_secs(60);
/// Two lead from any state to any other; a guest that falls back each time is not pushed for ever.
const STEPS_MOST: u32 = 10;
/// How often something that is being done with a guest is looked at.
const BUSY_DELAY: Duration = Duration::from_secs(1);

impl Guests {
    /// Brings a guest to `wanted`. A Suspended or Paused one is reached from Running, so a Halted one is started first.
    ///
    /// # Errors
    /// The pool refuses, or it is not reached by the deadline.
    pub async fn power(
        &self,
        guest: &Guest,
        wanted: PowerState,
        deadline: Deadline,
    ) -> Result<(), XcpngError> {
        for attempt in 1..=STEPS_MOST {
            let now = self.quiet(guest, deadline).await?;
            let Some((method, flags)) = step(now, wanted) else { return Ok(()) };
            let mut params: Vec<Value> = vec![(&guest.reference).into()];
            params.extend(flags.iter().map(|flag| Value::from(*flag)));
            if let Err(error) = self.pool.run(method, &params, deadline).await
                && !again(&error, attempt, deadline).await
            {
                return Err(error);
            }
        }
        let now = self.quiet(guest, deadline).await?;
        if now == wanted {
            return Ok(());
        }
        let found = format!("{now} again, however often it was brought elsewhere");
        Err(XcpngError::State { guest: guest.shown(), found, expected: wanted.as_str() })
    }

    /// Asks the guest to shut down, and switches it off where it does not within a minute.
    ///
    /// # Errors
    /// As [`Guests::power`].
    pub async fn shut_down(&self, guest: &Guest, deadline: Deadline) -> Result<(), XcpngError> {
        if self.quiet(guest, deadline).await? == PowerState::Running {
            let clean = deadline.but_within(CLEAN_SHUTDOWN);
            if let Err(error) = self.pool.run("VM.clean_shutdown", &[(&guest.reference).into()], clean).await
            {
                tracing::info!(guest.name = guest.name, "no clean shutdown: {error}");
            }
        }
        self.power(guest, PowerState::Halted, deadline).await
    }

    /// The guest's state once nothing is being done with it any more.
    async fn quiet(&self, guest: &Guest, deadline: Deadline) -> Result<PowerState, XcpngError> {
        loop {
            let now = self.guest(&guest.reference, deadline).await?;
            if now.operations.is_empty() {
                return Ok(now.power);
            }
            if deadline.passed() {
                return Err(deadline.missed(format!("what the pool does with {}", now.shown())));
            }
            deadline.pause(BUSY_DELAY).await;
        }
    }
}

/// The next call on the way, with its flags; none where it is there.
fn step(now: PowerState, wanted: PowerState) -> Option<(&'static str, &'static [bool])> {
    use PowerState::{Halted, Paused, Running, Suspended};
    /// `start_paused` or not, and not by force.
    const RUN: &[bool] = &[false, false];
    const STAND: &[bool] = &[true, false];
    Some(match (now, wanted) {
        (Halted, Halted) | (Paused, Paused) | (Running, Running) | (Suspended, Suspended) => return None,
        (Halted, Running | Suspended) => ("VM.start", RUN),
        (Halted, Paused) => ("VM.start", STAND),
        (Suspended, Running) => ("VM.resume", RUN),
        (Suspended, Paused) => ("VM.resume", STAND),
        (Paused, Running | Suspended) => ("VM.unpause", &[]),
        (Running, Paused) => ("VM.pause", &[]),
        (Running, Suspended) => ("VM.suspend", &[]),
        (Paused | Running | Suspended, Halted) => ("VM.hard_shutdown", &[]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_reached_from_every_other_by_calls_that_are_allowed_there() {
        use PowerState::{Halted, Paused, Running, Suspended};
        let after = |now, call: &str, flags: &[bool]| match (now, call) {
            (Halted, "VM.start") | (Suspended, "VM.resume") => {
                if flags[0] {
                    Paused
                } else {
                    Running
                }
            }
            (Running, "VM.pause") => Paused,
            (Paused, "VM.unpause") => Running,
            (Running, "VM.suspend") => Suspended,
            (Running | Paused | Suspended, "VM.hard_shutdown") => Halted,
            other => panic!("{other:?} is not allowed"),
        };
        for from in [Halted, Paused, Running, Suspended] {
            for wanted in [Halted, Paused, Running, Suspended] {
                let mut now = from;
                for _ in 0..2 {
                    if let Some((call, flags)) = step(now, wanted) {
                        now = after(now, call, flags);
                    }
                }
                assert_eq!((now, step(now, wanted)), (wanted, None), "from {from}");
            }
        }
    }
}
