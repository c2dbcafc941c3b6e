//! `start`, `stop`, `pause`, `resume`, `destroy`: each waits for the state asked for and tells the state reached.

use bioxen_protocol::command::{OnFull, Start, Verb, Waiting};
use bioxen_protocol::id::{RequestId, VmId};
use bioxen_protocol::quantity::SimulatedTime;
use bioxen_protocol::reply::StateReached;
use clap::Args;

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct WaitingArgs {
    vm: VmId,
    /// How long to wait for the state asked for (400, at most 30000)
    #[arg(long, value_name = "MS")]
    wait_ms: Option<u64>,
    /// Takes effect at most once under this id
    #[arg(long)]
    request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    waiting: WaitingArgs,
    /// Where there is no room: reject or queue
    #[arg(long, value_parser = super::create::from_json_text::<OnFull>, default_value = "reject")]
    on_full: OnFull,
    /// A new horizon in simulated minutes since creation; a completed VM needs a larger one
    #[arg(long, value_name = "MINUTES", value_parser = super::create::from_json_text::<SimulatedTime>)]
    horizon_minutes: Option<SimulatedTime>,
}

pub(crate) async fn start(session: &Session, args: StartArgs) -> Result<(), Failure> {
    let WaitingArgs { vm, wait_ms, request_id } = args.waiting;
    let start = Start { request_id, wait_ms, on_full: args.on_full, horizon_minutes: args.horizon_minutes };
    show(session, &session.client.start(&vm, &start).await?)
}

pub(crate) async fn waiting(session: &Session, verb: Verb, args: WaitingArgs) -> Result<(), Failure> {
    let body = Waiting { request_id: args.request_id, wait_ms: args.wait_ms };
    show(session, &session.client.request(verb, Some(&args.vm), &body).await?)
}

fn show(session: &Session, reached: &StateReached) -> Result<(), Failure> {
    Ok(render::show(session.json, reached, |reached| format!("{} {}", reached.vm_id, reached.state))?)
}
