//! `snapshot` and `backup`: the fleet as an object or a file. What they do the coordinator's library knows.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bioxen_coordinator::backup::{self, Archive, Manifest, Options};
use bioxen_coordinator::journal::streams::StreamSettings;
use bioxen_protocol::client::servers;
use bioxen_protocol::command::Plain;
use bioxen_protocol::reply::SnapshotTaken;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::Session;
use crate::args::Connection;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Take a backup while the fleet goes on; no coordinator is needed
    Create {
        /// The file to write; without it `bioxen-SECONDS.backup` here, by the seconds since 1970
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// What a backup holds, having checked all of it; of a folder, what each says of itself
    List {
        #[arg(value_name = "FILE or FOLDER", default_value = ".")]
        path: PathBuf,
    },
    /// Restore a backup on an empty nats-server, before a coordinator is started there
    Restore {
        file: PathBuf,
        /// The coordinator's configuration: its `[streams]` are made
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// A backup as `create` and `list` tell it.
#[derive(Debug, Serialize)]
struct Shown {
    file: PathBuf,
    bytes: u64,
    #[serde(flatten)]
    manifest: Manifest,
}

pub(crate) async fn snapshot(session: &Session) -> Result<(), Failure> {
    let taken: SnapshotTaken = session.operator.request("snapshot", None, &Plain::default()).await?;
    Ok(render::show(session.json, &taken, render::fields)?)
}

pub(crate) async fn run(connection: &Connection, args: BackupArgs) -> Result<(), Failure> {
    match args.what {
        What::Create { output } => create(connection, output).await,
        What::List { path } => list(&path, connection.json),
        What::Restore { file, config } => restore(connection, &file, config.as_deref()).await,
    }
}

async fn bus(connection: &Connection) -> Result<async_nats::Client, Failure> {
    let connected = async_nats::connect(servers(&connection.url)).await;
    connected.map_err(|error| {
        Failure::other(format!(
            "no connection to nats-server at {}: {error}; is it running, and is the address right?",
            connection.url
        ))
    })
}

async fn create(connection: &Connection, output: Option<PathBuf>) -> Result<(), Failure> {
    let client = bus(connection).await?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unnamed = || PathBuf::from(format!("bioxen-{}.backup", since_1970.as_secs()));
    let file = output.unwrap_or_else(unnamed);
    let manifest = backup::create(&client, &file).await.map_err(failed)?;
    let bytes = std::fs::metadata(&file)?.len();
    Ok(render::show(connection.json, &Shown { file, bytes, manifest }, text)?)
}

fn list(path: &Path, json: bool) -> Result<(), Failure> {
    if !path.is_dir() {
        let archive = Archive::open(path).map_err(failed)?;
        backup::check(&archive).map_err(failed)?;
        return Ok(render::show(json, &shown(path, &archive)?, |shown| {
            format!(
                "{}\nchecked     every digest, the journal's chain, the fleet's rows, the audit chain",
                text(shown)
            )
        })?);
    }
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(path)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.is_file()) {
        // Whatever else lies in the folder is no backup.
        if let Ok(archive) = Archive::open(file) {
            all.push(shown(file, &archive)?);
        }
    }
    Ok(render::show(json, &all, |all| {
        let rows: Vec<Vec<String>> = all.iter().map(row).collect();
        render::table(&["file", "fleet", "incarnation", "index", "entries", "audit", "bytes"], &rows)
    })?)
}

fn shown(path: &Path, archive: &Archive) -> Result<Shown, Failure> {
    let bytes = std::fs::metadata(path)?.len();
    Ok(Shown { file: path.to_owned(), bytes, manifest: archive.manifest().clone() })
}

fn row(shown: &Shown) -> Vec<String> {
    let Manifest { fleet, incarnation, index, counts, .. } = &shown.manifest;
    let file = shown.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbers = [*incarnation, *index, counts.entries, counts.audit_records, shown.bytes];
    [file, fleet.clone()].into_iter().chain(numbers.map(|number| number.to_string())).collect()
}

fn text(shown: &Shown) -> String {
    let Manifest { parts, .. } = &shown.manifest;
    let without_parts = Manifest { parts: Vec::new(), ..shown.manifest.clone() };
    let fields =
        render::fields(&Shown { file: shown.file.clone(), bytes: shown.bytes, manifest: without_parts });
    let lines: Vec<&str> = fields.lines().filter(|line| !line.starts_with("parts")).collect();
    format!("{}\nparts       {}, each with its SHA-256", lines.join("\n"), parts.len())
}

async fn restore(connection: &Connection, file: &Path, config: Option<&Path>) -> Result<(), Failure> {
    /// The coordinator's file, as far as it concerns this.
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct File {
        streams: StreamSettings,
    }
    let settings = match config {
        None => File::default(),
        Some(path) => toml::from_str(&std::fs::read_to_string(path)?)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?,
    };
    let archive = Archive::open(file).map_err(failed)?;
    let client = bus(connection).await?;
    let options = Options { operator: connection.operator.clone(), streams: settings.streams };
    let restored = backup::restore(&client, &archive, &options).await.map_err(failed)?;
    render::show(connection.json, &restored, |restored| {
        format!("{}\nstart a coordinator there with an empty --data, then workers", render::fields(restored))
    })?;
    Ok(())
}

fn failed(error: backup::BackupError) -> Failure {
    Failure::other(error.to_string())
}
