//! The one session of a worker with a pool: login, once however many ask for it; redirect to the pool's master; end.
//!
//! ```text
//!   none --login--> open --SESSION_INVALID, HOST_IS_SLAVE--> none
//!     \--login failed--> held back for a while: those who ask meanwhile get the same words
//! ```

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::config::{PoolSettings, Secret};
use super::fault::{Fault, XcpngError, code};
use super::rpc::{Rpc, shown};
use crate::words;

const LOGIN: &str = "session.login_with_password";
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// A login names its program, so that XAPI gives it a quota of sessions of its own.
const ORIGINATOR: &str = "bioxen-worker";
const API_VERSION: &str = "2.21";
/// A supporter names the master; a master that names another has just ceased to be one.
const REDIRECTS_MOST: usize = 3;
const HOLD_BACK_FIRST: Duration = Duration::from_millis(500);
const HOLD_BACK_MOST: Duration = Duration::from_secs(15);

/// An open session and the host that it is with.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) host: Url,
    pub(crate) reference: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, ..)", self.host)
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The host that was the master when last heard of.
    host: Url,
    open: Option<Arc<Token>>,
    failed: Option<Failed>,
}

#[derive(Debug, Clone)]
struct Failed {
    error: XcpngError,
    times: u32,
    until: Instant,
}

impl Session {
    pub(crate) fn new(settings: &PoolSettings) -> Self {
        let state = State { host: settings.xapi_url.clone(), open: None, failed: None };
        Self { state: Mutex::new(state) }
    }

    /// The open session; logs in where there is none.
    ///
    /// # Errors
    /// Why there is no login.
    pub(crate) async fn token(&self, rpc: &Rpc, settings: &PoolSettings) -> Result<Arc<Token>, XcpngError> {
        // The lock is held throughout, so that one logs in and the others wait for it.
        let mut state = self.state.lock().await;
        if let Some(token) = &state.open {
            return Ok(Arc::clone(token));
        }
        let times = match &state.failed {
            Some(failed) if Instant::now() < failed.until => return Err(failed.error.clone()),
            Some(failed) => failed.times,
            None => 0,
        };
        match login(rpc, settings, &mut state.host).await {
            Ok(token) => {
                let token = Arc::new(token);
                state.failed = None;
                state.open = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(error) => {
                let wait = HOLD_BACK_MOST.min(HOLD_BACK_FIRST * 2u32.saturating_pow(times.min(10)));
                let until = Instant::now() + wait;
                state.failed = Some(Failed { error: error.clone(), times: times + 1, until });
                Err(error)
            }
        }
    }

    /// Forgets a session that XAPI no longer knows, or that is with a host that is no longer the master; a newer one stays.
    pub(crate) async fn drop_token(&self, old: &Arc<Token>, master: Option<&str>) {
        let mut state = self.state.lock().await;
        if state.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, old)) {
            state.open = None;
            if let Some(master) = master.and_then(|master| beside(&old.host, master)) {
                state.host = master;
            }
        }
    }

    /// Logs out. A host that does not answer forgets the session by itself.
    pub(crate) async fn end(&self, rpc: &Rpc) {
        let Some(token) = self.state.lock().await.open.take() else { return };
        let params = [Value::from(token.reference.as_str())];
        if let Err(error) = rpc.call(&token.host, "session.logout", &params, LOGIN_TIMEOUT).await {
            tracing::debug!(xapi.host = %token.host, "no logout: {error}");
        }
    }
}

/// Logs in at the host that was the master last; where it does not answer, at the one of the settings.
async fn login(rpc: &Rpc, settings: &PoolSettings, host: &mut Url) -> Result<Token, XcpngError> {
    let secret = settings.password.read()?;
    if words::holds(&shown(host), secret.reveal()) {
        *host = settings.xapi_url.clone();
    }
    let params = [
        json!(settings.username),
        json!(secret.reveal()),
        json!(API_VERSION),
        json!(format!("{ORIGINATOR} {}", env!("CARGO_PKG_VERSION"))),
    ];
    let mut at = host.clone();
    let mut redirects = 0;
    loop {
        match rpc.call(&at, LOGIN, &params, LOGIN_TIMEOUT).await {
            Ok(Value::String(reference)) if !reference.is_empty() => {
                *host = at.clone();
                return Ok(Token { host: at, reference });
            }
            Ok(_) => return Err(no_answer(&at, "no reference of a session")),
            Err(XcpngError::Fault { fault, .. }) => {
                redirects += 1;
                match master(&fault, &at, &secret) {
                    Some(master) if redirects <= REDIRECTS_MOST => at = master,
                    master => return Err(refused(fault, &at, master.as_ref(), &secret)),
                }
            }
            Err(XcpngError::Unreachable { .. } | XcpngError::Deadline { .. })
                if at != settings.xapi_url && redirects == 0 =>
            {
                at = settings.xapi_url.clone();
                *host = at.clone();
            }
            Err(error) => return Err(error.without(secret.reveal())),
        }
    }
}

fn no_answer(at: &Url, what: &str) -> XcpngError {
    let method = LOGIN.to_owned();
    XcpngError::Answer { host: shown(at), method, what: what.to_owned() }
}

/// The master that a supporter names. A name that holds the password is none: it would be shown, and looked up.
fn master(fault: &Fault, at: &Url, secret: &Secret) -> Option<Url> {
    let named = fault.params.first().filter(|_| fault.is(code::HOST_IS_SLAVE))?;
    beside(at, named).filter(|master| !words::holds(&shown(master), secret.reveal()))
}

/// The request of a login holds the password, and who answers may repeat it in any form: of a refusal, its code alone is
/// kept, and a master's address.
fn refused(fault: Fault, at: &Url, master: Option<&Url>, secret: &Secret) -> XcpngError {
    if !fault.has_code() || words::holds(&fault.code, secret.reveal()) {
        return no_answer(at, "a refusal without a code of XAPI");
    }
    let fault = Fault::new(fault.code, master.map(shown).into_iter().collect());
    XcpngError::Fault { method: LOGIN.to_owned(), fault }
}

/// The address that a supporter named, at our port where it names none. It is trusted no more than any other: what
/// answers there has to show a certificate that we expect.
pub(crate) fn beside(host: &Url, named: &str) -> Option<Url> {
    let mut url = host.clone();
    if let Ok(address) = named.parse::<IpAddr>() {
        url.set_ip_host(address).ok()?;
        return Some(url);
    }
    let named = Url::parse(&format!("https://{named}/")).ok()?;
    url.set_host(Some(named.host_str()?)).ok()?;
    if let Some(port) = named.port() {
        url.set_port(Some(port)).ok()?;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_found_beside_its_supporter() {
        let at =
            |named: &str| beside(&Url::parse("https://10.0.0.5:4443/").unwrap(), named).map(String::from);
        assert_eq!(at("10.0.0.6").as_deref(), Some("https://10.0.0.6:4443/"));
        assert_eq!(at("10.0.0.6:99").as_deref(), Some("https://10.0.0.6:99/"));
        assert_eq!(at("fd00::6").as_deref(), Some("https://[fd00::6]:4443/"));
        assert_eq!(at("xcp-1.lab").as_deref(), Some("https://xcp-1.lab:4443/"));
        assert_eq!(at(""), None);
        assert_eq!(at("a b"), None);
    }

    #[test]
    fn a_session_s_reference_is_not_shown() {
        let token =
            Token { host: Url::parse("https://a/").unwrap(), reference: "OpaqueRef:secret".to_owned() };
        assert!(!format!("{token:?}").contains("secret"));
    }
}
