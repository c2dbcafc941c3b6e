//! Why something is no package: what was found, what was expected, what to do.

use bioxen_protocol::package::InvalidPackageId;

/// Why bytes, a folder or a manifest are refused.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("the archive has {bytes} bytes; at most {most} are accepted: take something out")]
    TooLarge { bytes: usize, most: usize },
    #[error("the archive cannot be read as a tar: {0}; make it with `bioxen package publish`")]
    NotAnArchive(#[source] std::io::Error),
    #[error("{path:?} in the archive {problem}; expected package.toml and modules/NAME.luau as plain files")]
    Entry { path: String, problem: &'static str },
    #[error("there is no package.toml; `bioxen package init DIR` begins one")]
    NoManifest,
    #[error("package.toml is no TOML: {0}")]
    Toml(#[from] Box<toml::de::Error>),
    #[error("package.toml: {message}")]
    Manifest { message: String, nearest: Option<String> },
    #[error("package.toml: {0}")]
    Id(#[from] InvalidPackageId),
    #[error(
        "package.toml lists the module {name}, but modules/{name}.luau is not there: add it, or list it no more"
    )]
    NoModule { name: String },
    #[error("modules/{name}.luau is there, but package.toml does not list it: add it to `modules`")]
    UnlistedModule { name: String },
    #[error("modules/{name}.luau {problem}")]
    Module { name: String, problem: &'static str },
    #[error("{path} cannot be read: {source}")]
    File { path: String, source: std::io::Error },
    #[error("{path} cannot be written: {source}")]
    Write { path: String, source: std::io::Error },
    #[error("{0} is there already and is left as it is: choose an empty folder")]
    Exists(String),
}

impl PackageError {
    /// The known name that was perhaps meant.
    #[must_use]
    pub fn nearest(&self) -> Option<&str> {
        match self {
            Self::Manifest { nearest, .. } => nearest.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn manifest(message: impl Into<String>) -> Self {
        Self::Manifest { message: message.into(), nearest: None }
    }
}
