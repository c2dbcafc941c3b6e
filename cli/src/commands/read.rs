//! `status`, `resources`, `metrics`, `fleet`, `performance`: what is answered is shown as it comes, so that a newer
//! coordinator's fields are seen too.

use bioxen_protocol::command::{Plain, Verb};
use bioxen_protocol::id::VmId;
use clap::Args;
use serde_json::{Map, Value};

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct VmArgs {
    vm: VmId,
}

pub(crate) async fn of_vm(session: &Session, verb: Verb, args: &VmArgs) -> Result<(), Failure> {
    show(session, verb, Some(&args.vm)).await
}

pub(crate) async fn of_fleet(session: &Session, verb: Verb) -> Result<(), Failure> {
    show(session, verb, None).await
}

async fn show(session: &Session, verb: Verb, vm: Option<&VmId>) -> Result<(), Failure> {
    let answer: Map<String, Value> = session.client.request(verb, vm, &Plain::default()).await?;
    Ok(render::show(session.json, &answer, render::fields)?)
}
