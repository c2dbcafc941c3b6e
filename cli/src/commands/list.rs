//! `bioxen list`: one's own VMs, a page at a time or all of them.

use bioxen_protocol::command::List;
use bioxen_protocol::reply::{Listed, VmList};
use bioxen_protocol::state::VmState;
use clap::Args;

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those in this state
    #[arg(long, value_parser = super::create::from_json_text::<VmState>)]
    state: Option<VmState>,
    /// Only those with this label: NAME or NAME=VALUE
    #[arg(long)]
    label: Option<String>,
    /// Only those whose id starts so
    #[arg(long)]
    prefix: Option<String>,
    /// VMs a page (100, at most 1000)
    #[arg(long)]
    limit: Option<u64>,
    /// The page after this cursor, which the page before told
    #[arg(long, conflicts_with = "all")]
    cursor: Option<String>,
    /// Every page
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(session: &Session, args: ListArgs) -> Result<(), Failure> {
    let mut asked = List {
        request_id: None,
        state: args.state,
        label: args.label,
        prefix: args.prefix,
        limit: args.limit,
        cursor: args.cursor,
    };
    let mut listed = session.client.list(&asked).await?;
    while args.all && listed.cursor.is_some() {
        asked.cursor = listed.cursor;
        let page = session.client.list(&asked).await?;
        if page.cursor.is_some() && page.cursor == asked.cursor {
            return Err(Failure::other(
                "the coordinator answered the same cursor twice: the list has no end",
            ));
        }
        listed.cursor = page.cursor;
        listed.vms.extend(page.vms);
    }
    Ok(render::show(session.json, &listed, text)?)
}

fn text(list: &VmList) -> String {
    let rows: Vec<Vec<String>> = list.vms.iter().map(row).collect();
    let mut text = render::table(&["vm", "state", "chassis", "worker", "priority", "queued at"], &rows);
    for ensemble in &list.ensembles {
        text.push_str(&format!("\n{}", super::sweep::line(ensemble)));
    }
    if let Some(cursor) = &list.cursor {
        text.push_str(&format!("\nmore: --cursor {cursor}, or --all"));
    }
    text
}

fn row(vm: &Listed) -> Vec<String> {
    vec![
        vm.vm_id.to_string(),
        vm.state.to_string(),
        vm.biological_type.clone(),
        render::optional(vm.worker.as_ref()),
        vm.priority.to_string(),
        render::optional(vm.queue_position),
    ]
}
