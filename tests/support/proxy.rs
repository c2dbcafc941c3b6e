//! Stands between one process and a nats-server, or between two of these, and can keep what is said to itself: one way, or
//! both. A cut closes no connection, and what was said while it lasted arrives when it is mended.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Which way nothing passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToServer,
    FromServer,
    Both,
}

/// What stands between.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    cut: Arc<watch::Sender<Option<Way>>>,
}

impl Proxy {
    /// Passes on what comes to a port of its own.
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let cut = Arc::new(watch::channel(None).0);
        let told = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server_port)).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, Way::ToServer, told.subscribe()));
                tokio::spawn(pass(from_server, to_client, Way::FromServer, told.subscribe()));
            }
        });
        Self { port, cut }
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn cut(&self, way: Way) {
        self.cut.send_replace(Some(way));
    }

    pub fn mend(&self) {
        self.cut.send_replace(None);
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    own: Way,
    mut cut: watch::Receiver<Option<Way>>,
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let passes = |cut: &Option<Way>| cut.is_none_or(|way| way != own && way != Way::Both);
        if cut.wait_for(passes).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
