//! Outputs: a finished image brought to where it is wanted.
//!
//! In: an image in the store. Out: a file, a directory, a stream or an image of
//! a container engine. What is at
//! a path is written beside it and renamed, so a failed output leaves what was
//! there before (`local` writes into a directory and says what it can promise).

mod docker;
mod engine;
#[cfg(test)]
mod fake;
mod layout;
mod local;
mod names;
mod oci;
mod place;
mod rootfs_tar;
mod tarball;
mod walk;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use docker::Docker;
pub use engine::Engine;
pub use local::{Local, Owners};
pub use oci::{Form, Oci};
pub use rootfs_tar::Tar;

use crate::daemon::DaemonError;
use crate::digest::BlobDigest;
use crate::image::{ImageError, WrittenImage};
use crate::layer::LayerError;
use crate::store::{Store, StoreError};
use crate::view::TreeError;

/// Why an output could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The merged files cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A container engine did not take it.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The destination cannot be written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried: `writing`.
        action: &'static str,
        /// On what: a path, or `standard output`.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A kind of output that goes into a directory cannot go to a stream.
    #[error("a directory cannot be written to standard output")]
    DirectoryToStream,
    /// A blob is not in the store.
    #[error("the blob {0} is missing")]
    Missing(BlobDigest),
    /// A directory of the destination is where the image has a file.
    #[error("{path} is a directory at the destination, but a file in the image")]
    DirectoryInTheWay {
        /// Where, below the destination.
        path: String,
    },
}

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dest {
    /// A file or directory, made or replaced; its parent must exist.
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

/// What is brought out.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// The store that holds it.
    pub store: &'a Store,
    /// The image.
    pub image: &'a WrittenImage,
    /// Its names, as `registry/name:tag` or `name:tag`.
    pub names: &'a [String],
    /// Annotations of the index's descriptor: what may change without the
    /// image changing (revision, time of the build).
    pub annotations: &'a BTreeMap<String, String>,
}

/// What is to be said of a finished output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// Sentences on what could not be carried over.
    pub warnings: Vec<String>,
}

/// A kind of output.
pub trait Output: Send + Sync {
    /// What and where, for people.
    fn describe(&self) -> String;
    /// Writes the image out.
    ///
    /// # Errors
    /// [`OutputError`]; then nothing half-written is at the destination.
    fn write(&self, export: &Export<'_>) -> Result<Written, OutputError>;
}

impl OutputError {
    fn io(
        action: &'static str,
        path: impl std::fmt::Display,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_string(), source }
    }
}

impl std::fmt::Display for Dest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("-"),
        }
    }
}
