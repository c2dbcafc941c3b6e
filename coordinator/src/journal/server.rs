//! What the connected nats-server must be, checked before anything is written to it.
//!
//! This file must not change the server or its streams.

use std::time::Duration;

use async_nats::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::api::{self, ApiError, code};
use super::{batch, streams};

/// The oldest nats-server with all that the streams need.
const OLDEST: (u64, u64) = (2, 12);
/// Room for a message's headers beside the largest batch.
const HEADER_BYTES: usize = 4 * 1024;
/// A monitoring page's most bytes.
const MOST_PAGE_BYTES: u64 = 1024 * 1024;

/// Why this nats-server cannot carry a fleet.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(
        "nats-server is version {found}; BioXen needs {}.{} or newer: get one from \
         https://github.com/nats-io/nats-server/releases or the official `nats` container image",
        OLDEST.0, OLDEST.1
    )]
    TooOld { found: String },
    #[error(
        "nats-server has JetStream off ({reason}): start it with `-js`, or with `jetstream {{ sync_interval: \
         always }}` in its configuration, and allow JetStream to this account"
    )]
    NoJetStream { reason: String },
    #[error(
        "nats-server takes messages of {found_bytes} bytes at most; BioXen needs {expected_bytes}: raise its \
         max_payload"
    )]
    PayloadTooSmall { found_bytes: usize, expected_bytes: usize },
    #[error("nats-server cannot be asked about JetStream: {0}")]
    Api(#[from] ApiError),
}

/// Whether the server syncs each write before it acknowledges (`sync_interval: always`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncAlways {
    Yes,
    /// Acknowledged writes of so many seconds can be lost in a power cut.
    No {
        interval_s: u64,
    },
    CannotTell {
        reason: String,
    },
}

impl std::fmt::Display for SyncAlways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Yes => f.write_str("nats-server syncs every write before it acknowledges it"),
            Self::No { interval_s } => write!(
                f,
                "nats-server syncs every {interval_s} s only: a power cut loses what was accepted since; set \
                 `jetstream {{ sync_interval: always }}`"
            ),
            Self::CannotTell { reason } => write!(
                f,
                "it cannot be told whether nats-server syncs every write ({reason}): without `jetstream {{ \
                 sync_interval: always }}` a power cut loses up to 2 minutes of what was accepted"
            ),
        }
    }
}

/// Checks version, JetStream and message size of the server that the client is connected to.
///
/// # Errors
/// The first that does not fit, with what to do.
pub async fn check(client: &Client, wait: Duration) -> Result<(), ServerError> {
    let info = client.server_info();
    if !version_fits(&info.version) {
        return Err(ServerError::TooOld { found: info.version });
    }
    let expected_bytes = batch::MAX_BATCH_BYTES + HEADER_BYTES;
    if info.max_payload < expected_bytes {
        return Err(ServerError::PayloadTooSmall { found_bytes: info.max_payload, expected_bytes });
    }
    match api::call::<Value>(client, streams::API_INFO, &Value::Null, wait).await {
        Ok(_) => Ok(()),
        Err(ApiError::NoResponders { .. }) => {
            Err(ServerError::NoJetStream { reason: "nothing answers its API".to_owned() })
        }
        Err(ApiError::Refused { code, description, .. }) if code::NOT_ENABLED.contains(&code) => {
            Err(ServerError::NoJetStream { reason: description })
        }
        Err(error) => Err(error.into()),
    }
}

/// Major and minor must parse and be new enough; a suffix such as `-beta.1` does not matter.
fn version_fits(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.').map(str::parse::<u64>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST,
        _ => false,
    }
}

/// Asks the server's monitoring page. A NATS client outside the system account is told nothing of it.
///
/// `monitoring_url` is `http://host:port`, of the server that stores the journal.
pub async fn sync_always(monitoring_url: Option<&str>, wait: Duration) -> SyncAlways {
    let Some(url) = monitoring_url else {
        return SyncAlways::CannotTell { reason: "no monitoring URL is configured".to_owned() };
    };
    let page = match tokio::time::timeout(wait, fetch_varz(url)).await {
        Ok(Ok(page)) => page,
        Ok(Err(error)) => return SyncAlways::CannotTell { reason: format!("{url} failed: {error}") },
        Err(_) => {
            return SyncAlways::CannotTell {
                reason: format!("{url} did not answer within {} ms", wait.as_millis()),
            };
        }
    };
    read_varz(&page)
}

fn read_varz(page: &[u8]) -> SyncAlways {
    #[derive(Deserialize)]
    struct Varz {
        #[serde(default)]
        jetstream: JetStream,
    }
    #[derive(Deserialize, Default)]
    struct JetStream {
        config: Option<Config>,
    }
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        sync_always: bool,
        /// Nanoseconds.
        #[serde(default)]
        sync_interval: u64,
    }
    match serde_json::from_slice::<Varz>(page) {
        Ok(Varz { jetstream: JetStream { config: Some(config) } }) if config.sync_always => SyncAlways::Yes,
        Ok(Varz { jetstream: JetStream { config: Some(config) } }) => {
            SyncAlways::No { interval_s: config.sync_interval / 1_000_000_000 }
        }
        Ok(_) => SyncAlways::CannotTell { reason: "its page says nothing of JetStream".to_owned() },
        Err(error) => SyncAlways::CannotTell { reason: format!("its page is not understood: {error}") },
    }
}

/// HTTP/1.0 suffices for one page, and the server then closes the connection behind it.
async fn fetch_varz(url: &str) -> std::io::Result<Vec<u8>> {
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, what.to_owned());
    let host = url.strip_prefix("http://").ok_or_else(|| invalid("expected http://host:port"))?;
    let host = host.split('/').next().unwrap_or(host);
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(format!("GET /varz HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST_PAGE_BYTES).read_to_end(&mut answer).await?;
    let end_of_head = b"\r\n\r\n";
    let at = answer
        .windows(end_of_head.len())
        .position(|window| window == end_of_head)
        .ok_or_else(|| invalid("it does not speak HTTP"))?;
    Ok(answer.split_off(at + end_of_head.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(version_fits("2.12.0"));
        assert!(version_fits("v2.15.1-beta.1"));
        assert!(version_fits("3.0.0"));
        assert!(!version_fits("2.9.10"));
        assert!(!version_fits("2.2.12"));
        assert!(!version_fits("unknown"));
    }

    #[test]
    fn the_monitoring_page_tells_whether_writes_are_synced() {
        let page = |config: &str| format!(r#"{{"jetstream":{{"config":{{{config}}}}}}}"#);
        assert_eq!(read_varz(page(r#""sync_always":true"#).as_bytes()), SyncAlways::Yes);
        let every_two_minutes = page(r#""sync_interval":120000000000"#);
        assert_eq!(read_varz(every_two_minutes.as_bytes()), SyncAlways::No { interval_s: 120 });
        assert!(matches!(read_varz(b"{}"), SyncAlways::CannotTell { .. }));
        assert!(matches!(read_varz(b"<html>"), SyncAlways::CannotTell { .. }));
    }
}
