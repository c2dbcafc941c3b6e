//! The journal as anybody with rights on JetStream's API sees it, and may cut it.

use async_nats::Client;
use bioxen_coordinator::journal::{Journal, JournalBatch, Patience, Position};
use bioxen_tests::ask;
use serde_json::json;

/// Every batch, its chain proved.
pub(crate) async fn batches(client: &Client) -> Vec<JournalBatch> {
    let journal = Journal::new(client.clone(), Patience::default());
    journal.read_from(Position::START).await.unwrap().0
}

/// Deletes a message, as anybody with rights on JetStream's API can.
pub(crate) async fn delete_from_journal(client: &Client, sequence: u64) {
    let subject = "$JS.API.STREAM.MSG.DELETE.BIOXEN_JOURNAL";
    let answer = ask(client, subject, &json!({ "seq": sequence })).await;
    assert_eq!(answer["success"], true, "{answer}");
}
