//! Answers about what is stored of the fleet: a snapshot taken, what a backup would hold.

use async_nats::Client;
use bioxen_protocol::error::{Code, ErrorBody};

use super::{Reply, ReplyTo};
use crate::backup;
use crate::snapshot::keeper::Keeper;

pub(super) async fn snapshot(client: Client, keeper: Keeper, to: ReplyTo) {
    let reply = match keeper.take().await {
        Ok(taken) => Reply::Snapshot(taken),
        Err(reason) => failed(format!("no snapshot was taken: {reason}; ask again")),
    };
    to.send(&client, &reply).await;
}

pub(super) async fn backup(client: Client, to: ReplyTo) {
    let reply = match backup::survey(&client).await {
        Ok(survey) => Reply::Backup(Box::new(survey)),
        Err(error) => failed(format!("what a backup would hold was not found out: {error}; ask again")),
    };
    to.send(&client, &reply).await;
}

fn failed(message: String) -> Reply {
    Reply::Error(ErrorBody::new(Code::Timeout, message))
}
