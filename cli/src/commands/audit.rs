//! `bioxen audit`: the trail as it stands in its stream, read and computed again here, without the coordinator.

use std::collections::VecDeque;

use bioxen_protocol::audit::AuditRecord;
use bioxen_protocol::client::{ClientError, read_audit, verify_audit};
use bioxen_protocol::id::VmId;
use bioxen_protocol::subject::audit_of;
use clap::{Args, Subcommand};
use futures::StreamExt as _;

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

impl AuditArgs {
    pub(super) fn names_its_own_account(&self) -> bool {
        matches!(&self.what, What::Tail(args) if !args.all)
    }
}

#[derive(Debug, Subcommand)]
enum What {
    /// The last records of one's own account
    Tail(TailArgs),
    /// Compute the whole hash chain again; exit code 1 where it breaks
    Verify,
}

#[derive(Debug, Args)]
struct TailArgs {
    /// How many of the last records
    #[arg(long, default_value_t = 20)]
    lines: usize,
    /// Every account's, where the NATS server lets one read them
    #[arg(long)]
    all: bool,
    /// Then go on with new records until interrupted
    #[arg(long, short)]
    follow: bool,
}

pub(crate) async fn run(session: &Session, args: AuditArgs) -> Result<(), Failure> {
    match args.what {
        What::Tail(args) => tail(session, &args).await,
        What::Verify => {
            let verified = verify_audit(session.client.nats()).await?;
            Ok(render::show(session.json, &verified, |verified| {
                format!(
                    "the chain of {} audit records holds\nlast record  {}\nhead hash    {}",
                    verified.records,
                    render::optional(verified.last_number),
                    verified.head_hash
                )
            })?)
        }
    }
}

async fn tail(session: &Session, args: &TailArgs) -> Result<(), Failure> {
    let nats = session.client.nats();
    let subject = (!args.all).then(|| audit_of(session.client.user()));
    let wanted = subject.clone().unwrap_or_else(|| bioxen_protocol::subject::ALL_AUDIT.to_owned());
    // Before the past is read, so that nothing falls between; what arrives meanwhile is told once, by its number.
    let mut live = nats.subscribe(wanted).await.map_err(|error| ClientError::Nats(Box::new(error)))?;
    let mut last: VecDeque<AuditRecord> = VecDeque::new();
    read_audit(nats, subject, |sequence, bytes| {
        last.push_back(record(sequence, bytes)?);
        if last.len() > args.lines {
            last.pop_front();
        }
        Ok(())
    })
    .await?;
    let mut told = last.back().map_or(0, |record| record.number);
    for record in &last {
        show(session, record)?;
    }
    if !args.follow {
        return Ok(());
    }
    while let Some(message) = live.next().await {
        let record: AuditRecord = serde_json::from_slice(&message.payload)
            .map_err(|error| Failure::other(format!("an audit record cannot be read: {error}")))?;
        if record.number > told {
            told = record.number;
            show(session, &record)?;
        }
    }
    Ok(())
}

fn record(sequence: u64, bytes: &[u8]) -> Result<AuditRecord, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| {
        ClientError::Audit(bioxen_protocol::client::BrokenChain {
            sequence,
            found: format!("its bytes do not read as a record ({error})"),
            expected: "an audit record in JSON".to_owned(),
        })
    })
}

fn show(session: &Session, record: &AuditRecord) -> Result<(), Failure> {
    Ok(render::line(&if session.json { serde_json::to_string(record)? } else { text(record) })?)
}

/// One line: who, what, on which VM, with which outcome.
pub(crate) fn text(record: &AuditRecord) -> String {
    let outcome = serde_json::to_value(record.outcome).map(|value| render::cell(&value)).unwrap_or_default();
    let who = match &record.operator {
        Some(operator) => format!("{operator} for {}", record.user),
        None => record.user.to_string(),
    };
    let mut text = format!(
        "{:>5}  {}  {who:<8}  {:<10}  {:<12}  {outcome}",
        record.number,
        record.time,
        record.action,
        record.vm_id.as_ref().map_or("-", VmId::as_str),
    );
    if let Some(code) = record.code {
        text.push_str(&format!("  [{code}]"));
    }
    if record.count > 1 {
        text.push_str(&format!("  {} times", record.count));
    }
    if !record.note.is_empty() {
        text.push_str(&format!("  {}", record.note));
    }
    text
}
