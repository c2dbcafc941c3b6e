//! Long operations: `Async.*` begins a task, events tell its end; it is cancelled at the deadline and always destroyed.

use std::time::Duration;

use serde_json::Value;

use super::deadline::Deadline;
use super::fault::{Fault, XcpngError, code};
use super::pool::Pool;
use super::record::{Ref, reference};
use super::seen::TaskState;
use super::xml;

/// A task of which no event told is read so often.
const READ_AGAIN: Duration = Duration::from_secs(5);
/// A task that was cancelled needs some time to undo what it did.
const CANCELLING: Duration = Duration::from_secs(10);
const DESTROYING: Duration = Duration::from_secs(10);

impl Pool {
    /// Runs `Async.METHOD` to its end, and gives back its result ("" where it has none).
    ///
    /// # Errors
    /// XAPI's refusal, at once or as the task's; [`XcpngError::outcome_unknown`] says whether it may have been done.
    pub async fn run(&self, method: &str, params: &[Value], deadline: Deadline) -> Result<Value, XcpngError> {
        let begun = self.call(&format!("Async.{method}"), params, deadline).await?;
        let task = Running { pool: self.clone(), task: Some(reference(&begun, method)?) };
        task.end(method, deadline).await
    }

    /// How a task stands now; none where the pool no longer has it.
    async fn task_state(&self, task: &Ref, deadline: Deadline) -> Result<Option<TaskState>, XcpngError> {
        match self.get("task.get_record", task, deadline).await {
            Ok(record) => Ok(TaskState::of(&record)),
            Err(error) if error.is(code::HANDLE_INVALID) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits for one to end; the deadline's error where it does not. A task that is gone has ended: none.
    pub(crate) async fn task_end(
        &self,
        task: &Ref,
        what: &str,
        deadline: Deadline,
    ) -> Result<Option<TaskState>, XcpngError> {
        let mut changes = self.seen().changes();
        let mut read_at = tokio::time::Instant::now() + READ_AGAIN;
        loop {
            changes.mark_unchanged();
            match self.seen().task(task) {
                Some(TaskState::Pending) | None => {}
                ended => return Ok(ended),
            }
            if deadline.passed() {
                return Err(deadline.missed(what));
            }
            let woken = tokio::time::timeout(READ_AGAIN.min(deadline.left()), changes.changed()).await;
            // An event that was lost, or a loop that has ended, must not keep anybody waiting.
            if woken.is_err() || tokio::time::Instant::now() >= read_at {
                read_at = tokio::time::Instant::now() + READ_AGAIN;
                match self.task_state(task, deadline.but_within(READ_AGAIN)).await {
                    Ok(Some(TaskState::Pending)) => {}
                    // Out of reach for the moment; the deadline ends it.
                    Err(error) if error.passes() || error.outcome_unknown() => {}
                    Ok(ended) => return Ok(ended),
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

/// A task that we began; whatever becomes of its caller, it is not left on the pool.
struct Running {
    pool: Pool,
    task: Option<Ref>,
}

impl Running {
    async fn end(mut self, method: &str, deadline: Deadline) -> Result<Value, XcpngError> {
        let Some(task) = self.task.clone() else { return Err(XcpngError::Closed) };
        let state = match self.pool.task_end(&task, method, deadline).await {
            Err(late @ XcpngError::Deadline { .. }) => match cancel(&self.pool, &task).await {
                // It ended before the cancel came: done is done.
                Some(state @ (TaskState::Success(_) | TaskState::Failure(_))) => Ok(Some(state)),
                _ => Err(late),
            },
            state => state,
        };
        if let Some(task) = self.task.take() {
            destroy(&self.pool, &task).await;
        }
        let refused =
            |fault| self.pool.without_secret(XcpngError::Fault { method: method.to_owned(), fault });
        match state? {
            Some(TaskState::Success(result)) => {
                let value = xml::value_in(&result).map_err(|what| XcpngError::Answer {
                    host: self.pool.name().to_owned(),
                    method: method.to_owned(),
                    what: format!("as its task's result: {what}"),
                })?;
                Ok(value.unwrap_or_else(|| Value::from("")))
            }
            Some(TaskState::Failure(fault)) => Err(refused(fault)),
            Some(TaskState::Cancelled) => Err(refused(Fault::new(code::TASK_CANCELLED, Vec::new()))),
            Some(TaskState::Pending) | None => Err(XcpngError::TaskLost { method: method.to_owned() }),
        }
    }
}

impl Drop for Running {
    /// Only where its caller was given up.
    fn drop(&mut self) {
        let (Some(task), Ok(runtime)) = (self.task.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let pool = self.pool.clone();
        runtime.spawn(async move {
            cancel(&pool, &task).await;
            destroy(&pool, &task).await;
        });
    }
}

/// How the task ended, where it did.
async fn cancel(pool: &Pool, task: &Ref) -> Option<TaskState> {
    let deadline = Deadline::within(CANCELLING);
    // Refused where it cannot be cancelled or has just ended: then its end is waited for all the same.
    if let Err(error) = pool.call("task.cancel", &[task.into()], deadline).await {
        tracing::debug!(xapi.task = %task, "not cancelled: {error}");
    }
    pool.task_end(task, "cancelling", deadline).await.ok().flatten()
}

async fn destroy(pool: &Pool, task: &Ref) {
    let deadline = Deadline::within(DESTROYING);
    match pool.read("task.destroy", &[task.into()], deadline).await {
        Ok(_) => {}
        Err(error) if error.is(code::HANDLE_INVALID) => {}
        // XAPI forgets finished tasks by itself, after a day.
        Err(error) => tracing::debug!(xapi.task = %task, "not destroyed: {error}"),
    }
}
