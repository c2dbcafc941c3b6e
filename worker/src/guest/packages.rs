//! Modules of packages on their way to a guest: fetched from the store by name, believed by digest, kept by digest. It
//! runs nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_nats::Client;
use bioxen_guest::JobPackage;
use bioxen_package::Package;
use bioxen_protocol::client::{PackageStore, PackageStoreError};
use bioxen_protocol::package::ModulesOf;
use tokio::runtime::Handle;

/// Packages kept; when there are more, all are dropped and fetched again.
const KEPT: usize = 256;

/// Why modules are not at hand. The process that needs them has not been run.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    #[error("this worker is not connected to the store of packages yet; try again")]
    NotConnected,
    #[error("the modules of a package are not at hand: {0}")]
    Store(#[from] PackageStoreError),
    #[error(
        "{package} was installed with digest {expected}, and what is published now has {found}: publish the bytes as before"
    )]
    Changed { package: String, expected: String, found: String },
    #[error("{package}: {source}")]
    Package { package: String, source: bioxen_package::PackageError },
}

/// The store, and what was fetched of it.
#[derive(Debug, Default)]
pub struct Modules {
    store: OnceLock<(Handle, Client)>,
    kept: Mutex<BTreeMap<String, Arc<JobPackage>>>,
}

impl Modules {
    /// From where to fetch; the first call counts. Call within the runtime of the connection.
    pub fn connect(&self, client: &Client) {
        let _ = self.store.set((Handle::current(), client.clone()));
    }

    /// All that a script may use, for a thread that may wait.
    ///
    /// # Errors
    /// A package that cannot be fetched, or is not what was installed.
    pub(crate) fn fetch_blocking(&self, wanted: &[ModulesOf]) -> Result<Vec<JobPackage>, ModulesError> {
        let (runtime, _) = self.store.get().ok_or(ModulesError::NotConnected)?;
        runtime.block_on(self.fetch(wanted))
    }

    /// As [`Self::fetch_blocking`], for a task.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn fetch(&self, wanted: &[ModulesOf]) -> Result<Vec<JobPackage>, ModulesError> {
        let mut packages = Vec::new();
        for of in wanted {
            packages.push(JobPackage::clone(&*self.fetch_one(of).await?));
        }
        Ok(packages)
    }

    async fn fetch_one(&self, of: &ModulesOf) -> Result<Arc<JobPackage>, ModulesError> {
        if let Some(kept) = self.lock().get(&of.digest) {
            return Ok(Arc::clone(kept));
        }
        let (_, client) = self.store.get().ok_or(ModulesError::NotConnected)?;
        let bytes = PackageStore::open(client).await?.get(&of.package).await?;
        let found = bioxen_package::digest(&bytes);
        let package = of.package.to_string();
        if found != of.digest {
            return Err(ModulesError::Changed { package, expected: of.digest.clone(), found });
        }
        let opened = Package::open(&bytes).map_err(|source| ModulesError::Package { package, source })?;
        let modules = opened.modules().clone();
        let fetched = Arc::new(JobPackage { name: of.package.name().to_owned(), modules });
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(of.digest.clone(), Arc::clone(&fetched));
        Ok(fetched)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<JobPackage>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
