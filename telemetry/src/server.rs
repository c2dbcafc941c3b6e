//! The HTTP listener of `/metrics`, `/healthz` and `/readyz`.
//!
//! It speaks without authentication, so it belongs on loopback; see [`loopback`].

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{Health, PrometheusHandle, Readiness, TelemetryError};

/// How often the recorder folds its raw samples, which otherwise grow until somebody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
const METRICS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const PATHS: &str = "nothing here; ask /metrics, /healthz or /readyz\n";

/// The address of `port` on this machine alone; port 0 takes a free one.
pub const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Listens on `addr` and answers until the task is aborted or the runtime ends.
/// Returns the bound address, which tells the port where 0 was asked for.
///
/// # Errors
/// A port in use, or an address that this machine may not listen on.
pub async fn serve(
    addr: SocketAddr,
    metrics: PrometheusHandle,
    health: Health,
    readiness: Readiness,
) -> Result<(SocketAddr, JoinHandle<()>), TelemetryError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => TelemetryError::PortInUse { addr },
        _ => TelemetryError::Listen { addr, source },
    };
    let listener = TcpListener::bind(addr).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let router = router(metrics.clone(), health, readiness);
    let task = tokio::spawn(async move {
        tokio::select! {
            ended = axum::serve(listener, router) => {
                if let Err(error) = ended {
                    tracing::error!(%error, "metrics and health are no longer served");
                }
            }
            () = keep_up(metrics) => {}
        }
    });
    Ok((bound, task))
}

fn router(metrics: PrometheusHandle, health: Health, readiness: Readiness) -> Router {
    let metrics = async move || ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], metrics.render());
    let health = async move || match health.check(Instant::now()) {
        Ok(()) => (StatusCode::OK, "alive\n".to_owned()),
        Err(stopped) => (StatusCode::SERVICE_UNAVAILABLE, format!("{stopped}\n")),
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/readyz", get(async move || ready(&readiness)))
        .fallback((StatusCode::NOT_FOUND, PATHS))
}

fn ready(readiness: &Readiness) -> impl IntoResponse + use<> {
    let missing = readiness.missing();
    if missing.is_empty() {
        let notes = readiness.notes().into_iter().map(|(name, text)| format!("{name}: {text}\n"));
        return (StatusCode::OK, std::iter::once("ready\n".to_owned()).chain(notes).collect::<String>());
    }
    let lines: String = missing.iter().map(|(name, reason)| format!("{name}: {reason}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

async fn keep_up(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::metrics::test_recorder;

    async fn served(health: Health, readiness: &Readiness) -> (SocketAddr, JoinHandle<()>) {
        let recorder = test_recorder();
        metrics::with_local_recorder(&recorder, || metrics::counter!("bioxen_commands_total").increment(7));
        serve(loopback(0), recorder.handle(), health, readiness.clone()).await.unwrap()
    }

    async fn asked(addr: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: bioxen\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn metrics_are_served_as_prometheus_text() {
        let (addr, task) = served(Health::new(Duration::MAX), &Readiness::new()).await;
        assert!(addr.ip().is_loopback() && addr.port() != 0);
        let answer = asked(addr, "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("bioxen_commands_total 7"), "{answer}");
        assert!(asked(addr, "/").await.starts_with("HTTP/1.1 404"));
        task.abort();
    }

    #[tokio::test]
    async fn health_follows_the_beat() {
        let (addr, task) = served(Health::new(Duration::MAX), &Readiness::new()).await;
        assert!(asked(addr, "/healthz").await.ends_with("\r\n\r\nalive\n"));
        task.abort();
        let (addr, task) = served(Health::new(Duration::ZERO), &Readiness::new()).await;
        let answer = asked(addr, "/healthz").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("the main task's last beat"),
            "{answer}"
        );
        task.abort();
    }

    #[tokio::test]
    async fn readiness_lists_what_is_missing() {
        let readiness = Readiness::new();
        readiness.not_ready("journal", "no connection to the bus");
        readiness.not_ready("ledger", "applying the journal's tail");
        let (addr, task) = served(Health::new(Duration::MAX), &readiness).await;
        let answer = asked(addr, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with("journal: no connection to the bus\nledger: applying the journal's tail\n"));
        readiness.ready("journal");
        readiness.ready("ledger");
        assert!(asked(addr, "/readyz").await.starts_with("HTTP/1.1 200"));
        task.abort();
    }

    #[tokio::test]
    async fn a_port_in_use_is_a_clear_error() {
        let (addr, task) = served(Health::new(Duration::MAX), &Readiness::new()).await;
        let handle = test_recorder().handle();
        let error = serve(addr, handle, Health::new(Duration::MAX), Readiness::new()).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains(&addr.to_string()) && message.contains("another program uses this port"));
        task.abort();
    }
}
