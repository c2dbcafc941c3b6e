//! `bioxen package init, publish, list, show` and `bioxen install`: packages as folders, in the store, in VMs. What a
//! package may hold the crate `bioxen-package` knows.

use std::path::PathBuf;

use bioxen_package::{Manifest, Package, PackageError, digest};
use bioxen_protocol::client::{Client, PackageStore, PackageStoreError};
use bioxen_protocol::command::{Install, Verb};
use bioxen_protocol::id::{RequestId, VmId};
use bioxen_protocol::package::PackageId;
use bioxen_protocol::reply::Installed;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::Session;
use crate::exit::Failure;
use crate::render;

#[derive(Debug, Args)]
pub(crate) struct PackageArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Begin a package in a folder, named as the folder
    Init { dir: PathBuf },
    /// Check the package in a folder and publish it; a version never changes
    Publish { dir: PathBuf },
    /// What is published
    List,
    /// What a published package holds
    Show {
        /// NAME@VERSION, or NAME for its newest version
        #[arg(value_name = "NAME[@VERSION]")]
        package: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    vm: VmId,
    /// NAME@VERSION, as published
    package: PackageId,
    /// Takes effect at most once under this id
    #[arg(long)]
    request_id: Option<RequestId>,
}

/// A package as `publish` and `show` tell it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    package: &'a PackageId,
    digest: String,
    bytes: usize,
    /// Whether it was not published before.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<&'a Manifest>,
}

impl PackageArgs {
    /// The part that needs no fleet: whether it was that.
    pub(crate) fn begin(&self, json: bool) -> Result<bool, Failure> {
        let Action::Init { dir } = &self.action else { return Ok(false) };
        std::fs::create_dir_all(dir)?;
        let package = bioxen_package::begin(dir).map_err(wrong)?;
        let begun = json!({ "package": package.id(), "folder": dir });
        render::show(json, &begun, |_| {
            let dir = dir.display();
            format!(
                "{} begun in {dir}: fill in {dir}/package.toml, then `bioxen package publish {dir}`",
                package.id()
            )
        })?;
        Ok(true)
    }
}

pub(crate) async fn run(session: &Session, args: PackageArgs) -> Result<(), Failure> {
    match args.action {
        Action::Init { .. } => args.begin(session.json).map(drop),
        Action::Publish { dir } => publish(session, &Package::from_folder(&dir).map_err(wrong)?).await,
        Action::List => list(session).await,
        Action::Show { package } => show(session, &package).await,
    }
}

pub(crate) async fn install(session: &Session, args: InstallArgs) -> Result<(), Failure> {
    let body = Install { request_id: args.request_id, package: args.package };
    let installed: Installed = session.client.request(Verb::Install, Some(&args.vm), &body).await?;
    Ok(render::show(session.json, &installed, render::fields)?)
}

async fn publish(session: &Session, package: &Package) -> Result<(), Failure> {
    let bytes = package.archive().map_err(wrong)?;
    let new = store(&session.client).await?.put(package.id(), &bytes).await.map_err(unstored)?;
    let shown = Shown {
        package: package.id(),
        digest: digest(&bytes),
        bytes: bytes.len(),
        new: Some(new),
        manifest: None,
    };
    Ok(render::show(session.json, &shown, render::fields)?)
}

async fn list(session: &Session) -> Result<(), Failure> {
    let listed = store(&session.client).await?.list().await.map_err(unstored)?;
    let all: Vec<_> = listed.iter().map(|it| json!({ "package": it.package, "bytes": it.bytes })).collect();
    let rows: Vec<Vec<String>> =
        listed.iter().map(|it| vec![it.package.to_string(), it.bytes.to_string()]).collect();
    Ok(render::show(session.json, &all, |_| render::table(&["package", "bytes"], &rows))?)
}

async fn show(session: &Session, named: &str) -> Result<(), Failure> {
    let store = store(&session.client).await?;
    let id = match named.parse::<PackageId>() {
        Ok(id) => id,
        Err(error) if named.contains('@') => return Err(Failure::usage(error.to_string())),
        // Listed by version, the newest last.
        Err(_) => {
            let listed = store.list().await.map_err(unstored)?;
            let newest = listed.into_iter().rfind(|it| it.package.name() == named);
            let missing = || {
                Failure::other(format!(
                    "no version of {named:?} is published: `bioxen package list` shows what is"
                ))
            };
            newest.ok_or_else(missing)?.package
        }
    };
    let bytes = store.get(&id).await.map_err(unstored)?;
    let package = Package::open(&bytes).map_err(wrong)?;
    let shown = Shown {
        package: package.id(),
        digest: digest(&bytes),
        bytes: bytes.len(),
        new: None,
        manifest: Some(package.manifest()),
    };
    Ok(render::show(session.json, &shown, render::fields)?)
}

async fn store(client: &Client) -> Result<PackageStore, Failure> {
    PackageStore::open(client.nats()).await.map_err(unstored)
}

fn wrong(error: PackageError) -> Failure {
    Failure::other(match error.nearest() {
        Some(nearest) => format!("{error} (the nearest: {nearest})"),
        None => error.to_string(),
    })
}

fn unstored(error: PackageStoreError) -> Failure {
    Failure::other(error.to_string())
}
