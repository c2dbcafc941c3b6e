//! `bioxen sweep`: reads an ensemble from a file, sends it, and shows how it goes on. Once it is sent the fleet has it:
//! ending this program changes nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bioxen_protocol::command::{Plain, Results, Verb};
use bioxen_protocol::id::VmId;
use bioxen_protocol::reply::{EnsembleAccepted, EnsembleStatus, MemberBody};
use bioxen_protocol::state::VmState;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::Session;
use crate::exit::Failure;
use crate::render;

/// Between two looks at how it stands.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct SweepArgs {
    /// The body of `ensemble` as TOML or JSON; `name` may be left out where the file's own will do
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Send it and return at once
    #[arg(long)]
    detach: bool,
    #[command(subcommand)]
    command: Option<SweepCommand>,
}

#[derive(Debug, Subcommand)]
enum SweepCommand {
    /// The `create` body of one member, by which it can be run again alone
    Member { name: VmId, number: u64 },
    /// Show how an ensemble goes on until it has ended
    Follow { name: VmId },
}

pub(crate) async fn run(session: &Session, args: SweepArgs) -> Result<(), Failure> {
    match (args.command, args.file) {
        (Some(SweepCommand::Member { name, number }), _) => member(session, &name, number).await,
        (Some(SweepCommand::Follow { name }), _) => follow(session, &name).await,
        (None, Some(file)) => {
            let body = body(&file)?;
            let sent: EnsembleAccepted = session.client.request(Verb::Ensemble, None, &body).await?;
            if args.detach {
                let text = |sent: &EnsembleAccepted| {
                    format!("{}: {} members, {} queued", sent.name, sent.members, sent.queued)
                };
                return Ok(render::show(session.json, &sent, text)?);
            }
            follow(session, &sent.name).await
        }
        (None, None) => Err(Failure::usage("which file?")),
    }
}

/// The file's fields; its own name where they name none.
fn body(file: &Path) -> Result<Map<String, Value>, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?;
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let body: Result<Map<String, Value>, String> = if is_json {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    } else {
        toml::from_str(&text).map_err(|error| error.to_string())
    };
    let mut body =
        body.map_err(|error| Failure::usage(format!("{shown} is not an ensemble's body: {error}")))?;
    if let Some(stem) = file.file_stem().and_then(|stem| stem.to_str())
        && !body.contains_key("name")
    {
        body.insert("name".to_owned(), stem.into());
    }
    Ok(body)
}

async fn member(session: &Session, name: &VmId, number: u64) -> Result<(), Failure> {
    let ask = Results { member: Some(number), ..Results::default() };
    let member: MemberBody = session.client.request(Verb::Results, Some(name), &ask).await?;
    let text = |member: &MemberBody| format!("{:#}", member.create);
    Ok(render::show(session.json, &member, text)?)
}

/// A line for each change, until no member is left to run.
async fn follow(session: &Session, name: &VmId) -> Result<(), Failure> {
    let mut before = None;
    loop {
        let now: EnsembleStatus = session.client.request(Verb::Status, Some(name), &Plain::default()).await?;
        if before.as_ref() != Some(&now) {
            render::show(session.json, &now, line)?;
            std::io::stdout().flush()?;
        }
        match now.state {
            VmState::Stopped | VmState::Destroyed if now.failed == 0 => return Ok(()),
            VmState::Stopped | VmState::Destroyed => {
                let failed = format!(
                    "{} of {} members failed: `bioxen results {name}` says why",
                    now.failed, now.members
                );
                return Err(Failure::other(failed));
            }
            _ => {}
        }
        before = Some(now);
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) fn line(now: &EnsembleStatus) -> String {
    let EnsembleStatus { name, state, members, queued, running, completed, failed, stopped, .. } = now;
    format!(
        "{name} {state}: {completed} of {members} completed, {failed} failed, {stopped} stopped, {running} running, {queued} queued"
    )
}
