//! `bioxen allocate`: new absolute amounts, all or nothing.

use bioxen_protocol::command::Verb;
use bioxen_protocol::id::{RequestId, VmId};
use clap::Args;
use serde::Serialize;

use super::Session;
use crate::exit::Failure;
use crate::render;

/// What is not given stays as it is.
#[derive(Debug, Args, Serialize)]
pub(crate) struct AllocateArgs {
    #[serde(skip)]
    vm: VmId,
    /// Percent of the energy supply, at most three decimals
    #[arg(long = "atp", value_name = "PERCENT", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    atp_percentage: Option<f64>,
    /// Allocation units; the chassis' most means no cap
    #[arg(long, value_name = "UNITS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    ribosomes: Option<u64>,
    /// Memory in KiB
    #[arg(long, value_name = "KIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_kb: Option<u64>,
    /// Takes effect at most once under this id
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
}

pub(crate) async fn run(session: &Session, args: AllocateArgs) -> Result<(), Failure> {
    if args.atp_percentage.is_none() && args.ribosomes.is_none() && args.memory_kb.is_none() {
        return Err(Failure::usage("nothing to allocate: give --atp, --ribosomes or --memory-kb"));
    }
    let answer: bioxen_protocol::reply::Allocated =
        session.client.request(Verb::Allocate, Some(&args.vm), &args).await?;
    Ok(render::show(session.json, &answer, |answer| {
        let given = &answer.allocation;
        format!(
            "{} {}: {} % ATP, {} ribosome units, {} KiB",
            answer.vm_id,
            answer.state,
            given.atp_percentage.percent(),
            given.ribosomes,
            given.memory_kb
        )
    })?)
}
