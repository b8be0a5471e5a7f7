//! What can be wrong with a layer, its tar, its blob or its table.

use std::io;

use super::path::PathError;
use crate::store::StoreError;

/// Errors of layers.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or stream of this module's own could not be read or written.
    #[error("{action}: {source}")]
    Io {
        /// What was tried, as a participle: `reading the blob`.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The content of an entry could not be read by its source.
    #[error("reading the content of {path}: {source}")]
    Content {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The content of an entry ended before its stated size.
    #[error("the content of {path} has {actual} bytes instead of {expected}")]
    ContentLength {
        /// Which.
        path: String,
        /// What the entry says.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// The content of an entry is not what its digest says.
    #[error("the content of {path} is not what its digest says")]
    ContentDigest {
        /// Which.
        path: String,
    },
    /// Entries were not given in the order of paths.
    #[error("{path} comes after {after}: not in order")]
    Order {
        /// The offender.
        path: String,
        /// What came before it.
        after: String,
    },
    /// A layer cannot hold this entry.
    #[error("{path}: {reason}")]
    Unsupported {
        /// Which.
        path: String,
        /// Why: `a tar cannot hold a socket`.
        reason: &'static str,
    },
    /// A hard link's target is not where it can be linked to.
    #[error("hard link {path} to {target}: {reason}")]
    Link {
        /// The link.
        path: String,
        /// Its target.
        target: String,
        /// Why not.
        reason: &'static str,
    },
    /// A name in a tar can not be one of a layer.
    #[error("the name `{name}` is refused: {source}")]
    Name {
        /// The name, lossy.
        name: String,
        /// Why.
        source: PathError,
    },
    /// An entry stands below something that is no directory.
    #[error("{path} stands below {parent}, which is not a directory")]
    NotADirectory {
        /// The entry.
        path: String,
        /// What is in its way.
        parent: String,
    },
    /// The tar is malformed.
    #[error("malformed tar at byte {at}: {reason}")]
    Malformed {
        /// Offset in the uncompressed tar.
        at: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The tar ends in the middle of something.
    #[error("the tar is cut off at byte {at}")]
    Truncated {
        /// Offset in the uncompressed tar.
        at: u64,
    },
    /// The compressed stream is malformed or cut off.
    #[error("decompressing: {source}")]
    Decompress {
        /// What the decoder says.
        source: io::Error,
    },
    /// The layer is far larger than what it is made from.
    #[error("the layer expands to more than {limit} bytes from {compressed}: refused as a bomb")]
    Bomb {
        /// How much was allowed.
        limit: u64,
        /// How many bytes of the blob were read until then.
        compressed: u64,
    },
    /// A digest is not the expected one.
    #[error("the {what} is {actual} instead of {expected}")]
    Digest {
        /// `blob digest`, `diffID`.
        what: &'static str,
        /// What was asked for.
        expected: String,
        /// What came.
        actual: String,
    },
    /// Stored bytes are not what they were; derived files were tried again in vain.
    #[error("the stored {what} of layer {layer} is damaged")]
    Damaged {
        /// `table`, `data`.
        what: &'static str,
        /// Blob digest, short.
        layer: String,
    },
}

impl LayerError {
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
