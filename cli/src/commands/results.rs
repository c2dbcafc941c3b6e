//! `bioxen results`: what a VM recorded, or an ensemble's table, chunk by chunk into a file or onto standard output.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bioxen_protocol::codec::base64;
use bioxen_protocol::command::{Results, TableFormat, Verb};
use bioxen_protocol::id::VmId;
use bioxen_protocol::reply::ResultsChunk;
use clap::Args;
use serde_json::{Value, json};

use super::Session;
use crate::exit::Failure;
use crate::files;

#[derive(Debug, Args)]
pub(crate) struct ResultsArgs {
    /// A VM, or an ensemble by its name
    name: VmId,
    /// Where to: .csv, .json or .parquet; without it CSV on standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(session: &Session, args: ResultsArgs) -> Result<(), Failure> {
    let format = match &args.output {
        Some(path) => format_of(path)?,
        None if session.json => TableFormat::Json,
        None => TableFormat::Csv,
    };
    let bytes = fetch(session, &args.name, format).await?;
    match &args.output {
        None => std::io::stdout().write_all(&bytes)?,
        Some(path) => files::write_whole(path, &bytes)?,
    }
    Ok(())
}

fn format_of(path: &Path) -> Result<TableFormat, Failure> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => Ok(TableFormat::Csv),
        Some("json") => Ok(TableFormat::Json),
        Some("parquet") => Ok(TableFormat::Parquet),
        _ => Err(Failure::usage(format!(
            "{}: expected a name that ends with .csv, .json or .parquet",
            path.display()
        ))),
    }
}

/// Every chunk, put together.
pub(crate) async fn fetch(session: &Session, name: &VmId, format: TableFormat) -> Result<Vec<u8>, Failure> {
    let mut ask = Results { format, ..Results::default() };
    let mut total = None;
    let (mut bytes, mut rows): (Vec<u8>, Vec<Value>) = (Vec::new(), Vec::new());
    loop {
        let chunk: ResultsChunk = session.client.request(Verb::Results, Some(name), &ask).await?;
        match (format, chunk.data) {
            (TableFormat::Json, Value::Array(more)) => rows.extend(more),
            (TableFormat::Csv, Value::String(text)) => bytes.extend(text.into_bytes()),
            (TableFormat::Parquet, Value::String(text)) => {
                let part = base64::decode(&text).ok_or_else(|| Failure::other("the chunk is not base64"))?;
                bytes.extend(part);
                // A file of a table that grew on the way is none.
                if total.replace(chunk.total).is_some_and(|before| before != chunk.total) {
                    return Err(Failure::other("the recording grew meanwhile: pause the VM, or ask for csv"));
                }
            }
            _ => {
                return Err(Failure::other(
                    "the chunk is not of the format asked for; is the coordinator newer?",
                ));
            }
        }
        match chunk.next {
            Some(next) if next > ask.offset => ask.offset = next,
            _ if format == TableFormat::Json => {
                let whole = json!({ "vm_id": chunk.vm_id, "kind": chunk.kind, "columns": chunk.columns, "rows": rows });
                return Ok((whole.to_string() + "\n").into_bytes());
            }
            _ => return Ok(bytes),
        }
    }
}
