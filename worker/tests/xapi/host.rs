//! A host on loopback that answers as a test tells it: HTTPS with a certificate of its own, JSON-RPC, calls remembered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A call as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) method: String,
    /// Without the session.
    pub(crate) params: Vec<Value>,
    pub(crate) session: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Value(Value),
    Fault(&'static str, Vec<String>),
    /// An answer word for word.
    Text(&'static str, String),
    Status(u16),
    /// The connection ends without an answer.
    Lost,
    Never,
    After(Duration, Value),
}

pub(crate) type Handler = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;

/// Ends with its test.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) pem: String,
    calls: Arc<Mutex<Vec<Call>>>,
    at_once: Arc<AtOnce>,
    serving: JoinHandle<()>,
}

/// How many calls of one method are being answered, and the most that ever were.
#[derive(Debug, Default)]
struct AtOnce(Mutex<HashMap<String, (usize, usize)>>);

impl AtOnce {
    fn begin(&self, method: &str) {
        let mut all = self.0.lock().unwrap();
        let (now, most) = all.entry(method.to_owned()).or_default();
        *now += 1;
        *most = (*most).max(*now);
    }

    fn end(&self, method: &str) {
        if let Some((now, _)) = self.0.lock().unwrap().get_mut(method) {
            *now -= 1;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Host {
    pub(crate) async fn start(answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let handler: Handler = Arc::new(answer);
        let acceptor = acceptor(&cert, &signing_key);
        let remembered = Arc::clone(&calls);
        let at_once = Arc::new(AtOnce::default());
        let counted = Arc::clone(&at_once);
        let serving = tokio::spawn(async move {
            // Dropped with this task, and so are the connections.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let serving = Serving {
                    handler: Arc::clone(&handler),
                    calls: Arc::clone(&remembered),
                    at_once: Arc::clone(&counted),
                };
                let acceptor = acceptor.clone();
                connections.spawn(async move { serving.serve(acceptor.accept(stream).await.ok()?).await });
            }
        });
        let fingerprint = Sha256::digest(cert.der()).into();
        Self { address, fingerprint, pem: cert.pem(), calls, at_once, serving }
    }

    pub(crate) fn url(&self) -> reqwest::Url {
        format!("https://{}/", self.address).parse().unwrap()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn most_at_once(&self, method: &str) -> usize {
        self.at_once.0.lock().unwrap().get(method).map_or(0, |(_, most)| *most)
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        self.calls().iter().filter(|call| call.method == method).count()
    }
}

fn acceptor(cert: &rcgen::Certificate, key: &KeyPair) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// What every connection of a host shares.
struct Serving {
    handler: Handler,
    calls: Arc<Mutex<Vec<Call>>>,
    at_once: Arc<AtOnce>,
}

impl Serving {
    /// Answers one connection until it ends.
    async fn serve(&self, mut stream: TlsStream<TcpStream>) -> Option<()> {
        let mut buffer = Vec::new();
        loop {
            let (path, body) = request(&mut stream, &mut buffer).await?;
            let (call, id) = call_of(path, &body);
            self.calls.lock().unwrap().push(call.clone());
            self.at_once.begin(&call.method);
            let answer = self.answer(&call, &id).await;
            self.at_once.end(&call.method);
            stream.write_all(answer?.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
        }
    }

    async fn answer(&self, call: &Call, id: &Value) -> Option<String> {
        let answer = |value: Value| json!({ "jsonrpc": "2.0", "result": value, "id": id }).to_string();
        let (status, kind, text) = match (self.handler)(call) {
            Reply::Value(value) => (200, "application/json", answer(value)),
            Reply::After(delay, value) => {
                tokio::time::sleep(delay).await;
                (200, "application/json", answer(value))
            }
            Reply::Fault(code, params) => {
                let error = json!({ "code": 1, "message": code, "data": params });
                (200, "application/json", json!({ "jsonrpc": "2.0", "error": error, "id": id }).to_string())
            }
            Reply::Text(kind, text) => (200, kind, text),
            Reply::Status(status) => (status, "text/html", "<html><body>no</body></html>".to_owned()),
            Reply::Lost => return None,
            Reply::Never => std::future::pending().await,
        };
        let length = text.len();
        Some(format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{text}"))
    }
}

async fn request<S: AsyncReadExt + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            })?;
            if rest.len() >= length {
                let body = rest[..length].to_owned();
                buffer.drain(..head.len() + 4 + length);
                return Some((head.split(' ').nth(1)?.to_owned(), body));
            }
        }
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.ok()?;
        if read == 0 {
            return None;
        }
        buffer.extend_from_slice(&piece[..read]);
    }
}

fn call_of(path: String, body: &str) -> (Call, Value) {
    let Ok(request) = serde_json::from_str::<Value>(body) else {
        // XML: the method's name is all that tests look at.
        let method = body.split("<methodName>").nth(1).and_then(|rest| rest.split('<').next());
        let method = method.unwrap_or_default().to_owned();
        return (Call { path, method, params: Vec::new(), session: Value::Null }, Value::Null);
    };
    let method = request["method"].as_str().unwrap_or_default().to_owned();
    let mut params = request["params"].as_array().cloned().unwrap_or_default();
    let session = if method == "session.login_with_password" { Value::Null } else { params.remove(0) };
    (Call { path, method, params, session }, request["id"].clone())
}

/// What every host answers that is not the matter of its test: logins, and events of which there are none.
pub(crate) fn otherwise(call: &Call) -> Reply {
    match call.method.as_str() {
        "session.login_with_password" => Reply::Value(json!("OpaqueRef:session-1")),
        "session.logout" | "task.destroy" | "task.cancel" => Reply::Value(json!("")),
        "event.from" => Reply::After(
            Duration::from_millis(50),
            json!({ "events": [], "token": "1", "valid_ref_counts": {} }),
        ),
        _ => Reply::Fault("MESSAGE_METHOD_UNKNOWN", vec![call.method.clone()]),
    }
}
