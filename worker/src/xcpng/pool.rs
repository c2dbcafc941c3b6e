//! A pool as the rest of the worker has it: calls within its limits, through one session that is kept open.
//!
//! ```text
//!   guests, tasks --> Pool --8 calls at most--> Session --> Rpc --> XAPI
//!                      ^--- Seen <--event.from-- the loop (events)
//! ```
//!
//! A read is asked again until it is answered, for some time. A change is asked once: where its answer is lost, its
//! caller reads what became of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

use super::config::{CONNECTIONS_RESERVED, PoolSettings};
use super::deadline::Deadline;
use super::events;
use super::fault::{XcpngError, code};
use super::record::Ref;
use super::rpc::{BadClient, Rpc};
use super::seen::Seen;
use super::session::{Session, Token, beside};

/// One call that only reads or begins something.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// A toolstack restarts within this.
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_MOST: Duration = Duration::from_secs(4);
/// Clones and starts read and write whole disks.
const HEAVY_MOST: usize = 3;
/// Calls under way when the pool is closed.
const CLOSING: Duration = Duration::from_secs(10);

/// A handle on one pool; clones share everything.
#[derive(Debug, Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    settings: PoolSettings,
    rpc: Rpc,
    session: Session,
    calls: Semaphore,
    calls_most: u32,
    heavy: Arc<Semaphore>,
    seen: Seen,
    ending: watch::Sender<bool>,
    events: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Pool {
    /// Makes a pool's client and begins to follow its events; it logs in by itself. Call in a runtime of tokio.
    ///
    /// # Errors
    /// A `ca_file` that cannot be used.
    pub fn open(name: &str, settings: PoolSettings) -> Result<Self, BadClient> {
        let calls = settings.connection_pool_size.saturating_sub(CONNECTIONS_RESERVED).max(1);
        let inner = Arc::new(Inner {
            name: name.to_owned(),
            rpc: Rpc::new(&settings)?,
            session: Session::new(&settings),
            settings,
            calls: Semaphore::new(calls),
            calls_most: u32::try_from(calls).unwrap_or(u32::MAX),
            heavy: Arc::new(Semaphore::new(HEAVY_MOST)),
            seen: Seen::default(),
            ending: watch::Sender::new(false),
            events: tokio::sync::Mutex::new(None),
        });
        let pool = Self { inner };
        let following = tokio::spawn(events::follow(pool.clone()));
        if let Ok(mut events) = pool.inner.events.try_lock() {
            *events = Some(following);
        }
        Ok(pool)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    #[must_use]
    pub fn settings(&self) -> &PoolSettings {
        &self.inner.settings
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.inner.seen
    }

    /// The error without the password of a pool that a VM brought along.
    pub(crate) fn without_secret(&self, error: XcpngError) -> XcpngError {
        self.inner.rpc.without_secret(error)
    }

    pub(crate) fn ending(&self) -> watch::Receiver<bool> {
        self.inner.ending.subscribe()
    }

    /// Asks for a change, once. The session goes in front of `params`.
    ///
    /// # Errors
    /// XAPI's refusal, or why there is no answer; [`XcpngError::outcome_unknown`] then says what to make of it.
    pub async fn call(
        &self,
        method: &str,
        params: &[Value],
        deadline: Deadline,
    ) -> Result<Value, XcpngError> {
        let permit = deadline.bound(&format!("waiting to ask {method}"), self.inner.calls.acquire()).await?;
        let _permit = permit.map_err(|_| XcpngError::Closed)?;
        self.ask(method, params, deadline.but_within(CALL_TIMEOUT)).await
    }

    /// Reads, and asks again while the pool is out of reach, at most for half a minute.
    ///
    /// # Errors
    /// As [`Pool::call`].
    pub async fn read(
        &self,
        method: &str,
        params: &[Value],
        deadline: Deadline,
    ) -> Result<Value, XcpngError> {
        let patience = deadline.but_within(PATIENCE);
        let mut delay = AGAIN_FIRST;
        loop {
            match self.call(method, params, deadline).await {
                Err(error) if error.passes() && patience.left() > delay => patience.pause(delay).await,
                answer => return answer,
            }
            delay = AGAIN_MOST.min(delay * 2);
        }
    }

    /// The next batch of events, on a connection of its own, and whether it tells of everything; none when the pool is
    /// being closed. Another session may be with another master, whose tokens are others: it begins anew.
    pub(crate) async fn events(
        &self,
        classes: &[&str],
        place: &mut Place,
        wait: Duration,
    ) -> Option<Result<(Value, bool), XcpngError>> {
        let mut ending = self.ending();
        // Not given up halfway: a login whose answer nobody reads would leave a session behind.
        let session = match self.token().await {
            Ok(session) => session,
            Err(error) => return Some(Err(error)),
        };
        if !place.session.as_ref().is_some_and(|before| Arc::ptr_eq(before, &session)) {
            *place = Place { token: String::new(), session: Some(Arc::clone(&session)) };
        }
        let params = [classes.into(), place.token.as_str().into(), wait.as_secs_f64().into()];
        // A tenth more than XAPI takes, for the way.
        let within = wait + wait / 10 + Duration::from_secs(1);
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => None,
            answer = self.ask_in(&session, "event.from", &params, within) => {
                Some(answer.map(|batch| (batch, place.token.is_empty())))
            }
        }
    }

    /// Room for something that works the pool's disks or hosts hard; waits for its turn.
    ///
    /// # Errors
    /// The pool is closed.
    pub(crate) async fn heavy(&self) -> Result<OwnedSemaphorePermit, XcpngError> {
        Arc::clone(&self.inner.heavy).acquire_owned().await.map_err(|_| XcpngError::Closed)
    }

    /// Lets calls under way end, stops following events, logs out. Whoever asks later is told that it is closed.
    pub async fn close(&self) {
        self.inner.heavy.close();
        let all = self.inner.calls.acquire_many(self.inner.calls_most);
        // Held until the semaphore is closed, so that nobody slips in between.
        let _all = tokio::time::timeout(CLOSING, all).await;
        self.inner.calls.close();
        self.inner.ending.send_replace(true);
        if let Some(following) = self.inner.events.lock().await.take() {
            // It ends by itself; a panic in it is no reason not to log out.
            let _ = tokio::time::timeout(CLOSING, following).await;
        }
        self.inner.session.end(&self.inner.rpc).await;
    }

    async fn token(&self) -> Result<Arc<Token>, XcpngError> {
        self.inner.session.token(&self.inner.rpc, &self.inner.settings).await
    }

    /// Asks, and once more after a new login where XAPI has forgotten the session: it refused before it did anything.
    async fn ask(&self, method: &str, params: &[Value], deadline: Deadline) -> Result<Value, XcpngError> {
        let mut renewed = false;
        loop {
            let session = self.token().await?;
            let left = deadline.left();
            if left.is_zero() {
                return Err(deadline.missed(method));
            }
            match self.ask_in(&session, method, params, left).await {
                Err(error) if needs_login(&error) && !renewed => renewed = true,
                answer => return answer,
            }
        }
    }

    /// Asks in one session, and forgets that where XAPI has.
    async fn ask_in(
        &self,
        session: &Arc<Token>,
        method: &str,
        params: &[Value],
        within: Duration,
    ) -> Result<Value, XcpngError> {
        let mut all = Vec::with_capacity(params.len() + 1);
        all.push(Value::from(session.reference.as_str()));
        all.extend_from_slice(params);
        let answer = self.inner.rpc.call(&session.host, method, &all, within).await;
        if let Err(XcpngError::Fault { fault, .. }) = &answer {
            let master = fault.params.first().filter(|_| fault.is(code::HOST_IS_SLAVE));
            if master.is_some() || fault.is(code::SESSION_INVALID) {
                self.inner.session.drop_token(session, master.map(String::as_str)).await;
            }
        }
        answer
    }

    /// A document that a host of the pool serves beside calls; `address` is the host's as the pool has it.
    ///
    /// # Errors
    /// The host does not answer, or has no such document.
    pub(crate) async fn fetch(
        &self,
        address: &str,
        path: &str,
        query: &[(&str, &str)],
        deadline: Deadline,
    ) -> Result<String, XcpngError> {
        let permit = deadline.bound(&format!("waiting to ask {path}"), self.inner.calls.acquire()).await?;
        let _permit = permit.map_err(|_| XcpngError::Closed)?;
        let wrong = |what: &str| XcpngError::Answer {
            host: address.to_owned(),
            method: path.to_owned(),
            what: what.to_owned(),
        };
        // Once more where the session is forgotten: reading changes nothing.
        for _ in 0..2 {
            let session = self.token().await?;
            let mut url = beside(&session.host, address).ok_or_else(|| wrong("no address of a host"))?;
            url.set_path(path);
            url.query_pairs_mut().append_pair("session_id", &session.reference).extend_pairs(query);
            let left = deadline.but_within(CALL_TIMEOUT).left();
            if left.is_zero() {
                return Err(deadline.missed(path));
            }
            match self.inner.rpc.get(url, left).await? {
                Some(text) => return Ok(text),
                None => self.inner.session.drop_token(&session, None).await,
            }
        }
        Err(wrong("that the session is unknown, also after a new login"))
    }

    /// `CLASS.get_record` and its like, for one object.
    pub(crate) async fn get(&self, method: &str, of: &Ref, deadline: Deadline) -> Result<Value, XcpngError> {
        self.read(method, &[of.into()], deadline).await
    }
}

fn needs_login(error: &XcpngError) -> bool {
    error.is(code::SESSION_INVALID) || error.is(code::HOST_IS_SLAVE)
}

/// How far events were followed: XAPI's token, and the session in which it was given.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) token: String,
    session: Option<Arc<Token>>,
}
