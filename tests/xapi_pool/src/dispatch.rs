//! A call's way: host, name, parameters, session, and what carries it out; a task where it is asynchronous.

use std::sync::Arc;

use crate::event;
use crate::fault::{Fault, means};
use crate::model::Signature;
use crate::ops;
use crate::shared::{Call, Shared};
use crate::state::State;
use crate::task;
use crate::value::{Answer, Failure, Value};
use crate::wire::Request;

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer, or an error from before anything was looked at.
    Answered { answer: Answer, early: bool },
    /// The connection closes.
    Dropped,
    /// The connection stays, and nothing comes.
    Silence,
}

/// Answers a call that came to `host`.
pub(crate) async fn answer(shared: &Arc<Shared>, host: usize, request: Request) -> Outcome {
    let method = request.method.clone();
    if let Some(outcome) = before(shared, host, &method) {
        return outcome;
    }
    if method == "system.listMethods" {
        let names: Vec<_> = shared.lock().model.calls.keys().cloned().collect();
        return Outcome::Answered { answer: Ok(Value::texts(names)), early: false };
    }
    let signature = match checked(shared, &method, &request.params) {
        Ok(signature) => signature,
        Err(failure) => return Outcome::Answered { answer: Err(failure), early: true },
    };
    let waits = method == "event.from";
    count(shared, waits, true);
    // A caller that goes away does not undo what it asked for.
    let carried_out = tokio::spawn(carry_out(Arc::clone(shared), signature, request)).await;
    count(shared, waits, false);
    let lose =
        |fault: &Fault| matches!(fault, Fault::LoseAnswer { method: wanted } if means(wanted, &method));
    if shared.lock().fault(lose).is_some() {
        return Outcome::Dropped;
    }
    let broken = |error: tokio::task::JoinError| Failure::new("INTERNAL_ERROR", &[&error.to_string()]);
    Outcome::Answered { answer: carried_out.map_err(broken).and_then(|answer| answer), early: false }
}

/// What comes before a call is looked at: faults, and hosts that are not the master.
fn before(shared: &Shared, host: usize, method: &str) -> Option<Outcome> {
    let mut state = shared.lock();
    *state.seen.calls.entry(method.to_owned()).or_insert(0) += 1;
    let of = |wanted: &str| means(wanted, method);
    let fault = state.fault(|fault| match fault {
        Fault::LoseCall { method } | Fault::NeverAnswer { method } | Fault::FailEarly { method, .. } => {
            of(method)
        }
        _ => false,
    });
    match fault {
        Some(Fault::NeverAnswer { .. }) => return Some(Outcome::Silence),
        Some(Fault::FailEarly { code, params, .. }) => {
            return Some(Outcome::Answered { answer: Err(Failure { code, params }), early: true });
        }
        Some(_) => return Some(Outcome::Dropped),
        None => {}
    }
    if host == state.master {
        return None;
    }
    let master = state.hosts.get(state.master).map_or("", |(_, address)| address.as_str());
    let answer = Err(Failure::new("HOST_IS_SLAVE", &[master]));
    Some(Outcome::Answered { answer, early: false })
}

/// Holds the call against the tables; what breaks them is a violation.
fn checked(shared: &Shared, method: &str, params: &[Value]) -> Result<Signature, Failure> {
    let mut state = shared.lock();
    let model = state.model;
    let Some(signature) = model.signature(method) else {
        let name = method.strip_prefix("Async.").unwrap_or(method);
        let theirs = shared.official.as_ref().is_some_and(|official| official.calls.contains_key(name));
        let what = if theirs { "is not served by this pool" } else { "is no call of XAPI" };
        state.violation(format!("{method} {what}"));
        return Err(Failure::new("MESSAGE_METHOD_UNKNOWN", &[method]));
    };
    let mut result = model.check(method, signature, params);
    if let (Ok(()), Some(official)) = (&result, &shared.official)
        && let Some(signature) = official.calls.get(method.strip_prefix("Async.").unwrap_or(method))
    {
        result = official.check(method, signature, params);
    }
    if let Err(failure) = &result {
        let given = if method.starts_with("session.") { "[..]".to_owned() } else { format!("{params:?}") };
        state.violation(format!("{method}: {failure} of {given}"));
    }
    result.map(|()| signature.clone())
}

async fn carry_out(shared: Arc<Shared>, signature: Signature, request: Request) -> Answer {
    let mut params = request.params.into_iter();
    if !signature.session {
        let params: Vec<_> = params.collect();
        return log_in(&mut shared.lock(), &params);
    }
    let session = params.next().map(|session| session.as_text().to_owned()).unwrap_or_default();
    let (method, is_async) = match request.method.strip_prefix("Async.") {
        Some(method) => (method.to_owned(), true),
        None => (request.method.clone(), false),
    };
    let (life, task) = {
        let mut state = shared.lock();
        if !state.sessions.touch(&session) {
            return Err(Failure::new("SESSION_INVALID", &[&session]));
        }
        let has_task = is_async || ops::takes_time(&method);
        let task = if has_task { task::create(&mut state, &request.method, &session) } else { String::new() };
        (state.life, task)
    };
    let call = Call { shared: Arc::clone(&shared), method, session, params: params.collect(), task, life };
    if call.method == "event.from" {
        return event::from(&call).await;
    }
    if !is_async {
        let answer = ops::run(&call).await;
        // What is not asked for by name is nobody's to destroy.
        shared.lock().store.destroy("task", &call.task);
        return answer;
    }
    let reference = call.task.clone();
    tokio::spawn(async move {
        let answer = ops::run(&call).await;
        task::finish(&mut call.shared.lock(), &call, answer);
    });
    Ok(Value::text(reference))
}

fn log_in(state: &mut State, params: &[Value]) -> Answer {
    let text = |at: usize| params.get(at).map_or("", Value::as_text).to_owned();
    if (text(0), text(1)) != (state.options.username.clone(), state.options.password.clone()) {
        let params = [text(0), "Authentication failure".to_owned()];
        return Err(Failure { code: "SESSION_AUTHENTICATION_FAILED".to_owned(), params: params.into() });
    }
    let originator = text(3);
    state.seen.logins_without_originator += u64::from(originator.is_empty());
    let host = state.hosts.get(state.master).map(|(host, _)| host.clone()).unwrap_or_default();
    let fields = [
        ("originator", Value::text(&originator)),
        ("this_host", Value::text(host)),
        ("pool", Value::Bool(false)),
        ("is_local_superuser", Value::Bool(true)),
    ];
    let session = state.store.create("session", fields.map(|(name, value)| (name.to_owned(), value)).into());
    let options = state.options.clone();
    if let Some(evicted) = state.sessions.open(&session, &originator, &options) {
        state.store.destroy("session", &evicted);
    }
    Ok(Value::text(session))
}

fn count(shared: &Shared, waits: bool, begins: bool) {
    if waits {
        return;
    }
    let mut state = shared.lock();
    state.calls_now = if begins { state.calls_now + 1 } else { state.calls_now.saturating_sub(1) };
    state.seen.most_calls_at_once = state.seen.most_calls_at_once.max(state.calls_now);
}
