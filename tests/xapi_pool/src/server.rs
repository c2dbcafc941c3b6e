//! TLS and HTTP: takes connections at every host's address, reads calls, writes answers. What calls do is none of its
//! business.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::dispatch::{self, Outcome};
use crate::fault::Fault;
use crate::http;
use crate::shared::Shared;
use crate::wire::{self, Wire, json, xml};

/// The largest call.
const CALL_BYTES_MOST: usize = 300 * 1024;

pub(crate) type Reply = Response<Full<Bytes>>;

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on demand")]
struct Closed;

/// Serves `host` for as long as the runtime lives.
pub(crate) async fn serve(shared: Arc<Shared>, host: usize, listener: TcpListener, tls: TlsAcceptor) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            let mut life = shared.life.subscribe();
            opened(&shared);
            tokio::select! {
                () = converse(&shared, host, stream, tls) => {}
                _ = life.changed() => {}
            }
            let mut state = shared.lock();
            state.connections_now = state.connections_now.saturating_sub(1);
        });
    }
}

fn opened(shared: &Shared) {
    let mut state = shared.lock();
    state.connections_now += 1;
    state.seen.most_connections_at_once = state.seen.most_connections_at_once.max(state.connections_now);
}

async fn converse(shared: &Arc<Shared>, host: usize, stream: TcpStream, tls: TlsAcceptor) {
    let mute = shared.lock().fault(|fault| *fault == Fault::Mute).is_some();
    if mute {
        // Held, with whatever comes unread.
        let _held = stream;
        return std::future::pending().await;
    }
    let _ = stream.set_nodelay(true);
    // Whoever does not like the certificate goes.
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = hyper::service::service_fn(|request| answer(shared, host, request));
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Closing on demand is an error to hyper.
    let _ = connection.await;
}

async fn answer(shared: &Arc<Shared>, host: usize, request: Request<Incoming>) -> Result<Reply, Closed> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.as_str()) {
        (&Method::POST, "/jsonrpc" | "/" | "/RPC2") => call(shared, host, request, path == "/jsonrpc").await,
        _ => Ok(http::answer(shared, host, request).await),
    }
}

async fn call(
    shared: &Arc<Shared>,
    host: usize,
    request: Request<Incoming>,
    is_json: bool,
) -> Result<Reply, Closed> {
    if is_json && shared.lock().fault(|fault| *fault == Fault::NoJsonRpc).is_some() {
        return Ok(page(StatusCode::NOT_FOUND));
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    if is_json && kind != "application/json" {
        return Ok(malformed(shared, &format!("Content-Type {kind:?}, expected exactly application/json")));
    }
    let body = match Limited::new(request.into_body(), CALL_BYTES_MOST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return Ok(malformed(
                shared,
                &format!("a body above {CALL_BYTES_MOST} bytes, or cut off: {error}"),
            ));
        }
    };
    let request = if is_json { json::request(&body) } else { xml::request(&body) };
    let request = match request {
        Ok(request) => request,
        Err(error) => return Ok(malformed(shared, &error)),
    };
    let wire = request.wire.clone();
    match dispatch::answer(shared, host, request).await {
        Outcome::Answered { answer, early } => Ok(written(&wire, &answer, early)),
        Outcome::Dropped => Err(Closed),
        Outcome::Silence => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

fn written(wire: &Wire, answer: &crate::value::Answer, early: bool) -> Reply {
    let (kind, text) = match wire {
        wire::Wire::Json { second, id } => ("application/json", json::response(*second, id, answer, early)),
        wire::Wire::Xml => ("text/xml", xml::response(answer)),
    };
    reply(StatusCode::OK, kind, text)
}

/// A caller wrote what is no call: XAPI answers 500 with a page.
fn malformed(shared: &Shared, what: &str) -> Reply {
    shared.lock().violation(format!("HTTP: {what}"));
    page(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A page for people, which is all that comes with some statuses.
pub(crate) fn page(status: StatusCode) -> Reply {
    let text = format!("<html><body><h1>{status}</h1></body></html>");
    reply(status, "text/html", text)
}

pub(crate) fn reply(status: StatusCode, kind: &'static str, text: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(text)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    reply
}
