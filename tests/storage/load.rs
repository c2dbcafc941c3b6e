//! Clients that go on asking until they are told to stop, and remember what was accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::Client;
use bioxen_tests::{ask, code};
use serde_json::json;
use tokio::task::JoinHandle;

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<(String, String)>>>,
}

impl Load {
    /// So many users, each creating VMs, starting some and destroying some.
    pub(crate) fn start(client: &Client, users: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..users)
            .map(|user| tokio::spawn(go_on(client.clone(), format!("load{user}"), Arc::clone(&stop))));
        Self { clients: clients.collect(), stop }
    }

    /// The VMs that stand, with their users.
    pub(crate) async fn end(self) -> Vec<(String, String)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all
    }
}

async fn go_on(client: Client, user: String, stop: Arc<AtomicBool>) -> Vec<(String, String)> {
    let mut standing = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let vm = format!("v{number}");
        let body = json!({ "biological_type": "syn3a", "request_id": vm, "auto_start": number % 8 == 1 });
        let created = ask(&client, &format!("bioxen.v1.cmd.{user}.create.{vm}"), &body).await;
        assert_eq!(created["status"], "created", "{created}");
        if number % 4 == 0 {
            let gone = ask(&client, &format!("bioxen.v1.cmd.{user}.destroy.{vm}"), &json!({})).await;
            assert_eq!(code(&gone), "", "{gone}");
        } else {
            standing.push((user.clone(), vm));
        }
    }
    standing
}
