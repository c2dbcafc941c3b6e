//! `bioxen execute`, `transcription`, `operons`: process code in a VM.

use std::io::Read as _;
use std::path::PathBuf;

use bioxen_protocol::command::{OperonAction, Verb};
use bioxen_protocol::id::{RequestId, VmId};
use bioxen_protocol::reply::Executed;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Session;
use crate::exit::Failure;
use crate::render;

/// One plain call, or a Luau script.
#[derive(Debug, Args)]
pub(crate) struct ExecuteArgs {
    vm: VmId,
    /// The code itself, as in "test_process()"
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    code: Option<String>,
    /// A file with the code; - for standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long it may run, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Takes effect at most once under this id
    #[arg(long)]
    request_id: Option<RequestId>,
}

#[derive(Debug, Args, Serialize)]
pub(crate) struct TranscriptionArgs {
    #[serde(skip)]
    vm: VmId,
    /// Symbols or locus tags
    #[arg(required = true, value_name = "GENE")]
    gene_ids: Vec<String>,
    /// Takes effect at most once under this id
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
}

#[derive(Debug, Args)]
pub(crate) struct OperonsArgs {
    vm: VmId,
    action: Action,
    #[arg(required = true, value_name = "OPERON")]
    operon_ids: Vec<String>,
    /// Takes effect at most once under this id
    #[arg(long)]
    request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    Activate,
    Repress,
    Derepress,
}

pub(crate) async fn execute(session: &Session, args: ExecuteArgs) -> Result<(), Failure> {
    let process_code = match (args.code, args.file) {
        (Some(code), _) => code,
        (None, Some(file)) => read(&file)?,
        (None, None) => return Err(Failure::usage("no code is given: give it, or --file")),
    };
    let body = bioxen_protocol::command::Execute {
        request_id: args.request_id,
        process_code,
        timeout_ms: args.timeout_ms,
    };
    show(session, Verb::Execute, &args.vm, &body).await
}

pub(crate) async fn transcription(session: &Session, args: TranscriptionArgs) -> Result<(), Failure> {
    show(session, Verb::Transcription, &args.vm, &args).await
}

pub(crate) async fn operons(session: &Session, args: OperonsArgs) -> Result<(), Failure> {
    let action = match args.action {
        Action::Activate => OperonAction::Activate,
        Action::Repress => OperonAction::Repress,
        Action::Derepress => OperonAction::Derepress,
    };
    let (request_id, operon_ids) = (args.request_id, args.operon_ids);
    let body = bioxen_protocol::command::Operons { request_id, operon_ids, action };
    show(session, Verb::Operons, &args.vm, &body).await
}

async fn show<B: Serialize>(session: &Session, verb: Verb, vm: &VmId, body: &B) -> Result<(), Failure> {
    let answer: Executed = session.client.request(verb, Some(vm), body).await?;
    Ok(render::show(session.json, &answer, render::fields)?)
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    let mut code = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut code)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut code))
    };
    read.map_err(|error| Failure::usage(format!("{} cannot be read as text: {error}", file.display())))?;
    Ok(code)
}
