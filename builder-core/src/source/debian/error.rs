//! What can go wrong on the way to a Debian base.

use std::io;
use std::path::PathBuf;

use crate::digest::BlobDigest;
use crate::layer::LayerError;
use crate::store::StoreError;

/// Errors of Debian bases. URLs in them hold no credentials.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// Stopping was asked.
    #[error("canceled")]
    Canceled,
    /// Neither the recipe nor this host says where packages come from.
    #[error("no mirror for {suite}: the recipe names none and {} has no sources for it", apt_dir.display())]
    NoMirror {
        /// The suite.
        suite: String,
        /// Where the host's configuration was looked for.
        apt_dir: PathBuf,
    },
    /// Nothing to verify signatures with.
    #[error("no keyring for {mirror}: the recipe names none and the host's apt has none")]
    NoKeyring {
        /// The mirror whose releases are to be verified.
        mirror: String,
    },
    /// A keyring is not one.
    #[error("reading keyring {}: {reason}", path.display())]
    Keyring {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A URL that cannot be used.
    #[error("bad url `{url}`: {reason}")]
    Url {
        /// The URL, without credentials.
        url: String,
        /// Why.
        reason: String,
    },
    /// The HTTP client could not be set up.
    #[error("setting up the http client")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The async runtime could not be started.
    #[error("starting the download runtime")]
    Runtime {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A download failed, after retries.
    #[error("downloading {url}")]
    Http {
        /// What, without credentials.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A download ended early.
    #[error("downloading {url}: it was cut off")]
    Cut {
        /// What, without credentials.
        url: String,
    },
    /// A server refused.
    #[error("downloading {url}: the server says {status}")]
    Status {
        /// What, without credentials.
        url: String,
        /// Its answer.
        status: u16,
    },
    /// A file is not what the signed release says it is.
    #[error("{url} is not what was signed: expected {expected}, {size} bytes, got {actual}")]
    Digest {
        /// What, without credentials.
        url: String,
        /// The signed digest.
        expected: BlobDigest,
        /// The signed size.
        size: u64,
        /// What came instead.
        actual: String,
    },
    /// Something is larger than it may be.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A release is not signed by a key of the keyring.
    #[error("{url} is not properly signed: {reason}")]
    Signature {
        /// Which.
        url: String,
        /// Why.
        reason: String,
    },
    /// A release has passed its `Valid-Until`.
    #[error("{url} expired on {until}")]
    Expired {
        /// Which.
        url: String,
        /// When.
        until: String,
    },
    /// A release does not hold what is needed.
    #[error("{url}: {reason}")]
    Release {
        /// Which.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A control file or index is malformed.
    #[error("{what}, line {line}: {reason}")]
    Control {
        /// Which.
        what: String,
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A dependency cannot be met.
    #[error("{wanted} cannot be installed: {reason}{}", chain(path))]
    Unsatisfiable {
        /// The relation.
        wanted: String,
        /// Why.
        reason: String,
        /// Which packages led there, the asked-for one first.
        path: Vec<String>,
    },
    /// Two packages exclude each other.
    #[error("{package} conflicts with {other} ({relation})")]
    Conflict {
        /// One.
        package: String,
        /// The other.
        other: String,
        /// The relation that says so.
        relation: String,
    },
    /// A package archive is malformed or dangerous.
    #[error("package {package}: {reason}")]
    Package {
        /// Which.
        package: String,
        /// What is wrong.
        reason: String,
    },
    /// A package is not in the store's downloads.
    #[error("package {package} was not fetched")]
    NotFetched {
        /// Which.
        package: String,
    },
    /// Two packages hold the same file, and neither replaces the other.
    #[error("{path} is in {first} and in {second}, and neither replaces the other")]
    FileConflict {
        /// The file.
        path: String,
        /// One package.
        first: String,
        /// The other.
        second: String,
    },
    /// A file of the host failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried, as a participle.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The lock file is malformed.
    #[error("reading the lock file")]
    Lock {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The lock file was written by another version.
    #[error("the lock file has version {found}, this phoenix knows {known}")]
    LockVersion {
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The lock file names a source that it does not have.
    #[error("the lock file has no source for {package}")]
    LockSource {
        /// The package.
        package: String,
    },
    /// The layer could not be written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn chain(path: &[String]) -> String {
    if path.is_empty() { String::new() } else { format!(" (needed by {})", path.join(" -> ")) }
}

impl DebianError {
    /// For `map_err`: a failed access of a file.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
