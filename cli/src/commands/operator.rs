//! `workers` and `ledger verify`: what operators look at.

use bioxen_protocol::client::WorkerList;
use bioxen_protocol::reply::Verified;
use clap::{Args, Subcommand};

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    what: LedgerWhat,
}

#[derive(Debug, Subcommand)]
enum LedgerWhat {
    /// Compare ledger, journal and audit; exit code 1 where they differ
    Verify,
}

pub(crate) async fn workers(session: &Session) -> Result<(), Failure> {
    let list = session.operator.workers().await?;
    Ok(render::show(session.json, &list, workers_text)?)
}

fn workers_text(list: &WorkerList) -> String {
    let rows: Vec<Vec<String>> = list
        .workers
        .iter()
        .map(|worker| {
            vec![
                worker.worker.to_string(),
                worker.state.clone(),
                format!("{}/{}", worker.vms, worker.max_vms),
                format!("{}/{}", worker.ribosomes_used, worker.ribosomes_usable),
                worker.boot.to_string(),
            ]
        })
        .collect();
    render::table(&["worker", "state", "vms", "ribosomes", "boot"], &rows)
}

pub(crate) async fn ledger(session: &Session, args: LedgerArgs) -> Result<(), Failure> {
    let LedgerWhat::Verify = args.what;
    let verified = session.operator.verify().await?;
    render::show(session.json, &verified, verified_text)?;
    match verified.clean {
        true => Ok(()),
        false => Err(Failure::other(format!(
            "{} differences: take no new commands until they are understood; each names the account and the index to look at",
            verified.differences.len()
        ))),
    }
}

fn verified_text(verified: &Verified) -> String {
    let seen = format!(
        "{} journal entries, {} ledger rows and {} audit records were read again",
        verified.entries, verified.rows, verified.audit_records
    );
    if verified.clean {
        return format!("{seen}: all agree");
    }
    let rows: Vec<Vec<String>> = verified
        .differences
        .iter()
        .map(|difference| {
            vec![
                difference.place.clone(),
                difference.account.clone(),
                render::optional(difference.index),
                difference.found.clone(),
                difference.expected.clone(),
            ]
        })
        .collect();
    format!("{seen}\n{}", render::table(&["place", "account", "index", "found", "expected"], &rows))
}
