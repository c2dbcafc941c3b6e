//! `bioxen plot`: a recording, or an ensemble's recordings as a band, drawn as PNG or SVG.

use std::path::{Path, PathBuf};

use bioxen_protocol::command::{Plain, TableFormat, Verb};
use bioxen_protocol::id::VmId;
use clap::Args;
use serde_json::{Map, Value};

use super::{Session, results};
use crate::exit::Failure;
use crate::files;
use crate::plot::Recordings;

#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    /// A CSV file that `bioxen results` wrote, or a VM or an ensemble by its name
    what: String,
    /// Where to: a name that ends with .png or .svg
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Only this variable; repeatable
    #[arg(long = "variable", value_name = "NAME")]
    variables: Vec<String>,
}

impl PlotArgs {
    /// The file, where one is to be drawn: no fleet is asked then.
    pub(crate) fn file(&self) -> Option<&Path> {
        let path = Path::new(&self.what);
        path.is_file().then_some(path)
    }
}

/// Draws a file.
pub(crate) fn of_file(args: &PlotArgs, file: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?;
    let mut recordings = Recordings::default();
    recordings.add_csv(&text).map_err(|error| Failure::usage(error.to_string()))?;
    write(args, &recordings)
}

/// Draws what the fleet has of a VM, or of every member of an ensemble.
pub(crate) async fn run(session: &Session, args: PlotArgs) -> Result<(), Failure> {
    let name: VmId = args
        .what
        .parse()
        .map_err(|error| Failure::usage(format!("{} is no file, and no name either: {error}", args.what)))?;
    let status: Map<String, Value> =
        session.client.request(Verb::Status, Some(&name), &Plain::default()).await?;
    let mut recordings = Recordings::default();
    let wrong = |error: crate::plot::PlotError| Failure::other(format!("{name}: {error}"));
    match status.get("members").and_then(Value::as_u64) {
        None => recordings.add_csv(&csv(session, &name).await?).map_err(wrong)?,
        Some(members) => {
            let mut missing = None;
            for number in 1..=members {
                let member = format!("{name}-{number:05}").parse();
                let member: VmId = member.map_err(|error| Failure::other(format!("{error}")))?;
                // One that was not made yet, or failed before it recorded anything, has nothing to add.
                match csv(session, &member).await {
                    Ok(text) if text.starts_with("minute,") => recordings.add_csv(&text).map_err(wrong)?,
                    Ok(_) => {}
                    Err(error) => missing = missing.or(Some(error)),
                }
            }
            if let Some(error) = missing.filter(|_| recordings.is_empty()) {
                return Err(error);
            }
        }
    }
    write(&args, &recordings)
}

async fn csv(session: &Session, name: &VmId) -> Result<String, Failure> {
    let bytes = results::fetch(session, name, TableFormat::Csv).await?;
    String::from_utf8(bytes).map_err(|_| Failure::other("the recording is not text"))
}

fn write(args: &PlotArgs, recordings: &Recordings) -> Result<(), Failure> {
    let path = &args.output;
    let picture = match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => recordings.svg(&args.variables).map(String::into_bytes),
        Some("png") => recordings.png(&args.variables),
        _ => {
            let message = format!("{}: expected a name that ends with .png or .svg", path.display());
            return Err(Failure::usage(message));
        }
    };
    let picture = picture.map_err(|error| Failure::other(error.to_string()))?;
    files::write_whole(path, &picture)
}
