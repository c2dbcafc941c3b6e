//! The connection to the bus, and since when it has been healthy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_nats::{Client, ConnectOptions, Event};
use bioxen_protocol::client::servers;

/// Since when the connection has been up, without a break; None while it is down.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    healthy_since: Arc<Mutex<Option<Instant>>>,
}

impl Connection {
    pub(crate) fn healthy_since(&self) -> Option<Instant> {
        *self.healthy_since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.healthy_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Connects, and keeps trying whenever the connection is lost.
pub(crate) async fn connect(url: &str, name: &str) -> Result<(Client, Connection), async_nats::ConnectError> {
    let connection = Connection { healthy_since: Arc::new(Mutex::new(Some(Instant::now()))) };
    let seen = connection.clone();
    let options = ConnectOptions::new().name(name).max_reconnects(None).event_callback(move |event| {
        let seen = seen.clone();
        async move {
            match event {
                Event::Connected => {
                    tracing::info!("connected to nats-server");
                    seen.set(Some(Instant::now()));
                }
                Event::Disconnected => {
                    tracing::warn!("the connection to nats-server is lost; trying again");
                    seen.set(None);
                }
                Event::SlowConsumer(subscription) => {
                    tracing::warn!(subscription, "messages were dropped: intake is behind");
                }
                other => tracing::debug!(event = %other, "nats"),
            }
        }
    });
    let client = options.connect(servers(url)).await?;
    Ok((client, connection))
}
