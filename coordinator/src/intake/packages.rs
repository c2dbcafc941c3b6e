//! Packages on their way into the core: read from the store and judged before their command is queued, so that the driver
//! waits for nothing. Whatever is wrong with one travels with its command, for a command that took effect before is
//! answered all the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::Client;
use bioxen_hypervisor::{ChassisName, OrganismAction};
use bioxen_package::{Package, PackageError, install_action};
use bioxen_protocol::client::{PackageStore, PackageStoreError};
use bioxen_protocol::error::{Code, ErrorBody, nearest};
use bioxen_protocol::limits::RETRY_AFTER_MS;
use bioxen_protocol::package::PackageId;

use super::{Asked, Incoming};
use crate::fleet::package::PackageOffer;

/// Packages that are read at once; bounds memory.
pub(super) const READ_AT_ONCE: usize = 32;
/// Of what is wrong with an archive.
const SHOWN_CHARS: usize = 400;
/// Names that are suggested.
const NEAREST: usize = 5;

/// Whether the command names a package that was not read yet.
pub(super) fn is_wanted(incoming: &Incoming) -> bool {
    matches!(incoming.asked, Asked::Install { found: None, .. })
}

/// The command with its package, or with what is wrong with that.
pub(super) async fn resolved(client: &Client, mut incoming: Incoming) -> Incoming {
    if let Asked::Install { package, found, .. } = &mut incoming.asked {
        *found = Some(read(client, package).await);
    }
    incoming
}

/// What a command is answered that finds too many packages being read.
pub(super) fn crowded() -> ErrorBody {
    let message = format!("{READ_AT_ONCE} packages are being read, as many as may: ask again");
    ErrorBody::new(Code::QuotaExceeded, message).with(|details| {
        details.resource = Some("packages_read".to_owned());
        details.retry_after_ms = Some(RETRY_AFTER_MS);
    })
}

async fn read(client: &Client, package: &PackageId) -> Result<PackageOffer, ErrorBody> {
    let store = PackageStore::open(client).await.map_err(|error| unread(&error))?;
    let bytes = match store.get(package).await {
        Ok(bytes) => bytes,
        Err(PackageStoreError::Unknown(_)) => return Err(unknown(&store, package).await),
        Err(error) => return Err(unread(&error)),
    };
    let asked = package.clone();
    let judged = tokio::task::spawn_blocking(move || judge(&asked, &bytes)).await;
    judged.map_err(|error| ErrorBody::new(Code::Timeout, format!("{package} was not judged: {error}")))?
}

fn judge(asked: &PackageId, bytes: &[u8]) -> Result<PackageOffer, ErrorBody> {
    let package = Package::open(bytes).map_err(|error| refused(asked, &error))?;
    if package.id() != asked {
        let message = format!(
            "what is stored as {asked} says that it is {}: publish it under its own name, with `bioxen package publish`",
            package.id()
        );
        return Err(ErrorBody::new(Code::Package, message));
    }
    let digest = bioxen_package::digest(bytes);
    let mut by_chassis = BTreeMap::new();
    for chassis in ChassisName::known() {
        let Some(package) = package.for_chassis(chassis, &digest) else { continue };
        if let OrganismAction::InstallPackage { package: parts } = install_action(&package) {
            parts.check().map_err(|error| {
                let message = format!("{} cannot be installed in {chassis}: {error}", package.package);
                ErrorBody::new(Code::Package, message)
            })?;
        }
        by_chassis.insert(chassis.as_str().to_owned(), Arc::new(package));
    }
    Ok(PackageOffer { digest, by_chassis })
}

fn refused(package: &PackageId, error: &PackageError) -> ErrorBody {
    // It may quote what somebody has written.
    let told: Vec<String> = error.to_string().lines().map(|line| line.trim().to_owned()).collect();
    let told: String = told.join(" ").chars().take(SHOWN_CHARS).collect();
    let message = format!("{package} cannot be installed: {told}");
    ErrorBody::new(Code::Package, message)
        .with(|details| details.nearest.extend(error.nearest().map(str::to_owned)))
}

fn unread(error: &PackageStoreError) -> ErrorBody {
    ErrorBody::new(Code::Package, format!("{error}; nothing was installed"))
        .with(|details| details.retry_after_ms = Some(1000))
}

async fn unknown(store: &PackageStore, package: &PackageId) -> ErrorBody {
    let listed = store.list().await.unwrap_or_default();
    let known: Vec<&PackageId> = listed.iter().map(|listed| &listed.package).collect();
    let name = nearest(package.name(), known.iter().map(|known| known.name()));
    let near = known.iter().rev().filter(|known| Some(known.name()) == name.as_deref());
    let near: Vec<String> = near.take(NEAREST).map(ToString::to_string).collect();
    let advice = match near.first() {
        Some(first) => format!("the nearest is {first}"),
        None => "nothing like it is: `bioxen package list` shows what is".to_owned(),
    };
    ErrorBody::new(Code::Package, format!("{package} is not published; {advice}"))
        .with(|details| details.nearest = near)
}
