//! Three nats-servers on loopback, by the configuration that deploy/ ships, with ports and folders of their own.

use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::START_PATIENCE;
use crate::process::{Process, nats_server};
use crate::routes::Routes;

const SERVERS: usize = 3;
const POLL: Duration = Duration::from_millis(20);
/// Servers tell one another where they are found, and clients too: here, that is nowhere, and nothing. So nobody gets past
/// the proxies on the routes, and who is connected to one server stays with it.
const FOUND_NOWHERE: &str = "advertise: \"127.0.0.1:1\"\n  no_advertise: true";

/// Below are ports that programs are known by.
const LEAST_PORT: u16 = 10_000;
/// On loopback, and nobody's.
const HOLDING: &str = "127.77.0.1";

#[derive(Debug, Clone, Copy)]
struct Ports {
    client: u16,
    route: u16,
    http: u16,
}

/// The servers of one cluster.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    ports: Vec<Ports>,
    /// Keeps other clusters off the ports.
    _held: Vec<TcpListener>,
    servers: Vec<Option<Process>>,
    /// Where the servers reach one another through proxies.
    routes: Option<Routes>,
}

impl Cluster {
    /// Starts all, and waits until JetStream answers on each.
    pub(crate) fn start(folder: &Path) -> Self {
        let (held, ports) = free_ports();
        Self::start_on(folder, ports, held, None)
    }

    /// The same with proxies between the servers.
    pub(crate) async fn start_with_routes(folder: &Path) -> Self {
        let (held, ports) = free_ports();
        let listening: Vec<u16> = ports.iter().map(|ports| ports.route).collect();
        let routes = Routes::between(&listening).await;
        Self::start_on(folder, ports, held, Some(routes))
    }

    fn start_on(folder: &Path, ports: Vec<Ports>, held: Vec<TcpListener>, routes: Option<Routes>) -> Self {
        let servers = (0..SERVERS).map(|_| None).collect();
        let mut cluster = Self { folder: folder.to_owned(), ports, _held: held, servers, routes };
        for number in 0..SERVERS {
            cluster.spawn(number);
        }
        for number in 0..SERVERS {
            cluster.wait_until_healthy(number);
        }
        // Only then a stream with a replica on each can be created.
        let started = Instant::now();
        while !cluster.is_whole() {
            assert!(started.elapsed() < START_PATIENCE, "the servers do not all know one another");
            std::thread::sleep(POLL);
        }
        cluster
    }

    /// All addresses, as one list.
    pub fn url(&self) -> String {
        let urls: Vec<String> = (0..SERVERS).map(|number| self.url_of(number)).collect();
        urls.join(",")
    }

    /// The address of one.
    pub fn url_of(&self, number: usize) -> String {
        format!("nats://127.0.0.1:{}", self.ports[number].client)
    }

    /// What stands between the servers.
    pub fn routes(&self) -> &Routes {
        self.routes.as_ref().expect("a cluster with proxies on its routes")
    }

    /// The number of the server of that name.
    pub fn number_of(&self, name: &str) -> usize {
        (0..SERVERS).find(|number| name_of(*number) == name).expect("a server of the cluster")
    }

    /// As a crash would: SIGKILL.
    pub fn kill(&mut self, number: usize) {
        self.servers[number] = None;
    }

    /// Starts one again where it was, and waits until it has what the others have.
    pub fn restart(&mut self, number: usize) {
        self.spawn(number);
        self.wait_until_healthy(number);
    }

    fn spawn(&mut self, number: usize) {
        let own = self.ports[number];
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/nats-cluster.conf");
        let mut config = std::fs::read_to_string(shipped).expect("the configuration that is shipped");
        let store = self.folder.join(format!("nats-{number}"));
        for (from, to) in [
            ("port: 4222", format!("port: {}", own.client)),
            ("port: 6222", format!("port: {}", own.route)),
            ("http: \"127.0.0.1:8222\"", format!("http: \"127.0.0.1:{}\"", own.http)),
            ("\"/var/lib/nats/bioxen\"", format!("{:?}", store.display().to_string())),
        ] {
            assert!(config.contains(from), "{shipped} has no {from}");
            config = config.replace(from, &to);
        }
        if self.routes.is_some() {
            config =
                config.replace("routes: $NATS_ROUTES", &format!("routes: $NATS_ROUTES\n  {FOUND_NOWHERE}"));
        }
        let path = self.folder.join(format!("nats-{number}.conf"));
        std::fs::write(&path, config).expect("the configuration is written");
        let routes: Vec<String> = match &self.routes {
            Some(routes) => routes.of(number),
            None => self.ports.iter().map(|ports| format!("127.0.0.1:{}", ports.route)).collect(),
        };
        let routes: Vec<String> =
            routes.iter().map(|address| format!("\"nats-route://{address}\"")).collect();
        let mut command = nats_server();
        command.arg("--config").arg(path);
        command.env("NATS_NAME", name_of(number)).env("NATS_HOST", "127.0.0.1");
        command.env("NATS_ROUTES", format!("[{}]", routes.join(", ")));
        self.servers[number] = Some(Process::start(&name_of(number), command, &self.folder));
    }

    fn wait_until_healthy(&self, number: usize) {
        let started = Instant::now();
        while !self.is_healthy(number) {
            let name = name_of(number);
            let log = std::fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
            assert!(started.elapsed() < START_PATIENCE, "{name} is not healthy; it wrote:\n{log}");
            std::thread::sleep(POLL);
        }
    }

    fn is_healthy(&self, number: usize) -> bool {
        self.ask(number, "/healthz").is_ok_and(|answer| answer.starts_with("HTTP/1.0 200"))
    }

    /// Whether the server that leads the others in JetStream sees all of them.
    fn is_whole(&self) -> bool {
        let sees_all = |number: usize| -> Option<bool> {
            let answer = self.ask(number, "/jsz").ok()?;
            let (_, body) = answer.split_once("\r\n\r\n")?;
            let told: Value = serde_json::from_str(body).ok()?;
            let others = told["meta_cluster"]["replicas"].as_array()?;
            let is_there = |one: &Value| one["current"] == true && one["offline"] != true;
            Some(others.len() == SERVERS - 1 && others.iter().all(is_there))
        };
        (0..SERVERS).any(|number| sees_all(number) == Some(true))
    }

    /// What a server's monitoring answers, headers and all.
    fn ask(&self, number: usize, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[number].http))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// Ports for every server, each held against other clusters until its listener is dropped.
fn free_ports() -> (Vec<TcpListener>, Vec<Ports>) {
    let (held, free): (Vec<TcpListener>, Vec<u16>) = (0..SERVERS * 3).map(|_| free_port()).unzip();
    let of_one = |three: &[u16]| Ports { client: three[0], route: three[1], http: three[2] };
    let ports = free.chunks(3).map(of_one).collect();
    (held, ports)
}

/// A port that nobody listens on and nobody is given by chance: below those that the kernel gives out, and held at an
/// address of this machine that only clusters of tests use.
fn free_port() -> (TcpListener, u16) {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let given_out = range.split_whitespace().next().and_then(|first| first.parse::<u16>().ok());
    let end = given_out.filter(|first| *first > LEAST_PORT + 1_000).unwrap_or(u16::MAX);
    let random = RandomState::new();
    for number in 0..10_000_u32 {
        let beyond = random.hash_one(number) % u64::from(end - LEAST_PORT);
        let port = LEAST_PORT + u16::try_from(beyond).expect("below a port");
        let Ok(held) = TcpListener::bind((HOLDING, port)) else { continue };
        if TcpStream::connect(("127.0.0.1", port)).is_err() {
            return (held, port);
        }
    }
    panic!("no port from {LEAST_PORT} to {end} is free");
}

/// The name of a server in its cluster.
pub fn name_of(number: usize) -> String {
    format!("bioxen-{}", number + 1)
}
