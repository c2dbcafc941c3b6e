//! One call to one host: JSON-RPC, or XML-RPC where a host does not speak it, by HTTPS.
//!
//! It knows no sessions and asks nothing twice; `session` and `pool` do.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;

use super::config::{PoolSettings, Secret, SecretSource};
use super::fault::{Fault, XcpngError};
use super::tls::{BadTrust, WrongPin, client_config};
use super::{json, xml};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A host closes connections that are idle for longer, and would do so under a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// All records of a pool of 2,000 VMs, the most that any answer holds, are 10 to 20 MB.
const ANSWER_BYTES_MOST: usize = 32 << 20;
/// What is larger is not read on a thread that others wait for.
const LARGE_BYTES: usize = 1 << 20;
/// XAPI takes no more.
const REQUEST_BYTES_MOST: usize = 300 << 10;
const SHOWN_CHARS: usize = 120;

/// Why no client for a pool can be made.
#[derive(Debug, thiserror::Error)]
pub enum BadClient {
    #[error(transparent)]
    Trust(#[from] BadTrust),
    #[error("no HTTPS client: {0}")]
    Http(#[from] reqwest::Error),
}

/// A pool's HTTPS client, and what its hosts speak.
#[derive(Debug)]
pub(crate) struct Rpc {
    http: Client,
    /// Found out by the first login, and kept.
    speaks_xml: AtomicBool,
    number: AtomicU64,
    /// Of a pool that a VM brought along: its hosts are its user's, and errors are journaled.
    secret: Option<Secret>,
}

impl Rpc {
    /// # Errors
    /// A `ca_file` that cannot be used.
    pub(crate) fn new(settings: &PoolSettings) -> Result<Self, BadClient> {
        let http = Client::builder()
            .tls_backend_preconfigured(client_config(&settings.trust)?)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(settings.connection_pool_size)
            .tcp_nodelay(true)
            // A redirect would carry the password to where nobody configured, and so would a proxy from the environment.
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("bioxen-worker/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let secret = match &settings.password {
            SecretSource::Opened(secret) => Some(secret.clone()),
            SecretSource::File(_) | SecretSource::Environment(_) => None,
        };
        Ok(Self { http, speaks_xml: AtomicBool::new(false), number: AtomicU64::new(1), secret })
    }

    /// The error without the password that came with a VM, which a host may repeat whenever it likes.
    pub(crate) fn without_secret(&self, error: XcpngError) -> XcpngError {
        match &self.secret {
            Some(secret) => error.without(secret.reveal()),
            None => error,
        }
    }

    /// # Errors
    /// XAPI's refusal, or why there is no answer; whether the request may have arrived is part of it.
    pub(crate) async fn call(
        &self,
        host: &Url,
        method: &str,
        params: &[Value],
        within: Duration,
    ) -> Result<Value, XcpngError> {
        let answer = self.in_either(host, method, params, within).await;
        answer.map_err(|error| self.without_secret(error))
    }

    async fn in_either(
        &self,
        host: &Url,
        method: &str,
        params: &[Value],
        within: Duration,
    ) -> Result<Value, XcpngError> {
        let xml = self.speaks_xml.load(Ordering::Relaxed);
        match self.ask(host, method, params, within, xml).await? {
            Asked::Answer(answer) => answer,
            Asked::NoSuchPath => {
                // Some hosts answer at one path only. Nothing was executed, so asking in the other dialect is safe.
                match self.ask(host, method, params, within, !xml).await? {
                    Asked::Answer(answer) => {
                        self.speaks_xml.store(!xml, Ordering::Relaxed);
                        answer
                    }
                    Asked::NoSuchPath => {
                        Err(not_xapi(host, method, "404 Not Found at /jsonrpc and at /".to_owned()))
                    }
                }
            }
        }
    }

    /// Reads what a host serves beside calls; none where it does not know the session, which stands in the address.
    ///
    /// # Errors
    /// Why there is no such document.
    pub(crate) async fn get(&self, url: Url, within: Duration) -> Result<Option<String>, XcpngError> {
        let host = url.clone();
        let path = url.path().to_owned();
        let failed = |error| broken(&host, &path, within, error);
        let mut response = self.http.get(url).timeout(within).send().await.map_err(failed)?;
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(None),
            status if !status.is_success() => {
                return Err(not_xapi(&host, &path, format!("HTTP status {status}")));
            }
            _ => {}
        }
        let text = read(&mut response).await.map_err(failed)?;
        text.map(Some).ok_or_else(|| not_xapi(&host, &path, format!("more than {ANSWER_BYTES_MOST} bytes")))
    }

    async fn ask(
        &self,
        host: &Url,
        method: &str,
        params: &[Value],
        within: Duration,
        xml: bool,
    ) -> Result<Asked, XcpngError> {
        let (path, content_type, body) = if xml {
            (xml::PATH, xml::CONTENT_TYPE, xml::request(method, params))
        } else {
            let id = self.number.fetch_add(1, Ordering::Relaxed);
            (json::PATH, json::CONTENT_TYPE, json::request(method, params, id))
        };
        if body.len() > REQUEST_BYTES_MOST {
            return Err(not_xapi(
                host,
                method,
                format!("nothing: a request of {} bytes is not sent", body.len()),
            ));
        }
        let mut url = host.clone();
        url.set_path(path);
        let request = self.http.post(url).header(CONTENT_TYPE, content_type).timeout(within).body(body);
        let failed = |error| broken(host, method, within, error);
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND || status == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(Asked::NoSuchPath);
        }
        let text = read(&mut response).await.map_err(failed)?;
        let text =
            text.ok_or_else(|| not_xapi(host, method, format!("more than {ANSWER_BYTES_MOST} bytes")))?;
        if !status.is_success() {
            return Err(not_xapi(host, method, format!("HTTP status {status}")));
        }
        let answer = parsed(text, xml).await;
        let answer =
            answer.map_err(|what| not_xapi(host, method, what.chars().take(SHOWN_CHARS).collect()))?;
        Ok(Asked::Answer(answer.map_err(|fault| XcpngError::Fault { method: method.to_owned(), fault })))
    }
}

async fn parsed(text: String, xml: bool) -> Result<Result<Value, Fault>, String> {
    let large = text.len() > LARGE_BYTES;
    let parse = move || if xml { xml::answer(&text) } else { json::answer(&text) };
    if !large {
        return parse();
    }
    let parsed = tokio::task::spawn_blocking(parse).await;
    parsed.unwrap_or_else(|_| Err("an answer at which its reader broke off".to_owned()))
}

enum Asked {
    Answer(Result<Value, XcpngError>),
    NoSuchPath,
}

/// None where it is too long.
async fn read(response: &mut Response) -> Result<Option<String>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MOST {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    // A guest's name may be any bytes; what is no UTF-8 in it must not make the rest unreadable.
    Ok(Some(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    ))
}

fn not_xapi(host: &Url, method: &str, what: String) -> XcpngError {
    XcpngError::Answer { host: shown(host), method: method.to_owned(), what }
}

/// Sorts what went wrong below HTTP.
fn broken(host: &Url, method: &str, within: Duration, error: reqwest::Error) -> XcpngError {
    let host = shown(host);
    let sent = !error.is_connect();
    if error.is_timeout() && sent {
        return XcpngError::deadline(format!("{method} at {host}"), within);
    }
    // The address has no secrets in it, but stands in our own words already.
    let error = error.without_url();
    match tls_error(&error) {
        Some(what) => XcpngError::Certificate { host, what },
        None => {
            let timed_out =
                error.is_timeout().then(|| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()));
            XcpngError::Unreachable { host, what: timed_out.unwrap_or_else(|| innermost(&error)), sent }
        }
    }
}

/// What rustls found wrong with the other side, where it is rustls that refused.
fn tls_error(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(what)) => return Some(what.to_string()),
            Some(rustls::Error::Other(other)) => {
                if let Some(wrong) = other.0.downcast_ref::<WrongPin>() {
                    return Some(wrong.to_string());
                }
            }
            _ => {}
        }
        // An I/O error passes over what it wraps when it is asked for its source.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map(|wrapped| wrapped as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// `host` or `host:port`.
pub(crate) fn shown(host: &Url) -> String {
    let name = host.host_str().unwrap_or_default();
    host.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}
