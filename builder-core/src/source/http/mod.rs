//! Files from web servers.
//!
//! In: a URL, and what an earlier download told of it. Out: that nothing
//! changed there, or a file under `phoenix/downloads` with its digest; and the
//! layer that holds that one file.
//!
//! Guards: a body that is cut off is no download; redirects are bounded; URLs
//! are shown without credentials and queries.
//!
//! Limitations: must not be called from inside an async runtime's worker; what
//! is cut off begins anew.

mod client;
mod url;

use std::fs::File;
use std::io;
use std::path::PathBuf;

pub use client::{Answer, Client, Tell};
use serde::{Deserialize, Serialize};

use self::url::shown;
use crate::digest::{BlobDigest, ContentDigest};
use crate::layer::{
    Change, Compression, Entry, Kind, LayerDesc, LayerError, LayerPath, LayerWriter, Meta, Mtime,
};
use crate::store::{Store, StoreError};

/// Area of the store's records that holds what servers told of each URL.
pub const AREA: &str = "http";

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The work was canceled.
    #[error("canceled")]
    Canceled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layer could not be written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// No client could be made.
    #[error("preparing the download")]
    Client(#[source] reqwest::Error),
    /// No runtime could be made.
    #[error("preparing the download")]
    Runtime(#[source] io::Error),
    /// The transfer failed.
    #[error("downloading {url}")]
    Transfer {
        /// As it may be shown.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered otherwise than with a file.
    #[error("downloading {url}: the server answered {status}")]
    Status {
        /// As it may be shown.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The file is not what it must be.
    #[error("downloading {url}: its digest is {actual} and should be {expected}")]
    Digest {
        /// As it may be shown.
        url: String,
        /// What it must be.
        expected: BlobDigest,
        /// What it is.
        actual: BlobDigest,
    },
    /// The name of the file cannot be one.
    #[error("`{name}` cannot be the name of a file")]
    Name {
        /// Which.
        name: String,
    },
    /// A file of the store failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a server told of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The content that it had.
    pub content: BlobDigest,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Last-Modified`, as the server wrote it.
    pub modified: Option<String>,
}

impl Known {
    /// When it was modified, if that is told.
    #[must_use]
    pub fn mtime(&self) -> Option<i64> {
        let parsed = jiff::fmt::rfc2822::parse(self.modified.as_deref()?).ok()?;
        Some(parsed.timestamp().as_second())
    }

    /// What an earlier download kept; a broken record is none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn read(store: &Store, url: &str) -> Result<Option<Self>, StoreError> {
        let bytes = store.get_record(AREA, &record(url))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Notes that what was kept is of use still.
    pub fn is_of_use(store: &Store, url: &str) {
        store.touch_record(AREA, &record(url));
    }

    /// Keeps it for later builds.
    ///
    /// # Errors
    /// Those of the store.
    ///
    /// # Panics
    /// Never: it is plain text.
    pub fn keep(&self, store: &Store, url: &str) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(self).expect("plain text is JSON");
        store.put_note(AREA, &record(url), &bytes)
    }
}

fn record(url: &str) -> String {
    ContentDigest::of(url.as_bytes()).hex()
}

/// The layer of a downloaded file: root's, 0600, under `name`.
///
/// # Errors
/// [`HttpError`].
pub fn layer(
    store: &Store,
    content: &BlobDigest,
    (name, mtime): (&str, Mtime),
    compression: Compression,
) -> Result<LayerDesc, HttpError> {
    let bad = || HttpError::Name { name: name.to_owned() };
    if name.contains('/') || matches!(name, "" | "." | "..") {
        return Err(bad());
    }
    let path = LayerPath::new(name).map_err(|_| bad())?;
    let place = store.download_path(content);
    let failed = |source| HttpError::Io { path: place.clone(), source };
    let mut file = File::open(&place).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let meta = Meta { mtime, ..Meta::root_owned(0o600) };
    let kind = Kind::File { size, content: ContentDigest::from_bytes([0; 32]) };
    let entry = Entry { path, change: Change::Present { meta, kind } };
    let mut writer = LayerWriter::new(store, compression)?;
    writer.append(&entry, Some(&mut store.cancel().guard(&mut file)))?;
    Ok(writer.finish()?)
}

/// Whether the store has that download whole.
#[must_use]
pub fn is_there(store: &Store, content: &BlobDigest) -> bool {
    let Ok(mut file) = File::open(store.download_path(content)) else { return false };
    let mut hasher = client::Hasher::default();
    io::copy(&mut file, &mut hasher).is_ok() && hasher.digest() == *content
}

/// A URL as it may be shown.
#[must_use]
pub fn shown_url(url: &str) -> String {
    shown(url)
}

#[cfg(test)]
mod tests;
