//! The object store of packages, for whoever publishes, installs or runs them. It moves bytes and judges none: whoever
//! reads an archive checks it.

use std::time::Duration;

use async_nats::jetstream::object_store::{GetErrorKind, InfoErrorKind, ObjectInfo, ObjectStore};
use async_nats::{Client, jetstream};
use futures::StreamExt as _;
use tokio::io::AsyncReadExt as _;

use crate::limits::{PACKAGE_BYTES, PACKAGES_LISTED};
use crate::package::{PACKAGES_BUCKET, PackageId};

/// How long one call may take.
const PACKAGE_TIMEOUT: Duration = Duration::from_secs(4);

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PackageStoreError {
    #[error("bucket {PACKAGES_BUCKET} is not there or does not answer: {0}; does a coordinator run?")]
    Bucket(Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} is not published")]
    Unknown(PackageId),
    #[error("{package} has {bytes} bytes in the store; at most {PACKAGE_BYTES} are read")]
    TooLarge { package: PackageId, bytes: usize },
    #[error("{package} cannot be read: {source}")]
    Read { package: PackageId, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{package} cannot be written: {source}")]
    Write { package: PackageId, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(
        "{0} is published already with other bytes, and a version never changes: raise the version in package.toml"
    )]
    Published(PackageId),
    #[error("the store took longer than {} s; try again", PACKAGE_TIMEOUT.as_secs())]
    Late,
}

/// A published package, as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub package: PackageId,
    pub bytes: usize,
}

/// The store's bucket.
pub struct PackageStore {
    bucket: ObjectStore,
}

impl std::fmt::Debug for PackageStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(PACKAGES_BUCKET)
    }
}

impl PackageStore {
    /// # Errors
    /// No such bucket, or no answer.
    pub async fn open(client: &Client) -> Result<Self, PackageStoreError> {
        let context = jetstream::new(client.clone());
        let bucket = in_time(context.get_object_store(PACKAGES_BUCKET)).await?;
        Ok(Self { bucket: bucket.map_err(|error| PackageStoreError::Bucket(error.into()))? })
    }

    /// The archive's bytes as they stand there.
    ///
    /// # Errors
    /// [`PackageStoreError::Unknown`] where it is not published; a store that does not answer or whose own digest does
    /// not fit.
    pub async fn get(&self, package: &PackageId) -> Result<Vec<u8>, PackageStoreError> {
        in_time(self.read(package)).await?
    }

    async fn read(&self, package: &PackageId) -> Result<Vec<u8>, PackageStoreError> {
        let unread = |source| PackageStoreError::Read { package: package.clone(), source };
        let mut object = match self.bucket.get(package.to_string()).await {
            Ok(object) => object,
            Err(error) if error.kind() == GetErrorKind::NotFound => {
                return Err(PackageStoreError::Unknown(package.clone()));
            }
            Err(error) => return Err(unread(error.into())),
        };
        let too_large = |bytes| PackageStoreError::TooLarge { package: package.clone(), bytes };
        if object.info().size > PACKAGE_BYTES {
            return Err(too_large(object.info().size));
        }
        let mut bytes = Vec::with_capacity(object.info().size);
        // Its stated size need not be true.
        let mut limited = (&mut object).take(PACKAGE_BYTES as u64 + 1);
        limited.read_to_end(&mut bytes).await.map_err(|error| unread(error.into()))?;
        if bytes.len() > PACKAGE_BYTES { Err(too_large(bytes.len())) } else { Ok(bytes) }
    }

    /// Publishes; whether it was not there before. The same bytes again are no error.
    ///
    /// # Errors
    /// [`PackageStoreError::Published`] where other bytes stand under that name and version.
    pub async fn put(&self, package: &PackageId, bytes: &[u8]) -> Result<bool, PackageStoreError> {
        match self.get(package).await {
            Ok(there) if there == bytes => return Ok(false),
            Ok(_) | Err(PackageStoreError::TooLarge { .. }) => {
                return Err(PackageStoreError::Published(package.clone()));
            }
            Err(PackageStoreError::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
        let name = package.to_string();
        let mut reader = bytes;
        let put = in_time(self.bucket.put(name.as_str(), &mut reader)).await?;
        put.map_err(|error| PackageStoreError::Write { package: package.clone(), source: error.into() })?;
        Ok(true)
    }

    /// Whether something stands under the name.
    ///
    /// # Errors
    /// A store that does not answer.
    pub async fn contains(&self, package: &PackageId) -> Result<bool, PackageStoreError> {
        match in_time(self.bucket.info(package.to_string())).await? {
            Ok(info) => Ok(!info.deleted),
            Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(false),
            Err(error) => Err(PackageStoreError::Read { package: package.clone(), source: error.into() }),
        }
    }

    /// What is published, by name and version; objects that have no package's name are left out.
    ///
    /// # Errors
    /// A store that does not answer.
    pub async fn list(&self) -> Result<Vec<Listed>, PackageStoreError> {
        in_time(self.list_all()).await?
    }

    async fn list_all(&self) -> Result<Vec<Listed>, PackageStoreError> {
        let failed = |source| PackageStoreError::Bucket(source);
        let mut objects = self.bucket.list().await.map_err(|error| failed(error.into()))?;
        let mut listed = Vec::new();
        while let Some(object) = objects.next().await {
            let object: ObjectInfo = object.map_err(|error| failed(error.into()))?;
            if let Ok(package) = object.name.parse() {
                listed.push(Listed { package, bytes: object.size });
            }
            if listed.len() == PACKAGES_LISTED {
                break;
            }
        }
        listed.sort_by(|a, b| a.package.cmp(&b.package));
        Ok(listed)
    }
}

async fn in_time<T>(call: impl Future<Output = T>) -> Result<T, PackageStoreError> {
    tokio::time::timeout(PACKAGE_TIMEOUT, call).await.map_err(|_| PackageStoreError::Late)
}
