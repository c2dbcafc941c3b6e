//! `workers` and `ledger verify`: what operators look at.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bioxen_coordinator::journal::{Journal, Patience};
use bioxen_coordinator::ledger::Ledger;
use bioxen_protocol::client::{WorkerList, servers};
use bioxen_protocol::reply::{Verified, WorkerInfo};
use clap::{Args, Subcommand};

use super::Session;
use crate::exit::Failure;
use crate::render;

/// A nats-server that does not answer by then is taken for none.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    what: LedgerWhat,
}

#[derive(Debug, Subcommand)]
enum LedgerWhat {
    /// Compare ledger, journal and audit; exit code 1 where they differ
    Verify {
        /// The ledger of a stopped coordinator: checksums, batches, rows; and the journal where nats-server answers
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

pub(super) fn workers_text(list: &WorkerList) -> String {
    let rows: Vec<Vec<String>> = list
        .workers
        .iter()
        .map(|worker| {
            vec![
                worker.worker.to_string(),
                standing(worker),
                format!("{}/{}", worker.vms, worker.max_vms),
                format!("{}/{}", worker.ribosomes_used, worker.ribosomes_usable),
                kinds(worker),
                worker.boot.to_string(),
            ]
        })
        .collect();
    render::table(&["worker", "state", "vms", "ribosomes", "vm types", "boot"], &rows)
}

/// What it runs, and on which pools.
fn kinds(worker: &WorkerInfo) -> String {
    let types = worker.vm_types.iter().map(|vm_type| vm_type.as_str());
    let own = worker.own_pools.as_ref().map(|_| "VMs' own".to_owned());
    let pools = worker.pools.iter().cloned().chain(own).collect::<Vec<_>>().join(", ");
    let types = types.collect::<Vec<_>>().join(", ");
    if pools.is_empty() { types } else { format!("{types} ({pools})") }
}

/// `registered`, and what keeps VMs from it.
fn standing(worker: &WorkerInfo) -> String {
    let mut said = worker.state.clone();
    match (worker.draining, worker.cordoned) {
        (true, _) => said.push_str(", draining"),
        (false, true) => said.push_str(", cordoned"),
        (false, false) => {}
    }
    if worker.leaving > 0 {
        said.push_str(&format!(", {} leaving", worker.leaving));
    }
    said
}

pub(crate) async fn verify(session: &Session) -> Result<(), Failure> {
    let verified = session.operator.verify().await?;
    render::show(session.json, &verified, verified_text)?;
    judged(&verified)
}

/// Reads all of a ledger that no coordinator has open, and the journal too where its nats-server answers.
pub(crate) async fn verify_offline(dir: &Path, url: &str, json: bool) -> Result<(), Failure> {
    let failed = |reason: String| {
        Failure::other(format!("the ledger in {} was not verified: {reason}", dir.display()))
    };
    let ledger = Ledger::open_existing(dir).map_err(|error| Failure::other(error.to_string()))?;
    let dump = bioxen_coordinator::verify::dump(&ledger).of_a_stopped_coordinator();
    let alone = bioxen_coordinator::verify::verify_alone(&dump).map_err(failed)?;
    let nats = tokio::time::timeout(LONGEST_CONNECT, async_nats::connect(servers(url))).await;
    let Ok(Ok(client)) = nats else {
        render::show(json, &alone, |alone| {
            format!("{}\n{}", verified_text(alone), not_compared(url, alone))
        })?;
        return judged(&alone);
    };
    let journal = Journal::new(client.clone(), Patience::default());
    // How far the audit trail should be is not known here: records that only the end lacks are not missed.
    let verified = bioxen_coordinator::verify::verify(&journal, &client, 0, dump).await.map_err(failed)?;
    render::show(json, &verified, verified_text)?;
    judged(&verified)
}

fn not_compared(url: &str, alone: &Verified) -> String {
    let rows = if alone.entries > 0 {
        "the rows were compared with the batches that the ledger keeps"
    } else {
        "the batches that the ledger keeps do not reach back to the first, so its rows were compared with nothing"
    };
    format!("{rows}; no nats-server answers at {url}, so neither journal nor audit were read")
}

fn judged(verified: &Verified) -> Result<(), Failure> {
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
