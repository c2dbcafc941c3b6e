//! `bioxen watch`: events of one's own VMs as they happen, until interrupted.

use bioxen_protocol::event::Event;
use bioxen_protocol::id::VmId;
use clap::Args;
use futures::StreamExt as _;

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Only this VM's
    vm: Option<VmId>,
    /// End after so many events
    #[arg(long)]
    count: Option<usize>,
}

pub(crate) async fn run(session: &Session, args: WatchArgs) -> Result<(), Failure> {
    let mut events =
        session.client.event_stream(args.vm.as_ref()).await?.take(args.count.unwrap_or(usize::MAX));
    while let Some(event) = events.next().await {
        let event = event?;
        render::line(&if session.json { serde_json::to_string(&event)? } else { text(&event) })?;
    }
    Ok(())
}

fn text(event: &Event) -> String {
    let mut text = format!("{}  {:<10} ", event.time, event.event);
    text.push_str(event.vm_id.as_ref().map_or("-", VmId::as_str));
    if let Some(state) = event.state {
        text.push_str(&format!("  {state}"));
    }
    if let Some(code) = event.code {
        text.push_str(&format!("  [{code}]"));
    }
    if let Some(reason) = &event.reason {
        text.push_str(&format!("  {reason}"));
    }
    text
}
