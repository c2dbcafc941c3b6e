//! `bioxen checkpoint` and `bioxen restore`: a cell kept by name, and a VM put back to it.

use bioxen_protocol::command::{CheckpointId, Plain, Restore, Verb, VmType, XcpngConfig};
use bioxen_protocol::id::{RequestId, VmId};
use bioxen_protocol::reply::{Checkpointed, Restored};
use clap::Args;
use serde_json::Value;

use super::Session;
use super::create::{from_json_text, xcpng_pair};
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
    /// Where it shall run from then on: basic or xcpng
    #[arg(long, value_parser = from_json_text::<VmType>)]
    vm_type: Option<VmType>,
    /// A setting of the xcpng backend, as pool=lab
    #[arg(long = "xcpng", value_name = "NAME=VALUE", value_parser = xcpng_pair, requires = "vm_type")]
    xcpng_config: Vec<(String, Value)>,
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
    let RestoreArgs { vm, checkpoint_id, vm_type, xcpng_config, request_id } = args;
    let xcpng_config = (!xcpng_config.is_empty()).then(|| XcpngConfig(xcpng_config.into_iter().collect()));
    let body = Restore { request_id, checkpoint_id, vm_type, xcpng_config };
    let restored: Restored = session.client.request(Verb::Restore, Some(&vm), &body).await?;
    Ok(render::show(session.json, &restored, render::fields)?)
}
