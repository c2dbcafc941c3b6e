//! The one loop of a pool that follows its events and tells [`super::seen::Seen`].
//!
//! ```text
//!   refetch (token "") --batch--> follow (token) --batch--> follow ..
//!       ^                            |
//!       '-- a minute is over, events were lost, the token or the session is no longer known, no answer
//! ```
//!
//! A host that tells without an end is still asked only so often.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::fault::{XcpngError, code};
use super::pool::{Place, Pool};

const CLASSES: [&str; 3] = ["task", "vm", "vm_guest_metrics"];
/// How long XAPI waits for something to tell.
const WAIT: Duration = Duration::from_secs(30);
/// Everything is told anew so often, whatever was lost meanwhile.
const RECONCILE: Duration = Duration::from_secs(60);
/// Between two questions in the long run.
const EVERY: Duration = Duration::from_millis(100);
/// What was not asked meanwhile may be asked at once, up to this: waiters of a pool that is quiet are told without delay.
const SAVED_MOST: Duration = Duration::from_secs(1);
/// After an answer, for each event in it: more is never told than is quickly read.
const PAUSE_PER_EVENT: Duration = Duration::from_micros(100);
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_MOST: Duration = Duration::from_secs(15);

/// Runs until the pool is closed.
pub(crate) async fn follow(pool: Pool) {
    let mut ending = pool.ending();
    let mut place = Place::default();
    let mut whole_at = Instant::now();
    let mut delay = AGAIN_FIRST;
    let mut reachable = true;
    let mut has_room = true;
    let mut saved = SAVED_MOST;
    loop {
        if whole_at.elapsed() >= RECONCILE {
            place.token.clear();
        }
        let asked = Instant::now();
        let Some(answer) = pool.events(&CLASSES, &mut place, WAIT).await else { return };
        let pause = match answer.and_then(|(batch, whole)| Ok((next(&batch, &pool, whole)?, whole))) {
            Ok(((token, count), whole)) => {
                if whole {
                    whole_at = Instant::now();
                }
                place.token = token;
                delay = AGAIN_FIRST;
                if !std::mem::replace(&mut reachable, true) {
                    tracing::info!(pool.name = pool.name(), "the pool answers again");
                }
                if pool.seen().is_full() && std::mem::replace(&mut has_room, false) {
                    tracing::warn!(
                        pool.name = pool.name(),
                        "the pool has more guests than are remembered; what was left out is read when it is needed"
                    );
                }
                saved = SAVED_MOST.min(saved + asked.elapsed());
                let pause = EVERY.saturating_sub(saved).max(PAUSE_PER_EVENT * count);
                saved = (saved + pause).saturating_sub(EVERY);
                pause
            }
            Err(error) => {
                place.token.clear();
                if !lost_its_place(&error) {
                    if std::mem::replace(&mut reachable, false) {
                        tracing::warn!(pool.name = pool.name(), "no events: {error}");
                    }
                    delay = AGAIN_MOST.min(delay * 2);
                }
                delay
            }
        };
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Takes a batch; the token that goes on behind it, and how many events there were.
fn next(batch: &Value, pool: &Pool, whole: bool) -> Result<(String, u32), XcpngError> {
    let token = batch.get("token").and_then(Value::as_str).filter(|token| !token.is_empty());
    let Some(token) = token else {
        let what = "a batch of events without a token".to_owned();
        return Err(XcpngError::Answer {
            host: pool.name().to_owned(),
            method: "event.from".to_owned(),
            what,
        });
    };
    pool.seen().take(batch, whole);
    let count = batch.get("events").and_then(Value::as_array).map_or(0, Vec::len);
    Ok((token.to_owned(), u32::try_from(count).unwrap_or(u32::MAX)))
}

/// The pool is well and only wants to be asked from the beginning.
fn lost_its_place(error: &XcpngError) -> bool {
    [code::EVENTS_LOST, code::EVENT_FROM_TOKEN_PARSE_FAILURE, code::SESSION_INVALID]
        .iter()
        .any(|code| error.is(code))
}
