//! `bioxen checkpoint` and `bioxen restore`: a cell kept by name, and a VM put back to it.

use bioxen_protocol::command::{CheckpointId, Plain, Restore, Verb};
use bioxen_protocol::id::{RequestId, VmId};
use bioxen_protocol::reply::{Checkpointed, Restored};
use clap::Args;

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    vm: VmId,
    /// Takes effect at most once under this id
    #[arg(long)]
    request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    vm: VmId,
    /// As `bioxen checkpoint` told it; `bioxen status` lists those that are kept
    checkpoint_id: CheckpointId,
    /// Takes effect at most once under this id
    #[arg(long)]
    request_id: Option<RequestId>,
}

pub(crate) async fn checkpoint(session: &Session, args: CheckpointArgs) -> Result<(), Failure> {
    let body = Plain { request_id: args.request_id };
    let taken: Checkpointed = session.client.request(Verb::Checkpoint, Some(&args.vm), &body).await?;
    Ok(render::show(session.json, &taken, render::fields)?)
}

pub(crate) async fn restore(session: &Session, args: RestoreArgs) -> Result<(), Failure> {
    let body = Restore { request_id: args.request_id, checkpoint_id: args.checkpoint_id };
    let restored: Restored = session.client.request(Verb::Restore, Some(&args.vm), &body).await?;
    Ok(render::show(session.json, &restored, render::fields)?)
}
