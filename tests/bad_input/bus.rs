//! What nats-server itself refuses, said by hand on a socket, for a client library would refuse to send it.

use async_nats::Client;
use bioxen_tests::ANSWER_PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const EMPTY_TOKENS: [&str; 5] = [
    "bioxen.v1.cmd..create.new",
    "bioxen.v1.cmd.alice..new",
    "bioxen.v1.cmd.alice.create.",
    "bioxen.v1.submit.",
    ".bioxen.v1.cmd.alice.create.new",
];
/// Some faults are answered by the end of the connection alone.
const CLOSED: &str = "<closed>";

/// Sends what must be refused; each with the bus' answer.
pub(crate) async fn check_all(port: u16, client: &Client) -> Vec<(String, String)> {
    let body = "{\"biological_type\":\"syn3a\"}";
    let create = "bioxen.v1.cmd.alice.create.new";
    let huge = format!("{body}{}", " ".repeat(2 * 1024 * 1024));
    let long = "a".repeat(5_000);
    // nats-server judges by the length that is declared.
    let declare = |subject: &str| format!("PUB {subject} {}\r\n{body}", 2 * 1024 * 1024);
    let publish = |subject: &str, payload: &str| format!("PUB {subject} {}\r\n{payload}\r\n", payload.len());
    let cases = [
        ("2 MB to a command", declare(create), "-ERR 'Maximum Payload Violation'"),
        ("2 MB to submit", declare("bioxen.v1.submit.alice"), "-ERR 'Maximum Payload Violation'"),
        (
            "2 MB to an operator's command",
            declare("bioxen.v1.ops.root.create.alice.new"),
            "-ERR 'Maximum Payload Violation'",
        ),
        (
            "a subject of 5,000 characters",
            publish(&format!("bioxen.v1.cmd.{long}.list"), ""),
            "-ERR 'maximum control line exceeded'",
        ),
        (
            "a VM of 5,000 characters",
            publish(&format!("{create}{long}"), body),
            "-ERR 'maximum control line exceeded'",
        ),
        ("a length that is no number", format!("PUB {create} x\r\n{body}\r\n"), CLOSED),
        ("a negative length", format!("PUB {create} -5\r\n{body}\r\n"), CLOSED),
        ("no length", format!("PUB {create}\r\n{body}\r\n"), CLOSED),
        ("a verb of no protocol", format!("PUBLISH {create} 5\r\n"), "-ERR 'Unknown Protocol Operation'"),
    ];
    let mut refused = Vec::new();
    let empty =
        EMPTY_TOKENS.map(|subject| (subject, publish(subject, body), "-ERR 'Invalid Publish Subject'"));
    for (what, bytes, expected) in cases.into_iter().chain(empty) {
        let answer = say(port, bytes.as_bytes()).await;
        assert!(answer.contains(expected), "{what}: {answer:?}");
        refused.push((what.to_owned(), answer));
    }
    let asked = client.request(create, huge.into()).await;
    let error = asked.expect_err("async-nats knows the bus' limit").to_string();
    refused.push(("2 MB by async-nats".to_owned(), error));
    // Who does not ask for a pedantic bus is not told, but no subscription gets it.
    for subject in EMPTY_TOKENS {
        let asked = client.request(subject, body.into()).await;
        let error = asked.expect_err("nobody gets an empty token").to_string();
        refused.push((format!("{subject} by async-nats"), error));
    }
    refused
}

/// Says it in pedantic mode; what nats-server answers until it closes the connection or answers a PING.
async fn say(port: u16, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("nats-server listens");
    // In one piece: what is sent after nats-server has closed would take its answer away.
    let all = [b"CONNECT {\"verbose\":false,\"pedantic\":true}\r\n", bytes, b"PING\r\n"].concat();
    socket.write_all(&all).await.expect("written");
    let mut answer = String::new();
    let mut buffer = [0u8; 4096];
    while !answer.contains("PONG") {
        let read = tokio::time::timeout(ANSWER_PATIENCE, socket.read(&mut buffer)).await;
        match read.expect("an answer in time") {
            Ok(0) | Err(_) => {
                answer.push_str(CLOSED);
                break;
            }
            Ok(count) => answer.push_str(&String::from_utf8_lossy(&buffer[..count])),
        }
    }
    answer.lines().filter(|line| !line.starts_with("INFO")).collect::<Vec<_>>().join(" ")
}
