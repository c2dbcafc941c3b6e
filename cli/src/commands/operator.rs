//! `workers` and `ledger verify`: what operators look at.

use std::path::{Path, PathBuf};

use bioxen_coordinator::ledger::Ledger;
use bioxen_protocol::client::WorkerList;
use bioxen_protocol::reply::Verified;
use clap::{Args, Subcommand};
use serde_json::json;

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
    Verify {
        /// A stopped coordinator's ledger by itself, without a fleet: every checksum, and that its batches join
        #[arg(long, value_name = "DIR")]
        offline: Option<PathBuf>,
    },
}

impl LedgerArgs {
    /// The folder to verify where no fleet is to be asked.
    pub(crate) fn offline(&self) -> Option<&Path> {
        let LedgerWhat::Verify { offline } = &self.what;
        offline.as_deref()
    }
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

pub(crate) async fn verify(session: &Session) -> Result<(), Failure> {
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

/// Reads all of a ledger that no coordinator has open.
pub(crate) fn verify_offline(dir: &Path, json: bool) -> Result<(), Failure> {
    let ledger = Ledger::open_existing(dir).map_err(|error| Failure::other(error.to_string()))?;
    let verified = ledger.verify();
    let faults: Vec<String> = verified.faults.iter().map(ToString::to_string).collect();
    let document = json!({
        "clean": faults.is_empty(),
        "rows": verified.rows,
        "batches": verified.batches,
        "index": verified.applied.map(|applied| applied.index),
        "faults": faults,
    });
    render::show(json, &document, render::fields)?;
    match faults.len() {
        0 => Ok(()),
        count => Err(Failure::other(format!("the ledger in {} has {count} faults", dir.display()))),
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
