//! A caller that is no client: it sends what it is told to and gives back what came.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bioxen_xapi_pool::{Options, Pool};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value as Json, json};

/// Far beyond what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Caller {
    tls: Arc<ClientConfig>,
    address: String,
    port: u16,
    pub(crate) session: String,
}

impl Caller {
    /// One that is logged in at the master.
    pub(crate) fn new(pool: &Pool) -> Self {
        let mut caller = Self::without_session(pool, 0);
        caller.log_in("bioxen-test").expect("the login is right");
        caller
    }

    /// One at `host`.
    pub(crate) fn without_session(pool: &Pool, host: usize) -> Self {
        let mut roots = RootCertStore::empty();
        let pem = pool.certificates_pem();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.expect("a certificate")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let url = pool.url_of(host);
        let (_, port) = url.rsplit_once(':').expect("a port");
        let port = port.parse().expect("a number");
        Self { tls: Arc::new(tls), address: pool.address_of(host), port, session: String::new() }
    }

    /// Logs in with what `Options` say by default.
    pub(crate) fn log_in(&mut self, originator: &str) -> Result<(), Vec<String>> {
        let options = Options::default();
        let params = json!([options.username, options.password, "2.21", originator]);
        let session = self.raw("session.login_with_password", params)?;
        session.as_str().expect("a reference").clone_into(&mut self.session);
        Ok(())
    }

    /// A call within the session.
    pub(crate) fn call(&self, method: &str, params: &[Json]) -> Result<Json, Vec<String>> {
        let all: Vec<_> = std::iter::once(json!(self.session)).chain(params.iter().cloned()).collect();
        self.raw(method, Json::Array(all))
    }

    /// Its result as text.
    pub(crate) fn text(&self, method: &str, params: &[Json]) -> String {
        let result = self.call(method, params);
        result.expect("the call succeeds").as_str().expect("a text").to_owned()
    }

    /// An asynchronous call, to its end: its result, or what went wrong.
    pub(crate) fn wait(&self, method: &str, params: &[Json]) -> Result<String, Vec<String>> {
        let task = self.text(&format!("Async.{method}"), params);
        let started = Instant::now();
        while self.text("task.get_status", &[json!(task)]) == "pending" {
            assert!(started.elapsed() < PATIENCE, "{method} did not end");
        }
        let result = self.text("task.get_result", &[json!(task)]);
        let error = self.call("task.get_error_info", &[json!(task)]).expect("a field");
        self.call("task.destroy", &[json!(task)]).expect("destroyed");
        let error: Vec<String> = serde_json::from_value(error).expect("a list");
        if error.is_empty() { Ok(result) } else { Err(error) }
    }

    /// A VM by clone and provision.
    pub(crate) fn new_vm(&self, name: &str) -> String {
        let result = self.wait("VM.clone", &[json!(self.template()), json!(name)]).expect("a clone");
        let vm = result.replace("<value>", "").replace("</value>", "");
        self.wait("VM.provision", &[json!(vm)]).expect("provisioned");
        vm
    }

    pub(crate) fn template(&self) -> String {
        let all = self.call("VM.get_by_name_label", &[json!("bioxen-guest")]).expect("a list");
        let all: Vec<String> = serde_json::from_value(all).expect("references");
        let is_snapshot = |vm: &String| self.call("VM.get_is_a_snapshot", &[json!(vm)]) == Ok(json!(true));
        all.into_iter().find(|vm| !is_snapshot(vm)).expect("a template")
    }

    /// A call as it is.
    pub(crate) fn raw(&self, method: &str, params: Json) -> Result<Json, Vec<String>> {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 7}).to_string();
        let answer = self.post("/jsonrpc", "application/json", body.as_bytes()).expect("an answer");
        let answer: Json = serde_json::from_str(&answer).expect("JSON");
        // An error from before the call was looked at comes in a list.
        let answer = answer.get(0).cloned().unwrap_or(answer);
        if let Some(error) = answer.get("error") {
            let mut all = vec![error["message"].as_str().expect("a code").to_owned()];
            all.extend(serde_json::from_value::<Vec<String>>(error["data"].clone()).expect("parameters"));
            return Err(all);
        }
        Ok(answer["result"].clone())
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: &[u8]) -> std::io::Result<String> {
        self.request("POST", path, kind, body).map(|(_, text)| text)
    }

    /// A request on a connection of its own: status and body.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> std::io::Result<(u16, String)> {
        let name = ServerName::try_from(self.address.clone()).expect("an address");
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).expect("a connection");
        let stream = TcpStream::connect((self.address.as_str(), self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(connection, stream);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            // A connection may end without a word of TLS.
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error),
            _ => {}
        }
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(ErrorKind::ConnectionAborted)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Ok((status, body.to_owned()))
    }
}

/// `look` again and again until it finds something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}
