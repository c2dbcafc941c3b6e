//! `event.from`: what changed since a token, each object once, gathered for 50 ms; an empty batch at the timeout.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::clock;
use crate::fault::Fault;
use crate::shared::{Call, Guard};
use crate::store::Change;
use crate::value::{Answer, Failure, Value};

/// How long changes are gathered after the first.
const BATCH: Duration = Duration::from_millis(50);
/// The longest that anybody waits.
const LONGEST_SECONDS: f64 = 3600.0;

/// Which objects a caller wants: classes, and objects of classes.
#[derive(Debug)]
struct Wanted(Vec<(String, Option<String>)>);

pub(crate) async fn from(call: &Call) -> Answer {
    let wanted = Wanted::parse(call.params.first().map_or(&[], Value::items))?;
    let token = call.text(1);
    let mut since = generation_of(token)?;
    let seconds = call.params.get(2).map_or(0.0, Value::as_float).clamp(0.0, LONGEST_SECONDS);
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    let mut changed = call.shared.changed.subscribe();
    let first = token.is_empty();
    loop {
        changed.mark_unchanged();
        let mut news = {
            let mut state = call.shared.lock();
            since = valid(call, &mut state)?.max(since);
            first || !state.store.changes(since, |class, object| wanted.has(class, object)).is_empty()
        };
        let late = Instant::now() >= deadline;
        if news && !first && !late {
            sleep(BATCH).await;
        }
        news |= late;
        if news {
            let mut state = call.shared.lock();
            since = valid(call, &mut state)?.max(since);
            return Ok(batch(&state, since, &wanted));
        }
        // A change, or the end of the pool's life, which changes objects, too.
        let _ = timeout_at(deadline, changed.changed()).await;
    }
}

/// Whether the caller may go on waiting; the generation below which nothing is told.
fn valid(call: &Call, state: &mut Guard<'_>) -> Result<u64, Failure> {
    if state.life != call.life || !state.sessions.touch(&call.session) {
        return Err(Failure::new("SESSION_INVALID", &[&call.session]));
    }
    if state.fault(|fault| *fault == Fault::EventsLost).is_some() {
        return Err(Failure::new("EVENTS_LOST", &[]));
    }
    if call.text(1).is_empty() {
        return Ok(0);
    }
    if state.fault(|fault| *fault == Fault::EventsSkipped).is_some() {
        state.skipped = state.store.generation();
    }
    Ok(state.skipped)
}

fn batch(state: &Guard<'_>, since: u64, wanted: &Wanted) -> Value {
    let changes = state.store.changes(since, |class, object| wanted.has(class, object));
    let counts = state.store.classes();
    let counts = counts.into_iter().filter(|(class, _)| wanted.has(class, ""));
    Value::map([
        ("events", Value::List(changes.into_iter().map(event).collect())),
        ("valid_ref_counts", Value::map(counts.map(|(class, n)| (class.to_lowercase(), Value::Int(n))))),
        ("token", Value::text(format!("{:020},{:020}", state.store.generation(), 0))),
    ])
}

fn event(change: Change) -> Value {
    let mut event = vec![
        ("id", Value::Int(i64::try_from(change.generation).unwrap_or(i64::MAX))),
        ("timestamp", Value::text(format!("{}.0", clock::now_seconds()))),
        ("class", Value::text(change.class.to_lowercase())),
        ("operation", Value::text(change.operation)),
        ("ref", Value::text(change.reference)),
    ];
    event.extend(change.snapshot.map(|snapshot| ("snapshot", snapshot)));
    Value::map(event)
}

fn generation_of(token: &str) -> Result<u64, Failure> {
    if token.is_empty() {
        return Ok(0);
    }
    let generation = token.split_once(',').and_then(|(generation, _)| generation.parse().ok());
    generation.ok_or_else(|| Failure::new("EVENT_FROM_TOKEN_PARSE_FAILURE", &[token]))
}

impl Wanted {
    fn parse(texts: &[Value]) -> Result<Self, Failure> {
        let one = |text: &Value| {
            let text = text.as_text();
            let (class, object) = match text.split_once('/') {
                Some((class, object)) => (class, Some(object.to_owned())),
                None => (text, None),
            };
            if class.is_empty() {
                return Err(Failure::new("EVENT_SUBSCRIPTION_PARSE_FAILURE", &[text]));
            }
            Ok((class.to_lowercase(), object))
        };
        texts.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `object` of `class` is wanted, or any of the class where `object` is nothing. Sessions have no events.
    fn has(&self, class: &str, object: &str) -> bool {
        let class_is = |wanted: &str| wanted == "*" || wanted == class.to_lowercase();
        class != "session"
            && self.0.iter().any(|(wanted, one)| {
                class_is(wanted) && one.as_deref().is_none_or(|one| object.is_empty() || one == object)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_wanted_in_any_case_and_single_objects_by_reference() {
        let wanted = Wanted::parse(&[Value::text("vm"), Value::text("task/OpaqueRef:1")]).expect("a filter");
        assert!(wanted.has("VM", "OpaqueRef:9") && wanted.has("task", "OpaqueRef:1"));
        assert!(!wanted.has("task", "OpaqueRef:2") && !wanted.has("VDI", "OpaqueRef:1"));
        let all = Wanted::parse(&[Value::text("*")]).expect("a filter");
        assert!(all.has("VDI", "OpaqueRef:1") && !all.has("session", "OpaqueRef:1"));
    }

    #[test]
    fn a_token_that_is_none_is_refused() {
        assert_eq!(generation_of("00000000000000000007,00000000000000000000"), Ok(7));
        assert_eq!(generation_of("x"), Err(Failure::new("EVENT_FROM_TOKEN_PARSE_FAILURE", &["x"])));
    }
}
