//! Outputs: a finished image brought to where it is wanted.
//!
//! In: an image in the store. Out: a file, a directory or a stream. What is at
//! a path is written beside it and renamed, so a failed output leaves what was
//! there before (`local` writes into a directory and says what it can promise).

use std::path::PathBuf;

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
    /// Something that is not a directory is in the way.
    #[error("{path} is in the way: it is not a directory")]
    InTheWay {
        /// Where.
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
}

/// A kind of output.
pub trait Output: Send + Sync {
    /// What and where, for people.
    fn describe(&self) -> String;
    /// Writes the image out.
    ///
    /// # Errors
    /// [`OutputError`]; then nothing half-written is at the destination.
    fn write(&self, export: &Export<'_>) -> Result<(), OutputError>;
}
