//! The pages of metrics and health that processes serve.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// What an HTTP server on this machine shows, its headers included.
pub fn http_get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: bioxen\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("it answers");
    page
}

/// What a process serves at `/metrics`.
pub fn metrics(address: &str) -> String {
    http_get(address, "/metrics")
}

/// The value of one line of Prometheus text, by the line's whole beginning; 0 where it is not there.
pub fn metric(page: &str, line: &str) -> f64 {
    let found = page.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().expect("a number"))
}
