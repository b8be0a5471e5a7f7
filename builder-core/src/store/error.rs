//! Errors of the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::BlobDigest;

/// Errors of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Stopping was asked while the store was waited for.
    #[error("canceled")]
    Canceled,
    /// A file could not be read or written.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a participle: `writing`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The store lacks a blob.
    #[error("the store has no blob {digest}")]
    NoBlob {
        /// Which.
        digest: BlobDigest,
    },
    /// A blob's bytes are not those that its digest names.
    #[error("the blob {expected} is corrupt: its bytes hash to {actual}")]
    Corrupt {
        /// Its name.
        expected: BlobDigest,
        /// What its bytes hash to.
        actual: BlobDigest,
    },
    /// A blob is larger than what is read at once.
    #[error("the blob {digest} has {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// Which.
        digest: BlobDigest,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The directory was written by a newer version.
    #[error("{} was written by a newer version of Phoenix (layout {found}, this one knows {known})", path.display())]
    Version {
        /// The store.
        path: PathBuf,
        /// Its layout.
        found: String,
        /// The newest layout that is known.
        known: u32,
    },
    /// The directory holds something else.
    #[error("{} is not empty and not an OCI image layout", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// `index.json` is not valid.
    #[error("{} is not a valid index: {source}", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl StoreError {
    /// For `map_err`.
    pub(super) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
