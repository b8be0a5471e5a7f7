//! What can be wrong with an image on disk.

use std::io;
use std::path::PathBuf;

use crate::digest::{BlobDigest, DiffId};
use crate::image::ImageError;
use crate::layer::LayerError;
use crate::store::StoreError;

/// Why an image on disk could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document of the image is bad, or asks for what is not supported.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file could not be read.
    #[error("reading {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Neither layout nor archive.
    #[error(
        "{} is no image: it has neither `index.json` (OCI) nor `manifest.json` (docker-archive)",
        path.display()
    )]
    NotAnImage {
        /// Which.
        path: PathBuf,
    },
    /// The archive breaks a bound or holds what it must not.
    #[error("the archive {} is refused: {reason}", path.display())]
    Archive {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file that the image names is not there.
    #[error("the {what} is missing: there is no `{name}`")]
    Missing {
        /// `layer 2`.
        what: String,
        /// Its file or member.
        name: String,
    },
    /// A document is larger than any that is read.
    #[error("the {what} has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// `manifest`.
        what: String,
        /// Its size.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// A file has another size than its descriptor says.
    #[error("the {what} has {actual} bytes instead of {expected}")]
    Size {
        /// `layer 2`.
        what: String,
        /// As described.
        expected: u64,
        /// As it is.
        actual: u64,
    },
    /// Bytes are not those that their digest names.
    #[error("the {what} is damaged: it is {actual} instead of {expected}")]
    Digest {
        /// `manifest`.
        what: String,
        /// The digest that leads to it.
        expected: BlobDigest,
        /// The digest of what is there.
        actual: BlobDigest,
    },
    /// A layer could not be read.
    #[error("{what}: {source}")]
    Layer {
        /// `layer 2`.
        what: String,
        /// Why.
        source: LayerError,
    },
    /// A layer's content is not what the config says.
    #[error("the content of {what} is {actual}, but the config says {expected}")]
    DiffId {
        /// `layer 2`.
        what: String,
        /// As the config says.
        expected: DiffId,
        /// As it is.
        actual: DiffId,
    },
    /// No image has the name that was asked for.
    #[error("{} has no image `{tag}`; {}", path.display(), list(names))]
    NoSuchTag {
        /// Where.
        path: PathBuf,
        /// What was asked for.
        tag: String,
        /// What there is.
        names: Vec<String>,
    },
    /// There are several images, or none, and no name was given.
    #[error("{}: say which image, as in `{}:TAG`; {}", path.display(), path.display(), list(names))]
    Ambiguous {
        /// Where.
        path: PathBuf,
        /// What there is.
        names: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    match names {
        [] => "it has none".to_owned(),
        names => format!("there is {}", names.join(", ")),
    }
}
